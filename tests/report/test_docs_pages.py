"""Generated pages: current after `accept`, stale after any change, mended by `docs`."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from replab import cli
from replab.claims.accepted import load_accepted, load_all
from replab.claims.schema import load
from replab.claims.verdicts import INCONCLUSIVE, NOT_ATTEMPTED, NOT_REPRODUCED, REPRODUCED
from replab.errors import UserError
from replab.report import badges, deviations, docs_pages, notebook, verdicts

DEVIATIONS = """\
deviations:
  - id: smaller
    topic: training
    where: noise
    paper: hours
    here: seconds
    why: Nobody wants to wait for a made-up paper.
    experiments: [noisy]
  - id: by-hand
    topic: evaluation
    where: sums
    paper: by machine
    here: by hand | twice
    why: The machine was away when this was written.
    claims: ["table1.*"]
"""
MARKERS = "# Mini\n\n<!-- deviations -->\nold\n<!-- /deviations -->\n\nmore\n"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def twin(accepted, tmp_path, monkeypatch):
    """An accepted checkout that may be changed, and that this process works in."""
    made = accepted.copy(tmp_path)
    monkeypatch.setenv("REPLAB_ROOT", str(made.root))
    return made


def change_metric(root):
    for path in (root / "results/mini/runs").glob("*.json"):
        record = json.loads(path.read_text())
        if record["experiment"] == "add":
            record["metrics"]["sum"] = 6
            path.write_text(json.dumps(record))


def change_time(root):
    for path in (root / "results/mini/runs").glob("*.json"):
        record = json.loads(path.read_text())
        record["provenance"]["wall_s"] += 7200
        path.write_text(json.dumps(record))


def change_reported(root):
    path = root / "replications/mini/claims.csv"
    path.write_text(path.read_text().replace("exact,sum,5", "exact,sum,8"))


def add_deviations(root):
    (root / "replications/mini/deviations.yaml").write_text(DEVIATIONS)


def edit_page(root):
    path = root / "docs/verdicts.md"
    path.write_text(path.read_text().replace("not reproduced", "reproduced"))


def remove_badge(root):
    (root / "results/mini/badge.svg").unlink()


class TestProblem:
    def test_accepting_leaves_none(self, twin):
        assert docs_pages.problem(load_all()) == ""
        assert docs_pages.write(load_all()) == []

    @pytest.mark.parametrize(
        ("mutate", "names"),
        [
            (change_metric, ["docs/verdicts.md", "results/README.md"]),
            (change_time, ["docs/costs.md"]),
            (change_reported, ["docs/verdicts.md", "results/README.md"]),
            (add_deviations, ["docs/deviations.md"]),
            (edit_page, ["docs/verdicts.md"]),
            (remove_badge, ["results/mini/badge.svg"]),
        ],
    )
    def test_names_what_is_not_up_to_date(self, twin, mutate, names):
        mutate(twin.root)
        problem = docs_pages.problem(load_all())
        assert "\n" not in problem
        assert problem.endswith("not up to date; run `python -m replab docs`")
        assert all(name in problem for name in names)
        docs_pages.write(load_all())
        assert docs_pages.problem(load_all()) == ""

    def test_check_fails_in_one_line_and_docs_mends_it(self, twin, monkeypatch, capsys):
        # The rendered notebook is another check's business, and takes seconds.
        monkeypatch.setattr(notebook, "nbval", lambda paper, profile: "")
        edit_page(twin.root)
        assert cli.main(["check"]) == 1
        assert twin.one_line(capsys.readouterr().err) == (
            "failed: docs/verdicts.md is not up to date; run `python -m replab docs`"
        )
        assert cli.main(["docs", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"written": ["docs/verdicts.md"]}
        assert docs_pages.problem(load_all()) == ""


class TestSections:
    def test_stand_between_their_markers_and_leave_the_rest(self, twin):
        add_deviations(twin.root)
        readme = twin.root / "replications/mini/README.md"
        readme.write_text(MARKERS)
        (twin.root / "README.md").write_text("<!-- verdicts --><!-- /verdicts -->")
        docs_pages.write(load_all())
        text = readme.read_text()
        assert text.startswith("# Mini\n\n<!-- deviations -->\n")
        assert text.endswith("<!-- /deviations -->\n\nmore\n")
        assert "old" not in text
        assert "| noise | hours | seconds | scaled claims: `quick.order` |" in text
        # What would end a cell is escaped; claims beyond two are counted.
        claims = "**paper claims**: `table1.sum`, `table1.wrong`"
        assert rf"| sums | by machine | by hand \| twice | {claims} |" in text
        page = (twin.root / "docs/deviations.md").read_text()
        assert "- **Why:** Nobody wants to wait for a made-up paper." in page
        assert "2 deviations, 1 of which touch scaled claims alone" in page
        assert "](results/mini/badge.svg)" in (twin.root / "README.md").read_text()

    @pytest.mark.parametrize(
        "text",
        [
            "# Mini\n",
            "<!-- deviations -->\n",
            "<!-- /deviations --> <!-- deviations -->",
            MARKERS + MARKERS,
        ],
    )
    def test_without_both_markers_once_nothing_is_written(self, twin, text):
        add_deviations(twin.root)
        (twin.root / "replications/mini/README.md").write_text(text)
        page = (twin.root / "docs/deviations.md").read_bytes()
        with pytest.raises(UserError, match="<!-- deviations --> and <!-- /deviations --> must"):
            docs_pages.write(load_all())
        assert (twin.root / "docs/deviations.md").read_bytes() == page
        assert cli.main(["docs"]) == 2


def test_pages_need_no_torch(twin):
    code = (
        "import sys; from replab.cli import main; assert main(['docs']) == 0; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'cv2')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=twin.environment,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (["table1.a.ap", "fig2.b"], "`table1.a.ap`, `fig2.b`"),
        (["table1.a.ap", "table1.b.ap", "fig2.b"], "2 of `table1.*`, `fig2.b`"),
    ],
)
def test_many_claims_are_counted_by_the_first_part_of_their_ids(own, shown):
    assert deviations._named(own, most=2) == shown


class TestBestEvidence:
    @pytest.fixture
    def found(self, twin):
        return load_accepted(load("mini"))

    def with_profiles(self, found, **verdict):
        """What was accepted, had each profile decided `table1.sum` as said."""
        from dataclasses import replace

        quick = found.ledgers["quick"]
        ledgers = {
            profile: replace(
                quick,
                profile=profile,
                entries=[
                    replace(e, verdict=verdict[profile]) if e.id == "table1.sum" else e
                    for e in quick.entries
                ],
            )
            for profile in verdict
        }
        return replace(found, ledgers=ledgers)

    def test_counts_the_paper_s_own_claims_once(self, found):
        # Of the three that may be decided one is right, one is wrong and one was not tried.
        assert verdicts.tally(found) == verdicts.Tally(reproduced=1, attempted=2, stated=3)
        both = self.with_profiles(found, quick=REPRODUCED, standin=REPRODUCED)
        assert verdicts.tally(both) == verdicts.tally(found)

    @pytest.mark.parametrize(
        ("decided", "best"),
        [
            ({"quick": REPRODUCED, "paper": NOT_REPRODUCED}, NOT_REPRODUCED),
            ({"quick": NOT_REPRODUCED, "standin": REPRODUCED}, REPRODUCED),
            ({"standin": INCONCLUSIVE, "quick": REPRODUCED}, INCONCLUSIVE),
            ({"quick": REPRODUCED, "paper": NOT_ATTEMPTED}, REPRODUCED),
            ({"quick": NOT_ATTEMPTED, "paper": NOT_ATTEMPTED}, NOT_ATTEMPTED),
        ],
    )
    def test_is_the_largest_profile_s_that_attempts_it(self, found, decided, best):
        entries = verdicts.best_evidence(self.with_profiles(found, **decided))
        assert entries["table1.sum"].verdict == best

    def test_page_lists_what_was_attempted_and_no_more(self, found):
        page = verdicts.page([found])
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        assert [row.split("`")[1] for row in rows] == ["quick.order", "table1.sum", "table1.wrong"]
        assert "](../results/mini/quick/mini.ipynb)" in page
        assert rows[1].endswith("| 5 | 5 |  | 1 | ✔ reproduced |")
        assert rows[0].endswith("| 3 | ✔ reproduced |")


def test_a_badge_holds_its_texts_and_says_itself_in_words(twin):
    svg = ElementTree.fromstring(badges.badge(load_accepted(load("mini"))))
    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "On Sums: 1 of 2 attempted claims reproduced, 3 printed"
    clip, left, right = svg.iter(f"{SVG}rect")
    texts = list(svg.iter(f"{SVG}text"))
    assert [t.text for t in texts] == [
        "mini claims",
        "1 reproduced · 2 attempted · 3 printed",
    ]
    assert int(left.get("width")) + int(right.get("width")) == int(clip.get("width"))
    for box, text in zip((left, right), texts, strict=True):
        begin, end = int(box.get("x", 0)), int(box.get("x", 0)) + int(box.get("width"))
        start, length = int(text.get("x")), int(text.get("textLength"))
        assert start - begin == end - (start + length) == badges.PADDING


@pytest.mark.parametrize(
    "text", ["77 reproduced · 77 attempted · 133 stated", "simplebaseline claims", "HRNet (W32)"]
)
def test_widths_are_those_of_the_font_that_comes_closest(text):
    from matplotlib import font_manager
    from PIL import ImageFont

    # Drawn to Verdana's measures, and everywhere that matplotlib is.
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 11)
    assert badges.text_width(text) == pytest.approx(font.getlength(text), rel=0.06)

"""The challenge's report: a change of a number, a verdict, a count or a section is found."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab.report import handed_in
from replab.report.handed_in import document, latex, mlrc
from replab.report.handed_in.document import Code, Heading, Paragraph, Quote, Table
from replab.report.handed_in.mlrc import SECTIONS
from replab.report.handed_in.mlrc_check import _rounds_to


def changed(made, old, new, count=1):
    dossier, files = made("resnet", "quick")
    text = files["mlrc/report.md"].decode()
    assert old in text
    mutated = text.replace(old, new, count).encode()
    return handed_in.problems(dossier, ["mlrc"], {"mlrc/report.md": mutated})


def row(made, claim):
    text = made("resnet", "quick")[1]["mlrc/report.md"].decode()
    rows = [line for line in text.splitlines() if line.startswith(f"| `{claim}` | ")]
    return rows[0]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("| 8.27 % | 8.27 |", "| 8.27 % | 8.26 |", "measured is not the ledger's"),
        ("| 8.27 % | 8.27 |", "| 8.37 % | 8.27 |", "reported is not the ledger's"),
        ("✔ reproduced |\n", "✘ not reproduced |\n", "verdict is not the ledger's"),
        ("reproduced · ✘ ", "reproduced · ✘ 7", "does not count"),
        ("### What was easy\n", "### What was fun\n", "the sections are not the challenge's"),
        ("| `akamaster.resnet20.error` |", "| `akamaster.resnet99.error` |", "not in the report"),
        ("| `akamaster.resnet20.error` |", "| `akamaster.resnet99.error` |", "no claim of the"),
    ],
)
def test_a_change_is_found(made, old, new, problem):
    assert problem in "; ".join(changed(made, old, new))


@pytest.mark.parametrize("cell", [2, 3, 4, 5])
def test_each_cell_of_an_ordering_is_compared(made, cell):
    line = row(made, "quick.plain-degrades")
    cells = line.split(" | ")
    digit = max(i for i, c in enumerate(cells[cell]) if c.isdigit()) if cell != 5 else -1
    text = cells[cell]
    new = "9" if text[digit] != "9" else "8"
    cells[cell] = text[:digit] + new + text[digit + 1 :] if digit >= 0 else "±9"
    assert len(changed(made, line, " | ".join(cells))) == 1


def test_a_row_that_is_gone_or_stands_twice_is_found(made):
    line = row(made, "quick.plain-degrades") + "\n"
    assert changed(made, line, "") == ["mlrc: quick.plain-degrades is not in the report"]
    assert "stands in the report 2 times" in changed(made, line, line * 2)[0]


@pytest.fixture
def failed(made):
    """A dossier of which one claim is not reproduced and another one inconclusive."""
    dossier, _ = made("resnet", "quick")
    verdicts = {
        "akamaster.resnet20.error": ("not reproduced", "8.27 is far from the print"),
        "quick.gap-shrinks": ("inconclusive", "the seeds do not separate"),
    }
    entries = [
        replace(e, verdict=verdicts[e.id][0], why=verdicts[e.id][1]) if e.id in verdicts else e
        for e in dossier.ledger.entries
    ]
    return replace(dossier, ledger=replace(dossier.ledger, entries=entries))


def test_failures_are_reported_as_failures_with_their_reasons(failed):
    report = mlrc.markdown(failed)
    assert handed_in.problems(failed, ["mlrc"], {"mlrc/report.md": report.encode()}) == []
    assert "\nNot reproduced: `akamaster.resnet20.error`.\n" in report
    assert "\nInconclusive: `quick.gap-shrinks`.\n" in report
    for claim, verdict, why in (
        ("akamaster.resnet20.error", "✘ not reproduced", "8.27 is far from the print"),
        ("quick.gap-shrinks", "? inconclusive", "the seeds do not separate"),
    ):
        rows = [line for line in report.splitlines() if line.startswith(f"| `{claim}` | ")]
        assert rows[0].endswith(f" | {verdict} |")
        assert rows[1].startswith(f"| `{claim}` | {verdict} | {why} | ")


def test_a_report_of_another_ledger_is_found(failed, made):
    report = {"mlrc/report.md": made("resnet", "quick")[1]["mlrc/report.md"]}
    found = "; ".join(handed_in.problems(failed, ["mlrc"], report))
    assert found.count("the summary does not count") == 3
    assert found.count("verdict is not the ledger's") == 2


def test_a_report_with_its_blanks_filled_in_is_still_right(made):
    assert changed(made, "[YOURS TO FILL IN: what was easy]", "Counting was easy.\n\nVery.") == []


def test_sections_come_in_the_challenge_s_order(made):
    text = made("cpm", "quick")[1]["mlrc/report.md"].decode()
    places = [text.index(f"\n{'#' * (level + 1)} {name}\n") for level, name in SECTIONS]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("printed", "value", "fits"),
    [
        ("8.27", 8.274, True),
        ("8.27", 8.276, False),
        ("269,722", 269722.0, True),
        ("1.2e-05", 1.24e-05, True),
        ("1.2e-05", 1.26e-05, False),
        ("8.125", 8.125, True),
        ("8.12", 8.125, True),
        ("8.13", 8.125, True),
        ("–", 1.0, False),
        ("nan", 1.0, False),
        ("3", None, False),
    ],
)
def test_numbers_are_compared_as_far_as_they_are_printed(printed, value, fits):
    assert _rounds_to(printed, value) == fits


class TestLatex:
    def test_every_block_has_its_form(self):
        blocks = [
            Heading(0, "A & B"),
            Heading(1, "One"),
            Heading(2, "Two"),
            Paragraph("50 % of `a_b` is **bold** and *leaning*"),
            Code("nox -s x"),
            Table(("a", "b"), [("1", "x_y")], (1, 2)),
            Quote("R.md", "Words.\n\n- one\n  more\n- two\n\n      code here\n\nEnd."),
        ]
        text = latex.latex(blocks, author="A_1", date="2026-01-02")
        assert r"\title{A \& B}" in text
        assert r"\section*{One}" in text
        assert r"\subsection*{Two}" in text
        assert r"50 \% of \texttt{a\_\allowbreak{}b} is \textbf{bold} and \emph{leaning}" in text
        assert "\\begin{verbatim}\nnox -s x\n\\end{verbatim}" in text
        assert "1 & x\\_y \\\\" in text
        assert "\\item one more\n\\item two\n\\end{itemize}" in text
        assert "\\begin{verbatim}\ncode here\n\\end{verbatim}" in text
        for kind in ("document", "quote", "itemize", "verbatim", "longtable"):
            assert text.count(f"\\begin{{{kind}}}") == text.count(f"\\end{{{kind}}}") > 0

    def test_a_report_begins_with_its_title(self):
        with pytest.raises(ValueError, match="title"):
            latex.latex([Paragraph("x")], author="", date="")

    @given(st.text(alphabet="ab_%&#${}\\~^<>`* .é✔", max_size=40))
    def test_no_character_of_running_text_is_taken_for_a_command(self, text):
        written = latex.inline(text)
        for command in (r"\\textbackslash\{\}", r"\\textasci\w+\{\}", r"\\text(less|greater)\{\}"):
            written = re.sub(command, "", written)
        written = written.replace(r"\allowbreak{}", "").replace("{\\signs ✔}", "")
        bare = re.sub(r"\\[{}$&#_%]", "", written)
        spans = re.sub(r"\\(texttt|textbf|emph)\{", "{", bare)
        assert not set("$&#_%^~<>\\") & set(spans)
        assert spans.count("{") == spans.count("}")


def test_a_table_whose_rows_are_uneven_is_refused():
    with pytest.raises(ValueError, match="differ in length"):
        Table(("a", "b"), [("1",)], (1, 1))


def test_quoted_text_comes_piece_by_piece():
    pieces = list(document.quoted("One\ntwo.\n\n- a\n  b\n- c\n\n      x\n\nLast"))
    assert [(p.kind, p.text) for p in pieces] == [
        ("paragraph", "One two."),
        ("item", "a b"),
        ("item", "c"),
        ("code", "x"),
        ("paragraph", "Last"),
    ]

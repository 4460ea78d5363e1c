"""All reports of all papers: verified, the same each time, and true to the accepted ledger."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from replab.report import handed_in
from replab.report.handed_in import blanks
from replab.report.handed_in.dossier import gather

ROOT = Path(__file__).resolve().parents[3]
PAPERS = ("cpm", "hrnet", "resnet", "simplebaseline")


@pytest.mark.parametrize("name", handed_in.FORMATS)
@pytest.mark.parametrize("paper", PAPERS)
def test_every_report_of_every_paper_is_as_it_should_be(made, paper, name):
    dossier, files = made(paper, "quick")
    assert any(path.startswith(f"{name}/") for path in files)
    assert handed_in.problems(dossier, [name], files) == []


@pytest.mark.parametrize("name", handed_in.FORMATS)
def test_so_is_every_report_of_a_larger_profile(made, name):
    dossier, files = made("resnet", "standin")
    assert handed_in.problems(dossier, [name], files) == []


def test_a_second_call_gives_the_same_bytes(made):
    _, files = made("simplebaseline", "quick")
    again = handed_in.compose(gather("simplebaseline", "quick"), tuple(handed_in.FORMATS))
    archive = again.pop("ro-crate.zip")
    assert again == files
    assert (
        archive
        == handed_in.compose(made("simplebaseline", "quick")[0], ["ro-crate"])["ro-crate.zip"]
    )


@pytest.mark.parametrize("paper", PAPERS)
def test_no_report_names_this_machine_or_the_day_it_was_written(made, paper):
    dossier, files = made(paper, "quick")
    for path, data in files.items():
        assert str(ROOT).encode() not in data, path
        assert str(Path.home()).encode() + b"/" not in data, path
    starts = [r.provenance["started"][:10] for r in dossier.records.values()]
    assert min(starts) <= dossier.date
    assert max(starts) <= dossier.date


@pytest.mark.parametrize("paper", PAPERS)
def test_every_attempted_claim_stands_in_the_report_as_the_accepted_file_has_it(made, paper):
    _, files = made(paper, "quick")
    report = files["mlrc/report.md"].decode()
    accepted = json.loads((ROOT / f"results/{paper}/quick/accepted.json").read_text())
    for claim in accepted["claims"]:
        rows = [line for line in report.splitlines() if line.startswith(f"| `{claim['id']}` | ")]
        decided = claim["gate"] and claim["verdict"] != "not attempted"
        table = [row for row in rows if row.count(" | ") == 6]
        assert len(table) == decided, claim["id"]
        if decided:
            cells = table[0].split(" | ")
            assert cells[4] == str(claim["n"])
            assert cells[6].split(" ", 1)[1] == f"{claim['verdict']} |"


def test_what_only_a_person_can_say_is_left_to_them(made):
    _, files = made("hrnet", "quick")
    found = blanks.places(files)
    assert [len(found["mlrc/report.md"]), len(found["mlrc/report.tex"])] == [3, 3]
    assert any("communication with the original authors" in w for w in found["mlrc/report.md"])
    assert "your name" in found["rescience/metadata.yaml"]
    assert not any(path.startswith(("model-index/", "ro-crate/")) for path in found)


def test_a_known_address_of_the_code_stands_in_every_format(made):
    dossier = replace(made("simplebaseline", "quick")[0], code_url="https://example.org/replab")
    files = handed_in.compose(dossier, ["mlrc", "rescience", "model-index"])
    files |= {"ro-crate/" + k: v for k, v in handed_in.ro_crate.files(dossier).items()}
    assert handed_in.problems(dossier, tuple(handed_in.FORMATS), files) == []
    for name in handed_in.FORMATS:
        texts = [data for path, data in files.items() if path.startswith(f"{name}/")]
        assert any(b"https://example.org/replab" in text for text in texts), name
    assert "address of the code" not in str(blanks.places(files))


def test_a_replication_that_failed_says_so_in_its_title(made):
    dossier, _ = made("resnet", "quick")
    assert dossier.title.startswith("[Re] ")
    entries = [
        replace(e, verdict="not reproduced") if e.verdict == "reproduced" else e
        for e in dossier.ledger.entries
    ]
    failed = replace(dossier, ledger=replace(dossier.ledger, entries=entries))
    assert failed.title.startswith("[¬Re] ")


def test_reports_are_made_without_torch():
    code = (
        "import sys\n"
        "from replab.report.handed_in import compose\n"
        "from replab.report.handed_in.dossier import gather\n"
        "assert compose(gather('simplebaseline', 'quick'), ['mlrc'])\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "lib"), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.strip() == "False"

"""ReScience C's metadata: what the template asks, and what must fail it."""

import pytest
import yaml

from replab.claims.schema import Citation
from replab.report import handed_in
from replab.report.handed_in import rescience, rescience_check


def found(made, *, old="", new="", bib=("", "")):
    dossier, files = made("cpm", "quick")
    text = files["rescience/metadata.yaml"].decode()
    entry = files["rescience/bibliography.bib"].decode()
    assert old in text
    assert bib[0] in entry
    mutated = {
        "rescience/metadata.yaml": text.replace(old, new, 1).encode(),
        "rescience/bibliography.bib": entry.replace(*bib, 1).encode(),
    }
    return "; ".join(handed_in.problems(dossier, ["rescience"], mutated))


def test_the_template_s_own_reader_would_find_its_fields(made):
    _, files = made("cpm", "quick")
    document = yaml.safe_load(files["rescience/metadata.yaml"])
    # What ReScience/template's article.py takes by name and would miss.
    read = "keywords type domain language bibliography dates authors affiliations contributors"
    for name in [*read.split(), "review", "replication", "article", "journal"]:
        assert name in document
    for name in ("code", "data", "review", "replication", "dates", "article", "journal"):
        assert all(len(part) == 1 for part in document[name])
    assert {k for part in document["replication"] for k in part} == {"cite", "bib", "url", "doi"}
    assert [c["role"] for c in document["contributors"]] == ["editor", "reviewer", "reviewer"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (" were reproduced", "9 were reproduced", "abstract (its counts)"),
        ("'[Re] ", "'", "title"),
        ("'[Re] ", "'[¬Re] ", "title does not fit"),
        ("domain: Machine Learning\n", "", "domain: Field required"),
        ("type: Replication", "type: Editorial", "type:"),
        ("'[YOURS TO FILL IN: your ORCID]'", "12-34", "authors.0.orcid"),
        ("'[YOURS TO FILL IN: address of the code]'", "null", "code.url"),
        ("- bib: wei2016convolutional", "- bib: other", "no entry other"),
        ("role: editor", "role: reviewer", "one editor, two reviewers"),
        ("affiliations: 1,*", "affiliations: '1'", "marked with *"),
        ("affiliations: 1,*", "affiliations: 2,*", "not listed"),
        ("- swh: null\n", "- swg: null\n", "code.swh"),
        ("title: ", "title: [", "no YAML"),
    ],
)
def test_a_change_is_found(made, old, new, problem):
    assert problem in found(made, old=old, new=new)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("year = {2016}", "year = {2015}"), "the year"),
        (("  author", "  auteur"), "lacks author"),
        (("title = {{", "title = {"), "lacks title"),
    ],
)
def test_a_change_of_the_bibliography_is_found(made, change, problem):
    assert problem in found(made, bib=change)


def test_a_person_s_words_are_accepted(made):
    assert found(made, old="'[YOURS TO FILL IN: your ORCID]'", new="0000-0002-6972-589X") == ""


def test_missing_files_are_named(made):
    dossier, _ = made("cpm", "quick")
    assert handed_in.problems(dossier, ["rescience"], {}) == [
        "rescience: metadata.yaml is missing",
        "rescience: bibliography.bib is missing",
    ]


def test_keys_are_plain_and_entries_are_read_back():
    citation = Citation(authors="Jürgen Müßig, B", title="On a Sum", venue="X 2020", year=2020)
    assert rescience.key(citation) == "muig2020"
    entry = "@inproceedings{k1,\n  title = {{A {B} C}},\n  year = {2020},\n}\n"
    assert rescience_check.bibtex(entry) == {"k1": {"title": "{A {B} C}", "year": "2020"}}


def test_a_document_that_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match="no YAML of fields"):
        rescience_check.parse("- a\n")

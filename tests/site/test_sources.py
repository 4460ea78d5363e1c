import json

import pytest

from replab.errors import UserError
from replab.site.pages import Site
from replab.site.sources import assemble, documents, relinked

PLACES = {"docs/a.md": "docs/a", "results/p/quick/p.ipynb": "notebooks/p-quick"}


@pytest.fixture
def assembled(demo, tmp_path):
    assemble(Site([demo]), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[x](../docs/a.md)", '<a href="/docs/a.html">x</a>'),
        ("[x](../docs/a.md#part)", '<a href="/docs/a.html#part">x</a>'),
        ("[`n`](../results/p/quick/p.ipynb)", '<a href="/notebooks/p-quick.html">`n`</a>'),
        ("[code](run.py)", "code (`papers/run.py`)"),
        ("[run.py](run.py)", "`run.py`"),
        ("[x](https://example.org/a.md)", "[x](https://example.org/a.md)"),
        ("[x](#here)", "[x](#here)"),
        ("a[0](b)", "a0 (`papers/b`)"),
    ],
)
def test_links_lead_to_the_site_or_lose_their_address(written, read, tmp_path):
    assert relinked(written, "papers/README.md", "papers/p", PLACES, tmp_path) == read


def test_images_are_copied(checkout, demo, tmp_path):
    words = "![all](results/demo/quick/figures/counts.png)"
    found = relinked(words, "README.md", "docs/readme", {}, tmp_path)
    assert found == "![all](../pictures/results-demo-quick-figures-counts.png)"
    copied = tmp_path / "pictures/results-demo-quick-figures-counts.png"
    original = checkout / "results/demo/quick/figures/counts.png"
    assert copied.read_bytes() == original.read_bytes()


def test_every_document_stands_in_a_table_of_contents(assembled, demo):
    trees = (assembled / "papers/index.md").read_text() + (assembled / "docs/index.md").read_text()
    for document in documents(Site([demo])).values():
        name = document.partition("/")[2]
        assert name in trees, document


def test_examples_of_verdicts_are_filled_in(assembled):
    words = (assembled / "docs/reading-verdicts.md").read_text()
    assert "<!-- example" not in words
    assert "table1.a.params" in words
    assert "table1.b.params" in words


def test_an_example_of_something_else_is_refused(demo, checkout, tmp_path):
    path = checkout / "docs/reading-verdicts.md"
    before = path.read_text()
    path.write_text(before + "\n<!-- example: proven -->\n")
    try:
        with pytest.raises(UserError, match=r"reading-verdicts\.md: 'example: proven' is no verd"):
            assemble(Site([demo]), tmp_path)
    finally:
        path.write_text(before)


def test_notebooks_keep_their_outputs_and_fold_their_code(assembled):
    notebook = json.loads((assembled / "notebooks/demo-quick.ipynb").read_text())
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all("hide-input" in c["metadata"]["tags"] for c in cells)
    assert sum("image/png" in o["data"] for c in cells for o in c["outputs"]) == 2
    title = "".join(notebook["cells"][0]["source"]).splitlines()[0]
    assert title == "# On Sums: the notebook, profile quick"

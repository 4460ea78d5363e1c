"""The command, from the outside; needs a Python with Sphinx."""

import re

import pytest

from replab.errors import CheckFailed, UserError
from replab.site import build as building


def test_the_site_has_a_page_for_everything_and_is_small(site):
    for name in (
        "index",
        "search",
        "docs/reading-verdicts",
        "docs/index",
        "papers/index",
        "api/index",
    ):
        assert (site / f"{name}.html").is_file(), name
    assert list(site.glob("claims/*/*.html"))
    assert list(site.glob("runs/*/*.html"))
    assert list(site.glob("notebooks/*.html"))
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size <= 25e6


def test_commands_are_not_coloured_as_python(site):
    text = "".join(path.read_text(encoding="utf-8") for path in site.glob("papers/*.html"))
    blocks = re.findall(r"<pre><span></span>(.*?)\n</pre>", text, flags=re.DOTALL)
    commands = [block for block in blocks if "replicate" in block]
    assert commands
    for command in commands:
        assert command.startswith(("python -m replab ", "nox -s ")), command
        assert "<span" not in command, command


def test_nothing_of_the_machine_that_built_it_is_left(site, checkout):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for place in (str(checkout), str(site.parent), ".site-"):
            assert place not in text, (path, place)
    assert not (site / "objects.inv").exists()


def test_a_folder_of_something_else_is_never_replaced(tmp_path, checkout, monkeypatch):
    monkeypatch.setattr(building, "_require_sphinx", lambda: None)
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="is there and is no site of replab; name a new folder"):
        building.build(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_without_sphinx_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(building.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs sphinx, which is not here; run `nox -s site`"):
        building.build(tmp_path / "site")


def test_a_dead_link_breaks_the_build_and_leaves_the_old_site(demo, tmp_path, monkeypatch):
    def write_pages(sources, pages, doctrees, own):
        assert (sources / "docs" / "reading-verdicts.md").is_file()
        pages.mkdir()
        (pages / "index.html").write_text('<a href="gone.html">x</a>')

    monkeypatch.setattr(building, "_require_sphinx", lambda: None)
    monkeypatch.setattr(building, "_run_sphinx", write_pages)
    out = tmp_path / "site"
    out.mkdir()
    (out / ".buildinfo").write_text("the old one")
    with pytest.raises(CheckFailed, match=r"lead nowhere:\nindex\.html: no file for gone\.html"):
        building.build(out)
    assert (out / ".buildinfo").read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]

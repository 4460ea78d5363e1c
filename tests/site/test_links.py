from pathlib import Path

import pytest

from replab.site.links import problems


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text('<h1 id="top">x</h1><a href="sub/b.html#part">b</a>')
    (tmp_path / "sub/b.html").write_text(
        '<p id="part"><a href="../index.html?q=1#top">a</a> <img src="../i.svg">'
        '<a href="https://example.org/">elsewhere</a></p>'
    )
    (tmp_path / "i.svg").write_text("<svg/>")
    (tmp_path / "s.css").write_text("a { background: url(i.svg) }")
    return tmp_path


def test_a_sound_site_has_no_problems(folder):
    assert problems(folder) == []


def test_the_folder_may_be_named_from_here(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert problems(Path(folder.name)) == []


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ('<a href="gone.html">x</a>', "new.html: no file for gone.html"),
        ('<a href="sub/b.html#gone">x</a>', "new.html: no anchor for sub/b.html#gone"),
        ('<a href="#gone">x</a>', "new.html: no anchor for #gone"),
        ('<img src="gone.png">', "new.html: no file for gone.png"),
        ('<script src="https://cdn.example/x.js"></script>', "would fetch https://cdn.example/x"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "would fetch //cdn.example/x.css"),
        ('<p id="a"></p><p id="a"></p>', "new.html: id 'a' stands twice"),
    ],
)
def test_each_problem_is_named(folder, page, problem):
    (folder / "new.html").write_text(page)
    (found,) = problems(folder)
    assert problem in found


@pytest.mark.parametrize(
    "rule", ["@import 'https://fonts.example/a.css';", "a { b: url(http://x.example/y.png) }"]
)
def test_style_sheets_fetch_nothing_from_elsewhere(folder, rule):
    (folder / "new.css").write_text(rule)
    (found,) = problems(folder)
    assert found.startswith("new.css: would fetch http")


def test_data_within_a_style_sheet_is_no_fetch(folder):
    (folder / "new.css").write_text("a { b: url(data:image/png;base64,AAAA) }")
    assert problems(folder) == []

"""YAML that knows its lines: locations, and errors of one line that name the place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab import yaml_lines
from replab.errors import UserError


def read(folder, text):
    path = folder / "f.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yaml_lines.read(path, shown_as="f.yaml")


def test_values_and_lines(tmp_path):
    found = read(
        tmp_path, "# a comment\na: 1\nb:\n  c: [x, 2.5]\n  d: >-\n    two\n    lines\n20: yes\n"
    )
    assert found.value == {"a": 1, "b": {"c": ["x", 2.5], "d": "two lines"}, "20": True}
    assert found.line(("a",)) == 2
    assert found.line(("b", "c")) == 4
    assert found.line(("b", "c", 1)) == 4
    assert found.line(("20",)) == 8
    assert found.line(("b", "c", 9, "none")) == 4
    assert found.line(("none",)) == 2


def test_an_alias_stands_for_its_anchor(tmp_path):
    found = read(tmp_path, "a: &x {k: 1}\nb: *x\n")
    assert found.value["b"] == {"k": 1}
    assert found.line(("b",)) == 2


def test_errors_begin_with_file_and_line(tmp_path):
    found = read(tmp_path, "a: 1\nb:\n  c: 2\n")
    assert str(found.error(("b", "c"), "is wrong")) == "f.yaml:3: b.c: is wrong"
    assert str(found.error((), "is wrong")) == "f.yaml:1: is wrong"


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("a: 1\nb: 'x\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\nb: c: d\n", 2, "not valid YAML"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", 5, "key 'c' stands here a second time"),
        ("a: 1\na: 1\n", 2, "key 'a' stands here a second time"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "not valid YAML"),
        ("a: 1\nb: 2020-13-45\n", 2, "not valid YAML"),
        ("a: 1\nb: *none\n", 2, "undefined alias"),
        ("a: &x [*x]\n", 1, "alias stands inside its own anchor"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("a: 1\nb: \x01\n", 2, "not valid YAML"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
    ],
)
def test_broken_files_end_in_one_line(tmp_path, text, line, word):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"f.yaml:{line}: ")
    assert word in message
    assert "\n" not in message
    assert "None" not in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^cannot read f\.yaml: No such file"):
        yaml_lines.read(tmp_path / "none.yaml", shown_as="f.yaml")


@given(st.text(alphabet="ab:- \n[]{}&*!'\"#|>1", max_size=40))
def test_no_text_ends_in_anything_but_a_value_or_one_line(tmp_path_factory, text):
    try:
        found = read(tmp_path_factory.getbasetemp(), text)
    except UserError as error:
        message = str(error)
    else:
        message = str(found.error((), "fine"))
    assert re.match(r"f\.yaml:\d+: ", message)
    assert "\n" not in message

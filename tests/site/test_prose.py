import pytest

from replab.site.prose import blocks, inline


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("plain", "plain"),
        ("`a < b` and <b>", "<code>a &lt; b</code> and &lt;b&gt;"),
        ("*never* and **always**", "<em>never</em> and <strong>always</strong>"),
        ("`*args` stays", "<code>*args</code> stays"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("``a`b``", "<code>a`b</code>"),
        ("N×K×2 * px, a*b*c", "N×K×2 * px, a*b*c"),
    ],
)
def test_sentences(words, page):
    assert inline(words) == page


def test_paragraphs_lists_and_code():
    words = "First\nline.\n\n- one\n- two\n  goes on\n\n    x = [1]\n    y = 2\n\nUntil:\n- last"
    assert blocks(words).splitlines() == [
        "<p>First",
        "line.</p>",
        "<ul><li>one</li><li>two goes on</li></ul>",
        "<pre><code>x = [1]",
        "y = 2</code></pre>",
        "<p>Until:</p><ul><li>last</li></ul>",
    ]


def test_nothing_gives_nothing():
    assert blocks("") == ""

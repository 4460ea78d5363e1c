from html.parser import HTMLParser

import pytest

from replab.claims.verdicts import VERDICTS
from replab.site.pages import Site, claim_page, duration, run_page, wrapped


class Words(HTMLParser):
    """The words of a page, and its start tags."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def site(demo):
    return Site([demo])


@pytest.fixture
def claims(site):
    return {page.title: page for page in site.claims()}


def test_the_board_holds_each_claim_once_and_sets_ours_apart(site, demo):
    page = Words(site.board().body)
    rows = [a["href"] for tag, a in page.tags if tag == "a" and "claims/" in a.get("href", "")]
    decided = [s for s in demo.statements if s.claim.gate]
    assert sorted(rows) == sorted(claim_page("demo", s.id) + ".html" for s in decided)
    assert [a["data-stands"] for tag, a in page.tags if tag == "section"] == [
        "paper",
        "scaled",
        "context",
    ]
    assert "table2.rival.ap" in page.text


def test_each_verdict_on_the_board_is_said_in_words(site, demo):
    page = Words(site.board().body)
    chips = [a["data-verdict"] for tag, a in page.tags if "data-verdict" in a]
    assert set(chips) == set(VERDICTS)
    for verdict in VERDICTS:
        assert page.text.count(verdict) >= chips.count(verdict)


def test_a_claim_s_page_tells_all_that_the_ledger_knows(claims, demo):
    page = Words(claims["quick.order"].body)
    entry = next(s for s in demo.statements if s.id == "quick.order").telling
    for words in (
        *("a < b", "Fig. 3, scaled down", "reproduced", "n = 3 seeds", entry.why),
        *("class Tshape", "A figure gives a direction only.", "Mini", "fig3.order", "On <Sums>"),
        *("0123456789", "a processor", "90 s", "net=a", "train[net=b].loss", entry.command),
    ):
        assert words in page.text, words
    linked = {a.get("href") for tag, a in page.tags if tag == "a"}
    for run in entry.runs:
        assert f"../../{run_page('demo', run)}.html" in linked
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    assert images == ["../../figures/demo-quick-figure-3.svg"]


def test_deviations_and_reasons_read_as_markdown(claims):
    page = Words(claims["table1.a.params"].body)
    assert "The paper does not say with what it pads." in page.text
    assert ("code", {}) in page.tags
    assert "`" not in page.text


def test_what_files_say_is_text_and_never_markup(claims):
    page = Words(claims["table1.a.params"].body)
    assert "<script>a()</script>" in page.text
    assert "script" not in [tag for tag, _ in page.tags]


def test_a_claim_that_was_not_attempted_says_what_it_needs(claims):
    page = Words(claims["fig3.order"].body)
    assert "needs a computer that nobody has" in page.text
    assert "quick.order" in page.text
    assert "The runs behind it" not in page.text


def test_context_has_no_page_of_its_own(claims):
    assert "table2.rival.ap" not in claims


def test_a_run_s_page_names_the_claims_that_rest_on_it(site, demo):
    pages = {page.name: Words(page.body) for page in site.runs()}
    assert len(pages) == len(demo.records)
    (run,) = next(s for s in demo.statements if s.id == "table1.b.params").telling.runs
    page = pages[run_page("demo", run)]
    for words in ("table1.b.params", "not reproduced", "464,154", "0123456789abcdef", "1.0 GiB"):
        assert words in page.text, words


def test_examples_are_taken_from_the_ledgers(site):
    assert "`table1.b.params`" in site.example("not reproduced")
    assert "`quick.close`" in site.example("inconclusive")
    assert "n = 3" in site.example("inconclusive")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (48.2, "48 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_long_signature_has_a_line_for_each_argument():
    signature = (
        "(first: dict[str, tuple[int, int]], second: str='a, b', *, third: float=0.125) -> None"
    )
    assert wrapped("(a: int) -> int") == "(a: int) -> int"
    assert wrapped(signature).splitlines()[1] == "    first: dict[str, tuple[int, int]],"
    assert wrapped(signature).splitlines()[-1] == ") -> None"

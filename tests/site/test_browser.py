"""The built site in a real browser: what it looks like to a reader, and what it asks for.

`REPLAB_SITE=site` takes the real site in place of the miniature's.
"""

import pytest

SHOWN = "[...document.querySelectorAll('#claims tbody tr')].filter(r => r.offsetParent)"
COUNT = f"{SHOWN}.length"


def sound(page, address):
    """No complaint, and every request went to the site itself."""
    assert page.complaints() == []
    assert page.requests()
    assert [r for r in page.requests() if not r.startswith(address)] == []


def one_of_each(site):
    """A page of each kind, by its place on the site."""
    patterns = ("claims/*/*", "runs/*/*", "notebooks/*", "papers/*", "docs/*", "api/*")
    found = [min(site.glob(f"{pattern}.html")).relative_to(site) for pattern in patterns]
    places = [path.as_posix() for path in found]
    return ["index.html", "search.html?q=claim", *places, "docs/reading-verdicts.html"]


@pytest.mark.parametrize(
    ("width", "dark"), [(360, False), (360, True), (1280, False), (1280, True)]
)
def test_pages_fit_the_screen_and_keep_quiet(site, address, page, width, dark):
    page.look(width, dark=dark)
    for place in one_of_each(site):
        page.visit(address + place)
        # Pictures that a reader has not scrolled to are not asked for; look at all of them.
        page.evaluate(
            "Promise.all([...document.images].map(i => {i.loading = 'eager'; return i.decode()}))"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
        assert page.evaluate("document.querySelectorAll('h1').length") == 1, place
        sound(page, address)


def test_dark_is_dark_and_the_button_turns_it(site, address, page):
    light = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 127"
    page.look(1280, dark=True)
    page.visit(address + "index.html")
    assert not page.evaluate(light)
    page.look(1280, dark=False)
    assert page.evaluate(light)
    for choice, is_light in (("light", True), ("dark", False)):
        page.evaluate("document.querySelector('button.theme').click()")
        assert page.evaluate("document.querySelector('button.theme b').textContent") == choice
        assert page.evaluate(light) == is_light
    # The choice is kept from page to page.
    page.visit(address + "docs/index.html")
    assert not page.evaluate(light)
    page.evaluate("localStorage.clear()")


@pytest.mark.parametrize(
    "verdict", ["reproduced", "not reproduced", "inconclusive", "not attempted"]
)
def test_the_filter_of_verdicts_shows_those_and_all_of_those(site, address, page, verdict):
    page.visit(address + "index.html?verdict=" + verdict.replace(" ", "+"))
    chips = f"[...r.querySelectorAll('.chip')].some(c => c.dataset.verdict === '{verdict}')"
    rows = "[...document.querySelectorAll('#claims tbody tr')]"
    wanted = page.evaluate(f"{rows}.filter(r => {chips}).length")
    assert wanted > 0
    assert page.evaluate(COUNT) == wanted
    assert page.evaluate(f"{SHOWN}.every(r => {chips})")
    lines = "1 line fits" if wanted == 1 else f"{wanted} lines fit"
    assert page.evaluate("document.getElementById('found').textContent") == lines


def test_filters_join_and_stand_in_the_address(site, address, page):
    page.visit(address + "index.html")
    everything = page.evaluate("document.querySelectorAll('#claims tbody tr').length")
    choose = (
        "(() => {{ const field = document.getElementById('filters').elements['{0}'];"
        "field.value = '{1}';"
        "field.dispatchEvent(new Event('input', {{bubbles: true}})) }})()"
    )
    paper = page.evaluate("document.querySelector('#claims details').dataset.paper")
    page.evaluate(choose.format("paper", paper))
    of_paper = page.evaluate(COUNT)
    page.evaluate(choose.format("stands", "scaled"))
    page.evaluate(choose.format("kind", "ordering"))
    both = page.evaluate(COUNT)
    assert 0 < both < of_paper <= everything
    assert page.evaluate("location.search") == f"?paper={paper}&stands=scaled&kind=ordering"
    assert page.evaluate(f"{SHOWN}.every(r => r.dataset.kind === 'ordering')")
    own = f"{SHOWN}.every(r => r.closest('section').dataset.stands === 'scaled')"
    assert page.evaluate(own)
    # The address alone leads to the same board.
    page.visit(address + "index.html" + page.evaluate("location.search"))
    assert page.evaluate(COUNT) == both
    page.evaluate("document.querySelector('#filters button').click()")
    page.until("location.search === ''")
    assert page.evaluate("document.getElementById('nothing').hidden")
    sound(page, address)


def test_words_are_looked_for_and_nothing_found_is_said(site, address, page):
    page.visit(address + "index.html?q=order+ordering")
    assert page.evaluate(COUNT) > 0
    text = "r.textContent.toLowerCase().includes('order')"
    assert page.evaluate(f"{SHOWN}.every(r => {text})")
    page.visit(address + "index.html?q=zzzz")
    assert page.evaluate(COUNT) == 0
    assert not page.evaluate("document.getElementById('nothing').hidden")


def test_a_profile_hides_what_other_profiles_found(site, address, page):
    page.visit(address + "index.html?profile=quick")
    visible = "[...document.querySelectorAll('#claims .chip')].filter(c => c.offsetParent)"
    assert page.evaluate(f"{visible}.length") > 0
    assert page.evaluate(f"{visible}.every(c => c.dataset.profiles.split(' ').includes('quick'))")


def test_three_clicks_from_home_to_the_run_that_says_so(site, address, page):
    page.visit(address + "index.html")
    # The count of what was not reproduced, the claim, the run.
    page.events = []
    page.evaluate("document.querySelector('.papers a.count.not-reproduced').click()")
    page.wait_for("Page.loadEventFired")
    assert page.evaluate(COUNT) > 0
    page.events = []
    page.evaluate(f"{SHOWN}[0].querySelector('a').click()")
    page.wait_for("Page.loadEventFired")
    assert page.evaluate("document.querySelector('.why').textContent.length") > 5
    assert page.evaluate("document.querySelector('main').textContent.includes('not reproduced')")
    page.events = []
    page.evaluate("document.querySelector('.runs tbody a').click()")
    page.wait_for("Page.loadEventFired")
    assert page.evaluate("document.querySelector('h1').textContent").startswith("Run ")
    sound(page, address)


def test_a_keyboard_reaches_filters_and_claims(site, address, page):
    page.look(1280)
    page.visit(address + "index.html")
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(60):
        page.press("Tab", 9)
        reached.append(
            page.evaluate(
                "document.activeElement.name || document.activeElement.tagName.toLowerCase()"
            )
        )
        if reached[-1] == "summary":
            break
    assert {"q", "paper", "kind", "profile", "verdict", "button", "summary"} <= set(reached)
    opened = "document.activeElement.parentElement.open"
    before = page.evaluate(opened)
    page.press("Enter", 13, "\r")
    assert page.evaluate(opened) != before
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_on_paper_everything_is_open_and_the_machinery_gone(site, address, page):
    page.look(900)
    page.visit(address + "index.html")
    page.look(900, media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('#claims details')].every(d => d.open)")
    assert page.evaluate("getComputedStyle(document.getElementById('filters')).display") == "none"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate(
        "[...document.querySelectorAll('#claims details')].every(d => d.open)"
    )


def test_without_scripts_the_board_is_a_plain_table(site, address, page):
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.visit(address + "index.html")
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    assert page.evaluate("document.getElementById('filters').offsetParent") is None
    assert page.evaluate("document.querySelectorAll('#claims tbody tr').length") > 0
    assert page.evaluate("document.querySelectorAll('#claims details').length") > 0


def test_the_search_finds_a_claim_without_leaving_the_machine(site, address, page):
    claim = sorted(site.glob("claims/*/*.html"))[0]
    page.visit(f"{address}search.html?q={claim.stem}")
    page.until("document.querySelectorAll('#search-results li').length > 0")
    links = "[...document.querySelectorAll('#search-results a')].map(a => a.getAttribute('href'))"
    page.until(f"{links}.some(h => h.includes({claim.stem!r}))")
    sound(page, address)

from replab.site.own_pages import mended, with_claims_linked
from replab.site.pages import Site

CODE = '<code class="docutils literal notranslate"><span class="pre">{}</span></code>'


def test_claims_that_a_document_names_open_their_pages():
    places = {"table1.a": "claims/p/table1.a.html"}
    named, other = CODE.format("table1.a"), CODE.format("table1.b")
    found = with_claims_linked(f"{named} {other}", up="../", places=places)
    assert found == f'<a href="../claims/p/table1.a.html">{named}</a> {other}'


def test_a_claim_within_a_link_is_left_alone():
    body = f'<a href="x.html">see\n{CODE.format("table1.a")}</a>'
    assert with_claims_linked(body, up="", places={"table1.a": "y.html"}) == body


def test_a_document_of_a_paper_names_its_own_claims(demo):
    site = Site([demo])
    place = "claims/demo/quick.order.html"
    for page in ("papers/demo", "notebooks/demo-quick", "docs/deviations"):
        assert site.places(page)["quick.order"] == place
    assert site.places("papers/other") == {}
    assert "table2.rival.ap" not in site.places("docs/deviations")
    # Two papers with the same id: a document of neither cannot know which is meant.
    assert Site([demo, demo]).places("docs/deviations") == {}


def test_tables_scroll_and_links_from_the_root_become_relative():
    body = mended('<table class="x"></table><a href="/claims/a.html">a</a>', up="../")
    assert body.startswith('<div class="scroll" tabindex="0" role="region"')
    assert '<table class="x"></table></div>' in body
    assert body.endswith('<a href="../claims/a.html">a</a>')

"""Badges: a small picture for each paper that says how many of its claims were reproduced."""

from xml.sax.saxutils import escape

from replab.claims.accepted import Accepted
from replab.report.verdicts import in_words, tally

# Widths in px of Verdana at 11 px, by groups of characters alike; others are as wide as a digit.
WIDTHS = {
    "ijl.,:;|!'· ": 3.9,
    "frtI()/-": 4.9,
    "abcdeghknopqsuvxyz": 6.7,
    "mwMW": 10.2,
    "ABCDEFGHKLNOPQRSTUVXYZ": 7.6,
}
DIGIT = 7.0
PADDING, HEIGHT = 7, 20
# White text has a contrast of 7.5 and 5.2 on these, on a light page as on a dark one; neither
# colour stands for good or bad.
LEFT, RIGHT = "#555555", "#0072b2"


def badge(accepted: Accepted) -> str:
    """The content of `results/<paper>/badge.svg`: reproduced, attempted and printed claims.

    One claim counts once, by its best evidence (`verdicts.best_evidence`); scaled claims do not
    count.
    """
    counts = tally(accepted)
    numbers = f"{counts.reproduced} reproduced · {counts.attempted} attempted"
    words = f"{numbers} · {counts.stated} printed"
    return _draw(f"{accepted.paper.name} claims", words, in_words(accepted))


def text_width(text: str) -> int:
    """Width in px of a text in Verdana at 11 px, about."""
    return round(sum(_width(letter) for letter in text))


def _width(letter: str) -> float:
    return next((width for group, width in WIDTHS.items() if letter in group), DIGIT)


def _draw(left: str, right: str, title: str) -> str:
    sides = [text_width(text) for text in (left, right)]
    first, second = (side + 2 * PADDING for side in sides)
    whole = first + second
    # The texts are held to the widths that the boxes were made for, whatever font is there.
    texts = "".join(
        f'<text x="{x}" y="14" textLength="{length}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(text)}</text>"
        for x, length, text in (
            (PADDING, sides[0], left),
            (first + PADDING, sides[1], right),
        )
    )
    name = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" '
        f'viewBox="0 0 {whole} {HEIGHT}" role="img" aria-labelledby="title">'
        f'<title id="title">{name}</title>'
        f'<clipPath id="round"><rect width="{whole}" height="{HEIGHT}" rx="3"/></clipPath>'
        f'<g clip-path="url(#round)"><rect width="{first}" height="{HEIGHT}" fill="{LEFT}"/>'
        f'<rect x="{first}" width="{second}" height="{HEIGHT}" fill="{RIGHT}"/></g>'
        f'<g fill="#ffffff" font-family="Verdana, DejaVu Sans, Geneva, sans-serif" '
        f'font-size="11">{texts}</g></svg>\n'
    )

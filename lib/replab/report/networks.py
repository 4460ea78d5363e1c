"""What networks are called in figures, and how each looks: the same colour in every figure."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from replab.report import style

# Words of variants and of points read off figures → how the network is called.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "hrnet": "HRNet",
        "simplebaseline": "SimpleBaseline",
        "cpm": "CPM",
        **{
            f"{prefix}w{width}": f"HRNet-W{width}"
            for prefix in ("", "hrnet-")
            for width in (32, 48)
        },
        **{
            f"{prefix}-r{depth}": f"SimpleBaseline-{depth}"
            for prefix in ("sb", "simplebaseline")
            for depth in (50, 101, 152)
        },
    }
)
# Of Okabe and Ito's palette; shapes tell them apart in grey, too. A family's plain net and its
# smallest one share a look, since no figure holds both.
_LOOKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "HRNet": (style.BLUE, "o"),
        "HRNet-W48": (style.SKY, "^"),
        "SimpleBaseline": (style.ORANGE, "s"),
        "SimpleBaseline-101": (style.PURPLE, "v"),
        "SimpleBaseline-152": (style.VERMILION, "D"),
        "CPM": (style.GREEN, "P"),
    }
)
# Of everything else.
COLOURS = (style.BLUE, style.ORANGE, style.PURPLE, style.SKY, style.BLACK)
MARKERS = "osD^v"
# Of a network's further labels in one figure.
SPARE = "<>*Xp"


def look(label: str) -> dict[str, Any] | None:
    """Colour and marker of the network that a label begins with; None if it is none of ours."""
    known = [name for name in _LOOKS if label.startswith(name)]
    if not known:
        return None
    colour, marker = _LOOKS[max(known, key=len)]
    return {"color": colour, "marker": marker}


def looks(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A look for each of some labels: known networks have their own, others what is left.

    Labels that begin with the same network share its colour, not its marker. Beyond that, looks
    are shared only where there are too many labels.
    """
    found = {label: look(label) for label in labels}
    taken: dict[str, list[str]] = {}
    for own in filter(None, found.values()):
        used = taken.setdefault(own["color"], [])
        own["marker"] = next((m for m in (own["marker"], *SPARE) if m not in used), SPARE[-1])
        used.append(own["marker"])
    pairs = list(zip(COLOURS, MARKERS, strict=True))
    free = [pair for pair in pairs if pair[0] not in taken] or pairs
    others = [label for label, own in found.items() if own is None]
    for i, label in enumerate(others):
        colour, marker = free[i % len(free)]
        found[label] = {"color": colour, "marker": marker}
    return {label: own for label, own in found.items() if own is not None}

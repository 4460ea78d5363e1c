"""How every figure looks: colours that colour-blind readers tell apart, one size, one font."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replab.claims.verdicts import INCONCLUSIVE, NOT_ATTEMPTED, NOT_REPRODUCED, REPRODUCED

# Okabe and Ito's palette.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
GREY = "#BBBBBB"
VERDICT_COLOURS: Mapping[str, str] = {
    REPRODUCED: BLUE,
    NOT_REPRODUCED: VERMILION,
    INCONCLUSIVE: YELLOW,
    NOT_ATTEMPTED: "#E4E4E4",
}
FIGURES_VARIABLE = "REPLAB_FIGURES"
RULES: Mapping[str, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.linewidth": 1.0,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.dpi": 150,
    # Equal data give equal files, so that a new commit shows only what changed.
    "svg.hashsalt": "replab",
    "svg.fonttype": "path",
}


def subplots(rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 3.4) -> Any:
    """A figure and its axes in the house style; sizes in inches.

    Returns:
        `(figure, axes)` as `matplotlib.pyplot.subplots` gives them.
    """
    import matplotlib.pyplot as plt

    plt.rcParams.update(RULES)
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained")


def save(figure: Any, name: str) -> None:
    """Keep a figure as SVG and PNG where the rendering asked for it; do nothing elsewhere.

    A notebook that is only being checked, or is used by hand, leaves no files behind.
    """
    folder = os.environ.get(FIGURES_VARIABLE)
    if not folder:
        return
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    figure.savefig(target / f"{name}.svg", metadata={"Date": None})
    figure.savefig(target / f"{name}.png", metadata={"Software": None})

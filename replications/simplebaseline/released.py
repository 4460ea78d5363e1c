"""Released: the authors' weights on COCO val2017, and what the wrong colour order costs them."""

from replab.runs import released_poses
from replab.runs.experiment import Variant
from replab.runs.released_poses import ReleasedRecipe

# Weights of the README, with 10⁹ multiply-adds of a crop.
GMACS = {
    "sb-r50-256x192": 5.426,
    "sb-r101-256x192": 9.063,
    "sb-r152-256x192": 12.699,
    "sb-r50-384x288": 12.209,
    "sb-r101-384x288": 20.391,
    "sb-r152-384x288": 28.573,
}
NEEDS = released_poses.needs_of("six", "sb-r50-256x192")
# Table 2 as printed: other methods are not ours to run. The hourglass stands there at 256×192
# alone, below both forms of CPN.
RECIPE = ReleasedRecipe(
    beside={
        "sb-r50-256x192": {"hourglass8": 66.9, "cpn_r50": 68.6, "cpn_r50_ohkm": 69.4},
        "sb-r50-384x288": {"cpn_r50": 70.6, "cpn_r50_ohkm": 71.6},
    }
)

RELEASED = released_poses.released(
    tuple(
        {"weights": weights, "boxes": boxes} for boxes in ("detections", "gt") for weights in GMACS
    ),
    GMACS,
    needs=NEEDS,
    recipe=RECIPE,
)

# The released weights expect BGR. This is what a user gets who gives them RGB.
WRONG_COLOUR: Variant = {"weights": "sb-r50-256x192", "boxes": "gt", "colour": "RGB"}
COLOUR = released_poses.released((WRONG_COLOUR,), GMACS, needs=NEEDS, name="colour")

"""Released: which published weights are scored on COCO val2017, and which claims they answer."""

from replab.runs import released_poses

# Weights of the rows of Table 1 and of Fig. 6, with 10⁹ multiply-adds of a crop.
GMACS = {
    "w32-256x192": 7.645,
    "w32-384x288": 17.201,
    "w48-256x192": 15.692,
    "w48-384x288": 35.307,
    "sb-r50-256x192": 5.426,
    "sb-r50-384x288": 12.209,
    "sb-r101-256x192": 9.063,
    "sb-r152-256x192": 12.699,
    "sb-r152-384x288": 28.573,
    "mmpose-w48-256x192": 15.692,
}
MMPOSE = "mmpose-w48-256x192"

RELEASED = released_poses.released(
    (
        *(
            {"weights": weights, "boxes": boxes}
            for boxes in ("detections", "gt")
            for weights in GMACS
            if weights != MMPOSE
        ),
        {"weights": MMPOSE, "boxes": "gt"},
    ),
    GMACS,
    needs=released_poses.needs_of("nine", "w32-256x192"),
)

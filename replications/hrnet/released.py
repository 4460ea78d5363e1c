"""Released: which published weights are scored on COCO val2017, and which claims they answer."""

from replab.runs import released_poses
from replab.runs.released_poses import COLUMNS, answers

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

TABLE1 = {
    "sb-r50.256x192": "sb-r50-256x192",
    "sb-r101.256x192": "sb-r101-256x192",
    "sb-r152.256x192": "sb-r152-256x192",
    "hrnet-w32.256x192": "w32-256x192",
    "hrnet-w48.256x192": "w48-256x192",
    "sb-r152.384x288": "sb-r152-384x288",
    "hrnet-w32.384x288": "w32-384x288",
    "hrnet-w48.384x288": "w48-384x288",
}

ANSWERS = {
    **{
        claim: answer
        for row, weights in TABLE1.items()
        for claim, answer in answers(f"table1.{row}", weights, COLUMNS).items()
    },
    **answers("readme.w{width}.{size}", "w{width}-{size}", ["{number}"], suffix="_ratio"),
    **answers("gtbox.w32.256x192", "w32-256x192", ["ap"], boxes="gt", suffix="_ratio"),
    **answers("gtbox.mmpose-w48.256x192", MMPOSE, ["{number}"], boxes="gt", suffix="_ratio"),
    # The points of Fig. 6 that are tabled too; each of the others is a training of its own.
    **{
        f"fig6.{net}.{size}.ap": f"released[weights={weights}-{size},boxes=detections].ap"
        for net, weights in (("hrnet-w32", "w32"), ("simplebaseline-r50", "sb-r50"))
        for size in ("256x192", "384x288")
    },
}

"""Made ground truth and results of COCO keypoints, full of the evaluator's corner cases."""

import contextlib
import copy
import io

import numpy as np
from hypothesis import strategies as st

MEDIUM, LARGE = 32.0**2, 96.0**2
# `flagless`: joints annotated, but the field says 0; `fieldless`: the other way round. `twin`: at
# the same place as the one before, so that their OKS is equal.
PEOPLE = ("plain", "plain", "crowd", "none", "flagless", "fieldless", "twin")
POSES = ("exact", "near", "far", "stray")
SCORES = (0.9, 0.5, 0.5, 0.5, 0.25, 0.1)

person = st.tuples(st.sampled_from(PEOPLE), st.sampled_from((400.0, MEDIUM, 4000.0, LARGE, 2e4)))
pose = st.tuples(st.sampled_from(POSES), st.integers(0, 5), st.sampled_from(SCORES))
image = st.tuples(
    st.lists(person, max_size=4),
    st.one_of(st.lists(pose, max_size=8), st.lists(pose, min_size=19, max_size=24)),
)


@st.composite
def cases(draw):
    """Truth and results as `json.load` gives them."""
    return made(draw(st.integers(0, 2**31)), draw(st.lists(image, min_size=1, max_size=4)))


def made(seed, images):
    """Truth and results from descriptions of images; the seed places what they name."""
    rng = np.random.default_rng(seed)
    ids = (rng.permutation(50)[: len(images)] + 1).tolist()
    numbers = iter((rng.permutation(500) + 1).tolist())
    truth = {
        "images": [{"id": i, "width": 640, "height": 480} for i in ids],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [],
    }
    results = []
    for i, (people, poses) in zip(ids, images, strict=True):
        bodies = []
        for kind, area in people:
            body, number = body_of(rng, bodies, kind, area), next(numbers)
            bodies.append(body[:, :2])
            truth["annotations"].append(annotation(number, i, body, kind, area))
        for kind, of, score in poses:
            spots = pose_of(rng, bodies, kind, of)
            results.append(result(i, spots, score))
    rng.shuffle(truth["annotations"])
    rng.shuffle(results)
    return truth, results


def body_of(rng, bodies, kind, area):
    side = np.sqrt(area)
    place = rng.uniform(50, 400, 2) + rng.uniform(-side, side, (17, 2))
    if kind == "twin" and bodies:
        place = bodies[-1]
    visible = rng.choice([0, 1, 2], 17, p=[0.3, 0.2, 0.5])
    if kind in ("none", "fieldless"):
        visible[:] = 0
    else:
        visible[0] = 2
    return np.concatenate((np.round(place), visible[:, None]), axis=1)


def annotation(number, image, body, kind, area):
    low, high = body[:, :2].min(axis=0), body[:, :2].max(axis=0)
    annotated = int((body[:, 2] > 0).sum())
    keypoints = np.where(body[:, 2:] > 0, body, 0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": int(kind == "crowd"),
        "area": area,
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": {"flagless": 0, "fieldless": 5}.get(kind, annotated),
        "ignore": 1,  # the evaluator overwrites it
    }


def pose_of(rng, bodies, kind, of):
    away = {"exact": 0.0, "near": 2.0, "far": 12.0}
    if kind == "stray" or not bodies:
        return rng.uniform(0, 500, 2) + rng.uniform(0, rng.choice([20, 60, 200]), (17, 2))
    return bodies[of % len(bodies)] + rng.normal(0, 1, (17, 2)) * away[kind]


def result(image, spots, score):
    spots = np.concatenate((spots, np.full((17, 1), 0.7)), axis=1)
    return {
        "image_id": image,
        "category_id": 1,
        "keypoints": spots.ravel().tolist(),
        "score": float(score),
    }


def referee(truth, results):
    """The ten numbers by pycocotools alone, from copies of what is given."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        people = COCO()
        people.dataset = copy.deepcopy(truth)
        people.createIndex()
        evaluator = COCOeval(people, people.loadRes(copy.deepcopy(results)), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


def repeated(truth, results, counts):
    """Each image as often as counted (by rising id) under new ids, one copy after another."""
    ids = np.repeat(sorted(i["id"] for i in truth["images"]), counts).tolist()
    annotations, again = [], []
    for new, old in enumerate(ids, 1):
        annotations += [
            {**a, "image_id": new} for a in truth["annotations"] if a["image_id"] == old
        ]
        again += [{**r, "image_id": new} for r in results if r["image_id"] == old]
    annotations = [{**a, "id": number} for number, a in enumerate(annotations, 1)]
    images = [{"id": new} for new in range(1, len(ids) + 1)]
    return {**truth, "images": images, "annotations": annotations}, again

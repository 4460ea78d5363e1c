"""Errors by joint: each kind where it was put."""

import numpy as np
import pytest

from replab.keypoints.skeletons import COCO, LSP
from replab.metrics.coco_errors import KINDS, joint_errors

AREA = 10_000.0
SIGMAS = np.array(COCO.sigmas)


def away(similarity):
    """Distance in px, by joint, at which a person of AREA has that similarity."""
    return np.sqrt(-2 * AREA * (2 * SIGMAS) ** 2 * np.log(similarity))


def people(count=2):
    """People whose joints all lie far from one another."""
    spots = np.arange(count * 17).reshape(count, 17)
    return np.stack((spots * 1000.0, np.zeros_like(spots)), axis=2)


def errors(found, wanted, visible=None, images=None, **options):
    count = len(wanted)
    visible = np.full((count, 17), 2) if visible is None else visible
    images = np.zeros(count, dtype=int) if images is None else images
    return joint_errors(found, wanted, visible, np.full(count, AREA), images, COCO, **options)


def kinds(found):
    """The one kind of each joint's errors."""
    assert (found.counts.sum(axis=1) == found.annotated).all()
    return [[KINDS[k] for k in np.flatnonzero(row)] for row in found.counts]


@pytest.mark.parametrize(
    ("similarity", "kind"),
    [(1.0, "good"), (0.8501, "good"), (0.8499, "jitter"), (0.5001, "jitter"), (0.4999, "miss")],
)
def test_limits(similarity, kind):
    wanted = people()
    found = wanted + np.stack((np.zeros(17), away(similarity)), axis=1)
    result = errors(found, wanted)
    assert kinds(result) == [[kind]] * 17
    assert result.similarity == pytest.approx(np.full(17, similarity))
    assert result.distance == pytest.approx(away(similarity))
    assert result.relative == pytest.approx(away(similarity) / (np.sqrt(AREA) * SIGMAS))
    assert result.percent()[:, KINDS.index(kind)].tolist() == [100.0] * 17
    assert result.overall().tolist() == [100.0 * (k == kind) for k in KINDS]


def test_inversions_are_of_paired_joints():
    wanted = people(1)
    found = wanted[:, list(COCO.mirror)]
    assert kinds(errors(found, wanted)) == [["good"], *[["inversion"]] * 16]


def test_swaps_are_of_another_person_on_either_side_in_the_same_picture():
    wanted = people()
    for order in (list(range(17)), list(COCO.mirror)):
        found = wanted.copy()
        found[0] = wanted[1, order]
        result = errors(found, wanted)
        swap, good = KINDS.index("swap"), KINDS.index("good")
        assert (result.counts[:, [good, swap]] == 1).all()
        apart = errors(found, wanted, images=np.array([4, 2]))
        assert (apart.counts[:, KINDS.index("miss")] == 1).all()


def test_what_is_resembled_most_names_the_error():
    wanted = people()
    left, right = COCO.index("left_wrist"), COCO.index("right_wrist")
    wanted[1, left] = wanted[0, right] + (0, away(0.6)[left])
    for nearer, kind in ((0.1, "inversion"), (0.9, "swap")):
        found = wanted.copy()
        found[0, left] = wanted[0, right] + (0, nearer * away(0.6)[left])
        result = errors(found, wanted)
        assert kinds(result)[left] == ["good", kind]


def test_similarity_is_measured_with_the_area_of_whom_it_is_measured_to():
    wanted = people()
    found = wanted.copy()
    found[0, 0] = wanted[1, 0] + (0, away(0.6)[0])
    visible, images = np.full((2, 17), 2), np.zeros(2, dtype=int)
    for area, kind in ((AREA, "swap"), (AREA / 4, "miss")):
        areas = np.array([AREA, area])
        result = joint_errors(found, wanted, visible, areas, images, COCO)
        assert kinds(result)[0] == ["good", kind]


def test_joints_not_annotated_count_nowhere():
    wanted, visible = people(3), np.full((3, 17), 2)
    visible[0, 3], visible[:, 5] = 0, 0
    wanted[visible == 0] = np.nan
    found = np.nan_to_num(wanted)
    found[0, 4] = 0.0  # where a joint not annotated would lie if it were at nought
    result = errors(found, wanted, visible)
    assert result.annotated.tolist() == [3, 3, 3, 2, 3, 0, *[3] * 11]
    assert np.isnan(result.percent()[5]).all()
    assert np.isnan([result.similarity[5], result.distance[5], result.relative[5]]).all()
    assert np.isfinite(np.delete(result.relative, 5)).all()
    assert kinds(result)[4] == ["good", "miss"]
    none = errors(people(0), people(0))
    assert np.isnan(none.overall()).all()
    assert np.isnan(none.distance).all()


def test_medians_and_means_are_over_annotated_people():
    rng = np.random.default_rng(0)
    wanted = rng.uniform(0, 60, (31, 17, 2))
    found = wanted + rng.normal(0, 8, wanted.shape)
    visible = rng.choice([0, 1, 2], (31, 17))
    images = rng.integers(0, 9, 31)
    result = errors(found, wanted, visible, images)
    for joint in range(17):
        there = visible[:, joint] > 0
        distance = np.linalg.norm(found - wanted, axis=2)[there, joint]
        assert result.distance[joint] == pytest.approx(np.median(distance))
        terms = np.exp(-(distance**2) / (2 * AREA * (2 * SIGMAS[joint]) ** 2))
        assert result.similarity[joint] == pytest.approx(terms.mean())
        expected = kinds_by_hand(found, wanted, visible, images, joint)
        assert result.counts[joint].tolist() == [expected.count(kind) for kind in KINDS]
    assert (result.counts.sum(axis=0) > 0).all()


def kinds_by_hand(found, wanted, visible, images, joint):
    """The definition, person by person."""

    def like(person, other, j):
        if not visible[other, j]:
            return 0.0
        squared = ((found[person, joint] - wanted[other, j]) ** 2).sum()
        return np.exp(-squared / (2 * AREA * (2 * SIGMAS[j]) ** 2))

    mirror, names = COCO.mirror[joint], []
    for person in np.flatnonzero(visible[:, joint]):
        own = like(person, person, joint)
        turned = like(person, person, mirror) if mirror != joint else 0.0
        near = [p for p in np.flatnonzero(images == images[person]) if p != person]
        others = max((like(person, p, j) for p in near for j in (joint, mirror)), default=0.0)
        if own >= 0.5:
            names.append("good" if own >= 0.85 else "jitter")
        elif max(turned, others) < 0.5:
            names.append("miss")
        else:
            names.append("inversion" if turned >= others else "swap")
    return names


def test_other_skeletons_need_sigmas():
    wanted, there = np.zeros((1, 14, 2)), np.ones((1, 14))
    given = (wanted, wanted, there, np.ones(1), np.zeros(1, dtype=int), LSP)
    with pytest.raises(ValueError, match="0 sigmas for the 14 joints of lsp"):
        joint_errors(*given)
    result = joint_errors(*given, sigmas=[0.05] * 14)
    assert result.joints == LSP.joints
    assert result.overall()[0] == 100

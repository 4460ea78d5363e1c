"""Augmentation: its distributions, its geometry, and equality with one person after another."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replab.keypoints import affine
from replab.keypoints.augmentation import (
    Augmentation,
    Draws,
    augment,
    draw,
    prefer_upper,
    rotations,
    scale_factors,
)
from replab.keypoints.half_body import half_body
from replab.keypoints.skeletons import COCO, LSP, SKELETONS

SIZE = (96, 128)
RECIPE = Augmentation(scale=0.35, rotation=45.0, half_body=0.3)
NOTHING = Augmentation(scale=0.0, rotation=0.0, flip=0.0)
MANY = 200_000


def share(flags):
    return flags.double().mean().item()


# Four deviations of a share among as many draws, at most.
WITHIN = 4 * 0.5 / math.sqrt(MANY)


class TestDistributions:
    draws = draw(7, 3, MANY)

    def test_rotation_as_released(self):
        angles = rotations(RECIPE, self.draws)
        assert share(angles == 0) == pytest.approx(0.4, abs=WITHIN)
        # A normal draw lies beyond two deviations in 2.275 % of all cases on each side.
        for end in (-90.0, 90.0):
            assert share(angles == end) == pytest.approx(0.6 * 0.02275, abs=WITHIN)
        assert angles.abs().max() == 90
        turned = angles[angles != 0] / 45
        assert share(turned.abs() < 1) == pytest.approx(0.6827, abs=2 * WITHIN)
        assert turned.mean().item() == pytest.approx(0, abs=0.02)

    def test_rotation_as_written(self):
        written = dataclasses.replace(RECIPE, rotation_draw="uniform", rotation_probability=1.0)
        angles = rotations(written, self.draws)
        assert angles.abs().max() <= 45
        for end in (-30.0, 0.0, 20.0):
            assert share(angles < end) == pytest.approx((end + 45) / 90, abs=WITHIN)
        rarely = dataclasses.replace(written, rotation_probability=0.6)
        assert share(rotations(rarely, self.draws) == 0) == pytest.approx(0.4, abs=WITHIN)

    def test_scale_as_released(self):
        factors = scale_factors(RECIPE, self.draws)
        for end in (0.65, 1.35):
            at_end = (factors - end).abs() < 1e-12
            assert share(at_end) == pytest.approx(0.15866, abs=WITHIN)
        assert factors.min() == pytest.approx(0.65)
        assert factors.max() == pytest.approx(1.35)
        assert share(factors < 1 + 0.35 / 2) == pytest.approx(0.69146, abs=WITHIN)

    def test_scale_as_written(self):
        written = dataclasses.replace(RECIPE, scale_draw="uniform")
        factors = scale_factors(written, self.draws)
        for end in (0.7, 1.0, 1.3):
            assert share(factors < end) == pytest.approx((end - 0.65) / 0.7, abs=WITHIN)
        assert factors.min() >= 0.65
        assert factors.max() < 1.35

    def test_upper_half(self):
        assert share(prefer_upper(RECIPE, self.draws)) == pytest.approx(0.69146, abs=WITHIN)
        meant = dataclasses.replace(RECIPE, upper_draw="uniform")
        assert share(prefer_upper(meant, self.draws)) == pytest.approx(0.5, abs=WITHIN)

    def test_flips_and_halves(self):
        people = batch(20_000)
        people["visible"][:] = 1
        people["visible"][:5000, 8:] = 0  # 8 visible joints are not more than 8
        done = run(RECIPE, people, self.draws[:20_000])
        near = 4 * 0.5 / math.sqrt(15_000)
        assert share(done.mirrored) == pytest.approx(0.5, abs=near)
        assert not done.halved[:5000].any()
        assert share(done.halved[5000:]) == pytest.approx(0.3, abs=near)
        fewer = dataclasses.replace(RECIPE, half_body_joints=7)
        assert share(run(fewer, people, self.draws[:20_000]).halved[:5000]) > 0.25

    def test_draws_do_not_hang_together(self):
        table = torch.stack([getattr(self.draws, f.name) for f in dataclasses.fields(Draws)])
        assert (table >= 0).all()
        assert (table < 1).all()
        off = torch.corrcoef(table) - torch.eye(len(table), dtype=torch.float64)
        assert off.abs().max() < 5 / math.sqrt(MANY)


def test_draws_are_a_function_of_seed_epoch_and_person():
    whole, part = draw(1, 4, 50), draw(1, 4, 20)
    people = torch.tensor([17, 3, 3, 11])
    for field in dataclasses.fields(Draws):
        numbers = getattr(whole, field.name)
        assert torch.equal(numbers[:20], getattr(part, field.name))
        assert torch.equal(getattr(whole[people], field.name), numbers[people])
        assert len(set(numbers.tolist())) == 50
        for other in (draw(1, 5, 50), draw(2, 4, 50)):
            assert not (getattr(other, field.name) == numbers).any()
    # Whoever else seeds a generator with seed and epoch, to shuffle people say, draws others.
    others = np.random.default_rng((1, 4)).random(300)
    assert not np.isin(others, torch.cat(list(vars(whole).values())).numpy()).any()
    assert whole.to("cpu").scale.dtype == torch.float64


def batch(count, seed=0):
    """People of COCO's skeleton in images of different widths, some joints hidden."""
    generator = torch.Generator().manual_seed(seed)
    widths = torch.randint(150, 400, (count,), generator=generator)
    centre = torch.rand(count, 2, generator=generator) * 100 + 40
    width = torch.rand(count, 1, generator=generator) + 0.4
    spread = (torch.rand(count, 17, 2, generator=generator) - 0.5) * 150
    return {
        "centre": centre,
        "scale": torch.cat((width, width * 4 / 3), dim=1),
        "joints": (centre[:, None] + spread).double(),
        "visible": torch.randint(0, 3, (count, 17), generator=generator, dtype=torch.uint8),
        "widths": widths,
    }


def run(recipe, people, draws, **options):
    given = {"mirror": COCO.mirror, "upper": COCO.upper, **options}
    return augment(recipe, draws, *people.values(), SIZE, **given)


def one_by_one(recipe, draws, people, number, image):
    """A person augmented as released: the picture is mirrored first, then turned and cut out.

    Returns:
        The crop, joints and visibilities.
    """
    centre, scale = people["centre"][number].numpy().copy(), people["scale"][number].numpy()
    joints = people["joints"][number].numpy().copy()
    visible = (people["visible"][number].numpy() > 0).astype(float)
    chance = {f.name: getattr(draws, f.name)[number].item() for f in dataclasses.fields(Draws)}
    normal = {k: torch.special.ndtri(torch.tensor(v).double()).item() for k, v in chance.items()}
    if visible.sum() > 8 and chance["half"] < recipe.half_body:
        found = half_body(
            torch.from_numpy(joints)[None],
            torch.from_numpy(visible)[None],
            COCO.upper,
            SIZE[0] / SIZE[1],
            torch.tensor([normal["upper"] < 0.5]),
        )
        if found[2]:
            centre, scale = found[0][0].numpy(), found[1][0].numpy()
    s, r = recipe.scale, recipe.rotation
    scale = scale * np.float32(np.clip(normal["scale"] * s + 1, 1 - s, 1 + s))
    turn = np.clip(normal["rotation"] * r, -2 * r, 2 * r) if chance["turned"] < 0.6 else 0
    if chance["mirrored"] < recipe.flip:
        image = image[:, ::-1]
        joints[:, 0] = image.shape[1] - joints[:, 0] - 1
        for left, right in COCO.pairs:
            joints[[left, right]] = joints[[right, left]]
            visible[[left, right]] = visible[[right, left]]
        centre[0] = image.shape[1] - centre[0] - 1
    half = np.float32(scale[0] * 200) / 2
    up = half * np.array([math.sin(math.radians(turn)), -math.cos(math.radians(turn))])
    side = np.array([up[1], -up[0]])
    source = np.float32([centre, centre + up, centre + up + side])
    w, h = SIZE
    target = np.float32([[w / 2, h / 2], [w / 2, h / 2 - w / 2], [0, h / 2 - w / 2]])
    matrix = cv2.getAffineTransform(source, target)
    crop = cv2.warpAffine(np.ascontiguousarray(image), matrix, SIZE, flags=cv2.INTER_LINEAR)
    return crop, joints @ matrix[:, :2].T + matrix[:, 2], visible


def picture(width, height=200):
    """Smooth, so that OpenCV 4's rounding of places to 1/32 px changes little; not symmetric."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = (np.sin(x / 17 + y / 40), np.cos(y / 23 - x / 60), x / width)
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def test_equal_to_pictures_mirrored_first_and_people_one_by_one():
    people, draws = batch(60), draw(5, 0, 60)
    recipe = dataclasses.replace(RECIPE, half_body=0.6)
    done = run(recipe, people, draws)
    assert min(done.mirrored.sum(), done.halved.sum(), (done.rotation != 0).sum()) > 10
    assert (done.mirrored & done.halved & (done.rotation != 0)).sum() > 3
    for number in range(60):
        image = picture(int(people["widths"][number]))
        crop, joints, visible = one_by_one(recipe, draws, people, number, image)
        seen = visible > 0
        assert done.visible[number].tolist() == visible.tolist()
        ours = done.joints[number].numpy()
        np.testing.assert_allclose(ours[seen], joints[seen], atol=5e-3)
        assert (ours[~seen] == 0).all()
        mine = affine.warp_opencv(image, done.matrix[number : number + 1], SIZE)[0].astype(int)
        # Places agree to some 1e-3 px, beyond which lies the black of the border.
        apart = np.abs(mine - crop)
        assert np.percentile(apart, 99) <= 1
        assert apart.mean() < 0.1


@pytest.mark.parametrize("rule", ["released", "udp"])
def test_a_dot_at_a_joint_lies_at_the_joint_in_the_crop(rule):
    people, draws = batch(60, seed=4), draw(11, 2, 60)
    people["visible"][:] = 2
    done = run(RECIPE, people, draws, rule=rule)
    mirror = torch.tensor(COCO.mirror)
    grid = torch.arange(400.0)
    checked = []
    for number in range(60):
        joint = 9  # a wrist, which the mirror exchanges
        x, y = people["joints"][number, joint].float()
        dot = torch.exp(-((grid - x) ** 2 + (grid[:300, None] - y) ** 2) / 18)
        level = affine.warp(dot[None], done.matrix[number : number + 1], SIZE)[0, 0].double()
        index = int(mirror[joint]) if done.mirrored[number] else joint
        expected = done.joints[number, index]
        inside = (expected > 20) & (expected < torch.tensor(SIZE) - 20)
        if not inside.all() or min(x, y) < 12:
            continue  # part of the dot is cut off
        total = level.sum()
        found = torch.stack(
            (
                (level.sum(dim=0) * torch.arange(SIZE[0])).sum() / total,
                (level.sum(dim=1) * torch.arange(SIZE[1])).sum() / total,
            )
        )
        assert (found - expected).abs().max() < 0.05
        checked.append(bool(done.mirrored[number]))
    assert checked.count(True) > 4
    assert checked.count(False) > 4


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["released", "udp"]),
    st.sampled_from(["clipped-normal", "uniform"]),
    st.floats(0, 0.9),
    st.floats(0, 90),
)
def test_invariants(seed, rule, how, s, r):
    people, draws = batch(6, seed), draw(seed, 1, 6)
    recipe = Augmentation(
        s, r, half_body=0.5, scale_draw=how, rotation_draw=how, rotation_probability=0.8
    )
    done = run(recipe, people, draws, rule=rule)
    seen = people["visible"] > 0
    assert torch.equal(done.visible.sum(dim=1), seen.sum(dim=1).float())
    assert torch.equal(done.matrix[:, :, :2].det() < 0, done.mirrored)
    # Joints and picture go the same way: the matrix alone brings the annotated joints there.
    moved = affine.transform(people["joints"], done.matrix)
    mirror = torch.tensor(COCO.mirror)
    swapped = torch.where(done.mirrored[:, None, None], moved[:, mirror], moved)
    shown = done.visible > 0
    torch.testing.assert_close(done.joints[shown], swapped[shown], rtol=1e-9, atol=1e-6)
    # The mirror changes sides, and neither size nor which joints count.
    other = dataclasses.replace(draws, mirrored=1 - draws.mirrored - 1e-9)
    turned = run(recipe, people, other, rule=rule)
    assert torch.equal(turned.mirrored, ~done.mirrored)
    assert torch.equal(turned.visible, done.visible[:, mirror])
    assert torch.equal(turned.scale, done.scale)
    assert done.matrix.dtype == torch.float64


def test_nothing_is_the_plain_crop():
    people = batch(8)
    done = run(NOTHING, people, draw(0, 0, 8), upper=())
    plain = affine.crop_matrix(people["centre"], people["scale"], SIZE)
    assert torch.equal(done.matrix, plain)
    assert torch.equal(done.centre, people["centre"])
    assert torch.equal(done.scale, people["scale"])
    assert not (done.mirrored | done.halved).any()


def test_mirrored_plain_crops_are_mirror_images():
    """Centred boxes: the crop of the mirror image is the mirror image of the crop, for UDP."""
    people = batch(5)
    flipped = run(
        dataclasses.replace(NOTHING, flip=1.0), people, draw(0, 0, 5), rule="udp", upper=()
    )
    plain = run(NOTHING, people, draw(0, 0, 5), rule="udp", upper=())
    mirror = torch.tensor(COCO.mirror)
    expected = plain.joints[:, mirror].clone()
    expected[..., 0] = SIZE[0] - 1 - expected[..., 0]
    shown = flipped.visible > 0
    torch.testing.assert_close(flipped.joints[shown], expected[shown], rtol=0, atol=1e-4)


def test_hidden_joints_may_be_no_numbers():
    people = batch(4)
    people["visible"][:, 3] = 0
    people["joints"][:, 3] = torch.nan
    for flip in (0.0, 1.0):
        done = run(dataclasses.replace(RECIPE, flip=flip), people, draw(0, 0, 4))
        assert done.joints.isfinite().all()
        hidden = 4 if flip else 3
        assert (done.joints[:, hidden] == 0).all()
        assert (done.visible[:, hidden] == 0).all()


def test_batches_do_not_matter():
    people, draws = batch(30), draw(2, 2, 30)
    whole = run(RECIPE, people, draws)
    chosen = torch.tensor([4, 29, 12])
    part = run(RECIPE, {k: v[chosen] for k, v in people.items()}, draws[chosen])
    for field in dataclasses.fields(whole):
        both = getattr(part, field.name), getattr(whole, field.name)[chosen]
        torch.testing.assert_close(*both, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_skeletons(skeleton):
    people = batch(6)
    people["joints"], people["visible"] = (
        people[key][:, : len(skeleton)] for key in ("joints", "visible")
    )
    options = {"mirror": skeleton.mirror, "upper": skeleton.upper}
    if skeleton.upper:
        assert run(RECIPE, people, draw(0, 0, 6), **options).joints.shape[1] == len(skeleton)
    else:
        with pytest.raises(ValueError, match="upper"):
            run(RECIPE, people, draw(0, 0, 6), **options)
    whole = dataclasses.replace(RECIPE, half_body=0.0)
    assert run(whole, people, draw(0, 0, 6), **options).joints.shape[1] == len(skeleton)
    assert not LSP.upper


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"flip": 1.5}, "flip"),
        ({"half_body": -0.1}, "half_body"),
        ({"rotation_probability": 2.0}, "rotation_probability"),
        ({"scale": 1.0}, "scale"),
        ({"rotation": -1.0}, "rotation"),
        ({"scale_draw": "normal"}, "scale_draw"),
        ({"rotation_draw": ""}, "rotation_draw"),
        ({"upper_draw": "clipped-normal"}, "upper_draw"),
    ],
)
def test_impossible_recipes_are_refused(wrong, word):
    with pytest.raises(ValueError, match=word):
        dataclasses.replace(RECIPE, **wrong)

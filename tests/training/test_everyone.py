"""Two label sets: the first head is to see everybody, the others the person in the middle."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import landscapes
from replab.keypoints.affine import transform
from replab.keypoints.augmentation import Augmentation, augment, draw
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import codec
from replab.training.poses import PoseTraining, make_batches
from replab.training.recipe import TrainingRecipe

SIZE, HEATMAP, COUNT, SEED = (48, 64), (12, 16), 10, 3
AUGMENTED = Augmentation(0.3, 30.0, flip=0.5)


RECIPE = TrainingRecipe(
    iterations=1, batch_size=COUNT, optimiser="adam", lr=1e-3, schedule="cosine"
)


@pytest.fixture(scope="module")
def people():
    return landscapes.people()


def batches(people, *, streamed=False, **changes):
    usual = PoseTraining(
        model="cpm",
        size=SIZE,
        codec=codec("released", sigma=1.0),
        augmentation=AUGMENTED,
        recipe=RECIPE,
        strides=(4, 4),
        margin=1.6,
        everyone=True,
        streamed=streamed,
    )
    return make_batches(replace(usual, **changes), people, seed=SEED, device="cpu")


def crops_of(people, order):
    """Of each person of a batch: the map from picture to crop, and whether it mirrors."""
    for person in order.tolist():
        one = slice(person, person + 1)
        centre, scale = centre_scale(torch.from_numpy(people.boxes[one]), SIZE[0] / SIZE[1])
        found = augment(
            *(AUGMENTED, draw(SEED, 0, COUNT)[one], centre, scale),
            torch.from_numpy(people.joints[one]),
            torch.from_numpy(people.visible[one]),
            torch.from_numpy(people.image_sizes[people.image_of[one], 0]),
            SIZE,
            mirror=people.skeleton.mirror,
        )
        yield person, found.matrix, bool(found.mirrored[0])


def test_the_first_head_marks_every_joint_of_everybody_in_the_picture(people):
    source = batches(people, streamed=True)
    _, everyone, weights, middle, same = source.batch(0)
    source.close()
    assert torch.equal(weights, same)
    order = source._order.batch(0)[0]
    mirror = list(people.skeleton.mirror)
    marked = mirrored_ones = 0
    for row, (person, matrix, mirrored) in enumerate(crops_of(people, order)):
        mirrored_ones += mirrored
        expected = torch.zeros(17, *HEATMAP[::-1], dtype=torch.bool)
        for other in np.flatnonzero(people.image_of == people.image_of[person]):
            places = transform(torch.from_numpy(people.joints[[other]]), matrix)[0]
            for joint in np.flatnonzero(people.visible[other]):
                x, y = (int(place / 4 + 0.5) for place in places[joint].tolist())
                name = mirror[joint] if mirrored else joint
                if 0 <= x < HEATMAP[0] and 0 <= y < HEATMAP[1]:
                    assert everyone[row, name, y, x] == 1
                    marked += int(other) != person
                # A Gaussian of 1 px ends 3 px from its pixel.
                expected[name, max(0, y - 3) : max(0, y + 4), max(0, x - 3) : max(0, x + 4)] = True
        assert not everyone[row][~expected].any()
    assert marked > 20
    assert 0 < mirrored_ones < COUNT
    assert everyone.max() == 1
    assert (everyone >= middle).all()
    alone = np.bincount(people.image_of)[people.image_of[order]] == 1
    assert torch.equal(everyone[alone], middle[alone])
    assert not torch.equal(everyone, middle)


def test_cut_out_and_streamed_people_have_the_same_targets(people):
    cut, streamed = batches(people), batches(people, streamed=True)
    for iteration in (0, 1):
        ours, theirs = cut.batch(iteration), streamed.batch(iteration)
        for one, other in zip(ours[1:], theirs[1:], strict=True):
            assert torch.equal(one, other)
    streamed.close()


def test_the_middle_s_targets_are_those_of_a_training_with_one_label_set(people):
    both, one = batches(people).batch(0), batches(people, everyone=False).batch(0)
    assert all(torch.equal(a, b) for a, b in zip(both[3:], one[3:], strict=True))
    assert torch.equal(one[1], one[3])
    assert torch.equal(both[0], one[0])


def test_a_person_alone_has_nobody_else(people):
    first = people.select(np.unique(people.image_of, return_index=True)[1])
    recipe = replace(RECIPE, batch_size=4)
    both = batches(first, recipe=recipe).batch(0)
    one = batches(first, recipe=recipe, everyone=False).batch(0)
    assert all(torch.equal(a, b) for a, b in zip(both, one, strict=True))


def test_streamed_pictures_come_in_the_training_s_units_with_a_centre_map(people):
    usual = batches(people, streamed=True)
    own = batches(people, streamed=True, centre_map=True, mean=(0.5,) * 3, std=(0.25,) * 3)
    cut = batches(people, centre_map=True)
    plain, marked = usual.batch(0)[0], own.batch(0)[0]
    usual.close()
    own.close()
    assert marked.shape == (COUNT, 4, 64, 48)
    assert torch.equal(marked[:, 3], cut.batch(0)[0][:, 3])
    from replab.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    assert torch.allclose(marked[:, :3] * 0.25 + 0.5, plain * std + mean, atol=1e-5)

"""Batches straight from pictures: the same people as cut-outs give, sampled once, read ahead."""

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import landscapes
import tiny_pose_sets as tiny
from replab.datasets import coco
from replab.errors import UserError
from replab.keypoints.affine import crop_matrix, transform
from replab.keypoints.augmentation import Augmentation, augment, draw
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import codec
from replab.keypoints.skeletons import COCO
from replab.models.preprocessing import BGR_IMAGENET, RGB_IMAGENET
from replab.topdown.crops import crop_batches
from replab.topdown.network import Preprocessing
from replab.training.pose_batches import PoseBatches, cut_out
from replab.training.pose_pictures import AHEAD, PictureBatches

SIZE, HEATMAP = (48, 64), (12, 16)
RELEASED = codec("released", sigma=1.0)
PLAIN = Augmentation(0.0, 0.0, flip=0.0)
# One in whose first batch of two nobody of the picture 42 of the small COCO is.
SEED = 3
FULL = Augmentation(0.35, 45.0, flip=0.5, half_body=0.3)


@pytest.fixture
def people():
    return landscapes.people()


def batches(people, recipe=FULL, **options):
    options = {"batch_size": 4, "seed": 3, "threads": 2} | options
    return PictureBatches(people, SIZE, RELEASED, recipe, [HEATMAP], **options)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def levels(images, colour=RGB_IMAGENET):
    """Normalised images back to levels of 0–255."""
    mean, std = (torch.tensor(colour[key]).view(3, 1, 1) for key in ("mean", "std"))
    return (images * std + mean) * 255


@pytest.mark.parametrize(("colour", "prepared"), [("RGB", RGB_IMAGENET), ("BGR", BGR_IMAGENET)])
def test_without_augmentation_they_are_what_evaluation_sees(people, colour, prepared):
    centre, scale = centre_scale(torch.from_numpy(people.boxes), SIZE[0] / SIZE[1])
    matrices = RELEASED.matrix(centre, scale, SIZE)
    (cut,) = crop_batches(people, matrices, SIZE, batch=10)
    source = batches(people, PLAIN, batch_size=10, colour=colour)
    images, targets, weights = source.batch(0)
    order = source._order.batch(0)[0]
    assert torch.equal(images, Preprocessing.of(prepared).apply(cut.crops)[order])
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert targets.shape == (10, 17, 16, 12)
    assert torch.equal(weights, torch.from_numpy(people.visible > 0).float()[order])


def test_each_crop_is_the_released_one_person_by_person(people):
    """Mirrored as a picture first, then cut, as the released loader does."""
    source = batches(people, batch_size=10)
    images, targets, weights = source.batch(0)
    order = source._order.batch(0)[0].tolist()
    draws = draw(3, 0, 10)
    shown = levels(images)
    mirrored = halved = 0
    for row, person in enumerate(order):
        one = slice(person, person + 1)
        number = int(people.image_of[person])
        width = int(people.image_sizes[number, 0])
        centre, scale = centre_scale(torch.from_numpy(people.boxes[one]), SIZE[0] / SIZE[1])
        joints = torch.from_numpy(people.joints[one])
        drawn = augment(
            *(FULL, draws[one], centre, scale, joints),
            torch.from_numpy(people.visible[one]),
            torch.tensor([width]),
            SIZE,
            mirror=COCO.mirror,
            upper=COCO.upper,
        )
        matrix = crop_matrix(drawn.centre, drawn.scale, SIZE, drawn.rotation)
        picture = people.images.read(number)
        visible = torch.from_numpy(people.visible[one] > 0)
        if bool(drawn.mirrored):
            mirrored += 1
            picture = np.ascontiguousarray(picture[:, ::-1])
            joints[..., 0] = width - 1 - joints[..., 0]
            joints, visible = joints[:, list(COCO.mirror)], visible[:, list(COCO.mirror)]
        halved += bool(drawn.halved)
        crop = cv2.warpAffine(picture, matrix[0].numpy(), SIZE, flags=cv2.INTER_LINEAR)
        # OpenCV 4 rounds places to 1/32 px, and those of a mirror image to others.
        limit = 1.01 if cv2.__version__.startswith("5") else 16
        apart = shown[row].permute(1, 2, 0) - torch.from_numpy(crop).float()
        assert apart.abs().max() <= limit
        expected, weight = RELEASED.encode(transform(joints, matrix), visible, SIZE, HEATMAP)
        assert torch.equal(targets[row], expected[0])
        assert torch.equal(weights[row], weight[0])
    assert min(mirrored, halved, 10 - mirrored, 10 - halved) > 0


@pytest.mark.parametrize("recipe", [PLAIN, Augmentation(0.2, 30.0, flip=0.5), FULL])
def test_cut_outs_give_the_same_up_to_their_second_sampling(people, recipe):
    cut = cut_out(people, SIZE, RELEASED, margin=3.0)
    kept = PoseBatches(cut, RELEASED, recipe, [HEATMAP, (6, 8)], batch_size=4, seed=3)
    read = PictureBatches(
        people, SIZE, RELEASED, recipe, [HEATMAP, (6, 8)], batch_size=4, seed=3, threads=2
    )
    for iteration in (0, 1, 2, 6):
        theirs, *their_targets = kept.batch(iteration)
        ours, *our_targets = read.batch(iteration)
        for one, other in zip(our_targets, their_targets, strict=True):
            # Places are rounded to float32 in other coordinates; a joint may fall to the next px.
            assert (one != other).float().mean() < 0.002
        assert (levels(ours) - levels(theirs)).abs().mean() < 2.5
        far = (levels(ours) - levels(torch.roll(theirs, 1, 0))).abs().mean()
        assert far > 20


def test_neither_threads_nor_order_of_asking_change_a_bit(people):
    source = batches(people, threads=1)
    # Batches of 4 of 10 people straddle epochs.
    expected = [source.batch(iteration) for iteration in range(8)]
    assert not torch.equal(expected[0][0], batches(people, seed=4).batch(0)[0])
    several = batches(people, threads=5)
    assert all(same(several.batch(i), expected[i]) for i in range(8))
    # A training that resumes begins in the middle; an evaluation may go back.
    resumed = batches(people)
    assert all(same(resumed.batch(i), expected[i]) for i in (5, 6, 2, 3, 7, 0, 0))
    resumed.close()
    assert same(resumed.batch(1), expected[1])


def test_no_more_pictures_than_threads_and_no_further_ahead_than_said(people):
    slow = replace(people, images=landscapes.Landscapes(people.image_sizes, pause=0.002))
    source = batches(slow, threads=3)
    for iteration in range(6):
        source.batch(iteration)
        assert len(slow.images.reads) <= 4 * (iteration + 1 + AHEAD)
    assert 1 < slow.images.most <= 3
    # What was read for batches that nobody asks for any more is let go.
    source.close()
    for _ in range(500):
        if slow.images.alive == 0:
            break
        time.sleep(0.01)
    assert slow.images.alive == 0
    assert len(slow.images.reads) <= 4 * (6 + AHEAD)


class TestFiles:
    """Pictures in a folder in COCO's layout."""

    @pytest.fixture
    def folder(self, tmp_path):
        tiny.write_coco(tmp_path, part="val2017")
        return tmp_path

    def test_a_missing_or_damaged_picture_is_named_and_may_be_mended(self, folder):
        poses = coco.load("val2017", folder=folder)
        assert len(poses) == 6
        whole = batches(poses, batch_size=2, seed=SEED)
        expected = [whole.batch(i) for i in range(4)]
        row = poses.image_ids.tolist().index(42)
        of_it = [bool((poses.image_of[whole._order.batch(i)[0]] == row).any()) for i in range(4)]
        due = of_it.index(True)
        assert due > 0
        path = folder / "val2017" / tiny.file_name(42)
        data = path.read_bytes()
        for broken in (None, data[: len(data) // 2], b"no picture"):
            if broken is None:
                path.unlink()
            else:
                path.write_bytes(broken)
            source = batches(poses, batch_size=2, seed=SEED)
            for i in range(due):
                # Read ahead or not, it is missed when it is due.
                assert same(source.batch(i), expected[i])
            with pytest.raises(UserError, match=f"cannot read the image .*{path.name}") as caught:
                source.batch(due)
            assert "\n" not in str(caught.value)
            # The same batch, once the picture is there.
            path.write_bytes(data)
            assert same(source.batch(due), expected[due])


def test_what_cannot_be_trained_on_is_refused_at_once(people):
    with pytest.raises(UserError, match="holds nobody"):
        batches(people.select(slice(0, 0)))
    boxes = people.boxes.copy()
    boxes[3, 2:] = 0
    with pytest.raises(UserError, match=r"1 boxes have no area .* person 3"):
        batches(replace(people, boxes=boxes))
    with pytest.raises(ValueError, match="0 threads"):
        batches(people, threads=0)
    assert people.images.reads == []

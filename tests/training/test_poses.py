"""Batches of people, the loss on heatmaps, and a pose net that learns and resumes."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

import dotted_people
from replab.keypoints.augmentation import Augmentation
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import codec
from replab.keypoints.losses import joint_mse
from replab.keypoints.skeletons import COCO
from replab.options import RunOptions
from replab.training.objectives import heatmap_regression
from replab.training.pose_batches import PoseBatches, cut_out
from replab.training.poses import PoseTraining, make_batches, train_on
from replab.training.recipe import TrainingRecipe

SIZE, HEATMAP = (64, 64), (16, 16)
PLAIN = Augmentation(0.0, 0.0, flip=0.0)
SMALL = {"stem": 8, "bottlenecks": 1, "modules": [1, 1, 1], "blocks": 1}
RECIPE = TrainingRecipe(
    iterations=60, batch_size=4, optimiser="adam", lr=3e-3, schedule="cosine", warm_up_iterations=5
)


@pytest.fixture(scope="module")
def people():
    return dotted_people.people(10)


def batches(people, recipe=PLAIN, *, margin=1.0, seed=0, size=4, name="released"):
    chosen = codec(name, sigma=1.0)
    cut = cut_out(people, SIZE, chosen, margin=margin)
    return PoseBatches(cut, chosen, recipe, [HEATMAP], batch_size=size, seed=seed)


def whole_epoch(people, **options):
    return [batches(people, size=10, **options).batch(0)][0]


class TestBatches:
    def test_without_augmentation_they_are_what_evaluation_sees(self, people):
        from replab.models.preprocessing import RGB_IMAGENET
        from replab.topdown.crops import crop_batches
        from replab.topdown.network import Preprocessing

        chosen = codec("released", sigma=1.0)
        centre, scale = centre_scale(torch.from_numpy(people.boxes), 1.0)
        matrices = chosen.matrix(centre, scale, SIZE)
        (cut,) = crop_batches(people, matrices, SIZE, batch=10)
        expected = Preprocessing.of(RGB_IMAGENET).apply(cut.crops)
        images, targets, weights = whole_epoch(people)
        order = batches(people, size=10)._order.batch(0)[0]
        assert torch.allclose(images, expected[order], atol=1e-4)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert targets.shape == (10, 17, 16, 16)
        assert torch.equal(
            weights, torch.from_numpy((people.visible > 0).astype(np.float32))[order]
        )

    @pytest.mark.parametrize("margin", [1.0, 1.5])
    @pytest.mark.parametrize(
        "recipe", [PLAIN, Augmentation(0.0, 0.0, flip=1.0), Augmentation(0.2, 30.0, flip=0.5)]
    )
    def test_joints_are_where_their_dots_are(self, people, recipe, margin):
        """The colour at each joint that the targets mark is the joint's own, mirrored or not."""
        images, targets, weights = whole_epoch(people, recipe=recipe, margin=margin)
        blue = images[:, 2] * 0.225 + 0.406
        place = targets.flatten(2).argmax(2)
        x, y = (place % 16) * 4, (place // 16) * 4
        drawn = (weights > 0) & (targets.amax((2, 3)) > 0.99)
        lit = torch.nn.functional.max_pool2d(blue[:, None], 7, 1, 3)[:, 0]
        there = lit[torch.arange(10)[:, None], y.clamp(max=63), x.clamp(max=63)]
        assert drawn.sum() > 100
        assert (there[drawn] > 0.3).float().mean() > 0.97

    def test_a_function_of_seed_and_iteration_alone(self, people):
        recipe = Augmentation(0.3, 40.0, half_body=0.3)
        source, again = batches(people, recipe), batches(people, recipe)
        # Batches of 4 of 10 people straddle epochs; they are asked for in another order here.
        late = [again.batch(i) for i in (7, 2, 5, 0)]
        early = [source.batch(i) for i in range(8)]
        for iteration, found in zip((7, 2, 5, 0), late, strict=True):
            for one, other in zip(found, early[iteration], strict=True):
                assert torch.equal(one, other)
        other_seed = batches(people, recipe, seed=1).batch(0)
        assert not torch.equal(other_seed[0], early[0][0])

    def test_a_margin_below_one_is_refused(self, people):
        with pytest.raises(ValueError, match=r"margin of 0\.9"):
            cut_out(people, SIZE, codec("released", sigma=1.0), margin=0.9)


class TestObjective:
    def test_one_head_is_the_released_loss(self):
        generator = torch.Generator().manual_seed(0)
        maps, targets = (torch.rand(2, 17, 8, 6, generator=generator) for _ in range(2))
        weights = (torch.rand(2, 17, generator=generator) < 0.7).float()
        loss, wrong = heatmap_regression(maps, targets, weights)
        assert loss == pytest.approx(float(joint_mse(maps, targets, weights)))
        assert 0 <= wrong <= 1

    def test_heads_weigh_by_their_sum_over_pixels(self):
        fine, coarse = torch.ones(1, 2, 8, 8), torch.ones(1, 2, 4, 4)
        zeros, ones = torch.zeros(1, 2, 8, 8), torch.ones(1, 2)
        both, _ = heatmap_regression([fine, coarse], zeros, ones, zeros[..., :4, :4], ones)
        # The mean square error of each is 1; the coarse map has a quarter of the pixels.
        assert float(both) == pytest.approx(0.5 * (1 + 0.25))

    def test_perfect_answers_are_not_wrong(self):
        targets = torch.zeros(1, 2, 16, 16)
        targets[0, 0, 5, 9], targets[0, 1, 12, 3] = 1, 1
        loss, wrong = heatmap_regression(targets.clone(), targets, torch.ones(1, 2))
        assert (float(loss), float(wrong)) == (0, 0)
        _, wrong = heatmap_regression(targets.flip(-1), targets, torch.ones(1, 2))
        assert float(wrong) == 1

    def test_a_head_without_targets(self):
        with pytest.raises(ValueError, match="zip"):
            heatmap_regression(
                [torch.zeros(1, 2, 4, 4)] * 2, torch.zeros(1, 2, 4, 4), torch.ones(1, 2)
            )


def training(**changes):
    usual = PoseTraining(
        model="pose_hrnet_w8",
        options=SMALL,
        size=SIZE,
        codec=codec("released", sigma=1.0),
        augmentation=Augmentation(0.1, 10.0),
        margin=1.2,
        recipe=RECIPE,
    )
    return dataclasses.replace(usual, **changes)


class TestTraining:
    def test_it_learns(self, people):
        recipe = replace(RECIPE, iterations=150, lr=1e-2)
        _, trained = train_on(
            training(recipe=recipe, augmentation=PLAIN), people, options=RunOptions(), seed=0
        )
        loss = trained.history.loss
        assert len(loss) == 150
        assert np.mean(loss[-10:]) < 0.8 * np.mean(loss[:10])

    def test_a_stopped_training_ends_as_an_undisturbed_one(self, people, tmp_path, monkeypatch):
        from replab.training import loop

        monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        whole, undisturbed = train_on(training(), people, options=RunOptions(), seed=3)

        class Stop(Exception):
            pass

        def stop(share, text):
            if share > 0.4:
                raise Stop

        path = tmp_path / "c.pt"
        with pytest.raises(Stop):
            train_on(
                training(), people, options=RunOptions(), seed=3, checkpoint=path, progress=stop
            )
        resumed, trained = train_on(
            training(), people, options=RunOptions(), seed=3, checkpoint=path
        )
        assert trained.history.loss == undisturbed.history.loss
        for name, tensor in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], tensor), name

    def test_several_heads(self, people):
        several = training(options={**SMALL, "head": "each"}, strides=(4, 8, 16, 32))
        source = make_batches(several, people, seed=0, device="cpu")
        shapes = [tuple(t.shape[2:]) for t in source.batch(0)[1::2]]
        assert shapes == [(16, 16), (8, 8), (4, 4), (2, 2)]
        net, _ = train_on(
            dataclasses.replace(several, recipe=replace(RECIPE, iterations=2)),
            people,
            options=RunOptions(),
            seed=0,
        )
        network = several.ready(net, COCO, RunOptions())
        answers = network.answers(torch.zeros(3, 64, 64, 3, dtype=torch.uint8), mirrored=True)
        assert [tuple(a.shape) for a, b in answers] == [(3, 17, s, s) for s in (16, 8, 4, 2)]
        assert all(a.shape == b.shape for a, b in answers)


def test_an_unknown_optimiser():
    with pytest.raises(ValueError, match="optimiser is 'lion'; it must be 'sgd' or 'adam'"):
        replace(RECIPE, optimiser="lion")

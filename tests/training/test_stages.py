"""Trainings of nets that predict in stages: losses, gradients, phases, rates, centre maps."""

import dataclasses
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import dotted_people
from replab import models
from replab.errors import UserError
from replab.keypoints.augmentation import Augmentation
from replab.keypoints.codecs import codec
from replab.keypoints.losses import joint_mse
from replab.keypoints.stage_losses import euclidean_loss
from replab.options import RunOptions
from replab.training import gradients, loop
from replab.training.objectives import StageRegression, heatmap_regression
from replab.training.poses import PoseTraining, make_batches, train_on
from replab.training.recipe import TrainingRecipe
from replab.training.signals import LOG_FLOOR
from replab.training.stage_wise import Phase, one_by_one, stage_parameters, train_in_phases
from small_nets import MACHINE

RECIPE = TrainingRecipe(iterations=6, batch_size=4, optimiser="adam", lr=3e-3, schedule="cosine")


@pytest.fixture(scope="module")
def people():
    return dotted_people.people(10)


def training(**changes):
    options = {**MACHINE, **changes.pop("options", {})}
    usual = PoseTraining(
        model="cpm",
        options=options,
        size=(48, 64),
        codec=codec("released", sigma=1.0),
        augmentation=Augmentation(0.1, 10.0),
        recipe=RECIPE,
        strides=(4,) * options["stages"],
        objective=StageRegression(),
    )
    return dataclasses.replace(usual, **changes)


def net_of(**options):
    torch.manual_seed(0)
    return models.create("cpm", num_joints=17, **MACHINE | options)


def answers_and_targets(maps=3):
    generator = torch.Generator().manual_seed(1)
    beliefs = [torch.rand(2, maps, 8, 6, generator=generator) for _ in range(3)]
    targets = torch.rand(2, 3, 8, 6, generator=generator)
    weights = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    return beliefs, targets, weights


class TestObjective:
    def test_all_stages_count_as_so_many_heads(self):
        beliefs, targets, weights = answers_and_targets()
        loss, _ = StageRegression()(beliefs, *[targets, weights] * 3)
        expected, _ = heatmap_regression(beliefs, *[targets, weights] * 3)
        assert float(loss) == pytest.approx(float(expected), rel=1e-6)

    def test_the_last_alone(self):
        beliefs, targets, weights = answers_and_targets()
        loss, _ = StageRegression(supervision="last")(beliefs, *[targets, weights] * 3)
        assert float(loss) == pytest.approx(float(joint_mse(beliefs[-1], targets, weights)))

    def test_wrong_answers_are_the_last_stage_s(self):
        targets = torch.zeros(1, 2, 16, 16)
        targets[0, 0, 5, 9], targets[0, 1, 12, 3] = 1, 1
        right, wrong, weights = targets.clone(), targets.flip(-1), torch.ones(1, 2)
        given = [targets, weights] * 2
        assert float(StageRegression()([wrong, right], *given)[1]) == 0
        assert float(StageRegression()([right, wrong], *given)[1]) == 1

    def test_the_background_is_what_no_joint_claims(self):
        beliefs, targets, weights = answers_and_targets(maps=4)
        loss, _ = StageRegression(loss="sum", background=True)(beliefs, *[targets, weights] * 3)
        ground = 1 - targets.max(1, keepdim=True).values
        whole = torch.cat((targets, ground), 1)
        every = torch.cat((weights, torch.ones(2, 1)), 1)
        expected = sum(euclidean_loss(maps, whole, every) for maps in beliefs)
        assert float(loss) == pytest.approx(float(expected), rel=1e-6)

    def test_fewer_stages_than_targets_may_answer_but_not_more(self):
        beliefs, targets, weights = answers_and_targets()
        loss, _ = StageRegression()(beliefs[:1], *[targets, weights] * 3)
        assert float(loss) == pytest.approx(float(joint_mse(beliefs[0], targets, weights)))
        with pytest.raises(ValueError, match="1 stages have targets, 3 answer"):
            StageRegression()(beliefs, targets, weights)


class TestGradients:
    def test_spreads_are_those_of_the_loss_s_derivatives(self, people):
        net = net_of()
        batches = make_batches(training(), people, seed=0, device="cpu")
        found = gradients.measure(net, batches, [2, 5], StageRegression(), done=7)
        names = list(gradients.layers(net))
        parts = []
        for iteration in (2, 5):
            net.zero_grad()
            images, *targets = batches.batch(iteration)
            StageRegression()(net(images), *targets)[0].backward()
            parts.append(net.get_submodule(names[0]).weight.grad.flatten().clone())
        first = torch.cat(parts).double()
        assert found.deviations[0] == pytest.approx(float(first.std(correction=0)), rel=1e-5)
        assert found.quantiles[0][12] == pytest.approx(
            float(first.median()), abs=float(first.std())
        )
        assert (found.iteration, len(found.deviations)) == (7, len(names))
        assert len(found.quantiles) == len(gradients.shown(found.stages)) == 9

    def test_layers_are_counted_once(self):
        found = gradients.layers(net_of(shared="tower"))
        assert list(found) == [
            *(f"conv{i}_stage1" for i in range(1, 7)),
            *("conv1_stage2", "conv2_stage2", "conv3_stage2"),
            *(f"Mconv{i}_stage2" for i in range(1, 4)),
            *("conv1_stage3", *(f"Mconv{i}_stage3" for i in range(1, 4))),
        ]
        assert list(found.values()) == [1] * 6 + [2] * 6 + [3] * 4

    def test_only_a_loss_at_every_stage_reaches_a_cut_off_stage(self, people):
        """What the later stages do not read of the first one's beliefs cannot come back."""
        net = net_of()
        with torch.no_grad():
            net.Mconv1_stage2.weight.zero_()
        batches = make_batches(training(), people, seed=0, device="cpu")
        found = {
            supervision: gradients.measure(
                net, batches, [0], StageRegression(supervision=supervision), done=0
            )
            for supervision in ("all", "last")
        }
        assert found["last"].deviations[:6] == [0] * 6
        assert min(found["all"].deviations[:6]) > 0
        metrics, series = gradients.report([found["last"]])
        assert metrics["log_gradient_first_1"] == metrics["log_gradient_least_1"] == LOG_FLOOR
        assert metrics["log_gradient_last_1"] > -10
        assert series["moments"] == {"x": [1.0], "y": [0.0]}
        assert len(series["log_gradient_1"]["y"]) == len(found["last"].stages)

    def test_a_training_is_watched_and_not_disturbed(self, people, tmp_path):
        watch = gradients.watch(
            tmp_path, [2, 6], StageRegression(), batches_each=2, precision="fp32"
        )
        watched, seen = train_on(training(), people, options=RunOptions(), seed=1, watch=watch)
        plain, alone = train_on(training(), people, options=RunOptions(), seed=1)
        assert seen.history.loss == alone.history.loss
        for one, other in zip(watched.parameters(), plain.parameters(), strict=True):
            assert torch.equal(one, other)
        found = gradients.collect(tmp_path, [2, 6])
        assert [spreads.iteration for spreads in found] == [2, 6]
        assert found[0].deviations != found[1].deviations
        with pytest.raises(UserError, match="gradients_3"):
            gradients.collect(tmp_path, [3])


class TestPhases:
    def test_each_stage_learns_in_its_own(self, people):
        net, start = net_of(), net_of()
        batches = make_batches(training(), people, seed=0, device="cpu")
        phases = (Phase(1, alone=True, share=0.5), Phase(3, alone=True, share=0.5))
        trained = train_in_phases(
            *(net, batches, RECIPE, phases, StageRegression()), seed=0, options=RunOptions()
        )
        moved = {
            stage: [
                not torch.equal(one, other)
                for one, other in zip(parameters, stage_parameters(start)[stage], strict=True)
            ]
            for stage, parameters in stage_parameters(net).items()
        }
        assert any(moved[1])
        assert any(moved[3])
        assert not any(moved[2])
        assert len(trained.history.loss) == len(trained.history.error) == 6
        assert net.stages == 3
        assert all(parameter.requires_grad for parameter in net.parameters())

    def test_a_phase_s_loss_is_its_stage_s(self, people):
        net = net_of()
        batches = make_batches(training(), people, seed=0, device="cpu")
        images, *targets = batches.batch(0)
        with torch.no_grad():
            first = net(images)[0]
        expected = float(joint_mse(first, targets[0], targets[1]))
        trained = train_in_phases(
            *(net, batches, RECIPE, one_by_one(3), StageRegression()), seed=0, options=RunOptions()
        )
        assert trained.history.loss[0] == pytest.approx(expected, rel=1e-5)

    def test_a_stopped_training_ends_as_an_undisturbed_one(self, people, tmp_path, monkeypatch):
        monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        phases = (*one_by_one(3, 0.5), Phase(3, alone=False, share=0.5))
        whole, undisturbed = train_on(
            training(phases=phases), people, options=RunOptions(), seed=3
        )

        class Stop(Exception):
            pass

        def stop(share, text):
            if share > 0.6:
                raise Stop

        path = tmp_path / "checkpoint.pt"
        with pytest.raises(Stop):
            train_on(
                training(phases=phases),
                people,
                options=RunOptions(),
                seed=3,
                checkpoint=path,
                progress=stop,
            )
        resumed, trained = train_on(
            training(phases=phases), people, options=RunOptions(), seed=3, checkpoint=path
        )
        assert trained.history.loss == undisturbed.history.loss
        for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(one, other)

    def test_shares_have_to_add_up(self, people):
        batches = make_batches(training(), people, seed=0, device="cpu")
        for phases in (one_by_one(3, 0.9), one_by_one(2)):
            with pytest.raises(ValueError, match="add up"):
                train_in_phases(
                    *(net_of(), batches, RECIPE, phases, StageRegression()),
                    seed=0,
                    options=RunOptions(),
                )
        with pytest.raises(TypeError, match="no stages"):
            train_in_phases(
                *(nn.Linear(1, 1), batches, RECIPE, one_by_one(1), StageRegression()),
                seed=0,
                options=RunOptions(),
            )


class TestRates:
    SGD: ClassVar = replace(
        RECIPE, optimiser="sgd", momentum=0.0, weight_decay=0.0, schedule="steps", drops=()
    )

    def test_stage_1_and_biases_learn_faster(self, people):
        recipe = replace(self.SGD, iterations=1, drops=(), lr=1e-3, rates="cpm")
        net, start = net_of(), net_of()
        batches = make_batches(training(), people, seed=0, device="cpu")
        images, *targets = batches.batch(0)
        loss, _ = StageRegression()(start(images), *targets)
        loss.backward()
        loop.train(net, batches, recipe, seed=0, objective=StageRegression(), options=RunOptions())
        rates = {
            "conv6_stage1.weight": 5.0,
            "conv6_stage1.bias": 10.0,
            "Mconv3_stage2.weight": 1.0,
            "Mconv3_stage2.bias": 2.0,
        }
        for name, factor in rates.items():
            before, after = start.get_parameter(name), net.get_parameter(name)
            step = -1e-3 * factor * before.grad
            assert torch.allclose(after - before, step, rtol=1e-3, atol=1e-8), name

    def test_unknown_rates(self):
        with pytest.raises(ValueError, match="rates is 'vgg'; it must be 'cpm' or None"):
            replace(self.SGD, rates="vgg")

    def test_what_is_dropped_depends_on_seed_and_iteration_alone(
        self, people, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        dropping = training(options={"dropout": 0.5})
        _, undisturbed = train_on(dropping, people, options=RunOptions(), seed=3)

        class Stop(Exception):
            pass

        def stop(share, text):
            torch.rand(7)
            if share > 0.4:
                raise Stop

        path = tmp_path / "checkpoint.pt"
        with pytest.raises(Stop):
            train_on(
                dropping, people, options=RunOptions(), seed=3, checkpoint=path, progress=stop
            )
        _, trained = train_on(dropping, people, options=RunOptions(), seed=3, checkpoint=path)
        assert trained.history.loss == undisturbed.history.loss
        _, other = train_on(dropping, people, options=RunOptions(), seed=4)
        assert other.history.loss != undisturbed.history.loss


class TestInput:
    def test_a_centre_map_marks_the_middle(self, people):
        plain = make_batches(training(), people, seed=0, device="cpu").batch(0)
        marked = make_batches(training(centre_map=True), people, seed=0, device="cpu").batch(0)
        assert marked[0].shape == (4, 4, 64, 48)
        assert torch.equal(marked[0][:, :3], plain[0])
        row, column = np.unravel_index(int(marked[0][0, 3].argmax()), (64, 48))
        assert (row in (31, 32), column in (23, 24)) == (True, True)
        assert marked[0][:, 3].max() <= 1

    def test_units_are_the_training_s(self, people):
        usual = make_batches(training(), people, seed=0, device="cpu").batch(0)[0]
        half = training(mean=(0.5,) * 3, std=(0.25,) * 3)
        own = make_batches(half, people, seed=0, device="cpu").batch(0)[0]
        mean, std = (torch.tensor(v)[:, None, None] for v in (half.mean, half.std))
        from replab.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

        before = (
            torch.tensor(IMAGENET_STD)[:, None, None],
            torch.tensor(IMAGENET_MEAN)[:, None, None],
        )
        assert torch.allclose(own * std + mean, usual * before[0] + before[1], atol=1e-5)

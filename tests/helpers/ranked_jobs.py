"""Trainings that a test does with one process and with several, and compares.

No test module; its folder is on the path.
"""

import multiprocessing
import os
import socket
import traceback
import warnings
from dataclasses import replace
from functools import partial

import torch
from torch import nn

import dotted_people
from replab import models
from replab.keypoints.augmentation import Augmentation
from replab.keypoints.codecs import codec
from replab.models.ghost import use_ghost_batches
from replab.models.synchronised import Synchronised
from replab.options import RunOptions
from replab.training import distributed, loop
from replab.training.batches import DeviceImages, shuffled
from replab.training.history import Diverged
from replab.training.objectives import StageRegression, classification, heatmap_regression
from replab.training.poses import PoseTraining, make_batches
from replab.training.recipe import ImageRecipe
from replab.training.sharing import _group_of, shared
from replab.training.stage_wise import Phase, train_in_phases
from replab.training.step import EagerStep
from small_nets import MACHINE

PATIENCE_S = 120
BATCH, ITERATIONS = 8, 12
RECIPE = ImageRecipe(
    iterations=ITERATIONS,
    batch_size=BATCH,
    lr=0.02,
    schedule="cosine",
    momentum=0.9,
    weight_decay=1e-4,
    augment=True,
    evaluate_every=5,
)
NETS = {
    "heads": (
        "pose_hrnet_w4",
        {"head": "each", "stem": 4, "bottlenecks": 1, "modules": [1, 1, 1], "blocks": 1},
        (4, 8, 16, 32),
        heatmap_regression,
    ),
    "stages": (
        "cpm",
        MACHINE,
        (4, 4, 4),
        StageRegression(),
    ),
}
PHASES = (Phase(1, True, 0.25), Phase(2, True, 0.25), Phase(3, False, 0.5))


def images(count=20):
    """Images of three classes in noise, each with its own bright channel, N×3×8×8, float64."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(count) % 3
    pixels = 0.5 * torch.randn(count, 3, 8, 8, generator=generator, dtype=torch.float64)
    pixels[torch.arange(count), labels] += 3
    return DeviceImages(pixels, labels)


def classifier(ghost=None):
    """A ResNet of 8 layers, float64, which as a rule uses statistics of the whole batch."""
    torch.manual_seed(0)
    net = models.create("cifar_resnet8").double()
    if ghost:
        use_ghost_batches(net, ghost)
    return net


def differentiated(net, batches, objective):
    """Gradients of a batch's mean loss, running statistics after it, and the loss."""
    device = distributed.begin("cpu")
    net.train()
    with shared(net, BATCH, device) as sharing:
        # Nothing is updated; and torch's optimisers take seconds to import.
        step = EagerStep(sharing.network, None, objective, RunOptions(device=device))
        loss, _ = step.differentiate(*sharing.own(batches.batch(1)))
    kinds = sorted({type(m).__name__ for m in net.modules() if isinstance(m, nn.BatchNorm2d)})
    return {
        "gradients": {name: p.grad.clone() for name, p in net.named_parameters()},
        "buffers": {name: b.clone() for name, b in net.named_buffers()},
        "loss": float(distributed.mean(loss)),
        "own_loss": float(loss),
        "norms_afterwards": kinds,
    }


def of_classifier(folder, ghost=None):
    """Gradients of a ResNet with the statistics of the batch, or of ghosts of some images."""
    return differentiated(classifier(ghost), shuffled(images(), RECIPE, 0), classification)


def of_groups(folder, ghost):
    """The same of ghosts that some of the ranks make up, gradients averaged by hand.

    torch's wrapper takes seconds to import.
    """
    net = classifier(ghost).train()
    pixels, labels = shuffled(images(), RECIPE, 0).batch(1)
    statistics = None
    if not distributed.current().alone:
        statistics = Synchronised(net, partial(_group_of, BATCH))
    classification(net(pixels), labels)[0].backward()
    if statistics is not None:
        statistics.close()
    return {
        "gradients": {name: distributed.mean(p.grad) for name, p in net.named_parameters()},
        "buffers": {name: b.clone() for name, b in net.named_buffers()},
        "norms_afterwards": sorted({type(m).__name__ for m in net.modules()}),
    }


def without_exchange(folder):
    """The same with each rank's own statistics: what several GPUs do that do not synchronise."""
    kept, Synchronised._switch = Synchronised._switch, lambda self, on: None
    try:
        return of_classifier(folder)
    finally:
        Synchronised._switch = kept


class Doubled:
    """Batches in double precision."""

    def __init__(self, batches):
        self.batches = batches

    def batch(self, iteration):
        return [part.double() for part in self.batches.batch(iteration)]


def of_people(kind):
    """A small pose net in double precision, its batches of dotted people, and its objective."""
    model, options, strides, objective = NETS[kind]
    people = dotted_people.people(10)
    training = PoseTraining(
        model=model,
        options=options,
        size=(64, 64),
        codec=codec("released", sigma=1.0),
        augmentation=Augmentation(0.2, 20.0),
        recipe=replace(RECIPE, batch_size=BATCH),
        strides=strides,
        objective=objective,
    )
    net = training.create(people.skeleton, 0, "cpu").double()
    return net, Doubled(make_batches(training, people, seed=0, device="cpu")), objective


def of_pose_net(folder, kind):
    """Gradients of a pose net with several heads, or of one that predicts in stages."""
    return differentiated(*of_people(kind))


def trained(folder, resumed=False, broken=None):
    """A whole training with a look at the network on the way, which each call leaves a trace of.

    Args:
        resumed: go on from the checkpoint in the folder, and leave one at the end.
        broken: a rank whose images are not numbers.
    """
    net, data, asked = classifier(), images(), []

    def evaluate(model):
        asked.append(type(next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))))
        model.eval()
        with torch.no_grad():
            return float(model(data.images).square().mean())

    if distributed.current().rank == broken:
        data.images[:] = float("nan")
    try:
        done = loop.train(
            net,
            shuffled(data, RECIPE, 0),
            RECIPE,
            seed=0,
            options=RunOptions(),
            evaluate=evaluate,
            checkpoint=folder / "checkpoint.pt" if resumed else None,
        )
    except Diverged as error:
        return {"diverged": str(error)}
    return {
        "loss": done.history.loss,
        "error": done.history.error,
        "tests": done.history.tests,
        "state": net.state_dict(),
        "asked": [kind.__name__ for kind in asked],
    }


class Stopped(Exception):
    """The end of a training before its time, on every rank at once."""


def interrupted(folder):
    """A training that stops half way and leaves its checkpoint."""
    at = ITERATIONS // 2

    def stop(iteration, model):
        if iteration == at:
            raise Stopped

    kept, loop.CHECKPOINT_EVERY_S = loop.CHECKPOINT_EVERY_S, 0.0
    try:
        loop.train(
            classifier(),
            shuffled(images(), RECIPE, 0),
            RECIPE,
            seed=0,
            options=RunOptions(),
            evaluate=lambda model: float(next(model.parameters()).sum().detach()),
            checkpoint=folder / "checkpoint.pt",
            after_step=stop,
        )
    except Stopped:
        return {"stopped": at}
    finally:
        loop.CHECKPOINT_EVERY_S = kept


def in_phases(folder):
    """A pose machine trained stage by stage."""
    net, batches, objective = of_people("stages")
    recipe = replace(RECIPE, lr=0.05)
    done = train_in_phases(net, batches, recipe, PHASES, objective, seed=0, options=RunOptions())
    return {"loss": done.history.loss, "error": done.history.error, "state": net.state_dict()}


JOBS = {
    "whole batch": of_classifier,
    "ghosts within ranks": partial(of_classifier, ghost=2),
    "ghost across all ranks": partial(of_classifier, ghost=BATCH),
    "ghosts across ranks": partial(of_groups, ghost=4),
    "without exchange": without_exchange,
    "heads": partial(of_pose_net, kind="heads"),
    "stages": partial(of_pose_net, kind="stages"),
    "training": trained,
    "phases": in_phases,
    "not a number": partial(trained, broken=1),
    "interrupted": interrupted,
    "resumed": partial(trained, resumed=True),
}


def free_port():
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(ranks, folder, names):
    """Do some of the jobs above in several processes that know each other.

    Args:
        names: of jobs, in order; `name@folder` gives a job a folder of its own.

    Returns:
        What each rank has found, by job.
    """
    return spread(ranks, folder, partial(_several, names=names))


def _several(folder, names):
    found = {}
    for name in names:
        job, _, place = name.partition("@")
        where = folder / place
        where.mkdir(exist_ok=True)
        found[name] = JOBS[job](where)
    return found


def spread(ranks, folder, function):
    """What a function of the folder gives in each of several processes that know each other.

    Raises:
        AssertionError: one of them has ended in an error.
    """
    # One process imports what takes ten seconds, and the ranks are its copies.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "torch._inductor", "accelerate"])
    processes = [
        context.Process(target=_be, args=(rank, ranks, port, folder, function), daemon=True)
        for port in [free_port()]
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_S)
        process.kill()
        process.join()
    said = "".join(path.read_text() for path in sorted(folder.glob("rank*.txt")))
    assert [process.exitcode for process in processes] == [0] * ranks, said
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(ranks)]


def _be(rank, ranks, port, folder, function):
    """Do something as one rank."""
    values = (rank, ranks, rank, ranks, "127.0.0.1", port)
    os.environ.update(zip(distributed.VARIABLES, map(str, values), strict=True))
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    try:
        distributed.begin("cpu")
        torch.save(function(folder), folder / f"rank{rank}.pt")
        distributed.end()
    except BaseException:
        (folder / f"rank{rank}.txt").write_text(traceback.format_exc())
        raise

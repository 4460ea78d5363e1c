"""Training a pose network on a set of people, and that network made ready for evaluation."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from replab import models
from replab.datasets.pose_set import PoseSet
from replab.keypoints.augmentation import Augmentation
from replab.keypoints.codecs import Codec, Size
from replab.keypoints.skeletons import Skeleton
from replab.models.loading import load_backbone
from replab.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from replab.options import RunOptions
from replab.topdown.network import PoseNetwork, Preprocessing
from replab.training.loop import Batches, Trained, train
from replab.training.objectives import Objective, StageRegression, heatmap_regression
from replab.training.pose_batches import Channels, PoseBatches, cut_out
from replab.training.pose_pictures import PictureBatches
from replab.training.recipe import TrainingRecipe
from replab.training.stage_wise import Phase, train_in_phases

# What ImageNet weights do not hold of a pose network.
NEW_LAYERS = ("deconv_layers", "final_layer")


@dataclass(frozen=True)
class PoseTraining:
    """A network, what it sees and how it is trained.

    Attributes:
        model: name for `replab.models.create`.
        options: its options, without the number of joints.
        size: width and height of its input in px.
        strides: px of the input in one of the heatmaps, for each head.
        codec: how crops are cut and joints drawn.
        augmentation: of the people.
        margin: as of `pose_batches.cut_out`.
        recipe: as of `loop.train`.
        objective: what is minimised.
        colour: order of the channels as the network sees them, `RGB` or `BGR`.
        mean: of each channel of 0–1 values, in that order, as the network sees them.
        std: of each channel of 0–1 values, in that order.
        centre_map: whether the network takes a fourth channel that marks the person in the
            middle.
        everyone: whether the first head's targets show everybody in the crop, as those of a pose
            machine's first stage; the others' show the person in the middle.
        weights: file of ImageNet weights whose backbone the network begins with, None from scratch
            (its head always is).
        streamed: decode each picture when its people are due (`pose_pictures`), for sets too large
            to lie on the device; else they are cut out once (`pose_batches`). Never chosen by the
            room there is: the two sources sample pictures differently.
        phases: of a pose machine that is trained stage by stage; none if all learns at once.
    """

    model: str
    size: Size
    codec: Codec
    augmentation: Augmentation
    recipe: TrainingRecipe
    options: Mapping[str, Any] = field(default_factory=dict)
    strides: tuple[int, ...] = (4,)
    margin: float = 1.0
    objective: Objective = heatmap_regression
    colour: str = "RGB"
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    centre_map: bool = False
    everyone: bool = False
    weights: Path | None = None
    streamed: bool = False
    phases: tuple[Phase, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return 3 + int(self.centre_map)

    def heatmaps(self) -> list[Size]:
        """Width and height of each head's heatmaps."""
        width, height = self.size
        return [(width // stride, height // stride) for stride in self.strides]

    def create(self, skeleton: Skeleton, seed: int, device: str) -> nn.Module:
        """The network at its start.

        Raises:
            UserError: the weights are missing or damaged, or not those of its whole backbone.
        """
        torch.manual_seed(seed)
        net = models.create(self.model, num_joints=len(skeleton), **self.options)
        if self.weights is not None:
            loaded = load_backbone(net, self.weights, fresh=NEW_LAYERS)
            print(f"{self.weights.name}: {loaded}", file=sys.stderr)
        return net.to(device, memory_format=torch.channels_last)

    def ready(self, net: nn.Module, skeleton: Skeleton, options: RunOptions) -> PoseNetwork:
        """The network made ready for evaluation on a device, in a precision."""
        return PoseNetwork(
            net,
            model=self.model,
            options=self.options,
            skeleton=skeleton,
            size=self.size,
            preprocessing=Preprocessing(self.colour, self.mean, self.std),
            precision=options.precision,
            device=options.device,
        )


def train_on(
    training: PoseTraining,
    people: PoseSet,
    *,
    seed: int,
    options: RunOptions,
    checkpoint: Path | None = None,
    progress: Callable[[float, str], None] = lambda share, text: None,
    evaluate: Callable[[nn.Module], float] | None = None,
    watch: Callable[[Batches], Callable[[int, nn.Module], None]] | None = None,
) -> tuple[nn.Module, Trained]:
    """Train a pose network on all people of a set; the last iterate counts.

    Args:
        seed: of weights, order and augmentation.
        options, checkpoint, progress, evaluate: see `loop.train`.
        watch: of the training's batches, what `loop.train` calls after each step; of trainings
            without phases.

    Raises:
        UserError: a picture is missing or damaged; else as `loop.train`.
        Diverged: the loss is NaN or infinite.
    """
    net = training.create(people.skeleton, seed, options.device)
    batches = make_batches(training, people, seed=seed, device=options.device)
    common: Any = {
        "seed": seed,
        "options": options,
        "checkpoint": checkpoint,
        "progress": progress,
        "evaluate": evaluate,
    }
    recipe, objective = training.recipe, training.objective
    try:
        if training.phases:
            assert isinstance(objective, StageRegression)
            phases = training.phases
            trained = train_in_phases(net, batches, recipe, phases, objective, **common)
        else:
            hook = watch(batches) if watch else None
            trained = train(net, batches, recipe, objective=objective, after_step=hook, **common)
    finally:
        if isinstance(batches, PictureBatches):
            batches.close()
    return net, trained


def make_batches(
    training: PoseTraining, people: PoseSet, *, seed: int, device: str
) -> PoseBatches:
    """The batches of a training; those that are streamed should be closed.

    Raises:
        UserError: a picture is missing or damaged, or a box has no area.
    """
    options: Any = {
        "batch_size": training.recipe.batch_size,
        "seed": seed,
        "colour": training.colour,
        "mean": training.mean,
        "std": training.std,
        "centre_map": training.centre_map,
    }
    how = (training.codec, training.augmentation, training.heatmaps())
    if training.streamed:
        return PictureBatches(
            people, training.size, *how, everyone=training.everyone, device=device, **options
        )
    surroundings = cut_out(
        people,
        training.size,
        training.codec,
        margin=training.margin,
        everyone=training.everyone,
        device=device,
    )
    return PoseBatches(surroundings, *how, **options)

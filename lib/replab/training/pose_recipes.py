"""Recipes of pose networks that several replications share, so that their nets can be compared.

A replication adds its networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from replab.datasets.lspet import WHOLE
from replab.recipe import Recipe
from replab.training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from replab.keypoints.augmentation import Augmentation

Draw = Literal["clipped-normal", "uniform"]


@dataclass(frozen=True, kw_only=True)
class AugmentationRecipe(Recipe):
    """How people are augmented; fields as of `keypoints.augmentation.Augmentation`."""

    scale: float
    rotation: float
    flip: float
    half_body: float | None = None
    scale_draw: Draw | None = None
    rotation_draw: Draw | None = None
    rotation_probability: float | None = None

    def build(self) -> "Augmentation":
        """The augmentation."""
        from replab.keypoints.augmentation import Augmentation

        return Augmentation(**self.as_json())


@dataclass(frozen=True, kw_only=True)
class PoseNet(Recipe):
    """A network, by its name and the options of `models.create`, the number of joints left out.

    Subclasses declare the options of their kind.

    Attributes:
        model: name for `models.create`.
        input: width and height of its input in px, where it is not the recipe's.
        sigma: of the Gaussians in px of the heatmaps, where it is not the recipe's.
    """

    model: str
    input: tuple[int, int] | None = None
    sigma: float | None = None

    def options(self) -> dict[str, object]:
        """What `models.create` is given."""
        own = self.as_json()
        return {k: v for k, v in own.items() if k not in ("model", "input", "sigma")}


@dataclass(frozen=True, kw_only=True)
class HRNet(PoseNet):
    """An HRNet; options as of `models.hrnet`."""

    stem: int | None = None
    bottlenecks: int | None = None
    modules: tuple[int, ...] | None = None
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True)
class PoseResNet(PoseNet):
    """A network of SimpleBaseline's kind; options as of `models.pose_resnet`."""

    width: int | None = None
    deconv_channels: int | None = None
    deconv_layers: int | None = None
    deconv_kernel: int | None = None


@dataclass(frozen=True, kw_only=True)
class PoseRecipe(TrainingRecipe):
    """A training of a pose network, and what its record keeps.

    Attributes:
        tail: share of the iterations (0–1), the last ones, whose mean loss is the training loss.
        curve_points: about as many as the training curves have.
        test_data: name of the people to score on.
        glance_people: the first test people, scored every `evaluate_every` iterations; they decide
            nothing.
        shown_people: predicted people that a record keeps; None for none.
    """

    tail: float
    curve_points: int
    test_data: str
    glance_people: int | None = None
    shown_people: int | None = None


@dataclass(frozen=True, kw_only=True)
class PeopleRecipe(PoseRecipe):
    """A training on people that are cut out once and lie on the device.

    Attributes:
        input: width and height of the network's input in px.
        sigma: of the Gaussians, in px of the heatmaps.
        codec: how crops are cut, joints drawn and heatmaps read (`keypoints.codecs`); None is
            `released`.
        margin: how far around a crop a cut-out reaches, as of `pose_batches.cut_out`.
        augmentation: of the people.
        nets: the networks, by the name that variants give them.
    """

    input: tuple[int, int]
    sigma: float
    codec: str | None = None
    margin: float
    augmentation: AugmentationRecipe
    nets: Mapping[str, PoseNet]

    def with_net(self, net: PoseNet) -> Self:
        """The recipe with what a network has of its own: input and sigma."""
        return replace(
            self,
            input=self.input if net.input is None else net.input,
            sigma=self.sigma if net.sigma is None else net.sigma,
        )


# Small nets on generated people, minutes on a laptop: bodies without face, hands or clothes, no
# augmentation but the mirror, since nobody sees a person twice.
PEOPLE = PeopleRecipe(
    input=(96, 128),
    sigma=1.0,
    margin=1.0,
    augmentation=AugmentationRecipe(scale=0.0, rotation=0.0, flip=0.5),
    iterations=400,
    batch_size=8,
    optimiser="adam",
    lr=0.003,
    schedule="cosine",
    warm_up_iterations=30,
    tail=0.1,
    curve_points=20,
    test_data="people-test",
    shown_people=8,
    nets={},
)

EPOCHS, DROPS, BATCH = 210, (170, 200), 32


def _iterations(epochs: int) -> int:
    return round(epochs * WHOLE.train / BATCH)


# The papers' nets on real photographs that anyone can get: the recipe of Sun et al. (2019), §4.1,
# with LSP Extended in place of COCO and one GPU's batch of 32.
LSPET = PeopleRecipe(
    input=(192, 256),
    sigma=2.0,
    # Wider crops and turned ones show black where they leave this.
    margin=1.5,
    # Without half bodies: nobody has said which joints of LSP are the upper half.
    augmentation=AugmentationRecipe(scale=0.35, rotation=45.0, flip=0.5),
    iterations=_iterations(EPOCHS),
    batch_size=BATCH,
    optimiser="adam",
    lr=0.001,
    schedule="steps",
    drops=tuple(_iterations(epoch) for epoch in DROPS),
    tail=0.01,
    curve_points=100,
    evaluate_every=_iterations(10),
    glance_people=1000,
    test_data="lspet-test",
    shown_people=8,
    nets={},
)

# The same photographs for small nets: ten minutes of one core, four passes over the people.
LSPET_REDUCED = replace(
    LSPET,
    input=(96, 128),
    sigma=1.0,
    margin=1.3,
    augmentation=AugmentationRecipe(scale=0.25, rotation=30.0, flip=0.5),
    iterations=2400,
    batch_size=16,
    lr=0.002,
    schedule="cosine",
    drops=(),
    warm_up_iterations=100,
    tail=0.05,
    curve_points=48,
    evaluate_every=400,
    glance_people=300,
)

# People of COCO train2017 with keypoints, and how many a step takes: 32 on each of four GPUs.
COCO_PEOPLE, COCO_BATCH = 149_813, 128


@dataclass(frozen=True, kw_only=True)
class CocoSchedule(Recipe):
    """The part of a schedule that is a network's own.

    Attributes:
        iterations: optimizer steps.
        drops: iterations from which the rate is divided by ten.
    """

    iterations: int
    drops: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CocoNetOptions(Recipe):
    """Options of `models.create` that networks of COCO trainings differ in."""

    deconv_layers: int | None = None
    deconv_kernel: int | None = None
    exchange: str | None = None
    head: str | None = None
    branches: str | None = None


@dataclass(frozen=True, kw_only=True)
class CocoNet(Recipe):
    """A network trained on COCO, and what of its recipe is its own.

    Attributes:
        model: name for `models.create`.
        four_branches: that of the network with four branches from the start, of like size.
        options: of `models.create`.
        colour: order of the channels as it sees them.
        augmentation: of the people.
        schedule: iterations and drops.
    """

    model: str
    four_branches: str | None = None
    options: CocoNetOptions
    colour: Literal["RGB", "BGR"]
    augmentation: AugmentationRecipe
    schedule: CocoSchedule


@dataclass(frozen=True, kw_only=True)
class CocoRecipe(Recipe):
    """What the released trainings on COCO share, whatever the network; see `runs.coco_trainings`.

    Attributes:
        sigmas: of the Gaussians in px of the heatmaps, by the input's size, height first.
        streamed: whether each picture is decoded when its people are due.
        nets: the networks, by the name that variants give them.

    The others as of `PoseRecipe`.
    """

    sigmas: Mapping[str, float]
    streamed: bool
    batch_size: int
    optimiser: Literal["sgd", "adam"]
    lr: float
    schedule: Literal["steps"]
    test_data: str
    evaluate_every: int
    glance_people: int
    tail: float
    curve_points: int
    nets: Mapping[str, CocoNet]

    def training(self, schedule: CocoSchedule) -> PoseRecipe:
        """The recipe of one network's training."""
        return PoseRecipe(
            iterations=schedule.iterations,
            drops=schedule.drops,
            batch_size=self.batch_size,
            optimiser=self.optimiser,
            lr=self.lr,
            schedule=self.schedule,
            test_data=self.test_data,
            evaluate_every=self.evaluate_every,
            glance_people=self.glance_people,
            tail=self.tail,
            curve_points=self.curve_points,
        )


def _coco_schedule(epochs: int, drops: tuple[int, ...]) -> CocoSchedule:
    """Iterations of so many epochs, and where the rate is divided by ten."""
    steps = [round(epoch * COCO_PEOPLE / COCO_BATCH) for epoch in (epochs, *drops)]
    return CocoSchedule(iterations=steps[0], drops=tuple(steps[1:]))


COCO = CocoRecipe(
    # Of the map of 256×192 and 384×288 as released; 128×96 was not released.
    sigmas={"128x96": 1.0, "256x192": 2.0, "384x288": 3.0},
    streamed=True,
    batch_size=COCO_BATCH,
    optimiser="adam",
    lr=0.001,
    schedule="steps",
    test_data="coco-val2017",
    evaluate_every=round(10 * COCO_PEOPLE / COCO_BATCH),
    glance_people=2000,
    tail=0.01,
    curve_points=200,
    nets={},
)


def coco_hrnet(model: str, *, four_branches: str | None = None) -> CocoNet:
    """An HRNet by its own recipe: leoxiaobin/deep-high-resolution-net.pytorch@6f69e46."""
    return CocoNet(
        model=model,
        four_branches=four_branches,
        options=CocoNetOptions(),
        colour="RGB",
        augmentation=AugmentationRecipe(scale=0.35, rotation=45.0, flip=0.5, half_body=0.3),
        schedule=_coco_schedule(210, (170, 200)),
    )


def coco_pose_resnet(model: str, options: CocoNetOptions | None = None) -> CocoNet:
    """A SimpleBaseline network by its own: microsoft/human-pose-estimation.pytorch@49f3f44."""
    return CocoNet(
        model=model,
        options=options or CocoNetOptions(),
        colour="BGR",
        augmentation=AugmentationRecipe(scale=0.3, rotation=40.0, flip=0.5),
        schedule=_coco_schedule(140, (90, 120)),
    )

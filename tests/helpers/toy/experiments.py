"""A toy replication: scores a toy net on the toy set, and keeps its weights."""

from dataclasses import dataclass

import torch

from replab import datasets, models
from replab.metrics.cifar import prepare
from replab.metrics.classification import predict, top_k_error
from replab.models.own_weights import OwnWeights
from replab.recipe import Recipe
from replab.runs.experiment import Experiment, Plan, RunContext, RunResult

SEEN = {"colour": "RGB", "mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class ToyRecipe(Recipe):
    test_data: str


def score(context: RunContext) -> RunResult:
    images = datasets.open_set(context.data)
    torch.manual_seed(context.seed)
    net = models.create("toy_net", num_classes=len(images.classes)).eval()
    logits = predict(net, prepare(images.test_images, SEEN).contiguous(), batch_size=1000)
    error = top_k_error(logits, torch.from_numpy(images.test_labels).long())
    about = OwnWeights(
        model="toy_net",
        options={"num_classes": len(images.classes)},
        size=(32, 32),
        **SEEN,
        classes=images.classes,
        test_data=context.data,
        scores={"test_error": error},
    )
    return RunResult({"test_error": error}, model="toy_net", weights=lambda: (net, about))


PLAN = Plan(({"net": "toy"},), data=("toy-squares",), recipe=ToyRecipe(test_data="toy-squares"))
EXPERIMENTS = [Experiment("score", 1, score, {"quick": PLAN}, {1: "first"})]
ANSWERS: dict[str, str] = {}

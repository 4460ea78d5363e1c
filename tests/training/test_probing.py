"""A probe measures a training's pace by its own first steps."""

import time

import pytest
import torch
from torch import nn

from replab.options import RunOptions
from replab.training import batches, probing
from replab.training.probing import Pace
from replab.training.recipe import ImageRecipe

RECIPE = ImageRecipe(
    iterations=5000,
    batch_size=4,
    lr=0.01,
    schedule="steps",
    drops=(3000,),
    momentum=0.9,
    weight_decay=1e-4,
    augment=False,
    evaluate_every=10,
)


class Slow(nn.Module):
    """A net whose passes take a known time, the first one longer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(48, 10)
        self.passes = 0

    def forward(self, x):
        time.sleep(0.3 if self.passes == 0 else 0.02)
        self.passes += 1
        return self.linear(x.flatten(1))


def test_probe(tmp_path):
    data = batches.DeviceImages(torch.randn(20, 3, 4, 4), torch.arange(20) % 10)
    model = Slow()
    pace = probing.probe(
        model,
        batches.shuffled(data, RECIPE, seed=0),
        RECIPE,
        options=RunOptions(),
        workspace=tmp_path,
    )
    assert model.passes == probing.STEPS
    # Sleeping takes at least its time; a busy machine only adds to it.
    assert pace.step_s >= 0.02
    assert pace.start_s >= 0.2
    assert pace.checkpoint_bytes > 2 * 490 * 4 + 90_000


def test_pace():
    assert Pace(30.0, 0.5, 1000).seconds(100) == pytest.approx(80)

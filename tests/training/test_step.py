"""One step: compiled or recorded as a graph, it learns what the eager one learns."""

import shutil

import pytest
import torch
from torch import nn

from replab import models
from replab.options import RunOptions
from replab.training import batches
from replab.training.loop import train
from replab.training.objectives import classification
from replab.training.recipe import ImageRecipe
from replab.training.step import EagerStep, GraphStep, make_step

RECIPE = ImageRecipe(
    iterations=12,
    batch_size=8,
    lr=0.05,
    schedule="cosine",
    momentum=0.9,
    weight_decay=1e-4,
    augment=True,
)

CPU = {"device": "cpu", "precision": "fp32", "compiled": False}


def images(device="cpu"):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(32, 3, 8, 8, generator=generator)
    return batches.DeviceImages(pixels.to(device), (torch.arange(32) % 10).to(device))


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 10),
    )


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def test_a_step_returns_loss_and_error_from_before_the_update():
    model, data = small(), images()
    expected = nn.functional.cross_entropy(model(data.images), data.labels).item()
    wrong = (model(data.images).argmax(1) != data.labels).float().mean().item()
    step = EagerStep(model, sgd(model), classification, RunOptions())
    loss, error = step(data.images, data.labels)
    assert step.engine == "eager"
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert error.item() == pytest.approx(wrong)
    assert not loss.requires_grad
    after = nn.functional.cross_entropy(model(data.images), data.labels).item()
    assert after < expected


def test_gradients_do_not_add_up():
    model, data = small(), images()
    step = EagerStep(model, sgd(model), classification, RunOptions())
    step.optimiser.param_groups[0]["lr"] = 0.0
    step(data.images, data.labels)
    first = model[0].weight.grad.clone()
    step(data.images, data.labels)
    torch.testing.assert_close(model[0].weight.grad, first)


def test_on_a_cpu_there_is_no_graph():
    model = small()
    step = make_step(model, sgd(model), classification, RunOptions())
    assert isinstance(step, EagerStep)


# What inductor itself warns about while it compiles is not ours to mend.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler (g++)")
def test_compiled_learns_the_same(one_thread):
    source = batches.shuffled(images(), RECIPE, seed=0)
    eager, compiled = small(), small()
    expected = train(eager, source, RECIPE, seed=0, options=RunOptions())
    found = train(compiled, source, RECIPE, seed=0, options=RunOptions(engine="compiled"))
    assert (expected.engine, found.engine) == ("eager", "compiled")
    assert found.history.loss == pytest.approx(expected.history.loss, abs=1e-4)
    # The names stay those of the net, so that weights and checkpoints fit either way.
    assert list(compiled.state_dict()) == list(eager.state_dict())
    for mine, theirs in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_graph_learns_the_same():
    source = batches.shuffled(images("cuda"), RECIPE, seed=0)
    torch.manual_seed(0)
    plain = models.create("cifar_resnet8").cuda()
    torch.manual_seed(0)
    graphed = models.create("cifar_resnet8").cuda()
    step = EagerStep(plain, sgd(plain), classification, RunOptions(device="cuda"))
    other = EagerStep(graphed, sgd(graphed), classification, RunOptions(device="cuda"))
    graph = GraphStep(other)
    assert graph.engine == "cuda-graph"
    for iteration in range(5):
        loss, error = step(*source.batch(iteration))
        found, wrong = graph(*source.batch(iteration))
        torch.testing.assert_close(found, loss, atol=1e-4, rtol=1e-4)
        assert abs(wrong.item() - error.item()) <= 1 / 8
    for (name, mine), theirs in zip(
        graphed.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3, msg=name)

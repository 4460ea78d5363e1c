"""Which engine a training takes: timed once for a machine, kept with the checkpoint."""

import json
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from killed_runs import killed_after
from replab.errors import UserError
from replab.options import RunOptions
from replab.training import batches, checkpoints, engines, loop
from replab.training.loop import train
from replab.training.recipe import ImageRecipe

RECIPE = ImageRecipe(
    iterations=6,
    batch_size=8,
    lr=0.05,
    schedule="cosine",
    momentum=0.9,
    weight_decay=1e-4,
    augment=False,
)
BATCH = (torch.zeros(8, 3, 8, 8), torch.zeros(8, dtype=torch.int64))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))


class Machine:
    """Steps of stated lengths in seconds; an error in place of one that cannot be compiled."""

    def __init__(self, eager, compiled):
        self.lengths = {False: eager, True: compiled}
        self.made = []

    def __call__(self, model, options):
        compiled = options.engine == "compiled"
        self.made.append(compiled)
        length = self.lengths[compiled]
        if isinstance(length, Exception):
            raise length

        def step(*batch):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += 1
            time.sleep(length)

        return step


def choose(machine, cache, *, iterations=10**8, model=None):
    options = RunOptions(engine="auto")
    chosen = engines.choose(
        model or net(), BATCH, machine, iterations=iterations, options=options, cache=cache
    )
    assert replace(chosen, engine="auto") == options
    return chosen.engine


@pytest.mark.parametrize(
    ("eager", "compiled", "expected"),
    [(0.02, 0.004, "compiled"), (0.004, 0.02, "eager"), (0.01, 0.01, "eager")],
)
def test_the_faster_one(tmp_path, eager, compiled, expected):
    machine = Machine(eager, compiled)
    assert choose(machine, tmp_path / "engines.json") == expected
    (answer,) = json.loads((tmp_path / "engines.json").read_text()).values()
    assert answer["engine"] == expected
    assert answer["eager_s"] == pytest.approx(eager, rel=0.5)


def test_short_trainings_are_not_compiled(tmp_path):
    machine = Machine(0.002, 0.0)
    assert choose(machine, tmp_path / "engines.json", iterations=1000) == "eager"
    assert True not in machine.made
    assert not (tmp_path / "engines.json").exists()


def test_a_machine_is_probed_once(tmp_path):
    cache = tmp_path / "engines.json"
    choose(Machine(0.01, 0.001), cache)
    again = Machine(0.001, 0.01)
    assert choose(again, cache) == "compiled"
    assert True not in again.made
    # Another network is another question.
    other = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(180, 10))
    assert choose(Machine(0.001, 0.01), cache, model=other) == "eager"
    assert len(json.loads(cache.read_text())) == 2


def test_what_cannot_be_compiled_trains_eagerly(tmp_path, capsys):
    machine = Machine(0.002, RuntimeError("no\ncompiler"))
    assert choose(machine, tmp_path / "engines.json") == "eager"
    assert "cannot compile here, training eagerly: no compiler" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_damaged_file_of_answers(tmp_path, content):
    cache = tmp_path / "engines.json"
    cache.write_text(content)
    assert choose(Machine(0.01, 0.001), cache) == "compiled"
    assert len(json.loads(cache.read_text())) == 1


def test_the_network_is_not_touched(tmp_path):
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    choose(Machine(0.002, 0.001), tmp_path / "engines.json", model=model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_an_unknown_engine():
    with pytest.raises(UserError, match="no engine 'fast'"):
        RunOptions(engine="fast")


def data():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(16, 3, 8, 8, generator=generator)
    return batches.DeviceImages(pixels, torch.arange(16) % 10)


def test_auto_learns_what_its_choice_learns(monkeypatch):
    source = batches.shuffled(data(), RECIPE, seed=0)
    expected = train(net(), source, RECIPE, seed=0, options=RunOptions(engine="eager"))
    monkeypatch.setattr(engines, "WORTH_PROBING_S", 0.0)
    monkeypatch.setattr(engines, "_probe", lambda *words: {"engine": "eager"})
    monkeypatch.setattr(engines, "write_json", lambda path, value: None)
    found = train(net(), source, RECIPE, seed=0, options=RunOptions(engine="auto"))
    assert found.history.loss == expected.history.loss
    assert found.engine == "eager"


def test_a_checkpoint_keeps_its_engine(tmp_path, monkeypatch):
    source = batches.shuffled(data(), RECIPE, seed=0)
    how = {"seed": 0, "options": RunOptions(engine="auto"), "checkpoint": tmp_path / "c.pt"}
    monkeypatch.setattr(engines, "choose", lambda *words, **more: RunOptions(engine="eager"))
    with killed_after(3):
        train(net(), source, RECIPE, **how)
    assert checkpoints.load(tmp_path / "c.pt", "cpu")["engine"] == "eager"
    # Whatever the machine would choose now.
    monkeypatch.setattr(engines, "choose", lambda *words, **more: RunOptions(engine="compiled"))
    assert train(net(), source, RECIPE, **how).engine == "eager"
    assert loop.engines is engines

"""Batch normalisation folded away changes the speed and nothing else."""

import pytest
import torch
from torch import nn

from replab import models
from replab.models.counting import count_macs
from replab.models.folding import fold_batch_norm
from replab.models.resnet import response_layers

NETS = [
    ("cifar_resnet20", {}),
    ("cifar_resnet20", {"shortcut": "B"}),
    ("cifar_plain20", {}),
    ("resnet18", {}),
    ("resnet18", {"shortcut": "A"}),
    ("resnet50", {"shortcut": "C", "stride_on": "1x1"}),
    ("plain18", {}),
]


def lived_in(name, **options):
    """A net whose normalisations are far from the identity."""
    torch.manual_seed(0)
    model = models.create(name, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


@pytest.mark.parametrize(("name", "options"), NETS)
def test_outputs_agree_and_no_normalisation_remains(name, options):
    model = lived_in(name, **options)
    folded = fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(module.training for module in folded.modules())
    assert model.training
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, got = model.eval()(x), folded(x)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert count_macs(folded, (3, 64, 64)) == count_macs(model, (3, 64, 64))


def test_the_model_itself_is_untouched():
    model = lived_in("cifar_resnet8")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold_batch_norm(model)
    with torch.no_grad():
        folded.conv1.weight.zero_()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_responses_can_still_be_hooked():
    model = lived_in("cifar_resnet8")
    folded, x = fold_batch_norm(model), torch.randn(1, 3, 32, 32)
    seen = {"model": [], "folded": []}
    for key, net in (("model", model.eval()), ("folded", folded)):
        for _, module in response_layers(net):
            module.register_forward_hook(
                lambda _module, _inputs, output, key=key: seen[key].append(output)
            )
        with torch.no_grad():
            net(x)
    assert len(seen["folded"]) == 7
    for ours, theirs in zip(seen["folded"], seen["model"], strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


class PreActivation(nn.Module):
    """Normalisation before its convolution: nothing may be folded by name."""

    def __init__(self):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(4)
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.other = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.other(torch.relu(self.conv1(torch.relu(self.bn1(x)))))


def test_what_is_not_known_to_be_adjacent_is_left():
    model = PreActivation()
    nn.init.uniform_(model.bn1.running_var, 0.5, 2)
    folded, x = fold_batch_norm(model), torch.randn(2, 4, 5, 5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 2
    assert torch.equal(folded(x), model.eval()(x))


def test_sequences_are_folded():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)
    ).eval()
    nn.init.normal_(model[1].running_mean)
    folded, x = fold_batch_norm(model), torch.randn(2, 3, 5, 5)
    assert isinstance(folded[1], nn.Identity)
    assert isinstance(folded[3], nn.BatchNorm2d)
    assert torch.allclose(folded(x), model(x), atol=1e-6)

"""Ghost batches normalise each part of a batch by itself, as separate GPUs do."""

import pytest
import torch
from torch import nn

from replab import models
from replab.models.ghost import GhostBatchNorm2d, use_ghost_batches


def test_each_part_is_normalised_by_itself():
    torch.manual_seed(0)
    x = torch.randn(12, 5, 4, 4) * torch.arange(1, 13)[:, None, None, None]
    ghost, plain = nn.BatchNorm2d(5), nn.BatchNorm2d(5)
    use_ghost_batches(ghost, 4)
    assert isinstance(ghost, GhostBatchNorm2d)
    expected = torch.cat([nn.BatchNorm2d(5)(part) for part in x.split(4)])
    torch.testing.assert_close(ghost(x), expected)
    # Running statistics are those of the first part, once a batch.
    plain(x[:4])
    torch.testing.assert_close(ghost.running_mean, plain.running_mean)
    torch.testing.assert_close(ghost.running_var, plain.running_var)
    assert ghost.num_batches_tracked == 1


def test_gradients_are_those_of_separate_batches():
    torch.manual_seed(1)
    x = torch.randn(8, 3, 2, 2, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    weights = torch.randn(8, 3, 2, 2)
    ghost, plain = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    use_ghost_batches(ghost, 2)
    (ghost(x) * weights).sum().backward()
    sum(
        (plain(p) * w).sum() for p, w in zip(other.split(2), weights.split(2), strict=True)
    ).backward()
    torch.testing.assert_close(x.grad, other.grad)
    torch.testing.assert_close(ghost.weight.grad, plain.weight.grad)
    torch.testing.assert_close(ghost.bias.grad, plain.bias.grad)


def test_a_net_keeps_its_names_and_its_evaluation():
    torch.manual_seed(0)
    model = models.create("cifar_resnet8")
    x = torch.randn(8, 3, 8, 8)
    model(x)
    names = list(model.state_dict())
    expected = model.eval()(x)
    use_ghost_batches(model, 4)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(x), expected)
    model.train()
    with torch.no_grad():
        assert not torch.allclose(model(x), models.create("cifar_resnet8").train()(x))
    assert sum(isinstance(m, GhostBatchNorm2d) for m in model.modules()) == 7


def test_one_ghost_of_all_is_the_usual_batch():
    torch.manual_seed(0)
    usual, ghost = models.create("cifar_plain8"), models.create("cifar_plain8")
    ghost.load_state_dict(usual.state_dict())
    use_ghost_batches(ghost, 6)
    x = torch.randn(6, 3, 8, 8)
    torch.testing.assert_close(ghost(x), usual(x))


def test_what_does_not_divide():
    layer = nn.BatchNorm2d(2)
    with pytest.raises(ValueError, match="ghost batches of 0 images"):
        use_ghost_batches(layer, 0)
    use_ghost_batches(layer, 4)
    with pytest.raises(ValueError, match="a batch of 6 cannot be split into ghosts of 4"):
        layer(torch.randn(6, 2, 2, 2))
    assert layer.eval()(torch.randn(6, 2, 2, 2)).shape == (6, 2, 2, 2)

"""Top-k error on cases counted by hand, and logits of a whole set."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replab.metrics.classification import predict, top_k_error

LOGITS = torch.tensor(
    [[9.0, 1.0, 0.0, -1.0], [0.0, 3.0, 2.0, 1.0], [0.0, 1.0, 2.0, 3.0], [5.0, 4.0, 3.0, 2.0]]
)


@pytest.mark.parametrize(
    ("labels", "k", "error"),
    [
        ([0, 1, 3, 0], 1, 0.0),
        ([1, 0, 0, 3], 1, 100.0),
        ([0, 2, 3, 3], 1, 50.0),
        ([0, 2, 3, 3], 2, 25.0),
        ([1, 0, 0, 3], 3, 75.0),
        ([1, 0, 0, 3], 4, 0.0),
        ([0, 1, 3, 2], 1, 25.0),
    ],
)
def test_top_k_error(labels, k, error):
    assert top_k_error(LOGITS, torch.tensor(labels), k) == error


def test_one_image_in_ten_thousand_is_a_hundredth_of_a_point():
    logits = torch.zeros(10_000, 10)
    logits[:, 3] = 1
    labels = torch.full((10_000,), 3)
    labels[77] = 4
    assert top_k_error(logits, labels) == pytest.approx(0.01, abs=1e-12)


@given(st.data())
def test_against_counting(data):
    count, classes = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 6))
    # No ties: each image's logits are a permutation.
    rows = [data.draw(st.permutations(range(classes))) for _ in range(count)]
    labels = [data.draw(st.integers(0, classes - 1)) for _ in range(count)]
    k = data.draw(st.integers(1, classes))
    wrong = sum(
        sum(other > row[label] for other in row) >= k
        for row, label in zip(rows, labels, strict=True)
    )
    got = top_k_error(torch.tensor(rows, dtype=torch.float32), torch.tensor(labels), k)
    assert got == 100 * wrong / count


@pytest.mark.parametrize(
    ("logits", "labels", "k", "message"),
    [
        (torch.zeros(4), torch.zeros(4), 1, "do not fit labels"),
        (torch.zeros(4, 2), torch.zeros(3), 1, r"logits \(4, 2\) do not fit labels \(3,\)"),
        (torch.zeros(0, 2), torch.zeros(0), 1, "do not fit labels"),
        (torch.zeros(2, 3), torch.tensor([1, 3]), 1, "out of the range of 3 classes"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), 1, "out of the range"),
        (torch.zeros(2, 3), torch.tensor([0, 0]), 0, "k = 0 or"),
        (torch.zeros(2, 3), torch.tensor([0, 0]), 4, "k = 4 or"),
        (torch.tensor([[0.0, float("nan")]]), torch.tensor([0]), 1, "not finite"),
        (torch.tensor([[0.0, float("inf")]]), torch.tensor([0]), 1, "not finite"),
    ],
)
def test_what_has_no_error(logits, labels, k, message):
    with pytest.raises(ValueError, match=message):
        top_k_error(logits, labels, k)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 4))


@pytest.mark.parametrize("batch_size", [1, 4, 7, 50])
def test_predict(model, batch_size):
    images = torch.randn(7, 3, 2, 2)
    told = []
    model.train()
    got = predict(model, images, batch_size=batch_size, progress=lambda *words: told.append(words))
    assert not model.training
    assert torch.allclose(got, model(images).detach(), atol=1e-6)
    assert not got.requires_grad
    assert len(told) == -(-7 // batch_size)
    assert told[-1] == (1.0, "7 images")
    assert told[0][0] == min(batch_size, 7) / 7


def test_predict_in_bf16(model):
    images = torch.randn(5, 3, 2, 2)
    rough = predict(model, images, batch_size=2, precision="bf16")
    exact = predict(model, images, batch_size=2)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert torch.allclose(rough, exact, atol=0.05, rtol=0.05)

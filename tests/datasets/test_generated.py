import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replab import datasets
from replab.datasets import generated
from replab.datasets.image_set import digest
from replab.errors import UserError

FIRST_FIFTY = "9f1f1e0e6695dfffb89d12cd0749976884f8a7963f28939c4ad93674a1daf657"


def test_every_machine_draws_the_same():
    images, labels = generated.draw(50)
    assert labels[:10].tolist() == [0, 7, 4, 5, 3, 2, 1, 9, 6, 8]
    assert digest(images) == FIRST_FIFTY


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 600), seed=st.integers(0, 2**32))
def test_draw_is_a_beginning_and_balanced(count, seed):
    images, labels = generated.draw(count, seed)
    assert images.shape == (count, 32, 32, 3)
    assert images.dtype == labels.dtype == np.uint8
    for start in range(0, count - 9, 10):
        assert sorted(labels[start : start + 10]) == list(range(10))
    shorter, shorter_labels = generated.draw(max(1, count // 2), seed)
    np.testing.assert_array_equal(shorter, images[: len(shorter)])
    np.testing.assert_array_equal(shorter_labels, labels[: len(shorter)])


def test_seeds_splits_and_blocks_differ():
    first, other, test = (generated.draw(10, *args)[0] for args in ((0,), (1,), (0, 1)))
    assert (first != other).mean() > 0.9
    assert (first != test).mean() > 0.9
    longer = generated.draw(generated.BLOCK + 10)[0]
    assert (longer[:10] != longer[-10:]).mean() > 0.9


def test_neither_trivial_nor_told_by_colour():
    images, labels = generated.draw(4000)
    test, test_labels = generated.draw(1000, split=1)

    def accuracy(train_features, test_features, ridge):
        centre = train_features.mean(0)
        x, z = train_features - centre, test_features - centre
        weights = np.linalg.solve(
            x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (np.eye(10)[labels] - 0.1)
        )
        return float(((z @ weights).argmax(1) == test_labels).mean())

    def small(pictures):  # 8×8 means of 4×4 pixels, enough for whatever is linear in them
        means = pictures.reshape(-1, 8, 4, 8, 4, 3).mean((2, 4), dtype=np.float64)
        return means.reshape(len(pictures), -1) / 255

    def colours(pictures):
        flat = pictures.reshape(len(pictures), -1, 3) / 255.0
        return np.concatenate([flat.mean(1), flat.std(1), flat.min(1), flat.max(1)], 1)

    def edges(pictures):  # how rough a picture is at three distances: a crude look at its form
        grey = pictures.mean(3, dtype=np.float64) / 255
        steps = [np.abs(grey[:, :, d:] - grey[:, :, :-d]).mean((1, 2)) for d in (1, 2, 4, 8)]
        return np.stack(steps, 1)

    # How much of a picture is bright tells a disc from dots, but not one form from the next.
    assert accuracy(small(images), small(test), 10.0) < 0.4
    assert accuracy(colours(images), colours(test), 1.0) < 0.3
    both = np.concatenate([colours(images), edges(images)], 1)
    both_test = np.concatenate([colours(test), edges(test)], 1)
    assert accuracy(both, both_test, 1e-3) > 0.13  # the form is there to be found


def test_forms_are_what_they_are_called():
    """The centre of each form, and its share of the square −1…1, follow from its outline."""
    v, u = np.mgrid[-1:1:400j, -1:1:400j].astype(np.float32)
    inside = {
        name: form(u, v) < 0 for name, form in zip(generated.CLASSES, generated.FORMS, strict=True)
    }
    share = {name: float(cover.mean()) for name, cover in inside.items()}
    assert share["disc"] == pytest.approx(np.pi * 0.9**2 / 4, abs=0.01)
    assert share["ring"] == pytest.approx(np.pi * (0.95**2 - 0.55**2) / 4, abs=0.01)
    assert share["square"] == pytest.approx(0.76**2, abs=0.01)
    assert share["cross"] == pytest.approx((2 * 2 * 0.56 - 0.56**2) / 4, abs=0.01)
    assert share["stripes"] == pytest.approx(0.85**2 / 2, abs=0.06)
    assert share["checker"] == pytest.approx(0.9**2 / 2, abs=0.06)
    # A triangle with inscribed circle r has the area 3√3·r².
    assert share["triangle"] == pytest.approx(3 * np.sqrt(3) * 0.55**2 / 4, abs=0.02)
    for name in ("disc", "triangle", "square", "cross", "star"):
        assert inside[name][200, 200], name
    assert not inside["ring"][200, 200]


def test_load_keeps_the_set_and_mends_it(data_dir):
    found = generated.load(30, 20, seed=3)
    assert found.name == "generated-shapes"
    assert found.fingerprint == generated.fingerprint(30, 20, 3)
    assert (len(found.train_images), len(found.test_images)) == (30, 20)
    np.testing.assert_array_equal(found.train_images, generated.draw(30, 3, 0)[0])
    np.testing.assert_array_equal(found.test_labels, generated.draw(20, 3, 1)[1])
    (path,) = (data_dir / "generated").glob("*/train_images.npy")
    node = path.stat().st_ino
    generated.load(30, 20, seed=3)
    assert path.stat().st_ino == node
    path.write_bytes(path.read_bytes()[:-5])
    np.testing.assert_array_equal(
        generated.load(30, 20, seed=3).train_images, generated.draw(30, 3, 0)[0]
    )


def test_fingerprints_are_known_without_drawing(data_dir):
    assert datasets.fingerprint("generated-shapes") == generated.fingerprint()
    made = {generated.fingerprint(*args) for args in ((), (100,), (100, 50), (100, 50, 1))}
    assert len(made) == 4
    assert not data_dir.exists()


def test_bad_counts_are_refused(data_dir):
    with pytest.raises(UserError, match="cannot draw 0 training"):
        generated.load(0, 10)
    with pytest.raises(UserError, match="seed -1"):
        generated.load(10, 10, seed=-1)

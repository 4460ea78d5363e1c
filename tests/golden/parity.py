"""How outputs are compared with the goldens."""

import numpy as np


def assert_statistics(tensor, expected):
    """A tensor has the shape, mean, deviation, largest number and probes of a golden."""
    numbers = tensor.numpy()
    limit = 1e-5 * expected["absmax"]
    assert list(numbers.shape) == expected["shape"]
    assert abs(numbers.mean(dtype=np.float64) - expected["mean"]) <= limit
    assert abs(numbers.std(dtype=np.float64) - expected["std"]) <= limit
    assert abs(np.abs(numbers).max() - expected["absmax"]) <= limit
    probes = numbers.ravel()[np.linspace(0, numbers.size - 1, 64).astype(int)]
    assert np.abs(probes - expected["probe64"]).max() <= limit

"""Arrays come out of every kind of file alike, and damage ends in one line."""

import struct

import numpy as np
import pytest
import scipy.io
import scipy.sparse

import pck_made as made
from replab.datasets.mat_files import ArrayFile, open_arrays
from replab.errors import UserError

ARRAY = np.arange(24.0).reshape(2, 3, 4)
KINDS = {".mat": "mat", "-73.mat": "hdf5", ".h5": "hdf5", ".npz": "npz", ".npy": "npy"}


@pytest.mark.parametrize("suffix", made.WRITERS)
def test_the_same_array_from_every_kind(tmp_path, suffix):
    path = made.WRITERS[suffix](tmp_path / f"file{suffix}", preds=ARRAY)
    file = open_arrays(path)
    assert file.kind == KINDS[suffix]
    name = file.choose(("other", "preds"))
    found = file.numbers(name)
    assert found.dtype == np.float64
    assert np.array_equal(found, ARRAY)
    # The name of the file does not matter.
    other = open_arrays(path.rename(tmp_path / "unnamed"))
    assert np.array_equal(other.numbers(other.choose(("preds",))), ARRAY)


@pytest.mark.parametrize("suffix", [".mat", "-73.mat"])
def test_words_of_matlab_s_cells(tmp_path, suffix):
    words = np.array([["rank", "rkne", "head"]], dtype=object)
    path = made.WRITERS[suffix](tmp_path / "file.mat", names=words, preds=ARRAY)
    file = open_arrays(path)
    assert set(file.names) == {"names", "preds"}
    assert file.words("names") == ("rank", "rkne", "head")
    with pytest.raises(UserError, match="not real numbers"):
        file.numbers("names")
    numbers = open_arrays(made.write_mat(tmp_path / "n.mat", names=_cells(ARRAY)))
    with pytest.raises(UserError, match="holds other things than words"):
        numbers.words("names")


def _cells(array):
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = array, "word"
    return cells


def test_words_of_numpy_and_hdf5(tmp_path):
    words = ("rank", "rkne")
    npz = made.write_npz(tmp_path / "a.npz", names=np.array(words))
    assert open_arrays(npz).words("names") == words
    h5 = made.write_h5(tmp_path / "a.h5", names=np.array([b"rank", b"rkne"]))
    assert [w.strip("b'") for w in open_arrays(h5).words("names")] == list(words)


def test_small_integers_become_floats(tmp_path):
    path = made.write_mat(tmp_path / "a.mat", preds=np.array([[3, 250]], np.uint8))
    found = open_arrays(path).numbers("preds")
    assert (found - 5).tolist() == [[-2, 245]]


def test_an_empty_array_of_matlab(tmp_path):
    path = made.write_mat73(tmp_path / "a.mat", preds=np.zeros((0, 3)))
    assert open_arrays(path).numbers("preds").shape == (0, 3)


class TestChoice:
    file = ArrayFile("x.mat", "mat", ("a", "b"))

    def test_one(self):
        assert self.file.choose(("c", "b")) == "b"

    def test_none(self):
        with pytest.raises(UserError, match=r"^x.mat holds a, b but no c or d; give the file"):
            self.file.choose(("c", "d"))

    def test_several(self):
        with pytest.raises(UserError, match=r"^x.mat holds a and b; keep the one"):
            self.file.choose(("a", "b"))

    def test_what_is_not_there(self):
        with pytest.raises(UserError, match="holds a, b but no c"):
            self.file.read("c")

    def test_many_names_are_cut(self):
        file = ArrayFile("x.mat", "mat", tuple("abcdefghij"))
        assert file.shown() == "a, b, c, d, e, f, g, h, …"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"\n<!DOCTYPE html>", "is a web page"),
        (b"x" * 600, "is no .mat"),
        (b"MATLAB 5.0 MAT-file", "or only the beginning of one"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "file.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        open_arrays(path)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.mat", tmp_path):
        with pytest.raises(UserError, match=r"^cannot read .*; name a readable file$"):
            open_arrays(path)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1 + 2j]]),
        {"field": 1.0},
        "text",
        scipy.sparse.eye(3),
    ],
    ids=["complex", "struct", "text", "sparse"],
)
def test_other_than_real_numbers(tmp_path, array):
    path = made.write_mat(tmp_path / "a.mat", preds=array)
    with pytest.raises(UserError, match=r"^preds of .* not real numbers; give an array"):
        open_arrays(path).numbers("preds")


def test_hdf5_folders(tmp_path):
    path = made.write_h5(tmp_path / "a.h5", **{"preds/inner": ARRAY})
    with pytest.raises(UserError, match=r"cannot read preds of .*preds is a folder"):
        open_arrays(path).numbers("preds")


def test_pickles_are_not_run(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, preds=np.array([{1}], dtype=object))
    with pytest.raises(UserError, match=r"cannot read preds of .*allow_pickle"):
        open_arrays(path).numbers("preds")


def test_two_variables_of_one_name(tmp_path):
    one, two = (made.write_mat(tmp_path / f"{n}.mat", preds=ARRAY + n) for n in (1, 2))
    both = tmp_path / "both.mat"
    both.write_bytes(one.read_bytes() + two.read_bytes()[128:])
    with pytest.raises(UserError, match=r"both.mat holds preds twice; keep the one"):
        open_arrays(both).numbers("preds")


def outcome(path):
    """What a file gives, or None if one line that names it says why it gives nothing."""
    try:
        file = open_arrays(path)
        return file.numbers(file.choose(("preds",)))
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert str(path) in said
    return None


@pytest.mark.faults
@pytest.mark.parametrize("suffix", made.WRITERS)
def test_cut_off_files(tmp_path, suffix):
    path = made.WRITERS[suffix](tmp_path / f"file{suffix}", preds=ARRAY)
    data = path.read_bytes()
    for length in sorted({int(share * len(data)) for share in np.linspace(0, 0.97, 25)}):
        path.write_bytes(data[:length])
        found = outcome(path)
        # What is whole in spite of it (a file may end in padding) is right.
        assert found is None or np.array_equal(found, ARRAY), length
    path.write_bytes(data[: len(data) // 2])
    assert outcome(path) is None


@pytest.mark.faults
@pytest.mark.parametrize("suffix", made.WRITERS)
def test_damaged_files(tmp_path, suffix):
    """Whatever a parser raises at wrong bytes becomes one line."""
    path = made.WRITERS[suffix](tmp_path / f"file{suffix}", preds=ARRAY)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(0, min(len(data), 1000), 3):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(damaged)
        refused += outcome(path) is None
    assert refused


def big_endian(name, array):
    """A file of MATLAB 5 in the other byte order, as old workstations wrote it; not compressed."""

    def element(kind, data):
        return struct.pack(">ii", kind, len(data)) + data + bytes(-len(data) % 8)

    double, int8, int32, uint32, float64, matrix = 6, 1, 5, 6, 9, 14
    content = element(uint32, struct.pack(">ii", double, 0))
    content += element(int32, struct.pack(f">{array.ndim}i", *array.shape))
    content += element(int8, name.encode())
    content += element(float64, array.astype(">f8").tobytes(order="F"))
    head = b"MATLAB 5.0 MAT-file, made".ljust(124) + b"\x01\x00MI"
    return head + element(matrix, content)


def test_the_other_byte_order(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(big_endian("preds", ARRAY))
    file = open_arrays(path)
    assert (file.kind, file.names) == ("mat", ("preds",))
    assert np.array_equal(file.numbers("preds"), ARRAY)


def test_files_that_are_not_compressed(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"preds": ARRAY}, do_compression=False)
    assert np.array_equal(open_arrays(path).numbers("preds"), ARRAY)

"""Arrays in .mat, .h5, .npz and .npy files, by name; whatever is wrong ends in one clear line."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replab.errors import UserError

Kind = Literal["mat", "hdf5", "npz", "npy"]
# Arrays of a .npy file have no name.
UNNAMED = ""
HDF5 = b"\x89HDF\r\n\x1a\n"
# MATLAB 7.3 writes HDF5 behind a block of its own.
MATLAB_BLOCK = 512
KINDS = ".mat (version 5 or 7.3), .h5, .npz or .npy"


@dataclass(frozen=True)
class ArrayFile:
    """A file of arrays, of which nothing but the list has been read.

    Attributes:
        path: the file.
        kind: what it is, by its first bytes; its name does not matter.
        names: of what it holds, on its uppermost level; one empty name for a .npy file.
    """

    path: Path
    kind: Kind
    names: tuple[str, ...]

    def choose(self, wanted: Sequence[str]) -> str:
        """The one of the wanted names that the file holds; of a .npy file, its only array.

        Raises:
            UserError: it holds none of them, or several.
        """
        if self.kind == "npy":
            return UNNAMED
        found = [name for name in wanted if name in self.names]
        if len(found) == 1:
            return found[0]
        if found:
            both = " and ".join(found)
            raise UserError(f"{self.path} holds {both}; keep the one that is meant")
        named = " or ".join(wanted)
        raise UserError(
            f"{self.path} holds {self.shown()} but no {named}; give the file that does"
        )

    def shown(self) -> str:
        """What it holds, as words for a message."""
        if self.kind == "npy":
            return "one array without a name"
        first = ", ".join(self.names[:8])
        return first + (", …" if len(self.names) > 8 else "") if first else "nothing"

    def read(self, name: str) -> Any:
        """What is stored under a name, its axes in MATLAB's order where MATLAB wrote it.

        Raises:
            UserError: there is nothing of that name, or it is damaged.
        """
        if name not in self.names:
            raise UserError(
                f"{self.path} holds {self.shown()} but no {name}; give the file that does"
            )
        if self.names.count(name) > 1:
            raise UserError(f"{self.path} holds {name} twice; keep the one that is meant")
        try:
            return _READERS[self.kind](self.path, name)
        # The parsers raise nearly anything at damaged bytes: zlib.error, struct.error, KeyError …
        except Exception as error:
            shown = f"{name} of {self.path}" if name else str(self.path)
            raise UserError(
                f"cannot read {shown}: {_reason(error)}; get the file again"
            ) from error

    def numbers(self, name: str) -> NDArray[np.float64]:
        """An array of real numbers, as float64 (what is stored as uint8 can be subtracted then).

        Raises:
            UserError: as `read`, or it holds something else than real numbers.
        """
        array = self.read(name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
            what = getattr(array, "dtype", type(array).__name__)
            shown = f"{name} of {self.path}" if name else str(self.path)
            raise UserError(f"{shown} holds {what}, not real numbers; give an array of numbers")
        return np.asarray(array, dtype=np.float64)

    def words(self, name: str) -> tuple[str, ...]:
        """A list of words, as MATLAB's cells of strings.

        Raises:
            UserError: as `read`, or it holds something else than words.
        """
        found = np.asarray(self.read(name), dtype=object).ravel().tolist()
        words = [str(np.asarray(word).item()) for word in found if np.size(word) == 1]
        if len(words) != len(found):
            raise UserError(f"{name} of {self.path} holds other things than words; get it again")
        return tuple(word.strip() for word in words)


def open_arrays(path: Path) -> ArrayFile:
    """See what a file of arrays holds.

    Args:
        path: a .mat file of MATLAB 5 to 7.3, an HDF5 file, .npz or .npy; known by its content.

    Raises:
        UserError: it is missing, empty, no such file, or damaged.
    """
    kind = _kind(path)
    try:
        return ArrayFile(path, kind, _NAMES[kind](path))
    # As in `ArrayFile.read`.
    except Exception as error:
        raise UserError(f"cannot read {path}: {_reason(error)}; get the file again") from error


def shown_shape(shape: tuple[int, ...]) -> str:
    """A shape as words for a message, as 14×2×1000."""
    return "×".join(map(str, shape)) or "of one number"


def _kind(path: Path) -> Kind:
    try:
        with path.open("rb") as stream:
            head = stream.read(MATLAB_BLOCK + len(HDF5))
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot read {path}: {reason}; name a readable file") from error
    if head.startswith(HDF5) or head[MATLAB_BLOCK:] == HDF5:
        return "hdf5"
    # Version and byte order of MATLAB's header; 7.3 has another version, and HDF5 behind it.
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return "mat"
    if head.startswith(b"PK"):
        return "npz"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if not head:
        what = "is empty"
    elif head.startswith(b"version https://git-lfs"):
        what = "is a pointer of Git LFS, not the data"
    elif head.lstrip()[:1] == b"<":
        what = "is a web page"
    else:
        what = f"is no {KINDS} file, or only the beginning of one"
    raise UserError(f"{path} {what}; get the file again")


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text[:150] or type(error).__name__


def _mat_names(path: Path) -> tuple[str, ...]:
    from scipy.io import whosmat

    return tuple(name for name, _, _ in whosmat(path))


def _mat(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    with warnings.catch_warnings():
        # Else scipy gives its message in the array's place.
        warnings.filterwarnings("error", "Unreadable variable")
        return loadmat(path, variable_names=[name])[name]


def _hdf5_names(path: Path) -> tuple[str, ...]:
    import h5py

    with h5py.File(path, "r") as file:
        # MATLAB keeps what its cells refer to under such a name.
        return tuple(name for name in file if not name.startswith("#"))


def _hdf5(path: Path, name: str) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            raise ValueError(f"{name} is a folder")
        if found.dtype.kind == "O" and h5py.check_ref_dtype(found.dtype) is not None:
            return np.array([_hdf5_text(file[one]) for one in found[()].T.ravel()], dtype=object)
        if h5py.check_string_dtype(found.dtype) is not None:
            return found.asstr()[()]
        array = found[()]
        if "MATLAB_class" not in found.attrs:
            return array
        if "MATLAB_empty" in found.attrs:
            return np.empty(tuple(int(size) for size in array), dtype=np.float64)
        # MATLAB stores columns first and HDF5 rows first: all axes are reversed.
        return array.T


def _hdf5_text(stored: Any) -> str:
    """A cell of MATLAB: a string as numbers of its characters."""
    return "".join(map(chr, stored[()].T.ravel().tolist()))


def _npz_names(path: Path) -> tuple[str, ...]:
    # NumPy leaves a file open that turns out to be damaged.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return tuple(file.files)


def _npz(path: Path, name: str) -> Any:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return file[name]


def _npy_names(path: Path) -> tuple[str, ...]:
    return (UNNAMED,)


def _npy(path: Path, name: str) -> Any:
    return np.load(path, allow_pickle=False)


_NAMES = {"mat": _mat_names, "hdf5": _hdf5_names, "npz": _npz_names, "npy": _npy_names}
_READERS = {"mat": _mat, "hdf5": _hdf5, "npz": _npz, "npy": _npy}

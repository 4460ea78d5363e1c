"""Pictures of any size as files of a folder or members of a zip, decoded when they are asked for.

OpenCV decodes them as the released pose code does: a camera's orientation tag turns nothing, and
whatever is stored (grey, CMYK, with a palette) comes out as RGB.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replab.errors import UserError

JPEG, SCAN, END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
LOCAL_HEADER = struct.Struct("<4s22xHH")
LOCAL_MAGIC = b"PK\x03\x04"
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
ABSENT = -1


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Pictures in a folder; a `replab.datasets.pose_set.Images`.

    Attributes:
        folder: what the names are relative to.
        names: I, bytes in UTF-8: a hundred thousand strings would take more, in each process.
        sizes: I×2, width and height in px that a picture must have; 0 where they are not known.
        mend: what the user can do about a missing or damaged one, for the error's last part.
    """

    folder: Path
    names: NDArray[np.bytes_]
    sizes: NDArray[np.int64]
    mend: str

    def __len__(self) -> int:
        return len(self.names)

    def shown(self, index: int) -> str:
        """What a picture is called in messages."""
        return os.fspath(self.folder / self.names[index].decode())

    def data(self, index: int) -> bytes:
        """The bytes of a picture's file.

        Raises:
            UserError: the file is missing or cannot be read.
        """
        try:
            return Path(self.shown(index)).read_bytes()
        except OSError as error:
            raise self.unreadable(index, error.strerror or str(error)) from error

    def read(self, index: int) -> NDArray[np.uint8]:
        """One picture, H×W×3, RGB; may be called from several threads at once.

        Raises:
            UserError: the file is missing, cut off, no image or of another size than annotated.
        """
        try:
            picture = decode(self.data(index))
        except ValueError as error:
            raise self.unreadable(index, str(error)) from error
        height, width = picture.shape[:2]
        expected = self.sizes[index]
        if expected.all() and (width, height) != tuple(expected):
            reason = f"it has {width}×{height} px, annotated are {expected[0]}×{expected[1]}"
            raise self.unreadable(index, reason)
        return picture

    def missing(self) -> list[str]:
        """Names of the pictures that are not there, in their order."""
        there: dict[bytes, set[bytes]] = {}
        found = []
        for name in self.names.tolist():
            place, _, last = name.rpartition(b"/")
            if place not in there:
                there[place] = _listed(self.folder / place.decode())
            if last not in there[place]:
                found.append(name.decode())
        return found

    def unreadable(self, index: int, reason: str) -> UserError:
        """The one line that says that a picture cannot be read."""
        return UserError(f"cannot read the image {self.shown(index)}: {reason}; {self.mend}")


@dataclass(frozen=True, eq=False)
class ZippedPictures(PictureFiles):
    """Pictures inside a zip, read by seeking; its `folder` is the zip.

    Each reading opens the file anew (some 20 µs), so that threads and processes share no position.

    Attributes:
        members: I×5, int64: offset of the local header, bytes in the zip, bytes unpacked, method
            and CRC-32; the offset is −1 for pictures that are not there.
    """

    members: NDArray[np.int64]

    def data(self, index: int) -> bytes:
        """The bytes of a picture, unpacked, their CRC-32 checked.

        Raises:
            UserError: the picture is missing, or the zip is damaged at this place.
        """
        offset, packed, unpacked, method, checksum = self.members[index].tolist()
        if offset == ABSENT:
            raise self.unreadable(index, "the zip has no such member")
        try:
            with self.folder.open("rb") as stream:
                stream.seek(offset)
                header = stream.read(LOCAL_HEADER.size)
                if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL_MAGIC):
                    raise self.unreadable(index, "the zip is damaged here")
                # Names and extra fields may be of other lengths here than in the directory.
                _, name, extra = LOCAL_HEADER.unpack(header)
                stream.seek(offset + LOCAL_HEADER.size + name + extra)
                data = stream.read(packed)
            if method == DEFLATED:
                data = zlib.decompress(data, -zlib.MAX_WBITS, unpacked or 1)
        except OSError as error:
            raise self.unreadable(index, error.strerror or str(error)) from error
        except zlib.error as error:
            raise self.unreadable(index, "the zip is damaged here") from error
        if len(data) != unpacked or zlib.crc32(data) != checksum:
            raise self.unreadable(index, "the zip is damaged here (its CRC-32 differs)")
        return data

    def missing(self) -> list[str]:
        """Names of the pictures that are not in the zip, in their order."""
        return [name.decode() for name in self.names[self.members[:, 0] == ABSENT].tolist()]


def open_pictures(
    place: Path,
    names: Sequence[str],
    *,
    mend: str,
    sizes: NDArray[np.int64] | None = None,
    inside: str = "",
) -> PictureFiles:
    """Pictures of a folder, which need not exist, or of a zip.

    Args:
        place: the folder, or the zip.
        names: of the pictures, relative to it.
        mend: as of `PictureFiles`.
        sizes: as of `PictureFiles`; None where none are known.
        inside: folder in the zip, or below the folder, that the names are relative to.

    Raises:
        UserError: the zip cannot be read, or holds members of a method that is not supported.
    """
    if sizes is None:
        sizes = np.zeros((len(names), 2), dtype=np.int64)
    prefix = f"{inside.strip('/')}/" if inside.strip("/") else ""
    names = [prefix + name for name in names]
    # A length of 1 at least: bytes of length 0 are no dtype.
    encoded = np.array([name.encode() for name in names], dtype=np.bytes_).reshape(len(names))
    if not place.is_file():
        return PictureFiles(place, encoded, sizes, mend)
    known = {entry.filename: entry for entry in zip_members(place, mend=mend)}
    members = np.full((len(names), 5), ABSENT, dtype=np.int64)
    for row, name in enumerate(names):
        entry = known.get(name)
        if entry is None:
            continue
        if entry.compress_type not in (STORED, DEFLATED) or entry.flag_bits & 1:
            raise UserError(f"{place}: {name} is encrypted or packed in an unknown way; {mend}")
        members[row] = (
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type,
            entry.CRC,
        )
    return ZippedPictures(place, encoded, sizes, mend, members)


def zip_members(path: Path, *, mend: str) -> list[zipfile.ZipInfo]:
    """The members of a zip as its directory lists them.

    Raises:
        UserError: the file cannot be read or is no whole zip.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it is no zip, or cut off"
        raise UserError(f"cannot read {path}: {reason}; {mend}") from error


def decode(data: bytes) -> NDArray[np.uint8]:
    """A stored picture as pixels, H×W×3, RGB; a camera's orientation tag turns nothing.

    Raises:
        ValueError: the data are cut off or no image.
    """
    import cv2

    if cut_off(data):
        # OpenCV 4 would fill what is missing with grey.
        raise ValueError("the file is cut off")
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise ValueError("the file is damaged or no image")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def cut_off(data: bytes) -> bool:
    """Whether a file is empty, or a JPEG whose end is missing after its last scan."""
    # Within a scan these two bytes occur as markers only; thumbnails lie before it.
    return not data or (data.startswith(JPEG) and data.rfind(END) <= data.rfind(SCAN))


def picture_sizes(pictures: PictureFiles, indices: Iterable[int]) -> NDArray[np.int64]:
    """Width and height in px as stored, I×2, from the pictures' first bytes, without decoding.

    Raises:
        UserError: a picture is missing or no image.
    """
    return np.array(list(_sizes(pictures, indices)), dtype=np.int64).reshape(-1, 2)


def _sizes(pictures: PictureFiles, indices: Iterable[int]) -> Iterator[tuple[int, int]]:
    from PIL import Image

    for index in indices:
        try:
            with Image.open(io.BytesIO(pictures.data(index))) as image:
                yield image.size
        # Damaged files make Pillow raise more than OSError.
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise pictures.unreadable(index, "the file is damaged or no image") from error


def _listed(folder: Path) -> set[bytes]:
    """Names of the files in a folder that are not empty; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return {os.fsencode(e.name) for e in entries if e.is_file() and e.stat().st_size}
    except OSError:
        return set()

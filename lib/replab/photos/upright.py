"""Photographs as people see them: any usual format as upright RGB pixels, its oddities named.

The data sets' pictures are kept as stored (`datasets.picture_files`), because their annotations
are in stored pixels. A photograph of one's own has no annotations, and a telephone writes how it
was held beside the pixels: here the picture is turned accordingly, and all that is found in it is
in px of the turned picture.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from replab.datasets.picture_files import decode
from replab.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

READABLE = "JPEG, PNG, WebP, TIFF, BMP or GIF"
# Of the tag in which cameras say how they were held (EXIF 2.32, section 4.6.4).
ORIENTATION = 0x0112
UPRIGHT = 1
# What transparent parts are laid on.
PAPER = 255
# Formats that are decoded by OpenCV, so that they give the pixels that evaluation sees.
JPEGS = ("JPEG", "MPO")
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
# Grey values without a range that the file would state.
RANGELESS = ("I", "F")
# Filters of warnings are of the whole process, and pictures are read by several threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Upright:
    """A photograph as people see it.

    Attributes:
        picture: H×W×3, uint8, RGB, upright.
        orientation: the camera's tag, 1–8, which the picture has been turned by; 1 turns nothing.
        notes: what was done to the stored picture besides, in words for the user.
    """

    picture: NDArray[np.uint8]
    orientation: int
    notes: tuple[str, ...] = ()


def read(path: Path) -> Upright:
    """A photograph, upright; may be called from several threads at once.

    Grey, palette and CMYK pictures become RGB, of 16 bits the upper 8 are taken, transparent
    parts become white, and of an animation or a file of several pages the first is taken; the last
    three are noted.

    Raises:
        UserError: the file is missing, cut off, no picture, or of grey values whose range nobody
            knows.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), "check the path") from error
    save_anew = f"save it anew as {READABLE}"
    if not data:
        raise _unreadable(path, "the file is empty", save_anew)
    notes: list[str] = []
    try:
        with _quiet(), _open(data) as image:
            orientation = left = _orientation(image)
            if image.format not in JPEGS:
                picture = _pixels(image, notes)
                # Pillow turns TIFFs itself as it loads them, and removes the tag.
                left = _orientation(image)
        if image.format in JPEGS:
            picture = decode(data)
    except ValueError as error:
        raise _unreadable(path, str(error), save_anew) from error
    return Upright(turn(picture, left), orientation, tuple(notes))


def turn(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A stored picture H×W×3 as it was seen, by the camera's orientation tag (1–8).

    Tags 5 to 8 exchange height and width; any other number turns nothing. Source: EXIF 2.32,
    section 4.6.4, where the tag says which sides of the scene row 0 and column 0 are.
    """
    if orientation in (5, 6, 7, 8):
        picture = picture.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings about odd metadata or many pixels, and each fault of a file as ValueError."""
    from PIL import Image

    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Image.UnidentifiedImageError as error:
            raise ValueError("its format is not known here") from error
        except Image.DecompressionBombError as error:
            raise ValueError("it has too many pixels to be a photograph") from error
        # Damaged files make Pillow's decoders raise more than OSError.
        except (OSError, SyntaxError, EOFError, KeyError, IndexError, TypeError) as error:
            reason = getattr(error, "strerror", None) or "the file is damaged or cut off"
            raise ValueError(reason) from error


def _open(data: bytes) -> "Image":
    from PIL import Image

    return Image.open(io.BytesIO(data))


def _orientation(image: "Image") -> int:
    # Pillow would decode all of a PNG to look for a tag behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return UPRIGHT
    found = image.getexif().get(ORIENTATION, UPRIGHT)
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def _pixels(image: "Image", notes: list[str]) -> NDArray[np.uint8]:
    """Pixels of anything but a JPEG, H×W×3, and what was done to them."""
    from PIL import Image

    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"the first of {frames} frames or pages is taken")
    if image.mode in RANGELESS:
        raise ValueError("its grey values have no stated range")
    image.load()
    if image.mode in DEEP_GREY:
        notes.append("of 16 bits the upper 8 are taken")
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        whole = image.convert("RGBA")
        if whole.getextrema()[3][0] < 255:  # type: ignore[index]
            notes.append("transparent parts are taken as white")
        ground = Image.new("RGBA", whole.size, (PAPER, PAPER, PAPER, 255))
        return np.array(Image.alpha_composite(ground, whole).convert("RGB"))
    # A copy, since Pillow's own memory cannot be written to, which torch warns of.
    return np.array(image.convert("RGB"))


def _unreadable(path: Path, reason: str, mend: str) -> UserError:
    return UserError(f"cannot read the picture {path}: {reason}; {mend}")

"""Photographs of all usual kinds come out upright and in RGB; those that cannot are named."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import tiny_pose_sets as tiny
from replab.datasets.picture_files import decode
from replab.errors import UserError
from replab.photos import upright

# Of Pillow, by orientation: what makes the stored picture of the upright one.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def tagged(picture, orientation, **options):
    """Bytes of an image with a camera's tag."""
    exif = Image.Exif()
    exif[upright.ORIENTATION] = orientation
    stream = io.BytesIO()
    picture.save(stream, exif=exif, **options)
    return stream.getvalue()


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    orientation=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_turning_is_what_pillow_does(width, height, orientation, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = tagged(Image.fromarray(pixels), orientation, format="PNG")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(upright.turn(pixels, orientation), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_tag_is_obeyed(tmp_path, photograph, kind, orientation):
    picture = Image.fromarray(photograph)
    if orientation in STORED:
        picture = picture.transpose(STORED[orientation])
    lossless = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "x"
    path.write_bytes(tagged(picture, orientation, format=kind, **lossless))
    found = upright.read(path)
    assert found.orientation == orientation
    assert found.notes == ()
    np.testing.assert_array_equal(found.picture, photograph)
    assert found.picture.flags.c_contiguous
    assert found.picture.flags.writeable


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_has_the_pixels_that_evaluation_sees(tmp_path, orientation):
    data = tiny.encode(tiny.picture(40, 30))
    path = tmp_path / "x.jpg"
    path.write_bytes(tiny.with_orientation(data, orientation))
    found = upright.read(path).picture
    expected = decode(data)
    np.testing.assert_array_equal(found, expected if orientation == 1 else np.rot90(expected, -1))


def save(path, picture, **options):
    picture.save(path, **options)
    return path


def test_grey_palette_and_cmyk_become_rgb(tmp_path, photograph):
    grey = Image.fromarray(photograph[..., 0])
    found = upright.read(save(tmp_path / "grey.png", grey))
    np.testing.assert_array_equal(found.picture, np.repeat(photograph[..., :1], 3, axis=2))
    found = upright.read(save(tmp_path / "grey.jpg", grey, quality=98))
    assert np.abs(found.picture.astype(int) - photograph[..., :1]).max() <= 6
    palette = Image.fromarray(photograph).quantize(64)
    found = upright.read(save(tmp_path / "palette.png", palette))
    np.testing.assert_array_equal(found.picture, np.asarray(palette.convert("RGB")))
    cmyk = Image.fromarray(photograph).convert("CMYK")
    for name in ("cmyk.jpg", "cmyk.tif"):
        found = upright.read(save(tmp_path / name, cmyk))
        assert np.abs(found.picture.astype(int) - photograph).max() <= 12
        assert found.notes == ()


def test_of_sixteen_bits_the_upper_eight_are_taken(tmp_path, photograph):
    deep = photograph[..., 0].astype(np.uint16) * 256 + 77
    found = upright.read(save(tmp_path / "deep.png", Image.fromarray(deep)))
    np.testing.assert_array_equal(found.picture, np.repeat(photograph[..., :1], 3, axis=2))
    assert found.notes == ("of 16 bits the upper 8 are taken",)


def test_transparent_parts_become_white(tmp_path, photograph):
    alpha = np.full(photograph.shape[:2], 255, np.uint8)
    whole = Image.fromarray(np.dstack((photograph, alpha)))
    found = upright.read(save(tmp_path / "whole.png", whole))
    np.testing.assert_array_equal(found.picture, photograph)
    assert found.notes == ()
    alpha[:10] = 0
    partly = Image.fromarray(np.dstack((photograph, alpha)))
    found = upright.read(save(tmp_path / "partly.png", partly))
    assert (found.picture[:10] == 255).all()
    np.testing.assert_array_equal(found.picture[10:], photograph[10:])
    assert found.notes == ("transparent parts are taken as white",)


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.tif", "x.png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, photograph, name):
    frames = [Image.fromarray(np.full_like(photograph, level)) for level in (200, 40, 90)]
    options = {"save_all": True, "append_images": frames[1:]}
    found = upright.read(save(tmp_path / name, frames[0], **options))
    assert (np.abs(found.picture.astype(int) - 200) <= 2).all()
    assert found.notes == ("the first of 3 frames or pages is taken",)


def fault(path):
    with pytest.raises(UserError) as caught:
        upright.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_faults_are_one_line_with_the_file_s_name(tmp_path, photograph):
    assert "No such file" in fault(tmp_path / "none.jpg")
    assert "directory" in fault(tmp_path)
    path = tmp_path / "x.jpg"
    path.write_bytes(b"")
    assert "empty" in fault(path)
    path.write_bytes(b"hello, this is no picture")
    assert "its format is not known" in fault(path)
    whole = tiny.encode(photograph)
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut off" in fault(path)
    whole = tiny.encode(photograph, ".png")
    path = tmp_path / "x.png"
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged or cut off" in fault(path)
    ranges = Image.fromarray(photograph[..., 0].astype(np.float32))
    assert "no stated range" in fault(save(tmp_path / "x.tif", ranges))


@pytest.mark.faults
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_damage_anywhere_is_a_picture_or_one_line(tmp_path, photograph, suffix):
    whole = tiny.with_orientation(tiny.encode(photograph), 6)
    if suffix == ".png":
        whole = tagged(Image.fromarray(photograph), 6, format="PNG")
    generator = np.random.default_rng(1)
    path = tmp_path / f"x{suffix}"
    pictures, refusals = [], []
    for _ in range(150):
        data = bytearray(whole)
        for place in generator.integers(0, min(len(data), 400), 3):
            data[place] = int(generator.integers(0, 256))
        path.write_bytes(data)
        try:
            pictures.append(upright.read(path).picture)
        except UserError as error:
            refusals.append(str(error))
    assert pictures
    assert all(picture.ndim == 3 and picture.dtype == np.uint8 for picture in pictures)
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)

import pickle
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

import tiny_pose_sets as tiny
from replab.datasets.picture_files import cut_off, decode, open_pictures, picture_sizes
from replab.errors import UserError

MEND = "get it again"
NAMES = [f"p{n}.jpg" for n in range(5)]


@pytest.fixture
def pixels():
    return [tiny.picture(20 + 7 * n, 30 + n, seed=n) for n in range(5)]


@pytest.fixture
def places(pixels, tmp_path):
    """The same pictures in a folder, a stored and a packed zip: (place, inside)."""
    made = {name: tiny.encode(image) for name, image in zip(NAMES, pixels, strict=True)}
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in made.items():
        (folder / name).write_bytes(data)
    below = {f"val/{name}": data for name, data in made.items()}
    stored, packed = tmp_path / "stored.zip", tmp_path / "packed.zip"
    stored.write_bytes(tiny.zip_of({"val/": b"", **below}))
    packed.write_bytes(tiny.zip_of(below, zipfile.ZIP_DEFLATED))
    return {"folder": (folder, ""), "stored": (stored, "val"), "packed": (packed, "val")}


def opened(places, kind, **options):
    place, inside = places[kind]
    return open_pictures(place, NAMES, mend=MEND, inside=inside, **options)


def failure(pictures, index):
    with pytest.raises(UserError) as error:
        pictures.read(index)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"cannot read the image {pictures.shown(index)}: ")
    assert text.endswith(f"; {MEND}")
    return text


@pytest.mark.parametrize("kind", ["folder", "stored", "packed"])
def test_pictures_are_rgb_wherever_they_lie(kind, places, pixels):
    pictures = opened(places, kind)
    assert len(pictures) == 5
    assert pictures.missing() == []
    for index, expected in enumerate(pixels):
        found = pictures.read(index)
        assert found.dtype == np.uint8
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 4
    sizes = picture_sizes(pictures, range(5))
    assert sizes.tolist() == [[20 + 7 * n, 30 + n] for n in range(5)]


@pytest.mark.parametrize("kind", ["folder", "stored", "packed"])
def test_many_threads_and_other_processes_read_the_same(kind, places):
    pictures = opened(places, kind)
    first = [pictures.read(index) for index in range(5)]
    start = threading.Barrier(8)

    def work(seed):
        start.wait(10)
        order = np.random.default_rng(seed).integers(0, 5, 60).tolist()
        return all(np.array_equal(pictures.read(index), first[index]) for index in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    again = pickle.loads(pickle.dumps(pictures))
    assert np.array_equal(again.read(3), first[3])


def test_a_camera_s_orientation_turns_nothing(tmp_path):
    data = tiny.encode(tiny.picture(40, 20))
    turned = tiny.with_orientation(data, 6)
    (tmp_path / "x.jpg").write_bytes(turned)
    # The tag is there and others obey it.
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (40, 20, 3)
    pictures = open_pictures(tmp_path, ["x.jpg"], mend=MEND, sizes=np.array([[40, 20]]))
    assert np.array_equal(pictures.read(0), decode(data))
    assert picture_sizes(pictures, [0]).tolist() == [[40, 20]]


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1", "I;16"])
def test_every_kind_of_picture_becomes_rgb(mode, tmp_path):
    path = tmp_path / f"x.{'jpg' if mode in ('L', 'CMYK') else 'png'}"
    if mode == "I;16":
        Image.fromarray(np.full((6, 9), 40_000, np.uint16)).save(path)
    else:
        Image.new("RGB", (9, 6), (10, 200, 30)).convert(mode).save(path)
    found = open_pictures(tmp_path, [path.name], mend=MEND).read(0)
    assert found.shape == (6, 9, 3)
    if mode in ("P", "RGBA", "CMYK"):
        assert np.abs(found.astype(int) - (10, 200, 30)).max() < 60
    else:
        assert (found == found[..., :1]).all()


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["half", "head", "empty", "text", "gone", "folder"])
def test_a_damaged_picture_is_one_line(damage, places):
    pictures = opened(places, "folder")
    path = places["folder"][0] / NAMES[2]
    data = path.read_bytes()
    if damage in ("gone", "folder"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    cuts = {"half": data[: len(data) // 2], "head": data[:40], "empty": b"", "text": b"no image"}
    if damage in cuts:
        path.write_bytes(cuts[damage])
    text = failure(pictures, 2)
    reasons = {"half": "cut off", "empty": "cut off", "text": "no image", "gone": "No such file"}
    assert reasons.get(damage, "") in text
    assert pictures.missing() == ([NAMES[2]] if damage in ("gone", "folder", "empty") else [])


@pytest.mark.faults
@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_sizes_of_what_is_no_picture(content, places):
    (places["folder"][0] / NAMES[1]).write_bytes(content)
    with pytest.raises(UserError, match=r"p1\.jpg: the file is damaged or no image; get it again"):
        picture_sizes(opened(places, "folder"), range(5))


def test_a_thumbnail_s_end_is_not_the_picture_s():
    whole = tiny.encode(tiny.picture(60, 50, seed=3))
    small = tiny.encode(tiny.picture(8, 6))
    block = b"\xff\xe1" + (len(small) + 8).to_bytes(2, "big") + b"Exif\0\0" + small
    nested = whole[:2] + block + whole[2:]
    assert not cut_off(nested)
    assert decode(nested).shape == (50, 60, 3)
    assert cut_off(nested[:-200])
    # Some cameras and editors append bytes of their own.
    assert not cut_off(nested + b"\0" * 9)


@pytest.mark.faults
def test_damage_inside_a_zip_is_found(places):
    path = places["stored"][0]
    data = bytearray(path.read_bytes())
    pictures = opened(places, "stored")
    inside = data.index(b"\xff\xd8\xff", data.index(b"val/p2.jpg")) + 300
    data[inside] ^= 255
    path.write_bytes(bytes(data))
    assert "CRC-32" in failure(pictures, 2)
    assert pictures.read(1).shape == (31, 27, 3)
    path.write_bytes(bytes(data[: inside - 100]))
    assert "damaged here" in failure(pictures, 2)
    assert "damaged here" in failure(pictures, 4)
    with pytest.raises(UserError, match=r"stored\.zip: it is no zip, or cut off; get it again"):
        opened(places, "stored")
    path.unlink()
    assert "No such file" in failure(pictures, 0)


@pytest.mark.faults
def test_damage_inside_a_packed_zip_is_found(places):
    path = places["packed"][0]
    data = bytearray(path.read_bytes())
    pictures = opened(places, "packed")
    for offset in range(60, 160):
        data[data.index(b"val/p3.jpg") + offset] ^= 85
    path.write_bytes(bytes(data))
    assert "damaged here" in failure(pictures, 3)


def test_pictures_that_are_not_there_are_named(places):
    for kind in ("folder", "stored"):
        place, inside = places[kind]
        names = ["a.jpg", *NAMES, "b/c.jpg"]
        pictures = open_pictures(place, names, mend=MEND, inside=inside)
        prefix = f"{inside}/" if inside else ""
        assert pictures.missing() == [f"{prefix}a.jpg", f"{prefix}b/c.jpg"]
        failure(pictures, 0)
        assert pictures.read(1).shape == (30, 20, 3)
    nowhere = open_pictures(places["folder"][0] / "none", NAMES, mend=MEND)
    assert nowhere.missing() == NAMES
    failure(nowhere, 0)


def test_a_picture_of_another_size_than_annotated_is_refused(places):
    sizes = np.array([[20, 30], [27, 99], [0, 0], [41, 33], [48, 34]])
    pictures = opened(places, "folder", sizes=sizes)
    assert "it has 27×31 px, annotated are 27×99" in failure(pictures, 1)
    for index in (0, 2, 3, 4):
        assert pictures.read(index).shape[1] == 20 + 7 * index

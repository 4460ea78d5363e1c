"""Which pictures are taken, by which names and numbers, and where their overlays go."""

import pytest

from replab.errors import UserError
from replab.photos.listing import entries, overlay_names


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def named(*places, **options):
    return [(entry.name, entry.id) for entry in entries(places, **options)]


def test_folders_are_searched_in_order(tmp_path):
    make(tmp_path, "b.JPG", "a/z.png", "a/k/y.webp", "c.txt", ".h.jpg", ".d/x.jpg", "d.heic")
    assert named(tmp_path) == [("b.JPG", 1), ("d.heic", 2), ("a/z.png", 3), ("a/k/y.webp", 4)]
    # Named itself, a file may be called as it likes.
    assert named(tmp_path / "c.txt") == [("c.txt", 1)]


def test_earlier_overlays_are_no_pictures(tmp_path):
    make(tmp_path, "a.jpg", "poses/a.overlay.jpg", "other/poses/b.jpg")
    found = named(tmp_path, without=tmp_path / "poses")
    assert found == [("a.jpg", 1), ("other/poses/b.jpg", 2)]


def test_a_picture_is_taken_once(tmp_path):
    make(tmp_path, "x.jpg", "y.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "x.jpg")
    assert named(tmp_path / "y.jpg", tmp_path, tmp_path) == [("y.jpg", 1), ("link.jpg", 2)]


def test_names_are_relative_to_what_holds_all_pictures(tmp_path, monkeypatch):
    make(tmp_path, "a/x.jpg", "b/x.jpg", "a/c/x.jpg")
    assert [name for name, _ in named(tmp_path / "a/x.jpg")] == ["x.jpg"]
    both = [name for name, _ in named(tmp_path / "a/x.jpg", tmp_path / "b/x.jpg")]
    assert both == ["a/x.jpg", "b/x.jpg"]
    monkeypatch.chdir(tmp_path / "a")
    assert [name for name, _ in named("c", "../b")] == ["a/c/x.jpg", "b/x.jpg"]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("000000000139.jpg", "000000000785.jpg"), [139, 785]),
        (("139.jpg", "a/000139.jpg"), [1, 2]),
        (("7.jpg", "8b.jpg"), [1, 2]),
        (("000.jpg", "001.jpg"), [1, 2]),
        (("1" * 30 + ".jpg",), [1]),
        (("²3.jpg",), [1]),
    ],
)
def test_numbers_are_coco_s_where_the_names_are(tmp_path, names, ids):
    make(tmp_path, *names)
    assert [number for _, number in named(tmp_path)] == ids


def test_faults(tmp_path):
    with pytest.raises(UserError, match=r"there is no picture or folder .*none"):
        entries([tmp_path / "none"])
    with pytest.raises(UserError, match="there are no pictures in"):
        entries([tmp_path])
    with pytest.raises(UserError, match="there are no pictures in nothing"):
        entries([])


def test_overlays_have_names_of_their_own():
    names = ["x.jpg", "a/x.jpg", "x.png", "X.JPG", "y.z.jpg", "x.png.gif", "plain"]
    found = overlay_names(names, ".jpg")
    assert found == [
        "x.overlay.jpg",
        "a/x.overlay.jpg",
        "x.png.overlay.jpg",
        "X.JPG.overlay.jpg",
        "y.z.overlay.jpg",
        "x.png.gif.overlay.jpg",
        "plain.overlay.jpg",
    ]
    assert overlay_names(["x.a", "x.b", "x.B"], ".png")[2] == "x.B-3.overlay.png"

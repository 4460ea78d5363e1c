import os
import pickle
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny_pose_sets as tiny
from replab import files
from replab.datasets import coco, coco_sources
from replab.errors import DownloadFailed, UserError

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
LIBRARY = Path(coco.__file__).parents[2]


@pytest.fixture
def published(tmp_path):
    """The two archives of the part `tiny` in a folder, and what is known of them."""
    folder = tmp_path / "published"
    part, bodies = tiny.coco_part(folder)
    return folder, part, bodies


@pytest.fixture
def serve(archives, published):
    """A server that gives each archive under its path; `wrong` bodies replace the right ones."""

    def start(**options):
        bodies = dict(published[2])
        bodies.update(options.pop("wrong", {}))
        context = archives.serving(b"", **options)
        server = context.__enter__()
        plain, server.paths = server.answer, []

        def answer(handler):
            path = handler.path.removeprefix("/file/")
            server.paths.append(path)
            server.body = bodies.get(path, b"")
            plain(handler)

        server.answer = answer
        opened.append(context)
        return server

    opened = []
    yield start
    for context in opened:
        context.__exit__(None, None, None)


def at(part, *hosts):
    return replace(
        part,
        pictures=replace(part.pictures, hosts=hosts),
        annotations=replace(part.annotations, hosts=hosts),
    )


def fetch(part, source=None, **options):
    return coco_sources.fetch("tiny", source, parts={"tiny": part}, **options)


def assert_here(data_dir):
    """The part opens and all its pictures are right."""
    poses = coco.load("tiny", require_images=True)
    assert len(poses) == 6
    for index, (width, height) in enumerate(poses.image_sizes):
        assert poses.images.read(index).shape == (height, width, 3)
    leftovers = [p.name for p in (data_dir / "downloads").glob("*") if p.suffix != ".lock"]
    assert leftovers == []
    assert not list((data_dir / "coco").rglob("*.tmp"))


class TestDownload:
    def test_both_archives_are_got_and_only_what_is_needed_is_kept(
        self, published, serve, data_dir, archives, capsys
    ):
        server = serve()
        part = at(published[1], server.url)
        assert fetch(part) == data_dir / "coco"
        assert_here(data_dir)
        assert archives.visible(data_dir / "coco") == [
            "annotations",
            "annotations/person_keypoints_tiny.json",
            "tiny.zip",
        ]
        first = capsys.readouterr().err.splitlines()[0]
        assert first.startswith("coco-tiny: 0.0 MB to download, about 0 s at 100 Mbit/s")
        assert len(server.paths) == 2
        fetch(part)
        assert "coco-tiny is already here" in capsys.readouterr().err
        assert len(server.paths) == 2
        fetch(part, force=True, quiet=True)
        assert len(server.paths) == 4
        assert capsys.readouterr().err == ""

    def test_size_and_time_are_said_before_the_first_byte(self, monkeypatch, data_dir, capsys):
        monkeypatch.setenv("REPLAB_OFFLINE", "1")
        monkeypatch.setattr(coco_sources.download, "check_space", lambda folder, size: None)
        with pytest.raises(DownloadFailed, match="REPLAB_OFFLINE=1"):
            coco_sources.fetch("train2017")
        first = capsys.readouterr().err.splitlines()[0]
        assert "coco-train2017: 19,589.8 MB to download, about 26 min at 100 Mbit/s" in first
        assert "about 3 min at 1 Gbit/s" in first

    @pytest.mark.faults
    def test_no_room_is_found_out_before_the_download(
        self, published, serve, small_disk, monkeypatch
    ):
        monkeypatch.setenv("REPLAB_DATA", str(small_disk / "data"))
        for part in ("val2017", "train2017"):
            with pytest.raises(UserError, match=r"are needed; free some space on that disk"):
                coco_sources.fetch(part, quiet=True)

    @pytest.mark.faults
    def test_what_is_here_of_a_broken_download_counts_as_here(
        self, published, serve, data_dir, capsys
    ):
        part = at(published[1], NOWHERE)
        (data_dir / "coco").mkdir(parents=True)
        keypoints = data_dir / "coco" / "annotations" / "person_keypoints_tiny.json"
        coco_sources._extract(published[0] / "annotations_tiny.zip", keypoints, part)
        body = published[2]["zips/tiny.zip"]
        (data_dir / "coco" / "tiny.zip.part").write_bytes(body[:1000])
        server = serve()
        fetch(at(published[1], server.url))
        assert server.paths == ["zips/tiny.zip"]
        assert server.asked == ["bytes=1000-"]
        assert_here(data_dir)

    @pytest.mark.faults
    def test_the_second_address_is_tried(self, published, serve, data_dir, capsys):
        server = serve()
        fetch(at(published[1], NOWHERE, server.url))
        assert "the connection is refused" in capsys.readouterr().err
        assert_here(data_dir)

    @pytest.mark.faults
    @pytest.mark.parametrize("archive", ["zips/tiny.zip", "annotations/annotations_tiny.zip"])
    @pytest.mark.parametrize("damage", ["flipped", "longer", "nothing"])
    def test_a_wrong_archive_is_refused_and_removed(
        self, archive, damage, published, serve, data_dir
    ):
        body = bytearray(published[2][archive])
        if damage == "flipped":
            body[len(body) // 2] ^= 1
        body = {"flipped": bytes(body), "longer": bytes(body) + b"!", "nothing": b""}[damage]
        server = serve(wrong={archive: body})
        with pytest.raises(DownloadFailed) as error:
            fetch(at(published[1], server.url), quiet=True)
        assert "\n" not in str(error.value)
        assert archive in str(error.value)
        server = serve()
        fetch(at(published[1], server.url), quiet=True)
        assert_here(data_dir)

    @pytest.mark.faults
    def test_a_damaged_archive_here_is_got_anew(self, published, serve, data_dir):
        part = at(published[1], serve().url)
        fetch(part, quiet=True)
        path = data_dir / "coco" / "tiny.zip"
        path.write_bytes(path.read_bytes()[:-1])
        fetch(part, quiet=True)
        assert_here(data_dir)
        keypoints = data_dir / "coco" / "annotations" / "person_keypoints_tiny.json"
        keypoints.write_text("{}")
        fetch(part, quiet=True)
        assert_here(data_dir)

    @pytest.mark.faults
    def test_a_killed_fetch_is_taken_up_by_the_next(self, published, serve, data_dir, archives):
        # More than a download keeps back before it writes.
        noise = np.random.default_rng(0).bytes(600_000)
        with zipfile.ZipFile(published[0] / "tiny.zip", "a") as archive:
            archive.writestr("tiny/noise.bin", noise)
        body = (published[0] / "tiny.zip").read_bytes()
        larger = replace(published[1].pictures, sha256=files.sha256_bytes(body), size=len(body))
        server = serve(wrong={"zips/tiny.zip": body})
        part = at(replace(published[1], pictures=larger), server.url)
        whole = server.answer

        def half(handler):
            if not handler.path.endswith("zips/tiny.zip"):
                whole(handler)
                return
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            process.wait(30)

        server.answer = half
        script = (
            "import sys; sys.path[:0] = [sys.argv[1]]\n"
            "import pickle; from replab.datasets import coco_sources\n"
            "part = pickle.loads(bytes.fromhex(sys.argv[2]))\n"
            "coco_sources.fetch('tiny', parts={'tiny': part})\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(LIBRARY), pickle.dumps(part).hex()],
            env={**os.environ, "PYTHONPATH": str(LIBRARY)},
            stderr=subprocess.DEVNULL,
        )
        partial = data_dir / "coco" / "tiny.zip.part"
        until = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert partial.stat().st_size > 0
        assert not (data_dir / "coco" / "tiny.zip").exists()
        server.answer = whole
        fetch(part, quiet=True)
        assert server.asked[-1].startswith("bytes=")
        assert_here(data_dir)


class TestFromFiles:
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch, data_dir):
        monkeypatch.setenv("REPLAB_OFFLINE", "1")

    @pytest.mark.parametrize("form", ["folder", "pictures", "annotations"])
    def test_the_official_archives(self, form, published, data_dir):
        folder, part, _ = published
        named = {"pictures": folder / "tiny.zip", "annotations": folder / "annotations_tiny.zip"}
        fetch(part, named.get(form, folder))
        assert_here(data_dir)
        assert (data_dir / "coco" / "tiny.zip").readlink() == (folder / "tiny.zip").resolve()
        assert (folder / "annotations_tiny.zip").is_file()

    def test_a_renamed_archive_is_known_by_its_content(self, published, data_dir):
        folder, part, _ = published
        renamed = (folder / "tiny.zip").rename(folder / "photographs.zip")
        fetch(part, renamed)
        assert_here(data_dir)

    @pytest.mark.parametrize("form", ["official", "images/", "archive of annotations"])
    def test_an_unpacked_tree(self, form, published, tmp_path, data_dir):
        tree = tmp_path / "tree"
        tiny.write_coco(tree)
        if form == "images/":
            (tree / "images").mkdir()
            (tree / "tiny").rename(tree / "images" / "tiny")
        elif form == "archive of annotations":
            (tree / "annotations" / "person_keypoints_tiny.json").unlink()
            (published[0] / "annotations_tiny.zip").rename(tree / "annotations_tiny.zip")
        fetch(published[1], tree)
        assert_here(data_dir)
        assert (data_dir / "coco" / "tiny").is_symlink()
        fetch(published[1], tree, force=True)
        assert_here(data_dir)

    def test_a_link_is_replaced_by_another(self, published, tmp_path, data_dir):
        tree = tmp_path / "tree"
        tiny.write_coco(tree)
        fetch(published[1], tree)
        fetch(published[1], published[0], force=True)
        assert not (data_dir / "coco" / "tiny").exists()
        assert_here(data_dir)
        assert len(list((tree / "tiny").iterdir())) == 4

    @pytest.mark.faults
    def test_a_tree_that_lacks_pictures(self, published, tmp_path, data_dir):
        tree = tmp_path / "tree"
        tiny.write_coco(tree)
        (tree / "tiny" / tiny.file_name(7)).unlink()
        (tree / "tiny" / tiny.file_name(100)).write_bytes(b"")
        with pytest.raises(UserError) as error:
            fetch(published[1], tree)
        assert f"lacks 2 pictures of coco-tiny (the first is {tiny.file_name(7)})" in str(
            error.value
        )

    @pytest.mark.faults
    @pytest.mark.parametrize("name", ["tiny.zip", "annotations_tiny.zip"])
    @pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "text"])
    def test_damaged_archives(self, name, damage, published, data_dir):
        folder, part, _ = published
        path = folder / name
        data = bytearray(path.read_bytes())
        if damage == "gone":
            path.unlink()
        elif damage == "flipped":
            data[120] ^= 255
            path.write_bytes(data)
        else:
            path.write_bytes(data[:-30] if damage == "cut" else b"no zip")
        with pytest.raises(UserError) as error:
            fetch(part, folder)
        assert "\n" not in str(error.value)
        assert name in str(error.value)
        with pytest.raises(UserError):
            coco.load("tiny", require_images=True)

    @pytest.mark.faults
    def test_other_annotations_are_refused(self, published, tmp_path, data_dir):
        tree = tmp_path / "tree"
        content = tiny.coco_annotations()
        content["annotations"][0]["area"] += 1
        tiny.write_coco(tree, annotations=content)
        with pytest.raises(UserError, match=r"has sha256 .*, expected .*load\(annotations=FILE\)"):
            fetch(published[1], tree)
        assert not (data_dir / "coco" / "annotations").exists()

    @pytest.mark.faults
    def test_a_folder_of_the_user_s_own_is_never_taken_away(self, published, data_dir):
        own = data_dir / "coco" / "tiny"
        own.mkdir(parents=True)
        (own / "keep.jpg").write_bytes(b"x")
        with pytest.raises(UserError, match=r"tiny is in the way and does not hold all pictures"):
            fetch(published[1], published[0])
        assert (own / "keep.jpg").read_bytes() == b"x"

    @pytest.mark.faults
    def test_nothing_there(self, published, tmp_path, data_dir):
        with pytest.raises(UserError, match="there is no"):
            fetch(published[1], tmp_path / "gone")
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(UserError, match="holds neither annotations/person_keypoints_tiny"):
            fetch(published[1], empty)

    def test_an_unknown_part(self):
        with pytest.raises(UserError, match="no part 'val2014' to fetch; choose one of val2017, "):
            coco_sources.fetch("val2014")


def test_what_is_known_of_the_official_archives():
    for name, part in coco_sources.PARTS.items():
        assert part.pictures.path == f"zips/{name}.zip"
        assert part.keypoints == coco.ANNOTATIONS[name]
        for archive in (part.pictures, part.annotations):
            assert len(archive.sha256) == 64
            assert int(archive.sha256, 16)
            assert archive.hosts[0] == "http://images.cocodataset.org"


def test_fetching_waits_for_no_heavy_package():
    code = (
        "import sys, replab.datasets.coco_sources, replab.datasets.lspet_sources\n"
        "print(sorted({'torch', 'cv2', 'scipy', 'PIL', 'pandas'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")

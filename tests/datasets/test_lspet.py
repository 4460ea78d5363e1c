import json
import os
import zipfile

import numpy as np
import pytest

import tiny_pose_sets as tiny
from replab import files
from replab.datasets import lspet, lspet_sources
from replab.datasets.download import Remote
from replab.errors import DownloadFailed, MissingData, UserError
from replab.keypoints.skeletons import LSP
from shared_files import need, shared_dir

NOWHERE = "http://127.0.0.1:9/nothing"
# Of 48×50 px, pictures 7 and 2 are windows of larger ones.
CROPS = [(7, 30, 12, 48, 50, 200, 300), (2, 8, 16, 48, 50, 100, 100)]


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "set.zip"
    path.write_bytes(tiny.zip_of(tiny.lspet_members()))
    return path


def load(source, split="train"):
    return lspet.load(split, source=source, extent=tiny.LSPET_EXTENT)


def changed(path, **changes):
    """The archive anew with some members changed, or left out (None)."""
    members = tiny.lspet_members()
    for name, data in changes.items():
        name = name.replace("__", "/").replace("_", ".")
        if data is None:
            del members[name]
        else:
            members[name] = data
    path.write_bytes(tiny.zip_of(members))
    return path


def refused(path, split="train"):
    with pytest.raises(UserError) as error:
        load(path, split)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


class TestPeople:
    def test_one_person_a_picture_by_its_number(self, made):
        train, test = load(made), load(made, "test")
        assert train.name == "lspet-train"
        assert train.skeleton is LSP
        assert train.image_ids.tolist() == [1, 2, 3, 4, 5, 6]
        assert train.person_ids.tolist() == [1, 2, 3, 4, 6]
        assert train.image_of.tolist() == [0, 1, 2, 3, 5]
        assert train.left_out == {"no joint annotated": 1}
        assert test.image_ids.tolist() == [7, 8]
        assert test.left_out == {}
        assert train.truth is None
        assert train.fingerprint != test.fingerprint
        assert (train.image_sizes == (48, 50)).all()

    def test_joints_are_the_annotated_ones_and_placeholders_are_nothing(self, made):
        table = tiny.lspet_joints()
        poses = load(made)
        assert poses.joints.shape == (5, 14, 2)
        assert poses.visible.dtype == np.uint8
        np.testing.assert_array_equal(poses.joints[0], table[:, :2, 0])
        assert set(poses.visible[0]) == {2}
        assert np.flatnonzero(poses.visible[1] == 0).tolist() == [3, 9]
        assert np.isnan(poses.joints[1, [3, 9]]).all()
        assert not np.isnan(poses.joints[1, [0, 2, 13]]).any()
        assert np.array_equal(np.isnan(poses.joints[..., 0]), poses.visible == 0)

    def test_boxes_hold_the_joints_with_room_and_end_with_the_picture(self, made):
        poses = load(made)
        table = tiny.lspet_joints()
        whole = table[:, :2, 0]
        margin = 0.15 * np.ptp(whole, axis=0).max()
        begin = np.maximum(whole.min(axis=0) - margin, 0)
        end = np.minimum(whole.max(axis=0) + margin, (47, 49))
        np.testing.assert_allclose(poses.boxes[0], np.append(begin, end - begin))
        np.testing.assert_allclose(poses.areas, poses.boxes[:, 2] * poses.boxes[:, 3])
        # The placeholder of picture 2 lies at (0, −12.5): it must not pull the box there.
        assert poses.boxes[1, :2].min() > 5
        # The joint outside picture 4 draws its box to the edge and no further.
        assert poses.boxes[3, 0] + poses.boxes[3, 2] == 47
        assert (poses.boxes[:, 2:] > 0).all()

    def test_a_person_whose_joints_are_all_outside_is_left_out(self, made):
        table = tiny.lspet_joints()
        table[:, 0, 0] += 500
        members = tiny.lspet_members(table)
        made.write_bytes(tiny.zip_of(members))
        poses = load(made)
        assert poses.left_out == {"no joint annotated": 1, "box outside its picture": 1}
        assert poses.person_ids.tolist() == [2, 3, 4, 6]

    def test_torsos(self, made):
        poses = load(made)
        lengths = lspet.torso_lengths(poses)
        np.testing.assert_allclose(lengths[[0, 3, 4]], np.hypot(10, 20))
        assert np.isnan(lengths[[1, 2]]).all()
        assert lspet.unmeasurable(poses) == {
            "torso not annotated": 1,
            "torso shorter than 5 px": 1,
        }

    def test_joints_outside_are_kept_and_told(self, made):
        poses = load(made)
        told = lspet.joints_outside(poses)
        assert np.argwhere(told).tolist() == [[3, 0]]
        assert poses.joints[3, 0].tolist() == [70, 20]
        assert lspet.counts(poses) == {
            "people": 5,
            "with all joints": 4,
            "joints outside their picture": 1,
            "torso not annotated": 1,
            "torso shorter than 5 px": 1,
        }

    def test_pictures_are_read_wherever_the_set_lies(self, made, tmp_path):
        members = tiny.lspet_members()
        below = {f"lsp-1/{name}": data for name, data in members.items()}
        packed = tmp_path / "packed.zip"
        packed.write_bytes(tiny.zip_of(below, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(made) as archive:
            archive.extractall(tmp_path / "folder" / "lspet_dataset")
        first = load(made)
        for source in (packed, tmp_path / "folder", tmp_path / "folder" / "lspet_dataset"):
            other = load(source)
            assert other.fingerprint == first.fingerprint
            assert np.array_equal(other.boxes, first.boxes)
            for index in range(6):
                picture = other.images.read(index)
                assert picture.shape == (50, 48, 3)
                assert np.array_equal(picture, first.images.read(index))
        grey = first.images.read(5)
        assert (grey == grey[..., :1]).all()

    def test_no_such_split(self, made):
        with pytest.raises(UserError, match="no split 'val'; choose train or test"):
            load(made, "val")

    def test_not_on_this_machine(self, data_dir, tmp_path):
        with pytest.raises(MissingData, match="run `python -m replab fetch lspet`"):
            lspet.load()
        with pytest.raises(UserError, match=r"holds no joints\.mat; name the folder"):
            load(tmp_path)
        with pytest.raises(UserError, match="cannot read"):
            load(tmp_path / "gone.zip")


class TestCroppedForm:
    @pytest.fixture
    def cropped(self, made):
        made.write_bytes(tiny.zip_of(tiny.lspet_members(crops=CROPS)))
        return made

    def test_coordinates_are_those_of_the_pictures_and_official_ones_on_request(self, cropped):
        options = {"source": cropped, "extent": tiny.LSPET_EXTENT}
        test = load(cropped, "test")
        moved = (lspet.official_joints(test, **options) - test.joints).round(9)
        assert np.unique(moved[0], axis=0).tolist() == [[30, 12]]
        assert np.unique(moved[1], axis=0).tolist() == [[0, 0]]
        train = load(cropped)
        moved = (lspet.official_joints(train, **options) - train.joints).round(9)
        assert moved[1][train.visible[1] > 0].min(axis=0).tolist() == [8, 16]
        assert np.isnan(moved[1][train.visible[1] == 0]).all()

    def test_its_fingerprint_is_another(self, cropped, tmp_path):
        official = tmp_path / "official.zip"
        official.write_bytes(tiny.zip_of(tiny.lspet_members()))
        assert load(cropped).fingerprint != load(official).fingerprint

    @pytest.mark.faults
    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            ([(2, 8, 16, 48, 51, 100, 100)], "has 48×50 px, but 48×51 in crops.csv"),
            ([(9, 8, 16, 48, 50, 100, 100)], "damaged (there is no image 9)"),
            ([("x", 8, 16, 48, 50, 100, 100)], "crops.csv of"),
            ([(2, 8)], "crops.csv of"),
        ],
    )
    def test_a_table_that_does_not_fit(self, rows, says, made):
        made.write_bytes(tiny.zip_of(tiny.lspet_members(crops=rows)))
        assert says in refused(made)


@pytest.mark.faults
class TestDamage:
    def test_joints(self, made):
        assert "cannot be read as joints" in refused(changed(made, joints_mat=b"no matlab"))
        data = tiny.lspet_members()["joints.mat"]
        assert "cannot be read as joints" in refused(changed(made, joints_mat=data[:300]))
        assert "joints.mat 0 times" in refused(changed(made, joints_mat=None))
        table = tiny.lspet_joints()
        for wrong, says in (
            (table[:, :, :5], "has shape (14, 3, 5) instead of (14, 3, 8)"),
            (np.where(table == 1, 2, table), "flags other than 0 and 1"),
            (np.where(table == 15, np.inf, table), "annotated joints that are not finite"),
        ):
            whole = np.zeros((14, 3, 8))
            whole[:, :, : wrong.shape[2]] = wrong
            members = tiny.lspet_members(whole)
            if wrong.shape[2] == 5:
                members["joints.mat"] = tiny.lspet_members(wrong)["joints.mat"]
            made.write_bytes(tiny.zip_of(members))
            assert says in refused(made)

    def test_pictures(self, made):
        assert "im00003.jpg" in refused(changed(made, images__im00003_jpg=None))
        assert "no image" in refused(changed(made, images__im00003_jpg=b"text"))
        data = bytearray(tiny.zip_of(tiny.lspet_members()))
        data[data.index(b"images/im00004.jpg") + 300] ^= 255
        made.write_bytes(data)
        assert "its CRC-32 differs" in refused(made)
        load(made, "test")
        made.write_bytes(data[:-50])
        assert "no zip, or cut off" in refused(made)


class TestFetch:
    @pytest.fixture(autouse=True)
    def empty(self, data_dir, monkeypatch):
        # The room for the real archive, on any machine.
        monkeypatch.setattr(lspet_sources, "ROOM", 1000)
        return data_dir

    def fetch(self, source=None, *, members=None, pictures=None, **options):
        form = tiny.lspet_form(tiny.lspet_members() if members is None else members, pictures)
        options = {"forms": (form,), "extent": tiny.LSPET_EXTENT, "remotes": (), **options}
        return lspet_sources.fetch(source, **options)

    def here(self, archives, data_dir):
        assert archives.visible(data_dir / "lspet") == ["index.json", "lspet_dataset.zip"]
        downloads = data_dir / "downloads"
        assert not downloads.exists() or archives.visible(downloads) == []
        poses = load(None)
        assert len(poses) == 5
        return json.loads((data_dir / "lspet" / "index.json").read_text())

    @pytest.mark.parametrize("form", ["stored", "packed", "folder"])
    def test_from_files_comes_out_the_same(
        self, form, made, tmp_path, archives, data_dir, capsys, monkeypatch
    ):
        monkeypatch.setenv("REPLAB_OFFLINE", "1")
        source = made
        if form == "packed":
            members = {f"lspet/{name}": data for name, data in tiny.lspet_members().items()}
            made.write_bytes(tiny.zip_of(members, zipfile.ZIP_DEFLATED))
        elif form == "folder":
            source = tmp_path / "folder"
            with zipfile.ZipFile(made) as archive:
                archive.extractall(source)
        path = self.fetch(source)
        assert path == lspet.default_source()
        noted = self.here(archives, data_dir)
        assert noted["form"] == "official"
        assert noted["sha256"] == files.sha256_file(path)
        expected = tiny.zip_of(tiny.lspet_members())
        assert files.sha256_bytes(expected) == noted["sha256"]
        with zipfile.ZipFile(path) as archive:
            assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        said = capsys.readouterr().err
        assert f"official form; pictures digest {noted['pictures'][:16]}, none is" in said
        self.fetch(tmp_path / "gone")
        assert "lspet is already here" in capsys.readouterr().err

    def test_the_cropped_form_is_known_by_its_pictures(self, made, archives, data_dir, capsys):
        members = tiny.lspet_members(crops=CROPS)
        made.write_bytes(tiny.zip_of(members))
        numbers = list(range(1, 9))
        opened = lspet.open_source(made).pictures(np.array(numbers))
        digest = lspet_sources.pictures_digest(opened, numbers)
        self.fetch(made, members=members, pictures=digest)
        assert self.here(archives, data_dir)["form"] == "cropped"
        assert "cropped form; pictures as published" in capsys.readouterr().err
        other = {**members, "images/im00008.jpg": members["images/im00007.jpg"]}
        made.write_bytes(tiny.zip_of(other))
        with pytest.raises(UserError, match="are not those of the cropped form"):
            self.fetch(made, members=members, pictures=digest, force=True)
        # What was there stays.
        assert self.here(archives, data_dir)["pictures"] == digest

    def test_by_download(self, made, archives, data_dir, capsys):
        with archives.serving(made.read_bytes()) as server:
            remotes = (Remote(NOWHERE, "one.zip", ""), Remote(server.url, "two.zip", ""))
            self.fetch(remotes=remotes)
        said = capsys.readouterr().err
        assert f"cannot reach {NOWHERE}: the connection is refused" in said
        assert "got two.zip (0.0 MB, no checksum is published)" in said
        self.here(archives, data_dir)

    @pytest.mark.faults
    @pytest.mark.parametrize("body", [b"<html>moved</html>", b"", "cut", "flipped"])
    def test_an_address_that_gives_something_else(self, body, made, archives, data_dir):
        data = bytearray(made.read_bytes())
        data[len(data) // 2] ^= 255
        body = {"cut": bytes(data[: len(data) // 2]), "flipped": bytes(data)}.get(body, body)
        with archives.serving(body) as server, pytest.raises(DownloadFailed) as error:
            self.fetch(remotes=(Remote(server.url, "one.zip", ""),), quiet=True)
        text = str(error.value)
        assert "\n" not in text
        assert f"{server.url} (gave something else)" in text
        assert "--from FILE" in text
        assert not (data_dir / "lspet" / "lspet_dataset.zip").exists()
        assert archives.visible(data_dir / "downloads") == []

    @pytest.mark.faults
    def test_nobody_there(self, archives, data_dir, monkeypatch):
        remote = Remote(NOWHERE, "one.zip", "")
        with pytest.raises(DownloadFailed, match=r"nothing \(the connection is refused\); get"):
            self.fetch(remotes=(remote,), quiet=True)
        monkeypatch.setenv("REPLAB_OFFLINE", "1")
        with pytest.raises(DownloadFailed, match="is not tried: REPLAB_OFFLINE=1"):
            self.fetch(remotes=(remote,), quiet=True)

    @pytest.mark.faults
    def test_damaged_sources(self, made, archives, data_dir, tmp_path):
        members = tiny.lspet_members()
        cut = {**members, "images/im00006.jpg": members["images/im00006.jpg"][:-40]}
        lacking = {name: data for name, data in members.items() if "00008" not in name}
        other = {**members, "joints.mat": members["joints.mat"] + b"\0"}
        for content, says in (
            (cut, r"im00006\.jpg: the file is cut off"),
            (lacking, "lacks 1 of 8 pictures"),
            (other, r"joints\.mat of .* which is neither the official one"),
        ):
            made.write_bytes(tiny.zip_of(content))
            with pytest.raises(UserError, match=says) as error:
                self.fetch(made, quiet=True)
            assert "\n" not in str(error.value)
        with pytest.raises(UserError, match="there is no"):
            self.fetch(tmp_path / "gone")
        assert not (data_dir / "lspet" / "lspet_dataset.zip").exists()
        assert not list((data_dir / "lspet").glob("*.tmp"))

    @pytest.mark.faults
    def test_a_damaged_set_here_is_fetched_anew(self, made, archives, data_dir):
        path = self.fetch(made, quiet=True)
        path.write_bytes(path.read_bytes()[:-1])
        self.fetch(made, quiet=True)
        assert self.here(archives, data_dir)["sha256"] == files.sha256_file(path)
        for content in ("", "{}", "[]", '{"sha256": ""}'):
            (data_dir / "lspet" / "index.json").write_text(content)
            self.fetch(made, quiet=True)
            assert self.here(archives, data_dir)["sha256"] == files.sha256_file(path)

    @pytest.mark.faults
    def test_a_full_disk(self, made, small_disk, monkeypatch):
        members = tiny.lspet_members()
        members["README.txt"] = os.urandom(1_200_000)
        made.write_bytes(tiny.zip_of(members))
        monkeypatch.setenv("REPLAB_DATA", str(small_disk / "data"))
        with pytest.raises(UserError, match="free some space on that disk"):
            self.fetch(made, quiet=True)
        assert not list((small_disk / "data" / "lspet").glob("*lspet_dataset*zip*"))
        monkeypatch.setattr(lspet_sources, "ROOM", 2_000_000)
        with pytest.raises(UserError, match="are needed; free some space"):
            self.fetch(remotes=(Remote(NOWHERE, "one.zip", ""),), quiet=True)


@pytest.fixture(scope="module")
def real():
    return need(shared_dir() / "data" / "lspet" / "lspet_dataset.zip")


@pytest.fixture(scope="module")
def halves(real):
    return {split: lspet.load(split, source=real) for split in ("train", "test")}


@pytest.mark.data
class TestSharedData:
    def test_the_set_as_a_whole(self, halves):
        train, test = halves["train"], halves["test"]
        assert (len(train), len(test)) == (9000, 1000)
        assert test.image_ids[0] == 9001
        assert train.left_out == test.left_out == {}
        visible = np.concatenate([half.visible for half in halves.values()])
        assert (visible > 0).sum() == 123_213
        assert (visible == 0).sum() == 16_787
        assert (visible > 0).sum(axis=1).min() == 4
        share = [0.891, 0.918, 0.847, 0.828, 0.912, 0.895, 0.891]
        share += [0.888, 0.875, 0.860, 0.872, 0.880, 0.810, 0.955]
        np.testing.assert_allclose((visible > 0).mean(axis=0), share, atol=0.0006)
        found = [lspet.counts(half) for half in halves.values()]
        assert {key: sum(count[key] for count in found) for key in found[0]} == {
            "people": 10_000,
            "with all joints": 3945,
            "joints outside their picture": 8,
            "torso not annotated": 10_000 - 7179,
            "torso shorter than 5 px": 2,
        }

    def test_torsos(self, halves):
        lengths = np.concatenate([lspet.torso_lengths(half) for half in halves.values()])
        assert (~np.isnan(lengths)).sum() == 7177
        assert np.nanmedian(lengths) == pytest.approx(48.5, abs=0.1)
        assert np.nanpercentile(lengths, (5, 95)).round().tolist() == [31, 66]

    def test_joints_outside(self, halves):
        told = np.argwhere(lspet.joints_outside(halves["train"]))
        assert sorted((number + 1, joint) for number, joint in told.tolist()) == [
            (24, 13),
            (712, 13),
            (3363, 10),
            (4837, 13),
            (6367, 5),
            (7393, 6),
            (8075, 1),
            (8099, 0),
        ]

    def test_boxes_lie_inside_windows_so_that_both_forms_have_the_same(self, halves, real):
        """Where a box ends at a cropped picture's edge, the official picture ends there too."""
        windows = lspet.open_source(real).windows(lspet.WHOLE)
        with zipfile.ZipFile(real) as archive:
            rows = archive.read("crops.csv").decode().split()[1:]
        table = np.array([[int(value) for value in row.split(",")] for row in rows])
        full = np.zeros((10_000, 2))
        full[table[:, 0] - 1] = table[:, 5:]
        cropped = 0
        for half in halves.values():
            numbers = half.image_ids[half.image_of] - 1
            mine = windows[numbers, 2] > 0
            cropped += int(mine.sum())
            begin = half.boxes[mine, :2]
            end = half.image_sizes[half.image_of][mine] - 1 - begin - half.boxes[mine, 2:]
            origin = windows[numbers[mine], :2]
            beyond = full[numbers[mine]] - origin - half.image_sizes[half.image_of][mine]
            assert ((begin > 0) | (origin == 0)).all()
            assert ((end > 0) | (beyond == 0)).all()
        assert cropped == 3130

    def test_official_joints_have_the_official_placement(self, halves, real):
        test = halves["test"]
        official = lspet.official_joints(test, source=real)
        moved = (official - test.joints).round(6)
        assert (moved[test.visible > 0] >= 0).all()
        assert (moved[test.visible > 0] % 8 == 0).all()  # blocks of JPEG

    def test_digests_and_fingerprints_are_those_that_are_noted(self, halves, real):
        opened = lspet.open_source(real)
        assert opened.digests() == (lspet.CROPPED_JOINTS, lspet.CROPPED_CROPS)
        for split, half in halves.items():
            assert half.fingerprint == lspet.fingerprint(split)
        assert lspet_sources.identify(opened).name == "cropped"

    def test_fetch(self, real, data_dir, archives, capsys):
        path = lspet_sources.fetch(real)
        assert "cropped form; pictures as published" in capsys.readouterr().err
        noted = json.loads((data_dir / "lspet" / "index.json").read_text())
        assert noted["sha256"] == files.sha256_file(path)
        assert lspet.load("test").fingerprint == lspet.fingerprint("test")

    def test_pictures_decode(self, halves):
        test = halves["test"]
        for index in range(0, 1000, 10):
            width, height = test.image_sizes[index]
            assert test.images.read(index).shape == (height, width, 3)

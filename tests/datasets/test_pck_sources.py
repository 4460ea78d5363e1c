"""Fetching CPM's predictions and MPII's truth and annotations, and MPII's people as a pose set."""

from types import MappingProxyType

import numpy as np
import pytest
import torch
from PIL import Image

import pck_made as made
from replab import files
from replab.datasets import cpm_predictions, mpii_annotations, mpii_predictions
from replab.datasets.download import Remote
from replab.datasets.mpii_files import read_annotations, read_truth
from replab.datasets.source_files import find_below
from replab.errors import DownloadFailed, MissingData, UserError
from replab.keypoints.boxes import centre_scale, mpii_centre_scale
from replab.keypoints.skeletons import MPII

NOWHERE = "http://127.0.0.1:9/nothing"  # the discard port: nobody listens
CONTENT = {"a.mat": b"first file", "b.mat": b"the second one"}


@pytest.fixture
def small(monkeypatch):
    """Two small files in place of the six, to be had nowhere."""

    def use(url=NOWHERE, **urls):
        remotes = {
            name: Remote(urls.get(name[0], url), name, files.sha256_bytes(data), len(data))
            for name, data in CONTENT.items()
        }
        monkeypatch.setattr(cpm_predictions, "REMOTES", MappingProxyType(remotes))
        monkeypatch.setattr(cpm_predictions, "LARGEST", max(map(len, CONTENT.values())))

    use()
    return use


def write(folder, content=CONTENT):
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


class TestCpmPredictions:
    def test_what_is_known(self):
        known = cpm_predictions.REMOTES
        assert len(known) == 6
        assert cpm_predictions.SIZE == 1_033_602
        for name, remote in known.items():
            assert name == remote.file
            assert len(remote.sha256) == 64
            commit = cpm_predictions.PREDICTIONS[1]
            other = cpm_predictions.TRUTH[1]
            assert (commit if "prediction" in name else other) in remote.url
        assert len(cpm_predictions.fingerprint()) == 16

    def test_from_a_folder(self, small, data_dir, tmp_path, capsys):
        source = write(tmp_path / "source" / "testing" / "predicts")
        got = cpm_predictions.fetch(source.parents[1])
        assert got == data_dir / "cpm-predictions" == cpm_predictions.folder()
        cpm_predictions.require()
        for name, data in CONTENT.items():
            assert cpm_predictions.find(name).read_bytes() == data
        assert f"cpm-predictions are at {got}" in capsys.readouterr().err
        assert cpm_predictions.fetch() == got  # asks nobody
        assert "already here" in capsys.readouterr().err

    def test_all_or_nothing_from_a_folder(self, small, data_dir, tmp_path):
        for second, message in (
            ({}, "does not hold b.mat"),
            ({"b.mat": b"x"}, "is not the b.mat"),
        ):
            source = tmp_path / message.replace(" ", "-")
            write(source, {"a.mat": CONTENT["a.mat"], **second})
            with pytest.raises(UserError, match=message):
                cpm_predictions.fetch(source, quiet=True)
            assert not data_dir.exists()

    def test_one_by_one(self, small, data_dir, tmp_path, capsys):
        write(tmp_path)
        other = (tmp_path / "a.mat").rename(tmp_path / "download(1)")
        cpm_predictions.fetch(other)
        assert "a.mat is in" in (said := capsys.readouterr().err)
        assert "still missing: b.mat" in said
        with pytest.raises(MissingData, match="replab fetch cpm-predictions"):
            cpm_predictions.require()
        cpm_predictions.fetch(tmp_path / "b.mat")
        assert "missing" not in capsys.readouterr().err
        cpm_predictions.require()

    @pytest.mark.parametrize("data", [b"", b"first fild", b"first file" * 1000])
    def test_a_file_that_is_none_of_them(self, small, data_dir, tmp_path, data):
        path = tmp_path / "a.mat"
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"is none of the 2 files of cpm-predictions"):
            cpm_predictions.fetch(path, quiet=True)
        assert not data_dir.exists()

    def test_no_such_source(self, small, data_dir, tmp_path):
        with pytest.raises(UserError, match=r"cannot read .*none: No such file"):
            cpm_predictions.fetch(tmp_path / "none", quiet=True)

    def test_from_the_network(self, small, data_dir, archives):
        with archives.serving(CONTENT["a.mat"]) as one, archives.serving(CONTENT["b.mat"]) as two:
            small(a=one.url, b=two.url)
            cpm_predictions.fetch(quiet=True)
            cpm_predictions.require()
            cpm_predictions.fetch(quiet=True)
            assert (len(one.asked), len(two.asked)) == (1, 1)
            # What is damaged is fetched again, and only that.
            (cpm_predictions.folder() / "b.mat").write_bytes(b"something else")
            with pytest.raises(UserError, match=r"b.mat has sha256"):
                cpm_predictions.require()
            cpm_predictions.fetch(quiet=True)
            assert (len(one.asked), len(two.asked)) == (1, 2)
            cpm_predictions.fetch(quiet=True, force=True)
            assert (len(one.asked), len(two.asked)) == (2, 3)
        assert archives.visible(cpm_predictions.folder()) == ["a.mat", "b.mat"]

    def test_the_network_fails(self, small, data_dir, archives, monkeypatch):
        with archives.serving(CONTENT["a.mat"]) as one:
            small(a=one.url)
            with pytest.raises(DownloadFailed, match=f"cannot reach {NOWHERE}"):
                cpm_predictions.fetch(quiet=True)
        # What came stays.
        assert cpm_predictions.find("a.mat").read_bytes() == CONTENT["a.mat"]
        monkeypatch.setenv("REPLAB_OFFLINE", "1")
        with pytest.raises(DownloadFailed, match="REPLAB_OFFLINE=1"):
            cpm_predictions.fetch(quiet=True)

    def test_other_names(self, data_dir):
        with pytest.raises(UserError, match=r"has no 'x.mat'; choose one of LSP_prediction"):
            cpm_predictions.find("x.mat")


@pytest.fixture
def mpii(tmp_path):
    """Files about 30 people, and the pins by which their truth is known."""
    truth = made.mpii_truth()
    folder = tmp_path / "source"
    path = made.write_mat(folder / "evaluation/data/detections_our_format.mat", **truth)
    made.write_json(folder / "annot/valid.json", made.one_part_json(truth))
    return truth, folder, path, read_truth(path).digest()


def remote_of(path, url=NOWHERE):
    return Remote(url, path.name, files.sha256_file(path), path.stat().st_size)


class TestMpiiAnnotations:
    def test_from_a_folder(self, mpii, data_dir, capsys):
        _, folder, path, content = mpii
        made.write_json(folder / "annot/train.json", made.one_part_json(mpii[0])[:5])
        got = mpii_annotations.fetch(folder, content=content)
        assert got == data_dir / "mpii"
        names = ["detections_our_format.mat", "train.json", "valid.json"]
        assert sorted(p.name for p in got.iterdir()) == names
        assert "detections_our_format.mat, valid.json, train.json of MPII are at" in (
            capsys.readouterr().err
        )
        assert mpii_annotations.fetch(content=content) == got  # asks nobody
        assert (got / path.name).read_bytes() == path.read_bytes()
        # Again from where it lies.
        assert mpii_annotations.fetch(got, content=content, quiet=True) == got

    def test_truth_under_its_other_name(self, mpii, data_dir):
        _, _, path, content = mpii
        other = path.rename(path.with_name("gt_valid.mat"))
        for source in (other, other.parent):
            got = mpii_annotations.fetch(source, content=content, quiet=True)
            assert (got / "detections_our_format.mat").read_bytes() == other.read_bytes()

    def test_truth_of_another_content(self, mpii, data_dir):
        with pytest.raises(UserError, match=r"holds other numbers than the truth"):
            mpii_annotations.fetch(mpii[1], quiet=True)
        assert not data_dir.exists()

    def test_annotations_need_the_truth(self, mpii, data_dir):
        _, folder, path, content = mpii
        valid = folder / "annot" / "valid.json"
        with pytest.raises(MissingData, match=r"holds no truth .*fetch mpii-annotations"):
            mpii_annotations.fetch(valid, content=content, quiet=True)
        mpii_annotations.fetch(path, content=content, quiet=True)
        got = mpii_annotations.fetch(valid, content=content, quiet=True)
        assert (got / "valid.json").read_bytes() == valid.read_bytes()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda rows: rows[::-1], "its joints are not those of the truth"),
            (lambda rows: rows[:-1], "has 29 validation people, the truth 30"),
            (lambda rows: [], "is no list of people"),
            (lambda rows: {"people": rows}, "is no list of people"),
            (lambda rows: [{**rows[0], "joints": [[1, 2]]}], "a joints of another shape"),
            (lambda rows: [{**rows[0], "scale": None}], "a scale that is not finite"),
            (lambda rows: [{**rows[0], "center": "x"}], r"valid.json: a person .*; give MPII's"),
            (lambda rows: [{**rows[0], "image": "../x.jpg"}], "an? image that is no file name"),
            (lambda rows: [{"image": "x.jpg"}], "a person lacks 'joints_vis'"),
        ],
    )
    def test_annotations_of_something_else(self, mpii, data_dir, change, message):
        truth, folder, _, content = mpii
        made.write_json(folder / "annot/valid.json", change(made.one_part_json(truth)))
        with pytest.raises(UserError, match=message) as caught:
            mpii_annotations.fetch(folder, content=content, quiet=True)
        assert "\n" not in str(caught.value)
        assert not data_dir.exists()

    def test_sources_with_nothing(self, tmp_path, data_dir):
        cases = {
            tmp_path: "holds nothing of MPII's",
            tmp_path / "none": "there is no",
            made.write_json(tmp_path / "x" / "other.json", []): "has another name than",
            made.write_npy(tmp_path / "x" / "a.npy", preds=np.zeros(3)): "no jnt_missing",
        }
        for source, message in cases.items():
            with pytest.raises(UserError, match=message):
                mpii_annotations.fetch(source, quiet=True)

    def test_from_the_network(self, mpii, data_dir, archives):
        _, _, path, content = mpii
        with archives.serving(path.read_bytes()) as server:
            known = {"remote": remote_of(path, server.url), "content": content, "quiet": True}
            got = mpii_annotations.fetch(**known) / path.name
            assert got.read_bytes() == path.read_bytes()
            mpii_annotations.fetch(**known)
            assert len(server.asked) == 1
            got.write_bytes(b"damaged")
            mpii_annotations.fetch(**known)
            assert got.read_bytes() == path.read_bytes()
            mpii_annotations.fetch(**known, force=True)
            assert len(server.asked) == 3
        with pytest.raises(DownloadFailed, match=f"cannot reach {NOWHERE}"):
            mpii_annotations.fetch(remote=remote_of(path), content=content, force=True, quiet=True)

    def test_finding_the_truth(self, mpii, data_dir, monkeypatch):
        with pytest.raises(MissingData, match=r"MPII's truth is not on this machine .*fetch mpii"):
            mpii_annotations.find_truth()
        mpii_annotations.fetch(mpii[2], content=mpii[3], quiet=True)
        with pytest.raises(UserError, match="other numbers than the truth"):
            mpii_annotations.find_truth()
        monkeypatch.setattr(mpii_annotations, "CONTENT", mpii[3])
        assert mpii_annotations.find_truth().parent == data_dir / "mpii"


def pictures(folder, count=7):
    folder.mkdir(parents=True)
    for number in range(count):
        image = Image.new("RGB", (64, 48 + number), (number, 0, 255))
        image.save(folder / f"{number:09d}.jpg")
    return folder


class TestMpiiPeople:
    @pytest.fixture
    def valid(self, mpii):
        return mpii[1] / "annot" / "valid.json"

    @pytest.fixture
    def all_people(self, mpii, tmp_path):
        return made.write_json(tmp_path / "mpii_annotations.json", made.all_people_json(mpii[0]))

    def test_in_the_order_of_pictures(self, mpii, valid, tmp_path):
        truth = mpii[0]
        images = pictures(tmp_path / "images")
        poses = mpii_annotations.load(images=images, annotations=valid, require_images=True)
        assert (poses.name, poses.skeleton, len(poses)) == ("mpii-val", MPII, 30)
        assert len(poses.images) == 7
        assert poses.image_sizes.tolist() == [[64, 48 + n] for n in range(7)]
        assert (np.diff(poses.image_of) >= 0).all()
        assert poses.image_of.tolist() == sorted(n % 7 for n in range(30))
        assert poses.images.read(3).shape == (51, 64, 3)
        back = np.argsort(poses.person_ids)
        there = truth["jnt_missing"].T == 0
        assert np.array_equal(poses.visible[back], 2 * there)
        expected = truth["pos_gt_src"].transpose(2, 0, 1) - 1
        assert np.abs(poses.joints[back] - expected)[there].max() < 1e-3
        assert poses.image_of[back].tolist() == [n % 7 for n in range(30)]
        assert (poses.box_source, poses.truth, dict(poses.left_out)) == ("gt", None, {})

    def test_boxes_give_the_released_crops(self, valid, tmp_path):
        poses = mpii_annotations.load(images=pictures(tmp_path / "i"), annotations=valid)
        found = read_annotations(valid, "val")
        centre, scale = mpii_centre_scale(
            torch.from_numpy(found.centres), torch.from_numpy(found.scales)
        )
        got_centre, got_scale = centre_scale(torch.from_numpy(poses.boxes), 1.0)
        order = poses.person_ids
        assert torch.equal(got_centre, centre.float()[order])
        assert (got_scale / scale[order] - 1).abs().max() < 2e-7
        side = 200 * found.scales[order]
        assert poses.boxes[:, 2:] == pytest.approx(np.stack((side, side), axis=1))
        assert poses.areas == pytest.approx(side**2)

    def test_centres_at_the_number_for_missing(self):
        """Annotated as -1 it is released as it is; annotated as 0 it becomes -1 and is padded."""
        centres, scales = np.array([[-1.0, 50], [0, 50]]), np.array([2.0, 2.0])
        boxes = mpii_annotations.square_boxes(centres, scales)
        centre, scale = centre_scale(torch.from_numpy(boxes), 1.0)
        assert centre.tolist() == [[-2, 49], [-1, 79]]
        assert scale.tolist() == [[2, 2], [2.5, 2.5]]

    def test_hidden_joints_and_sizes(self, mpii, all_people, tmp_path):
        rows = made.all_people_json(mpii[0])
        hidden = next(k for k in range(16) if rows[1]["joint_self"][k][2])
        rows[1]["joint_self"][hidden][2] = 0.0
        made.write_json(all_people, rows)
        # No picture is needed: the file tells their sizes.
        poses = mpii_annotations.load(images=tmp_path / "none", annotations=all_people)
        assert poses.image_sizes.tolist() == [[64, 48]] * 7
        back = np.argsort(poses.person_ids)
        assert poses.visible[back][0, hidden] == 1
        missing = mpii[0]["jnt_missing"].T == 1
        assert np.array_equal(poses.visible[back] == 0, missing)
        train = mpii_annotations.load("train", images=tmp_path, annotations=all_people)
        assert (train.name, len(train)) == ("mpii-train", 1)
        assert train.fingerprint != poses.fingerprint

    def test_people_without_a_scale_are_left_out_and_counted(self, mpii, all_people, tmp_path):
        rows = made.all_people_json(mpii[0])
        rows[3]["scale_provided"] = -1.0
        made.write_json(all_people, rows)
        poses = mpii_annotations.load(images=tmp_path, annotations=all_people)
        assert dict(poses.left_out) == {"no scale": 1}
        assert sorted(poses.person_ids.tolist()) == [n for n in range(30) if n != 2]

    def test_nobody_of_a_part(self, all_people, mpii):
        made.write_json(all_people, made.all_people_json(mpii[0])[1:])
        with pytest.raises(UserError, match="has nobody of part train"):
            read_annotations(all_people, "train")

    def test_pictures_that_are_not_there(self, valid, all_people, tmp_path):
        images = pictures(tmp_path / "images", count=5)
        with pytest.raises(MissingData, match=r"lacks 2 of MPII's 7 pictures \(the first is 0"):
            mpii_annotations.load(images=images, annotations=all_people, require_images=True)
        # Their sizes are needed where the annotations do not tell them.
        with pytest.raises(UserError, match=r"cannot read the image .*000000005.jpg"):
            mpii_annotations.load(images=images, annotations=valid)

    def test_what_was_fetched(self, mpii, data_dir):
        with pytest.raises(MissingData, match=r"fetch mpii-annotations --from DIR"):
            mpii_annotations.load()
        mpii_annotations.fetch(mpii[1], content=mpii[3], quiet=True)
        pictures(data_dir / "mpii" / "images")
        assert len(mpii_annotations.load(require_images=True)) == 30


def test_the_nearest_of_a_name_is_found(tmp_path):
    for place in ("z/x.mat", "a/b/x.mat", "a/b/c/d/y.mat"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "x.mat").mkdir()
    assert find_below(tmp_path, "x.mat") == tmp_path / "z" / "x.mat"
    assert find_below(tmp_path, "y.mat") is None


class TestMpiiPredictions:
    DATA = b"predictions of an hourglass"
    REMOTE = Remote(NOWHERE, "hg.mat", files.sha256_bytes(DATA), len(DATA))

    def test_what_is_known(self):
        known = mpii_predictions.REMOTE
        assert known.url.endswith(known.file)
        assert mpii_predictions.COMMIT in known.url
        assert known.sha256.startswith(mpii_predictions.fingerprint())
        assert len(mpii_predictions.fingerprint()) == 16

    def test_from_a_file_or_a_folder(self, data_dir, tmp_path, capsys):
        source = write(tmp_path / "clone", {"preds/reference/hg.mat": self.DATA})
        for place in (source, source / "preds/reference/hg.mat"):
            got = mpii_predictions.fetch(place, remote=self.REMOTE)
            assert got == data_dir / "mpii" / "hg.mat" == mpii_predictions.find(self.REMOTE)
            assert f"mpii-predictions are at {got}" in capsys.readouterr().err
            assert mpii_predictions.fetch(remote=self.REMOTE) == got  # asks nobody
            got.unlink()

    def test_other_files_are_refused(self, data_dir, tmp_path):
        source = write(tmp_path / "clone", {"hg.mat": self.DATA + b" longer", "other": b""})
        with pytest.raises(UserError, match=r"is not the hg\.mat that was published"):
            mpii_predictions.fetch(source, remote=self.REMOTE)
        (source / "hg.mat").unlink()
        with pytest.raises(UserError, match=r"does not hold hg\.mat"):
            mpii_predictions.fetch(source, remote=self.REMOTE)
        assert not (data_dir / "mpii").exists()

    def test_missing_damaged_and_out_of_reach(self, data_dir, monkeypatch):
        with pytest.raises(MissingData, match="replab fetch mpii-predictions"):
            mpii_predictions.find(self.REMOTE)
        with pytest.raises(DownloadFailed, match="cannot reach"):
            mpii_predictions.fetch(remote=self.REMOTE, quiet=True)
        write(data_dir / "mpii", {"hg.mat": b"something else"})
        with pytest.raises(UserError, match="has sha256"):
            mpii_predictions.find(self.REMOTE)

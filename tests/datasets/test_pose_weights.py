import shutil
from dataclasses import replace

import pytest
import torch

from replab import files, models
from replab.datasets import download, pose_weights, weights
from replab.datasets.pose_weights import PoseCheckpoint
from replab.errors import DownloadFailed, MissingData, UserError

NAME = "w8-64x64"


@pytest.fixture(scope="module")
def state():
    """Tensors of a thin network with the released names."""
    return models.create("pose_hrnet_w8").state_dict()


@pytest.fixture
def made(state, tmp_path, monkeypatch):
    """A checkpoint in the layout of the authors' drive, in the table as `w8-64x64`."""
    monkeypatch.delenv(pose_weights.URL, raising=False)
    path = tmp_path / "models" / "pytorch" / "pose_coco" / "pose_hrnet_w8_64x64.pth"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    known = PoseCheckpoint(NAME, path.name, "pose_hrnet_w8", 17, (64, 64), also=("w8.pth.tar",))
    monkeypatch.setattr(pose_weights, "CHECKPOINTS", {NAME: known})
    return path


def amend(monkeypatch, **changes):
    known = replace(pose_weights.CHECKPOINTS[NAME], **changes)
    monkeypatch.setattr(pose_weights, "CHECKPOINTS", {NAME: known})


@pytest.mark.parametrize("form", ["renamed", "root", "other name"])
def test_from_a_file_or_folder(form, made, data_dir, tmp_path, capsys):
    source = tmp_path / "models"
    if form == "renamed":
        source = tmp_path / "model.bin"
        shutil.copy(made, source)
    elif form == "other name":
        source = tmp_path / "other"
        source.mkdir()
        shutil.copy(made, source / "w8.pth.tar")
    with pytest.raises(MissingData, match=f"fetch weights:{NAME} --from FILE_OR_DIR"):
        pose_weights.find(NAME)
    path = pose_weights.fetch(NAME, source)
    assert path == pose_weights.find(NAME) == data_dir / "weights" / made.name
    assert path.read_bytes() == made.read_bytes()
    assert f"weights:{NAME} are at" in capsys.readouterr().err
    # What is here is not looked for again.
    assert pose_weights.fetch(NAME, tmp_path / "no longer needed") == path
    assert "already here" in capsys.readouterr().err


def test_tensors_of_another_network_are_refused(made, state, data_dir, tmp_path):
    for change in ("joints", "missing", "none"):
        other = dict(state)
        if change == "joints":
            other["final_layer.weight"] = torch.zeros(16, 8, 1, 1)
        elif change == "missing":
            del other["stage4.2.fuse_layers.0.1.0.weight"]
        else:
            other = {}
        path = tmp_path / f"{change}.pth"
        torch.save(other, path)
        with pytest.raises(UserError, match=f"holds no weights of {NAME}") as caught:
            pose_weights.fetch(NAME, path)
        assert "\n" not in str(caught.value)
    assert not (data_dir / "weights").exists()


@pytest.mark.faults
def test_damaged_files_are_refused(made, data_dir, tmp_path):
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="holds no weights"):
        pose_weights.fetch(NAME, made)
    page = tmp_path / "drive.pth"
    page.write_text("<html>Sign in to go on</html>")
    with pytest.raises(UserError, match="holds no weights"):
        pose_weights.fetch(NAME, page)
    assert not (data_dir / "weights").exists()
    made.write_bytes(whole)
    path = pose_weights.fetch(NAME, made)
    # One that got damaged here is replaced, without being forced.
    path.write_bytes(whole[:1000])
    assert pose_weights.fetch(NAME, made).read_bytes() == whole


def test_a_known_checksum_is_held_to(made, data_dir, monkeypatch):
    amend(monkeypatch, sha256=files.sha256_file(made)[:8])
    path = pose_weights.fetch(NAME, made)
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(UserError, match=r"has sha256 .* expected"):
        pose_weights.find(NAME)
    amend(monkeypatch, sha256="0" * 64)
    with pytest.raises(UserError, match=r"has sha256 .* expected 0000"):
        pose_weights.fetch(NAME, made)
    path.unlink()
    with pytest.raises(UserError, match=r"has sha256 .* expected 0000"):
        pose_weights.fetch(NAME, made)
    assert not path.exists()


def test_files_in_another_form(made, data_dir, tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="is no file as released"):
        pose_weights.fetch(NAME, path)


def test_what_is_not_there(made, data_dir, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"does not hold pose_hrnet_w8_64x64\.pth"):
        pose_weights.fetch(NAME, empty)
    with pytest.raises(UserError, match="there is no"):
        pose_weights.fetch(NAME, tmp_path / "none.pth")
    with pytest.raises(UserError, match="no released pose weights 'w64'; choose one of w8-64x64"):
        pose_weights.find("w64")
    with pytest.raises(MissingData, match=f"cannot be downloaded; .*set {pose_weights.URL}"):
        pose_weights.fetch(NAME)


def test_from_the_user_s_own_address(made, data_dir, archives, monkeypatch):
    with archives.serving(made.read_bytes()) as server:
        address, _, _ = server.url.rpartition("/")
        monkeypatch.setenv(pose_weights.URL, f"{address}/")
        path = pose_weights.fetch(NAME, quiet=True)
        assert path == pose_weights.find(NAME)
        assert path.read_bytes() == made.read_bytes()
    assert list((data_dir / "downloads").glob("*.pth")) == []


def test_an_address_that_gives_something_else(made, data_dir, archives, monkeypatch):
    with archives.serving(b"<html>not found</html>") as server:
        monkeypatch.setenv(pose_weights.URL, server.url.rpartition("/")[0])
        with pytest.raises(DownloadFailed, match="gave something else"):
            pose_weights.fetch(NAME, quiet=True)
    assert not (data_dir / "weights" / made.name).exists()
    # It is not taken for the file at the next try either.
    assert list((data_dir / "downloads").glob("*.pth")) == []


def test_the_table():
    table = pose_weights.CHECKPOINTS
    assert {"w32-256x192", "w48-384x288", "sb-r50-256x192", "sb-r152-384x288"} < set(table)
    assert {"mpii-w32-256x256", "imagenet-w32", "mmpose-w48-256x192"} < set(table)
    # They share the command `fetch weights:NAME`.
    assert not set(table) & set(weights.CHECKPOINTS)
    assert len({pose_weights.fingerprint(name) for name in table}) == len(table)
    assert len({known.file for known in table.values()}) == len(table)
    for name, known in table.items():
        assert known.name == name
        assert len(known.sha256) in (0, 8, 64)
        width, height = known.size
        assert known.file.endswith(".pth")
        if known.model:
            assert name.endswith(f"{height}x{width}")
            assert f"{height}x{width}" in known.file
            assert known.joints == (16 if name.startswith("mpii-") else 17)
            assert name.split("-")[-2].lstrip("wr") in known.model
        else:
            assert known.file.endswith(f"-{known.sha256}.pth")
        if known.url:
            assert known.url.endswith(f"/{known.file}")
    # As the identities of committed runs have it.
    assert pose_weights.fingerprint("w32-256x192") == "f3e2a3e5b7424b61"


def test_sizes_are_written_height_first():
    assert pose_weights.sides("384x288") == (288, 384)
    with pytest.raises(ValueError):
        pose_weights.sides("384")


def test_downloads_hold_a_published_length(made, data_dir, archives, monkeypatch):
    amend(monkeypatch, bytes=1, sha256=files.sha256_file(made))
    with archives.serving(made.read_bytes()) as server:
        monkeypatch.setenv(pose_weights.URL, server.url.rpartition("/")[0])
        with pytest.raises(DownloadFailed, match=r"announces .* bytes, expected 1"):
            pose_weights.fetch(NAME, quiet=True)
    assert download.offline() is False

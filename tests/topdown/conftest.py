"""Real photographs in COCO's layout, and pose networks with the goldens' weights."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from recipe_weights import recipe_state
from replab.models import create
from shared_files import shared_dir


@dataclass(frozen=True)
class Photographs:
    """121 photographs of val2017 with their exact annotations, as COCO lays them out."""

    folder: Path
    truth: dict

    @property
    def annotations(self) -> Path:
        return self.folder / "annotations" / "person_keypoints_val2017.json"

    @property
    def pictures(self) -> Path:
        return self.folder / "val2017"


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    source = shared_dir() / "data" / "coco"
    if not source.is_dir():
        pytest.skip("data/coco is not in shared/ (REPLAB_SHARED names the folder)")
    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    (folder / "val2017").symlink_to(source / "val2017")
    found = Photographs(folder, {})
    shutil.copy(source / "annotations" / "person_keypoints_val2017_subset.json", found.annotations)
    found.truth.update(json.loads(found.annotations.read_text()))
    return found


def released_file(path, name, gain, **options):
    """A file of weights as released: a bare dict, drawn by the goldens' recipe."""
    with torch.device("meta"):
        model = create(name, **options)
    torch.save(recipe_state(model.state_dict(), gain), path)
    return path


@pytest.fixture(scope="session")
def hrnet_w32(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return released_file(folder / "pose_hrnet_w32_256x192.pth", "pose_hrnet_w32", 0.5)


SMALL = {"stem": 16, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}


@pytest.fixture(scope="session")
def small_hrnet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return released_file(folder / "small.pth", "pose_hrnet_w16", 0.5, **SMALL)

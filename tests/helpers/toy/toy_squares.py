"""A toy data set: dark and light images. The tests copy it into replab.datasets."""

from pathlib import Path

import numpy as np

from replab.datasets import image_set
from replab.datasets.image_set import ImageSet
from replab.datasets.registry import Dataset, register
from replab.errors import MissingData
from replab.paths import data_dir

NAME = "toy-squares"
FINGERPRINT = "70f0" * 4
MEND = f"run `python -m replab fetch {NAME} --from FILE`"


def load() -> ImageSet:
    folder = data_dir() / NAME
    return image_set.open_folder(folder, NAME, FINGERPRINT, ("dark", "light"), mend=MEND)


def fetch(source: Path | None = None, *, force: bool = False, quiet: bool = False) -> Path:
    if source is None:
        raise MissingData(f"{NAME} cannot be downloaded; {MEND}")
    folder = data_dir() / NAME
    with image_set.locked(folder), image_set.new_folder(folder) as temporary:
        image_set.write_folder(temporary, NAME, FINGERPRINT, np.load(source))
    return folder


register(
    Dataset(
        name=NAME,
        title="toy squares",
        kind="images",
        load=load,
        fingerprint=lambda: FINGERPRINT,
        require=load,
        what="toy squares: dark and light images",
        licence="CC0-1.0",
        citation="the tests of replab",
        page="https://example.org/toy-squares",
        fetch=fetch,
        manual_size=1234,
    )
)

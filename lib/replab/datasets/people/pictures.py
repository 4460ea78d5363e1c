"""Many pictures in the order of their numbers, drawn here or by several processes."""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.cores import available_cores
from replab.datasets.people import annotations, scenes
from replab.datasets.people.difficulty import level
from replab.errors import UserError

VERSION = 1  # raise it with every change that moves a pixel or a joint
SPLITS = ("train", "test")
BLOCK = 20  # pictures that a process hands over at once
WORTH_A_PROCESS = 150  # pictures: a second or two, about what it takes to start

Block = tuple[NDArray[np.uint8], list[dict[str, Any]]]


@dataclass(frozen=True)
class Recipe:
    """Everything that a picture depends on, but its number.

    Attributes:
        split: `train` or `test`, whose pictures have nothing in common.
        difficulty: a name of `difficulty.LEVELS`.
        size: width and height, px.
        seed: of the set.
    """

    split: str
    difficulty: str
    size: tuple[int, int]
    seed: int

    def image_id(self, index: int) -> int:
        """COCO's id of a picture; those of both splits differ."""
        return 1_000_000 * (1 + SPLITS.index(self.split)) + index

    def identity(self) -> dict[str, Any]:
        """What a fingerprint is made of: the recipe, its version and the level's numbers."""
        return {"version": VERSION, "level": asdict(level(self.difficulty)), **asdict(self)}


def scene(recipe: Recipe, index: int) -> scenes.Scene:
    """Draw the picture of a number: it depends on nothing but the recipe and the number."""
    seeds = [VERSION, recipe.seed, SPLITS.index(recipe.split), index]
    random = np.random.Generator(np.random.PCG64(seeds))
    return scenes.draw(random, level(recipe.difficulty), recipe.size)


def block(recipe: Recipe, start: int, stop: int) -> Block:
    """Pictures start to stop − 1 (N×H×W×3) and their annotations."""
    width, height = recipe.size
    drawn = np.empty((stop - start, height, width, 3), np.uint8)
    found = []
    for number, index in enumerate(range(start, stop)):
        one = scene(recipe, index)
        drawn[number] = one.picture
        found += annotations.describe(one, recipe.image_id(index))
    return drawn, found


def blocks(recipe: Recipe, count: int, processes: int | None = None) -> Iterator[Block]:
    """The first `count` pictures in blocks, in order, whoever draws them.

    Args:
        recipe: of the set.
        count: how many pictures.
        processes: how many draw; by default one for each core that this process may use, as far
            as there is enough to do. Pictures do not depend on it.

    Raises:
        UserError: a drawing process died.
    """
    if processes is None:
        processes = min(available_cores(), 8, count // WORTH_A_PROCESS)
    starts = range(0, count, BLOCK)
    if processes <= 1:
        for start in starts:
            yield block(recipe, start, min(start + BLOCK, count))
        return
    with contextlib.ExitStack() as stack:
        workers = [_start(stack, recipe, count, n, processes) for n in range(processes)]
        for number, _ in enumerate(starts):
            yield _receive(workers[number % processes])


def _start(
    stack: contextlib.ExitStack, recipe: Recipe, count: int, number: int, processes: int
) -> subprocess.Popen[bytes]:
    """Start a process that draws every `processes`-th block from `number` on.

    A plain program, no pool of `multiprocessing`: a pool would run the user's script again in
    every worker where it does not keep its main part apart, and there wait for our own lock.
    """
    job = {"recipe": asdict(recipe), "count": count, "number": number, "processes": processes}
    library = str(Path(__file__).resolve().parents[3])
    paths = [library, *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = subprocess.Popen(
        [sys.executable, "-m", "replab.datasets.people.worker", files.canonical_json(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    stack.callback(_end, worker)
    return worker


def _receive(worker: subprocess.Popen[bytes]) -> Block:
    assert worker.stdout is not None  # a pipe was asked for
    try:
        found: Block = pickle.load(worker.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"a process that drew pictures of people ended early (exit code {worker.wait()}); "
            "its reason stands above, or the machine was out of memory: run the command again"
        ) from error
    return found


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    if worker.stdout is not None:
        worker.stdout.close()
    worker.wait()

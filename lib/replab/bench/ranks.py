"""Two processes that share each batch beside one process of two threads: the same cores."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import IO

from replab.bench import cifar
from replab.bench.comparing import Benchmark, Step
from replab.options import RunOptions
from replab.training import distributed

NET = "cifar_resnet20"
RANKS = 2
# In a call of some seconds, what each training begins with weighs little.
STEPS = 12
GO, DONE = "go\n", "done\n"


def benchmarks() -> list[Benchmark]:
    """Training of a small net of He et al. 2016, global batches of 128 images."""
    return [
        Benchmark(
            "ranks",
            "images",
            f"one process of {RANKS} threads, the same batches",
            cifar.BATCH * STEPS,
            prepare,
        )
    ]


def prepare(stack: ExitStack) -> tuple[Step, Step]:
    """Start the processes; a step has them train for some iterations."""
    return together(stack, ranks=RANKS, threads=1), together(stack, ranks=1, threads=RANKS)


def together(stack: ExitStack, *, ranks: int, threads: int) -> Step:
    """A step of some processes, which wait for it until the stack is closed.

    Args:
        ranks: how many share each batch.
        threads: of each.

    Raises:
        RuntimeError: by the step: a process has ended.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    usual = {
        **{k: v for k, v in os.environ.items() if k not in distributed.VARIABLES},
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": str(threads),
    }
    pipes: list[tuple[IO[str], IO[str]]] = []
    for rank in range(ranks):
        values = (rank, ranks, rank, ranks, "127.0.0.1", port)
        place = dict(zip(distributed.VARIABLES, map(str, values), strict=True))
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "replab.bench.ranks", str(threads)],
                env=usual | place,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        # Killed before the stack waits for it.
        stack.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        pipes.append((process.stdin, process.stdout))
    return partial(_step, pipes)


def _step(pipes: list[tuple[IO[str], IO[str]]]) -> None:
    for order, _ in pipes:
        order.write(GO)
        order.flush()
    for _, answer in pipes:
        if answer.readline() != DONE:
            raise RuntimeError("a process of the benchmark has ended before its time")


def main(threads: int) -> None:
    """What each process does: train whenever it is told to."""
    import torch

    from replab.training.loop import train

    torch.set_num_threads(threads)
    recipe = replace(cifar.RECIPE, iterations=STEPS)
    model, source = cifar.our_net(NET), cifar.our_batches(*cifar.random_images())
    for _ in sys.stdin:
        train(model, source, recipe, seed=0, options=RunOptions())
        print(DONE, end="", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))

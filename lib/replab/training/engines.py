"""Which engine computes a training: probed once for a machine and a network, then remembered."""

import copy
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from replab import paths
from replab.files import canonical_json, sha256_bytes, write_json
from replab.hardware import cpu_name
from replab.options import RunOptions
from replab.training.step import Step

# Compiling takes a minute or two on two cores: more than it could save in a shorter training.
WORTH_PROBING_S = 1200.0
STEPS = 6
# Two runs share the processor while one is probed: a smaller gain may be noise.
LEAST_GAIN = 1.05

MakeStep = Callable[[nn.Module, RunOptions], Step]


def choose(
    model: nn.Module,
    batch: tuple[torch.Tensor, ...],
    make_step: MakeStep,
    *,
    iterations: int,
    options: RunOptions,
    cache: Path | None = None,
) -> RunOptions:
    """The options with the engine, `eager` or `compiled`, that takes less time for a training.

    Both are timed on copies of the network, once for a processor (or GPU), network, batch shape,
    precision, number of threads and version of torch; the answer is kept in the store. Trainings
    under 20 minutes are not worth compiling.

    Args:
        batch: images B×C×H×W and their targets, on the device.
        make_step: makes a step of a network with the engine that its options name.
        iterations: that are left to do.
        cache: file of the answers; `engines.json` of the store if None.
    """
    eager = replace(options, engine="eager")
    eager_s, _ = _time(copy.deepcopy(model), batch, make_step, eager, steps=2)
    if eager_s * iterations < WORTH_PROBING_S:
        return eager
    path = paths.store_dir() / "engines.json" if cache is None else cache
    key = _key(model, batch, options)
    known = _read(path).get(key)
    if known is None:
        known = _probe(model, batch, make_step, eager)
        write_json(path, {**_read(path), key: known})
    return replace(options, engine=str(known["engine"]))


def _probe(
    model: nn.Module, batch: tuple[torch.Tensor, ...], make_step: MakeStep, eager: RunOptions
) -> dict[str, Any]:
    """Time both engines.

    Returns:
        The faster one, and seconds per step of each; where the network cannot be compiled here,
        why.
    """
    print("note: timing eager and compiled steps, once for this machine", file=sys.stderr)
    compiled = replace(eager, engine="compiled")
    eager_s, _ = _time(copy.deepcopy(model), batch, make_step, eager, steps=STEPS)
    try:
        compiled_s, start_s = _time(copy.deepcopy(model), batch, make_step, compiled, steps=STEPS)
    # No C++ compiler, or an operation that inductor does not know: any error at all.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"note: cannot compile here, training eagerly: {reason}", file=sys.stderr)
        return {"engine": "eager", "eager_s": eager_s, "problem": reason}
    return {
        "engine": "compiled" if compiled_s * LEAST_GAIN < eager_s else "eager",
        "eager_s": eager_s,
        "compiled_s": compiled_s,
        "start_s": start_s,
    }


def _time(
    model: nn.Module,
    batch: tuple[torch.Tensor, ...],
    make_step: MakeStep,
    options: RunOptions,
    *,
    steps: int,
) -> tuple[float, float]:
    """Seconds of the fastest step after the first, and of the first."""
    model.train()
    step = make_step(model, options)
    marks = [time.perf_counter()]
    for _ in range(steps):
        step(*batch)
        if options.device.startswith("cuda"):
            torch.cuda.synchronize(options.device)
        marks.append(time.perf_counter())
    took = [later - earlier for earlier, later in itertools.pairwise(marks)]
    return min(took[1:]), took[0]


def _key(model: nn.Module, batch: tuple[torch.Tensor, ...], options: RunOptions) -> str:
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    network = f"{type(model).__name__} {sha256_bytes(canonical_json(shapes).encode())[:12]}"
    on_gpu = options.device.startswith("cuda")
    where = torch.cuda.get_device_name(options.device) if on_gpu else cpu_name()
    sizes = "x".join(map(str, batch[0].shape))
    threads = torch.get_num_threads()
    return (
        f"{where}; torch {torch.__version__}; {threads} threads; {options.precision}; {network}; "
        f"{sizes}"
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):  # nothing was probed yet
        return {}
    return content if isinstance(content, dict) else {}

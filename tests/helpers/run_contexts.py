"""What a run is told, without a machine that tells it, and runs that are really done with it."""

from dataclasses import replace
from pathlib import Path

from replab.options import RunOptions
from replab.runs import record as records
from replab.runs.experiment import RunContext
from replab.runs.identity import plan_runs


def made_context(variant, recipe, **changes) -> RunContext:
    """A run of seed 0 in float32 on one thread, without data and a folder of its own."""
    fields = {
        "seed": 0,
        "data": "",
        "options": RunOptions(),
        "workspace": Path(),
        "progress": lambda share, text: None,
    }
    return RunContext(variant=variant, recipe=recipe, **fields | changes)


def done_here(paper, name, profile="quick", *, wanted=lambda variant: True, **changes):
    """Records of an experiment without data, really done; `changes` of the recipe."""
    experiment, done = paper.replication.experiments[name], []
    for spec in plan_runs(paper.name, experiment, profile, data=("", ""), device="cpu"):
        if wanted(spec.variant):
            context = made_context(spec.variant, replace(spec.recipe, **changes), seed=spec.seed)
            result = experiment.function(context)
            done.append(records.make(spec, result, threads=1, provenance={}))
    return done

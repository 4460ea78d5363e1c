"""Records that no run made, for tests of what is done with records."""

from replab.runs.record import Record


def made_record(variant, seed, *, metrics=None, series=None, iterations=3) -> Record:
    """A record of an experiment `e` of a paper `p`, in profile quick."""
    return Record(
        id="0" * 16,
        paper="p",
        experiment="e",
        version=1,
        model="m",
        variant=variant,
        seed=seed,
        profile="quick",
        data={},
        recipe={},
        iterations=iterations,
        precision="fp32",
        device="cpu",
        threads=1,
        metrics=metrics or {},
        series=series or {},
        provenance={},
    )

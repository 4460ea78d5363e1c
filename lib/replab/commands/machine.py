"""Commands about this machine: its data and its speed."""

from argparse import Namespace
from dataclasses import asdict

from replab.output import emit

# Seconds of start-up that a benchmark's line mentions: less is noise.
START_S = 5


def fetch(options: Namespace) -> None:
    """`fetch`: data and weights; without a name, what there is."""
    from replab.datasets.fetch import entries
    from replab.datasets.fetch import fetch as bring

    if options.dataset is None:
        rows = [
            {"name": e.name, "what": e.what, "bytes": e.size, "licence": e.licence}
            for e in entries().values()
        ]
        lines = [
            f"{e.name:<26}{_megabytes(e.size):>9}  {e.what}; licence: {e.licence}"
            for e in entries().values()
        ]
        emit(rows, options.json, "\n".join(lines))
        return
    path = bring(options.dataset, options.source, force=options.force)
    emit({"name": options.dataset, "path": str(path)}, options.json, f"{options.dataset}: {path}")


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB"


def bench(options: Namespace) -> None:
    """`bench`: speeds beside a named peer's, and where a training step's time goes."""
    from replab.bench import anatomy
    from replab.bench.cifar import NETS
    from replab.bench.suite import run_all

    if options.anatomy:
        examined = [anatomy.examine(name) for name in NETS]
        lines = [line for found in examined for line in anatomy.lines(found)]
        emit([asdict(found) for found in examined], options.json, "\n".join(lines))
        return
    results = run_all(options.only or "*")
    lines = [f"{'benchmark':<32}{'ours':>14}{'peer':>14}{'ratio':>8}  peer"]
    lines += [
        f"{r.name:<32}{r.ours:>10.4g} /s{r.peer:>11.4g} /s{r.ratio:>7.2f}×  {r.peer_name}"
        + (f" (after {r.start_s:.0f} s of start-up)" if r.start_s > START_S else "")
        for r in results
    ]
    emit([asdict(r) | {"ratio": r.ratio} for r in results], options.json, "\n".join(lines))

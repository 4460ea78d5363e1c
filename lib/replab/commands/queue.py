"""The command `queue`: registered runs, one after the other, beside other work."""

import sys
from argparse import Namespace

from replab.output import emit
from replab.runs import queue, queue_status
from replab.runs.store import Store


def start(options: Namespace) -> int:
    """`queue`: work through all registered runs that lack records, in a clean checkout."""
    return queue.start(Store(), commit=options.commit, workers=options.workers)


def work(options: Namespace) -> None:
    """`queue work`: what `queue` starts in that checkout."""
    queue.Queue(Store(), options.repository, options.workers).work()


def stop(options: Namespace) -> None:
    """`queue stop`: end the queues of this store; their runs resume from their checkpoints."""
    count = queue_status.stop(Store())
    print("no queue is running" if not count else f"stopped {count}", file=sys.stderr)


def status(options: Namespace) -> None:
    """`queue status`: what is done, running and left, and how long that takes."""
    found = queue_status.status(Store())
    lines = [f"queue {q['pid']}, pinned at {q['commit'][:12]}" for q in found["queues"]]
    lines = lines or ["no queue is running (`nox -s queue` starts one)"]
    for row in found["registrations"]:
        lines.append(f"{row['registration']}: {row['done']} of {row['planned']} runs done")
    lines += [f"running  {run['text']}" for run in found["running"]]
    lines += [f"left     {label}" for label in found["left"]]
    if found["core_hours_left"] is not None:
        lines.append(f"about {found['core_hours_left']} core-hours left on this processor")
    emit(found, options.json, "\n".join(lines))

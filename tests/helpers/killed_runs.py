"""Runs that end as if their process had been killed, once they have saved a checkpoint."""

from contextlib import contextmanager

import pytest

from replab.training import checkpoints, loop


class Killed(BaseException):
    """Ends a run wherever it is; nothing catches it."""


@contextmanager
def killed_after(iteration):
    """What runs inside is to save a checkpoint at every iteration, and ends at this one's."""
    save = checkpoints.save

    def save_and_die(path, state):
        save(path, state)
        if state["iteration"] == iteration:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        patch.setattr(checkpoints, "save", save_and_die)
        with pytest.raises(Killed):
            yield

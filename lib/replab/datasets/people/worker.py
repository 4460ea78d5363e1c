"""The program of a drawing process: blocks of pictures, pickled, to its standard output."""

import json
import pickle
import sys

from replab.datasets.people.pictures import BLOCK, Recipe, block


def main(job_text: str) -> None:
    """Draw every n-th block of a set.

    Args:
        job_text: JSON of the recipe, the count of pictures, the number of this process and how
            many there are.
    """
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    job = json.loads(job_text)
    recipe = Recipe(**{**job["recipe"], "size": tuple(job["recipe"]["size"])})
    step = BLOCK * job["processes"]
    for start in range(BLOCK * job["number"], job["count"], step):
        drawn = block(recipe, start, min(start + BLOCK, job["count"]))
        pickle.dump(drawn, sys.stdout.buffer, protocol=5)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])

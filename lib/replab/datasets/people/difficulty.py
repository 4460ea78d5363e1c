"""How hard generated pictures are: one set of numbers for each of three levels."""

from dataclasses import dataclass

from replab.errors import UserError


@dataclass(frozen=True)
class Difficulty:
    """What stands between a net and the people in a picture.

    Attributes:
        backdrop: levels (of 255) by which the background varies, at most.
        clutter: shapes behind the people, at most.
        distractors: loose arms and legs, at most.
        occluders: shapes in front of people, at most.
        people: least and most people with keypoints in a picture.
        places: places tried for each person, of which that with the least overlap is taken.
        cut: probability that a person stands where the perspective puts it, be it beyond the
            border; the others are moved into the picture as far as they fit.
        contrast: of garments to the background, least difference of a channel through 128.
        blur: standard deviation of the blur, px.
        noise: standard deviation of the sensor's noise, levels.
        texture: amplitude of coarse grain over everything, levels.
        bystanders: probability of a small person without keypoints.
        crowd: probability of a crowd without keypoints.
    """

    backdrop: int
    clutter: int
    distractors: int
    occluders: int
    people: tuple[int, int]
    places: int
    cut: float
    contrast: float
    blur: float
    noise: float
    texture: int
    bystanders: float
    crowd: float


LEVELS = {
    "easy": Difficulty(30, 4, 0, 0, (2, 4), 10, 0.1, 0.8, 0.6, 4.0, 5, 0.12, 0.03),
    "medium": Difficulty(45, 10, 3, 2, (2, 5), 4, 0.3, 0.55, 0.9, 7.0, 10, 0.25, 0.06),
    "hard": Difficulty(60, 20, 6, 3, (2, 6), 1, 0.5, 0.35, 1.2, 10.0, 14, 0.4, 0.1),
}


def level(name: str) -> Difficulty:
    """The numbers of `easy`, `medium` or `hard`.

    Raises:
        UserError: the name is unknown.
    """
    if name not in LEVELS:
        raise UserError(f"there is no difficulty {name!r}; choose one of {', '.join(LEVELS)}")
    return LEVELS[name]

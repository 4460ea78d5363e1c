"""Records gathered for a figure: chosen, labelled, by network, by panel, in pairs."""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from replab.errors import UserError
from replab.runs.record import Record

Nets = Mapping[str, Sequence[Record]]
Pairs = dict[str, tuple[list[Record], list[Record]]]
Pairing = Callable[[Sequence[Record]], Pairs]


def nets(
    records: Iterable[Record], label: str, words: Mapping[str, str] | None = None
) -> dict[str, list[Record]]:
    """Records gathered by network: label → records by seed, sorted by the variant's keys in it.

    Args:
        label: a network's label, with keys of the variants in braces, such as `{net}-{depth}`.
        words: how values of variants are called, in the order in which they are compared; others
            stay as they are.
    """
    keys, order = _keys(label), list(words or {})

    def rank(value: Any) -> tuple[int, Any]:
        return (0, order.index(value)) if value in order else (1, value)

    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (*(rank(r.variant[k]) for k in keys), r.seed)):
        found.setdefault(labelled(record, label, words), []).append(record)
    return found


def panels(
    records: Iterable[Record], panel: str, line: str, words: Mapping[str, str] | None = None
) -> dict[str, dict[str, list[Record]]]:
    """Records gathered by panel: its title → label of a line → records; labels as in `nets`."""
    gathered = nets(records, panel, words)
    return {title: nets(members, line, words) for title, members in gathered.items()}


def along(axis: str, *, plus: str, minus: str, label: str) -> Pairing:
    """Pairs the runs of two values of one key of the variants.

    Args:
        axis: the key whose values `plus` and `minus` are compared; runs of others are left out.
        label: of a pair, with the other keys of the variants in braces.
    """
    sides = [plus, minus]

    def pair(records: Sequence[Record]) -> Pairs:
        gaps: Pairs = {}
        for record in sorted(records, key=lambda r: r.seed):
            value = str(record.variant[axis])
            if value in sides:
                found = gaps.setdefault(labelled(record, label), ([], []))
                found[sides.index(value)].append(record)
        return gaps

    return pair


def between(label: str, *wanted: tuple[str, str]) -> Pairing:
    """Pairs the runs of networks named one by one.

    Args:
        label: of a network, as in `nets`.
        wanted: labels of the minuend and the subtrahend of each pair.
    """

    def pair(records: Sequence[Record]) -> Pairs:
        found = nets(records, label)
        missing = [name for names in wanted for name in names if name not in found]
        if missing:
            known = ", ".join(found)
            raise UserError(f"no run is called {missing[0]}; the records have {known}")
        return {f"{plus} − {minus}": (found[plus], found[minus]) for plus, minus in wanted}

    return pair


def of_one_seed(
    records: Iterable[Record], choices: Mapping[str, Mapping[str, Any]]
) -> dict[str, Record]:
    """Label → its record, all of the lowest common seed; of its own lowest where there is none.

    Args:
        records: that hold what is to be shown.
        choices: label → values that its variant must have, as `fits` takes them; one without
            records is left out.
    """
    kept = list(records)
    found = {label: by_seed(kept, where) for label, where in choices.items()}
    found = {label: seeds for label, seeds in found.items() if seeds}
    if not found:
        return {}
    common = set.intersection(*(set(seeds) for seeds in found.values()))
    return {label: seeds[min(common or seeds)] for label, seeds in found.items()}


def by_seed(records: Iterable[Record], where: Mapping[str, Any]) -> dict[int, Record]:
    """Seed → its record, of those whose variants have some values; see `fits`."""
    return {r.seed: r for r in records if fits(r, where)}


def labelled(record: Record, label: str, words: Mapping[str, str] | None = None) -> str:
    """A record's label: keys of its variant in braces, each value by its word; else empty."""
    known = words or {}
    values = {key: str(record.variant.get(key, "")) for key in _keys(label)}
    return label.format(**{key: known.get(v, v) for key, v in values.items()}).strip(" ,")


def _keys(label: str) -> list[str]:
    """The keys of variants that stand in braces in a label."""
    return [key for _, key, _, _ in string.Formatter().parse(label) if key]


def fits(record: Record, where: Mapping[str, Any]) -> bool:
    """Whether a variant has some values: any of those in a tuple, None for lacking the key."""
    return all(
        record.variant.get(key) in (value if isinstance(value, tuple) else (value,))
        for key, value in where.items()
    )

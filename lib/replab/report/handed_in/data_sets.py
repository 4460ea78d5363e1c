"""The data and weights behind some records: what they are, whose, and under which licence."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from replab.datasets.registry import registered, whole
from replab.errors import UserError
from replab.report.handed_in.dossier import Dossier
from replab.runs.record import Record


@dataclass(frozen=True)
class DataSet:
    """A data set, a file of predictions or of weights, by the name that `fetch` knows it by.

    Attributes:
        url: of a page about it, empty if it is drawn by this suite or none is known.
        fingerprints: of its content, as the records name it.
    """

    name: str
    what: str
    licence: str
    citation: str
    url: str
    fingerprints: tuple[str, ...] = ()


def names(dossier: Dossier, record: Record) -> list[str]:
    """Names of all data and weights that a run read, sorted; empty for one that counts."""
    experiment = dossier.paper.replication.experiments[record.experiment]
    found = [
        record.data["name"],
        str(record.recipe.get("test_data", "")),
        *experiment.fetches(record.variant),
    ]
    return sorted({whole(name) for name in found if name})


def behind(dossier: Dossier, records: Iterable[Record]) -> dict[str, DataSet]:
    """What some runs read, by name, each with the fingerprints that the records hold.

    Raises:
        UserError: a record names data that this suite does not know.
    """
    found: dict[str, DataSet] = {}
    for record in records:
        read = names(dossier, record)
        own = record.data["fingerprint"].partition("+")[0]
        # The record's fingerprint is of the data it names, or of the only file that it read.
        named = whole(record.data["name"]) or (read[0] if len(read) == 1 else "")
        for name in read:
            known = found.setdefault(name, describe(name))
            if own and named == name and own not in known.fingerprints:
                marks = tuple(sorted({*known.fingerprints, own}))
                found[name] = replace(known, fingerprints=marks)
    return dict(sorted(found.items()))


def describe(name: str) -> DataSet:
    """What is known of a data set or of weights.

    Raises:
        UserError: this suite does not know the name.
    """
    name = whole(name)
    known = registered().get(name)
    if known is None or not known.what:
        raise UserError(
            f"a record names the data '{name}', which this replab does not know; register it in "
            "lib/replab/datasets"
        )
    return DataSet(name, known.what, known.licence, known.citation, known.page)

"""The rows of a `claims.csv`, read and verified."""

import csv
import io
import re
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.files import read_text

KINDS = ("exact", "value", "ordering", "gap", "trend")
SOURCES = {
    "P": "the paper's full text",
    "R": "official README or source",
    "S": "a secondary public text",
    "C": "computed by us: arithmetic, or evaluation of public files",
    "D": "digitised from a figure",
    "M": "memory: shown, never decided",
}
COLUMNS = (
    "id",
    "locus",
    "kind",
    "metric",
    "reported",
    "unit",
    "source",
    "protocol",
    "selector",
    "tolerance",
    "gate",
    "note",
)
_ID = re.compile(r"[a-z0-9]+([.-][a-z0-9_-]+)*")


def read_claims(path: Path, *, shown_as: str) -> dict[str, dict[str, Any]]:
    """Rows of a `claims.csv` by id, each with the `line` it ends in.

    Args:
        shown_as: the file's name in messages.

    Raises:
        UserError: the file is missing, or a row is malformed; the message names the line.
    """
    text = read_text(path, shown_as=shown_as)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, dict[str, Any]] = {}
    try:
        if tuple(next(reader, [])) != COLUMNS:
            raise UserError(f"{shown_as}:1: the columns must be {','.join(COLUMNS)}")
        for cells in reader:
            _add_row(rows, cells, f"{shown_as}:{reader.line_num}", reader.line_num)
    except csv.Error as error:
        raise UserError(f"{shown_as}:{reader.line_num}: not valid CSV: {error}") from error
    return rows


def _add_row(rows: dict[str, dict[str, Any]], cells: list[str], where: str, line: int) -> None:
    if len(cells) != len(COLUMNS):
        raise UserError(f"{where}: {len(cells)} cells instead of {len(COLUMNS)}")
    row: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    claim = row["id"]
    if not _ID.fullmatch(claim):
        raise UserError(f"{where}: '{claim}' is no claim id (dotted, lower case)")
    if claim in rows:
        raise UserError(f"{where}: id {claim} already stands in line {rows[claim]['line']}")
    if row["kind"] not in KINDS:
        raise UserError(f"{where}: kind '{row['kind']}' is none of {', '.join(KINDS)}")
    if row["source"] not in SOURCES:
        raise UserError(f"{where}: source '{row['source']}' is none of {', '.join(SOURCES)}")
    if row["gate"] not in ("yes", "no"):
        raise UserError(f"{where}: gate is '{row['gate']}', it must be yes or no")
    if row["gate"] == "yes" and row["source"] == "M":
        raise UserError(f"{where}: a claim from memory cannot have gate yes")
    if not row["reported"].strip() or not row["locus"].strip():
        raise UserError(f"{where}: locus and reported must not be empty")
    rows[claim] = row | {"line": line}

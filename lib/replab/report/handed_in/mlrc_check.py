"""Whether a report for the ML Reproducibility Challenge says what the ledger says."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from replab.claims.ledger import Entry
from replab.report import text
from replab.report.handed_in.dossier import Dossier
from replab.report.handed_in.mlrc import HEADER, SECTIONS


def problems(dossier: Dossier, files: Mapping[str, bytes]) -> list[str]:
    """What is wrong with a report in Markdown: sections, claims, numbers, verdicts, counts.

    Args:
        files: `report.md` and `report.tex`, as written or with the blanks filled in.
    """
    if "report.md" not in files:
        return ["report.md is missing"]
    content = files["report.md"].decode()
    found = []
    headings = re.findall(r"^(#{2,}) (.+)$", content, re.MULTILINE)
    known = [(len(marks) - 1, name) for marks, name in headings]
    if known != list(SECTIONS):
        differing = {name for _, name in set(known) ^ set(SECTIONS)}
        found.append(
            f"the sections are not the challenge's: {', '.join(sorted(differing)) or '?'}"
        )
    counts = {
        "The paper's claims": dossier.ledger.counts(scaled=False),
        "Of these, printed by others": dossier.printed_counts(),
        "Scaled claims": dossier.ledger.counts(scaled=True),
    }
    lines = [f"{what}: {text.counts_line(numbers)}." for what, numbers in counts.items()]
    there = content.splitlines()
    found += [f"the summary does not count: {line}" for line in lines if line not in there]
    rows = _rows(content)
    expected = {e.id: e for e in dossier.ledger.select(attempted=True)}
    found += [f"{claim} stands in the report {n} times" for claim, n in _repeated(rows).items()]
    found += [f"{claim} is not in the report" for claim in expected if claim not in dict(rows)]
    for claim, cells in rows:
        if claim not in expected:
            found.append(f"{claim} was not attempted, or is no claim of the paper")
            continue
        found += [f"{claim}: {problem}" for problem in _differences(expected[claim], cells)]
    return found


def _rows(content: str) -> list[tuple[str, list[str]]]:
    """Claim and cells of each row of the report's tables of claims."""
    rows, inside = [], False
    for line in content.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if tuple(cells) == HEADER:
            inside = True
        elif not cells:
            inside = False
        elif inside and cells[0].startswith("`"):
            rows.append((cells[0].strip("`"), cells))
    return rows


def _repeated(rows: list[tuple[str, list[str]]]) -> dict[str, int]:
    claims = [claim for claim, _ in rows]
    return {claim: claims.count(claim) for claim in claims if claims.count(claim) > 1}


def _differences(entry: Entry, cells: list[str]) -> list[str]:
    """How a row differs from its ledger entry, numbers compared as far as they are printed."""
    _, reported, measured, interval, n, tolerance, verdict = cells
    values = entry.measured if isinstance(entry.measured, dict) else {"": entry.measured}
    printed = [part.rpartition(": ")[2] for part in _terms(measured, list(values))]
    ends = interval.strip("[]").split(", ") if interval else []
    wanted = {
        "reported": reported == text.reported(entry).replace("|", "\\|"),
        "measured": len(printed) == len(values)
        and all(_rounds_to(p, v) for p, v in zip(printed, values.values(), strict=True)),
        "interval": len(ends) == len(entry.interval or ())
        and all(_rounds_to(e, v) for e, v in zip(ends, entry.interval or (), strict=True)),
        "n": n == str(entry.n),
        "tolerance": tolerance == text.tolerance(entry),
        "verdict": verdict == text.verdict(entry),
    }
    return [f"{what} is not the ledger's" for what, equal in wanted.items() if not equal]


def _terms(measured: str, names: list[str]) -> list[str]:
    """The numbers of a cell, one per term; terms may hold commas themselves."""
    if names == [""]:
        return [measured]
    parts, rest = [], measured
    for name, following in zip(names, [*names[1:], None], strict=True):
        head = f"{name}: "
        end = len(rest) if following is None else rest.find(f", {following}: ")
        if not rest.startswith(head) or end < 0:
            return []
        parts.append(rest[len(head) : end])
        rest = rest[end + 2 :]
    return parts


def _rounds_to(printed: str, value: float | None) -> bool:
    """Whether a number rounds to a printed one."""
    try:
        number = Decimal(printed.replace(",", ""))
    except InvalidOperation:
        return False
    exponent = number.as_tuple().exponent
    if value is None or not isinstance(exponent, int):
        return False
    # Half a digit, and a little for ties that binary floats hide.
    half = Decimal(1).scaleb(exponent) * Decimal("0.5000001")
    return abs(Decimal(repr(float(value))) - number) <= half

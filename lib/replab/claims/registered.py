"""Verdicts on registered claims, by the analysis that was registered with them."""

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replab.claims import selectors
from replab.claims.claim import Paper
from replab.claims.outcome import (
    INCONCLUSIVE,
    NOT_REPRODUCED,
    REPRODUCED,
    SLACK,
    Outcome,
    format_difference,
)
from replab.claims.statistics import Estimate, combine_by_seed, estimate
from replab.errors import UserError
from replab.runs.record import Record
from replab.runs.registration import Analysis, Contrast, RegisteredClaim, Registration


@dataclass(frozen=True)
class Decision:
    """What the runs of a registration say about one of its claims.

    Attributes:
        about: for the ledger: registration, role, effects, p-values, planned n and power.
        runs: the records behind it.
    """

    outcome: Outcome
    about: Mapping[str, Any]
    runs: Sequence[Record]


@dataclass(frozen=True)
class _Tested:
    """A claim's contrasts over the seeds that all of its numbers have.

    Attributes:
        seeds: those.
        effects: of each contrast.
        p: one-sided p-value of the claim; None unless all registered seeds are there.
        p_reversed: one-sided p-value of its opposite.
    """

    seeds: tuple[int, ...]
    effects: tuple[Estimate, ...]
    p: float | None
    p_reversed: float | None


def own_records(registration: Registration, records: Iterable[Record]) -> list[Record]:
    """The records that count for a registration as it stands, one a run."""
    return first_finished([r for r in records if not registration.mismatch(r)])


def first_finished(records: Iterable[Record]) -> list[Record]:
    """Of registered runs that were done on several devices, the record that was finished first."""
    kept: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda r: (_finished(r), r.id)):
        variant = tuple(sorted(record.variant.items()))
        kept.setdefault((record.registration, variant, record.seed), record)
    return list(kept.values())


def _finished(record: Record) -> float:
    """When a run ended, in seconds; of records that do not say so, at the earliest."""
    ended = str(record.provenance.get("finished", ""))
    began = datetime.datetime.fromisoformat(ended or str(record.provenance["started"]))
    return began.timestamp() + (0.0 if ended else float(record.provenance["wall_s"]))


def one_a_run(records: Sequence[Record]) -> list[Record]:
    """Records of registered runs once each, whatever they were done on; the others as they are."""
    return [
        *(r for r in records if not r.registration),
        *first_finished(r for r in records if r.registration),
    ]


def decide_all(
    paper: Paper, profile: str, records: Sequence[Record]
) -> dict[tuple[str, str], Decision]:
    """What the registrations of a profile decide, by claim and registration.

    Raises:
        UserError: a record lacks a metric.
    """
    found: dict[tuple[str, str], Decision] = {}
    for registration in paper.registrations.values():
        if registration.profile != profile:
            continue
        try:
            decided = decide(registration, records)
        except ValueError as error:
            raise UserError(
                f"{paper.name}, profile {profile}, registration {registration.name}: {error}"
            ) from error
        found |= {(claim, registration.name): d for claim, d in decided.items()}
    return found


def decide(
    registration: Registration,
    records: Iterable[Record],
) -> dict[str, Decision]:
    """Decide the claims of a registration that have any numbers.

    Args:
        records: of the paper; those that the registration does not cover are left out.

    Raises:
        ValueError: a record lacks a metric.
    """
    own = own_records(registration, records)
    tested = {c.id: _test(c, registration, own) for c in registration.claims}
    family = [c.id for c in registration.primary]
    adjusted = _adjust(family, {c: t.p for c, t in tested.items() if t})
    opposite = _adjust(family, {c: t.p_reversed for c, t in tested.items() if t})
    decided = {}
    for claim in registration.claims:
        found = tested[claim.id]
        if found is not None:
            p, against = adjusted[claim.id], opposite[claim.id]
            decided[claim.id] = _decision(claim, registration, own, found, p, against)
    return decided


def _test(
    claim: RegisteredClaim,
    registration: Registration,
    records: Sequence[Record],
) -> _Tested | None:
    """The claim's effects and p-values; None if no seed has all of its numbers."""
    by_contrast = [_by_seed(contrast, records) for contrast in claim.contrasts]
    seeds = set.intersection(*map(set, by_contrast))
    if not seeds:
        return None
    values = [[found[seed] for seed in sorted(seeds)] for found in by_contrast]
    effects = tuple(estimate(v, registration.analysis.interval) for v in values)
    if len(seeds) < registration.n:
        return _Tested(tuple(sorted(seeds)), effects, None, None)
    if claim.comparator == "equivalent":
        return _Tested(tuple(sorted(seeds)), effects, *_equivalence(claim, effects[0]))
    # All contrasts must hold, so the least certain one counts; any one of them may be reversed.
    p = max(_p_above(e, claim.margin) for e in effects)
    reverse = min(_p_above(_negative(e), -claim.margin) for e in effects) * len(effects)
    return _Tested(tuple(sorted(seeds)), effects, p, min(1.0, reverse))


def _by_seed(contrast: Contrast, records: Sequence[Record]) -> dict[int, float]:
    parts = [
        [selectors.values(selectors.parse(text), records) for text in side]
        for side in (contrast.plus, contrast.minus)
    ]
    if not all(found for side in parts for found in side):
        return {}
    try:
        return combine_by_seed(*parts)
    except ValueError:  # no seed is complete yet
        return {}


def _equivalence(claim: RegisteredClaim, found: Estimate) -> tuple[float, float]:
    """One-sided p-values of lying within the margin of the print, and of lying outside."""
    assert claim.target is not None
    low, high = claim.target - claim.margin, claim.target + claim.margin
    inside = max(_p_above(found, low), _p_above(_negative(found), -high))
    outside = min(_p_above(found, high), _p_above(_negative(found), -low))
    return inside, outside


def _negative(found: Estimate) -> Estimate:
    return Estimate(-found.mean, found.deviation, found.n, -found.high, -found.low)


def _p_above(found: Estimate, bound: float) -> float:
    """One-sided p-value of the t-test that a mean exceeds a bound."""
    from scipy.special import stdtr

    difference = found.mean - bound
    # Rounding of binary floats is no spread and no difference.
    rounding = SLACK * max(1.0, abs(found.mean), abs(bound))
    if found.deviation <= rounding:
        return 0.0 if difference > rounding else 1.0
    t = difference / (found.deviation / math.sqrt(found.n))
    return float(stdtr(found.n - 1, -t))


def _adjust(family: Sequence[str], found: Mapping[str, float | None]) -> dict[str, float | None]:
    """Holm's adjusted p-values of the family, the others' as they are.

    Members without a p-value yet count as 1, so that what is adjusted today can only fall.
    """
    values: dict[str, float] = {}
    for claim in family:
        p = found.get(claim)
        values[claim] = 1.0 if p is None else p
    running, adjusted = 0.0, dict(found)
    for rank, claim in enumerate(sorted(family, key=lambda c: values[c])):
        running = max(running, min(1.0, (len(family) - rank) * values[claim]))
        if found.get(claim) is not None:
            adjusted[claim] = running
    return adjusted


def _decision(
    claim: RegisteredClaim,
    registration: Registration,
    records: Sequence[Record],
    found: _Tested,
    p: float | None,
    against: float | None,
) -> Decision:
    alpha, n = registration.analysis.alpha, found.effects[0].n
    # The contrast that is nearest to failing.
    weakest = min(found.effects, key=lambda e: e.mean - t_half(e))
    shown = "; ".join(_effect_text(claim, effect) for effect in found.effects)
    if p is None or against is None:
        verdict, why = INCONCLUSIVE, f"{n} of {registration.n} registered seeds; {shown}"
    else:
        verdict = INCONCLUSIVE
        if p < alpha:
            verdict = REPRODUCED
        elif against < alpha:
            verdict = NOT_REPRODUCED
        least, name = (against, "opposite ") if verdict == NOT_REPRODUCED else (p, "")
        corrected = f", corrected over {len(registration.primary)} primary claims"
        scope = corrected if claim.role == "primary" else ", secondary: not corrected"
        why = f"{shown}; {name}p = {least:.2g}{scope}"
    texts = [s for c in claim.contrasts for s in (*c.plus, *c.minus)]
    wanted = list(dict.fromkeys(selectors.parse(text) for text in texts))
    means = {s: _mean(selectors.values(s, records), found.seeds) for s in wanted}
    measured: float | dict[str, float] = dict(zip(_labels(wanted), means.values(), strict=True))
    if claim.comparator == "equivalent":
        (measured,) = means.values()
    interval = None if weakest.n < 2 else (weakest.low, weakest.high)
    about = {
        "name": registration.name,
        "digest": registration.digest,
        "role": claim.role,
        "comparator": claim.comparator,
        "margin": claim.margin,
        "planned": registration.n,
        "effects": [e.mean for e in found.effects],
        "p": _short(found.p),
        "p_adjusted": _short(p),
        "p_opposite": _short(against),
        "power": planned_power(claim, registration),
    }
    runs = [r for r in records if r.seed in found.seeds and any(s.fits(r.variant) for s in wanted)]
    return Decision(Outcome(verdict, measured, interval, n, why), about, runs)


def t_half(found: Estimate) -> float:
    """Half the width of an interval; infinite for one seed."""
    return found.high - found.mean


def _effect_text(claim: RegisteredClaim, found: Estimate) -> str:
    if claim.comparator == "equivalent":
        return f"mean {found.mean:.4g} ± {found.deviation:.2g}, margin ±{claim.margin:g}"
    bound = f", claimed above {claim.margin:g}" if claim.margin else ""
    return f"difference {format_difference(found)}{bound}"


def _labels(wanted: Sequence[selectors.Selector]) -> list[str]:
    """What tells numbers from each other: the parts of their variants that they do not share."""
    shared = set.intersection(*(set(s.variant) for s in wanted))
    metrics = {s.metric for s in wanted}
    labels = []
    for selector in wanted:
        parts = [f"{k}={v}" for k, v in selector.variant if (k, v) not in shared]
        parts += [selector.metric] if len(metrics) > 1 or not parts else []
        labels.append(" ".join(parts))
    return labels


def _mean(values: Mapping[int, float], seeds: Sequence[int]) -> float:
    return math.fsum(values[seed] for seed in seeds) / len(seeds)


def _short(p: float | None) -> float | None:
    """A p-value to four digits: the last bits hang on the version of scipy."""
    return None if p is None else float(f"{p:.4g}")


def planned_power(claim: RegisteredClaim, registration: Registration) -> float:
    """Probability (0–1, two decimals) of `reproduced` if the expected effect is the true one.

    For a primary claim at the strictest level of Holm's correction, so a lower bound.
    """
    analysis: Analysis = registration.analysis
    family = len(registration.primary) if claim.role == "primary" else 1
    n, alpha = registration.n, analysis.alpha / family
    sd, effect = claim.expected.sd, claim.expected.effect
    if claim.comparator == "equivalent":
        return round(_equivalence_power(effect / sd, claim.margin / sd, n, alpha), 2)
    return round(_superiority_power((effect - claim.margin) / sd, n, alpha), 2)


def _superiority_power(effect: float, n: int, alpha: float) -> float:
    """Of a one-sided t-test; the effect in standard deviations."""
    from scipy.special import ndtr

    spreads = _spreads(n)
    critical = _t_critical(n - 1, alpha)
    return float(ndtr(math.sqrt(n) * effect - critical * spreads).mean())


def _equivalence_power(effect: float, margin: float, n: int, alpha: float) -> float:
    """Of two one-sided t-tests; effect and margin in standard deviations."""
    import numpy as np
    from scipy.special import ndtr

    root, spreads = math.sqrt(n), _spreads(n)
    # How far the mean may lie off the print, given the spread that was found.
    reach = np.maximum(0.0, margin * root - _t_critical(n - 1, alpha) * spreads)
    inside = ndtr(reach - effect * root) - ndtr(-reach - effect * root)
    return float(inside.mean())


def _spreads(n: int) -> Any:
    """Equally probable standard deviations of n values, in units of the true one."""
    import numpy as np
    from scipy.special import chdtri

    points = 4000
    upper = (np.arange(points) + 0.5) / points
    return np.sqrt(chdtri(n - 1, upper) / (n - 1))


def _t_critical(degrees: int, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 1 - alpha))


def problem(record: Record, registrations: Mapping[str, Registration]) -> str:
    """Why a record does not count for the registration of its run, in one line; empty if it does.

    Args:
        registrations: of the paper, by name.
    """
    same = [
        r
        for r in registrations.values()
        if (r.experiment, r.profile) == (record.experiment, record.profile)
        and r.has_variant(record.variant)
    ]
    if record.registration is None:
        if not same:
            return ""
        names = ", ".join(r.name for r in same)
        return f"seed {record.seed} is outside registration {names}, so the run is exploratory"
    own = next((r for r in registrations.values() if r.digest == record.registration), None)
    if own is None:
        names = ", ".join(r.name for r in same) or "none"
        return (
            f"made under registration digest {record.registration[:12]}, which no file under "
            f"registered/ has (of this experiment: {names}); a registration that has runs must "
            "not be edited: restore it from git, or supersede it by a new one"
        )
    return own.mismatch(record)

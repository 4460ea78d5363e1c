"""Whether a claim, its class, its numbers and its experiments fit together.

Found here, such a mistake costs a second; found in the ledger, it would cost the runs before it.
"""

from collections.abc import Mapping

from replab.claims import printed, selectors
from replab.claims.claim import Claim, claim_selectors
from replab.claims.paper_file import Column, Equality, Gap, Ordering, Tolerance, Trend
from replab.recipe import nearest
from replab.runs.experiment import PROFILES, Experiment, Replication

# Rules that can judge a test; those that judge a single number depend on whether it varies.
TEST_RULES: Mapping[type, tuple[str, ...]] = {
    Equality: ("equal", "printed"),
    Column: ("printed",),
    Ordering: ("order", "threshold"),
    Trend: ("order",),
    Gap: ("within", "order", "threshold"),
}
FIXED_RULES = ("equal", "printed", "within", "relative", "threshold")
SEED_RULES = ("seeds", "threshold")


def problem(
    claim: Claim,
    tolerances: Mapping[str, Tolerance],
    claims: Mapping[str, Claim],
    replication: Replication,
) -> str:
    """What does not fit, in one line; empty if all does.

    Args:
        claims: the paper's claims, for the printed values that an ordering refers to.
    """
    try:
        wanted = claim_selectors(claim)
    except (ValueError, IndexError, KeyError) as error:
        return f"a selector is malformed: {error}"
    if claim.registration is not None:
        return _registered(claim, wanted)
    found = _unknown_numbers(claim, wanted, replication)
    if found or not claim.gate or not wanted:
        return found
    fixed = [replication.experiments[s.experiment].deterministic for s in wanted]
    tolerance = tolerances[claim.tolerance]
    try:
        if claim.test is None:
            return _number(claim, tolerance, fixed[0])
        return _test(claim, tolerance, claims, all(fixed))
    except ValueError as error:
        return str(error)


def _unknown_numbers(
    claim: Claim, wanted: list[selectors.Selector], replication: Replication
) -> str:
    """Every selector names an experiment and one variant, and some profile runs them all."""
    for selector in wanted:
        experiment = replication.experiments.get(selector.experiment)
        if experiment is None:
            near = nearest(selector.experiment, replication.experiments)
            return f"{selector}: no experiment '{selector.experiment}' in experiments.py{near}"
        if experiment.metrics and selector.metric not in experiment.metrics:
            near = nearest(selector.metric, experiment.metrics)
            return f"{selector}: {experiment.name} has no metric '{selector.metric}'{near}"
        if experiment.deterministic and any(len(p.seeds) != 1 for p in experiment.plans.values()):
            return f"one run settles {experiment.name}, so each of its plans takes one seed"
        counts = [len(selector.variants(experiment, p)) for p in experiment.plans]
        if max(counts, default=0) != 1:
            misspelt = _unknown_setting(selector, experiment)
            if misspelt:
                return f"{selector}: {misspelt}"
            return (
                f"{selector} must fit one variant of {experiment.name}, "
                f"it fits {max(counts, default=0)}"
            )
    profiles = PROFILES if claim.profile is None else (claim.profile,)
    experiments = replication.experiments
    if wanted and not any(
        all(s.variants(experiments[s.experiment], profile) for s in wanted) for profile in profiles
    ):
        if claim.profile is not None:
            return f"profile {claim.profile} does not run all that the claim rests on"
        return "no profile runs all that the claim rests on"
    return ""


def _unknown_setting(selector: selectors.Selector, experiment: Experiment) -> str:
    """Which part of a selector no variant of its experiment has; empty if all are there."""
    variants = [v for plan in experiment.plans.values() for v in plan.variants]
    for key, value in selector.variant:
        keys = dict.fromkeys(k for v in variants for k in v)
        if key not in keys:
            return f"no variant of {experiment.name} has '{key}'{nearest(key, keys)}"
        values = dict.fromkeys(str(v[key]) for v in variants if key in v)
        if value not in values:
            return f"no variant of {experiment.name} has {key}={value}{nearest(value, values)}"
    return ""


def _registered(claim: Claim, wanted: list[selectors.Selector]) -> str:
    """Every number is of one registered variant, and the claim has no other answer."""
    assert claim.registration is not None
    assert claim.registered is not None
    for selector in wanted:
        if selector.experiment != claim.registration.experiment:
            return f"{selector} is not of {claim.registration.experiment}, which is registered"
        if sum(selector.fits(v) for v in claim.registration.variants) != 1:
            return f"{selector} must fit one registered variant"
    if claim.test is not None or (claim.selector is not None and [claim.selector] != wanted):
        return f"registration {claim.registration.name} rests on other numbers than claims.csv"
    if claim.registered.comparator == "equivalent":
        try:
            reported = printed.parse(claim.reported)
        except ValueError as error:
            return str(error)
        if reported.bound or reported.value != claim.registered.target:
            return f"its target is {claim.registered.target}, claims.csv prints {reported.text}"
    return ""


def _number(claim: Claim, tolerance: Tolerance, fixed: bool) -> str:
    reported = printed.parse(claim.reported)
    rules = FIXED_RULES if fixed else SEED_RULES
    if tolerance.rule not in rules:
        what = "that one run settles" if fixed else "that varies with seeds"
        return (
            f"class {claim.tolerance} (rule '{tolerance.rule}') cannot judge a number {what}; "
            f"use a class with one of the rules {', '.join(rules)}"
        )
    if bool(reported.bound) != (tolerance.rule == "threshold"):
        return (
            f"'{claim.reported}' does not go with class {claim.tolerance}: the rule 'threshold' "
            "takes a bound such as > 60, every other rule a number"
        )
    if tolerance.rule == "relative" and reported.value == 0:
        return "a relative margin around a printed 0 means nothing; use a class with 'within'"
    return ""


def _test(claim: Claim, tolerance: Tolerance, claims: Mapping[str, Claim], fixed: bool) -> str:
    test = claim.test
    rules = TEST_RULES[type(test)]
    if tolerance.rule not in rules:
        return (
            f"class {claim.tolerance} (rule '{tolerance.rule}') cannot judge this test; use a "
            f"class with one of the rules {', '.join(rules)}"
        )
    if isinstance(test, Equality | Column) and not fixed:
        return "the test compares numbers that one run settles, but these vary with seeds"
    if isinstance(test, Column):
        prints = printed.parse_list(claim.reported)
        if len(prints) != len(test.terms):
            return f"{len(prints)} printed numbers for {len(test.terms)} terms"
    if isinstance(test, Ordering) and test.printed is not None:
        return _prints_ascend(test, test.printed, claims)
    if isinstance(test, Gap) and tolerance.rule == "within" and test.at_least is None:
        reported = printed.parse(claim.reported)
        if reported.bound or reported.value <= 0:
            return f"'{claim.reported}' is no gap above zero; swap plus and minus, or use at_least"
    return ""


def _prints_ascend(test: Ordering, template: str, claims: Mapping[str, Claim]) -> str:
    values = []
    for term in test.ascending:
        other = claims.get(template.format(term))
        if other is None:
            return f"printed: no such id as {template.format(term)} in claims.csv"
        values.append(printed.parse(other.reported).value)
    if values != sorted(values):
        shown = ", ".join(f"{value:g}" for value in values)
        return f"the printed values ({shown}) do not ascend, so they contradict the ordering"
    return ""

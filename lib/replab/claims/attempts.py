"""What attempting a claim takes: the numbers, the cheapest profile, the command."""

from fnmatch import fnmatchcase

from replab.claims import selectors
from replab.claims.schema import Claim, Paper, claim_selectors, needs
from replab.runs.experiment import PROFILES


def _is_gone(claim: Claim) -> bool:
    """Whether no plan has the claim's runs any more, since its registration was superseded."""
    return claim.registration is not None and bool(claim.superseded)


def cheapest_profile(paper: Paper, claim: Claim) -> str | None:
    """The first profile that runs everything a claim rests on."""
    wanted = claim_selectors(claim)
    experiments = paper.replication.experiments
    if _is_gone(claim) or any(s.experiment not in experiments for s in wanted):
        return None
    for profile in PROFILES:
        if claim.profile not in (None, profile):
            continue
        if wanted and all(s.variants(experiments[s.experiment], profile) for s in wanted):
            return profile
    return None


def command(paper: Paper, claim: Claim) -> str:
    """The command that computes a claim, in the cheapest profile that can."""
    profile = cheapest_profile(paper, claim)
    if profile is None:
        return ""
    return f"nox -s replicate -- {paper.name} --profile {profile} --only '{claim.id}'"


def what_it_needs(paper: Paper, claim: Claim, profile: str) -> str:
    """Why a claim was not attempted: what an attempt needs, in words."""
    if not claim.gate:
        return "context: shown, never decided"
    if _is_gone(claim):
        return f"superseded by {claim.superseded}"
    cheapest = cheapest_profile(paper, claim)
    if cheapest is None:
        return f"needs {needs(claim.id, paper.needs)}"
    experiments = paper.replication.experiments
    texts = dict.fromkeys(
        experiments[s.experiment].needs.get(cheapest, "") for s in claim_selectors(claim)
    )
    text = "; ".join(filter(None, texts))
    prefix = "" if cheapest == profile else f"profile {cheapest}: "
    return f"needs {prefix}{text}" if text else f"needs a run in profile {cheapest}"


def wanted_selectors(paper: Paper, profile: str, only: str | None) -> list[selectors.Selector]:
    """The numbers that the claims of a profile, or those that a glob names, rest on."""
    return [
        selector
        for claim in paper.claims.values()
        if claim.gate and claim.profile in (None, profile)
        if only is None or fnmatchcase(claim.id, only)
        for selector in claim_selectors(claim)
    ]

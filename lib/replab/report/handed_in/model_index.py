"""Model cards with a `model-index`: what each network scored, for the Hugging Face Hub.

The fields are those of huggingface/hub-docs@0d37e0c (modelcard.md); `source` is read by
huggingface_hub, which wants its address. A card describes one network and says of each score
which claims rest on it and how these were decided.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import yaml

from replab.datasets import registry
from replab.report import text
from replab.report.handed_in import data_sets
from replab.report.handed_in.dossier import Dossier
from replab.report.handed_in.evaluations import MEASURES, Network, networks
from replab.report.tables import markdown
from replab.runs.identity import format_variant

_TASKS: Mapping[str, str] = MappingProxyType(
    {
        "image-classification": "Image classification",
        "keypoint-detection": "Human pose estimation",
    }
)


def cards(dossier: Dossier) -> dict[str, str]:
    """A card for every network that scored something, by the network's name."""
    found: dict[str, list[Network]] = {}
    for network in networks(dossier):
        found.setdefault(network.slug, []).append(network)
    return {slug: _card(dossier, slug, members) for slug, members in found.items()}


def _card(dossier: Dossier, slug: str, members: list[Network]) -> str:
    front = {
        "library_name": "replab",
        "pipeline_tag": MEASURES[members[0].scores[0].measure].task,
        "tags": ["replication", "reproducibility", dossier.paper.name],
        "datasets": sorted({_dataset(member.data)[0] for member in members}),
        "metrics": sorted({s.measure for member in members for s in member.scores}),
        "model-index": [{"name": slug, "results": [_result(dossier, m) for m in members]}],
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=10**6)
    return f"---\n{head}---\n\n{_body(dossier, slug, members)}\n"


def _dataset(data: str) -> tuple[str, str]:
    """Identifier and name of a data set; its name here where no others are registered."""
    name = registry.whole(data)
    known = registry.registered().get(name)
    return (known.hub if known else None) or (name, name)


def _result(dossier: Dossier, network: Network) -> dict[str, Any]:
    identifier, name = _dataset(network.data)
    dataset = {"type": identifier, "name": name}
    dataset |= {"split": network.split} if network.split else {}
    dataset |= {"revision": network.fingerprint} if network.fingerprint else {}
    task = MEASURES[network.scores[0].measure].task
    result: dict[str, Any] = {
        "task": {"type": task, "name": _TASKS[task]},
        "dataset": dataset,
        "metrics": [
            {"type": s.measure, "value": round(s.mean, 4), "name": s.name, "verified": False}
            for s in network.scores
        ],
    }
    if dossier.code_url:
        title = f"replab: {dossier.paper.citation.title}, profile {dossier.profile}"
        result["source"] = {"name": title, "url": dossier.code_url}
    return result


def _body(dossier: Dossier, slug: str, members: list[Network]) -> str:
    first = members[0].records[0]
    citation = dossier.paper.citation
    trained = (
        f"trained for {first.iterations:,} iterations in this replication"
        if first.iterations
        else "scored as released by others; nothing was trained here"
    )
    rows = []
    for network in members:
        for score in network.scores:
            for claim in score.claims:
                entry = dossier.ledger[claim]
                ours = ", ".join(f"{value:.2f}" for value in score.values.values())
                rows.append(
                    (
                        _dataset(network.data)[1],
                        score.name,
                        f"{score.mean:.2f}",
                        ours,
                        f"`{claim}`",
                        text.reported(entry),
                        text.verdict(entry),
                    )
                )
    header = ("data", "score", "value", "each seed", "claim", "reported", "verdict")
    sets = data_sets.behind(dossier, (r for member in members for r in member.records))
    uses = [f"- `{d.name}`: {d.what}; licence: {d.licence}." for d in sets.values()]
    runs = [f"`{r.id}`" for member in members for r in member.records]
    return "\n\n".join(
        [
            f"# {slug}",
            f"`{first.model}`, {trained}: experiment `{first.experiment}`, variant "
            f"`{format_variant(first.variant)}`, profile `{dossier.profile}` of the replication "
            f"of {citation.authors}, *{citation.title}* ({citation.venue}).",
            "## Scores and the claims that rest on them",
            markdown(rows, header),
            "A claim may compare this network with others; its verdict is the claim's, not this "
            "network's. Scaled claims, whose ids begin with a profile, are about scaled-down "
            "experiments of ours. `revision` above is this suite's fingerprint of the data.",
            "## Data",
            "\n".join(uses) or "None is recorded.",
            "## Runs",
            ", ".join(dict.fromkeys(runs)) + f" under `results/{dossier.paper.name}/runs/`.",
        ]
    )


def front_matter(card: str) -> str:
    """The YAML between the two `---` at the head of a card.

    Raises:
        ValueError: the card has none.
    """
    match = re.match(r"---\n(.*?\n)---\n", card, re.DOTALL)
    if match is None:
        raise ValueError("no YAML between two lines --- at its head")
    return match[1]

"""Model cards: the Hub reads them, and a changed number, measure or verdict is found."""

import json
from pathlib import Path

import pytest

from replab.report import handed_in
from replab.report.handed_in import model_index_check
from replab.report.handed_in.evaluations import networks

ROOT = Path(__file__).resolve().parents[3]
PAPERS = ("cpm", "hrnet", "resnet", "simplebaseline")
CARD = "resnet-quick-released-cifar-resnet20.md"


def found(made, old, new):
    dossier, files = made("resnet", "quick")
    text = files[f"model-index/{CARD}"].decode()
    assert old in text
    mutated = {**files, f"model-index/{CARD}": text.replace(old, new).encode()}
    return "; ".join(handed_in.problems(dossier, ["model-index"], mutated))


@pytest.mark.parametrize("paper", PAPERS)
def test_the_hub_s_own_reader_finds_the_scores(made, own, paper):
    repocard = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    dossier, files = made(paper, "quick")
    expected = {n.slug: n for n in networks(dossier)}
    for name, data in own(files, "model-index").items():
        card = repocard.ModelCard(data.decode(), ignore_metadata_errors=False)
        network = expected[card.data.model_name]
        assert name == f"{network.slug}.md"
        scores = {(r.metric_type, r.metric_name): r.metric_value for r in card.data.eval_results}
        assert scores == {(s.measure, s.name): round(s.mean, 4) for s in network.scores}
        assert all(r.verified is False for r in card.data.eval_results)


@pytest.mark.parametrize("paper", PAPERS)
def test_scores_are_those_of_the_committed_records(made, paper):
    dossier, _ = made(paper, "quick")
    found = networks(dossier)
    assert found
    for network in found:
        for record in network.records:
            path = ROOT / f"results/{paper}/runs/{record.id}.json"
            metrics = json.loads(path.read_text())["metrics"]
            for score in network.scores:
                assert score.values[record.seed] in metrics.values()
                assert 0 <= score.values[record.seed] <= 100


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("value: 8.27\n", "value: 8.26\n", "given as 8.26, the records give 8.2700"),
        ("type: test_error", "type: test_eror", "'test_eror' is no measure"),
        ("verified: false", "verified: true", "verified"),
        ("type: image-classification", "type: guessing", "task.type"),
        ("      name: CIFAR-10\n", "", "dataset.name"),
        ("revision: fd95", "revision: fd96", "the data's revision"),
        ("- name: resnet-quick", "- name: another-quick", "another network"),
        ("| ✔ reproduced |", "| ✘ not reproduced |", "has not the ledger's verdict"),
        ("---\n", "", "no YAML between"),
        ("name: test error (%)", "name: best error (%)", "is not in the records"),
    ],
)
def test_a_change_is_found(made, old, new, problem):
    assert problem in found(made, old, new)


def test_missing_and_foreign_cards_are_found(made):
    dossier, files = made("resnet", "quick")
    some = {k: v for k, v in files.items() if k != f"model-index/{CARD}"}
    assert handed_in.problems(dossier, ["model-index"], some) == [
        f"model-index: {CARD} is missing"
    ]
    some = {**files, "model-index/other.md": files[f"model-index/{CARD}"]}
    assert "about no network" in handed_in.problems(dossier, ["model-index"], some)[0]


def test_a_claim_s_threshold_and_joint_stand_in_the_score_s_name(made):
    dossier, _ = made("cpm", "quick")
    by_slug = {n.slug: n for n in networks(dossier)}
    lsp = by_slug["cpm-quick-predictions-mpii-lsp-6s-person"]
    values = {s.name: s.mean for s in lsp.scores}
    assert values["PCK@0.2 (%)"] == pytest.approx(90.5)
    assert values["PCK@0.1 (%)"] == pytest.approx(78.75)
    assert values["PCK@0.2, wrist (%)"] == pytest.approx(83.9)
    assert lsp.data == "lsp"


def test_a_trained_network_s_score_is_the_mean_of_its_seeds(made):
    dossier, _ = made("simplebaseline", "quick")
    (row,) = [n for n in networks(dossier) if n.slug == "simplebaseline-quick-scaled-a"]
    (score,) = row.scores
    assert score.measure == "ap"
    assert len(score.values) >= 3
    assert score.mean == pytest.approx(sum(score.values.values()) / len(score.values))
    assert f"mean of {len(score.values)} seeds, s.d. " in score.name


def test_a_card_of_two_networks_is_refused(made):
    _, files = made("resnet", "quick")
    text = files[f"model-index/{CARD}"].decode()
    head, _, rest = text.partition("model-index:\n")
    block = rest[: rest.index("---\n")]
    with pytest.raises(ValueError, match="model-index"):
        model_index_check.parse(f"{head}model-index:\n{block}{block}---\n")

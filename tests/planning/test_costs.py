"""Costs: what records say, by which rule the rest is estimated, and what has to be fetched."""

import functools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replab.claims import evidence
from replab.claims.accepted import load_accepted
from replab.claims.schema import load
from replab.errors import UserError
from replab.planning import costs, downloads
from replab.report import cost_page
from replab.runs.experiment import PROFILES, load_replication, papers

WORK = """\
experiments:
  large: {unit: 3.0e+9, device: gpu, rate: 2.0e+13, why: assumed for the sake of a test,
          checkpoint: {parameters: 1000000, numbers: 3}}
"""


@pytest.fixture
def mini(accepted, tmp_path, monkeypatch):
    """An accepted checkout that may be changed, and that this process works in."""
    made = accepted.copy(tmp_path)
    monkeypatch.setenv("REPLAB_ROOT", str(made.root))
    return made


def rows():
    paper = load("mini")
    found = costs.rows(load_accepted(paper), costs.load_work(paper))
    return {(row.experiment, row.profile): row for row in found}


def records():
    return evidence.committed(load("mini"), "quick")[1]


# A recipe for the miniature paper's experiments.
DECLARED = """
from dataclasses import dataclass

from replab.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Its(Recipe):
    its: int

"""


class TestMeasured:
    def test_is_the_sum_and_the_median_of_the_records(self, mini):
        row = rows()["noisy", "quick"]
        noisy = [r for r in records() if r.experiment == "noisy"]
        walls = sorted(r.provenance["wall_s"] for r in noisy)
        assert row.planned == row.measured.runs == len(walls) == 6
        assert row.estimated is None
        assert row.measured.seconds == pytest.approx(sum(walls) * noisy[0].threads)
        assert row.measured.median == pytest.approx((walls[2] + walls[3]) / 2)
        assert row.measured.device == costs.CORE
        assert row.measured.hardware == (records()[0].provenance["cpu"],)

    def test_counts_cores_but_no_threads_of_a_gpu_s_run(self, mini):
        record = replace(records()[0], threads=4)
        wall = record.provenance["wall_s"]
        assert costs.device_seconds(record) == 4 * wall
        card = replace(record, provenance={**record.provenance, "gpu": "a card"})
        assert costs.device_of(card) == costs.GPU
        assert costs.device_seconds(card) == wall

    @pytest.mark.parametrize(
        ("runs", "most"),
        [
            ([(0, 50), (60, 50)], 1),
            ([(0, 50), (20, 50)], 2),
            ([(0, 100), (20, 10), (50, 30), (60, 5)], 3),
            # Within the second that a start is rounded to, nothing can be told apart.
            ([(0, 0.5), (0, 0.5)], 1),
            ([(0, 50), (50, 50)], 1),
        ],
    )
    def test_runs_at_once(self, mini, runs, most):
        pattern = records()[0]
        made = [
            replace(
                pattern,
                provenance={
                    **pattern.provenance,
                    "started": f"2026-01-01T00:{start // 60:02}:{start % 60:02}+00:00",
                    "wall_s": wall,
                },
            )
            for start, wall in runs
        ]
        assert costs.at_once(made) == most


class TestEstimated:
    def test_nothing_is_made_up_where_no_rule_applies(self, mini):
        row = rows()["large", "paper"]
        assert (row.planned, row.measured) == (3, None)
        assert (row.estimated.seconds, row.estimated.rule) == (None, 0)

    def test_rule_1_takes_the_measured_runs_of_the_same_profile(self, mini):
        paper = load("mini")
        found = load_accepted(paper)
        kept = [r for r in found.records["quick"] if r.experiment == "noisy" and r.seed == 0]
        found = replace(found, records={"quick": kept})
        row = next(r for r in costs.rows(found, {}) if r.experiment == "noisy")
        assert (row.measured.runs, row.estimated.runs, row.estimated.rule) == (2, 4, 1)
        # All variants cost alike here, so each of the missing ones takes their mean.
        mean = row.measured.seconds / 2
        assert row.estimated.seconds == pytest.approx([mean] * 4)

    def test_rule_2_takes_another_profile_s_by_relative_cost(self, mini):
        path = mini.root / "replications/mini/experiments.py"
        # The same experiment in profile paper, with ten times the iterations.
        text = path.read_text()
        old = '{1: "first"}),\n    Experiment("large"'
        assert text.count(old) == 1
        text = text.replace(
            'seeds=(0, 1, 2))},\n               {1: "first"}),\n    Experiment("large"',
            'seeds=(0, 1, 2), recipe=Its(its=3)), "paper": Plan(({"level": "low"},), '
            'seeds=(0, 1, 2), recipe=Its(its=30))},\n               {1: "first"}, '
            'cost=lambda variant, recipe: recipe.its),\n    Experiment("large"',
        )
        path.write_text(text.replace("\nEXPERIMENTS = ", DECLARED + "\nEXPERIMENTS = ", 1))
        found = rows()
        quick, paper = found["noisy", "quick"], found["noisy", "paper"]
        assert (paper.estimated.rule, paper.estimated.device) == (2, costs.CORE)
        mean = quick.measured.seconds / quick.measured.runs
        assert paper.estimated.seconds == pytest.approx([10 * mean] * 3)

    def test_rule_3_is_arithmetic(self, mini):
        (mini.root / "replications/mini/costs.yaml").write_text(WORK)
        row = rows()["large", "paper"]
        assert (row.estimated.rule, row.estimated.device) == (3, costs.GPU)
        # Two operations a multiply-add.
        assert row.estimated.seconds == pytest.approx([2 * 3e9 / 2e13] * 3)
        assert row.work.checkpoint.bytes == 12_000_000
        page = cost_page.page([(load_accepted(load("mini")), costs.load_work(load("mini")))])
        assert "| `large` | 3 | – | – | – | – | 3 | < 0.01 (GPU) | from multiply-adds" in page
        assert "3 of them want a GPU: of their GPU-hours none measured" in page

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("large:", "larger:", "2: experiments.larger: there is no such experiment"),
            ("rate: 2.0e+13, ", "", "2: experiments.large.rate: field required"),
            ("device: gpu", "device: abacus", "2: .*'gpu' or 'core'"),
            ("unit: 3.0e+9", "unit: 0", "2: .*greater than 0"),
            ("numbers: 3", "numbers: 7", "3: .*2 or 3"),
            ("unit:", "units: 4, unit:", "2: .*extra inputs"),
        ],
    )
    def test_a_mistake_is_one_line_with_file_and_line(self, mini, old, new, says):
        path = mini.root / "replications/mini/costs.yaml"
        assert old in WORK
        path.write_text(WORK.replace(old, new))
        with pytest.raises(UserError, match=rf"^replications/mini/costs.yaml:{says}") as raised:
            costs.load_work(load("mini"))
        assert "\n" not in str(raised.value)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30), st.integers(1, 9))
def test_devices_are_busy_at_least_as_long_as_the_work_and_the_longest_run(seconds, devices):
    span = costs.makespan(seconds, devices)
    least = max(math.fsum(seconds) / devices, *seconds)
    assert least * (1 - 1e-9) <= span <= math.fsum(seconds) * (1 + 1e-9)
    # When the run that ends last began, no device was idle.
    most = math.fsum(seconds) / devices + (1 - 1 / devices) * max(seconds)
    assert span <= most * (1 + 1e-9)


@functools.cache
def counts_of(paper):
    """The committed records of what a paper counts: variant and metrics of each network."""
    found = [json.loads(path.read_text()) for path in evidence.runs_dir(paper).glob("*.json")]
    return [(r["variant"], r["metrics"]) for r in found if r["experiment"] == "counts"]


def macs_of(paper, variant):
    """The multiply-adds of a network that the committed records hold."""
    return next(m["macs"] for v, m in counts_of(paper) if variant.items() <= v.items())


def work_of(paper, experiment, profile, variant):
    """The plan of an experiment, and the cost of the first of its variants that fits."""
    found = load_replication(paper).experiments[experiment]
    plan = found.plans[profile]
    whole = next(v for v in plan.variants if variant.items() <= v.items())
    return plan, found.cost(whole, plan.recipe)


@pytest.mark.parametrize(
    ("paper", "experiment", "profile", "variant", "counts"),
    [
        ("resnet", "cifar", "paper", {"depth": 20}, {"model": "cifar_resnet20"}),
        ("resnet", "cifar", "paper", {"depth": 110}, {"model": "cifar_resnet110"}),
        (
            *("resnet", "imagenet", "paper", {"net": "resnet50"}),
            {"model": "resnet50", "stride_on": "1x1"},
        ),
        (
            *("simplebaseline", "lspet", "standin", {"row": "a"}),
            {"model": "pose_resnet50", "input": "256x192", "deconv_layers": 3, "deconv_kernel": 4},
        ),
        (
            *("hrnet", "lspet", "standin", {"net": "hrnet"}),
            {"model": "pose_hrnet_w32", "input": "256x192"},
        ),
        (
            *("hrnet", "coco", "paper", {"net": "w32", "input": "384x288"}),
            {"model": "pose_hrnet_w32", "input": "384x288"},
        ),
        ("cpm", "lspet", "standin", {"net": "base", "stages": 6}, {"model": "cpm", "stages": 6}),
    ],
)
def test_units_of_cost_are_as_many_multiply_adds_as_the_file_says(
    paper, experiment, profile, variant, counts
):
    plan, cost = work_of(paper, experiment, profile, variant)
    recipe = plan.recipe.as_json()
    schedule = recipe.get("nets", {}).get(variant.get("net"), {}).get("schedule", recipe)
    images = (schedule if isinstance(schedule, dict) else recipe)["iterations"]
    images *= recipe["batch_size"]
    forward_and_back = 3 * macs_of(paper, counts) * images
    unit = costs.load_work(load(paper))[experiment].unit
    assert unit * cost == pytest.approx(forward_and_back, rel=0.12)


@pytest.mark.parametrize("paper", papers())
def test_checkpoints_are_of_networks_that_were_counted(paper):
    known = {metrics["params"] for _, metrics in counts_of(paper)}
    work = costs.load_work(load(paper)).values()
    assert {w.checkpoint.parameters for w in work if w.checkpoint} <= known


class TestDownloads:
    def test_sizes_are_said_where_the_code_knows_them(self):
        replication = load_replication("simplebaseline")
        found = {d.name: d.size for d in downloads.needed(replication, "paper")}
        assert found["coco-train2017"] == 19_336_861_798 + 252_907_541
        assert found["coco-detections"] == 16_383_781
        assert found["weights:sb-r50-256x192"] is None
        assert not any(name.endswith("-annotations") for name in found)

    def test_what_is_drawn_here_is_not_downloaded(self):
        assert downloads.needed(load_replication("simplebaseline"), "quick") == []

    def test_parts_of_a_set_are_one_download(self):
        found = downloads.needed(load_replication("cpm"), "standin")
        assert [d.name for d in found].count("lspet") == 1


def test_every_gpu_experiment_of_the_suite_has_an_estimate():
    for name in papers():
        paper = load(name)
        found = costs.rows(load_accepted(paper), costs.load_work(paper))
        assert {row.profile for row in found} <= set(PROFILES)
        for row in found:
            assert row.estimated is None or row.estimated.seconds is not None, (
                name,
                row.experiment,
                row.profile,
            )

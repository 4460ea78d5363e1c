"""The claims of the CPM paper that are really there, and the runs that answer them."""

import importlib
import shutil
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import pck_made as made
from replab import files
from replab.claims.ledger import build
from replab.datasets import cpm_predictions, lspet, mpii_annotations
from replab.datasets.download import Remote
from replab.errors import MissingData, UserError
from replab.keypoints.skeletons import FLIC, LSP
from replab.metrics.pck import torso_length
from replab.metrics.pck_files import FLIC_COLUMNS, score_flic, score_lsp
from replab.runs import record as records
from replab.runs.experiment import RunResult
from replab.runs.identity import plan_runs
from run_contexts import done_here

ROOT = Path(__file__).resolve().parents[2]
# Enough to see an interval, in a hundredth of the time.
FEW = {"resamples": 40}


@pytest.fixture(scope="module")
def paper(load_paper):
    return load_paper("cpm")


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path))
    return tmp_path


def part(paper, name):
    assert name in paper.replication.experiments
    return importlib.import_module(f"replications.cpm.{name}")


def verdicts(paper, done, profile="quick"):
    return {e.id: e.verdict for e in build(paper, profile, done).select(attempted=True)}


class TestClaims:
    @pytest.mark.parametrize(
        ("claim", "name", "keys"),
        [
            ("text.rf.stage1", "receptive_field", ("stated", "1")),
            ("text.rf.stage2", "receptive_field", ("stated", "2")),
            ("text.rf.stage2.maps", "receptive_field", ("stated_on_maps", "2")),
            ("text.data.lsp-train", "samples", ("lsp-train",)),
            ("text.data.lsp-test", "samples", ("lsp-test",)),
            ("text.data.flic-test", "samples", ("flic-test",)),
        ],
    )
    def test_what_recipes_state_is_what_the_paper_reports(self, paper, claim, name, keys):
        stated = part(paper, name).RECIPE.as_json()
        for key in keys:
            stated = stated[key]
        reported = paper.claims[claim].reported
        assert reported in (f"{stated:,}", f"{stated}x{stated}")


class TestArithmetic:
    def test_counts_are_reproduced(self, paper):
        found = verdicts(paper, done_here(paper, "counts"))
        assert len(found) == 14
        assert set(found.values()) == {"reproduced"}

    def test_receptive_fields_are_reproduced(self, paper):
        # The gradient of stage 2 takes as long as a test should, so it is asked once.
        cases = [(2, 1), (2, 2), (3, 1)]
        wanted = [{"pool": pool, "stage": stage} for pool, stage in cases]
        done = done_here(paper, "receptive_field", wanted=wanted.__contains__)
        found = verdicts(paper, done)
        assert len(found) == 4
        assert set(found.values()) == {"reproduced"}
        sizes = {(r.variant["pool"], r.variant["stage"]): r.metrics for r in done}
        assert {key: m["arithmetic"] for key, m in sizes.items()} == {
            (2, 1): 160,
            (2, 2): 400,
            (3, 1): 167,
        }
        assert all(m["gradient"] == m["arithmetic"] for m in sizes.values())

    def test_each_stage_adds_as_much(self, paper):
        done = done_here(
            paper, "receptive_field", wanted=lambda v: v["stage"] > 1, differentiated=0
        )
        for pool, second in ((2, 400), (3, 407)):
            sizes = [r.metrics["arithmetic"] for r in done if r.variant["pool"] == pool]
            assert sizes == [second + 240 * stage for stage in range(5)]
        assert {r.metrics["on_maps"] for r in done} == {31}

    def test_a_wrong_field_is_no_replication(self, paper):
        wanted = {"pool": 2, "stage": 1}
        (right,) = done_here(paper, "receptive_field", wanted=lambda v: v == wanted)
        for wrong in ("arithmetic", "gradient"):
            numbers = {**right.metrics, wrong: 167.0}
            made_ = records.Record(**{**vars(right), "metrics": numbers})
            assert verdicts(paper, [made_])["text.rf.stage1"] == "not reproduced"


def write_files(folder, content, monkeypatch):
    """Made files in place of the published ones, with their own checksums."""
    remotes = {}
    for name, (array, stored) in content.items():
        path = made.write_mat(folder / "cpm-predictions" / name, **{array: stored})
        remotes[name] = Remote("", name, files.sha256_file(path), path.stat().st_size)
    monkeypatch.setattr(cpm_predictions, "REMOTES", MappingProxyType(remotes))


@pytest.fixture
def people(data_dir, monkeypatch):
    """Files of people in which the predictions miss by a known share of the torso.

    Of LSP's people every second one is missed by 0.15 torso lengths, at all joints; of FLIC's
    every second one by 0.3 of the true torso, which is 0.15 of the predicted one.
    """
    truth = made.lsp_truth(seed=1)
    torso = torso_length(truth, LSP)[:, None]
    predicted = truth.copy()
    predicted[::2, :, 0] += 0.15 * torso[::2]
    observer = truth.copy()
    turned = np.arange(1000) % 4 == 0
    observer[turned] = truth[turned][:, list(LSP.mirror)]
    stored = made.people(1016, 10, seed=2)
    flic = stored[:, list(FLIC_COLUMNS)]
    shoulder, hip = FLIC.index("left_shoulder"), FLIC.index("right_hip")
    guess = flic.copy()
    guess[:, shoulder] = flic[:, hip] + 2 * (flic[:, shoulder] - flic[:, hip])
    limbs = [k for k, name in enumerate(FLIC.joints) if name.endswith(("elbow", "wrist"))]
    for k in limbs:
        guess[::2, k, 1] += 0.3 * torso_length(flic, FLIC)[::2]
    content = {
        "LSP_prediction_model_LSP_6s.mat": ("prediction_all", predicted.transpose(1, 2, 0)),
        "LSP_prediction_model_MPII_LSP_6s.mat": ("prediction_all", truth.transpose(1, 2, 0)),
        "FLIC_prediction_model_FLIC_4s.mat": ("prediction_all", guess.transpose(1, 2, 0)),
        "lsp-joints-PC.mat": ("joints", made.stored_lsp(truth)),
        "lsp-joints-OC.mat": ("joints", made.stored_lsp(observer)),
        "flic-joints-test-oc.mat": ("joints", stored.transpose(2, 1, 0)),
    }
    write_files(data_dir, content, monkeypatch)
    return data_dir


class TestPredictions:
    def metrics(self, paper, **variant):
        found = done_here(paper, "predictions", wanted=lambda v: v == variant, **FEW)
        assert len(found) == 1
        return found[0]

    def test_shares_and_curve(self, paper, people):
        found = self.metrics(paper, model="lsp-6s", centric="person")
        for name in ("pck", "head", "ankle"):
            assert found.metrics[name] == 100
            assert found.metrics[f"{name}_0.1"] == found.metrics[f"{name}_0.05"] == 50
            assert found.metrics[f"{name}_0.1_low"] < 50 < found.metrics[f"{name}_0.1_high"]
        assert found.metrics["people"] == 1000
        assert found.metrics["exchanged"] == found.metrics["relabelled"] == 0
        curve = found.series["wrist"]
        assert curve["x"] == pytest.approx(np.linspace(0, 0.2, 41))
        # The thresholds that have names are there to the bit.
        assert {0.05, 0.1, 0.2} <= set(curve["x"])
        at = dict(zip(curve["x"], curve["y"], strict=True))
        assert (at[0.145], at[0.155]) == (50, 100)

    def test_another_left_loses_pairs_and_no_heads(self, paper, people):
        found = self.metrics(paper, model="mpii-lsp-6s", centric="observer").metrics
        assert found["head"] == 100
        assert 74 < found["knee"] < 80
        assert found["relabelled"] == 25
        assert found["exchanged"] == pytest.approx(25, abs=1)

    def test_a_longer_torso_flatters(self, paper, people):
        true = self.metrics(paper, model="flic-4s", torso="true").metrics
        predicted = self.metrics(paper, model="flic-4s", torso="predicted").metrics
        assert (true["elbow"], predicted["elbow"]) == (50, 100)
        assert (true["pck"], predicted["wrist"]) == (50, 100)
        assert predicted["wrist_0.1"] == 50

    def test_what_is_missing_is_named(self, paper, data_dir):
        with pytest.raises(MissingData, match="fetch cpm-predictions"):
            self.metrics(paper, model="lsp-6s", centric="person")

    def test_samples_are_counted(self, paper, people):
        done = done_here(paper, "samples")
        counted = {r.variant["set"]: (r.metrics["people"], r.metrics["stated"]) for r in done}
        assert counted == {"lsp-test": (1000, 1000), "flic-test": (1016, 1016)}
        found = verdicts(paper, done)
        assert found == {"text.data.lsp-test": "reproduced", "text.data.flic-test": "reproduced"}

    def test_samples_short_of_one_are_not_enough(self, paper):
        experiment = paper.replication.experiments["samples"]
        spec, *_ = plan_runs("cpm", experiment, "quick", data=("", ""), device="cpu")
        result = RunResult({"people": 999.0, "stated": 1000.0})
        short = records.make(spec, result, threads=1, provenance={})
        assert verdicts(paper, [short]) == {"text.data.lsp-test": "not reproduced"}

    def test_files_are_part_of_a_run_s_identity(self, paper, people):
        for name in ("predictions", "samples"):
            experiment = paper.replication.experiments[name]
            specs = plan_runs("cpm", experiment, "paper", data=("", ""), device="cpu")
            for spec in specs:
                assert cpm_predictions.fingerprint() in spec.fingerprint
                assert experiment.fetches(spec.variant)[0] == "cpm-predictions"
                extended = spec.variant.get("set") == "lsp-train"
                assert ("lspet-train" in experiment.fetches(spec.variant)) == extended
                assert spec.fingerprint.endswith(lspet.fingerprint("train")) == extended


class TestPublishedFiles:
    """The authors' files themselves, where they are."""

    @pytest.fixture
    def published(self, shared, data_dir):
        source = shared / "data" / "cpm"
        if not source.is_dir():
            pytest.skip(f"CPM's predictions are not in {source}")
        cpm_predictions.fetch(source, quiet=True)
        return data_dir

    def test_all_numbers_are_reproduced(self, paper, published):
        done = done_here(paper, "predictions", **FEW)
        found = verdicts(paper, done)
        assert len(found) == 34
        assert set(found.values()) == {"reproduced"}
        by_model = {(r.variant["model"], r.variant.get("centric")): r.metrics for r in done}
        # The command `score` reads the files by itself, and comes to the same.
        folder = cpm_predictions.folder()
        lsp = score_lsp(
            folder / "LSP_prediction_model_LSP_6s.mat", folder / "lsp-joints-PC.mat"
        ).as_dict()
        own = by_model["lsp-6s", "person"]
        assert lsp["pck"]["0.05"] == pytest.approx(own["pck_0.05"], abs=1e-9)
        assert lsp["joints"]["knee"]["0.2"] == pytest.approx(own["knee"], abs=1e-9)
        # 2 and 5 % fit far better exchanged where the truth is the one that is meant.
        assert own["exchanged"] < 10 < by_model["lsp-6s", "observer"]["exchanged"]
        flic = score_flic(
            folder / "FLIC_prediction_model_FLIC_4s.mat", folder / "flic-joints-test-oc.mat"
        ).as_dict()
        (true,) = [r.metrics for r in done if r.variant.get("torso") == "true"]
        assert flic["joints"]["wrist"]["0.2"] == pytest.approx(true["wrist"], abs=1e-9)

    def test_lsp_and_its_extension_are_the_training_set(self, paper, published, shared):
        archive = shared / "data" / "lspet" / lspet.ARCHIVE
        if not archive.is_file():
            pytest.skip(f"{archive.name} is not in {archive.parent}")
        lspet.default_source().parent.mkdir()
        lspet.default_source().symlink_to(archive)
        done = done_here(paper, "samples", "standin", wanted=lambda v: v["set"] == "lsp-train")
        assert verdicts(paper, done, "standin") == {"text.data.lsp-train": "reproduced"}


class TestHourglass:
    def test_scored_as_published(self, paper, shared, data_dir):
        source = shared / "data" / "mpii"
        if not (source / "bearpaw-hg_s8_b1.mat").is_file():
            pytest.skip(f"the hourglass's predictions are not in {source}")
        mpii_annotations.fetch(source, quiet=True)
        shutil.copy(source / "bearpaw-hg_s8_b1.mat", mpii_annotations.folder())
        (found,) = done_here(paper, "hourglass", **FEW)
        # The README of bearpaw/pytorch-pose, and the weighted mean of HRNet's code.
        published = {"pckh": 88.64, "head": 96.79, "shoulder": 95.19, "elbow": 90.08}
        published |= {"wrist": 85.32, "hip": 87.48, "knee": 84.26, "ankle": 80.73}
        published |= {"pckh_weighted": 89.092, "pckh_weighted_0.11": 28.905}
        for name, value in published.items():
            assert found.metrics[name] == pytest.approx(value, abs=0.0051), name
        assert found.metrics["pckh_low"] < found.metrics["pckh"] < found.metrics["pckh_high"]
        assert found.metrics["people"] == 2958

    def test_missing_or_damaged(self, paper, shared, data_dir):
        mpii_annotations.fetch(shared / "data" / "mpii", quiet=True)
        with pytest.raises(MissingData, match=r"bearpaw-hg_s8_b1\.mat"):
            done_here(paper, "hourglass", **FEW)
        (mpii_annotations.folder() / "bearpaw-hg_s8_b1.mat").write_bytes(b"cut off")
        with pytest.raises(UserError, match="has sha256"):
            done_here(paper, "hourglass", **FEW)

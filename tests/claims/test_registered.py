"""Registered claims: decided by what was registered, and by records that it covers alone."""

import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

import declared
import registered_paper
from replab.claims import acceptance, ancestry, evidence, registered, schema
from replab.claims.accepted import load_accepted
from replab.claims.ledger import build
from replab.errors import UserError
from replab.files import write_json
from replab.runs import record as records
from replab.runs import registration as registering
from replab.runs.experiment import RunResult
from replab.runs.identity import RunSpec
from replab.runs.store import Store

CONTENT = yaml.safe_load(registered_paper.REGISTRATION)


def claim(plus, minus, *, role="primary", margin=0, comparator="greater", target=2.0):
    return {
        **({"target": target} if comparator == "equivalent" else {}),
        "role": role,
        "comparator": comparator,
        "contrasts": [
            {"plus": [f"toy[a={p}].total"], "minus": [f"toy[a={m}].total"] if m else []}
            for p, m in zip(plus, minus, strict=True)
        ],
        "margin": margin,
        "expected": {"effect": 1, "sd": 1, "source": "none"},
    }


def registration(claims, n=5, **changes):
    content = {**CONTENT, "n": n, "claims": claims, **changes}
    return registering.parse(yaml.safe_dump(content), Path("replications/toy/registered/toy.yaml"))


def made(own, a, seed, total, **changes):
    spec = RunSpec(
        paper="toy",
        experiment="toy",
        version=1,
        variant={"a": a},
        seed=seed,
        profile="standin",
        data="",
        fingerprint="",
        split="",
        precision="fp32",
        device="cpu",
        recipe=declared.recipe(**own.recipe),
        registration=own.digest,
    )
    provenance = {
        "commit": "a" * 40,
        "dirty": False,
        "versions": {},
        "cpu": "cpu",
        "gpu": "",
        "started": "2026-11-30T00:00:00+00:00",
        "wall_s": 60.0,
        "peak_mem_bytes": 1,
        "throughput": None,
    }
    provenance |= changes.pop("provenance", {})
    spec = replace(spec, **changes)
    return records.make(spec, RunResult({"total": float(total)}), threads=1, provenance=provenance)


def all_made(own, **totals):
    """Records of variants `a1`, `a2`, …, a total a seed."""
    return [
        made(own, int(name[1:]), seed, total)
        for name, values in totals.items()
        for seed, total in zip(own.seeds, values, strict=False)
    ]


def decide(own, found):
    return registered.decide(own, found)


def draws(seed, n=5, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=n)


@pytest.mark.parametrize("seed", range(6))
def test_a_paired_one_sided_t_test(seed):
    own = registration({"standin.c": claim([2], [1], margin=0.3)})
    one, two = draws(seed), draws(seed + 100) + 0.8
    found = decide(own, all_made(own, a1=one, a2=two))["standin.c"]
    expected = stats.ttest_1samp(two - one, 0.3, alternative="greater")
    assert found.about["p"] == pytest.approx(expected.pvalue, rel=1e-3)
    low, high = stats.ttest_1samp(two - one, 0).confidence_interval(0.95)
    assert found.outcome.interval == pytest.approx((low, high))
    assert found.about["effects"] == [pytest.approx(float(np.mean(two - one)))]
    assert found.outcome.measured == {
        "a=2": pytest.approx(two.mean()),
        "a=1": pytest.approx(one.mean()),
    }
    opposite = stats.ttest_1samp(two - one, 0.3, alternative="less").pvalue
    wanted = (
        "reproduced"
        if expected.pvalue < 0.05
        else "not reproduced"
        if opposite < 0.05
        else "inconclusive"
    )
    assert found.outcome.verdict == wanted


def test_a_reversed_difference_is_not_reproduced():
    own = registration({"standin.c": claim([2], [1])})
    found = decide(own, all_made(own, a1=[5, 6, 5, 6, 5.5], a2=[1, 1, 2, 1, 1]))["standin.c"]
    assert found.outcome.verdict == "not reproduced"
    assert found.about["p"] > 0.99
    assert found.about["p_opposite"] < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_holm_over_the_primary_claims(seed):
    pairs = list(itertools.permutations((1, 2, 3), 2))[:4]
    claims = {f"standin.c{i}": claim([p], [m]) for i, (p, m) in enumerate(pairs)}
    claims["standin.second"] = claim([2], [1], role="secondary")
    own = registration(claims)
    values = {f"a{a}": draws(seed * 10 + a) + a for a in (1, 2, 3)}
    found = decide(own, all_made(own, **values))
    raw = {
        f"standin.c{i}": stats.ttest_rel(
            values[f"a{p}"], values[f"a{m}"], alternative="greater"
        ).pvalue
        for i, (p, m) in enumerate(pairs)
    }
    ranked = sorted(raw, key=raw.get)
    adjusted, running = {}, 0.0
    for rank, name in enumerate(ranked):
        running = max(running, min(1.0, (4 - rank) * raw[name]))
        adjusted[name] = running
    for name, p in adjusted.items():
        assert found[name].about["p_adjusted"] == pytest.approx(p, rel=1e-3)
        assert (found[name].outcome.verdict == "reproduced") == (p < 0.05)
    # Secondary claims are not corrected, and do not count in the family.
    alone = found["standin.second"].about
    assert alone["p_adjusted"] == alone["p"]


def test_all_contrasts_must_hold():
    own = registration({"standin.c": claim([2, 3], [1, 1])})
    clear, none = [5, 6, 5, 6, 5.5], [1.2, 0.9, 1.1, 0.8, 1.0]
    one = [1.0, 1.1, 0.9, 1.0, 1.05]
    both = decide(own, all_made(own, a1=one, a2=clear, a3=clear))["standin.c"]
    assert both.outcome.verdict == "reproduced"
    half = decide(own, all_made(own, a1=one, a2=clear, a3=none))["standin.c"]
    assert half.outcome.verdict == "inconclusive"
    p = stats.ttest_rel(none, one, alternative="greater").pvalue
    assert half.about["p"] == pytest.approx(p, rel=1e-3)
    worse = decide(own, all_made(own, a1=clear, a2=clear, a3=one))["standin.c"]
    assert worse.outcome.verdict == "not reproduced"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([2.0, 2.1, 1.9, 2.05, 1.95], "reproduced"),
        ([4.0, 4.1, 3.9, 4.05, 3.95], "not reproduced"),
        ([0.0, 4.1, 1.9, 2.05, 5.0], "inconclusive"),
        # Outside the margin, but the spread does not tell.
        ([2.9, 1.5, 4.3, 2.9, 2.9], "inconclusive"),
    ],
)
def test_equivalence(values, verdict):
    own = registration({"table1.one": claim([3], [None], margin=0.5, comparator="equivalent")})
    found = decide(own, all_made(own, a3=values))["table1.one"]
    assert found.outcome.verdict == verdict
    assert found.outcome.measured == pytest.approx(np.mean(values))
    # The 90 % interval inside the margin, outside it, or neither.
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    inside, outside = low > 1.5 and high < 2.5, high < 1.5 or low > 2.5
    assert (inside, outside) == (verdict == "reproduced", verdict == "not reproduced")


def test_noise_cannot_help():
    """A class whose margin grew with the spread would call this reproduced."""
    own = registration(
        {"table1.one": claim([3], [None], margin=0.66, comparator="equivalent", target=8.75)}
    )
    found = decide(own, all_made(own, a3=[90, 30, 8, 8, 8]))["table1.one"]
    assert found.outcome.verdict == "inconclusive"


@pytest.mark.parametrize("k", range(1, 5))
def test_fewer_seeds_than_registered_decide_nothing(k):
    own = registration({"standin.c": claim([2], [1])})
    one, two = [1.0, 1.01, 0.99, 1.0][:k], [9.0, 9.01, 8.99, 9.0][:k]
    found = decide(own, all_made(own, a1=one, a2=two))["standin.c"]
    assert (found.outcome.verdict, found.outcome.n) == ("inconclusive", k)
    assert found.outcome.why.startswith(f"{k} of 5 registered seeds")
    assert found.about["p"] is found.about["p_adjusted"] is None


def test_no_complete_pair_is_not_attempted():
    own = registration({"standin.c": claim([2], [1])})
    assert decide(own, all_made(own, a1=[1.0])) == {}
    apart = [made(own, 1, own.seeds[0], 1.0), made(own, 2, own.seeds[1], 2.0)]
    assert decide(own, apart) == {}


def test_a_claim_that_waits_counts_in_the_family():
    """What is decided now may only become surer when the others are done."""
    own = registration({"standin.c": claim([2], [1]), "standin.d": claim([3], [1])})
    one, two = draws(1, scale=0.1), draws(2, scale=0.1) + 0.2
    waiting = decide(own, all_made(own, a1=one, a2=two))["standin.c"].about
    assert waiting["p_adjusted"] == pytest.approx(2 * waiting["p"], rel=1e-3)
    done = decide(own, all_made(own, a1=one, a2=two, a3=one + 9))["standin.c"].about
    assert done["p_adjusted"] <= waiting["p_adjusted"]


def test_records_outside_do_not_count():
    own = registration({"standin.c": claim([2], [1])})
    found = all_made(own, a1=[1, 2, 1, 2], a2=[5, 6, 5, 6])
    others = [
        made(own, a, own.seeds[4], 9.0, **change)
        for a in (1, 2)
        for change in (
            {"registration": ""},
            {"registration": "f" * 64},
            {"device": "cuda"},
            {"experiment": "other"},
        )
    ]
    others += [made(own, a, 3, 9.0) for a in (1, 2)]
    assert decide(own, [*found, *others])["standin.c"].outcome.n == 4
    own = registration({"standin.c": claim([2], [1])}, devices=["cpu", "cuda"])
    found = all_made(own, a1=[1, 2, 1, 2], a2=[5, 6, 5, 6])
    more = [made(own, a, own.seeds[4], 9.0, device="cuda") for a in (1, 2)]
    assert decide(own, [*found, *more])["standin.c"].outcome.n == 5


def test_the_first_finished_device_counts():
    own = registration({"standin.c": claim([2], [1])}, devices=["cpu", "cuda"])
    early = made(own, 1, own.seeds[0], 1.0, device="cuda", provenance={"wall_s": 5.0})
    late = made(own, 1, own.seeds[0], 2.0)
    assert registered.first_finished([late, early]) == [early]
    assert registered.first_finished([early, late]) == [early]
    # Exploratory records are nobody's twins.
    free = [made(own, 1, 3, 1.0, registration="", device=d) for d in ("cpu", "cuda")]
    assert len(registered.one_a_run(free)) == 2


@pytest.mark.parametrize(("effect", "sd"), [(1.0, 0.5), (2.0, 1.0), (0.5, 1.0)])
@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_planned_power_is_that_of_a_simulation(effect, sd, role):
    claims = {
        "standin.c": claim([2], [1], role=role),
        "standin.d": claim([3], [1]),
        "standin.e": claim([3], [2]),
    }
    claims["standin.c"]["expected"] = {"effect": effect, "sd": sd, "source": "none"}
    own = registration(claims)
    power = registered.planned_power(own.claims[0], own)
    draw = np.random.default_rng(0).normal(effect, sd, size=(20_000, 5))
    p = stats.ttest_1samp(draw, 0, axis=1, alternative="greater").pvalue
    assert power == pytest.approx((p < 0.05 / (3 if role == "primary" else 1)).mean(), abs=0.02)


def test_planned_power_of_an_equivalence_test():
    claims = {"table1.one": claim([3], [None], margin=0.66, comparator="equivalent")}
    claims["table1.one"]["expected"] = {"effect": 0.3, "sd": 0.2, "source": "none"}
    own = registration(claims)
    draw = np.random.default_rng(0).normal(0.3, 0.2, size=(20_000, 5))
    half = stats.t.ppf(0.95, 4) * draw.std(axis=1, ddof=1) / math.sqrt(5)
    inside = (draw.mean(axis=1) + half < 0.66) & (draw.mean(axis=1) - half > -0.66)
    assert registered.planned_power(own.claims[0], own) == pytest.approx(inside.mean(), abs=0.02)


@pytest.mark.parametrize("shape", ["normal", "bimodal", "outliers"])
def test_error_rate_of_either_verdict(shape):
    """2,000 sets of seeds without an effect: each verdict in at most 5 %, or nearly."""
    generator = np.random.default_rng(11)
    draw = generator.normal(size=(2000, 5))
    if shape == "bimodal":
        draw = draw * 0.2 + np.where(generator.random((2000, 5)) < 0.5, -1.0, 1.0)
    if shape == "outliers":
        draw *= np.where(generator.random((2000, 5)) < 0.1, 5.0, 1.0)
    own = registration({"standin.c": claim([2], [1])})
    zero = [0.0] * 5
    found = [
        decide(own, all_made(own, a1=zero, a2=d))["standin.c"].outcome.verdict for d in draw[:500]
    ]
    for verdict in ("reproduced", "not reproduced"):
        # Binomial noise of 500 draws is 1 %.
        assert found.count(verdict) / 500 < 0.05 + 0.03


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy paper in a git checkout, with all its records in the store."""
    registered_paper.write(tmp_path)
    head = registered_paper.commit(tmp_path)
    for name, value in registered_paper.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    ancestry._digests.cache_clear()
    paper = schema.load("toy")
    (own,) = paper.registrations.values()
    store = Store()
    for seed in own.seeds:
        for a in (1, 2, 3):
            store.put(made(own, a, seed, a + seed % 5 / 10, provenance={"commit": head}))
    return tmp_path


def the_ledger():
    paper = schema.load("toy")
    return build(paper, "standin", evidence.gather(paper, "standin", Store()))


class TestLedger:
    def test_scaled_and_own_claims(self, toy):
        ledger = the_ledger()
        entry = ledger["standin.two-exceeds-one"]
        assert (entry.verdict, entry.n, entry.supports) == ("reproduced", 2, "table1.one")
        assert entry.registered["name"] == "toy"
        assert entry.registered["planned"] == 2
        assert entry.reported == "Two exceeds one."
        own = ledger["table1.one"]
        assert own.registered["comparator"] == "equivalent"
        assert own.tolerance["class"] == "registered"
        assert own.supports is None

    @pytest.mark.parametrize("other", ["93.0", "> 2.0", "much"])
    def test_the_print_is_registered(self, toy, other):
        """Another print than the registered one would be another claim."""
        file = toy / "replications/toy/claims.csv"
        file.write_text(file.read_text().replace(",2.0,", f",{other},"))
        with pytest.raises(UserError, match=r"toy\.yaml: claims\.table1\.one"):
            schema.load("toy")

    def test_json_of_other_ledgers_has_no_new_field(self, toy):
        claims = the_ledger().as_dict()["claims"]
        assert all("registered" in c for c in claims)
        for path in (toy / ".replab" / "runs").rglob("*.json"):
            path.unlink()
        assert not any("registered" in c for c in the_ledger().as_dict()["claims"])


def committed():
    return load_accepted(schema.load("toy")).records["standin"]


def check():
    return acceptance.check(load_accepted(schema.load("toy")), "standin")


def accept(**options):
    return acceptance.accept(schema.load("toy"), "standin", Store(), **options)


def drop(toy, count):
    for path in sorted((toy / ".replab" / "runs").rglob("*.json"))[:count]:
        path.unlink()


class TestAcceptance:
    def test_all(self, toy):
        accepted = accept()
        assert (len(accepted.ledger.runs), accepted.left_out) == (6, [])
        assert check() == []
        assert acceptance.confirmations(committed()) == {"confirmed": 6}

    def test_in_part(self, toy):
        drop(toy, 2)
        with pytest.raises(UserError, match="4 of its 6 runs"):
            accept()
        accepted = accept(partial=True)
        assert len(accepted.ledger.runs) == 4
        assert check() == []
        for entry in accepted.ledger.entries:
            assert entry.n == 2 or entry.verdict in ("inconclusive", "not attempted")
        assert any(entry.n < 2 for entry in accepted.ledger.entries)

    def test_the_rest_joins_what_was_accepted(self, toy):
        kept = {p: p.read_bytes() for p in (toy / ".replab" / "runs").rglob("*.json")}
        drop(toy, 2)
        accept(partial=True)
        for path in (toy / ".replab" / "runs").rglob("*.json"):
            path.unlink()
        for path, content in sorted(kept.items())[:2]:
            path.write_bytes(content)
        assert len(accept().ledger.runs) == 6


def change(toy, **fields):
    """Change a record of the store as if its run had been another."""
    path = sorted((toy / ".replab" / "runs").rglob("*.json"))[0]
    record = records.read(path)
    path.unlink()
    provenance = dict(record.provenance) | fields.pop("provenance", {})
    record = replace(record, provenance=provenance, **fields)
    values = record.as_dict()
    values["id"] = records.run_id(values | {"fingerprint": record.data["fingerprint"]})
    write_json(path.with_name(f"{values['id']}.json"), values)
    return values["id"]


class TestWhatDoesNotCount:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"provenance": {"dirty": True}}, "uncommitted changes"),
            ({"seed": 12345}, "seed 12345 or its variant is outside"),
            ({"seed": 12345, "registration": None}, "so the run is exploratory"),
            ({"registration": "f" * 64}, "must not be edited"),
            ({"version": 7}, "version is 7"),
            ({"precision": "bf16"}, "precision is bf16"),
            ({"recipe": {"steps": 41, "pause": 0.01}}, "recipe"),
            ({"device": "cuda"}, "done on cuda"),
            ({"data": {"name": "other", "fingerprint": "", "split": ""}}, "data is other"),
        ],
    )
    def test_one_clear_line(self, toy, fields, said):
        run = change(toy, **fields)
        (line,) = accept(partial=True).left_out
        assert run in line
        assert said in line
        assert "\n" not in line
        assert run not in {p.stem for p in evidence.runs_dir("toy").glob("*.json")}

    def test_the_ledger_says_why_nothing_counts(self, toy):
        for path in (toy / ".replab" / "runs").rglob("*.json"):
            record = records.read(path)
            dirty = replace(record, provenance={**record.provenance, "dirty": True})
            write_json(path, dirty.as_dict())
        for entry in the_ledger().entries:
            assert entry.verdict == "not attempted"
            assert "uncommitted changes" in entry.why

    @pytest.mark.parametrize(
        "fields", [{"provenance": {"dirty": True}}, {"registration": "f" * 64}]
    )
    def test_check_finds_it_in_what_is_committed(self, toy, fields):
        accept()
        path = sorted(evidence.runs_dir("toy").glob("*.json"))[0]
        record = records.read(path)
        provenance = dict(record.provenance) | fields.get("provenance", {})
        others = {k: v for k, v in fields.items() if k != "provenance"}
        write_json(path, replace(record, provenance=provenance, **others).as_dict())
        problems = check()
        assert any(record.id in p and "registration" in p for p in problems)

    def test_a_registration_edited_after_its_runs(self, toy):
        accept()
        file = toy / "replications/toy/registered/toy.yaml"
        file.write_text(file.read_text().replace("margin: 1\n", "margin: 2\n"))
        problems = check()
        edited = [p for p in problems if "must not be edited" in p]
        assert len(edited) == 6
        assert all("\n" not in p for p in edited)

    def test_wording_may_be_edited(self, toy):
        accept()
        file = toy / "replications/toy/registered/toy.yaml"
        file.write_text("# Hello.\n" + file.read_text().replace("title: Sums", "title: All sums"))
        assert check() == []

    def test_a_run_that_began_before_its_registration_was_committed(self, toy):
        # The first commit of a history that has no registration yet.
        registered_paper.git(toy, "checkout", "-q", "--orphan", "fresh")
        file = toy / "replications/toy/registered/toy.yaml"
        text = file.read_text()
        file.unlink()
        before = registered_paper.commit(toy, "no registration yet")
        file.write_text(text)
        registered_paper.commit(toy, "registered later")
        ancestry._digests.cache_clear()
        run = change(toy, provenance={"commit": before})
        lines = accept(partial=True).left_out
        (line,) = [text for text in lines if run in text]
        assert "written after the run began" in line


class TestAncestry:
    def one(self):
        return in_the_store()[0]

    def test_confirmed(self, toy):
        assert ancestry.state(self.one()) == "confirmed"

    def test_a_moved_file_is_found(self, toy):
        old = "replications/toy/registered/toy.yaml"
        registered_paper.git(toy, "mv", old, "replications/toy/registered/again.yaml")
        head = registered_paper.commit(toy, "moved")
        record = self.one()
        moved = replace(record, provenance={**record.provenance, "commit": head})
        assert ancestry.state(moved) == "confirmed"

    def test_unknown_history(self, toy):
        record = self.one()
        for commit in ("f" * 40, "unknown"):
            gone = replace(record, provenance={**record.provenance, "commit": commit})
            assert ancestry.state(gone) == "unverifiable"

    def test_a_shallow_clone(self, toy, tmp_path_factory, monkeypatch):
        record = self.one()
        registered_paper.commit(toy, "later")
        clone = tmp_path_factory.mktemp("clone") / "checkout"
        registered_paper.git(toy, "clone", "-q", "--depth", "1", toy.as_uri(), str(clone))
        (clone / "notebooks").mkdir(exist_ok=True)
        monkeypatch.setenv("REPLAB_ROOT", str(clone))
        ancestry._digests.cache_clear()
        assert ancestry.state(record) == "unverifiable"

    def test_outside_git(self, toy, monkeypatch):
        record = self.one()
        monkeypatch.setenv("GIT_DIR", "/nowhere")
        ancestry._digests.cache_clear()
        assert ancestry.state(record) == "unverifiable"


def in_the_store():
    store = Store()
    return [records.read(p) for p in sorted((store.folder / "runs").rglob("*.json"))]


class TestPaperFiles:
    def rewrite(self, toy, old, new):
        file = toy / "replications/toy/registered/toy.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("supports: table1.one", "supports: table9", "no claim of the paper"),
            ("  standin.two-exceeds-one:", "  quick.two:", "must begin with its profile"),
            ("  table1.one:", "  table1.two:", "no such claim"),
            ("    statement: Two exceeds one.\n", "", "lacks statement"),
            ("order: 1\n", "order: 1\nsupersedes: [nothing]\n", "no registration or experiment"),
            (
                'minus: ["toy[a=1].total"]',
                'minus: ["toy[a=9].total"]',
                "must fit one registered variant",
            ),
            ('minus: ["toy[a=1].total"]', 'minus: ["tpy[a=1].total"]', "is not of toy"),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, toy, old, new, said):
        self.rewrite(toy, old, new)
        with pytest.raises(UserError, match=said) as error:
            schema.load("toy")
        assert "\n" not in str(error.value)

    def test_a_file_that_no_plan_names(self, toy):
        file = toy / "replications/toy/registered/toy.yaml"
        file.with_name("other.yaml").write_text(file.read_text().replace("n: 2", "n: 3"))
        with pytest.raises(UserError, match=r"other\.yaml.*no plan"):
            schema.load("toy")

    def test_a_superseded_registration_keeps_its_records_and_verdicts(self, toy):
        before = the_ledger()["standin.two-exceeds-one"]
        file = toy / "replications/toy/registered/toy.yaml"
        text = file.read_text().replace("n: 2", "n: 3").replace("two-exceeds-one", "again")
        file.with_name("second.yaml").write_text(
            text.replace("order: 1", "order: 2\nsupersedes: [toy]").replace(
                "version: 1", "version: 2"
            )
        )
        code = toy / "replications/toy/experiments.py"
        code.write_text(
            code.read_text()
            .replace('"toy.yaml"', '"second.yaml"')
            .replace("version=1", "version=2")
            .replace('{1: "first"}', '{1: "first", 2: "second"}')
        )
        sys.modules.pop("replications.toy.experiments", None)
        ledger = the_ledger()
        old, new = ledger["standin.two-exceeds-one"], ledger["standin.again"]
        assert (old.verdict, old.n, old.superseded) == (before.verdict, 2, "second")
        assert (new.verdict, new.superseded) == ("not attempted", "")
        # The paper's own claim is the live registration's.
        assert ledger["table1.one"].verdict == "not attempted"


class TestSuperseding:
    """A new registration of the same experiment, with another recipe."""

    @pytest.fixture
    def newer(self, toy):
        accept()
        file = toy / "replications/toy/registered/toy.yaml"
        text = (
            file.read_text().replace("two-exceeds-one", "again").replace("steps: 40", "steps: 80")
        )
        text = text.replace("order: 1", "order: 2\nsupersedes: [toy]")
        file.with_name("second.yaml").write_text(text.replace("version: 1", "version: 2"))
        code = toy / "replications/toy/experiments.py"
        code.write_text(
            code.read_text()
            .replace('"toy.yaml"', '"second.yaml"')
            .replace("version=1", "version=2")
            .replace('{1: "first"}', '{1: "first", 2: "second"}')
        )
        registered_paper.commit(toy, "second")
        sys.modules.pop("replications.toy.experiments", None)
        ancestry._digests.cache_clear()
        return toy

    def test_old_records_stay_accepted(self, newer):
        accepted = accept(partial=True)
        assert len(accepted.ledger.runs) == 6
        assert accepted.left_out == []
        assert accepted.ledger["standin.two-exceeds-one"].superseded == "second"
        assert check() == []

    def test_the_experiment_may_go(self, newer):
        code = newer / "replications/toy/experiments.py"
        code.write_text(code.read_text().replace('name="toy"', 'name="new"'))
        rows = newer / "replications/toy/claims.csv"
        rows.write_text(rows.read_text().replace("toy[", "new["))
        file = newer / "replications/toy/registered/second.yaml"
        text = file.read_text().replace("experiment: toy", "experiment: new")
        file.write_text(text.replace('"toy[', '"new['))
        sys.modules.pop("replications.toy.experiments", None)
        ledger = the_ledger()
        assert ledger["standin.two-exceeds-one"].verdict == "reproduced"
        assert ledger["standin.again"].verdict == "not attempted"

    def test_exploratory_claims_take_no_outdated_records(self, newer):
        file = newer / "replications/toy/paper.yaml"
        file.write_text(
            file.read_text()
            + """scaled:
  standin.mine:
    supports: table1.one
    locus: Table 1
    statement: 1 < 3
    metric: total
    unit: none
    profile: standin
    tolerance: Torder
    powered: false
    ordering: {measures: ["toy[a={}].total"], ascending: [1, 3]}
"""
        )
        text = file.read_text()
        order = (
            "  Torder: {rule: order, deviations: 2, min_seeds: 2, why: Signs of differences.}\n"
        )
        file.write_text(text.replace("scaled:\n", order + "scaled:\n"))
        entry = the_ledger()["standin.mine"]
        assert (entry.verdict, entry.superseded) == ("not attempted", "")


def test_rounding_is_neither_spread_nor_difference():
    own = registration({"standin.c": claim([2], [1], margin=0.3)}, n=2)
    found = decide(own, all_made(own, a1=[0.1, 0.1], a2=[0.4, 0.4]))["standin.c"]
    assert found.outcome.verdict == "not reproduced" or found.outcome.verdict == "inconclusive"
    contrasts = [{"plus": ["toy[a=1].total", "toy[a=2].total"], "minus": ["toy[a=3].total"]}]
    own = registration({"standin.c": {**claim([2], [1]), "contrasts": contrasts}}, n=2)
    found = decide(own, all_made(own, a1=[0.1] * 2, a2=[0.2] * 2, a3=[0.3] * 2))["standin.c"]
    assert found.outcome.verdict != "reproduced"


def test_measured_are_means_over_the_seeds_of_the_effect():
    own = registration({"standin.c": claim([2], [1])})
    found = decide(own, all_made(own, a1=[1, 1, 1, 101], a2=[2, 2, 2]))["standin.c"]
    assert found.outcome.measured == {"a=2": 2, "a=1": 1}
    assert found.about["effects"] == [1]


def test_the_time_between_sessions_counts():
    """A run that was begun first, and long interrupted, did not finish first."""
    own = registration({"standin.c": claim([2], [1])}, devices=["cpu", "cuda"])
    early = {"started": "2026-12-01T00:00:00+00:00", "finished": "2026-12-09T00:00:00+00:00"}
    late = {"started": "2026-12-03T00:00:00+00:00", "finished": "2026-12-03T01:00:00+00:00"}
    slow = made(own, 1, own.seeds[0], 1.0, provenance=early)
    quick = made(own, 1, own.seeds[0], 2.0, device="cuda", provenance=late)
    assert registered.first_finished([slow, quick]) == [quick]


@pytest.mark.parametrize(
    ("n", "effect", "sd", "power"), [(2, 0.3, 0.2, 0.305), (3, 0, 0.4, 0.396)]
)
def test_planned_power_of_few_seeds(n, effect, sd, power):
    """Against 100,000 simulated experiments."""
    claims = {"table1.one": claim([3], [None], margin=0.66, comparator="equivalent")}
    claims["table1.one"]["expected"] = {"effect": effect, "sd": sd, "source": "none"}
    own = registration(claims, n=n)
    assert registered.planned_power(own.claims[0], own) == pytest.approx(power, abs=0.01)

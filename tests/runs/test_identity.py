"""The id of a run: stable, and moved by what makes it another run and by nothing else."""

import pickle
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import declared
from replab.errors import UserError
from replab.runs import identity
from replab.runs.experiment import Experiment, Plan, RunResult, load_replication
from replab.runs.identity import RunSpec, format_variant, parse_variant, plan_runs, with_recipe

SPEC = RunSpec(
    paper="resnet",
    experiment="degradation",
    version=1,
    variant={"net": "plain", "depth": 20},
    seed=0,
    profile="quick",
    data="cifar10",
    fingerprint="0123456789abcdef",
    split="all",
    precision="fp32",
    device="cpu",
    recipe=declared.recipe(iterations=800),
)
# Fields that are not part of the identity: `data` and `split` are named by the fingerprint and
# the version, the recipe by the version; the seed follows from the registration.
FREE = {
    "data": "generated-shapes",
    "split": "half",
    "recipe": declared.recipe(iterations=5),
    "registration": "0" * 64,
}
BOUND = {
    "paper": "hrnet",
    "experiment": "cifar",
    "version": 2,
    "variant": {"net": "resnet", "depth": 20},
    "seed": 1,
    "profile": "paper",
    "fingerprint": "fedcba9876543210",
    "precision": "bf16",
    "device": "cuda",
}


def test_the_id_is_stable():
    """Were this id to change, every committed record would lose its run."""
    assert SPEC.id == "38a5711efbe4334c"


def test_every_field_is_covered():
    assert {*FREE, *BOUND} == {field.name for field in fields(RunSpec)}


@pytest.mark.parametrize("field", BOUND)
def test_what_makes_another_run(field):
    assert replace(SPEC, **{field: BOUND[field]}).id != SPEC.id


@pytest.mark.parametrize("field", FREE)
def test_what_does_not(field):
    assert replace(SPEC, **{field: FREE[field]}).id == SPEC.id


WORD = st.text(min_size=1, max_size=8)
SPECS = st.builds(
    RunSpec,
    paper=WORD,
    experiment=WORD,
    version=st.integers(1, 9),
    variant=st.dictionaries(WORD, WORD | st.integers(), max_size=3),
    seed=st.integers(0, 9),
    profile=st.sampled_from(["quick", "standin", "paper"]),
    data=WORD,
    fingerprint=WORD,
    split=WORD,
    precision=st.sampled_from(["fp32", "bf16"]),
    device=st.sampled_from(["cpu", "cuda", "mps"]),
    recipe=st.builds(declared.recipe, iterations=st.integers()),
)


@given(one=SPECS, other=SPECS, kept=st.sets(st.sampled_from(sorted(BOUND))))
def test_equal_ids_are_equal_runs(one, other, kept):
    """Any mixture of two specs has the first one's id just where the bound fields agree."""
    mixed = replace(other, **{name: getattr(one, name) for name in kept})
    same = all(getattr(mixed, name) == getattr(one, name) for name in BOUND)
    assert (mixed.id == one.id) == same


@given(spec=SPECS)
def test_order_of_the_variants_keys(spec):
    turned = replace(spec, variant=dict(reversed(spec.variant.items())))
    assert turned.id == spec.id
    assert len(spec.id) == 16
    assert set(spec.id) <= set("0123456789abcdef")


def test_numbers_and_words_differ():
    ids = {replace(SPEC, variant={"depth": value}).id for value in (20, "20", 20.5)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("device", "kind"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda"), ("mps", "mps")]
)
def test_device_class(device, kind):
    assert identity.device_class(device) == kind


def test_unknown_device():
    with pytest.raises(UserError) as error:
        identity.device_class("gpu")
    known = "there are: auto, cpu, cuda, mps"
    assert str(error.value) == f"no device 'gpu'; did you mean cpu?; {known}"


def test_label():
    assert SPEC.label == "degradation[net=plain,depth=20] seed 0"


PLAN = Plan(
    (
        {"net": "plain", "depth": 20, "px": 16},
        {"net": "plain", "depth": 56, "px": 16},
        {"net": "resnet", "depth": 20, "px": 16},
    ),
    seeds=(3, 4),
    recipe=declared.recipe(iterations=5),
    split="half",
    precision="native",
)


def never(context):
    raise AssertionError("planning must not run anything")


def make(**options):
    return Experiment("degradation", 2, never, {"quick": PLAN}, {2: "second"}, **options)


@pytest.mark.parametrize(
    ("words", "index"),
    [(["net=plain", "depth=20"], 0), (["depth=56"], 1), (["net=resnet", "px=16"], 2)],
)
def test_parse_variant(words, index):
    assert parse_variant(words, make(), PLAN) == PLAN.variants[index]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["depth"], "--variant depth: write it as key=value"),
        (
            ["net=plain"],
            "--variant net=plain fits several variants of degradation; choose from: "
            "net=plain,depth=20,px=16; net=plain,depth=56,px=16",
        ),
        (
            ["net=vgg"],
            "--variant net=vgg fits no variant of degradation; choose from: "
            + "; ".join(map(format_variant, PLAN.variants)),
        ),
        (
            ["width=3"],
            "--variant width=3 fits no variant of degradation; choose from: "
            + "; ".join(map(format_variant, PLAN.variants)),
        ),
        (
            [],
            "--variant nothing fits several variants of degradation; choose from: "
            + "; ".join(map(format_variant, PLAN.variants)),
        ),
    ],
)
def test_parse_variant_refuses(words, message):
    with pytest.raises(UserError) as error:
        parse_variant(words, make(), PLAN)
    assert str(error.value) == message


def plan(experiment, **options):
    given = {"data": ("cifar10", "f00"), "device": "cuda:1", **options}
    return plan_runs("resnet", experiment, "quick", **given)


def test_plan_runs(monkeypatch):
    monkeypatch.setattr(identity, "native_precision", lambda device: f"native on {device}")
    specs = plan(make())
    assert [(s.seed, s.variant) for s in specs] == [
        (seed, variant) for seed in (3, 4) for variant in PLAN.variants
    ]
    assert {(s.paper, s.experiment, s.version, s.profile) for s in specs} == {
        ("resnet", "degradation", 2, "quick")
    }
    assert {(s.data, s.fingerprint, s.split) for s in specs} == {("cifar10", "f00", "half")}
    assert {(s.device, s.precision) for s in specs} == {("cuda", "native on cuda")}
    assert all(s.recipe.as_json() == {"iterations": 5} for s in specs)
    assert len({s.id for s in specs}) == 6


def test_plan_runs_with_other_seeds(monkeypatch):
    monkeypatch.setattr(identity, "native_precision", lambda device: "fp32")
    assert [s.seed for s in plan(make(), seeds=(9,))] == [9] * 3
    assert [s.seed for s in plan(make(deterministic=True), seeds=(9,))] == [3] * 3 + [4] * 3


def test_a_seed_given_twice_is_one_run(monkeypatch):
    monkeypatch.setattr(identity, "native_precision", lambda device: "fp32")
    assert [s.seed for s in plan(make(), seeds=(1, 0, 1))] == [1] * 3 + [0] * 3


def test_fingerprints_are_joined(monkeypatch):
    monkeypatch.setattr(identity, "native_precision", lambda device: "fp32")
    weights = make(fingerprint=lambda variant: f"w{variant['depth']}")
    assert {s.fingerprint for s in plan(weights)} == {"f00+w20", "f00+w56"}
    assert {s.fingerprint for s in plan(weights, data=("", ""))} == {"w20", "w56"}
    assert {s.fingerprint for s in plan(make(), data=("", ""))} == {""}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "no changelog line for version 3"),
        ({"plans": {"slow": PLAN}}, r"unknown profiles \['slow'\]"),
    ],
)
def test_experiments_that_are_declared_wrongly(changes, message):
    fields = {"name": "e", "version": 1, "function": never, "plans": {}, "changelog": {1: ""}}
    with pytest.raises(ValueError, match=message):
        Experiment(**{**fields, **changes})


def test_result_defaults():
    result = RunResult({"a": 1.0})
    assert (result.series, result.model, result.iterations) == ({}, "", 0)
    assert result.throughput is None


def test_a_run_reaches_other_processes_without_its_recipe(monkeypatch):
    """They take it from the plan, once they know where the replications are."""
    experiment = load_replication("resnet").experiments["degradation"]
    data = ("cifar10", "0" * 16)
    (spec, *_) = plan_runs("resnet", experiment, "quick", data=data, device="cpu")
    monkeypatch.setenv("REPLAB_ROOT", "/nowhere")
    received = pickle.loads(pickle.dumps(spec))
    assert received.id == spec.id
    monkeypatch.delenv("REPLAB_ROOT")
    assert with_recipe(received) == spec
    assert with_recipe(spec) is spec

"""Registrations: what their digest covers, the seeds that follow, what is refused."""

import copy
import datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import declared
import registered_paper
from replab.errors import UserError
from replab.runs import registration
from replab.runs.experiment import Experiment, Plan, RunResult, load_replication
from replab.runs.identity import plan_runs

CONTENT = yaml.safe_load(registered_paper.REGISTRATION)


def read(tmp_path, content):
    path = tmp_path / "toy.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return registration.read(path)


def changed(*place, value):
    content = copy.deepcopy(CONTENT)
    at = content
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return content


def test_a_registration(tmp_path):
    found = read(tmp_path, registered_paper.REGISTRATION)
    assert (found.name, found.experiment, found.n) == ("toy", "toy", 2)
    assert [c.id for c in found.primary] == ["standin.two-exceeds-one"]
    assert found.covers({"a": 2}, found.seeds[0])
    assert not found.covers({"a": 4}, found.seeds[0])
    assert not found.covers({"a": 2}, 0)


def test_seeds_follow_from_the_digest(tmp_path):
    found = read(tmp_path, CONTENT)
    assert found.seeds == registration.seeds_of(found.digest, 2)
    assert len(set(found.seeds)) == 2
    # More seeds keep the first ones' places only if nothing else changes: n is in the digest.
    more = read(tmp_path, changed("n", value=4))
    assert more.digest != found.digest
    assert not set(more.seeds) & set(found.seeds)


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(1, 40))
def test_seeds_are_different_and_fit_every_generator(digest, n):
    seeds = registration.seeds_of(digest, n)
    assert len(set(seeds)) == n
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert registration.seeds_of(digest, n + 1)[:n] == seeds


CLAIM = ("claims", "standin.two-exceeds-one")
DECIDES = [
    (("experiment",), "other"),
    (("version",), 2),
    (("profile",), "quick"),
    (("data",), "cifar10"),
    (("precision",), "bf16"),
    (("devices",), ["cpu", "cuda"]),
    (("n",), 5),
    (("variants",), [{"a": 1}, {"a": 2}]),
    (("recipe", "steps"), 41),
    (("recipe", "more"), 1),
    (("analysis", "alpha"), 0.1),
    (("analysis", "interval"), 0.9),
    ((*CLAIM, "role"), "secondary"),
    ((*CLAIM, "margin"), 1),
    ((*CLAIM, "contrasts", 0, "plus"), ["toy[a=3].total"]),
    ((*CLAIM, "contrasts", 0, "minus"), []),
    ((*CLAIM, "expected", "effect"), 4),
    ((*CLAIM, "expected", "source"), "another"),
    (("claims", "table1.one", "target"), 3.0),
    (("claims", "table1.one", "comparator"), "greater"),
]


@pytest.mark.parametrize(("place", "value"), DECIDES, ids=lambda v: str(v))
def test_the_digest_covers_what_decides(place, value):
    assert registration.digest_of(changed(*place, value=value)) != registration.digest_of(CONTENT)


WORDING = [
    (("title",), "Another title"),
    (("order",), 9),
    (("supersedes",), ["other"]),
    ((*CLAIM, "statement"), "Said otherwise."),
    ((*CLAIM, "locus"), "Table 2"),
    ((*CLAIM, "unit"), "percent"),
    ((*CLAIM, "margin"), 0.0),
    (("variants",), [{"a": 3}, {"a": 1}, {"a": 2}]),
]


@pytest.mark.parametrize(("place", "value"), WORDING, ids=lambda v: str(v))
def test_and_nothing_else(place, value):
    assert registration.digest_of(changed(*place, value=value)) == registration.digest_of(CONTENT)


def test_neither_layout_nor_place(tmp_path):
    plain = read(tmp_path, registered_paper.REGISTRATION)
    folder = tmp_path / "moved"
    folder.mkdir()
    dumped = "# A remark.\n" + yaml.safe_dump(CONTENT, sort_keys=True, default_flow_style=True)
    assert read(folder, dumped).digest == plain.digest


BROKEN = [
    (("claims",), {}, "claims"),
    (("n",), 1, "n"),
    (("n",), "five", "n"),
    (("n",), True, "n"),
    (("variants",), [], "variants"),
    (("reciep",), {}, "did you mean recipe"),
    (("analysis", "test"), "two-sided t", "analysis.test"),
    (("analysis", "correction"), "none", "analysis.correction"),
    (("analysis", "alpha"), 1.5, "analysis.alpha"),
    ((*CLAIM, "role"), "main", "role"),
    ((*CLAIM, "comparator"), "less", "comparator"),
    ((*CLAIM, "contrasts"), [], "contrasts"),
    ((*CLAIM, "contrasts", 0, "plus"), [], "plus"),
    ((*CLAIM, "expected", "sd"), 0, "expected.sd"),
    ((*CLAIM, "expected"), {"effect": 1}, "expected.sd"),
    ((*CLAIM, "metrik"), "total", "did you mean metric"),
    (("claims", "table1.one", "margin"), 0, "margin"),
    ((*CLAIM, "target"), 3.0, "target"),
    ((*CLAIM, "margin"), float("inf"), "margin"),
    ((*CLAIM, "margin"), float("nan"), "margin"),
    ((*CLAIM, "expected", "effect"), float("inf"), "expected.effect"),
    ((*CLAIM, "contrasts", 0, "plus"), [5], "plus"),
    ((*CLAIM, "contrasts", 0, "minus"), [{"a": 1}], "minus"),
    ((*CLAIM, "contrasts"), {"plus": ["x"]}, "contrasts"),
    (("claims", "standin.Two exceeds"), CONTENT["claims"]["table1.one"], "claim id"),
    (("variants",), [5], "variants.0"),
    (("variants",), [{"a": 1}, {"a": 1}], "variants.1 stands twice"),
    (("variants",), [{"a": None}], "variants.0.a"),
    (("recipe", "steps"), datetime.date(2026, 1, 1), "recipe.steps"),
    (("recipe", "steps"), 10**400, "recipe.steps"),
    (("recipe", "nested"), {"deep": [float("nan")]}, "recipe.nested.deep.0"),
    (("devices",), [], "devices"),
    (("devices",), [5], "devices"),
    (("devices",), ["tpu"], "devices"),
    (("devices",), "cpu", "devices"),
    (("supersedes",), [["a"]], "supersedes"),
    (("profile",), "slow", "profile"),
    (("n",), 10**9, "n"),
    (("analysis", "alpha"), 0.9, "analysis.alpha"),
    (("claims", "table1.one", "contrasts", 0, "minus"), ["toy[a=1].total"], "contrasts"),
]


@pytest.mark.parametrize(("place", "value", "named"), BROKEN, ids=lambda v: str(v))
def test_what_is_refused(tmp_path, place, value, named):
    with pytest.raises(UserError, match=named) as error:
        read(tmp_path, changed(*place, value=value))
    assert "\n" not in str(error.value)
    assert "toy.yaml" in str(error.value)


@pytest.mark.parametrize("twice", ["n: 3\n", "title: Another\n"])
def test_a_key_that_stands_twice(tmp_path, twice):
    with pytest.raises(UserError, match="second time"):
        read(tmp_path, registered_paper.REGISTRATION + twice)


def test_two_registrations_of_one_plan(tmp_path):
    """Each of some variants, with seeds of its own."""
    first = read(tmp_path, changed("variants", value=[{"a": 1}]))
    more = {**changed("variants", value=[{"a": 2}]), "n": 3}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(more))
    second = registration.read(tmp_path / "more.yaml")
    plan = Plan(
        ({"a": 1}, {"a": 2}, {"a": 3}),
        seeds=(0, 1),
        recipe=declared.recipe(**first.recipe),
        registrations=(first, second),
    )
    toy = Experiment(**PLANNED, plans={"standin": plan})
    asked = toy.asked("standin")
    assert [seed for v, seed in asked if v == {"a": 1}] == list(first.seeds)
    assert [seed for v, seed in asked if v == {"a": 2}] == list(second.seeds)
    assert [seed for v, seed in asked if v == {"a": 3}] == [0, 1]
    assert [v["a"] for v, _ in asked] == [1, 2, 3, 1, 2, 3, 2]


@pytest.mark.parametrize("field", list(CONTENT))
def test_every_field_is_needed(tmp_path, field):
    content = {k: v for k, v in CONTENT.items() if k != field}
    with pytest.raises(UserError, match=field):
        read(tmp_path, content)


def test_at_most_six_primary_claims(tmp_path):
    claim = CONTENT["claims"]["standin.two-exceeds-one"]
    seven = {f"standin.c{i}": claim for i in range(7)}
    with pytest.raises(UserError, match="7 primary"):
        read(tmp_path, {**CONTENT, "claims": seven})
    secondary = {"standin.c": {**claim, "role": "secondary"}}
    with pytest.raises(UserError, match="0 primary"):
        read(tmp_path, {**CONTENT, "claims": secondary})


@pytest.mark.parametrize("text", ["", "- a", "a: [", "claims: 3", "claims: {a: 1}"])
def test_no_yaml_mapping(tmp_path, text):
    with pytest.raises(UserError, match=r"toy\.yaml"):
        read(tmp_path, text)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        registration.read(tmp_path / "none.yaml")


def test_an_edited_file_is_read_again(tmp_path):
    first = read(tmp_path, CONTENT)
    assert read(tmp_path, changed("n", value=4)).digest != first.digest


PLANNED = {
    "name": "toy",
    "version": 1,
    "changelog": {1: "first", 2: "second"},
    "function": lambda context: RunResult({}),
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": {"steps": 41, "pause": 0.01}}, "recipe.steps"),
        ({"recipe": {"steps": 40}}, "recipe.pause"),
        ({"recipe": {"steps": 40, "pause": 0.01, "warmup": 3}}, "recipe.warmup"),
        ({"variants": ({"a": 1}, {"a": 2})}, "variants"),
        ({"precision": "bf16"}, "precision"),
        ({"data": ("cifar10",)}, "data"),
        ({"version": 2}, "version"),
        ({"name": "other"}, "experiment"),
    ],
)
def test_a_plan_that_differs_from_its_registration(tmp_path, change, named):
    found = read(tmp_path, CONTENT)
    fields = {"variants": found.variants, "seeds": found.seeds, "recipe": found.recipe}
    fields |= {k: v for k, v in change.items() if k not in ("version", "name")}
    fields["recipe"] = declared.recipe(**fields["recipe"])
    about = PLANNED | {k: v for k, v in change.items() if k in ("version", "name")}
    with pytest.raises(UserError, match=named):
        Experiment(**about, plans={"standin": Plan(**fields, registrations=(found,))})


def test_planned_runs_carry_the_digest(tmp_path, monkeypatch):
    registered_paper.write(tmp_path)
    monkeypatch.setenv("REPLAB_ROOT", str(tmp_path))
    toy = load_replication("toy").experiments["toy"]
    (plan,) = toy.plans.values()
    (own,) = plan.registrations
    specs = plan_runs("toy", toy, "standin", data=("", ""), device="cpu")
    assert [s.registration for s in specs] == [own.digest] * 6
    # Seed by seed, all variants of each.
    assert [s.seed for s in specs] == [seed for seed in own.seeds for _ in range(3)]
    outside = plan_runs("toy", toy, "standin", data=("", ""), device="cpu", seeds=(0,))
    assert [s.registration for s in outside] == [""] * 3

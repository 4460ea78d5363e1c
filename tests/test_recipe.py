"""Recipes: every field declared; what is misspelt or of another type is refused by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import pytest

from replab.errors import UserError
from replab.recipe import KEY, NULL, Recipe
from replab.runs.experiment import load_replication, papers
from replab.training.recipe import TrainingRecipe

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Inner(Recipe):
    width: int
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Other(Recipe):
    height: int


@dataclass(frozen=True, kw_only=True)
class Outer(Recipe):
    whole: int
    number: float
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    sides: tuple[int, int] = (1, 2)
    many: tuple[float, ...] | None = None
    inner: Inner | None = None
    nets: Mapping[str, Inner | Other] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[str, float]] | None = None
    shown: float | None = field(default=None, metadata={NULL: True})
    dashed: int | None = field(default=None, metadata={KEY: "dashed-name"})


FULL = Outer(
    whole=3,
    number=1,
    sides=(4, 5),
    many=(0.5, 1),
    inner=Inner(width=2),
    nets={"x": Inner(width=1, name="n"), "y": Other(height=7)},
    numbers={"p": {"q": 1.5}},
    dashed=9,
)


def test_json_and_back():
    plain = FULL.as_json()
    assert plain == json.loads(json.dumps(plain))
    assert plain["nets"] == {"x": {"width": 1, "name": "n"}, "y": {"height": 7}}
    assert plain["dashed-name"] == 9
    assert "name" not in plain["inner"]
    assert plain["shown"] is None
    assert Outer.from_json(plain) == FULL


def test_what_is_not_used_is_left_out():
    assert set(Outer(whole=1, number=2.0).as_json()) == {
        *("whole", "number", "kind", "flag", "sides", "nets", "shown")
    }


@pytest.mark.parametrize(
    ("fields_", "said"),
    [
        ({"whole": "3"}, "Outer.whole is '3'; it must be a whole number"),
        ({"whole": 3.0}, "whole"),
        ({"whole": True}, "whole"),
        ({"number": "1"}, "number"),
        ({"number": None}, "number"),
        ({"kind": "c"}, "'a' or 'b'"),
        ({"flag": 1}, "flag"),
        ({"sides": [1, 2]}, "sides"),
        ({"sides": (1, 2, 3)}, "sides"),
        ({"many": (1, "2")}, "many"),
        ({"inner": {"width": 1}}, "inner"),
        ({"nets": {"x": 3}}, "nets"),
        ({"numbers": {"p": {"q": "1"}}}, "numbers"),
        ({"wohle": 3}, "no field 'wohle'; did you mean whole?"),
        ({"zzz": 3}, "no field 'zzz'"),
    ],
)
def test_refused_by_name(fields_, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        replace(FULL, **fields_)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inner": {"widht": 1}}, "did you mean width"),
        ({"nets": {"x": {"heigth": 1}}}, "heigth"),
        ({"number": "much"}, "number"),
        ({"whole": None}, "whole"),
    ],
)
def test_json_is_refused_in_one_line(changes, said):
    with pytest.raises(UserError, match=said) as error:
        Outer.from_json({**FULL.as_json(), **changes}, where="file.yaml: recipe")
    assert str(error.value).startswith("file.yaml: recipe: ")
    assert "\n" not in str(error.value)


def test_a_missing_field():
    with pytest.raises(UserError, match="Outer lacks number, whole"):
        Outer.from_json({})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedule": "steps"}, "'steps' needs drops"),
        ({"schedule": "plateau"}, "needs plateau_window"),
        ({"optimiser": "sgd"}, "'sgd' needs momentum"),
        ({"warm_up_iteration": 3}, "did you mean warm_up_iterations"),
        ({"schedule": "linear"}, "schedule"),
        ({"optimiser": "lion"}, "optimiser"),
        ({"drops": [3]}, "drops"),
    ],
)
def test_trainings(changes, said):
    usual = TrainingRecipe(iterations=3, batch_size=4, lr=0.1, schedule="cosine", optimiser="adam")
    with pytest.raises(ValueError, match=said):
        replace(usual, **changes)


def plans():
    for paper in papers():
        for experiment in load_replication(paper).experiments.values():
            for profile, plan in experiment.plans.items():
                yield f"{paper}/{experiment.name}/{profile}", plan.recipe


@pytest.mark.parametrize(("name", "recipe"), list(plans()))
def test_every_recipe_of_the_papers(name, recipe):
    """Read back from its JSON it is the same; each of its fields, misspelt, is refused by name."""
    kind = type(recipe)
    if not name.startswith(("hrnet/coco", "simplebaseline", "cpm", "own_nets", "hrnet")):
        assert kind.from_json(recipe.as_json()) == recipe
    for own in fields(kind):
        misspelt = own.name[1:] + own.name[0]
        with pytest.raises(ValueError, match=f"{kind.__name__} has no field '{misspelt}'"):
            replace(recipe, **{misspelt: 1})
        with pytest.raises(ValueError, match=rf"{kind.__name__}\.{own.name}"):
            replace(recipe, **{own.name: object()})


@pytest.mark.parametrize("paper", papers())
def test_committed_records_have_the_recipes_of_their_plans(paper):
    experiments = load_replication(paper).experiments
    for path in (ROOT / "results" / paper / "runs").glob("*.json"):
        record = json.loads(path.read_text())
        plan = experiments[record["experiment"]].plans[record["profile"]]
        assert plan.recipe.as_json() == record["recipe"], path.name

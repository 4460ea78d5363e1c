"""Runs that train a pose network: what their records hold, and what a probe says."""

import math
from dataclasses import replace

import pytest

import dotted_people
from replab import datasets
from replab.keypoints.skeletons import COCO, LSP
from replab.runs import pose_runs
from replab.topdown.predict import Reading
from replab.training import pose_recipes
from run_contexts import made_context

SMALL = {"stem": 8, "bottlenecks": 1, "modules": [1, 1, 1], "blocks": 1}
RECIPE = replace(
    pose_recipes.PEOPLE,
    input=(64, 64),
    iterations=6,
    batch_size=4,
    evaluate_every=2,
    glance_people=3,
    shown_people=2,
)


@pytest.fixture
def sets(monkeypatch):
    known = {
        "people-train": dotted_people.people(12, COCO, truth=True),
        "people-test": dotted_people.people(6, COCO, seed=9, truth=True),
        "lspet-train": dotted_people.people(12, LSP),
        "lspet-test": dotted_people.people(6, LSP, seed=9),
    }
    monkeypatch.setattr(datasets, "open_poses", known.__getitem__)
    return known


def context(folder, recipe, data="people-train", **changes):
    return made_context(
        {"net": "small"}, recipe, **{"seed": 3, "data": data, "workspace": folder} | changes
    )


def job(recipe, **options):
    return pose_runs.job(recipe, "pose_hrnet_w8", SMALL, **options)


def test_what_a_record_holds(sets, tmp_path):
    found = pose_runs.run(context(tmp_path, RECIPE), job(RECIPE))
    assert {"ap", "ap50", "ar", "train_loss", "train_error", "params", "macs"} < set(found.metrics)
    assert all(math.isfinite(value) for value in found.metrics.values())
    assert found.metrics["gmacs"] == found.metrics["macs"] / 1e9
    assert found.series["ap"]["x"] == [2, 4, 6]
    assert {name for name in found.series if name.startswith("person")} == {"person_0", "person_1"}
    assert all(len(found.series["person_1"][axis]) == 17 for axis in "xy")
    assert all(round(v, 1) == v for v in found.series["person_1"]["x"])
    assert found.model == "pose_hrnet_w8"
    assert found.iterations == 6
    assert found.throughput > 0


def test_other_measure_other_names(sets, tmp_path):
    recipe = replace(RECIPE, test_data="lspet-test", shown_people=0)
    found = pose_runs.run(context(tmp_path, recipe, "lspet-train"), job(recipe))
    assert "ap" not in found.metrics
    assert 0 <= found.metrics["pck@0.1"] <= found.metrics["pck"] <= 100
    assert found.series["pck"]["x"] == [2, 4, 6]
    assert not any(name.startswith("person") for name in found.series)


def test_looking_on_the_way_changes_nothing(sets, tmp_path):
    blind = replace(RECIPE, evaluate_every=None, glance_people=None)
    ends = []
    for name, recipe in (("looking", RECIPE), ("blind", blind)):
        (tmp_path / name).mkdir()
        ends.append(pose_runs.run(context(tmp_path / name, recipe), job(recipe)).metrics)
    assert ends[0] == ends[1]


def test_readings_have_their_suffix(sets, tmp_path):
    own = pose_runs.recipe_codec(RECIPE)
    readings = {"": Reading(own), "_shift0": Reading(replace(own, shift=0))}
    found = pose_runs.run(context(tmp_path, RECIPE), job(RECIPE, readings=readings)).metrics
    assert {"ap", "ap_shift0", "ar50_shift0"} <= set(found)


def test_codec_is_the_recipes():
    assert pose_runs.recipe_codec(RECIPE).name == "released"
    udp = pose_runs.recipe_codec(replace(RECIPE, codec="udp", sigma=2))
    assert (udp.name, udp.sigma) == ("udp", 2.0)


def test_a_probe_counts_training_glances_and_scoring(sets, tmp_path, monkeypatch):
    from replab.training import probing

    asked = []

    def pace(*args, **options):
        asked.append(options["objective"])
        return probing.Pace(start_s=5.0, step_s=2.0, checkpoint_bytes=77)

    monkeypatch.setattr(probing, "probe", pace)
    cost = pose_runs.probe(context(tmp_path, RECIPE), job(RECIPE))
    assert asked == [job(RECIPE).training.objective]
    assert cost.checkpoint_bytes == 77
    # Six steps of two seconds after a start of five; all else takes a moment here.
    assert 17 <= cost.seconds < 27


def test_recipes_are_whole():
    """What `pose_runs.job` and the loop ask of a recipe is there, in each of them."""
    for recipe in (pose_recipes.PEOPLE, pose_recipes.LSPET, pose_recipes.LSPET_REDUCED):
        found = job(recipe)
        width, height = found.training.size
        assert (width, height) == recipe.input
        assert width * 4 == height * 3
        assert recipe.iterations > 0
        assert all(0 < drop < recipe.iterations for drop in recipe.drops or ())
    assert pose_recipes.LSPET.iterations == round(210 * 9000 / 32)
    assert pose_recipes.LSPET.drops == (round(170 * 9000 / 32), round(200 * 9000 / 32))

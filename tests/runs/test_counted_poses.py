"""Counts of pose networks as an experiment declares them."""

import pytest

import declared
from replab import models
from replab.errors import UserError
from replab.models.counting import count_parameters
from replab.runs import counted_poses
from replab.runs.counted_poses import CountRecipe
from replab.runs.experiment import PROFILES
from run_contexts import made_context

SMALL = {"model": "pose_resnet10", "input": "64x96", "width": 8, "deconv_channels": 16}


def context(variant, **recipe):
    return made_context(variant, CountRecipe(**recipe))


def test_what_a_variant_says_is_the_network_that_is_counted():
    found = counted_poses.count(context({**SMALL, "deconv_kernel": 2}))
    net = models.create("pose_resnet10", width=8, deconv_channels=16, deconv_kernel=2)
    assert found.model == "pose_resnet10"
    assert found.metrics["params"] == count_parameters(net)
    assert found.metrics["gmacs"] * 1e9 == pytest.approx(found.metrics["macs"])
    # A transposed convolution of stride 2 has four times its work at its output's size.
    assert found.metrics["gflops"] * 2**30 > found.metrics["macs"]


def test_sizes_are_written_height_first():
    """The input is stretched by the same factor in the counts, whichever side it is."""
    lying, standing = (
        counted_poses.count(context({**SMALL, "input": size})).metrics["macs"]
        for size in ("64x96", "96x64")
    )
    assert lying == standing
    parameters, macs = counted_poses.measure("pose_resnet10", "64x96", num_joints=17)
    _, larger = counted_poses.measure("pose_resnet10", "128x192", num_joints=17)
    assert parameters > 4e6
    assert larger.total == 4 * macs.total


def test_a_variant_may_name_another_number_of_joints():
    seventeen, sixteen = (
        counted_poses.count(context({**SMALL, **joints})).metrics["params"]
        for joints in ({}, {"num_joints": 16})
    )
    # One map fewer: its weights and its bias.
    assert seventeen - sixteen == 16 + 1


def test_impossible_networks_are_named():
    with pytest.raises(UserError, match="deconv_kernel=5"):
        counted_poses.count(context({**SMALL, "deconv_kernel": 5}))


def test_one_plan_for_all_profiles():
    made = counted_poses.counts([SMALL], recipe=declared.recipe(num_joints=17, printed=14.3))
    assert set(made.plans) == set(PROFILES)
    assert made.deterministic
    assert made.function is counted_poses.count
    for plan in made.plans.values():
        assert plan.variants == (SMALL,)
        assert plan.recipe.as_json() == {"num_joints": 17, "printed": 14.3}

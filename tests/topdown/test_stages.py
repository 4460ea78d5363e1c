"""Pose machines made ready for evaluation, and what their stages believe."""

import numpy as np
import pytest
import torch

import dotted_people
from replab import models
from replab.errors import UserError
from replab.keypoints.codecs import codec
from replab.keypoints.label_sets import CENTRE_SIGMA, centre_map
from replab.keypoints.skeletons import COCO, LSP
from replab.models.cpm_context import without_others
from replab.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from replab.models.saving import save
from replab.topdown import beliefs
from replab.topdown.network import PoseNetwork, Preprocessing, open_network, with_centre_map
from replab.topdown.predict import Reading, predict_each
from small_nets import MACHINE

SMALL = {**MACHINE, "centre_map": True, "background": True, "stage_layers": 3, "last_std": None}
UNITS = Preprocessing("RGB", IMAGENET_MEAN, IMAGENET_STD)


def net_of(**options):
    torch.manual_seed(0)
    net = models.create("cpm", **{"num_joints": 17, **SMALL} | options)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 1:
                parameter.normal_(0, 0.1)
    return net.eval()


def ready(net, **options):
    usual = {"model": "cpm", "options": {}, "skeleton": COCO, "size": (48, 64)}
    return PoseNetwork(net, preprocessing=UNITS, **usual | options)


@pytest.fixture
def crops():
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, (3, 64, 48, 3), dtype=torch.uint8, generator=generator)


def test_every_stage_is_a_head_without_its_background(crops):
    net = net_of()
    found = ready(net).answers(crops, mirrored=True)
    images = with_centre_map(UNITS.apply(crops), cut=False)
    with torch.inference_mode():
        straight, mirrored = net(images), net(images.flip(-1))
    assert len(found) == 3
    for stage, (one, other) in enumerate(found):
        assert one.shape == (3, 17, 16, 12)
        assert torch.allclose(one, straight[stage][:, :17], atol=1e-5)
        assert torch.allclose(other, mirrored[stage][:, :17], atol=1e-5)


def test_without_background_and_centre_map_all_maps_are_joints(crops):
    net = net_of(background=False, centre_map=False)
    with torch.inference_mode():
        expected = net(UNITS.apply(crops))[-1]
    assert torch.allclose(ready(net).answers(crops, mirrored=False)[-1][0], expected, atol=1e-5)


def test_in_bf16_the_last_layers_stay_in_float32(crops):
    network = ready(net_of(), precision="bf16")
    kinds = {
        name: parameter.dtype
        for name, parameter in network._net.named_parameters()
        if name.endswith("weight")
    }
    wide = [name for name, dtype in kinds.items() if dtype == torch.float32]
    assert wide == [f"{name}.head.weight" for name in net_of().last_layers]
    exact, rough = (n.answers(crops, mirrored=False)[-1][0] for n in (ready(net_of()), network))
    assert 0 < float((exact - rough).abs().max()) < 0.1 * float(exact.abs().max())


def test_the_centre_map_is_the_released_one_at_the_released_size():
    marked = with_centre_map(torch.zeros(2, 3, 368, 368), cut=True)
    middle = torch.tensor([[184.0, 184.0]])
    assert torch.equal(marked[1, 3:], centre_map(middle, (368, 368), sigma=CENTRE_SIGMA)[0])
    assert with_centre_map(torch.zeros(1, 3, 368, 368), cut=False)[0, 3].min() > 0


def test_stages_are_read_and_scored_as_heads():
    people = dotted_people.people(4)
    own = codec("released", sigma=1.0)
    network = ready(net_of())
    found = predict_each(network, people, {str(i): Reading(own, head=i) for i in range(3)})
    last = predict_each(network, people, {"": Reading(own, head=2)})
    assert np.array_equal(found["2"].keypoints, last[""].keypoints)
    assert not np.array_equal(found["0"].keypoints, found["2"].keypoints)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_joints_in_turn(crops, precision):
    net = net_of(background=False)
    network = ready(beliefs.InTurn(net), precision=precision)
    found = [maps for maps, _ in network.answers(crops, mirrored=False)]
    images = with_centre_map(UNITS.apply(crops), cut=False)
    with torch.inference_mode():
        expected = [*net(images)[1:], *without_others(net, images)]
    tolerance = 1e-5 if precision == "fp32" else 0.1 * float(expected[0].abs().max())
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=tolerance)
    assert not torch.allclose(expected[0], expected[2], atol=1e-3)
    readings = beliefs.in_turn(codec("released", sigma=1.0), 3)
    assert {name: (r.head, r.flip) for name, r in readings.items()} == {
        "_together_stage2": (0, False),
        "_together_stage3": (1, False),
        "_alone_stage2": (2, False),
        "_alone_stage3": (3, False),
    }


def test_belief_series_are_the_maps():
    people, own = dotted_people.people(6), codec("released", sigma=1.0)
    joint = COCO.index("left_wrist")
    chosen = beliefs.first_with(people, joint, 3)
    assert chosen == [i for i in range(6) if people.visible[i, joint]][:3]
    network = ready(net_of())
    series = beliefs.belief_series(network, people, chosen, joint, own)
    crops, _ = beliefs.crops_of(people, chosen, (48, 64), own)
    answers = network.answers(crops, mirrored=False)
    assert series.pop("belief_map") == {"x": [12.0], "y": [16.0]}
    assert len(series) == 9
    for stage, (maps, _) in enumerate(answers, 1):
        for row, person in enumerate(chosen):
            curve = series[f"belief_{person}_{joint}_stage{stage}"]
            drawn = torch.zeros(16 * 12)
            drawn[torch.tensor(curve["x"], dtype=torch.long)] = torch.tensor(curve["y"])
            belief = maps[row, joint].flatten()
            faint = beliefs.FAINT * max(float(belief.max()), 0) + 1e-4
            assert torch.allclose(drawn, belief, atol=faint)


class TestFiles:
    def weights(self, path, **options):
        net = models.create("cpm", **SMALL | options)
        about = {"model": "cpm", "options": {**SMALL, **options}}
        about["preprocessing"] = {
            "colour": "BGR",
            "mean": [128 / 255] * 3,
            "std": [256 / 255] * 3,
        }
        save(net, path, record=None, **about)
        return path

    def test_weights_of_a_pose_machine_are_opened(self, tmp_path, crops):
        path = self.weights(tmp_path / "own.safetensors", num_joints=14)
        network = open_network(path, size=(48, 64))
        assert (network.skeleton, network.size) == (LSP, (48, 64))
        assert network.preprocessing.colour == "BGR"
        assert open_network(path).size == (368, 368)
        assert network.answers(crops, mirrored=False)[-1][0].shape == (3, 14, 16, 12)

    def test_sides_and_joints_that_do_not_fit(self, tmp_path):
        path = self.weights(tmp_path / "own.safetensors", num_joints=14)
        with pytest.raises(UserError, match="multiples of 8"):
            open_network(path, size=(50, 64))
        path = self.weights(tmp_path / "nine.safetensors", num_joints=9)
        with pytest.raises(UserError, match="no skeleton has 9 joints"):
            open_network(path)

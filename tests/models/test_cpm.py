"""Convolutional Pose Machines: counts, forms, stages, start, rates, and Caffe's own weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from replab import models
from replab.errors import UserError
from replab.models.counting import catalogue, count_macs, count_parameters
from replab.models.cpm_context import without_others
from replab.models.cpm_weights import from_caffe
from replab.models.folding import fold_batch_norm
from replab.models.identification import identify
from replab.models.learning_rates import parameter_groups
from replab.models.loading import read_checkpoint
from replab.models.preprocessing import BGR_CPM

# Stages: parameters and 10^9 multiply-adds at 368×368 of the released net with 15 maps.
RELEASED = {
    1: (4_386_095, 63.97),
    2: (11_901_406, 134.56),
    3: (16_731_021, 144.78),
    4: (21_560_636, 155.00),
    5: (26_390_251, 165.22),
    6: (31_219_866, 175.44),
}
# A net of every kind of part that runs in milliseconds.
SMALL = {
    "num_joints": 3,
    "stages": 3,
    "tower": (4, 4, 4),
    "tower_kernel": 3,
    "image_kernel": 3,
    "image_width": 5,
    "head_kernel": 3,
    "head_width": 6,
    "stage_kernel": 3,
    "stage_width": 6,
}


def hollow(name, **options):
    with torch.device("meta"):
        return models.create(name, **options)


def small(seed=0, **options):
    torch.manual_seed(seed)
    return models.create("cpm", **SMALL | {"init": "he"} | options)


def shapes(net):
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


class TestCounts:
    @pytest.mark.parametrize("stages", RELEASED)
    def test_released(self, stages):
        net = hollow("cpm", stages=stages)
        assert count_parameters(net) == RELEASED[stages][0]
        assert round(count_macs(net, (4, 368, 368)).total / 1e9, 2) == RELEASED[stages][1]

    def test_flic(self):
        net = hollow("cpm", stages=4, num_joints=9)
        assert count_parameters(net) == 21_323_816
        assert round(count_macs(net, (4, 368, 368)).total / 1e9, 2) == 154.50

    def test_macs_by_hand(self):
        """Every layer of stage 1 by its own map: 368, 184, 92 and 46 px a side."""
        tower = 3 * 128 * 81 * 368**2 + 128 * 128 * 81 * (184**2 + 92**2)
        maps = 128 * 32 * 25 + 32 * 512 * 81 + 512 * 512 + 512 * 15
        assert count_macs(hollow("cpm", stages=1), (4, 368, 368)).total == tower + maps * 46**2

    def test_vgg_by_hand(self):
        conv = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3]
        conv += [(256, 512), (512, 512), (512, 256), *[(256, 256)] * 3, (256, 128)]
        count = sum(a * b * 9 + b for a, b in conv) + 128 * 512 + 512 + 512 * 15 + 15
        stage = 144 * 128 * 49 + 4 * 128 * 128 * 49 + 5 * 128 + 128 * 128 + 128 + 128 * 15 + 15
        assert count_parameters(hollow("cpm_vgg")) == count + 5 * stage

    def test_catalogue(self):
        rows = catalogue(["cpm", "cpm_vgg"])
        counts = {row["options"].get("stages", 6): row["params"] for row in rows[:6]}
        assert counts == {stages: numbers[0] for stages, numbers in RELEASED.items()}
        assert {tuple(row["input"]) for row in rows} == {(4, 368, 368)}
        assert all(row["gflops_paper"] is None for row in rows)


def test_released_layers():
    """Names and shapes as in the released prototxts."""
    found = shapes(hollow("cpm", stages=3))
    expected = {
        "conv1_stage1": (128, 3, 9, 9),
        "conv3_stage1": (128, 128, 9, 9),
        "conv4_stage1": (32, 128, 5, 5),
        "conv5_stage1": (512, 32, 9, 9),
        "conv6_stage1": (512, 512, 1, 1),
        "conv7_stage1": (15, 512, 1, 1),
        "conv4_stage2": (32, 128, 5, 5),
        "Mconv1_stage2": (128, 48, 11, 11),
        "Mconv5_stage2": (15, 128, 1, 1),
        "conv1_stage3": (32, 128, 5, 5),
        "Mconv4_stage3": (128, 128, 1, 1),
    }
    assert {name: found[f"{name}.weight"] for name in expected} == expected
    assert "conv2_stage3.weight" not in found
    assert len(found) == 2 * (7 + 9 + 6)
    vgg = shapes(hollow("cpm_vgg", stages=2))
    assert vgg["conv4_2.weight"] == (512, 512, 3, 3)
    assert vgg["Mconv1_stage2.weight"] == (128, 144, 7, 7)
    assert vgg["Mconv7_stage2.weight"] == (15, 128, 1, 1)
    assert len(vgg) == 2 * (10 + 5 + 2 + 7)


class TestStages:
    @given(
        joints=st.integers(1, 20),
        stages=st.integers(1, 4),
        tower=st.lists(st.integers(1, 3), min_size=1, max_size=3),
        halvings=st.integers(1, 3),
        pool=st.sampled_from([2, 3]),
        shared=st.sampled_from(["tower", "features", "none"]),
        centre=st.booleans(),
        background=st.booleans(),
        sides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    )
    @settings(max_examples=25, deadline=None)
    def test_every_stage_gives_maps(
        self, joints, stages, tower, halvings, pool, shared, centre, background, sides
    ):
        stride = 2 ** min(halvings, len(tower))
        net = models.create(
            "cpm",
            **SMALL
            | {"num_joints": joints, "stages": stages, "tower": tower, "stride": stride}
            | {"pool": pool, "shared": shared, "centre_map": centre, "background": background},
        ).eval()
        height, width = (side * stride for side in sides)
        beliefs = net(torch.rand(2, 3 + centre, height, width))
        assert len(beliefs) == stages == len(net.last_layers)
        assert {tuple(maps.shape) for maps in beliefs} == {(2, joints + background, *sides)}

    def test_released_size(self):
        # The maps of every odd side between poolings too: 368, 184, 92, 46 and 46 from the centre.
        net = models.create("cpm", **SMALL).eval()
        assert net(torch.rand(1, 4, 368, 368))[-1].shape == (1, 4, 46, 46)

    @pytest.mark.parametrize("shared", ["tower", "features", "none"])
    def test_forward_is_the_paper_s_equation(self, shared):
        """Written out layer by layer."""
        net = small(shared=shared).eval()
        x = torch.rand(2, 4, 32, 40)

        def conv(name, maps, relu=True):
            layer = getattr(net, name)
            maps = functional.conv2d(
                maps, layer.weight, layer.bias, padding=1 if layer.kernel_size == (3, 3) else 0
            )
            return maps.relu() if relu else maps

        def tower(stage):
            maps = x[:, :3]
            for number in (1, 2, 3):
                maps = functional.max_pool2d(
                    conv(f"conv{number}_stage{stage}", maps), 3, 2, ceil_mode=True
                )
            return maps

        # The last window of Caffe's mean has eight px a side, since the map ends there.
        padded = functional.pad(x[:, 3:], (0, 1, 0, 1))
        ones = functional.pad(torch.ones_like(x[:, 3:]), (0, 1, 0, 1))
        centre = functional.avg_pool2d(padded, 9, 8) / functional.avg_pool2d(ones, 9, 8)
        beliefs = tower(1)
        for number in (4, 5, 6):
            beliefs = conv(f"conv{number}_stage1", beliefs)
        beliefs = [conv("conv7_stage1", beliefs, relu=False)]
        for stage in (2, 3):
            own = stage == 2 or shared == "none"
            features = (
                "conv4_stage2" if shared == "features" else f"conv{4 if own else 1}_stage{stage}"
            )
            seen = conv(features, tower(stage if own else 2))
            maps = torch.cat((seen, beliefs[-1], centre), 1)
            for number in (1, 2, 3, 4):
                maps = conv(f"Mconv{number}_stage{stage}", maps)
            beliefs.append(conv(f"Mconv5_stage{stage}", maps, relu=False))
        for got, expected in zip(net(x), beliefs, strict=True):
            assert expected.std() > 1e-3
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)

    def test_vgg_joins_beliefs_features_and_centre(self):
        net = models.create("cpm_vgg", num_joints=2, stages=2).eval()
        seen = []
        net.Mconv1_stage2.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        with torch.no_grad():
            first, second = net(torch.rand(1, 4, 32, 24))
        assert first.shape == second.shape == (1, 3, 4, 3)
        assert seen[0].shape == (1, 3 + 128 + 1, 4, 3)
        assert torch.equal(seen[0][:, :3], first)
        assert (seen[0][:, 3:131] >= 0).all()

    def test_the_centre_map_reaches_the_later_stages_alone(self):
        net = small().eval()
        x = torch.rand(1, 4, 32, 32)
        moved = x.clone()
        moved[:, 3] = 1 - moved[:, 3]
        before, after = net(x), net(moved)
        assert torch.equal(before[0], after[0])
        assert not torch.allclose(before[1], after[1])

    def test_supervision_decides_what_reaches_stage_1(self):
        """The last stage's loss reaches all of it, the sum of all losses more of it."""
        net = small().eval()
        beliefs = net(torch.rand(2, 4, 32, 32))
        first = net.conv1_stage1.weight
        alone, both = (
            torch.autograd.grad(loss, first, retain_graph=True)[0]
            for loss in (
                beliefs[-1].square().sum(),
                sum(maps.square().sum() for maps in beliefs),
            )
        )
        assert alone.any()
        assert both.std() > alone.std()

    def test_dropout_in_training_only(self):
        net, x = small(), torch.rand(1, 4, 32, 32)
        assert torch.equal(net.eval()(x)[0], net(x)[0])
        net.train()
        assert not torch.equal(net(x)[0], net(x)[0])
        still = small(dropout=0.0).train()
        assert torch.equal(still(x)[0], still(x)[0])

    def test_bf16_with_last_layers_in_float(self):
        class InFloat(nn.Module):
            def __init__(self, layer):
                super().__init__()
                self.layer = layer

            def forward(self, x):
                return self.layer(x.float())

        net, x = small().eval(), torch.rand(1, 4, 32, 32)
        expected = net(x)
        coarse = small().eval().bfloat16()
        for name in coarse.last_layers:
            setattr(coarse, name, InFloat(getattr(coarse, name).float()))
        for got, whole in zip(coarse(x.bfloat16()), expected, strict=True):
            assert got.dtype == torch.float32
            assert (got - whole).abs().max() < 0.05 * whole.abs().max()

    def test_folding_leaves_it_alone(self):
        net, x = small().eval(), torch.rand(1, 4, 32, 32)
        for got, expected in zip(fold_batch_norm(net)(x), net(x), strict=True):
            torch.testing.assert_close(got, expected)

    def test_layers_of_a_stage(self):
        net = hollow("cpm", stages=3)
        assert net.convolutions(1) == [f"conv{number}_stage1" for number in range(1, 8)]
        tower = [f"conv{number}_stage2" for number in (1, 2, 3)]
        mixed = [f"Mconv{number}_stage3" for number in range(1, 6)]
        assert net.convolutions(3) == [*tower, "conv1_stage3", *mixed]


class TestContext:
    def test_each_map_alone(self):
        net = small().eval()
        x = torch.rand(2, 4, 32, 24)
        images, centre = net.split(x)
        beliefs, features = net.begin(images)
        found = without_others(net, x)
        assert [maps.shape for maps in found] == [beliefs.shape] * 2
        for stage, seen in enumerate(features, 2):
            for number in range(4):
                hidden = torch.zeros_like(beliefs)
                hidden[:, number] = beliefs[:, number]
                alone = net.refine(stage, seen, hidden, centre)[:, number]
                torch.testing.assert_close(found[stage - 2][:, number], alone)
            beliefs = net.refine(stage, seen, beliefs, centre)
        assert not torch.allclose(found[-1], beliefs, rtol=1e-3)


class TestStart:
    def test_released_filler(self):
        torch.manual_seed(0)
        net = models.create("cpm", **SMALL | {"tower": (32, 32, 32), "head_width": 64})
        weights = torch.cat(
            [m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d)]
        )
        # Five standard errors of a mean and of a standard deviation.
        assert abs(weights.mean()) < 5 * 0.01 / len(weights) ** 0.5
        assert abs(weights.std() / 0.01 - 1) < 5 / (2 * len(weights)) ** 0.5
        assert not any(p.any() for name, p in net.named_parameters() if name.endswith("bias"))

    def test_last_layers_of_their_own(self):
        net = models.create(
            "cpm", **SMALL | {"head_width": 200, "stage_width": 200}, init="he", last_std=0.001
        )
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d):
                fan = module.weight[0].numel()
                expected = 0.001 if name in net.last_layers else (2 / fan) ** 0.5
                assert abs(module.weight.std() / expected - 1) < 5 / module.weight.numel() ** 0.5


class TestRates:
    def test_released_multipliers(self):
        net = small()
        groups = parameter_groups(net, lr=8e-5, weight_decay=5e-4)
        names = {id(parameter): name for name, parameter in net.named_parameters()}
        found = {
            names[id(parameter)]: (group["lr"], group["weight_decay"], group["lr_multiplier"])
            for group in groups
            for parameter in group["params"]
        }
        assert set(found) == set(names.values())
        assert found["conv1_stage1.weight"] == pytest.approx((4e-4, 5e-4, 5))
        assert found["conv7_stage1.bias"] == pytest.approx((8e-4, 0, 10))
        assert found["conv1_stage2.weight"] == pytest.approx((8e-5, 5e-4, 1))
        assert found["Mconv5_stage3.bias"] == pytest.approx((1.6e-4, 0, 2))

    def test_an_optimiser_takes_and_keeps_them(self):
        net = small()
        optimiser = torch.optim.SGD(parameter_groups(net, lr=0.1, weight_decay=0.5), momentum=0.9)
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
        for name, rate, decay in (
            ("conv1_stage1.weight", 0.5, 0.5),
            ("conv1_stage1.bias", 1.0, 0.0),
            ("Mconv1_stage2.weight", 0.1, 0.5),
            ("Mconv1_stage2.bias", 0.2, 0.0),
        ):
            moved = net.get_parameter(name) - before[name]
            torch.testing.assert_close(moved, -rate * (1 + decay * before[name]))
        state = optimiser.state_dict()
        again = torch.optim.SGD(parameter_groups(net, lr=1.0, weight_decay=0), momentum=0.9)
        again.load_state_dict(state)
        assert sorted(group["lr_multiplier"] for group in again.param_groups) == [1, 2, 5, 10]

    def test_other_networks_are_refused(self):
        with pytest.raises(TypeError, match="VGGPoseMachine"):
            parameter_groups(hollow("cpm_vgg", stages=1), lr=1, weight_decay=0)


def caffe_blobs(net):
    """The layers of a network as Caffe has them, in NumPy, those without weights among them."""
    blobs = {"image": [], "pool_center_lower": []}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            blobs[name] = [module.weight.detach().numpy(), module.bias.detach().numpy()]
    return blobs


class TestCaffe:
    def test_blobs_load_strictly(self):
        net = small(1)
        blobs = caffe_blobs(net)
        # Old files give every blob four axes.
        blobs["conv1_stage1"][1] = blobs["conv1_stage1"][1].reshape(1, 1, 1, -1)
        state = from_caffe(blobs)
        assert set(state) == set(net.state_dict())
        again = small(2)
        again.load_state_dict(state, strict=True)
        x = torch.rand(1, 4, 16, 16)
        for got, expected in zip(again.eval()(x), net.eval()(x), strict=True):
            assert torch.equal(got, expected)

    @pytest.mark.parametrize("places", [("0", "1"), ("weight", "bias")])
    @pytest.mark.parametrize(
        ("name", "options"), [("cpm", SMALL), ("cpm_vgg", {"stages": 1, "num_joints": 2})]
    )
    def test_converted_files(self, tmp_path, name, options, places):
        net = models.create(name, **options)
        path = tmp_path / "pose_iter_1.pth"
        torch.save(
            {
                f"{layer}.{place}": torch.from_numpy(array)
                for layer, blobs in caffe_blobs(net).items()
                for place, array in zip(places, blobs, strict=False)
            },
            path,
        )
        checkpoint = read_checkpoint(path)
        assert checkpoint.layout == ("caffe" if places == ("0", "1") else "released")
        found = identify(checkpoint, path)
        assert (found.model, found.preprocessing) == (name, dict(BGR_CPM))
        loaded = models.load(models.create(found.model, **found.options), checkpoint)
        for key, tensor in net.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], tensor)

    @pytest.mark.parametrize(
        ("layer", "blobs", "words"),
        [
            ("fc6", [np.zeros((2, 2)), np.zeros(2)], "'fc6' is of no CPM"),
            ("conv1_stage1", [np.zeros((2, 3, 9, 9))], "1 blobs, not 2"),
            ("conv1_stage1", [np.zeros((2, 3)), np.zeros(2)], "2×3 and 2"),
            ("conv1_stage1", [np.zeros((2, 3, 9, 9)), np.zeros(3)], "2×3×9×9 and 3"),
        ],
    )
    def test_other_layers_are_named(self, layer, blobs, words):
        with pytest.raises(UserError) as error:
            from_caffe({layer: blobs})
        assert words in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 4, 36, 32), (1, 4, 32, 30)])
def test_inputs_that_do_not_fit_are_named(shape):
    with pytest.raises(UserError) as error:
        small()(torch.zeros(shape))
    message = str(error.value)
    assert "×".join(map(str, shape[1:])) in message
    assert "4 channels (with centre map)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("cpm", {"stages": 0}, ["stages=0"]),
        ("cpm", {"stages": True}, ["stages=True"]),
        ("cpm", {"num_joints": 1.5}, ["num_joints=1.5"]),
        ("cpm", {"tower": 128}, ["tower=128", "(128, 128, 128)"]),
        ("cpm", {"tower": ()}, ["tower=()"]),
        ("cpm", {"tower": (8, 0)}, ["tower=0"]),
        ("cpm", {"stride": 16}, ["stride=16", "2, 4, 8"]),
        ("cpm", {"stride": 3}, ["stride=3"]),
        ("cpm", {"stride": 1}, ["stride=1"]),
        ("cpm", {"tower_kernel": 4}, ["tower_kernel=4", "odd"]),
        ("cpm", {"stage_kernel": 0}, ["stage_kernel=0"]),
        ("cpm", {"pool": 4}, ["pool=4", "2 or 3"]),
        ("cpm", {"shared": "all"}, ["'all'", "'tower', 'features', 'none'"]),
        ("cpm", {"centre_map": 1}, ["centre_map=1"]),
        ("cpm", {"dropout": 1.0}, ["dropout=1.0"]),
        ("cpm", {"init": "gaussian"}, ["'gaussian'", "'he', 'xavier', 'constant'"]),
        ("cpm", {"last_std": -1}, ["last_std=-1"]),
        ("cpm_vgg", {"tower": (1,)}, ["no option tower", "stages=6"]),
        ("cpm_vgg", {"stages": "6"}, ["stages='6'"]),
    ],
)
def test_mistakes_are_named(name, options, parts):
    with pytest.raises(UserError) as error:
        models.create(name, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message

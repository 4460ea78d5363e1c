"""HRNet and SimpleBaseline: counts, forms, exchanges, start; parity itself is in tests/golden."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replab import models
from replab.errors import UserError
from replab.models.counting import count_macs, count_parameters
from replab.models.folding import fold_batch_norm
from replab.models.hrnet import ExchangeBlock, Fusion, _path
from replab.models.pose_resnet import PoseResNet

# Net, options, parameters, image, multiply-adds as done and in the authors' convention (2^30).
COUNTS = [
    ("pose_hrnet_w32", {}, 28_536_113, (256, 192), 7_645_003_776, 7.120),
    ("pose_hrnet_w32", {}, 28_536_113, (384, 288), 17_201_258_496, 16.020),
    ("pose_hrnet_w32", {"num_joints": 16}, 28_536_080, (256, 256), 10_193_207_296, 9.493),
    ("pose_hrnet_w48", {}, 63_595_745, (256, 192), 15_691_825_152, 14.614),
    ("pose_hrnet_w48", {"num_joints": 16}, 63_595_696, (256, 256), 20_921_974_784, 19.485),
    ("pose_resnet50", {}, 33_999_697, (256, 192), 5_426_380_800, 8.991),
    ("pose_resnet50", {"deconv_layers": 2}, 32_950_609, (256, 192), 4_611_000_000, 5.982),
    ("pose_resnet50", {"deconv_kernel": 2}, 26_135_377, (256, 192), 4_369_000_000, 5.054),
    ("pose_resnet50", {"deconv_kernel": 3}, 29_412_177, (256, 192), 4_810_000_000, 6.694),
    ("pose_resnet50", {"num_joints": 16}, 33_999_440, (256, 256), 7_234_000_000, 11.987),
    ("pose_resnet101", {}, 52_991_825, (256, 192), 9_063_000_000, 12.378),
    ("pose_resnet152", {}, 68_635_473, (256, 192), 12_699_000_000, 15.765),
    ("pose_resnet152", {}, 68_635_473, (384, 288), 28_573_000_000, 35.470),
]
# A net of every kind of part that runs in milliseconds.
SMALL = {"stem": 4, "bottlenecks": 1, "modules": (1, 2, 2), "blocks": 1}


def hollow(name, **options):
    with torch.device("meta"):
        return models.create(name, **options)


def small(**options):
    torch.manual_seed(0)
    return models.create("pose_hrnet_w2", **SMALL, **options)


@pytest.mark.parametrize(
    ("name", "options", "params", "image", "macs", "gflops"),
    COUNTS,
    ids=[f"{row[0]}-{row[1]}-{row[3][0]}" for row in COUNTS],
)
def test_counts(name, options, params, image, macs, gflops):
    net = hollow(name, **options)
    counted = count_macs(net, (3, *image))
    assert count_parameters(net) == params
    # Some rows are known to a million only.
    assert counted.total == pytest.approx(macs, abs=5e5)
    assert round(counted.gflops_paper, 3) == gflops


@given(
    width=st.integers(1, 6),
    joints=st.integers(1, 20),
    head=st.sampled_from(["1x", "2x", "4x", "8x"]),
    exchange=st.sampled_from(["all", "across", "end"]),
    branches=st.sampled_from(["gradual", "four"]),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
)
@settings(max_examples=12, deadline=None)
def test_heat_maps_have_the_resolution_of_their_branch(
    width, joints, head, exchange, branches, rows, columns
):
    net = models.create(
        f"pose_hrnet_w{width}",
        num_joints=joints,
        head=head,
        exchange=exchange,
        branches=branches,
        **SMALL,
    ).eval()
    with torch.no_grad():
        heatmaps = net(torch.randn(1, 3, 32 * rows, 32 * columns))
    stride = 4 * int(head[0])
    assert heatmaps.shape == (1, joints, 32 * rows // stride, 32 * columns // stride)


def exchanges(net):
    """How many branches each exchange block writes to, stage by stage."""
    return [[len(block.outputs) for block in getattr(net, f"stage{i}")] for i in (2, 3, 4)]


@pytest.mark.parametrize(
    ("exchange", "branches", "expected", "fusions"),
    [
        ("all", "gradual", [[2], [3, 3, 3, 3], [4, 4, 1]], 8),
        ("across", "gradual", [[2], [0, 0, 0, 3], [0, 0, 1]], 3),
        ("end", "gradual", [[0], [0, 0, 0, 0], [0, 0, 1]], 1),
        ("all", "four", [[4], [4, 4, 4, 4], [4, 4, 1]], 8),
    ],
)
def test_fusions_of_table_6(exchange, branches, expected, fusions):
    net = hollow("pose_hrnet_w32", exchange=exchange, branches=branches)
    assert exchanges(net) == expected
    assert sum(count > 0 for stage in expected for count in stage) == fusions
    released = hollow("pose_hrnet_w32").state_dict()
    here = net.state_dict()
    if branches == "gradual":
        # The forms differ in their exchanges alone: the other layers carry the released names.
        left_out = [name for name in released if name not in here]
        assert set(here) <= set(released)
        assert bool(left_out) == (exchange != "all")
        assert all(".fuse_layers." in name for name in left_out)
        assert all(here[name].shape == released[name].shape for name in here)


def test_four_branches_keep_the_depth_and_cost_more():
    gradual, four = hollow("pose_hrnet_w32"), hollow("pose_hrnet_w32", branches="four")
    for stage in ("stage2", "stage3", "stage4"):
        assert all(len(block.branches) == 4 for block in getattr(four, stage))
        assert len(getattr(four, stage)) == len(getattr(gradual, stage))
    assert count_parameters(four) == 58_906_097
    # The paper's variant has "similar" parameters, which takes a narrower net.
    assert count_parameters(hollow("pose_hrnet_w22", branches="four")) == 29_203_667


def test_an_exchange_equals_its_definition():
    torch.manual_seed(0)
    widths = [2, 3, 5]
    block = ExchangeBlock(widths, blocks=1, outputs=(0, 1, 2)).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    maps = [torch.randn(2, width, 16 >> i, 8 >> i) for i, width in enumerate(widths)]
    with torch.no_grad():
        got = block(maps)
        inner = [branch(x) for branch, x in zip(block.branches, maps, strict=True)]

        def down(i, j, k, x):
            conv, norm = block.fuse_layers[i][j][k][:2]
            assert conv.stride == (2, 2)
            return norm(conv(x))

        def up(i, j, x):
            conv, norm = block.fuse_layers[i][j][:2]
            times = 2 ** (j - i)
            return norm(conv(x)).repeat_interleave(times, 2).repeat_interleave(times, 3)

        two_down = down(2, 0, 1, down(2, 0, 0, inner[0]).relu())
        expected = [
            inner[0] + up(0, 1, inner[1]) + up(0, 2, inner[2]),
            down(1, 0, 0, inner[0]) + inner[1] + up(1, 2, inner[2]),
            two_down + down(2, 1, 0, inner[1]) + inner[2],
        ]
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs.relu(), atol=1e-6)
        assert (theirs < 0).any()


def test_without_an_exchange_branches_do_not_meet():
    block = ExchangeBlock([2, 4], blocks=1, outputs=()).eval()
    maps = [torch.randn(1, 2, 8, 8), torch.randn(1, 4, 4, 4)]
    with torch.no_grad():
        before = block(maps)
        after = block([maps[0], torch.randn(1, 4, 4, 4)])
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])
    assert not block.fuse_layers[0]


def test_fusion_needs_a_map_for_every_branch():
    fusion = Fusion([_path([2, 4], source, 0) for source in (0, 1)])
    with pytest.raises(ValueError, match="zip"):
        fusion([torch.zeros(1, 2, 4, 4)])


def test_each_head_is_trained():
    net = small(head="each", num_joints=3)
    heatmaps = net(torch.randn(2, 3, 64, 32))
    assert [tuple(x.shape) for x in heatmaps] == [(2, 3, 16 >> i, 8 >> i) for i in range(4)]
    sum(x.square().sum() for x in heatmaps).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exchange": "across"},
        {"exchange": "end"},
        {"branches": "four"},
        {"head": "2x"},
        {"head": "4x"},
        {"head": "8x", "exchange": "end"},
    ],
    ids=str,
)
def test_gradients_reach_every_parameter_of_hrnet(options):
    net = small(**options)
    net(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_gradients_reach_every_parameter_of_simple_baseline():
    net = models.create("pose_resnet50", deconv_layers=1, deconv_kernel=2)
    heatmaps = net(torch.randn(2, 3, 64, 64))
    assert heatmaps.shape == (2, 17, 4, 4)
    heatmaps.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_each_deconvolution_doubles_the_map(kernel):
    layers = PoseResNet._deconvolutions(3, kernel, 2048, 256)
    sizes = []
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        layers.eval()(torch.zeros(0, 2048, 3, 2))
    assert sizes == [(256, 6, 4), (256, 12, 8), (256, 24, 16)]


@pytest.mark.parametrize("name", ["pose_hrnet_w16", "pose_resnet50"])
def test_released_start(name):
    torch.manual_seed(0)
    net = models.create(name)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            count = module.weight.numel()
            # Five standard errors of a mean and of a standard deviation.
            assert abs(module.weight.mean()) < 5 * 0.001 / count**0.5
            assert abs(module.weight.std() / 0.001 - 1) < 5 / (2 * count) ** 0.5
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)
            assert (module.weight == 1).all()
            assert not module.bias.any()
    biased = [name for name, m in net.named_modules() if getattr(m, "bias", None) is not None]
    assert [name for name in biased if isinstance(net.get_submodule(name), nn.Conv2d)] == [
        "final_layer"
    ]


@pytest.mark.parametrize("make", [small, lambda: models.create("pose_resnet50").eval()])
def test_folding_keeps_the_heat_maps(make):
    net = make().eval()
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(
                module.weight, 0, (1.5 / module.weight[0].numel()) ** 0.5, generator=generator
            )
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1, generator=generator)
            nn.init.uniform_(module.running_var, 0.8, 1.25, generator=generator)
    images = torch.randn(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        expected, got = net(images), fold_batch_norm(net)(images)
    assert expected.abs().max() > 0.01
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("shape", [(64, 48), (33, 32), (16, 32)])
def test_images_that_do_not_fit_are_named(shape):
    with pytest.raises(UserError) as error:
        small()(torch.zeros(1, 3, *shape))
    message = str(error.value)
    assert f"{shape[0]}×{shape[1]}" in message
    assert "multiples of 32" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("pose_hrnet_w32", {"exchange": "within"}, ["'within'", "'all', 'across', 'end'"]),
        ("pose_hrnet_w32", {"head": "3x"}, ["'3x'", "'1x', '2x', '4x', '8x', 'each'"]),
        ("pose_hrnet_w32", {"branches": 4}, ["branches=4", "'gradual', 'four'"]),
        ("pose_hrnet_w32", {"num_joints": 0}, ["num_joints=0"]),
        ("pose_hrnet_w32", {"stem": 1.5}, ["stem=1.5"]),
        ("pose_hrnet_w32", {"modules": (1, 4)}, ["modules=(1, 4)", "(1, 4, 3)"]),
        ("pose_hrnet_w32", {"modules": 3}, ["modules=3", "(1, 4, 3)"]),
        ("pose_hrnet_w32", {"modules": "143"}, ["modules='143'"]),
        ("pose_hrnet_w32", {"modules": (1, 0, 3)}, ["modules=0"]),
        ("pose_hrnet_w32", {"num_classes": 3}, ["no option num_classes", "num_joints=17"]),
        ("pose_hrnet_w0", {}, ["'pose_hrnet_w0'", "pose_hrnet_w{C}"]),
        ("pose_hrnet", {}, ["'pose_hrnet'", "pose_hrnet_w32"]),
        ("pose_resnet20", {}, ["'pose_resnet20'", "pose_resnet{10,18,34,50,101,152}"]),
        ("pose_resnet50", {"deconv_layers": 4}, ["deconv_layers=4", "1, 2, 3"]),
        ("pose_resnet50", {"deconv_layers": True}, ["deconv_layers=True"]),
        ("pose_resnet50", {"deconv_kernel": 5}, ["deconv_kernel=5", "2, 3, 4"]),
        ("pose_resnet50", {"num_joints": "17"}, ["num_joints='17'"]),
    ],
)
def test_mistakes_are_named(name, options, parts):
    with pytest.raises(UserError) as error:
        models.create(name, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("layers", "shape", "maps"),
    [
        (3, (64, 48), (16, 12)),
        (2, (64, 48), (8, 6)),
        (3, (72, 100), (18, 25)),
        (1, (33, 32), (3, 2)),
    ],
)
def test_maps_of_a_pose_resnet_are_cut_to_the_image(layers, shape, maps):
    net = models.create(
        "pose_resnet10", width=8, deconv_channels=8, deconv_layers=layers, num_joints=5
    ).eval()
    with torch.no_grad():
        found = net(torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(1)))
    assert found.shape == (1, 5, *maps)
    assert found.std() > 0

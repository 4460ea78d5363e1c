"""Receptive fields: arithmetic and gradient agree, on made chains and on our networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replab import models
from replab.models.cpm_context import belief_field, stage_fields
from replab.models.receptive_fields import (
    ReceptiveField,
    Window,
    by_arithmetic,
    by_gradient,
    of_chain,
    windows,
)

# As released but one channel wide: how far a net sees does not depend on its widths.
NARROW = {"num_joints": 1, "tower": (1, 1, 1), "image_width": 1, "head_width": 1, "stage_width": 1}


def narrow(**options):
    torch.manual_seed(0)
    return models.create("cpm", **NARROW | options)


@st.composite
def layers(draw):
    kernel = draw(st.integers(1, 5))
    stride = draw(st.integers(1, min(3, kernel)))
    padding = draw(st.integers(0, kernel // 2))
    kind = draw(st.sampled_from(["conv", "max", "mean"]))
    dilation = draw(st.integers(1, 2)) if kind == "conv" else 1
    return kind, Window(kernel, stride, padding, dilation)


def module(kind, window):
    kernel, stride, padding = window.kernel, window.stride, window.padding
    if kind == "conv":
        return nn.Conv2d(1, 1, kernel, stride, padding, window.dilation)
    pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
    return pool(kernel, stride, padding, ceil_mode=True)


@given(chain=st.lists(layers(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_arithmetic_and_gradient_agree_on_any_chain(chain):
    net = nn.Sequential(*(m for entry in chain for m in (module(*entry), nn.ReLU())))
    expected = of_chain(window for _, window in chain)
    layer = str(2 * len(chain) - 2)
    assert windows(net, layer) == [window for _, window in chain]
    assert by_arithmetic(net, layer) == expected
    # Room for the fields of two units in the middle, wherever paddings have moved them.
    side = 2 * (expected.size + 4 * expected.step - 2 * expected.start)
    assert by_gradient(net, layer, (1, side, side)) == expected


@given(chain=st.lists(layers(), max_size=5), more=layers())
def test_a_longer_chain_sees_more(chain, more):
    before = of_chain(window for _, window in chain)
    after = of_chain(window for _, window in [*chain, more])
    assert after.size - before.size == (more[1].reach - 1) * before.step
    assert after.step == before.step * more[1].stride
    first, last = before.extent(3)
    assert last - first + 1 == before.size
    assert before.extent(4)[0] - first == before.step


def test_of_nothing_a_px_sees_itself():
    assert of_chain([]) == ReceptiveField(1, 1, 0)


class TestPoseMachines:
    def test_the_paper_s_accounting(self):
        """Section 3.2: 160×160 px, 31×31 of the maps, 400×400 px."""
        fields = stage_fields(narrow(stages=3, pool=2))
        assert [field.size for field in fields] == [160, 160 + 30 * 8, 400 + 30 * 8]
        assert {(field.step, field.centre) for field in fields} == {(8, 3.5)}
        assert belief_field(narrow(stages=2)) == ReceptiveField(31, 1, -15)

    def test_as_released(self):
        """Each pooling of 3×3 px sees one px more: 1, 2 and 4 px of the input."""
        fields = stage_fields(narrow(stages=3, pool=3))
        assert [field.size for field in fields] == [160 + 1 + 2 + 4, 407, 647]
        # Its field lies half a map px beside the place that the labels are drawn for.
        assert {field.centre for field in fields} == {7.0}

    @pytest.mark.parametrize(("pool", "stages"), [(2, 1), (3, 2)])
    def test_gradient_of_the_released_form(self, pool, stages):
        net = narrow(stages=stages, pool=pool)
        name, field = net.last_layers[-1], stage_fields(net)[-1]
        side = field.size // 8 * 8 + 48
        assert by_gradient(net, name, (4, side, side)) == field

    @given(
        tower=st.integers(1, 3),
        kernels=st.tuples(*[st.sampled_from([1, 3, 5])] * 4),
        pool=st.sampled_from([2, 3]),
        shared=st.sampled_from(["tower", "features", "none"]),
        stage_layers=st.integers(1, 2),
    )
    @settings(max_examples=6, deadline=None)
    def test_gradient_of_other_forms(self, tower, kernels, pool, shared, stage_layers):
        options = ("tower_kernel", "image_kernel", "head_kernel", "stage_kernel")
        net = narrow(
            stages=3,
            tower=(1,) * tower,
            stride=2**tower,
            pool=pool,
            shared=shared,
            stage_layers=stage_layers,
            centre_map=False,
            **dict(zip(options, kernels, strict=True)),
        )
        side = 32 * (2 * stage_fields(net)[-1].size // 32 + 2)
        for name in net.last_layers:
            assert by_gradient(net, name, (3, side, side)) == by_arithmetic(net, name)

    def test_the_centre_map_is_within(self):
        """The fourth channel's window, 9×9 px every 8, lies within the beliefs' field."""
        net = narrow(stages=2, tower_kernel=3, image_kernel=3, head_kernel=3, stage_kernel=3)
        last = net.last_layers[-1]
        assert by_gradient(net, last, (4, 256, 256)) == by_arithmetic(net, last)

    def test_inner_layers_and_the_vgg_variant(self):
        net = narrow(stages=2)
        assert by_arithmetic(net, "conv1_stage2") == ReceptiveField(9, 1, -4)
        assert by_arithmetic(net, "pool1_stage1") == ReceptiveField(11, 2, -4)
        with torch.device("meta"):
            vgg = models.create("cpm_vgg", stages=2)
        # Of VGG-19 to conv4_2: 2·2·1 + 1, 2·2·2 + 2, 4·2·4 + 4 and 2·2·8; five more of 3×3.
        assert [f.size for f in stage_fields(vgg)] == [164, 164 + 5 * 6 * 8]

    def test_what_does_not_exist(self):
        net = narrow(stages=2)
        with pytest.raises(ValueError, match="no layer 'conv9_stage1'"):
            by_arithmetic(net, "conv9_stage1")
        for stage in (1, 3):
            with pytest.raises(ValueError, match="sees no beliefs"):
                belief_field(net, stage)


class TestResidualNets:
    @pytest.mark.parametrize(
        ("name", "layer", "side"),
        [
            ("cifar_resnet8", "layer3", 128),
            ("cifar_plain8", "layer2.0.conv1", 64),
            ("resnet18", "layer2", 160),
            ("plain18", "layer1", 96),
        ],
    )
    def test_gradient(self, name, layer, side):
        net = models.create(name)
        assert by_gradient(net, layer, (3, side, side)) == by_arithmetic(net, layer)

    @pytest.mark.parametrize(
        ("name", "layer", "size"),
        [
            # 7 px and a pooling's 2·2; then 3×3 layers 4, 8, 16 and 32 px apart, of which the
            # first of a stage is on the finer map of the stage before.
            ("resnet50", "layer4", 11 + 3 * 8 + (8 + 3 * 16) + (16 + 5 * 32) + (32 + 2 * 64)),
            ("resnet101", "layer3", 11 + 3 * 8 + (8 + 3 * 16) + (16 + 22 * 32)),
            ("cifar_resnet20", "layer3", 3 + 6 * 2 + (2 + 5 * 4) + (4 + 5 * 8)),
            # 2, 2, 3, 3 and 3 layers on maps of 1 to 16 px, and the poolings between them.
            ("vgg16", "features", 1 + 4 + 1 + 8 + 2 + 24 + 4 + 48 + 8 + 96 + 16),
        ],
    )
    def test_by_hand(self, name, layer, size):
        with torch.device("meta"):
            net = models.create(name)
        assert by_arithmetic(net, layer).size == size


class TestRefusals:
    def test_fields_that_do_not_fit(self):
        net = nn.Sequential(nn.Conv2d(1, 1, 9, padding=4))
        with pytest.raises(ValueError, match="do not fit into 8×8 px"):
            by_gradient(net, "0", (1, 8, 8))

    def test_axes_that_differ(self):
        net = nn.Sequential(nn.Conv2d(1, 1, (3, 5)))
        with pytest.raises(ValueError, match="not alike along both axes"):
            by_arithmetic(net, "0")
        with pytest.raises(ValueError, match="down and"):
            by_gradient(net, "0", (1, 32, 32))

    def test_layers_that_enlarge(self):
        net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, 4, 2))
        with pytest.raises(ValueError, match="enlarges"):
            by_arithmetic(net, "1")

    def test_shortcuts(self):
        with pytest.raises(ValueError, match="no module on the longest path"):
            by_arithmetic(models.create("resnet18"), "layer2.0.downsample.0")

    def test_nets_that_are_too_deep(self):
        net = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(330)))
        with pytest.raises(ValueError, match="too deep"):
            by_gradient(net, "329", (1, 16, 16))
        assert by_arithmetic(net, "329").size == 661

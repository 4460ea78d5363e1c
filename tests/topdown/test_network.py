"""A network made ready gives the heatmaps of the plain one, and says what it is."""

import numpy as np
import pytest
import torch

from replab.errors import UserError
from replab.keypoints.affine import normalise
from replab.keypoints.flips import flip_average
from replab.keypoints.skeletons import COCO
from replab.models import create, load
from replab.models.preprocessing import BGR_IMAGENET, RGB_IMAGENET
from replab.models.saving import save
from replab.topdown.network import PoseNetwork, Preprocessing, open_network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {"stem": 16, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}


@pytest.fixture(scope="module")
def crops():
    generator = np.random.default_rng(3)
    return torch.from_numpy(generator.integers(0, 256, (3, 256, 192, 3), dtype=np.uint8))


@pytest.mark.parametrize("shift", [None, 0, 1, 2])
def test_one_forward_gives_what_two_give(small_hrnet, crops, shift):
    net = load(create("pose_hrnet_w16", **SMALL), small_hrnet).eval()
    images = normalise(crops.permute(0, 3, 1, 2), MEAN, STD)
    with torch.no_grad():
        straight, mirrored = net(images), net(images.flip(3))
    expected = straight
    if shift is not None:
        expected = flip_average(straight, mirrored, COCO.mirror, shift=shift)
    found = open_network(small_hrnet).heatmaps(crops, shift)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_bf16_moves_heatmaps_by_little_and_few_joints(small_hrnet, crops):
    exact = open_network(small_hrnet).heatmaps(crops)
    found = open_network(small_hrnet, precision="bf16").heatmaps(crops)
    assert found.dtype == torch.float32
    apart = (found - exact).abs().max() / exact.abs().max()
    assert 0 < apart < 0.05
    same = found.flatten(2).argmax(2) == exact.flatten(2).argmax(2)
    assert same.float().mean() > 0.5
    # The last layer is in float32: its heatmaps take more values than bfloat16 has.
    assert len(found[0, 0].unique()) > 256


def test_colour_order_is_the_weights_own_and_another_one_is_noted(small_hrnet, crops):
    usual = open_network(small_hrnet)
    assert usual.preprocessing == Preprocessing.of(RGB_IMAGENET)
    assert usual.warnings == ()
    swapped = open_network(small_hrnet, colour="BGR")
    (warning,) = swapped.warnings
    assert "expect RGB (were published so); BGR was asked for" in warning
    assert torch.equal(swapped.heatmaps(crops), usual.heatmaps(crops.flip(3)))
    assert not torch.equal(swapped.heatmaps(crops), usual.heatmaps(crops))


def test_released_simple_baseline_weights_take_bgr(tmp_path):
    path = tmp_path / "pose_resnet_50_256x192.pth.tar"
    torch.save(create("pose_resnet50", deconv_layers=1).state_dict(), path)
    assert open_network(path).preprocessing == Preprocessing.of(BGR_IMAGENET)


def own_weights(path, **preprocessing):
    save(
        *(create("pose_hrnet_w8", num_joints=14, **SMALL), path),
        model="pose_hrnet_w8",
        options={"num_joints": 14} | SMALL,
        preprocessing=dict(RGB_IMAGENET) | preprocessing,
        record=None,
    )
    return path


def test_our_own_weights_bring_their_size(tmp_path):
    network = open_network(own_weights(tmp_path / "net.safetensors", size=[96, 128]))
    assert (network.size, network.skeleton.name, network.joints) == ((96, 128), "lsp", 14)
    assert network.heatmaps(torch.zeros(1, 128, 96, 3, dtype=torch.uint8)).shape == (1, 14, 32, 24)


def test_the_size_asked_for_wins(small_hrnet):
    assert open_network(small_hrnet, size=(288, 384)).size == (288, 384)


def test_a_pose_machine_answers_by_its_last_stage(tmp_path):
    options = {
        "num_joints": 14,
        "stages": 3,
        "tower": [4, 4, 4],
        "image_width": 4,
        "head_width": 4,
        "stage_width": 4,
        "background": False,
    }
    path = tmp_path / "machine.safetensors"
    save(
        *(create("cpm", **options), path),
        model="cpm",
        options=options,
        preprocessing=dict(RGB_IMAGENET) | {"size": [64, 64]},
        record=None,
    )
    network = open_network(path)
    crops = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    stages = [straight for straight, _ in network.answers(crops, mirrored=False)]
    assert (network.head, len(stages)) == (2, 3)
    assert torch.equal(network.heatmaps(crops, None), stages[2])
    assert not torch.equal(stages[2], stages[0])


class TestMistakes:
    def test_crops_of_another_size(self, small_hrnet):
        network = open_network(small_hrnet)
        with pytest.raises(UserError, match="takes crops of 256×192×3 px, not 128×96×3"):
            network.heatmaps(torch.zeros(1, 128, 96, 3, dtype=torch.uint8))

    @pytest.mark.parametrize("size", [(100, 100), (0, 256), (192,)])
    def test_impossible_sizes(self, small_hrnet, size):
        with pytest.raises(UserError, match=str(small_hrnet)):
            open_network(small_hrnet, size=size)

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"colour": "GRB"}, "unknown colour order 'GRB'"),
            ({"mean": [0.5]}, "mean of the preprocessing"),
            ({"std": [1.0, 0.0, 1.0]}, "std of the preprocessing"),
            ({"std": ["a", "b", "c"]}, "std of the preprocessing"),
            ({"mean": [float("nan")] * 3}, "mean of the preprocessing"),
        ],
    )
    def test_impossible_preprocessing(self, tmp_path, wrong, words):
        path = own_weights(tmp_path / "net.safetensors", **wrong)
        with pytest.raises(UserError, match=words) as error:
            open_network(path)
        assert str(path) in str(error.value)

    def test_weights_of_a_classifier(self, tmp_path):
        path = tmp_path / "resnet20.th"
        torch.save(create("cifar_resnet20").state_dict(), path)
        with pytest.raises(UserError, match="is of cifar_resnet20, no pose network"):
            open_network(path)

    def test_an_unknown_number_of_joints(self, tmp_path):
        path = tmp_path / "five.pth"
        torch.save(create("pose_hrnet_w8", num_joints=5, **SMALL).state_dict(), path)
        with pytest.raises(UserError, match=r"no skeleton has 5 joints; known are 17 \(coco\)"):
            open_network(path)

    def test_unknown_colour_and_precision(self, small_hrnet):
        with pytest.raises(UserError, match="choose RGB or BGR"):
            open_network(small_hrnet, colour="GBR")
        with pytest.raises(UserError, match="unknown precision 'fp8'"):
            open_network(small_hrnet, precision="fp8")

    def test_broken_weights_are_not_scored(self, tmp_path):
        from replab.keypoints.codecs import codec
        from replab.topdown.predict import predict

        model = create("pose_hrnet_w8", **SMALL)
        torch.nn.init.constant_(model.final_layer.weight, float("nan"))
        network = PoseNetwork(
            model,
            model="pose_hrnet_w8",
            options=SMALL,
            skeleton=COCO,
            size=(96, 128),
            preprocessing=Preprocessing.of(RGB_IMAGENET),
        )
        with pytest.raises(UserError, match="its heatmaps are not finite"):
            predict(network, made_set(), codec("released"))


def made_set(boxes=((10.0, 10.0, 40.0, 60.0),), pictures=1):
    """A set of grey pictures with the same boxes in each."""
    from replab.datasets.pose_set import PoseSet

    class Grey:
        reads: list[int] = []  # noqa: RUF012

        def __len__(self):
            return pictures

        def read(self, index):
            self.reads.append(index)
            return np.full((90, 80, 3), 10 * index, np.uint8)

    count = pictures * len(boxes)
    return PoseSet(
        name="grey",
        fingerprint="0" * 16,
        skeleton=COCO,
        images=Grey(),
        image_ids=np.arange(pictures) + 1,
        image_sizes=np.tile((80, 90), (pictures, 1)),
        image_of=np.repeat(np.arange(pictures), len(boxes)),
        person_ids=np.arange(count),
        boxes=np.tile(np.array(boxes, dtype=np.float64), (pictures, 1)),
        box_scores=np.ones(count),
        joints=np.full((count, 17, 2), np.nan),
        visible=np.zeros((count, 17), np.uint8),
        areas=np.ones(count),
    )


class TestCrops:
    @pytest.mark.parametrize("batch", [1, 4, 7, 100])
    @pytest.mark.parametrize("warping", ["opencv", "exact"])
    def test_each_picture_is_read_once_and_people_keep_their_order(self, batch, warping):
        from replab.keypoints.boxes import centre_scale
        from replab.keypoints.codecs import codec
        from replab.topdown.crops import crop_batches

        poses = made_set(boxes=((20.0, 20, 40, 50), (25, 25, 20, 30), (30, 30, 9, 9)), pictures=7)
        poses.images.reads.clear()
        centre, scale = centre_scale(torch.from_numpy(poses.boxes), 0.75)
        matrices = codec("released").matrix(centre, scale, (24, 32))
        found = list(crop_batches(poses, matrices, (24, 32), batch=batch, warping=warping))
        assert sorted(poses.images.reads) == list(range(7))
        assert [b.first for b in found] == list(range(0, 21, batch))
        crops = torch.cat([b.crops for b in found])
        assert crops.dtype == torch.uint8
        assert crops.shape == (21, 32, 24, 3)
        # The middle of each crop shows its own picture.
        assert crops[:, 16, 12, 0].tolist() == [10 * (n // 3) for n in range(21)]

    def test_nobody(self):
        from replab.topdown.crops import crop_batches

        poses = made_set().select(slice(0))
        assert list(crop_batches(poses, torch.zeros(0, 2, 3), (24, 32), batch=4)) == []

    def test_boxes_without_area_are_named(self, small_hrnet):
        from replab.keypoints.codecs import codec
        from replab.topdown.predict import predict

        poses = made_set(boxes=((1.0, 2, 3, 4), (5, 5, 0, 0)))
        with pytest.raises(UserError, match="1 boxes have no area or are no numbers, first that"):
            predict(open_network(small_hrnet), poses, codec("released"))


def test_compiled_networks_see_one_shape_only(small_hrnet):
    """The last, smaller batch is filled up: another shape would be compiled anew."""
    from replab.keypoints.codecs import codec
    from replab.topdown.predict import predict

    poses = made_set(pictures=5)
    plain = predict(open_network(small_hrnet), poses, codec("released"), batch=3)
    network = open_network(small_hrnet)
    network.compiled = True
    seen = []
    inner = network.answers
    network.answers = lambda crops, **asked: seen.append(len(crops)) or inner(crops, **asked)
    padded = predict(network, poses, codec("released"), batch=3)
    assert seen == [3, 3]
    np.testing.assert_allclose(padded.keypoints, plain.keypoints, atol=1e-3)


def test_bf16_takes_nets_of_several_heads(crops):
    torch.manual_seed(3)
    net = create(
        "pose_hrnet_w8",
        num_joints=17,
        head="each",
        stem=8,
        bottlenecks=1,
        modules=[1, 1, 1],
        blocks=1,
    )
    given = {
        precision: PoseNetwork(
            net,
            model="pose_hrnet_w8",
            options={},
            skeleton=COCO,
            size=(96, 128),
            preprocessing=Preprocessing.of(RGB_IMAGENET),
            precision=precision,
            device="cpu",
        ).answers(crops[:, :128, :96], mirrored=True)
        for precision in ("fp32", "bf16")
    }
    assert [maps.shape[-1] for maps, _ in given["bf16"]] == [24, 12, 6, 3]
    for (exact, _), (rough, mirrored) in zip(given["fp32"], given["bf16"], strict=True):
        assert mirrored is not None
        assert rough.dtype == torch.float32
        assert (exact - rough).abs().max() < 0.05 * exact.abs().max()

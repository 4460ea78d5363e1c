"""Weights, photographs and boxes to a result file and AP: as by the usual, slow path."""

import json

import numpy as np
import pytest
import torch

from replab.bench import usual_pose
from replab.datasets import coco
from replab.errors import UserError
from replab.keypoints.affine import transform
from replab.keypoints.boxes import centre_scale
from replab.keypoints.codecs import codec
from replab.metrics.coco import METRICS, evaluate
from replab.models import create, load
from replab.models.loading import read_checkpoint
from replab.models.registry import infer
from replab.topdown.evaluate import evaluate_coco
from replab.topdown.network import open_network

SIZE = (192, 256)


@pytest.fixture(scope="module")
def detections_file(photographs):
    """Boxes as of a detector: of annotated people, shifted, some twice, and some of nobody."""
    generator = np.random.default_rng(7)
    boxes = []
    for note in photographs.truth["annotations"]:
        if note["iscrowd"] or not note["num_keypoints"]:
            continue
        for _ in range(1 + (generator.random() < 0.4)):
            x, y, w, h = note["bbox"]
            shift, growth = generator.normal(0, 0.06, 2), generator.normal(1, 0.08, 2).clip(0.7)
            box = [x + shift[0] * w, y + shift[1] * h, w * growth[0], h * growth[1]]
            boxes.append((note["image_id"], box, float(generator.uniform(0.05, 1))))
    for image in photographs.truth["images"][::9]:
        size = np.array([image["width"], image["height"]])
        corner, extent = generator.uniform(0, 0.6, 2) * size, generator.uniform(0.1, 0.4, 2) * size
        boxes.append((image["id"], [*corner, *extent], float(generator.uniform(0, 0.3))))
    entries = [
        {"image_id": image, "category_id": 1, "bbox": [float(v) for v in box], "score": score}
        for image, box, score in boxes
    ]
    # A detector's other classes stand in the same file.
    entries.append(entries[0] | {"category_id": 3})
    path = photographs.folder / "detections.json"
    path.write_text(json.dumps(entries))
    return path


def usual_net(weights):
    checkpoint = read_checkpoint(weights)
    name, options = infer(checkpoint.state_dict)
    return load(create(name, **options), checkpoint).eval()


def by_key(entries):
    """Entries of a result file in an order of their own, as arrays."""
    rows = [[e["image_id"], e["score"], *e["keypoints"]] for e in entries]
    table = np.array(rows, dtype=np.float64)
    return table[np.lexsort((table[:, 2], -table[:, 1].round(6), table[:, 0]))]


# All 166 people take HRNet-W32 a minute in fp32, twice; a dozen say the same.
@pytest.mark.parametrize(
    ("weights", "boxes", "count"),
    [("hrnet_w32", "gt", 12), ("small_hrnet", "gt", None), ("small_hrnet", "detected", None)],
)
def test_as_the_usual_path(request, photographs, tmp_path, weights, boxes, count):
    weights = request.getfixturevalue(weights)
    if boxes == "gt":
        poses = coco.load(folder=photographs.folder)
        people = usual_pose.annotated_people(photographs.truth, photographs.pictures)
    else:
        file = request.getfixturevalue("detections_file")
        poses = coco.load(folder=photographs.folder, boxes=file)
        entries = json.loads(file.read_text())
        people = usual_pose.detected_people(entries, photographs.truth, photographs.pictures)
    assert len(people) == len(poses)
    poses, people = poses.select(slice(count)), people[:count]
    ours = tmp_path / "ours.json"
    found = evaluate_coco(open_network(weights), poses, codec("released"), results=ours)

    joints = usual_pose.estimate(usual_net(weights), people, SIZE)
    entries = usual_pose.results(people, joints, SIZE[0] / SIZE[1])
    statistics = usual_pose.average_precision(
        usual_pose.annotations(photographs.truth), entries, tmp_path / "usual.json"
    )

    mine, theirs = by_key(json.loads(ours.read_text())), by_key(entries)
    assert mine.shape == theirs.shape
    assert found.kept == len(entries) <= found.boxes == len(people)
    np.testing.assert_array_equal(mine[:, 0], theirs[:, 0])
    np.testing.assert_allclose(mine[:, 1], theirs[:, 1], rtol=1e-5, atol=1e-6)
    places = np.ones(51, dtype=bool)
    places[2::3] = False
    np.testing.assert_allclose(mine[:, 2:][:, places], theirs[:, 2:][:, places], atol=1e-3)
    for metric, number in zip(METRICS, statistics, strict=True):
        assert getattr(found.score, metric) == pytest.approx(number, abs=1e-9)
        assert getattr(evaluate(photographs.annotations, ours), metric) == pytest.approx(number)
    assert found.about.box_source == poses.box_source
    assert (poses.box_source == "gt") == (boxes == "gt")


class Perfect:
    """Takes the place of a network: heatmaps with a Gaussian at each annotated joint."""

    def __init__(self, network, heatmaps):
        self._network, self._heatmaps, self._next = network, heatmaps, 0

    def __getattr__(self, name):
        return getattr(self._network, name)

    def answers(self, crops, *, mirrored):
        begin, self._next = self._next, self._next + len(crops)
        return [(self._heatmaps[begin : self._next], None)]


@pytest.mark.parametrize(("name", "least"), [("released", 0.90), ("dark", 0.97), ("udp", 0.97)])
def test_perfect_heatmaps_score_high(photographs, small_hrnet, tmp_path, name, least):
    """The way to the heatmap and back, boxes and ids are right, or this would score nothing."""
    poses = coco.load(folder=photographs.folder)
    chosen = codec(name)
    centre, scale = centre_scale(torch.from_numpy(poses.boxes), SIZE[0] / SIZE[1])
    joints = transform(torch.from_numpy(poses.joints), chosen.matrix(centre, scale, SIZE))
    visible = torch.from_numpy((poses.visible > 0).astype(np.float32))
    heatmaps, _ = chosen.encode(joints, visible, SIZE, (48, 64))
    network = Perfect(open_network(small_hrnet), heatmaps)
    found = evaluate_coco(network, poses, chosen, engine="pycocotools", draws=50)
    assert least < found.score.AP <= 1
    low, high = found.intervals["AP"]
    assert low <= found.score.AP <= high


class TestMistakes:
    def test_weights_of_another_skeleton(self, photographs, tmp_path):
        path = tmp_path / "mpii.pth"
        torch.save(create("pose_hrnet_w8", num_joints=16).state_dict(), path)
        poses = coco.load(folder=photographs.folder)
        with pytest.raises(UserError, match="16 joints of mpii, coco-val2017 has those of coco"):
            evaluate_coco(open_network(path), poses, codec("released"))

    def test_a_damaged_picture_is_named(self, photographs, small_hrnet, tmp_path):
        folder = tmp_path / "coco"
        (folder / "val2017").mkdir(parents=True)
        (folder / "annotations").symlink_to(photographs.folder / "annotations")
        for file in photographs.pictures.iterdir():
            (folder / "val2017" / file.name).symlink_to(file.resolve())
        poses = coco.load(folder=folder)
        names = {image["id"]: image["file_name"] for image in photographs.truth["images"]}
        victim = folder / "val2017" / names[int(poses.image_ids[poses.image_of[3]])]
        data = victim.read_bytes()
        victim.unlink()
        victim.write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError) as error:
            evaluate_coco(open_network(small_hrnet), poses, codec("released"))
        assert victim.name in str(error.value)
        assert "\n" not in str(error.value)

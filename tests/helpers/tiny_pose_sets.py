"""Small sets in the layouts of COCO and of Leeds Sports Pose Extended, with all their corners.

No test module; its folder is on the path.
"""

import io
import json
import zipfile

import cv2
import numpy as np
from scipy.io import savemat

from replab import files
from replab.datasets.coco_sources import Archive, Part
from replab.datasets.lspet import Extent
from replab.datasets.lspet_sources import Form
from replab.keypoints.skeletons import COCO

# Width and height of the pictures of the COCO set, by id, not in the order of their ids.
COCO_IMAGES = {42: (64, 48), 7: (50, 80), 100: (33, 31), 9: (40, 40)}
LSPET_EXTENT = Extent(pictures=8, train=6)


def picture(width, height, seed=0, grey=False):
    """A smooth picture that JPEG keeps well, H×W×3 or H×W."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 4) if grey else (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def encode(pixels, suffix=".jpg"):
    """The file's bytes of an RGB or grey picture."""
    stored = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    return cv2.imencode(suffix, stored, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def with_orientation(data, orientation):
    """A JPEG with a camera's tag of how it was held."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation]) + b"\0\0\0"
    block = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]


def zip_of(members, method=zipfile.ZIP_STORED):
    """A zip's bytes of name → bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, method)
    return stream.getvalue()


def file_name(image_id):
    return f"{image_id:012d}.jpg"


def person(number, image_id, box, *, joints=5, **changes):
    """An annotation whose first joints lie inside its box."""
    x, y, width, height = box
    keypoints = np.zeros((len(COCO), 3), dtype=int)
    keypoints[:joints] = np.array([x + width // 2, y + height // 2, 2])
    keypoints[:joints, 0] += np.arange(joints)
    keypoints[: joints // 2, 2] = 1
    return {
        "segmentation": [[x, y, x + width, y, x, y + height]],
        "num_keypoints": joints,
        "area": 0.5 * width * height,
        "iscrowd": 0,
        "keypoints": keypoints.flatten().tolist(),
        "image_id": image_id,
        "bbox": list(box),
        "category_id": 1,
        "id": number,
        **changes,
    }


def coco_annotations():
    """Annotations of the small set: six usable people, and one of each kind that is not."""
    crowd = {"segmentation": {"counts": [1, 2], "size": [48, 64]}, "iscrowd": 1}
    return {
        "info": {"description": "made"},
        "licenses": [],
        "images": [
            {"id": n, "file_name": file_name(n), "width": w, "height": h}
            for n, (w, h) in COCO_IMAGES.items()
        ],
        "annotations": [
            person(11, 7, (10, 20, 20, 40)),
            person(12, 42, (-4, 5, 30, 30)),
            person(13, 42, (40, 10, 60, 60)),
            person(900100000042, 42, (0, 0, 64, 48), joints=0, **crowd),
            person(14, 7, (5, 5, 10, 10), joints=0),
            person(15, 100, (0, 0, 33, 31), joints=17),
            person(16, 100, (2, 2, 10, 10), area=0),
            person(17, 9, (60, 5, 10, 10)),
            person(18, 9, (5.5, 6.25, 20.5, 30.75)),
            person(19, 7, (1, 1, 48, 78)),
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.joints)}],
    }


def coco_pictures():
    """Name → bytes; one of them grey, one held upright by its camera."""
    made = {}
    for seed, (image_id, (width, height)) in enumerate(COCO_IMAGES.items()):
        data = encode(picture(width, height, seed, grey=image_id == 100))
        made[file_name(image_id)] = with_orientation(data, 6) if image_id == 7 else data
    return made


def write_coco(folder, part="tiny", annotations=None):
    """Make annotations/ and the part's pictures below a folder; returns the annotations' path."""
    path = folder / "annotations" / f"person_keypoints_{part}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco_annotations() if annotations is None else annotations))
    (folder / part).mkdir(exist_ok=True)
    for name, data in coco_pictures().items():
        (folder / part / name).write_bytes(data)
    return path


def detections():
    """Boxes of the small set, not in the order of its images; the last five are odd."""

    def box(image_id, values, score, category=1):
        return {"image_id": image_id, "category_id": category, "bbox": values, "score": score}

    return [
        box(9, [1, 2, 3, 4], 0.9),
        box(42, [-5.5, 3, 80, 20], 0.001),
        box(9, [30, 30, 20, 20], 0.0),
        box(7, [10, 10, 0, 12.5], -0.5),
        box(42, [500, 3, 8, 20], 0.3),
        box(42, [1, 2, 3, 4], 0.9, category=2),
        box(42, [1, 2, 0, 0], 0.9),
        box(42, [1, 2, -3, 4], 0.9),
        box(42, [float("nan"), 2, 3, 4], 0.9),
        box(42, [1, 2, 3, 4], float("inf")),
    ]


def coco_part(folder, hosts=()):
    """The two archives of a small part `tiny` in a folder, and what `fetch` is to know of them."""
    folder.mkdir(parents=True, exist_ok=True)
    keypoints = json.dumps(coco_annotations()).encode()
    pictures = {f"tiny/{name}": data for name, data in coco_pictures().items()}
    bodies = {
        "zips/tiny.zip": zip_of(pictures),
        "annotations/annotations_tiny.zip": zip_of(
            {
                "annotations/captions_tiny.json": b"{}",
                "annotations/person_keypoints_tiny.json": keypoints,
            },
            zipfile.ZIP_DEFLATED,
        ),
    }
    for path, body in bodies.items():
        (folder / path.rpartition("/")[2]).write_bytes(body)
    first, second = (
        Archive(path, files.sha256_bytes(body), len(body), tuple(hosts))
        for path, body in bodies.items()
    )
    return Part(first, second, files.sha256_bytes(keypoints), len(keypoints)), bodies


def lspet_joints(count=8, seed=0):
    """14×3×count as in joints.mat: whole people, placeholders, a short and a missing torso."""
    random = np.random.default_rng(seed)
    table = np.ones((14, 3, count))
    table[:, :2] = random.uniform(12, 36, (14, 2, count))
    table[9, :2] = [[15.0], [14.0]]
    table[2, :2] = [[25.0], [34.0]]
    # Picture 2: two joints are placeholders beyond the corner, one of them the shoulder.
    table[[3, 9], :, 1] = [0.0, -12.5, 0.0]
    # Picture 3: shoulder and hip 3 px apart. Picture 4: a joint outside the picture.
    table[2, :2, 2] = [18.0, 14.0]
    table[0, :2, 3] = [70.0, 20.0]
    # Picture 5: nothing is annotated.
    table[:, :, 4] = [-3.0, 0.0, 0.0]
    return table


def lspet_members(table=None, crops=None):
    """Name → bytes of a small archive; pictures of 48×50 px."""
    table = lspet_joints() if table is None else table
    stream = io.BytesIO()
    savemat(stream, {"joints": table})
    # The first bytes tell the time of writing.
    joints = b"MATLAB 5.0 MAT-file".ljust(116) + stream.getvalue()[116:]
    made = {"README.txt": b"Leeds", "joints.mat": joints}
    if crops is not None:
        rows = [",".join(str(value) for value in row) for row in crops]
        header = "image,x0,y0,width,height,original_width,original_height"
        made["crops.csv"] = "\n".join([header, *rows, ""]).encode()
    for number in range(1, table.shape[2] + 1):
        pixels = picture(48, 50, seed=number, grey=number == 6)
        made[f"images/im{number:05d}.jpg"] = encode(pixels)
    return made


def lspet_form(members, pictures=None):
    """The form that a small archive is, by its own digests."""
    crops = members.get("crops.csv")
    return Form(
        "official" if crops is None else "cropped",
        files.sha256_bytes(members["joints.mat"]),
        None if crops is None else files.sha256_bytes(crops),
        pictures,
    )

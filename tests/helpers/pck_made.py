"""Made-up people with joints, and files of them as MATLAB, HDF5 and NumPy write them.

No test module: found through `pythonpath`.
"""

import json

import h5py
import numpy as np
import scipy.io

from replab.datasets.mpii_files import SHORT
from replab.keypoints.skeletons import LSP


def people(count, joints, seed=0):
    """Joints of people who face the camera or not, count × joints × 2, px."""
    random = np.random.default_rng(seed)
    return random.uniform(20, 200, (count, joints, 2))


def lsp_truth(observer=False, seed=0):
    """1,000 people of LSP's 14 joints; left lies on the picture's right in two of three."""
    truth = people(1000, len(LSP), seed)
    left, right = LSP.index("left_shoulder"), LSP.index("right_shoulder")
    x = np.sort(truth[:, [left, right], 0], axis=1)
    turned = np.arange(1000) % 3 == 0
    if observer:
        turned[:] = False
    truth[:, left, 0] = np.where(turned, x[:, 0], x[:, 1])
    truth[:, right, 0] = np.where(turned, x[:, 1], x[:, 0])
    # No torso too short to measure by.
    truth[:, LSP.index("right_hip"), 1] = truth[:, left, 1] + 100
    return truth


def stored_lsp(truth):
    """As the released file: 3×14×2000, of which the first half is for training."""
    stored = np.zeros((3, len(LSP), 2000))
    stored[:2, :, 1000:] = truth.transpose(2, 1, 0)
    stored[:2, :, :1000] = 7
    stored[2] = 1
    return stored


def mpii_truth(count=30, seed=0):
    """The released fields, with joints that are missing."""
    random = np.random.default_rng(seed)
    missing = random.random((16, count)) < 0.2
    joints = people(count, 16, seed).transpose(1, 2, 0) * ~missing[:, None]
    corner = people(count, 2, seed + 1).transpose(1, 2, 0)
    corner[1] = corner[0] + random.uniform(20, 60, (2, count))
    return {
        "pos_gt_src": joints,
        "jnt_missing": missing.astype(np.uint8),
        "headboxes_src": corner,
        "dataset_joints": np.array([list(SHORT)], dtype=object),
    }


def all_people_json(truth, pictures=7):
    """The layout of pytorch-pose: all people of `mpii_truth`, and one of the training part."""
    rows = []
    for person in range(truth["jnt_missing"].shape[1]):
        shown = 1 - truth["jnt_missing"][:, person]
        joints = np.column_stack((truth["pos_gt_src"][:, :, person], shown))
        rows.append(
            {
                "isValidation": 1.0,
                "img_paths": f"{person % pictures:09d}.jpg",
                "img_width": 64.0,
                "img_height": 48.0,
                "objpos": [100.0 + person, 90.0],
                "joint_self": joints.round(3).tolist(),
                "scale_provided": 1.0 + person / 8,
            }
        )
    return [{**rows[0], "isValidation": 0.0}, *rows]


def one_part_json(truth, pictures=7):
    """The layout of HRNet's code for the same people."""
    return [
        {
            "image": row["img_paths"],
            "center": row["objpos"],
            "scale": row["scale_provided"],
            "joints": [joint[:2] for joint in row["joint_self"]],
            "joints_vis": [int(joint[2]) for joint in row["joint_self"]],
        }
        for row in all_people_json(truth, pictures)[1:]
    ]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_mat(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, arrays, do_compression=True)
    return path


def write_mat73(path, **arrays):
    """As MATLAB 7.3: HDF5 behind a block of its own, all axes reversed, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if array.dtype == object:
                words = []
                for number, word in enumerate(array.T.ravel()):
                    codes = np.array([[ord(letter)] for letter in word], dtype=np.uint16)
                    cell = file.create_dataset(f"#refs#/{number}", data=codes)
                    cell.attrs["MATLAB_class"] = np.bytes_("char")
                    words.append(cell.ref)
                shape = array.T.shape
                data = np.array(words, dtype=h5py.ref_dtype).reshape(shape)
                file.create_dataset(name, data=data, dtype=h5py.ref_dtype)
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
            elif not array.size:
                file[name] = np.array(array.shape, dtype=np.uint64)
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
                file[name].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                file[name] = array.T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    head = b"MATLAB 7.3 MAT-file, Platform: made".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(head)
    return path


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def write_npy(path, **arrays):
    (array,) = arrays.values()
    np.save(path, array)
    return path


WRITERS = {
    ".mat": write_mat,
    "-73.mat": write_mat73,
    ".h5": write_h5,
    ".npz": write_npz,
    ".npy": write_npy,
}

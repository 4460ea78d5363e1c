"""Small archives in the layouts of CIFAR-10, for the tests, and a web server that gives them."""

import contextlib
import http.server
import io
import json
import pickle
import struct
import tarfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from replab.datasets.cifar10 import Pins
from replab.datasets.image_set import digest

PER_BATCH = 4


def make_arrays(seed=0):
    random = np.random.default_rng(seed)
    made = {}
    for split, count in (("train", 5 * PER_BATCH), ("test", PER_BATCH)):
        made[f"{split}_images"] = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
        made[f"{split}_labels"] = random.integers(0, 10, count).astype(np.uint8)
    return made


def make_pins(arrays):
    return Pins(**{key: digest(array) for key, array in arrays.items()})


def batches(arrays):
    """Name, images and labels of the six batches."""
    for k in range(5):
        cut = slice(k * PER_BATCH, (k + 1) * PER_BATCH)
        yield f"data_batch_{k + 1}", arrays["train_images"][cut], arrays["train_labels"][cut]
    yield "test_batch", arrays["test_images"], arrays["test_labels"]


def planes(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3072)


def pickle_of_python2(images, labels):
    """A batch as Python 2 with an old NumPy pickled it (protocol 2), opcode by opcode."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"K" + bytes([value])

    raw = planes(images).tobytes()
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    array += number(0) + b"\x85" + text(b"b") + b"\x87R"
    shape = number(len(images)) + b"M" + struct.pack("<H", 3072) + b"\x86"
    array += b"(" + number(1) + shape + dtype + b"\x89"
    array += b"T" + struct.pack("<i", len(raw)) + raw + b"tb"
    numbers = b"](" + b"".join(number(int(label)) for label in labels) + b"e"
    return (
        b"\x80\x02}("
        + (text(b"batch_label") + text(b"training batch"))
        + (text(b"labels") + numbers)
        + (text(b"data") + array)
        + b"u."
    )


def members(arrays, layout):
    """The files of a layout: name → bytes."""
    made = {}
    for name, images, labels in batches(arrays):
        if layout == "python2":
            made[f"cifar-10-batches-py/{name}"] = pickle_of_python2(images, labels)
        elif layout == "python3":
            batch = {b"data": planes(images), b"labels": [int(label) for label in labels]}
            made[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=2)
        elif layout == "binary":
            records = np.concatenate([labels[:, None], planes(images)], axis=1)
            made[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
        else:
            made[f"package/{name}.png"] = png(images)
    if layout == "npm":
        for split in ("train", "test"):
            listed = [int(label) for label in arrays[f"{split}_labels"]]
            made[f"package/{split}_lables.json"] = json.dumps(listed).encode()
        made["package/index.bundle.js"] = b"throw 'never run';"
    return made


def png(images):
    stream = io.BytesIO()
    Image.fromarray(images.reshape(len(images), 1024, 3)).save(stream, "PNG")
    return stream.getvalue()


def write_tar(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_files(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def visible(folder):
    """All names below a folder except locks."""
    return sorted(
        str(path.relative_to(folder))
        for path in Path(folder).rglob("*")
        if not path.name.endswith(".lock")
    )


class Server:
    """A web server on 127.0.0.1 that gives one body, and notes what it was asked.

    `ranges`: whether it understands Range. `cuts`: after how many bytes of an answer's body it
    closes the connection, one number an answer, afterwards never. `announce`: whether it tells
    the length. `status`: if not 200, what it answers to everything.
    """

    def __init__(self, body, *, ranges=True, cuts=(), announce=True, status=200):
        self.body, self.ranges, self.announce, self.status = body, ranges, announce, status
        self.cuts = list(cuts)
        self.asked = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file"

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        body, start = self.body, 0
        if self.status != 200:
            handler.send_error(self.status)
            return
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        if self.announce:
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        stop = len(body)
        if self.cuts:
            stop = min(stop, start + self.cuts.pop(0))
        handler.wfile.write(body[start:stop])
        handler.close_connection = True


@contextlib.contextmanager
def serving(body, **options):
    server = Server(body, **options)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()

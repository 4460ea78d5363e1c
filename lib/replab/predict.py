"""What `predict IMAGE…` does: photographs in, a COCO result file and overlays out."""

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.output import emit

OUT = Path("poses")
# As the command line shows it: the parser must not wait for torch.
THRESHOLD = 0.2
# What a command returns that was stopped by Ctrl-C.
INTERRUPTED = 130


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of the command, all but `--json`."""
    file: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="file or folder")
    command.add_argument("--weights", help="of a pose network (our own small one)", **file)
    command.add_argument(
        "--model", metavar="NAME", help="published weights, or the network that the file is of"
    )
    command.add_argument("--input", metavar="HxW", help="of the network in px")
    command.add_argument(
        "--boxes",
        default="whole",
        metavar="whole|FILE|detector",
        help="one person who fills the picture, a JSON list, a network of torchvision's (whole)",
    )
    command.add_argument("--detector-weights", help="state_dict of a detector", **file)
    command.add_argument("--detector", metavar="NAME", help="its network (told by its weights)")
    command.add_argument(
        "--box-threshold",
        type=float,
        metavar="SCORE",
        help="boxes scored lower are left out (0.5 of a detector, none of a file)",
    )
    command.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        metavar="CONFIDENCE",
        help=f"less confident joints are not drawn ({THRESHOLD})",
    )
    command.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help=f"where results go ({OUT})"
    )
    command.add_argument("--overlays", default="jpg", help="jpg, png or none (jpg)")
    command.add_argument("--no-flip", action="store_true", help="leave the mirror image out")
    command.add_argument("--precision", default="fp32", help="fp32 or bf16 (fp32)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")


def run(options: argparse.Namespace) -> int:
    """`predict`: poses of the people in photographs."""
    from replab.files import make_folder
    from replab.photos.api import box_source
    from replab.photos.estimate import Photo, Unread, estimate
    from replab.photos.listing import entries
    from replab.photos.networks import open_weights
    from replab.photos.results import ABOUT, KEYPOINTS, SUFFIXES, Results
    from replab.runs.executors import resolve_device

    for name, value in (
        ("threshold", options.threshold),
        ("box-threshold", options.box_threshold),
    ):
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"--{name} {value}: give a number from 0 to 1")
    if options.overlays not in SUFFIXES:
        raise UserError(f"--overlays {options.overlays}: choose jpg, png or none")
    device = resolve_device(options.device)
    device = "cuda:0" if device == "cuda" else device
    pictures = entries(options.images, without=options.out)
    opened = open_weights(
        options.weights,
        model=options.model,
        size=_size(options.input),
        precision=options.precision,
        device=device,
    )
    boxes = box_source(
        options.boxes,
        pictures,
        detector_weights=options.detector_weights,
        detector=options.detector,
        least=options.box_threshold,
        device=device,
    )
    left_out = dict(getattr(boxes, "left_out", {}))
    notes = [*opened.network.warnings, *getattr(boxes, "notes", ())]
    notes += [f"{count} {reason} left out" for reason, count in left_out.items()]
    for note in [*([opened.label] if opened.label else []), *notes]:
        print(f"note: {note}", file=sys.stderr)
    folder = make_folder(options.out)
    results = Results(folder, pictures, options.threshold, options.overlays)
    flip = not options.no_flip
    began = time.perf_counter()
    shown = sys.stderr.isatty() and not options.json
    # Somebody who stops a long search wants what it found.
    with suppress(KeyboardInterrupt), _bar(len(pictures), shown=shown) as bar:
        for found in estimate(pictures, opened, boxes, flip=flip):
            results.add(found)
            if isinstance(found, Unread):
                bar.write(f"left out: {found.why}", file=sys.stderr)
            elif isinstance(found, Photo):
                for note in found.notes:
                    bar.write(f"note: {found.name}: {note}", file=sys.stderr)
            bar.set_postfix_str(f"{len(results.people)} people", refresh=False)
            bar.update()
    seconds = time.perf_counter() - began
    results.write(opened, {"source": boxes.source, "left_out": left_out}, flip=flip)
    done = {
        "pictures": len(results.pictures),
        "people": len(results.people),
        "unread": results.unread,
        "pictures_per_s": len(results.pictures) / seconds,
        "model": opened.network.model,
        "weights": opened.sha256,
        "label": opened.label,
        "boxes": boxes.source,
        "keypoints": str(folder / KEYPOINTS),
        "about": str(folder / ABOUT),
    }
    words = opened.label or f"{opened.network.model} ({opened.file})"
    line = (
        f"pictures: {done['pictures']}, people: {done['people']} (boxes: {boxes.source}), "
        f"{done['pictures_per_s']:.1f} pictures/s by {words}\n{folder / KEYPOINTS}"
    )
    if results.unread:
        line = f"{line}\npictures that could not be read: {len(results.unread)}"
    emit(done, options.json, line)
    if not results.complete:
        count = len(results.pictures) + len(results.unread)
        print(f"interrupted: these are {count} of {len(pictures)} pictures", file=sys.stderr)
        return INTERRUPTED
    return 2 if results.unread else 0


def _bar(count: int, *, shown: bool) -> Any:
    from tqdm.std import tqdm

    return tqdm(
        total=count,
        bar_format="{percentage:3.0f}% |{bar:30}| {n_fmt} of {total_fmt} pictures, "
        "{elapsed} so far, {remaining} left {postfix}",
        file=sys.stderr,
        leave=False,
        disable=not shown,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    """Width and height of an input written as the papers do, height first."""
    from replab.datasets.pose_weights import sides

    try:
        return None if text is None else sides(text)
    except ValueError as error:
        message = f"--input {text}: write height x width in px, such as 256x192"
        raise UserError(message) from error

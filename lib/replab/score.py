"""What `score METRIC` does: weights, predictions or result files in, the metric's numbers out."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replab.errors import UserError
from replab.output import emit

if TYPE_CHECKING:
    from replab.models.own_weights import OwnWeights


def cifar10(options: Namespace) -> None:
    """`score cifar10`: test error of a checkpoint."""
    from replab import datasets
    from replab.metrics.cifar import score_checkpoint
    from replab.runs.executors import resolve_device

    images = datasets.open_set("cifar10")
    found = score_checkpoint(
        options.weights,
        images.test_images,
        images.test_labels,
        device=resolve_device(options.device),
    )
    line = f"{found.model}: error {found.error:.2f} % of {found.n} test images"
    emit(found.as_dict(), options.json, line)


def weights(options: Namespace) -> None:
    """`score weights`: weights of our own by what their file says, beside their record's score."""
    from replab.models.own_weights import read_description
    from replab.runs.executors import resolve_device

    about = read_description(options.file)
    device = resolve_device(options.device)
    with _Bar(options.json) as progress:
        compute = _joint_scores if about.finds_joints else _class_scores
        found, count = compute(options.file, about, device, progress)
    recorded = {name: about.scores.get(name) for name in found}
    shown = {
        "model": about.model,
        "run": about.run,
        "trained_on": about.data,
        "test_data": about.test_data,
        "n": count,
        "precision": about.precision,
        "scores": found,
        "recorded": recorded,
    }
    lines = [f"{about.model}, trained by run {about.run} on {about.data.get('name')}"]
    for name, value in found.items():
        same = "as its record says" if value == recorded[name] else f"record: {recorded[name]}"
        lines.append(f"{name} on {count} of {about.test_data}: {value:.10g} % ({same})")
    emit(shown, options.json, "\n".join(lines))


Progress = Callable[[float, str], None]


def _class_scores(
    file: Path, about: "OwnWeights", device: str, progress: Progress
) -> tuple[dict[str, float], int]:
    from replab import datasets
    from replab.metrics.cifar import score_checkpoint

    images = datasets.open_set(about.test_data)
    where: Any = {"device": device, "progress": progress}
    found = score_checkpoint(file, images.test_images, images.test_labels, **where)
    return {"test_error": found.error}, found.n


def _joint_scores(
    file: Path, about: "OwnWeights", device: str, progress: Progress
) -> tuple[dict[str, float], int]:
    """The score that stands for a set's others, by the codec of the file and the mirror image."""
    from replab import datasets
    from replab.keypoints.codecs import codec
    from replab.topdown.network import open_network
    from replab.topdown.predict import Reading
    from replab.topdown.scores import measure_of, score

    place = "cuda:0" if device == "cuda" else device
    network = open_network(file, precision=about.precision, device=place)
    people = datasets.open_poses(about.test_data)
    own = Reading(codec(about.codec, sigma=about.sigma), head=about.head)
    found = score(network, people, {"": own}, progress=progress)
    measure = measure_of(people)
    return {measure: found.metrics[measure]}, int(found.people.sum())


def coco(options: Namespace) -> None:
    """`score coco`: COCO's ten numbers of a result file, or of weights on photographs."""
    if options.weights is not None:
        if options.gt is not None or options.dt is not None:
            raise UserError("score coco: give either --weights, or --gt and --dt")
        _weights_on_coco(options)
        return
    if options.gt is None or options.dt is None:
        raise UserError("score coco: give --gt FILE and --dt FILE, or --weights FILE")
    from replab.metrics.coco import evaluate

    found = evaluate(options.gt, options.dt, engine=options.engine)
    notes = [f"{count} {reason} left out" for reason, count in found.left_out.items()]
    if found.dropped:
        notes.append(f"{found.dropped} detections not looked at: the lowest of an image beyond 20")
    if found.areas == "boxes":
        notes.append("areas of detections are those of their boxes, since the file gives boxes")
    _note(notes)
    about = f"{found.detections} detections, {found.people} people, {found.engine}"
    emit(found.as_dict(), options.json, _ten_numbers(found.as_dict(), {}, about))


def _weights_on_coco(options: Namespace) -> None:
    from replab.datasets import coco as photographs
    from replab.keypoints.codecs import codec
    from replab.runs.executors import resolve_device
    from replab.topdown.evaluate import evaluate_coco
    from replab.topdown.network import open_network

    device = resolve_device(options.device)
    network = open_network(
        options.weights,
        size=_size(options.input),
        colour=options.colour,
        precision=options.precision,
        device="cuda:0" if device == "cuda" else device,
        compiled=options.compile,
    )
    _note(network.warnings)
    poses = photographs.load(
        options.part,
        folder=options.folder,
        boxes="gt" if options.boxes == "gt" else Path(options.boxes),
        annotations=options.annotations,
    )
    # As released: the Gaussians of larger heatmaps are wider.
    sigma = 3.0 if network.size[1] > 256 else 2.0
    with _Bar(options.json) as progress:
        found = evaluate_coco(
            *(network, poses, codec(options.codec, sigma=sigma)),
            flip=not options.no_flip,
            results=options.results,
            engine=options.engine,
            draws=options.draws,
            progress=progress,
        )
    _note(f"{count} {reason} left out" for reason, count in found.about.left_out.items())
    about = (
        f"{network.model} on {poses.name}, {found.boxes} boxes ({poses.box_source}), "
        f"{found.about.people_per_s:.1f} people/s"
    )
    emit(
        found.as_dict(), options.json, _ten_numbers(found.score.as_dict(), found.intervals, about)
    )


def lsp(options: Namespace) -> None:
    """`score lsp`: PCK of predictions for the 1,000 test people of LSP."""
    from replab.metrics.pck_files import score_lsp

    _pck(options, score_lsp)


def flic(options: Namespace) -> None:
    """`score flic`: PCK of predictions for the 1,016 test people of FLIC."""
    from replab.metrics.pck_files import score_flic

    _pck(options, score_flic)


def _pck(options: Namespace, score: Callable[[Path, Path], Any]) -> None:
    found = score(options.pred, options.gt)
    _note(found.notes)
    lines = [
        f"PCK@{limit}: {value:.3f} %  [{low:.2f}, {high:.2f}] over {found.people} people"
        for (limit, value), (low, high) in zip(
            found.pck.items(), found.interval.values(), strict=True
        )
    ]
    rows = ", ".join(f"{name} {row['0.2']:.2f}" for name, row in found.joints.items())
    emit(found.as_dict(), options.json, "\n".join([*lines, f"at 0.2: {rows}"]))


def mpii(options: Namespace) -> None:
    """`score mpii`: PCKh of predictions for MPII's validation people."""
    from replab.metrics.pck_files import score_mpii

    found = score_mpii(options.pred, options.gt, zero_based=options.zero_based)
    _note(found.notes)
    lines = [
        f"PCKh@0.5 of {found.people} people: {found.pckh:.3f} % as the plain mean of 14 joints, "
        f"{found.pckh_weighted:.3f} % weighted by how often each is annotated"
    ]
    lines += [
        f"PCKh@{limit}: {found.unweighted_at[limit]:.3f} % plain, {value:.3f} % weighted"
        for limit, value in found.weighted_at.items()
    ]
    rows = ", ".join(f"{name} {value:.2f}" for name, value in found.joints.items())
    emit(found.as_dict(), options.json, "\n".join([*lines, f"at 0.5: {rows}"]))


def _ten_numbers(
    numbers: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], about: str
) -> str:
    cells = []
    for name, value in numbers.items():
        low, high = intervals.get(name, (None, None))
        range_text = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        cells.append(f"{name} {value:.4f}{range_text}" if value >= 0 else f"{name} nobody")
    return "\n".join([about, ", ".join(cells[:5]), ", ".join(cells[5:])])


def _note(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"note: {sentence}", file=sys.stderr)


def _size(text: str | None) -> tuple[int, int] | None:
    """Width and height of an input written as the papers do, height first."""
    if text is None:
        return None
    height, times, width = text.partition("x")
    if not (times and height.isdigit() and width.isdigit()):
        raise UserError(f"--input {text}: write height x width in px, such as 256x192")
    return int(width), int(height)


class _Bar:
    """Progress with the time left on the terminal, nothing elsewhere."""

    def __init__(self, as_json: bool) -> None:
        self._shown = sys.stderr.isatty() and not as_json

    def __enter__(self) -> Callable[[float, str], None]:
        from tqdm.std import tqdm

        self._bar: Any = tqdm(
            total=1.0,
            bar_format="{percentage:3.0f}% |{bar:30}| "
            "{elapsed} so far, {remaining} left {postfix}",
            file=sys.stderr,
            leave=False,
            disable=not self._shown,
        )
        return self._note

    def _note(self, share: float, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(share - self._bar.n)

    def __exit__(self, *error: object) -> None:
        self._bar.close()

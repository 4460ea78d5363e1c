"""The command line: `python -m replab …`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replab import __version__
from replab.errors import CheckFailed, UserError
from replab.runs.experiment import PROFILES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 done · 1 a check failed · 2 the user's input is at fault.
    """
    parser = _parser()
    try:
        options = parser.parse_args(_spelled_out(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    from replab.runs import ranks

    try:
        ranks.refuse_under_torchrun(options.command)
        return int(options.run(options) or 0)
    except CheckFailed as error:
        ranks.say(f"failed: {error}")
        return 1
    except UserError as error:
        ranks.say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished runs are kept, the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _spelled_out(arguments: Sequence[str] | None) -> list[str]:
    """The arguments, `score FILE` written as `score weights FILE`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["score"] and words[1:2] and words[1].endswith(".safetensors"):
        words.insert(1, "weights")
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="replab", description="Paper replications, claim by claim.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"replab {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Any, text: str, *groups: argparse.ArgumentParser) -> Any:
        # An abbreviated option would be taken for another one as soon as there are two.
        command = commands.add_parser(
            name, help=text, description=text, parents=list(groups), allow_abbrev=False
        )
        command.set_defaults(run=run, command=name)
        return command

    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="machine-readable output")
    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (quick)")
    only = argparse.ArgumentParser(add_help=False)
    only.add_argument("--only", metavar="GLOB", help="claim ids or experiment names")
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--seeds", default="", help="how many (5), a range (3-5) or a list (0,4)")
    machine.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    machine.add_argument("--workers", type=_positive, help="processes (one a core, or one a GPU)")
    machine.add_argument(
        "--ranks",
        type=int,
        default=1,
        metavar="N",
        help="processes that share each training's batches, a GPU each (1)",
    )
    machine.add_argument("--executor", default="local", help="local, ray or slurm (local)")
    machine.add_argument(
        "--executor-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for ray or slurm, see docs/cluster.md",
    )
    machine.add_argument(
        "--no-wait",
        action="store_true",
        help="slurm: queue what is missing, say what is under way, and end",
    )
    engine: dict[str, Any] = {
        "default": "auto",
        "choices": ("auto", "eager", "compiled"),
        "help": "of trainings; auto probes which is faster here in long runs (auto)",
    }
    machine.add_argument("--engine", **engine)

    from replab import commands as do

    add("list", do.list_papers, "papers, their claims and their state", as_json)
    add("models", do.list_models, "networks with parameters and multiply-adds", as_json)
    command = add(
        "replicate",
        do.replicate,
        "do a paper's runs, decide its claims, render its notebook",
        *(as_json, profile, only, machine),
    )
    command.add_argument("paper")
    command.add_argument(
        *("-p", "--parameter"),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the notebook",
    )
    command.add_argument(
        "--strict", action="store_true", help="exit with 1 if a claim is not reproduced"
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be run and fetched, and do nothing",
    )
    command.add_argument(
        "--yes", action="store_true", help="begin without asking, however much a profile costs"
    )
    command = add("run", do.run, "do one run and print its metrics", as_json, profile)
    command.add_argument("paper")
    command.add_argument("experiment")
    command.add_argument(
        "--variant",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="which variant: `--variant net=plain depth=20`, also once a key, or with commas",
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    command.add_argument("--engine", **engine)
    command.add_argument("--threads", type=int, metavar="N", help="(one a core)")
    command.add_argument("--attached-to", type=int, metavar="PID", help=argparse.SUPPRESS)
    command.add_argument(
        "--keep-weights",
        action="store_true",
        help="keep the trained network's weights; a run that was done without is done again",
    )
    _add_queue(add("queue", do.queue.start, "work through all registered runs"), as_json)
    command = add("claims", do.claims, "the ledger of a paper", as_json, profile, only)
    command.add_argument("paper")
    command.add_argument(
        "--records",
        choices=("machine", "committed", "any"),
        default="any",
        help="this machine's, the committed ones, or whichever there are (any)",
    )
    command = add("check", do.check, "do the accepted ledgers follow from the records?", as_json)
    command.add_argument("papers", nargs="*", metavar="PAPER")
    command = add(
        "regress",
        do.regress,
        "compute anew and compare with the accepted ledger",
        *(as_json, profile, only, machine),
    )
    command.add_argument("papers", nargs="*", metavar="PAPER")
    command = add("accept", do.accept, "make this machine's records the evidence", profile)
    command.add_argument("paper")
    command.add_argument(
        "--partial", action="store_true", help="although registered runs are still missing"
    )
    command = add("render", do.render, "accepted notebooks anew, from committed records", as_json)
    command.add_argument("papers", nargs="*", metavar="PAPER")
    command.add_argument("--profile", help=f"{', '.join(PROFILES)} (all)")
    add("docs", do.docs, "write the generated pages, tables and badges anew", as_json)
    command = add("site", do.site, "build the site: the claims board and its pages", as_json)
    command.add_argument("--out", type=Path, default=Path("site"), metavar="DIR", help="(site)")
    command = add("report", do.report, "reports to hand in, from accepted", as_json, profile)
    command.add_argument("paper")
    command.add_argument("--format", default="all", help="mlrc, rescience, model-index, ro-crate")
    command.add_argument("--out", type=Path, metavar="DIR", help="(reports/PAPER/PROFILE)")
    command.add_argument("--code", default="", metavar="URL", help="where this suite is published")
    command.add_argument("--force", action="store_true", help="also over files changed by hand")
    command = add("import", do.import_, "bring records from elsewhere into this machine's store")
    command.add_argument("path", type=Path)
    command = add("export", do.export, "take a run's weights, and its record, out of the store")
    command.add_argument("run_id", metavar="RUN-ID", help="16 digits, as `run` prints them")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    command = add("fetch", do.fetch, "bring data or weights to this machine", as_json)
    command.add_argument("dataset", nargs="?", help="without one: what there is")
    command.add_argument("--from", dest="source", type=Path, metavar="FILE_OR_DIR")
    command.add_argument("--force", action="store_true", help="even if it is there")
    _add_scores(add("score", None, "score weights, predictions or result files"), as_json)
    from replab import predict as photographs

    photographs.add_options(add("predict", photographs.run, "poses in photographs", as_json))
    command = add("bench", do.bench, "speeds as ratios to a named peer, in one run", as_json)
    command.add_argument("--only", metavar="GLOB", help="names of benchmarks")
    command.add_argument(
        "--anatomy",
        action="store_true",
        help="where a training step's time goes, compiling, memory",
    )
    return parser


def _positive(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return number


def _add_queue(command: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """`queue` and its parts."""
    from replab.commands import queue as do

    def add_workers(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--workers", type=_positive, default=2, help="runs at a time, one thread each (2)"
        )

    command.add_argument("--commit", help="whose code begins new runs (HEAD)")
    add_workers(command)
    parts = command.add_subparsers(title="parts", metavar="PART")
    part = parts.add_parser(
        "status", parents=[as_json], help="what is done, running and left", allow_abbrev=False
    )
    part.set_defaults(run=do.status)
    part = parts.add_parser("stop", help="stop; runs resume from their checkpoints")
    part.set_defaults(run=do.stop)
    part = parts.add_parser("work")
    part.add_argument("--repository", type=Path, required=True)
    add_workers(part)
    part.set_defaults(run=do.work)


def _add_scores(command: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The metrics that `score` knows, each with its own options."""
    from replab import score as do

    metrics = command.add_subparsers(title="metrics", metavar="METRIC", required=True)

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        metric = metrics.add_parser(
            name, help=text, description=text, parents=[as_json], allow_abbrev=False
        )
        metric.set_defaults(run=run)
        return metric

    file: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    metric = add("weights", do.weights, "weights of our own, by what their file says")
    metric.add_argument("file", type=Path, metavar="FILE", help="also just `score FILE`")
    metric.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    metric = add("cifar10", do.cifar10, "test error of a checkpoint on CIFAR-10, percent")
    metric.add_argument("--weights", required=True, **file)
    metric.add_argument("--device", default="cpu")
    metric = add("coco", do.coco, "AP and AR of a result file, or of a pose network's weights")
    metric.add_argument("--gt", help="ground truth (person_keypoints_….json)", **file)
    metric.add_argument("--dt", help="result file", **file)
    metric.add_argument("--engine", default="hotcoco", help="hotcoco or pycocotools (hotcoco)")
    weights = metric.add_argument_group("instead of --gt and --dt, the whole way from pictures")
    weights.add_argument("--weights", help="of a pose network: released, mmpose's, ours", **file)
    weights.add_argument("--part", default="val2017", help="of COCO (val2017)")
    weights.add_argument("--folder", type=Path, metavar="DIR", help="annotations/ and PART/")
    weights.add_argument("--annotations", help="of the same pictures, from elsewhere", **file)
    weights.add_argument("--boxes", default="gt", metavar="gt|FILE", help="boxes of people (gt)")
    weights.add_argument("--input", metavar="HxW", help="of the network in px (256x192)")
    weights.add_argument("--colour", help="RGB or BGR instead of what the weights expect")
    weights.add_argument("--codec", default="released", help="released, plain, dark, udp")
    weights.add_argument("--no-flip", action="store_true", help="leave the mirror image out")
    weights.add_argument("--precision", default="fp32", help="fp32 or bf16 (fp32)")
    weights.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    weights.add_argument("--compile", action="store_true", help="compile the network first")
    weights.add_argument("--results", help="write the COCO result file here", **file)
    weights.add_argument(
        "--draws", type=int, default=0, help="sets of pictures drawn for intervals (0)"
    )
    for name, run, people in (
        ("lsp", do.lsp, "1,000 test people of LSP"),
        ("flic", do.flic, "1,016 test people of FLIC"),
        ("mpii", do.mpii, "validation people of MPII"),
    ):
        metric = add(name, run, f"PCK{'h' * (name == 'mpii')} on the {people}, percent")
        metric.add_argument("--pred", required=True, help="predictions", **file)
        metric.add_argument("--gt", required=True, help="ground truth", **file)
        if name == "mpii":
            metric.add_argument(
                "--zero-based", action="store_true", help="predictions count pixels from 0"
            )

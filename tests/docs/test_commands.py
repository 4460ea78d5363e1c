"""Every command that the pages for people show is run here, or in the test that is named for it.

Commands that take data, hours or a network are run as far as that: what `replicate` would do by
its own forecast, what `run` would begin, what `fetch` would ask for. A command that is new on a
page fails here until it stands in `COMMANDS`.
"""

import ast
import functools
import importlib.util
import json
import re
import shlex
import shutil
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coco_made import made
from pck_made import lsp_truth, stored_lsp, write_mat
from replab import cli, datasets
from replab.claims.accepted import load_accepted
from replab.cli import main
from replab.datasets import availability
from replab.errors import UserError
from replab.models import create
from replab.planning import forecast
from replab.runs import execution
from tiny_pose_sets import write_coco

ROOT = Path(__file__).resolve().parents[2]
# Made from papers' files and records, not written by hand.
GENERATED = {"costs.md", "deviations.md", "verdicts.md"}
# Has a test of its own, which does what the page says from its first line to its last.
APART = {"fifth-paper.md"}
PROGRAMS = ("nox", "python", "pip", "git", "conda", "torchrun", "pytest", "ray", "PYTHONPATH=")
# The README's table of commands: from this column on, what each does.
COLUMN = 43
LOAD_ACCEPTED = load_accepted
SMALL = {"stem": 16, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}


def pages() -> list[Path]:
    """What is written by hand for people."""
    written = [p for p in (ROOT / "docs").glob("*.md") if p.name not in GENERATED | APART]
    papers = (ROOT / "replications").glob("*/README.md")
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(written), *sorted(papers)]


def commands_of(text: str, table: bool = False) -> list[str]:
    """Commands of the blocks and, in backticks, of the sentences of a page.

    Args:
        table: whether its blocks say in a column of their own what a command does.
    """
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    blocks = [body for kind, body in fenced.findall(text) if kind in ("", "sh", "bash")]
    rest = fenced.sub("", text)
    blocks += re.findall(r"(?:^ {4,}\S.*\n)+", rest, re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").split("\n")]
    if table:
        lines = [line[: COLUMN - 1] if _has_comment(line) else line for line in lines]
    lines += re.findall(r"`([^`]+)`", rest)
    found = [part.strip() for line in lines for part in " ".join(line.split()).split("&&")]
    # A program's name alone names the program.
    return [c for c in found if c.startswith(PROGRAMS) and " " in c and c != "python -m replab"]


def _has_comment(line: str) -> bool:
    return len(line) > COLUMN and line[COLUMN - 1] == " " and line[COLUMN] not in " -"


@dataclass(frozen=True)
class Run:
    """Run here, with files of the test in place of the page's; `says` is in what it prints."""

    says: str
    replaced: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What `replicate` would do, by `--dry-run`: `runs` of an experiment are what it asks for."""

    experiment: str
    runs: int


@dataclass(frozen=True)
class Begun:
    """What `run` would begin, its data taken for granted."""

    label: str
    replaced: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Fetched:
    """What `fetch` asks for where there is no network."""

    name: str


@dataclass(frozen=True)
class Elsewhere:
    """Run by another test, in which these words stand."""

    test: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """A session of nox that calls this, and `then` for what replab does of it."""

    calls: str
    then: Forecast | None = None


@dataclass(frozen=True)
class Files:
    """A command of another program; the files that it names are there."""

    names: tuple[str, ...] = ()


Way = Run | Forecast | Begun | Fetched | Elsewhere | Session | Files
SHORTENED = Forecast("shortened", 20)
TABLE1 = Forecast("released", 8)
REDUCED = Forecast("lspet_reduced", 12)
PREDICTED = "pictures: 1, people: 1 (boxes: whole)"
IN_FETCH = "tests/datasets/test_fetch.py"
IN_REPORTS = "tests/report/test_replicate.py"

COMMANDS: dict[str, Way] = {
    # The two commands, and with conda.
    'pip install "nox[uv]"': Files(),
    "nox -s replicate -- hrnet": Session("replicate hrnet", Forecast("scaled", 9)),
    "nox -s tests": Session("pytest"),
    "conda env create -f environment.yml": Files(("environment.yml",)),
    "python -m replab replicate hrnet": Forecast("scaled", 9),
    # Sessions.
    "nox -s check": Session("check"),
    "nox -s regress": Session("regress"),
    "nox -s queue": Session("queue"),
    "nox -s queue -- status": Session("queue status"),
    "nox -s queue -- stop": Session("queue stop"),
    "nox -s lab": Session("jupyter lab"),
    "nox -s docs": Session("docs"),
    "nox -s site": Session("site"),
    "nox -s bench": Session("bench"),
    "nox -s bench -- --anatomy": Session("bench --anatomy"),
    "nox -s lock": Session("uv pip compile"),
    "nox -s tests_cluster": Session("pytest"),
    "nox -s replicate -- <paper>": Session("replicate <paper>"),
    "nox -s replicate -- resnet --profile paper --only 'table6.resnet20.error'": Session(
        "replicate resnet --profile paper --only table6.resnet20.error", Forecast("cifar", 5)
    ),
    "nox -s replicate -- hrnet --profile paper --only 'table1.*'": Session(
        "replicate hrnet --profile paper --only table1.*", TABLE1
    ),
    "nox -s replicate -- hrnet --profile standin --only lspet_reduced": Session(
        "replicate hrnet --profile standin --only lspet_reduced", REDUCED
    ),
    "nox -s replicate -- simplebaseline --profile standin --only lspet_reduced": Session(
        "replicate simplebaseline --profile standin --only lspet_reduced",
        Forecast("lspet_reduced", 18),
    ),
    "nox -s replicate -- simplebaseline --profile paper --only 'readme.*'": Session(
        "replicate simplebaseline --profile paper --only readme.*", Forecast("released", 6)
    ),
    "nox -s replicate -- simplebaseline --profile paper --only 'table1.g.*'": Session(
        "replicate simplebaseline --profile paper --only table1.g.*", Forecast("coco", 3)
    ),
    # What replicate would do.
    "python -m replab replicate hrnet --profile standin --dry-run": Forecast("lspet", 12),
    "python -m replab replicate resnet --profile standin --only shortened": SHORTENED,
    "python -m replab replicate resnet --profile paper --only 'table6.resnet20.error'": Forecast(
        "cifar", 5
    ),
    "python -m replab replicate hrnet --seeds 3-5": Forecast("scaled", 9),
    "python -m replab replicate hrnet --profile paper --ranks 8": Forecast("coco", 36),
    # Clusters: options as the pages give them, on engines of this machine.
    "python -m replab replicate $paper --profile paper --yes --executor slurm --no-wait "
    "--workers 8 --executor-option partition=gpu --executor-option gpus_per_node=1 "
    "--executor-option cpus_per_task=8 --executor-option mem_gb=48 "
    "--executor-option timeout_min=1440": Elsewhere(
        "tests/runs/test_clusters.py::test_the_command_says_what_is_left",
        ('"--executor-option", "partition=a"', '"slurm"'),
    ),
    "python -m replab replicate $paper --profile paper --yes --executor ray "
    "--executor-option address=auto --executor-option cpus=8": Elsewhere(
        "tests/runs/test_cluster_engines.py", ('clusters.choose("ray")',)
    ),
    "ray start --head": Files(),
    "ray start --address=HEAD:6379": Files(),
    # Single runs.
    "python -m replab run hrnet scaled --variant net=hrnet exchange=all --seed 3": Begun(
        "scaled[net=hrnet,exchange=all] seed 3"
    ),
    "python -m replab run cpm lspet_reduced --profile standin --seed 0 --variant net=base "
    "stages=3 supervision=in-turn": Begun(
        "lspet_reduced[net=base,stages=3,supervision=in-turn] seed 0"
    ),
    "python -m replab run own_nets pose --profile standin": Begun("pose[net=hrnet] seed 0"),
    "python -m replab run resnet shortened --profile standin --variant net=resnet depth=20 "
    "--keep-weights": Begun("shortened[net=resnet,depth=20] seed 0"),
    "PYTHONPATH=lib python -m replab run resnet cifar --profile paper --variant net=resnet "
    "depth=20": Begun("cifar[net=resnet,depth=20] seed 0"),
    "PYTHONPATH=lib python -m replab run PAPER EXPERIMENT --variant k=v --seed S --profile P": (
        Begun(
            "degradation[net=plain,depth=20] seed 1",
            (
                ("PAPER EXPERIMENT", "resnet degradation"),
                ("k=v", "net=plain depth=20"),
                ("seed S", "seed 1"),
                ("profile P", "profile quick"),
            ),
        )
    ),
    "torchrun --nproc-per-node=8 -m replab run hrnet coco --profile paper --variant …": Elsewhere(
        "tests/runs/test_ranks.py::test_started_from_here_killed_and_gone_on_from_a_checkpoint",
        ("ranks",),
    ),
    # Looking.
    "python -m replab list": Run("hrnet"),
    "python -m replab models": Run("28,536,113"),
    "python -m replab claims resnet": Run("table6.resnet110.params"),
    "python -m replab claims hrnet --only 'table1.hrnet-w32-*'": Run("table1.hrnet-w32-scratch"),
    "python -m replab claims <paper> --only '<id>'": Run(
        "table1.hrnet-w32-scratch", (("<paper>", "hrnet"), ("<id>", "table1.hrnet-w32-*"))
    ),
    "python -m replab claims cpm --profile standin --only standin.reduced.in-turn --json": Run(
        '"supports": "fig6b.order"'
    ),
    "python -m replab fetch": Run("coco-train2017"),
    "python -m replab report PAPER": Run("resnet", (("PAPER", "resnet"),)),
    "python -m replab report resnet": Run("resnet"),
    "python -m replab report resnet --profile standin --format mlrc --out my-report": Run(
        "my-report"
    ),
    # Data and weights.
    "python -m replab fetch cifar10": Fetched("cifar10"),
    "python -m replab fetch lspet": Fetched("lspet"),
    "python -m replab fetch coco-train2017": Fetched("coco-train2017"),
    "python -m replab fetch coco-val2017": Fetched("coco-val2017"),
    "python -m replab fetch cpm-predictions": Fetched("cpm-predictions"),
    "python -m replab fetch cifar10 --from cifar-10-python.tar.gz": Elsewhere(
        f"{IN_FETCH}::test_from_a_file_asks_nobody_and_keeps_it", ("source=",)
    ),
    "python -m replab fetch coco-val2017 --from /data/coco": Elsewhere(
        "tests/datasets/test_coco_sources.py", ("fetch", "coco-")
    ),
    "python -m replab fetch imagenet --from /data/imagenet": Elsewhere(
        "tests/datasets/test_imagenet.py", ("fetch", "imagenet")
    ),
    "python -m replab fetch imagenet --from DIR": Elsewhere(
        "tests/datasets/test_imagenet.py", ("fetch", "imagenet")
    ),
    **dict.fromkeys(
        (
            "python -m replab fetch weights:w32-256x192 --from pose_hrnet_w32_256x192.pth",
            "python -m replab fetch weights:w32-256x192 --from FILE_OR_DIR",
            "python -m replab fetch weights:sb-r50-256x192 --from FILE_OR_DIR",
        ),
        Elsewhere(
            "tests/datasets/test_pose_weights.py::test_from_a_file_or_folder", ("weights:",)
        ),
    ),
    # Scores.
    "python -m replab score coco --gt F --dt F": Run(
        "AP ", (("gt F", "gt gt.json"), ("dt F", "dt dt.json"))
    ),
    "python -m replab score coco --gt person_keypoints_val2017.json --dt keypoints.json": Run(
        "AP ", (("person_keypoints_val2017", "gt"), ("keypoints.json", "dt.json"))
    ),
    **{
        f"python -m replab score coco --weights {given}": Run("AP ", ((given, "net.pth" + SIZE),))
        for SIZE in (" --folder coco --part tiny --input 64x64",)
        for given in ("F", "mine.pth --boxes gt")
    },
    "python -m replab score coco --weights mine.pth --folder /data/mine --part val "
    "--annotations mine.json": Run(
        "AP ",
        (
            ("mine.pth", "net.pth --input 64x64"),
            ("/data/mine", "mine"),
            ("mine.json", "mine.json"),
        ),
    ),
    "python -m replab score lsp --pred F --gt F": Run(
        "PCK@0.2: 100.000 %", (("pred F", "pred pred.mat"), ("gt F", "gt truth.mat"))
    ),
    **dict.fromkeys(
        (
            "python -m replab score cifar10 --weights F",
            "python -m replab score cifar10 --weights mine.pth",
            "python -m replab score cifar10 --weights FILE.safetensors",
            "python -m replab score F.safetensors",
            "python -m replab score FILE.safetensors",
            "python -m replab score results/own_nets/weights/pose_small.safetensors",
            "python -m replab export RUN-ID --out F",
            "python -m replab export RUN-ID --out FILE.safetensors",
            "python -m replab export RUN-ID --out results/own_nets/weights/pose_small.safetensors",
        ),
        Elsewhere(
            "tests/test_own_weights_end_to_end.py::test_cifar",
            ('"score", "cifar10", "--weights"', '"export"', '"score", file'),
        ),
    ),
    # Photographs.
    "python -m replab predict photo.jpg": Elsewhere(
        "tests/photos/test_predict.py::test_a_folder_of_photographs_by_our_own_network", ("run(",)
    ),
    **{
        f"python -m replab predict {words}": Run(PREDICTED, (("pose_hrnet_w32_256x192", "net"),))
        for words in ("photo.jpg --weights pose_hrnet_w32_256x192.pth",)
    },
    "python -m replab predict photo.jpg --model w32-256x192": Elsewhere(
        "tests/photos/test_networks.py::test_fetched_weights_are_found_by_their_name", ("model=",)
    ),
    "python -m replab predict holiday/ more/1.png --weights pose_hrnet_w32_256x192.pth "
    "--out found": Run("pictures: 2, people: 2", (("pose_hrnet_w32_256x192", "net"),)),
    "python -m replab predict holiday/ --weights W.pth --boxes boxes.json --box-threshold 0.3": (
        Run("pictures: 1, people: 1", (("W.pth", "net.pth"),))
    ),
    "python -m replab predict holiday/ --weights W.pth --boxes detector "
    "--detector-weights D.pth": Elsewhere(
        "tests/photos/test_detector.py::test_boxes_are_those_of_the_network_and_of_people_only",
        ("detector",),
    ),
    # What contributors do, on a paper in miniature.
    "python -m replab accept PAPER --profile PROFILE --partial": Elsewhere(
        "tests/claims/test_registered.py::TestAcceptance::test_in_part", ("partial=True",)
    ),
    "python -m replab accept <paper>": Elsewhere(
        f"{IN_REPORTS}::TestReplicate::test_again_reuses_the_records_and_renders_the_same_bytes",
        ('"accept", "mini"',),
    ),
    "python -m replab render --profile standin": Elsewhere(
        f"{IN_REPORTS}::TestReplicate::test_render_needs_no_store_and_gives_the_same_bytes",
        ('"render", "--profile"',),
    ),
    "python -m replab check": Elsewhere("tests/report/test_check.py", ('"check"',)),
    "python -m replab regress": Elsewhere(
        f"{IN_REPORTS}::TestRegress", ('"regress", "--workers"',)
    ),
    "python -m replab docs": Elsewhere("tests/report/test_docs_pages.py", ('"docs"',)),
    "python -m replab bench --only ranks": Elsewhere("tests/bench/test_ranks.py", ("ranks",)),
    **dict.fromkeys(
        (
            "python -m replab import FOLDER",
            "python -m replab import /from/the/other/store",
            "python -m replab import /from/the/gpu/machine/.replab",
        ),
        Elsewhere(f"{IN_REPORTS}::TestOtherCommands", ('"import", "results/mini"',)),
    ),
    "git clone … /shared/replab": Files(),
    "python3 -m venv .venv": Files(),
    "pip install --require-hashes -r requirements.lock": Files(("requirements.lock",)),
    "pip install --require-hashes -r requirements-cluster.lock": Files(
        ("requirements-cluster.lock",)
    ),
    "pip install --no-deps -e .": Files(("pyproject.toml",)),
}


def test_every_command_of_the_pages_stands_here_and_no_other():
    shown = {
        command
        for page in pages()
        for command in commands_of(page.read_text(), table=page.name == "README.md")
    }
    # A command named in a sentence by its beginning is that of the block that shows it whole.
    whole = {c for c in shown if c in COMMANDS}
    beginnings = {c for c in shown - whole if any(w.startswith(f"{c} ") for w in whole)}
    assert shown - whole - beginnings == set(), "on a page, but not run by any test"
    assert set(COMMANDS) - whole == set(), "no page shows these any more"


def of_kind(*kinds: type) -> list[str]:
    return [command for command, way in COMMANDS.items() if isinstance(way, kinds)]


def words_of(command: str, replaced: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """The words after `python -m replab`."""
    text = command.partition("-m replab ")[2]
    for shown, own in replaced:
        assert shown in text, (command, shown)
        text = text.replace(shown, own)
    return shlex.split(text)


@pytest.mark.parametrize("command", [c for c in COMMANDS if "-m replab " in c])
def test_its_words_are_understood(command):
    text = re.sub(r"<\w+>|\$paper|PAPER", "resnet", command)
    text = text.replace("--seed S", "--seed 0").replace("--variant …", "--variant net=hrnet")
    options = cli._parser().parse_args(cli._spelled_out(words_of(text)))
    assert callable(options.run)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the pages' commands name: weights, photographs, predictions, a data set."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    torch.save(create("pose_hrnet_w8", **SMALL).state_dict(), folder / "net.pth")
    write_coco(folder / "coco")
    # A set of one's own: pictures in a folder of any name, annotations anywhere.
    (folder / "mine").mkdir()
    shutil.copytree(folder / "coco" / "tiny", folder / "mine" / "val")
    annotations = folder / "coco" / "annotations" / "person_keypoints_tiny.json"
    shutil.copy(annotations, folder / "mine.json")
    people = [("plain", 4000.0), ("plain", 2e4)]
    truth, results = made(3, [(people, [("exact", 0, 0.9)])] * 2)
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "dt.json").write_text(json.dumps(results))
    joints = lsp_truth()
    write_mat(folder / "truth.mat", joints=stored_lsp(joints))
    write_mat(folder / "pred.mat", prediction_all=joints.transpose(1, 2, 0))
    noise = np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)
    for name in ("photo.jpg", "holiday/beach.jpg", "more/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noise).save(folder / name)
    box = {"file_name": "beach.jpg", "bbox": [4, 4, 40, 80], "score": 0.9}
    (folder / "boxes.json").write_text(json.dumps([box, {**box, "score": 0.1}]))
    return folder


@pytest.fixture
def here(files, tmp_path, monkeypatch):
    """A user in a folder with these files, without data or network."""
    for place in files.iterdir():
        (tmp_path / place.name).symlink_to(place)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPLAB_ROOT", str(ROOT))
    monkeypatch.setenv("REPLAB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REPLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("REPLAB_OFFLINE", "1")
    # A paper's records are read once for all commands.
    monkeypatch.setattr(forecast, "load_accepted", lambda paper: _gathered(paper.name))
    return tmp_path


@functools.cache
def _gathered(name: str):
    from replab.claims.schema import load

    return LOAD_ACCEPTED(load(name))


@pytest.mark.parametrize("command", of_kind(Run))
def test_run(command, here, capsys):
    way = COMMANDS[command]
    code = main(words_of(command, way.replaced))
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert way.says in printed.out


def assert_forecast(words, expected, capsys):
    assert main([*words, "--dry-run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["experiment"]: row["runs"] for row in rows}[expected.experiment] == expected.runs


@pytest.mark.parametrize("command", of_kind(Forecast))
def test_replicate_would_do_it(command, here, capsys):
    words = [word for word in words_of(command) if word != "--dry-run"]
    assert_forecast(words, COMMANDS[command], capsys)


@pytest.mark.parametrize("command", of_kind(Begun))
def test_run_would_begin_it(command, here, capsys, monkeypatch):
    monkeypatch.setattr(availability, "ensure_available", lambda name, may_fetch: None)
    monkeypatch.setattr(datasets, "fingerprint", lambda name: "f" * 16)
    begun = []

    def execute(spec, store, options, **how):
        begun.append((spec.label, options.keep_weights))
        raise UserError("as asked")

    monkeypatch.setattr(execution, "execute", execute)
    way = COMMANDS[command]
    assert main([*words_of(command, way.replaced), "--device", "cpu"]) == 2
    assert capsys.readouterr().err == "error: as asked\n"
    assert begun == [(way.label, "--keep-weights" in command)]


@pytest.mark.parametrize("command", of_kind(Fetched))
def test_fetch_asks_for_it(command, here, capsys):
    assert main(words_of(command)) == 2
    # Above it, a line for each source that is not asked.
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert COMMANDS[command].name in line
    assert {path.suffix for path in here.rglob("data/**/*") if path.is_file()} <= {".lock"}


@pytest.mark.parametrize("command", of_kind(Elsewhere))
def test_another_test_runs_it(command):
    way = COMMANDS[command]
    file, *names = way.test.split("::")
    source = (ROOT / file).read_text()
    node: ast.AST = ast.parse(source)
    for name in names:
        inside = {
            n.name: n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.ClassDef)
        }
        assert name in inside, way.test
        node = inside[name]
    text = ast.get_source_segment(source, node) if names else source
    for words in way.words:
        assert words in text, (way.test, words)


@pytest.mark.parametrize("command", of_kind(Files))
def test_files_are_there(command):
    for name in COMMANDS[command].names:
        assert name in command or name == "pyproject.toml"
        assert (ROOT / name).stat().st_size > 0


@pytest.fixture
def sessions(monkeypatch):
    """The sessions of the noxfile, read without nox."""
    found = {}

    def session(function=None, **options):
        if function is None:
            return session
        found[function.__name__] = function
        return function

    nox = types.ModuleType("nox")
    nox.session, nox.Session = session, object
    nox.options = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "nox", nox)
    spec = importlib.util.spec_from_file_location("noxfile_of_the_pages", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # The environment that runs this test stands for the one that nox makes.
    monkeypatch.setattr(module, "python", lambda session: sys.executable)
    monkeypatch.setattr(module, "CLUSTER_PACKAGES", ROOT / "nowhere", raising=True)
    monkeypatch.setattr(module, "exclusive", _Stop)
    return found


class _Stop:
    """In place of the lock around installing: nothing is installed here."""

    def __enter__(self):
        pytest.skip("installs packages: run by the session `tests_cluster` of .ci/run itself")

    def __exit__(self, *error):
        return None


class Recorded:
    """A session that notes what it is asked to run."""

    def __init__(self, posargs):
        self.posargs, self.calls = posargs, []

    def install(self, *words):
        return None

    def run(self, *words, **options):
        self.calls.append([str(word) for word in words])


@pytest.mark.parametrize("command", of_kind(Session))
def test_session_calls_it(command, sessions, here, capsys):
    way = COMMANDS[command]
    _, _, name, *rest = shlex.split(command)
    session = Recorded(rest[1:] if rest[:1] == ["--"] else rest)
    sessions[name](session)
    lines = [" ".join(call) for call in session.calls]
    assert any(way.calls in line for line in lines), lines
    for call in session.calls:
        if "replab" in call and "<paper>" not in call:
            cli._parser().parse_args(call[call.index("replab") + 1 :])
    if way.then is not None:
        (call,) = session.calls
        assert_forecast(call[call.index("replab") + 1 :], way.then, capsys)

"""Misspelt or ill-typed options: each is refused by its name, before anything is done."""

import pytest

from replab import cli
from replab.errors import UserError
from replab.options import RunOptions
from replab.planning.request import Request, parse_seeds


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"device": "cdua"}, "no device 'cdua'; did you mean cuda?"),
        ({"device": "cpu0"}, "no device 'cpu0'; did you mean cpu?"),
        ({"device": ""}, "no device ''"),
        ({"device": "cuda:one"}, "no device 'cuda:one'"),
        ({"precision": "fp16"}, "no precision 'fp16'; did you mean"),
        ({"precision": "bfloat16"}, "no precision 'bfloat16'"),
        ({"engine": "compield"}, "no engine 'compield'; did you mean compiled?"),
        ({"engine": "Eager"}, "no engine 'Eager'; did you mean eager?"),
        ({"threads": 0}, "--threads 0: "),
        ({"threads": "2"}, "--threads 2: "),
        ({"ranks": -1}, "--ranks -1: "),
        ({"ranks": 1.5}, "--ranks 1.5: "),
    ],
)
def test_run_options(fields, said):
    with pytest.raises(UserError) as error:
        RunOptions(**fields)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_an_unknown_option_is_no_option():
    with pytest.raises(TypeError, match="thread"):
        RunOptions(thread=1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"profile": "quik"}, "no profile 'quik'; did you mean quick?"),
        ({"options": RunOptions(ranks=2), "workers": 3}, "--ranks does one run at a time here"),
        ({"options": RunOptions(ranks=2), "executor": "ray"}, "--ranks does one run at a time"),
    ],
)
def test_requests(fields, said):
    with pytest.raises(UserError) as error:
        Request(paper="resnet", **fields)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("words", ["three", "0,0", "5-3", "1;2", "0", "-1"])
def test_seeds(words):
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(words)


def test_seeds_that_are_some():
    assert parse_seeds("") is None
    assert parse_seeds(" 3 ") == (0, 1, 2)
    assert parse_seeds("3-5") == (3, 4, 5)
    assert parse_seeds("0,4,6-7") == (0, 4, 6, 7)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replicate", "resnte"], "no paper 'resnte'; did you mean resnet?"),
        (["replicate", "resnet", "--profile", "standing"], "did you mean standin?"),
        (["replicate", "resnet", "--only", "tabel6.*"], "no runs that fit 'tabel6.*'"),
        (["replicate", "resnet", "-p", "top_off_loss=2"], "did you mean top_of_loss?"),
        (["replicate", "resnet", "-p", "records=machine"], "-p records="),
        (["replicate", "resnet", "-p", "seeds=3"], "-p seeds="),
        (["replicate", "resnet", "--executor", "slrum"], "--executor slrum"),
        (["replicate", "resnet", "--device", "gpu"], "no device 'gpu'"),
        (["run", "resnet", "cuonts"], "no experiment 'cuonts'; did you mean counts?"),
        (["run", "resnet", "counts", "--variant", "modle=vgg16"], "modle=vgg16"),
        (["run", "resnet", "counts", "--variant", "model=vgg15"], "model=vgg15"),
        (["claims", "resnet", "--only", "tabel6.*"], "tabel6.*"),
        (["regress", "resnet", "--seeds", "many"], "--seeds many"),
    ],
)
def test_command_lines(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("REPLAB_STORE", str(tmp_path))
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["replicate", "resnet", "--seed", "3"],
        ["replicate", "resnet", "--worker", "3"],
        ["replicate", "resnet", "--engine", "fast"],
        ["replicate", "resnet", "--workers", "0"],
        ["replciate", "resnet"],
    ],
)
def test_argparse_names_what_it_does_not_know(words, capsys):
    assert cli.main(words) == 2
    assert words[-2 if len(words) > 2 else 0] in capsys.readouterr().err

"""A checkout in miniature with every verdict in it, and the site that is built from it."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chromium
from replab.claims import acceptance, schema
from replab.runs import record as records
from replab.runs.experiment import RunResult, load_replication, papers
from replab.runs.identity import plan_runs
from replab.runs.store import Store
from replab.site.statements import gather

ROOT = Path(__file__).resolve().parents[2]

EXPERIMENTS = """
from replab.runs.experiment import Experiment, Plan, RunResult


def nothing(context):
    return RunResult({"params": 0.0})


EXPERIMENTS = (
    Experiment(
        name="counts",
        version=1,
        changelog={1: "first"},
        function=nothing,
        deterministic=True,
        plans={"quick": Plan(tuple({"net": n} for n in "ab"))},
    ),
    Experiment(
        name="train",
        version=1,
        changelog={1: "first"},
        function=nothing,
        plans={"quick": Plan(tuple({"net": n} for n in "abc"), seeds=(0, 1, 2))},
    ),
)
"""

PAPER = """\
citation: {authors: A. Uthor, title: "On <Sums> & Such", venue: Mini, year: 2026}
tolerances:
  T0: {rule: equal, why: Counting has no noise.}
  Tshape: {rule: order, deviations: 2, min_seeds: 3, why: A figure gives a direction only.}
scaled:
  quick.order:
    supports: fig3.order
    locus: Fig. 3, scaled down
    statement: a < b
    metric: loss
    unit: nats
    profile: quick
    tolerance: Tshape
    powered: true
    ordering: {measures: ["train[net={}].loss"], ascending: [a, b]}
  quick.close:
    supports: fig3.order
    locus: Fig. 3, scaled down
    statement: b < c
    metric: loss
    unit: nats
    profile: quick
    tolerance: Tshape
    powered: true
    ordering: {measures: ["train[net={}].loss"], ascending: [b, c]}
needs:
  fig3.*: a computer that `nobody` has
  table2.*: a server
"""

# A note that would be a script, if anything forgot to escape it.
CLAIMS = """\
id,locus,kind,metric,reported,unit,source,protocol,selector,tolerance,gate,note
table1.a.params,"Table 1, row A",exact,params,269722,params,P,sums,counts[net=a].params,T0,yes,<script>a()</script>
table1.b.params,"Table 1, row B",exact,params,464155,params,P,arithmetic,counts[net=b].params,T0,yes,one off
table2.rival.ap,Table 2,value,ap,70.0,percent,P,-,,none,no,somebody else's
table2.server.ap,Table 2,value,ap,71.0,percent,P,server,,T0,yes,
fig3.order,Fig. 3,ordering,loss,a < b < c,none,P,-,,Tshape,yes,
"""  # noqa: E501

DEVIATIONS = """\
deviations:
  - id: padding
    topic: network
    where: padding of `A`
    paper: unspecified
    here: zeros
    why: The paper does not say with what it pads.
    claims: [table1.*]
"""

README = """\
# On Sums

What was done. See [the verdicts](../../docs/reading-verdicts.md#the-four-verdicts),
[the notebook](../../results/demo/quick/demo.ipynb), [the code](experiments.py) and
[elsewhere](https://example.org/).

```
python -m replab replicate demo --seeds 3-5
```

| where | what |
| --- | --- |
| here | sums |
"""

READING = """\
# How to read a verdict

## The four verdicts

<!-- example: reproduced -->

<!-- example: not reproduced -->
"""

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJg"
    "gg=="
)
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'
)

PROVENANCE = {
    "commit": "0123456789abcdef" + "0" * 24,
    "dirty": False,
    "versions": {"torch": "2.0"},
    "cpu": "a processor",
    "gpu": "",
    "started": "2025-01-01T00:00:00+00:00",
    "wall_s": 90.0,
    "peak_mem_bytes": 2**30,
    "throughput": None,
}
PARAMETERS = {"a": 269722, "b": 464154}
LOSSES = {"a": (1.0, 1.1, 1.2), "b": (2.0, 2.2, 2.1), "c": (2.1, 2.0, 2.3)}


def code(source, *outputs):
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": ["nbval-skip"]},
        "outputs": list(outputs),
        "source": source,
    }


def image():
    data = {"image/png": base64.b64encode(DOT).decode(), "text/plain": "<Figure>"}
    return {"output_type": "display_data", "data": data, "metadata": {}}


CELLS = [
    {
        "cell_type": "markdown",
        "metadata": {},
        "source": "# On Sums\n\n**The claim.** They add up.",
    },
    code('kinds = ("train", "other")\nids = [f"table1.{net}.params" for net in "ab"]'),
    {"cell_type": "markdown", "metadata": {}, "source": "## What counting settles"},
    code('style.save(figures.bars(demo.ledger, ids), "counts")', image()),
    {"cell_type": "markdown", "metadata": {}, "source": "## Trainings: Fig. 3"},
    code('demo.draw("losses", curves, *kinds)\ndemo.draw("figure-3", order, *kinds)', image()),
    code('demo.draw("absent", curves, "other")'),
]


def make_checkout(root):
    """A checkout with the paper `demo`, its ledger of profile quick accepted."""
    for folder in ("notebooks", "docs", "replications/demo", "results/demo/quick/figures", "lib"):
        (root / folder).mkdir(parents=True)
    files = {"experiments.py": EXPERIMENTS, "paper.yaml": PAPER, "claims.csv": CLAIMS}
    files |= {"deviations.yaml": DEVIATIONS, "README.md": README}
    for name, text in files.items():
        (root / "replications" / "demo" / name).write_text(text, encoding="utf-8")
    (root / "docs" / "reading-verdicts.md").write_text(READING, encoding="utf-8")
    (root / "docs" / "architecture.md").write_text("# Architecture\n\nFloors.\n", encoding="utf-8")
    (root / "lib" / "replab").mkdir()
    shutil.copy(ROOT / "lib/replab/errors.py", root / "lib/replab/errors.py")
    folder = root / "results" / "demo" / "quick"
    for name in ("counts", "losses", "figure-3"):
        (folder / "figures" / f"{name}.png").write_bytes(DOT + b"\0" * 500)
        (folder / "figures" / f"{name}.svg").write_text(SVG)
    language = {"language_info": {"name": "python"}}
    notebook = {"cells": CELLS, "metadata": language, "nbformat": 4, "nbformat_minor": 4}
    (folder / "demo.ipynb").write_text(json.dumps(notebook))


def make_records():
    found = []
    for name, numbers in (
        ("counts", lambda v, seed: {"params": PARAMETERS[v["net"]]}),
        ("train", lambda v, seed: {"loss": LOSSES[v["net"]][seed]}),
    ):
        experiment = load_replication("demo").experiments[name]
        plan = plan_runs(*("demo", experiment, "quick"), data=("", ""), device="cpu", seeds=None)
        for spec in plan:
            result = RunResult(numbers(spec.variant, spec.seed), model="net")
            found.append(records.make(spec, result, threads=1, provenance=PROVENANCE))
    return found


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """The folder of the miniature checkout."""
    root = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        make_checkout(root)
        patch.setenv("REPLAB_ROOT", str(root))
        store = Store(tmp_path_factory.mktemp("store"))
        for record in make_records():
            store.put(record)
        acceptance.accept(schema.load("demo"), "quick", store)
        sys.modules.pop("replications.demo.experiments", None)
    return root


@pytest.fixture
def demo(checkout, monkeypatch):
    """The evidence of the miniature checkout, which is the checkout while a test runs."""
    monkeypatch.setenv("REPLAB_ROOT", str(checkout))
    yield gather("demo")
    sys.modules.pop("replications.demo.experiments", None)


@pytest.fixture(scope="session", params=papers())
def committed(request):
    """A paper of this checkout as it is committed."""
    return gather(request.param)


def python_with_sphinx():
    """A Python that can build the site: this one, or that of nox's session `site`."""
    named = os.environ.get("REPLAB_SITE_PYTHON")
    candidates = [named] if named else [sys.executable, str(ROOT / ".nox/site/bin/python")]
    for python in candidates:
        if Path(python).is_file():
            probe = [python, "-c", "import sphinx, myst_nb"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return python
    pytest.skip("no Python here has Sphinx and myst-nb; `nox -s site` makes one")


def run_site(checkout, out):
    environment = os.environ | {"REPLAB_ROOT": str(checkout), "PYTHONPATH": str(ROOT / "lib")}
    return subprocess.run(
        [python_with_sphinx(), "-m", "replab", "site", "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env=environment,
    )


@pytest.fixture(scope="session")
def site(checkout, tmp_path_factory):
    """A built site: `$REPLAB_SITE` if set (the real one, in `.ci/run`), else the miniature's."""
    named = os.environ.get("REPLAB_SITE")
    if named:
        folder = ROOT / named
        if not (folder / "index.html").is_file():
            pytest.fail(f"REPLAB_SITE={named} is no built site")
        return folder
    out = tmp_path_factory.mktemp("site") / "site"
    done = run_site(checkout, out)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pages"] > 10
    return out


@pytest.fixture(scope="session")
def address(site):
    """The site on this machine's loopback."""
    with chromium.served(site) as found:
        yield found


@pytest.fixture(scope="session")
def open_page(tmp_path_factory):
    """A function that opens an empty page in a real browser."""
    if chromium.find() is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium, or set REPLAB_CHROMIUM)")
    with chromium.browser(tmp_path_factory.mktemp("browser")) as new:
        yield new


@pytest.fixture
def page(open_page):
    """An empty page."""
    made = open_page()
    yield made
    made.close()

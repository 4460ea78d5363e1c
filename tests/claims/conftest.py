"""The papers of this checkout, and a made-up one, `demo`, with records, in one of its own."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from replab.claims import schema
from replab.runs import record as records
from replab.runs.experiment import RunResult, load_replication
from replab.runs.identity import plan_runs
from replab.runs.store import Store

ROOT = Path(__file__).resolve().parents[2]

EXPERIMENTS = """
from dataclasses import dataclass

from replab.recipe import Recipe
from replab.runs.experiment import Experiment, Plan, RunResult


@dataclass(frozen=True, kw_only=True)
class Toy(Recipe):
    iterations: int = 10
    drops: tuple[int, ...] = (5, 8)


def nothing(context):
    return RunResult({"params": 0.0})


EXPERIMENTS = (
    Experiment(
        name="counts",
        version=1,
        changelog={1: "first", 2: "second"},
        function=nothing,
        deterministic=True,
        plans={p: Plan(tuple({"net": n} for n in "abc")) for p in ("quick", "standin", "paper")},
    ),
    Experiment(
        name="released",
        version=1,
        changelog={1: "first", 2: "second"},
        function=nothing,
        deterministic=True,
        plans={"quick": Plan(({"weights": "w1"}, {"weights": "w2"}), data=("cifar10",))},
        needs={"quick": "the published weights"},
    ),
    Experiment(
        name="train",
        version=1,
        changelog={1: "first", 2: "second"},
        function=nothing,
        plans={
            "quick": Plan(
                tuple({"net": n, "depth": d} for n in ("plain", "resnet") for d in (20, 56)),
                seeds=(0, 1, 2),
                recipe=Toy(),
                data=("cifar10", "generated-shapes"),
            )
        },
        needs={"quick": "CIFAR-10 and five minutes"},
    ),
    Experiment(
        name="full",
        version=1,
        changelog={1: "first"},
        function=nothing,
        plans={
            "paper": Plan(
                tuple({"depth": d} for d in (20, 32, 44, 56)),
                seeds=(0, 1, 2, 3, 4),
                data=("cifar10",),
            )
        },
        needs={"paper": "GPU-days"},
    ),
)
"""

PAPER = """\
citation:
  authors: A. Author
  title: A Title
  venue: Venue
  year: 2016
tolerances:
  T0: {rule: equal, why: Counting has no noise.}
  Tprint: {rule: printed, why: Only rounding is left.}
  Teval: {rule: within, margin: 0.1, why: Decoders and kernels differ.}
  Tgflops: {rule: relative, margin: 0.02, why: No one convention gives all.}
  Tgap: {rule: within, margin: 0.2, why: Two evaluations of 0.1 each.}
  Tthreshold: {rule: threshold, min_seeds: 3, why: The paper gives a bound.}
  Ttrain: {rule: seeds, margin: 0.35, deviations: 2, min_seeds: 5, why: The spread it gives.}
  Torder: {rule: order, deviations: 2, min_seeds: 3, why: Signs of paired differences.}
  Tshape: {rule: order, deviations: 2, min_seeds: 3, why: The direction of a curve.}
equalities:
  equal.params:
    measure: counts[net={}].params
    equals: counts[net={}].params
    terms: [a, b]
columns:
  column.params:
    measure: counts[net={}].params
    terms: [a, b, c]
orderings:
  order.depth:
    measures: ["full[depth={}].test_error"]
    ascending: [56, 44, 20]
    printed: full.r{}.error
gaps:
  gap.released:
    plus: ["released[weights=w1].test_error"]
    minus: ["released[weights=w2].test_error"]
trends:
  trend.depth:
    measures: ["full[depth={}].train_error"]
    along: [20, 32, 44, 56]
    direction: falls
scaled:
  quick.degrades:
    supports: trend.depth
    locus: Fig. 1, scaled down
    statement: plain-20 < plain-56
    metric: train_loss
    unit: nats
    profile: quick
    tolerance: Tshape
    powered: true
    ordering:
      measures: ["train[net=plain,depth={}].train_loss"]
      ascending: [20, 56]
  quick.unpowered:
    supports: trend.depth
    locus: Fig. 1, scaled down
    statement: (plain-56 − plain-20) > (ResNet-56 − ResNet-20)
    metric: train_loss
    unit: nats
    profile: quick
    tolerance: Tshape
    powered: false
    gap:
      plus: ["train[net=plain,depth=56].train_loss", "train[net=resnet,depth=20].train_loss"]
      minus: ["train[net=plain,depth=20].train_loss", "train[net=resnet,depth=56].train_loss"]
needs:
  text.*: a computer that nobody has
"""

CLAIMS = """\
id,locus,kind,metric,reported,unit,source,protocol,selector,tolerance,gate,note
table1.a.params,Table 1,exact,params,0.27M,params,P,,counts[net=a].params,Tprint,yes,
table1.b.count,Table 1,exact,params,464154,params,C,,counts[net=b].params,T0,yes,
table1.a.flops,Table 1,value,gflops,3.6,GFLOPs,P,,counts[net=a].gflops,Tgflops,yes,
table1.rival.error,Table 1,value,test_error,9.38,percent,P,,,none,no,context
released.w1.error,README,value,test_error,8.27,percent,R,,released[weights=w1].test_error,Tprint,yes,
released.w2.error,README,value,test_error,7.37,percent,R,,released[weights=w2].test_error,Teval,yes,
full.r20.error,Table 6,value,test_error,8.75,percent,P,,full[depth=20].test_error,Ttrain,yes,
full.r44.error,Table 6,value,test_error,7.17,percent,P,,full[depth=44].test_error,Ttrain,yes,
full.r56.error,Table 6,value,test_error,6.97±0.16,percent,P,a; 5 runs,full[depth=56].test_error,Ttrain,yes,
full.r20.bound,Fig. 6,value,train_error,> 3,percent,P,,full[depth=20].train_error,Tthreshold,yes,
equal.params,section 4,exact,params,params(a) = params(b),none,P,,,T0,yes,
column.params,Table 6,exact,params,"0.27M, 0.46M, 0.66M",params,P,,,Tprint,yes,
order.depth,Table 6,ordering,test_error,56 < 44 < 20,none,P,,,Torder,yes,
gap.released,README,gap,test_error,+0.9,percent,R,,,Tgap,yes,
trend.depth,Fig. 6,trend,train_error,56 < 44 < 32 < 20,none,P,,,Tshape,yes,
text.impossible,section 5,value,test_error,1.5,percent,P,,,Teval,yes,
"""  # noqa: E501

PROVENANCE = {
    "commit": "0" * 40,
    "dirty": False,
    "versions": {"torch": "2.0"},
    "cpu": "a processor",
    "gpu": "",
    "started": "2025-01-01T00:00:00+00:00",
    "wall_s": 1.0,
    "peak_mem_bytes": 1,
    "throughput": None,
}

NUMBERS = {
    "counts": {
        "a": {"params": 269722, "gflops": 3.62},
        "b": {"params": 464154, "gflops": 7.0},
        "c": {"params": 658586, "gflops": 9.0},
    },
    "released": {"w1": {"test_error": 8.27}, "w2": {"test_error": 7.40}},
}


@dataclass
class Demo:
    """The checkout with the paper `demo`, a store, and ways to change its files."""

    root: Path
    store: Store
    name: str = "demo"

    def path(self, file):
        return self.root / "replications" / self.name / file

    def edit(self, file, old, new, count=1):
        """Replace a text that stands `count` times."""
        path = self.path(file)
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == count, (old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")
        self.forget()

    def line(self, file, text):
        """The line, counting from 1, on which a text stands for the first time."""
        lines = self.path(file).read_text(encoding="utf-8").splitlines()
        return next(i for i, line in enumerate(lines, 1) if text in line)

    def forget(self):
        """Forget the imported experiments, which are kept by file."""
        sys.modules.pop(f"replications.{self.name}.experiments", None)

    def load(self):
        return schema.load(self.name)

    def records(self, experiment, profile="quick", *, metrics, seeds=None, **where):
        """A record for each run of a plan.

        Args:
            metrics: variant and seed → metrics.
            where: `data` (name, fingerprint), `device`, `series`.
        """
        found = load_replication(self.name).experiments[experiment]
        plan = found.plans[profile]
        data = where.get("data", ("cifar10", "c1fa") if plan.data else ("", ""))
        specs = plan_runs(
            self.name, found, profile, data=data, device=where.get("device", "cpu"), seeds=seeds
        )
        made = []
        for spec in specs:
            numbers = metrics(spec.variant, spec.seed)
            if numbers is None:
                continue
            result = RunResult(numbers, where.get("series", {}), model="net")
            made.append(records.make(spec, result, threads=1, provenance=PROVENANCE))
        return made

    def counts(self, profile="quick", **changes):
        """Records of `counts`; `changes` replace numbers of a net."""
        return self.records(
            "counts", profile, metrics=lambda v, s: NUMBERS["counts"][v["net"]] | changes
        )

    def released(self, w1=8.27, w2=7.40, **where):
        errors = {"w1": w1, "w2": w2}
        return self.records(
            "released", metrics=lambda v, s: {"test_error": errors[v["weights"]]}, **where
        )

    def trained(self, shift=0.0, *, plain=0.5, resnet=0.1, noise=0.01, **where):
        """Records of `train`: by how much depth 56 is worse for plain and residual nets."""

        def loss(variant, seed):
            worse = {"plain": plain, "resnet": resnet}[variant["net"]]
            own = {0: -1.0, 1: 0.2, 2: 0.9}.get(seed, 0.1 * seed)
            own *= 1.0 if variant["net"] == "plain" else -0.5
            value = 1.0 + 0.1 * seed + shift
            if variant["depth"] == 56:
                value += worse + noise * own
            return {"train_loss": value}

        curve = {"train_loss": {"x": [0.0, 1.0, 2.0], "y": [3.0, 2.0, 1.0]}}
        return self.records("train", metrics=loss, **{"series": curve} | where)

    def full(self, errors=None, **where):
        """Records of `full`: depth → test error, with a little spread over the seeds."""
        errors = errors or {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97}

        def numbers(variant, seed):
            own = (0.0, 0.1, -0.1, 0.05, -0.05)[seed]
            wiggle = 0.01 * ((variant["depth"] + 3 * seed) % 5 - 2)
            error = errors[variant["depth"]] + own + wiggle
            return {"test_error": error, "train_error": error / 2}

        return self.records("full", "paper", metrics=numbers, **where)

    def quick(self):
        """All records of the quick profile."""
        return [*self.counts(), *self.released(), *self.trained()]

    def keep(self, made):
        """Put records into this machine's store."""
        for record in made:
            self.store.put(record)


@pytest.fixture(scope="session")
def load_paper():
    """A function that loads a paper of this checkout by its name."""

    def load(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REPLAB_ROOT", str(ROOT))
            return schema.load(name)

    return load


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A made-up replication that loads without an error."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    folder = root / "replications" / "demo"
    folder.mkdir(parents=True)
    (folder / "experiments.py").write_text(EXPERIMENTS, encoding="utf-8")
    (folder / "paper.yaml").write_text(PAPER, encoding="utf-8")
    (folder / "claims.csv").write_text(CLAIMS, encoding="utf-8")
    monkeypatch.setenv("REPLAB_ROOT", str(root))
    made = Demo(root, Store(tmp_path / "store"))
    yield made
    made.forget()


@pytest.fixture(scope="session")
def shared():
    """The folder of shared facts; the test is skipped where there is none."""
    named = os.environ.get("REPLAB_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared"
    if not (folder / "facts" / "claims.csv").is_file():
        pytest.skip(f"no shared facts at {folder}; set REPLAB_SHARED")
    return folder

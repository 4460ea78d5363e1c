"""Runs on a Ray cluster: one that is there already, or one of this machine's cores and GPUs."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from replab.errors import UserError
from replab.runs.cluster_jobs import Ending, Job, Refused, WorkerDied, require_device, work
from replab.runs.executors import resolve_device

# See docs/cluster.md. `gpus` is the share of a GPU that a run takes.
OPTIONS: Mapping[str, type] = {"address": str, "cpus": int, "gpus": float, "memory_gb": float}
CPUS_BESIDE_A_GPU = 4
# How often a cluster of this machine is started before that is called a failure.
STARTS = 3
# How long Ray is asked at a time, so that Ctrl-C is heard.
ASK_S = 0.5
# How long an address may take to answer, in seconds.
KNOCK_S = 10.0
# How long cancelled jobs may take to be gone, in seconds.
GRACE_S = 10.0


class RayEngine:
    """Each run is a task of Ray; Ray keeps no results and tries nothing again, replab does.

    A process that is connected to Ray already stays so; else the first need connects it, to
    `address`, or without one to a cluster of this machine alone that ends with this process.

    Args:
        options: those of `OPTIONS`, parsed.
    """

    name = "ray"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._connected = False
        self._running: dict[Any, Job] = {}
        self._waiting: list[Job] = []
        self._limit = sys.maxsize
        self._gpus = 0.0
        self.threads = 1

    def _ray(self) -> Any:
        """The package, connected."""
        import ray

        if not ray.is_initialized():
            self._connect(ray)
        return ray

    def _connect(self, ray: Any) -> None:
        address = self._options.get("address")
        # A replication asks nothing of the network, and tells it nothing.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address:
                _knock(address)
                ray.init(address=address, **quiet)
            else:
                self._start_here(ray, quiet)
        # Ray raises plain exceptions, too.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            what = f"no Ray cluster at {address}" if address else "Ray cannot start here"
            mend = "see `ray status` there" if address else "see `ray start --head`"
            raise UserError(f"--executor ray: {what} ({reason}); {mend}") from error
        self._connected = True

    def _start_here(self, ray: Any, quiet: Mapping[str, Any]) -> None:
        for left in reversed(range(STARTS)):
            try:
                ray.init(address="local", include_dashboard=False, **quiet)
            except Exception:
                # Ray waits 30 s for its own processes; a busy machine takes longer at first.
                ray.shutdown()
                if not left:
                    raise
            else:
                return

    def resolve_device(self, asked: str) -> str:
        """The device class that the cluster's workers have, where `auto` is asked for.

        Raises:
            UserError: there is no GPU in the cluster, or it cannot be reached.
        """
        if asked != "auto":
            require_device(asked, self.name)
        if asked == "cpu" or (asked == "auto" and self._options.get("gpus") == 0):
            return "cpu"
        if asked == "auto" and not self._options.get("address") and resolve_device(asked) == "cpu":
            return "cpu"
        has_gpu = self._ray().cluster_resources().get("GPU", 0) > 0
        if asked == "cuda" and not has_gpu:
            raise UserError(
                "--device cuda --executor ray: no machine of the cluster has a GPU; use --device "
                "cpu, or see `ray status`"
            )
        return "cuda" if has_gpu else "cpu"

    def lay_out(self, device: str, *, per_gpu: int, workers: int | None) -> None:
        """Decide what each run takes.

        Args:
            device: the workers' device class.
            per_gpu: how many runs share a GPU.
            workers: at most so many runs at a time.

        Raises:
            UserError: no machine of the cluster has as much.
        """
        on_gpu = device == "cuda"
        self.threads = max(1, self._options.get("cpus", CPUS_BESIDE_A_GPU if on_gpu else 1))
        self._gpus = self._options.get("gpus", 1 / per_gpu) if on_gpu else 0.0
        self._limit = workers or sys.maxsize
        wanted = {"CPU": self.threads, "GPU": self._gpus, "memory": self._memory()}
        nodes = [n["Resources"] for n in self._ray().nodes() if n["Alive"]]
        if not any(all(node.get(k, 0) >= v for k, v in wanted.items()) for node in nodes):
            raise UserError(
                f"--executor ray: no machine of the cluster has what a run takes ({self._share()}"
                "); ask for less with --executor-option cpus=…, gpus=… or memory_gb=…"
            )

    def _memory(self) -> int:
        return int(self._options.get("memory_gb", 0.0) * 1e9)

    def _share(self) -> str:
        parts = [f"{self.threads} CPU{'s'[: self.threads > 1]}"]
        parts += [f"{self._gpus:.3g} GPU"] if self._gpus else []
        parts += [f"{self._memory() / 1e9:g} GB"] if self._memory() else []
        return ", ".join(parts)

    def text(self) -> str:
        """Where the runs go, in words."""
        address = self._options.get("address") or "this machine"
        return f"on Ray ({address}), {self._share()} each"

    def submit(self, jobs: Sequence[Job]) -> None:
        """Start jobs, or have them wait where only so many may run at a time."""
        self._waiting += jobs
        self._hand_out()

    def _hand_out(self) -> None:
        ray = self._ray()
        words: dict[str, Any] = {"num_cpus": self.threads, "num_gpus": self._gpus}
        words |= {"memory": self._memory()} if self._memory() else {}
        task = ray.remote(max_retries=0, **words)(work)
        while self._waiting and len(self._running) < self._limit:
            job = self._waiting.pop(0)
            self._running[task.options(name=job.spec.label).remote(job)] = job

    def ended(self, *, block: bool) -> list[tuple[Job, Ending]]:
        """Jobs that have ended since the last call, and how; the next ones are started.

        Args:
            block: wait for one, if there are any.
        """
        if not self._running:
            return []
        ray = self._ray()
        done: list[Any] = []
        while not done:
            every = list(self._running)
            done, _ = ray.wait(every, num_returns=1, timeout=ASK_S if block else 0)
            if done:
                done, _ = ray.wait(every, num_returns=len(every), timeout=0)
            if not block:
                break
        found = [(self._running.pop(task), _ending(ray, task)) for task in done]
        self._hand_out()
        return found

    def under_way(self) -> dict[str, str]:
        """Run id → Ray's id, for the jobs that have not ended."""
        return {job.spec.id: task.hex() for task, job in self._running.items()}

    def cancel(self) -> None:
        """End all jobs and their worker processes."""
        self._waiting = []
        if not self._running:
            return
        ray = self._ray()
        for task in self._running:
            ray.cancel(task, force=True)
        ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE_S)
        self._running = {}

    def close(self) -> None:
        """Leave the cluster, if this engine has joined it; one of this machine alone ends."""
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False


def _knock(address: str) -> None:
    """See that somebody listens at `HOST:PORT`: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host, int(port)), timeout=KNOCK_S):
            pass


def _ending(ray: Any, task: Any) -> Ending:
    """How a task ended: as `work` says, by its worker's death, or without having begun."""
    errors = ray.exceptions
    try:
        ending: Ending = ray.get(task)
    except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
        # `work` raises nothing: it could not be read, or its packages not be imported.
        reason = str(error).strip().splitlines()[-1][:300]
        return Refused(
            f"a worker of the Ray cluster cannot begin ({reason}); install the same environment "
            "on all machines"
        )
    except errors.RayError as error:
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        return WorkerDied(reason or type(error).__name__)
    return ending

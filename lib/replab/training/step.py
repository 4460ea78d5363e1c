"""One optimiser step, eager, compiled or replayed as a CUDA graph: the same arithmetic."""

from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from replab.models.precision import autocast
from replab.options import RunOptions
from replab.training.objectives import Objective


class Step(Protocol):
    """Learns one batch.

    Attributes:
        engine: how it computes, for the record: `eager`, `compiled`, `cuda-graph` or
            `compiled cuda-graph`.
    """

    engine: str

    def __call__(
        self, images: torch.Tensor, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and share of wrong answers (0–1) of the batch, before the update.

        Args:
            images: B×C×H×W, on the device.
            targets: what the objective compares the network's answer with.
        """
        ...


class EagerStep:
    """Forward, backward and update, operation by operation or compiled by torch's inductor.

    Args:
        objective: loss and share of wrong answers of the network's answer.
        options: its device, precision and engine count. Compiling takes half a minute or more at
            the first batch (a C++ compiler is needed on a CPU) and pays off in trainings of
            minutes.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        objective: Objective,
        options: RunOptions,
    ) -> None:
        self.model = model
        self.optimiser = optimiser
        self._objective = objective
        self.engine = options.engine
        self._device, self._precision = options.device, options.precision
        self._forward: Any = torch.compile(model) if options.engine == "compiled" else model

    def __call__(
        self, images: torch.Tensor, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn one batch."""
        self.optimiser.zero_grad(set_to_none=True)
        loss, wrong = self.differentiate(images, *targets)
        self.optimiser.step()
        return loss, wrong

    def differentiate(
        self, images: torch.Tensor, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward and backward pass alone: the gradients are in the parameters afterwards."""
        with autocast(self._device, self._precision):
            answer = self._forward(images)
        loss, wrong = self._objective(answer, *targets)
        loss.backward()
        return loss.detach(), wrong


class GraphStep:
    """Forward and backward pass recorded once as a CUDA graph and replayed for each batch.

    Small nets leave a GPU waiting for Python between kernels; a graph is launched as one. Only for
    batches that are all of one shape.
    """

    # Libraries choose kernels and allocate workspaces in their first calls, which a graph must
    # not record.
    WARM_UP_PASSES = 3

    def __init__(self, eager: EagerStep) -> None:
        self.engine = "cuda-graph" if eager.engine == "eager" else f"{eager.engine} cuda-graph"
        self._eager = eager
        self._graph: Any = None
        self._batch: tuple[torch.Tensor, ...] | None = None
        self._result: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(
        self, images: torch.Tensor, *targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn one batch."""
        given = (images, *targets)
        if self._graph is None:
            self._record(given)
        assert self._batch is not None
        assert self._result is not None
        for place, tensor in zip(self._batch, given, strict=True):
            place.copy_(tensor)
        self._graph.replay()
        self._eager.optimiser.step()
        loss, wrong = self._result
        # The next replay overwrites them.
        return loss.clone(), wrong.clone()

    def _record(self, given: tuple[torch.Tensor, ...]) -> None:
        model, optimiser = self._eager.model, self._eager.optimiser
        # The passes below move running statistics; a training must not have seen them.
        kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
        self._batch = tuple(tensor.clone() for tensor in given)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARM_UP_PASSES):
                optimiser.zero_grad(set_to_none=True)
                self._eager.differentiate(*self._batch)
        torch.cuda.current_stream().wait_stream(stream)
        # Gradients that do not exist yet are created inside the graph, and rewritten, not added
        # to, at each replay.
        optimiser.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = self._eager.differentiate(*self._batch)
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(kept[name])


def make_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    options: RunOptions,
) -> Step:
    """The fastest step for a device: a CUDA graph on an NVIDIA GPU, the plain one elsewhere.

    Also where several ranks share the batches, it is the plain one: what they exchange is started
    from outside the graph.
    """
    step = EagerStep(model, optimiser, objective, options)
    recorded = options.device.startswith("cuda") and not isinstance(model, DistributedDataParallel)
    return GraphStep(step) if recorded else step

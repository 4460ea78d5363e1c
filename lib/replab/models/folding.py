"""Batch normalisation folded into the convolution before it, for faster evaluation."""

import copy
import itertools
from collections.abc import Iterator

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of `model` in evaluation mode with batch normalisations folded into convolutions.

    Outputs are equal up to rounding (about 1e-6 of the largest). A pair is folded only where it
    is known to be adjacent: neighbours in an `nn.Sequential` (`downsample.0/1`, `shortcut.0/1`),
    or `convN` and `bnN` of one module, the second registered right after the first, which is how
    all networks of `replab.models` are written. A folded normalisation becomes `nn.Identity`, so
    hooks on it still see the layer's response. Others are left as they are.
    """
    folded = copy.deepcopy(model).eval()
    for parent in list(folded.modules()):
        for conv_name, bn_name in list(_pairs(parent)):
            conv, bn = getattr(parent, conv_name), getattr(parent, bn_name)
            setattr(parent, conv_name, fuse_conv_bn_eval(conv, bn))
            setattr(parent, bn_name, nn.Identity().eval())
    return folded


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    children = list(parent.named_children())
    for (first, conv), (second, bn) in itertools.pairwise(children):
        if not isinstance(conv, nn.Conv2d) or not isinstance(bn, nn.BatchNorm2d):
            continue
        # The order of registration matters: in a pre-activation block bn1 comes before conv1 and
        # must not be folded into it.
        named = first.startswith("conv") and second == "bn" + first.removeprefix("conv")
        fits = bn.num_features == conv.out_channels and bn.running_mean is not None
        if fits and (isinstance(parent, nn.Sequential) or named):
            yield first, second

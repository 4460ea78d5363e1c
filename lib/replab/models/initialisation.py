"""How a fresh network's parameters are drawn."""

import math

import torch
from torch import nn


@torch.no_grad()
def he_normal(model: nn.Module) -> None:
    """Draw every convolution and linear layer from N(0, 2 / fan-in), biases zero.

    Batch normalisation keeps its own start (weight 1, bias 0). The draws come from torch's global
    generator in the order of `model.modules()`, so nets with the same layers get the same values
    under one seed. Nothing is drawn on the meta device. Source: He et al. 2015 (arXiv:1502.01852)
    section 2.2, used by He et al. CVPR 2016 sections 3.4 and 4.2.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear) or module.weight.is_meta:
            continue
        fan_in = module.weight[0].numel()
        module.weight.normal_(0.0, math.sqrt(2.0 / fan_in))
        if module.bias is not None:
            module.bias.zero_()

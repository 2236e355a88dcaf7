"""Operators of convolutional networks as plain tensor code: formula and source in each docstring (R1, R2, R3).

Names, arguments and their order are those of `torch.nn.functional`, `roi_pool`'s those of `torchvision.ops`:
`from receptive import operators as F`. These forms are vectorised and differentiable by autograd;
`receptive.operators.loops` has the same signatures as loops, for reading.
"""

from __future__ import annotations

from receptive.operators.convolution import Conv2dFunction, conv2d, conv_transpose2d
from receptive.operators.losses import cross_entropy, mse_loss
from receptive.operators.normalization import batch_norm
from receptive.operators.pointwise import flatten, sigmoid
from receptive.operators.pooling import avg_pool2d, max_pool2d
from receptive.operators.regions import roi_pool
from receptive.operators.unfolding import fold, unfold

__all__ = [
    "Conv2dFunction",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "flatten",
    "fold",
    "max_pool2d",
    "mse_loss",
    "roi_pool",
    "sigmoid",
    "unfold",
]

"""The operators that the reports write as loops, as loops: for reading, on small inputs.

Signatures, values and errors are those of the vectorised forms in `receptive.operators`, whose docstrings hold. A
tensor becomes nested lists of Python's numbers, the formula is summed up number by number (in double precision
whatever the dtype), and the results become a tensor again: there are no gradients.
"""

from __future__ import annotations

from receptive.operators.loops.convolution import conv2d, conv_transpose2d
from receptive.operators.loops.pooling import avg_pool2d, max_pool2d
from receptive.operators.loops.regions import roi_pool
from receptive.operators.loops.unfolding import fold, unfold

__all__ = ["avg_pool2d", "conv2d", "conv_transpose2d", "fold", "max_pool2d", "roi_pool", "unfold"]

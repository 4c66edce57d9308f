"""Elementary functions in plain arithmetic, of which compiled loops do several at a time.

Numba's cache does not notice that what calls them is older than a change here: `make clean` first.
"""

import numpy as np

from abm.compilation import fused


@fused
def exponential(x: float) -> float:
    """e^x, zero below -700, as 2^n e^r: in plain arithmetic, so that several are done at a time."""
    v = min(max(x, -700.0), 700.0)
    n = np.floor(v * 1.4426950408889634 + 0.5)
    r = (v - n * 0.69314718036912381649) - n * 1.90821492927058770002e-10
    y = 1.0 / 6227020800.0
    y = y * r + 1.0 / 479001600.0
    y = y * r + 1.0 / 39916800.0
    y = y * r + 1.0 / 3628800.0
    y = y * r + 1.0 / 362880.0
    y = y * r + 1.0 / 40320.0
    y = y * r + 1.0 / 5040.0
    y = y * r + 1.0 / 720.0
    y = y * r + 1.0 / 120.0
    y = y * r + 1.0 / 24.0
    y = y * r + 1.0 / 6.0
    y = y * r + 0.5
    y = y * r + 1.0
    y = y * r + 1.0
    scale = np.int64((np.int64(n) + 1023) << 52).view(np.float64)
    return scale * (y if x > -700.0 else 0.0)


@fused
def logarithm(x: float) -> float:
    """The natural logarithm of a normal positive number, as `exponential`.

    x = 2^n (1 + f), and log(1 + f) by its series in f/(2 + f), as in Sun's fdlibm.
    """
    bits = np.float64(x).view(np.int64)
    # from sqrt(1/2) to sqrt(2), so that the logarithm of one is exact
    shifted = bits - 0x3FE6A09E667F3BCD
    n = np.float64(shifted >> 52)
    f = np.int64(bits - ((shifted >> 52) << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    y = 1.479819860511658591e-01
    y = y * z + 1.531383769920937332e-01
    y = y * z + 1.818357216161805012e-01
    y = y * z + 2.222219843214978396e-01
    y = y * z + 2.857142874366239149e-01
    y = y * z + 3.999999999940941908e-01
    y = y * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    low = s * (half + y * z) + n * 1.90821492927058770002e-10
    return n * 0.69314718036912381649 - ((half - low) - f)

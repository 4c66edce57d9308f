"""Elementary functions of compiled loops against those of NumPy."""

import numpy as np
from numba import njit

from abm.arithmetic import exponential, logarithm


@njit
def both(x: np.ndarray, powers: np.ndarray, logarithms: np.ndarray) -> None:
    for n in range(x.size):
        powers[n] = exponential(x[n])
        logarithms[n] = logarithm(abs(x[n]))


def test_exponentials_and_logarithms_are_right_to_the_last_digits() -> None:
    draw = np.random.default_rng(0)
    near, wide = draw.normal(size=4_000), draw.uniform(-690.0, 690.0, 4_000)
    scales = 10.0 ** draw.uniform(-300.0, 2.8, 4_000)
    x = np.concatenate([near, wide, scales, -scales, [1.0, -1.0, 1.0 + 1e-15, 1.0 - 1e-15]])
    powers, logarithms = np.empty(x.size), np.empty(x.size)
    both(x, powers, logarithms)
    np.testing.assert_allclose(powers, np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(logarithms, np.log(np.abs(x)), rtol=1e-15, atol=1e-300)


def test_what_is_too_small_to_matter_is_zero() -> None:
    x = np.array([-701.0, -1e300, -np.inf])
    powers = np.ones(3)
    both(x, powers, np.empty(3))
    np.testing.assert_array_equal(powers, 0.0)

"""Named streams of random numbers.

A stream depends on the seed and on its own name alone. Adding a mineral, a country's rule or an
instrument therefore never reshuffles the draws of the others, and paired runs meet the same luck
(common random numbers; Kelton 2006).
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np


def stream(seed: int, *name: str) -> np.random.Generator:
    """The generator of one named source of randomness.

    Parameters
    ----------
    seed
        Number of the replication.
    name
        What is drawn and for whom, for example ``"outage", "nickel", "mined"``.
    """
    digest = hashlib.sha256("/".join(name).encode()).digest()
    # Words of 32 bits, the seed's first: as one array, which NumPy need not take apart.
    number = seed.to_bytes(4 * max(1, -(-seed.bit_length() // 32)), sys.byteorder)
    words = np.frombuffer(number + digest[:16], dtype=np.uint32)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))

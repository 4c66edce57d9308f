"""Named streams of random numbers.

A stream depends on the seed and on its own name alone. Adding a mineral, a country's rule or an
instrument therefore never reshuffles the draws of the others, and paired runs meet the same luck
(common random numbers; Kelton 2006).
"""

from __future__ import annotations

import hashlib

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
    words = np.frombuffer(digest[:16], dtype=np.uint32)
    return np.random.default_rng(np.random.SeedSequence([seed, *(int(w) for w in words)]))

"""A history whose truth is known, for the calibration: a module, so that workers can load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from abm.market import MarketNotCleared
from experiments.calibration.candidates import Episode
from experiments.calibration.priors import Priors
from experiments.calibration.results import Problem

TRUTH = 2.0  # of hoarding; the multiples are its powers
NOISE = 0.05
SETTINGS = ("behaviour.hoarding", "behaviour.risk_decay", "controls.enforcement")
POWERS = {"first": (1.0, 0.5), "second": (-0.7, 1.5)}


def simulate(config: str, draw: Mapping[str, float], seed: int) -> pd.DataFrame:
    """Multiples that follow hoarding and nothing else; very high risk decay does not clear."""
    if draw.get("behaviour.risk_decay", 0.0) > 0.195:
        raise MarketNotCleared("gallium, refined, 2025-01: residual 1 above tolerance", (0,))
    noise = np.random.default_rng(seed).normal(0.0, NOISE, len(POWERS[config]))
    hoarding = np.array(draw.get("behaviour.hoarding", TRUTH))
    return pd.DataFrame({"simulated": hoarding ** np.array(POWERS[config]) * np.exp(noise)})


def counted(config: str, draw: Mapping[str, float], seed: int) -> pd.DataFrame:
    """The same, leaving a line in a file a run; the settings are the file and the episode."""
    path, episode = config.split("|")
    with Path(path).open("a") as file:
        file.write(f"{seed}\n")
    return simulate(episode, draw, seed)


def observed(name: str) -> pd.DataFrame:
    """What was observed, and one figure that is only shown."""
    rows = [
        {
            "name": f"multiple {place}",
            "scale": "ratio",
            "value": TRUTH**power,
            "low": TRUTH**power / 1.1,
            "high": TRUTH**power * 1.1,
            "used_for": "calibration",
        }
        for place, power in enumerate(POWERS[name])
    ]
    return pd.DataFrame(rows)


def problem(simulated: object = simulate, prefix: str = "") -> Problem:
    """Two episodes; hoarding decides, the others do nothing."""
    priors = Priors(
        SETTINGS,
        np.array([0.3, 0.01, 0.4]),
        np.array([8.0, 0.2, 0.98]),
        np.array([True, True, False]),
    )
    episodes = {name: Episode(name, prefix + name, observed(name)) for name in POWERS}
    return Problem(simulated, episodes, priors, "toy")  # type: ignore[arg-type]

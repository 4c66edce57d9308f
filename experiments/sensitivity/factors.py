"""The uncertain parameters of a run, each with the range in which it is varied.

A factor is an assumed setting of a mechanism that is on, or the place of a parameter by mineral
within its stated range, the same in all minerals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from abm.config import Config, Instrument, with_projects
from abm.tables import DATA_FOLDER, Tables
from abm.world import UNCERTAIN, World

PRIORS = DATA_FOLDER / "priors.csv"
POSITIONS = "world.positions"
ANY_CONTROL, SHOCK = "controls.", "shock."  # a prior of all controls holds for the shock
REPORTED = ("accounting",)  # how results are reported; nothing of it acts on the model
SCRAP = ("old_scrap_share", "collectable_share")
TERMS = {  # terms of a control that only these instruments read
    "rate": (Instrument.tax, Instrument.dumping),
    "quota_share": (Instrument.quota,),
    "approval_share": (Instrument.licence,),
    "licence_validity": (Instrument.licence,),
}


@dataclass(frozen=True)
class Factor:
    """One uncertain parameter.

    Attributes
    ----------
    setting
        Its name, as on the command line.
    low, high
        Ends of the range in which it is varied.
    log
        Whether it is varied evenly in logs.
    whole
        Whether only whole numbers are meant.
    source
        Where the range comes from.
    """

    setting: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    source: str = ""

    def value(self, position: float) -> float:
        """The value at a position in the range: 0 the lowest, 1 the highest."""
        if self.log:
            found = self.low * (self.high / self.low) ** position
        else:
            found = self.low + (self.high - self.low) * position
        return round(found) if self.whole else float(found)


def factors_of(config: Config, world: World, tables: Tables) -> list[Factor]:
    """All uncertain parameters of a run: assumed settings, then parameters by mineral.

    A setting is varied over its prior where the table priors has one. Elsewhere it goes from its
    default over `sensitivity.spread` to its default times the same, within its valid range.
    """
    found = list(_settings(config, config, "", _priors(), config.sensitivity.spread))
    named = [name for name in _by_mineral(config) if _has_range(name, world, tables)]
    stated = "the stated range of every mineral, as a quantile of its triangle"
    return found + [Factor(f"{POSITIONS}.{name}", 0.0, 1.0, source=stated) for name in named]


def changes(factors: Sequence[Factor], row: np.ndarray) -> dict[str, float]:
    """Settings of one sample; `row` holds the position of every factor, 0 to 1."""
    return {
        factor.setting: factor.value(float(at)) for factor, at in zip(factors, row, strict=True)
    }


def factor_table(factors: Sequence[Factor]) -> pd.DataFrame:
    """The factors with their ranges."""
    return pd.DataFrame(
        {
            "setting": [factor.setting for factor in factors],
            "low": [factor.low for factor in factors],
            "high": [factor.high for factor in factors],
            "scale": ["log" if factor.log else "linear" for factor in factors],
            "source": [factor.source for factor in factors],
        }
    )


@cache
def _priors() -> Mapping[str, tuple[float, float, bool, str]]:
    """Ends of the range, whether even in logs, and source, by setting."""
    found = {}
    for line in pd.read_csv(PRIORS).itertuples():
        setting = str(line.setting).replace(ANY_CONTROL, SHOCK)
        found[setting] = (line.low, line.high, line.scale == "log", line.source)
    return found


def _settings(
    config: Config,
    node: Any,
    path: str,
    priors: Mapping[str, tuple[float, float, bool, str]],
    spread: float,
) -> Iterator[Factor]:
    """Assumed settings of the mechanisms that are on, at any depth."""
    if not getattr(node, "active", True) or path.rstrip(".") in REPORTED:
        return
    for item in fields(node):
        value, name = getattr(node, item.name), f"{path}{item.name}"
        if is_dataclass(value):
            yield from _settings(config, value, f"{name}.", priors, spread)
        elif path == SHOCK and not _read(config.shock.instrument, item.name):
            continue
        elif name in priors:
            low, high, log, source = priors[name]
            yield Factor(name, low, high, log, isinstance(value, int), source)
        elif _assumed(item.metadata, value):
            yield _around(name, value, item.metadata, spread)


def _read(instrument: Instrument, term: str) -> bool:
    """Whether an instrument reads a term of its control."""
    if instrument is Instrument.none:
        return False
    return instrument in TERMS.get(term, tuple(Instrument))


def _assumed(about: Mapping[str, Any], value: Any) -> bool:
    return "assumed" in about.get("source", "") and isinstance(value, int | float) and value != 0


def _around(name: str, value: float, about: Mapping[str, Any], spread: float) -> Factor:
    """A range about a setting, even in logs, within what is valid."""
    low, high = sorted((value / spread, value * spread))
    low, high = max(low, about["low"]), min(high, about["high"])
    even = low > 0
    source = f"from 1/{spread:g} to {spread:g} times the setting, within its valid range"
    return Factor(name, low, high, even, isinstance(value, int), source)


def _by_mineral(config: Config) -> list[str]:
    """Parameters by mineral that the mechanisms which are on read."""
    planning = config.planning
    read = {
        "contract_share": planning.contracts.active,
        "byproduct_ceiling": planning.host_metals.active,
        **dict.fromkeys(SCRAP, config.recycling.active),
        "capital": with_projects(config),
    }
    return [name for name in UNCERTAIN if read.get(name, True)]


def _has_range(name: str, world: World, tables: Tables) -> bool:
    """Whether a parameter is uncertain in some market of this world."""
    if name == "growth":
        rows = tables.sectors[tables.sectors["mineral"].isin(world.minerals)]
        return bool((rows["growth_high"] > rows["growth_low"]).any())
    if name == "capital":
        return len(world.projects.market) > 0
    scrap = name in SCRAP  # stated for the refined product alone
    markets = [market for market in world.markets if market[1] == "refined" or not scrap]
    ranges = [tables.parameter(mineral, stage, name)[1:] for mineral, stage in markets]
    return any(high > low for low, high in ranges)

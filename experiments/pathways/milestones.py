"""Milestones of policy: what is to be reached by when, and how a run is held against them.

A milestone is a share of a year, by mineral: mined, refined or recycled at home over own use, or
the part of purchases that comes from one country or from the non-allied. Shares are percent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from abm.config import Config, ConfigError
from abm.recorder import Record
from abm.tables import STAGES, STATUSES, Column, Schema, TableError, read_table
from abm.world import MONTHS, World
from experiments.ensemble import PROJECT
from experiments.measures.effects import estimate, wilson

MEMBERS = "members"
AT_LEAST, AT_MOST = "at_least", "at_most"
SLACK = 1e-9  # percent: rounding that does not decide
BESIDE = PROJECT / "conf" / "experiment"
CASE = ["scenario", "ambition"]
MINED, REFINED = STAGES


@dataclass(frozen=True)
class Year:
    """What a group of countries did year by year; tonnes, each [year, mineral].

    Attributes
    ----------
    use
        Refined metal used.
    ore_used
        Ore used as it is.
    mined
        Ore of its own mines; NaN for minerals that have no mines of their own.
    primary, recycled
        Refined metal of its own plants, from ore and from scrap.
    bought
        [year, mineral, origin] refined metal bought, home included.
    refining_yield
        [mineral] t refined per t mined.
    home
        [origin] who is of the group.
    """

    use: np.ndarray
    ore_used: np.ndarray
    mined: np.ndarray
    primary: np.ndarray
    recycled: np.ndarray
    bought: np.ndarray
    refining_yield: np.ndarray
    home: np.ndarray
    non_allied: np.ndarray


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """100 part / whole; NaN where there is no whole."""
    return np.divide(100.0 * part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def extraction(year: Year) -> np.ndarray:
    """Own ore over the ore that own use needs: `use / yield` and what is used as ore."""
    return _percent(year.mined, year.use / year.refining_yield + year.ore_used)


def processing(year: Year) -> np.ndarray:
    """Own metal from ore over own use."""
    return _percent(year.primary, year.use)


def recycling(year: Year) -> np.ndarray:
    """Own metal from scrap over own use."""
    return _percent(year.recycled, year.use)


def largest_source(year: Year) -> np.ndarray:
    """The largest part of purchases that comes from one country outside."""
    return _percent(year.bought[..., ~year.home].max(axis=-1), year.bought.sum(axis=-1))


def non_allied_share(year: Year) -> np.ndarray:
    """The part of purchases that comes from the non-allied."""
    return _percent(year.bought[..., year.non_allied].sum(axis=-1), year.bought.sum(axis=-1))


MEASURES: dict[str, Callable[[Year], np.ndarray]] = {
    item.__name__: item
    for item in (extraction, processing, recycling, largest_source, non_allied_share)
}

SCHEMA = Schema(
    "milestones",
    (
        Column("milestone", pattern=r"[a-z][a-z0-9_]*", meaning="as in eu_processing"),
        Column("label"),
        Column("group"),
        Column("measure", words=tuple(MEASURES)),
        Column("bound", words=(AT_LEAST, AT_MOST)),
        Column("target_percent", "number", True, 0.0, 100.0, meaning="a target is 0 to 100 %"),
        Column("due", "integer", True, 2025, 2200, meaning="a target is due in a year from 2025"),
        Column("minerals"),
        Column("source"),
        Column("status", words=STATUSES),
    ),
    ("milestone",),
)


@dataclass(frozen=True)
class Milestone:
    """One target: who is to reach it, in which minerals, by the end of which year."""

    name: str
    label: str
    group: str  # a country, or the members of the circle
    measure: str
    at_least: bool
    target: float  # percent
    due: int
    minerals: tuple[str, ...]

    def met(self, value: np.ndarray) -> np.ndarray:
        """Whether values, in percent, satisfy it."""
        gap = value - self.target if self.at_least else self.target - value
        return gap >= -SLACK


def read_milestones(config: Config, world: World) -> list[Milestone]:
    """The milestones of the settings that this run can tell: of its minerals, due in its years.

    Raises
    ------
    ConfigError
        Where the settings name no table, or none of its milestones is due in the run.
    TableError
        For a row that cannot be used.
    """
    path = milestones_path(config.pathways.milestones)
    table = read_table(SCHEMA, path)
    found = [_milestone(path, number, row, world) for number, row in enumerate(_rows(table), 2)]
    last = int(config.horizon.start[:4]) + config.horizon.years - 1
    told = [milestone for milestone in found if milestone.due <= last and milestone.minerals]
    if not told:
        raise ConfigError(
            f"No milestone of {config.pathways.milestones} is due by {last}, the last year of the "
            "run, for its minerals; give more horizon.years, or another table in "
            "pathways.milestones"
        )
    return told


def _rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def milestones_path(named: str) -> Path:
    """The table of milestones: where it is named, or beside the experiments of conf."""
    for path in (Path(named), BESIDE / named, PROJECT / named):
        if path.is_file():
            return path
    raise ConfigError(
        f"pathways.milestones is {named!r}, and there is no such file here or beside the "
        "experiments of conf; give its path"
    )


def _milestone(path: Path, number: int, row: dict[str, str], world: World) -> Milestone:
    """A row of the table; minerals that are not in the run are left out."""
    if row["group"] != MEMBERS and row["group"] not in world.countries:
        raise TableError(
            f"{path}, row {number}: group is {row['group']!r}; give the code of a country, or "
            f"{MEMBERS}."
        )
    named = world.minerals if row["minerals"] == "all" else row["minerals"].split()
    return Milestone(
        name=row["milestone"],
        label=row["label"],
        group=row["group"],
        measure=row["measure"],
        at_least=row["bound"] == AT_LEAST,
        target=float(row["target_percent"]),
        due=int(row["due"]),
        minerals=tuple(mineral for mineral in world.minerals if mineral in named),
    )


# ---------------------------------------------------------------- what a run did


def years_of(world: World, record: Record, group: np.ndarray) -> Year:
    """What a group of countries did in every year of a run.

    Parameters
    ----------
    group
        [country] who is of it.
    """

    def tonnes(name: str) -> np.ndarray:  # [year, market]
        monthly = np.nan_to_num(record.measures[name][:, :, group]).sum(axis=2)
        return monthly.reshape(-1, MONTHS, monthly.shape[1]).sum(axis=1)

    refined, mined, has_mine = world.refined_market, world.mined_market, world.mined_market >= 0
    use, output, recycled = (tonnes(name) for name in ("use_t", "output_t", "recycled_t"))
    primary = output[:, refined] - recycled[:, refined]
    ore = np.where(has_mine, use[:, mined], 0.0) - np.where(
        has_mine, primary / world.refining_yield, 0.0
    )
    flow = record.flow[:, refined][..., group].sum(axis=-1)
    return Year(
        use=use[:, refined],
        ore_used=np.maximum(ore, 0.0),
        mined=np.where(has_mine, output[:, mined], np.nan),
        primary=primary,
        recycled=recycled[:, refined],
        bought=flow,
        refining_yield=world.refining_yield,
        home=group,
        non_allied=world.non_allied,
    )


# ---------------------------------------------------------------- reached or missed


def verdicts(outcomes: pd.DataFrame, milestones: Sequence[Milestone]) -> pd.DataFrame:
    """Whether each run reaches each milestone, mineral by mineral.

    Parameters
    ----------
    outcomes
        Columns scenario, ambition, seed, group, mineral, measure, year and value (percent).

    Returns
    -------
    pd.DataFrame
        Columns scenario, ambition, seed, milestone, mineral, first_value and due_value (percent,
        in the first and the due year), reached (in the due year) and year (the first one in which
        the target is met; NaN where it never is). Minerals without use are left out.
    """
    keys = [*CASE, "seed", "mineral"]
    parts = []
    for milestone in milestones:
        chosen = outcomes[
            (outcomes["group"] == milestone.group)
            & (outcomes["measure"] == milestone.measure)
            & outcomes["mineral"].isin(milestone.minerals)
        ]
        order = pd.MultiIndex.from_frame(chosen[keys].drop_duplicates())
        wide = chosen.pivot(index=keys, columns="year", values="value").reindex(order)
        wide = wide[wide[milestone.due].notna()]
        met = milestone.met(wide.to_numpy())
        years = np.where(met, wide.columns.to_numpy(float), np.inf).min(axis=1, initial=np.inf)
        found = pd.DataFrame(
            {
                "milestone": milestone.name,
                "first_value": wide.iloc[:, 0],
                "due_value": wide[milestone.due],
                "reached": milestone.met(wide[milestone.due].to_numpy()),
                "year": np.where(np.isfinite(years), years, np.nan),
            }
        )
        parts.append(found.reset_index())
    return pd.concat(parts, ignore_index=True)


def reached_shares(table: pd.DataFrame) -> pd.DataFrame:
    """How many runs reach each milestone, with the interval of their share.

    Returns
    -------
    pd.DataFrame
        Columns scenario, ambition, milestone, mineral, runs, reached (of them), percent, low, high,
        year (median of the first one, over runs that reach it at all), first_value and due_value
        (means, percent).
    """
    rows = []
    keys = [*CASE, "milestone", "mineral"]
    for key, part in table.groupby(keys, sort=False):
        runs, reached = len(part), int(part["reached"].sum())
        low, high = wilson(reached, runs)
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"runs": runs, "reached": reached, "percent": 100.0 * reached / runs}
            | {"low": low, "high": high, "year": part["year"].median()}
            | {name: part[name].mean() for name in ("first_value", "due_value")}
        )
    return pd.DataFrame(rows)


def reached_counts(table: pd.DataFrame) -> pd.DataFrame:
    """In how many minerals each milestone is reached: mean over seeds with 95 % t-interval.

    Returns
    -------
    pd.DataFrame
        Columns scenario, ambition, milestone, minerals (that it is for), mean, low, high.
    """
    keys = [*CASE, "milestone"]
    by_seed = table.groupby([*keys, "seed"], sort=False)["reached"].agg(["sum", "size"])
    rows = []
    for key, part in by_seed.groupby(level=keys, sort=False):
        found = estimate(part["sum"].to_numpy(float), "minerals")
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"minerals": int(part["size"].max())}
            | {name: getattr(found, name) for name in ("mean", "low", "high")}
        )
    return pd.DataFrame(rows)

"""Where countries choose: who is inside when, and what measures and answers leave of a control.

Every run leaves two tables, of all seeds; their summaries stand beside. Members are the founders,
the same countries in every run and seed; a country that joins by choice is an outsider that joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from abm.config import AccessionRule, Config, month_name
from abm.model import MineralModel
from abm.recorder import month_names
from abm.world import MONTHS
from experiments.ensemble import Maker
from experiments.measures.effects import NO_SHOCK, Estimate, estimate, wilson

LAST_MONTHS = 12
IN_FORCE = 0.1  # percent of trade: what is less is no measure that anybody would notice
MEASURES = ("held_back", "counter_tariff", "tension_felt", "tension_held", "commitment")


def by_choice(config: Config) -> bool:
    """Whether countries join and leave by choice."""
    accession = config.accession
    return accession.active and accession.rule is AccessionRule.choice


# ---------------------------------------------------------------- what a run leaves


def stays(model: MineralModel, start: str) -> pd.DataFrame:
    """A row a stay of a country in the circle: first month inside, first month outside again.

    The latter is empty where the country is inside when the run ends. No rows unless by choice.
    """
    if not by_choice(model.config):
        return pd.DataFrame()
    member = model.record.member.T.astype(np.int8)  # [country, month]
    turns = np.diff(member, axis=1, prepend=0, append=0)
    country, joined = np.nonzero(turns == 1)
    _, left = np.nonzero(turns == -1)
    known = [*month_names(model.record, start), ""]
    return pd.DataFrame(
        {
            "country": np.array(model.world.countries)[country],
            "founding": model.opening_case.founders(model.months)[country],
            "joined": np.array(known)[joined],
            "left": np.array(known)[left],
        }
    )


def standing(model: MineralModel, start: str) -> pd.DataFrame:
    """Month by month, how the founding members and the exporter stand to each other.

    No rows unless by choice, nor where there are no founding members.
    """
    founders = model.opening_case.founders(model.months)
    if not by_choice(model.config) or not founders.any():
        return pd.DataFrame()
    record, exporter = model.record, model.world.country(model.config.shock.by)
    return pd.DataFrame(
        {
            "month": month_names(record, start),
            "held_back": 100.0 * record.restricted[:, exporter],
            "counter_tariff": 100.0 * record.counter_tariff[:, founders].mean(axis=1),
            "tension_felt": record.tension[:, exporter, founders].mean(axis=1),
            "tension_held": record.tension[:, founders, exporter].mean(axis=1),
            "commitment": 100.0 * record.commitment[:, founders].mean(axis=1),
        }
    )


# What every run leaves for all seeds, in the results folder as <name>_by_seed.parquet.
LEFT_BY_RUNS: dict[str, Maker] = {"stays": stays, "standing": standing}


# ---------------------------------------------------------------- summaries over seeds


@dataclass(frozen=True)
class Period:
    """Months of a run that are compared, YYYY-MM, first and last included."""

    first: str
    last: str

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of these months."""
        month = table["month"].astype(str)
        return table[(month >= self.first) & (month <= self.last)]


def months_after(config: Config) -> int:
    """Months of the run after the control of the shock has ended; none where it does not end."""
    if not config.shock.end:
        return 0
    months = MONTHS * config.horizon.years
    names = [month_name(config.horizon.start, month) for month in range(months)]
    return sum(name >= config.shock.end for name in names)


def periods(config: Config) -> dict[str, Period]:
    """The last year of the control and the last of the run, or what there is of each, by name.

    Empty where the run ends before the control does.
    """
    after, months = months_after(config), MONTHS * config.horizon.years
    if not after:
        return {}
    names = [month_name(config.horizon.start, month) for month in range(months)]
    control = [name for name in names if config.shock.start <= name < config.shock.end]
    last = names[-min(LAST_MONTHS, after) :]
    return {
        "under the control": Period(control[-LAST_MONTHS:][0], control[-1]),
        "at the end": Period(last[0], last[-1]),
    }


def remains(standing: pd.DataFrame, when: dict[str, Period], shock: str) -> pd.DataFrame:
    """What measures and answers amount to in each period: mean over seeds with 95 % t-interval.

    Columns membership, period, measure, mean, low, high, n, and `without`: the mean of the same
    runs without the shock.
    """
    rows = []
    if standing.empty:
        return pd.DataFrame()
    for membership, part in standing.groupby("membership", observed=True, sort=False):
        for name, period in when.items():
            means = period.of(part).groupby(["shock", "seed"], observed=True)[list(MEASURES)].mean()
            for measure in MEASURES:
                found = estimate(means[measure].loc[shock].to_numpy(float), "%")
                rows.append(
                    {"membership": str(membership), "period": name, "measure": measure}
                    | {key: getattr(found, key) for key in ("mean", "low", "high", "n")}
                    | {"without": float(means[measure].loc[NO_SHOCK].mean())}
                )
    return pd.DataFrame(rows)


def still_in_force(standing: pd.DataFrame, end: Period, shock: str) -> pd.DataFrame:
    """In how many seeds a control or counter-tariffs stand in the last month, by membership.

    Columns membership, seeds, count, percent, low, high.
    """
    month = standing["month"].astype(str)
    last = standing[(standing["shock"] == shock) & (month == end.last)]
    rows = []
    for membership, part in last.groupby("membership", observed=True, sort=False):
        stands = part[["held_back", "counter_tariff"]].max(axis=1) > IN_FORCE
        rows.append({"membership": str(membership), **share(int(stands.sum()), len(stands))})
    return pd.DataFrame(rows)


def price_left(peaks: pd.DataFrame, circle: str, membership: str, period: Period) -> Estimate:
    """What the founders of a circle pay with the shock over the same run without it, percent.

    From the monthly multiples of `finding.peak_paths`: geometric mean over the months of a period.
    """
    chosen = (peaks["alliance"].astype(str) == circle) & (
        peaks["membership"].astype(str) == membership
    )
    rows = period.of(peaks[chosen])
    logs = np.log(rows["multiple"]).groupby(rows["seed"]).mean()
    return estimate(logs.to_numpy(float), "%", relative=True)


def inside_counts(stays: pd.DataFrame, seeds: Sequence[int]) -> dict[tuple[str, str], Estimate]:
    """Countries inside when the run ends, by membership and shock: mean over seeds, interval."""
    found = {}
    for (membership, shock), part in stays.groupby(["membership", "shock"], observed=True):
        ends = part[part["left"] == ""].groupby("seed")["country"].nunique()
        counts = ends.reindex(seeds, fill_value=0).to_numpy(float)
        found[str(membership), str(shock)] = estimate(counts, "countries")
    return found


def whereabouts(stays: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """In what share of seeds each country moves and is inside when the run ends.

    Returns
    -------
    pd.DataFrame
        Founding members first, then by how often they are inside at the end. Columns membership,
        shock, country, founding, seeds; `count`, `percent`, `low`, `high` of the seeds in which a
        founding member has left, for a while or for good, or an outsider has joined; and `end`,
        `end_percent`, `end_low`, `end_high` of those in which it is inside when the run ends. A
        country is listed for every shock if it is ever inside.
    """
    rows = []
    for membership, part in stays.groupby("membership", observed=True, sort=False):
        known = part.groupby("country", observed=True)["founding"].first()
        for shock, runs in part.groupby("shock", observed=True, sort=False):
            of = dict(list(runs.groupby("country", observed=True)))
            for country, founding in known.items():
                own = of.get(country, runs.iloc[:0])
                moved = own[own["left"] != ""] if founding else own
                ends = own[own["left"] == ""]["seed"].nunique()
                end = share(ends, len(seeds))
                rows.append(
                    {"membership": str(membership), "shock": str(shock)}
                    | {"country": str(country), "founding": bool(founding)}
                    | share(moved["seed"].nunique(), len(seeds))
                    | {"end": ends}
                    | {f"end_{key}": end[key] for key in ("percent", "low", "high")}
                )
    order = ["membership", "shock", "founding", "end", "country"]
    ascending = [True, True, False, False, True]
    return pd.DataFrame(rows).sort_values(order, ascending=ascending).reset_index(drop=True)


def inside_over_time(stays: pd.DataFrame, months: Sequence[str]) -> pd.DataFrame:
    """Percent of seeds in which each country is inside, month by month.

    Columns membership, shock, country, founding, month, inside_percent; countries in the order of
    `whereabouts` in the last shock, each for every shock and month.
    """
    seeds = sorted(set(stays["seed"]))
    order = whereabouts(stays, seeds)
    at = {month: number for number, month in enumerate([*months, ""])}
    parts = []
    for membership, listed in order.groupby("membership", sort=False):
        countries = listed.groupby(["founding", "country"])["end"].sum().reset_index()
        countries = countries.sort_values(
            ["founding", "end", "country"], ascending=[False, False, True]
        ).reset_index(drop=True)
        row = {country: number for number, country in enumerate(countries["country"])}
        for shock in listed["shock"].unique():
            own = stays[(stays["membership"] == membership) & (stays["shock"] == shock)]
            turns = np.zeros((len(row), len(months) + 1))  # [country, month]
            place = own["country"].astype(str).map(row).to_numpy(int)
            np.add.at(turns, (place, own["joined"].map(at).to_numpy(int)), 1.0)
            np.add.at(turns, (place, own["left"].map(at).to_numpy(int)), -1.0)
            inside = 100.0 * turns.cumsum(axis=1)[:, :-1] / len(seeds)
            parts.append(
                pd.DataFrame(
                    {
                        "membership": membership,
                        "shock": shock,
                        "country": np.repeat(countries["country"].to_numpy(), len(months)),
                        "founding": np.repeat(countries["founding"].to_numpy(), len(months)),
                        "month": np.tile(np.array(months), len(row)),
                        "inside_percent": inside.ravel(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def share(count: int, seeds: int) -> dict[str, float]:
    """A share of seeds in percent with its 95 % interval."""
    low, high = wilson(count, seeds)
    of = {"percent": 100.0 * count / seeds, "low": low, "high": high}
    return {"seeds": seeds, "count": count, **of}

"""What every run leaves for its seed to be measured by: a brief, in place of its whole tables.

Months of refined goods without any key, the places that the rows of a month stand for, and surplus
and sectors by year over all minerals. The whole tables would give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from abm.model import MineralModel
from abm.recorder import active_places
from abm.tables import STAGES
from abm.welfare import PARTIES, SECTOR_FIGURES
from abm.world import KG
from experiments.ensemble import Maker
from experiments.measures.effects import (
    HEADLINE_MEASURES,
    HOME_PRICE,
    MEASURES,
    OPENING,
    OPENING_MONTHS,
    PRICE,
    known_mean,
)
from experiments.measures.panel import Common, Panel

READ = tuple(
    dict.fromkeys([PRICE, HOME_PRICE, *(c for m in HEADLINE_MEASURES for c in MEASURES[m].columns)])
)


def brief_months(model: MineralModel) -> pd.DataFrame:
    """The measures of a month and place, month by month, places in the order of the openings.

    Which run it is, and which places, stand in the openings: the same row group there.
    """
    market, country = _places(model)
    return pd.DataFrame(
        {name: _of_places(model, name, market, country).ravel() for name in READ}, copy=False
    )


def openings(model: MineralModel, start: str) -> pd.DataFrame:
    """What seeds have to share, a row a place: as `effects.opening_of` reads it off a panel.

    Members are the founders, so that circles hold the same countries in every run and seed.
    """
    world = model.world
    market, country = _places(model)
    first = {
        name: _of_places(model, name, market, country)[:OPENING_MONTHS].astype(float)
        for name in OPENING
    }
    return pd.DataFrame(
        {
            "country": np.array(world.countries)[country],
            **{name: known_mean(values, axis=0) for name, values in first.items()},
            "mineral": np.array(world.minerals)[world.mineral_of_market[market]],
            "stage": np.array(STAGES)[world.is_refined[market].astype(int)],
            "member": model.opening_case.founders(model.months)[country],
        }
    )


def brief_surplus(model: MineralModel, start: str) -> pd.DataFrame:
    """Dollars that a year was worth to each party of a country: `welfare.surplus_years`."""
    surplus = model.record.surplus  # [year, party, market, country]
    sums = surplus.astype(np.float32).sum(axis=2, dtype=float).astype(np.float32)
    year, country = np.nonzero(surplus.any(axis=(1, 2)))
    columns = _years(model, start, year, country)
    for row, party in enumerate(PARTIES):
        columns[f"{party}_usd"] = sums[year, row, country]
    return pd.DataFrame(columns)


def brief_sectors(model: MineralModel, start: str) -> pd.DataFrame:
    """What sectors used and paid in a year and country: `welfare.sector_years`."""
    figures = np.moveaxis(model.record.sectors, 1, 0)  # [figure, year, market, country, sector]
    of = dict(zip(SECTOR_FIGURES, figures, strict=True))
    known = of["need_t"] != 0.0
    need, use, uncovered = (of[n].astype(np.float32) for n in ("need_t", "use_t", "uncovered_t"))
    outlay = (KG * of["outlay_usd"]).astype(np.float32)
    hundred = np.float32(100.0) * outlay
    shares = {
        "availability": np.divide(hundred * use, need, out=np.zeros_like(need), where=known),
        "uncovered": np.divide(hundred * uncovered, need, out=np.zeros_like(need), where=known),
    }
    year, country, sector = np.nonzero(known.any(axis=1))
    columns = _years(model, start, year, country)
    columns["sector"] = pd.Categorical.from_codes(sector, categories=list(model.world.sectors))
    for name, values in {"outlay_usd": np.where(known, outlay, 0.0), **shares}.items():
        sums = values.sum(axis=1, dtype=float).astype(np.float32)
        columns[name] = sums[year, country, sector]
    return pd.DataFrame(columns)


MONTHLY = "brief"  # what `brief_months` leaves
# What a run leaves beside its months, with its labels; by name, in this order.
BRIEF: dict[str, Maker] = {
    "openings": openings,
    "surplus_by_year": brief_surplus,
    "sectors_by_year": brief_sectors,
}


def _places(model: MineralModel) -> tuple[np.ndarray, np.ndarray]:
    """Markets and countries of refined goods that have rows in the monthly table."""
    market, country = active_places(model.world)
    refined = model.world.is_refined[market]
    return market[refined], country[refined]


def _of_places(
    model: MineralModel, name: str, market: np.ndarray, country: np.ndarray
) -> np.ndarray:
    """[month, place] of a measure, as exact as it is kept."""
    values: np.ndarray = model.record.measures[name][:, market, country].astype(np.float32)
    return values


def _years(
    model: MineralModel, start: str, year: np.ndarray, country: np.ndarray
) -> dict[str, Any]:
    return {
        "year": (int(start[:4]) + year).astype(np.int32),
        "country": pd.Categorical.from_codes(country, categories=list(model.world.countries)),
    }


# ---------------------------------------------------------------- read again, seed by seed

# Where rows stand: a file, and row groups of it.
type Place = tuple[Path, list[int]]
# What tells runs of a seed apart in the openings, and places.
OF_RUN, OF_PLACE = ["membership", "shock"], ["mineral", "stage", "country"]


def places_by_seed(parts: Sequence[Path], name: str) -> dict[int, list[Place]]:
    """Where the runs of every seed stand in a table of parts, without reading a row."""
    found: dict[int, list[Place]] = {}
    for path in (part / f"{name}.parquet" for part in parts):
        if not path.exists():
            continue
        with pq.ParquetFile(path) as file:
            column = file.schema_arrow.names.index("seed")
            for number in range(file.num_row_groups):
                seed = int(file.metadata.row_group(number).column(column).statistics.min)
                places = found.setdefault(seed, [])
                if not places or places[-1][0] != path:
                    places.append((path, []))
                places[-1][1].append(number)
    return found


def read_places(places: Iterable[Place], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of some places, one after the other."""
    tables = []
    for path, numbers in places:
        with pq.ParquetFile(path) as file:
            tables.append(file.read_row_groups(numbers, columns=columns, use_threads=False))
    return pa.concat_tables(tables)


def seed_panel(at: Sequence[Place], seed: int, months: Sequence[str], common: Common) -> Panel:
    """The panel of a seed, from the openings of its runs, which stand there, and their months.

    Parameters
    ----------
    months
        Those of every run, YYYY-MM.
    """
    places = read_places(at, [*OF_RUN, *OF_PLACE]).to_pandas(use_threads=False)
    values = read_places([(path.with_stem(MONTHLY), numbers) for path, numbers in at])
    runs = places[OF_RUN].drop_duplicates()
    first = places[: len(places) // len(runs)]
    shape = len(runs), len(months), len(first)
    return Panel.of_runs(
        runs=[(str(membership), str(shock)) for membership, shock in runs.to_numpy()],
        seed=seed,
        months=months,
        places=[(str(m), str(s), str(c)) for m, s, c in first[OF_PLACE].to_numpy()],
        columns={name: values.column(name).to_numpy().reshape(shape) for name in READ},
        common=common,
    )


def seed_tables(
    parts: Sequence[Path], months: Sequence[str], common: Common
) -> Iterator[tuple[Panel, pd.DataFrame, pd.DataFrame]]:
    """The panel of every seed in these parts, with surplus and sectors by year."""
    at: Mapping[str, dict[int, list[Place]]] = {name: places_by_seed(parts, name) for name in BRIEF}
    for seed in at["openings"]:
        surplus, sectors = (
            read_places(at[name][seed]).to_pandas(use_threads=False)
            for name in ("surplus_by_year", "sectors_by_year")
        )
        yield seed_panel(at["openings"][seed], seed, months, common), surplus, sectors

"""Worlds of past years: what the tables say of them, and nothing of what came later."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import model_of, quiet_config, run
from test_model import assert_opens_as_observed
from tiny_world import tiny_rows, write_table, write_tiny_tables

from abm.config import Config, ConfigError, check
from abm.history import BASE_YEAR, coverage, spans, tables_of_year
from abm.opening import opening_balance
from abm.tables import SCHEMAS, TableError, Tables, read_tables
from abm.world import World, build_world

PAST_YEARS = range(2009, 2024)
Row = dict[str, object]


@pytest.fixture(scope="module")
def tables() -> Tables:
    """The built-in tables with lanthanum and cerium."""
    return read_tables([Path(__file__).parent.parent / "abm" / "data" / "lanthanum_cerium"])


@pytest.fixture(scope="module")
def world_of(tables: Tables) -> Callable[[int], World]:
    """The world of a year with every mineral that has it, kept."""
    kept: dict[int, World] = {}

    def world(year: int) -> World:
        if year not in kept:
            then = tables_of_year(tables, year, minerals_of(tables, year))
            kept[year] = build_world(then, past_config(tables, year).world)
        return kept[year]

    return world


def minerals_of(tables: Tables, year: int) -> list[str]:
    return [mineral for mineral, years in coverage(tables).items() if year in years]


def past_config(tables: Tables, year: int, years: int = 2) -> Config:
    config = quiet_config(years, minerals_of(tables, year))
    config.world.year, config.horizon.start = year, f"{year + 1}-01"
    return config


def share(world: World, mineral: str, stage: str, country: str) -> float:
    supply = world.opening.supply[world.market(mineral, stage)]
    return float(supply[world.country(country)] / supply.sum())


# Every year -----------------------------------------------------------------------------------


def test_the_base_year_is_the_tables_themselves(tables: Tables) -> None:
    assert tables_of_year(tables, BASE_YEAR, list(tables.minerals["mineral"])) is tables
    assert Config().world.year == BASE_YEAR


@pytest.mark.parametrize("year", PAST_YEARS)
def test_a_past_year_opens_and_balances(world_of: Callable[[int], World], year: int) -> None:
    world = world_of(year)
    volume = world.flow.sum(axis=(1, 2))
    supply = np.abs(world.flow.sum(axis=2) - world.opening.supply).max(axis=1)
    use = np.abs(world.flow.sum(axis=1) - world.opening.use).max(axis=1)
    assert (supply < 1e-12 * volume).all()
    assert (use < 1e-12 * volume).all()
    assert world.year == year
    mined, refined, rate = world.chain.mined, world.chain.refined, world.chain.refining_yield
    assert (world.world_price[mined] < world.world_price[refined] * rate[:, 0]).all()
    made = np.bincount(world.firms.market, world.firms.output, len(world.markets))
    np.testing.assert_allclose(made, world.opening.supply.sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("year", [2009, 2015, 2020, 2022])
def test_a_past_world_left_alone_keeps_its_opening(
    tables: Tables, world_of: Callable[[int], World], year: int
) -> None:
    world, config = world_of(year), past_config(tables, year)
    record = run(config, world)
    bought = world.flow.sum(axis=1)
    ratio = record.measures["landed_price_usd_per_kg"] / np.where(
        bought > 0, world.landed_price, 1.0
    )
    mean = np.einsum("tmj,mj->tm", np.where(bought > 0, ratio, 0.0), bought) / bought.sum(axis=1)
    assert np.abs(mean - 1.0).max() < 0.08
    assert max(record.tonnes_gap.max(), record.money_gap.max()) < 1e-9


@pytest.mark.parametrize("year", [2009, 2022])
def test_a_past_world_opens_as_observed(
    tables: Tables, world_of: Callable[[int], World], year: int
) -> None:
    assert_opens_as_observed(model_of(past_config(tables, year), world_of(year)))


# Against published figures ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "mineral", "stage", "country", "published", "points"),
    [
        (2009, "antimony", "mined", "CHN", 0.87, 0.03),  # 112,000 of 129,000 t, BGS
        (2009, "tungsten", "mined", "CHN", 0.79, 0.03),  # 49,432 of 62,900 t, BGS
        (2010, "rare_earths_light", "mined", "CHN", 0.982, 0.01),  # of oxide, BGS
        (2014, "rare_earths_light", "mined", "CHN", 0.922, 0.03),
        (2014, "rare_earths_cerium", "mined", "CHN", 0.922, 0.03),
        (2020, "lithium", "mined", "AUS", 0.48, 0.03),  # 39,700 of 82,500 t, USGS MCS 2022
        (2020, "lithium", "mined", "CHL", 0.26, 0.03),  # 21,500 of 82,500 t
        (2020, "cobalt", "mined", "COD", 0.69, 0.05),  # 98,000 of 142,000 t, USGS MCS 2022
        (2020, "nickel", "mined", "IDN", 0.31, 0.03),  # 771,000 of 2,510,000 t, USGS MCS 2022
        (2022, "gallium", "refined", "CHN", 0.86, 0.05),  # with scrap; 98 % of primary, USGS
    ],
)
def test_shares_of_output_are_the_published_ones(
    world_of: Callable[[int], World],
    year: int,
    mineral: str,
    stage: str,
    country: str,
    published: float,
    points: float,
) -> None:
    assert share(world_of(year), mineral, stage, country) == pytest.approx(published, abs=points)


def test_prices_are_those_of_the_year_in_dollars_of_2024(world_of: Callable[[int], World]) -> None:
    nickel = world_of(2020)
    price = nickel.world_price[nickel.market("nickel", "refined")]
    assert price == pytest.approx(13.787 * 313.689 / 258.811, rel=1e-9)
    earths = world_of(2009)
    light = earths.market("rare_earths_light", "refined")
    abroad, home = earths.world_price[light], earths.home_price[light]
    assert abroad == pytest.approx((0.77 * 19.12 + 0.23 * 18.03) * 313.689 / 214.537, rel=1e-3)
    assert abroad / home == pytest.approx(1.15 * 1.17, rel=1e-3)


def test_a_substitute_costs_the_same_real_dollars(tables: Tables) -> None:
    minerals = ("rare_earths_light", "lithium")

    def dollars(found: Tables) -> np.ndarray:
        """World price in dollars of 2024 at which substitutes take over, then end demand."""
        price = found.prices.set_index(["mineral", "stage", "market"])["price_usd_per_kg"]
        multiple = found.parameters.set_index(["mineral", "parameter"])["value"]
        kinds = ("backstop_price_multiple", "choke_price_multiple")
        return np.array(
            [
                [multiple[name, kind] * price[name, "refined", "world"] for kind in kinds]
                for name in minerals
            ]
        )

    for year in (2009, 2016, 2020):
        then = tables_of_year(tables, year, minerals)
        np.testing.assert_allclose(dollars(then), dollars(tables), rtol=1e-12)
    # In the boom of 2022 lithium cost nearly what the substitute does: never below the range.
    stated = tables.parameters.set_index(["mineral", "parameter"])
    held = tables_of_year(tables, 2022, minerals).parameters.set_index(["mineral", "parameter"])
    key = ("lithium", "backstop_price_multiple")
    assert held.loc[key, "value"] == stated.loc[key, "low"]


def test_japan_buys_its_rare_earths_in_china_in_2009(world_of: Callable[[int], World]) -> None:
    world = world_of(2009)
    market = world.market("rare_earths_light", "refined")
    japan = world.country("JPN")
    bought = world.flow[market, :, japan].copy()
    bought[japan] = 0.0
    assert bought[world.country("CHN")] / bought.sum() > 0.9
    use = world.opening.use[market]
    assert 0.17 < use[japan] / use.sum() < 0.25


# Firms and projects -----------------------------------------------------------------------------


def test_only_what_had_started_runs(tables: Tables) -> None:
    then = tables_of_year(tables, 2009, ["rare_earths_light"]).firms
    mine = then[then["mineral"] == "rare_earths_light"]
    assert "Bayan Obo" in set(mine["firm"])
    assert not {"Mountain Pass mine", "Mt Weld mine and concentrator"} & set(mine["firm"])
    assert not (mine["start_year"] > 2009).any()


def test_plants_of_the_next_two_years_keep_their_date(world_of: Callable[[int], World]) -> None:
    firms = world_of(2020).firms
    coming = dict(zip(firms.name, firms.start_year, strict=True))
    assert coming["Kwinana"] == 2022
    assert (firms.output[firms.start_year > 0] == 0).all()
    assert (firms.start_year[firms.start_year > 0] > 2020).all()


def test_later_mines_are_candidates(tables: Tables) -> None:
    earths = tables_of_year(tables, 2009, ["rare_earths_light"]).projects
    state = earths[earths["mineral"] == "rare_earths_light"].set_index("project")["state"]
    assert state["Mt Weld mine and concentrator"] == "construction"
    assert state["Mountain Pass mine"] == "idle"
    assert "Halleck Creek" not in state.index
    lithium = tables_of_year(tables, 2020, ["lithium"]).projects
    assert "Kathleen Valley" in set(lithium["project"])


# What is missing --------------------------------------------------------------------------------


def test_a_year_without_data_names_mineral_years_and_cure(tables: Tables) -> None:
    with pytest.raises(TableError) as caught:
        tables_of_year(tables, 2009, ["gallium", "cobalt"])
    said = str(caught.value)
    assert "2009" in said
    assert "gallium has 2016 to 2024" in said
    assert "world.minerals=[cobalt]" in said
    assert said.count(". ") == 0
    with pytest.raises(TableError, match=r"choose another world\.year"):
        tables_of_year(tables, 2009, ["gallium"])


def test_ranges_of_years_are_written_short() -> None:
    assert spans((2009, 2010, 2011, 2014, 2020, 2021)) == "2009 to 2011, 2014, 2020 to 2021"


@pytest.mark.parametrize(
    ("year", "start"), [(2009, "2025-01"), (2024, "2024-06"), (2009, "2009-06")]
)
def test_a_run_starts_in_the_year_after_its_opening(year: int, start: str) -> None:
    config = Config()
    config.world.year, config.horizon.start = year, start
    with pytest.raises(ConfigError, match=f"{year + 1}-01"):
        check(config)


# Rules, by hand ---------------------------------------------------------------------------------


def past_rows() -> dict[str, list[Row]]:
    """A past of the tiny world: gallium of 2019, when China made half as much."""
    made: Mapping[int, Mapping[str, float]] = {
        2014: {"CHN": 177.0},
        2019: {"CHN": 354.0},
        2021: {"CHN": 999.0},
    }
    market = {"mineral": "gallium", "stage": "refined"}
    return {
        "past_output": [
            {**market, "country": country, "year": year, "quantity_t": quantity}
            for year, by_country in made.items()
            for country, quantity in by_country.items()
        ],
        "past_prices": [
            {
                **market,
                "market": "world",
                "exporter": "",
                "year": 2019,
                "dollars_of": 2019,
                "price_usd_per_kg": 100.0,
            }
        ],
        "past_demand": [
            {**market, "country": "CHN", "year": 2014, "share": 0.4, "low": 0.3, "high": 0.5}
        ],
        "past_sectors": [
            {"mineral": "gallium", "sector": "clean_energy", "year": 2019, "share": 0.1}
        ],
        "consumer_prices": [{"year": 2019, "index": 80.0}, {"year": 2024, "index": 100.0}],
    }


@pytest.fixture
def tiny_past(tmp_path: Path) -> Tables:
    base = write_tiny_tables(tmp_path / "tiny")
    for name, rows in past_rows().items():
        write_table(base, name, rows)
    return read_tables(base_folder=base)


def of_gallium(frame: pd.DataFrame, label: str, value: str) -> dict[str, float]:
    rows = frame[frame["mineral"] == "gallium"]
    return dict(zip(rows[label], rows[value], strict=True))


def test_rules_of_a_small_past(tiny_past: Tables) -> None:
    then = tables_of_year(tiny_past, 2019, ["gallium"])
    # Primary output of 2024 is 708 t, and 12 t of scrap follow it.
    assert of_gallium(then.output, "country", "quantity_t") == {"CHN": 354.0, "USA": 6.0}
    price = dict(zip(then.prices["market"], then.prices["price_usd_per_kg"], strict=True))
    assert price == {"world": 125.0, "home": 100.0}
    # China's share lies halfway between 0.4 in 2014 and 0.6 in 2024; the others share the rest.
    demand = of_gallium(then.demand, "country", "share")
    assert demand["CHN"] == pytest.approx(0.5)
    assert demand["USA"] == pytest.approx(0.2 * 0.5 / 0.4)
    sectors = of_gallium(then.sectors, "sector", "share")
    assert sectors["clean_energy"] == pytest.approx(0.1)
    assert sectors["digital"] == pytest.approx(0.6 * 0.9 / 0.8)
    growth = of_gallium(then.sectors, "sector", "growth_per_year")
    assert set(growth.values()) == {0.12}  # output doubled in five years: the most that is planned
    assert opening_balance(then, ["gallium"]).supply.sum() == pytest.approx(360.0 / 12)


def test_rows_of_other_minerals_stay(tiny_past: Tables) -> None:
    then = tables_of_year(tiny_past, 2019, ["gallium"])
    for name in ("output", "demand", "prices", "sectors", "firms"):
        kept = [
            frame[frame["mineral"] == "graphite"].reset_index(drop=True)
            for frame in (getattr(then, name), getattr(tiny_past, name))
        ]
        pd.testing.assert_frame_equal(*kept)


def test_no_later_output_or_price_reaches_a_past_world(tables: Tables) -> None:
    """Output and prices after the opening are struck out: the same world opens."""
    minerals = minerals_of(tables, 2015)
    blind = replace(
        tables,
        past_output=tables.past_output[tables.past_output["year"] <= 2015],
        past_prices=tables.past_prices[tables.past_prices["year"] <= 2015],
    )
    seen, unseen = (tables_of_year(known, 2015, minerals) for known in (tables, blind))
    for name in SCHEMAS:
        if not name.startswith("past_"):
            pd.testing.assert_frame_equal(getattr(seen, name), getattr(unseen, name))


def test_a_base_without_a_past_has_empty_tables_of_it(tmp_path: Path) -> None:
    plain = read_tables(base_folder=write_tiny_tables(tmp_path / "tiny"))
    assert set(coverage(plain).values()) == {(BASE_YEAR,)}
    assert "past_output" not in tiny_rows()
    with pytest.raises(TableError, match="graphite has 2024"):
        tables_of_year(plain, 2019, ["graphite"])

"""The opening world: prices, weights, firms and drawn parameters against tables and theory."""

import csv
from pathlib import Path

import numpy as np
import pytest
from conftest import quiet_config
from tiny_world import tiny_rows, write_table, write_tin_tables, write_tiny_tables

from abm.config import ConfigError, WorldConfig
from abm.streams import stream
from abm.tables import DATA_FOLDER, Tables, read_tables
from abm.trade import sourcing_weights
from abm.world import World, build_world, firm_offsets, triangular_quantile

NEAR = 1e-9


def rows_of(table: str) -> list[dict[str, str]]:
    """A built-in table read without the loader."""
    with (DATA_FOLDER / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_logit_reproduces_every_opening_flow(real_world: World) -> None:
    """x_ij = D_j w_ij exp(-p_ij/θ) / Σ w exp(-p/θ), and P_j is the mean price paid (MODEL §3)."""
    world = real_world
    known = (world.opening.supply > 0).astype(float)
    nobody, habit = np.zeros(world.landed_price.shape), np.ones(world.flow.shape)
    _, log_weight = sourcing_weights(world, nobody, nobody, nobody, known, habit, world.opening_gap)
    pull = np.exp(log_weight - world.delivered_price / world.dispersion[:, None, None])
    use = world.flow.sum(axis=1)
    bought = use > 0
    total = pull.sum(axis=1)
    flow = pull / np.where(bought, total, 1.0)[:, None, :] * use[:, None, :]
    volume = use.sum(axis=1)[:, None, None]
    assert (np.abs(flow - world.flow) < NEAR * volume).all()
    with np.errstate(divide="ignore"):
        index = -world.dispersion[:, None] * np.log(total)
    np.testing.assert_allclose(index[bought], world.landed_price[bought], rtol=NEAR)


def test_delivered_prices_add_up_from_price_markup_tariff_and_freight(real_world: World) -> None:
    world = real_world
    at_border = world.origin_price[:, :, None] * (1 + world.export_markup)
    np.testing.assert_allclose(
        world.delivered_price, at_border * (1 + world.tariff) + world.freight, rtol=NEAR
    )
    home = np.diagonal(world.delivered_price, axis1=1, axis2=2)
    np.testing.assert_allclose(home, world.origin_price, rtol=NEAR)


def test_foreign_trade_before_duty_costs_the_world_price_on_average(real_world: World) -> None:
    """World prices are landed prices: net price plus freight, over the observed foreign flows."""
    world = real_world
    abroad = world.flow * ~np.eye(len(world.countries), dtype=bool)
    before_duty = world.origin_price[:, :, None] * (1 + world.export_markup) + world.freight
    mean = (abroad * before_duty).sum(axis=(1, 2)) / abroad.sum(axis=(1, 2))
    np.testing.assert_allclose(mean, world.world_price, rtol=NEAR)


def test_the_exporters_home_price_is_the_published_one(real_world: World) -> None:
    checked = 0
    for row in rows_of("prices"):
        market = real_world.market(row["mineral"], row["stage"])
        published = float(row["price_usd_per_kg"])
        if row["market"] == "world":
            assert real_world.world_price[market] == pytest.approx(published)
            continue
        exporter = real_world.country(row["exporter"])
        assert real_world.leading_exporter[market] == exporter
        others = np.delete(real_world.origin_price[market], exporter)
        # Dearer at home than what exports fetch cannot be: the two are then taken as equal.
        expected = min(published, float(others[0]))
        assert real_world.origin_price[market, exporter] == pytest.approx(expected)
        checked += 1
    assert checked > 3


def test_duties_are_those_of_the_table_and_none_is_paid_at_home(real_world: World) -> None:
    world = real_world
    special = [row for row in rows_of("tariffs") if row["exporter"] != "*"]
    assert special
    for row in special:
        place = world.market(row["mineral"], row["stage"])
        rate = world.tariff[place, world.country(row["exporter"]), world.country(row["importer"])]
        assert rate == pytest.approx(float(row["rate"])), row
    assert not np.diagonal(world.tariff, axis1=1, axis2=2).any()


def test_state_stocks_are_those_of_the_table(real_world: World) -> None:
    held = np.zeros_like(real_world.stockpile_months)
    for row in rows_of("stockpiles"):
        place = real_world.minerals.index(row["mineral"]), real_world.country(row["country"])
        held[place] = float(row["cover_months"])
    assert held.sum() > 0
    np.testing.assert_array_equal(real_world.stockpile_months, held)


def test_firms_make_exactly_the_output_of_their_country(real_world: World) -> None:
    world, firms = real_world, real_world.firms
    made, scrap = np.zeros(world.opening.supply.shape), np.zeros(world.opening.supply.shape)
    np.add.at(made, (firms.market, firms.country), firms.output)
    np.add.at(scrap, (firms.market, firms.country), firms.output * firms.recycler)
    volume = world.opening.supply.sum(axis=1)[:, None]
    np.testing.assert_allclose(made / volume, world.opening.supply / volume, atol=NEAR)
    np.testing.assert_allclose(scrap / volume, world.opening.recycled / volume, atol=NEAR)


def test_firms_run_below_capacity_and_stand_in_order(real_world: World) -> None:
    firms = real_world.firms
    assert (firms.output <= firms.capacity * (1 + 1e-12)).all()
    assert (firms.capacity[firms.start_year > 0] > 0).all()
    assert (firms.output[firms.start_year > 0] == 0).all()
    place = firms.market * len(real_world.countries) + firms.country
    assert (np.diff(place) >= 0).all()
    offsets = firm_offsets(real_world)
    for market, country in ((0, 0), (3, 11), (len(real_world.markets) - 1, 35)):
        rows = np.flatnonzero((firms.market == market) & (firms.country == country))
        found = np.arange(offsets[market, country], offsets[market, country + 1])
        np.testing.assert_array_equal(found, rows)


def test_real_facilities_keep_their_names(real_world: World) -> None:
    listed = {row["firm"] for row in rows_of("firms") if row["state"] == "operating"}
    running = set(real_world.firms.name[real_world.firms.output > 0])
    assert len(running & listed) > 100
    doubles = {row["firm"] for row in rows_of("firms")} - {
        row["firm"] for row in rows_of("firms") if row["state"] != "double_count"
    }
    assert not running & doubles


def test_drawn_parameters_stay_in_their_ranges_and_differ_between_seeds(
    tiny_tables: Tables,
) -> None:
    config = WorldConfig(minerals=["graphite"])
    drawn = [build_world(tiny_tables, config, seed) for seed in range(10)]
    for name in ("demand_elasticity", "supply_elasticity", "sourcing_elasticity"):
        values = np.array([world.parameters[name] for world in drawn])
        central, low, high = tiny_tables.parameter("graphite", "refined", name)
        assert ((values >= low) & (values <= high)).all()
        assert np.unique(values).size == values.size
        # The mean of a triangular distribution is the mean of its three corners.
        spread = (high - low) / np.sqrt(values.size) / 4
        assert abs(values.mean() - (low + central + high) / 3) < 3 * spread
    choke = np.array([world.parameters["choke_price_multiple"] for world in drawn])
    backstop = np.array([world.parameters["backstop_price_multiple"] for world in drawn])
    assert (choke > backstop).all()


def test_central_parameters_are_those_of_the_table_whatever_the_seed(tiny_tables: Tables) -> None:
    fixed = WorldConfig(draw_parameters=False)
    one, other = (build_world(tiny_tables, fixed, seed) for seed in (0, 7))
    for name, values in one.parameters.items():
        np.testing.assert_array_equal(values, other.parameters[name])
        assert values == pytest.approx(tiny_tables.parameter("gallium", "refined", name)[0])
    np.testing.assert_allclose(one.growth[one.growth > 0], 0.03)


def test_another_mineral_changes_no_draw_of_the_others(tiny_tables: Tables, tmp_path: Path) -> None:
    base = write_tiny_tables(tmp_path / "base")
    wider = read_tables([write_tin_tables(tmp_path / "tin")], base_folder=base)
    old = build_world(tiny_tables, WorldConfig(), seed=3)
    new = build_world(wider, WorldConfig(), seed=3)
    assert "tin" in new.minerals
    same = [new.markets.index(market) for market in old.markets]
    for name, values in old.parameters.items():
        np.testing.assert_array_equal(values, new.parameters[name][same])
    kept = [new.minerals.index(mineral) for mineral in old.minerals]
    np.testing.assert_array_equal(old.growth, new.growth[kept])
    np.testing.assert_array_equal(old.flow, new.flow[same])


def test_a_world_price_below_freight_is_refused_with_the_table_to_correct(tmp_path: Path) -> None:
    base = write_tiny_tables(tmp_path)
    prices = tiny_rows()["prices"]
    for row in prices:
        if row["mineral"] == "graphite" and row["stage"] == "mined":
            row["price_usd_per_kg"] = 0.001
    write_table(base, "prices", prices)
    with pytest.raises(ConfigError) as refusal:
        build_world(read_tables(base_folder=base), quiet_config().world)
    message = str(refusal.value)
    assert "\n" not in message
    for text in ("prices.csv", "mined graphite", "correct the price"):
        assert text in message


def test_a_by_product_with_one_stage_is_a_world_of_its_own(tiny_tables: Tables) -> None:
    world = build_world(tiny_tables, quiet_config(minerals=["gallium"]).world)
    assert world.markets == (("gallium", "refined"),)
    assert list(world.mined_market) == [-1]


def test_positions_are_quantiles_of_the_stated_ranges(tiny_tables: Tables) -> None:
    config = quiet_config().world
    central = build_world(tiny_tables, config)
    for position, expected in ((0.0, 0.1), (0.4, 0.3), (1.0, 0.6)):  # 0.1 to 0.6 around 0.3
        config.positions = {"demand_elasticity": position}
        world = build_world(tiny_tables, config)
        assert world.parameters["demand_elasticity"] == pytest.approx(expected)
        same = world.parameters["supply_elasticity"] == central.parameters["supply_elasticity"]
        assert same.all()
    draws = stream(0, "test").triangular(0.1, 0.3, 0.6, 100_000)
    for position in (0.1, 0.5, 0.9):
        found = triangular_quantile(position, 0.3, 0.1, 0.6)
        assert found == pytest.approx(np.quantile(draws, position), abs=3e-3)


@pytest.mark.parametrize(
    ("positions", "cure"),
    [({"elasticity": 0.5}, "choose from supply_elasticity"), ({"growth": 1.5}, "0 to 1")],
)
def test_positions_that_cannot_be_are_refused(
    tiny_tables: Tables, positions: dict[str, float], cure: str
) -> None:
    config = quiet_config().world
    config.positions = positions
    with pytest.raises(ConfigError, match=cure):
        build_world(tiny_tables, config)

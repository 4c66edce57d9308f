"""Outside events: their statistics against the settings, and that nothing reshuffles them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_same_history, quiet_config, run
from tiny_world import write_tin_tables, write_tiny_tables

from abm.config import ConfigError, Instability, Randomness, check
from abm.shocks import PARTIAL_OUTAGE, OutsideEvents, country_events, draw_events
from abm.streams import stream
from abm.tables import read_tables
from abm.world import World, build_world

LONG = 4000  # months, so that averages are close to what they estimate


@pytest.fixture(scope="module")
def long_run(tiny_world: World) -> OutsideEvents:
    return draw_events(tiny_world, Randomness(outage_rate=0.01), LONG, seed=5)


def test_the_opening_month_is_as_observed(tiny_world: World) -> None:
    for seed in range(5):
        events = draw_events(tiny_world, Randomness(outage_rate=0.5), 24, seed)
        assert (events.availability[0] == 1).all()
        assert (events.demand[0] == 1).all()
        assert (events.availability[1:] < 1).any()


def test_without_randomness_nothing_happens(tiny_world: World) -> None:
    events = draw_events(tiny_world, Randomness(active=False), 24, seed=1)
    assert (events.availability == 1).all()
    assert (events.demand == 1).all()


def test_demand_swings_have_the_deviation_and_memory_asked_for(long_run: OutsideEvents) -> None:
    settings = Randomness()
    swings = np.log(long_run.demand[200:])  # [month, mineral, country]
    expected = np.hypot(settings.demand_noise, settings.country_noise)
    assert swings.std() == pytest.approx(expected, rel=0.15)
    assert abs(swings.mean()) < 0.2 * expected
    series = swings[:, 0, 0]
    lagged = np.corrcoef(series[:-1], series[1:])[0, 1]
    assert lagged == pytest.approx(settings.noise_memory, abs=0.06)
    # The world's swing is common to all countries, the rest their own.
    common = np.corrcoef(swings[:, 0, 0], swings[:, 0, 1])[0, 1]
    assert common == pytest.approx(settings.demand_noise**2 / expected**2, abs=0.12)
    assert abs(np.corrcoef(swings[:, 0, 0], swings[:, 1, 0])[0, 1]) < 0.15


def test_outages_come_at_the_rate_and_last_as_long_as_asked(
    tiny_world: World, long_run: OutsideEvents
) -> None:
    """Renewal theory: down a share r L/(1 + r L) of the time, up to overlaps, r per stability."""
    settings = Randomness(outage_rate=0.01)
    rate = settings.outage_rate * np.exp(-settings.stability_effect * 0.5)
    down = long_run.availability < 1
    load = rate * settings.outage_months
    assert down[1:].mean() == pytest.approx(load / (1 + load), rel=0.2)
    lost = 1 - long_run.availability[down]
    assert lost.min() >= PARTIAL_OUTAGE[0]
    assert lost.max() <= PARTIAL_OUTAGE[1]


def test_unstable_countries_suffer_more_outages(tiny_world: World) -> None:
    shaken = tiny_world.political_stability.copy()
    shaken[tiny_world.country("CHN")] = -2.0
    events = draw_events(replace(tiny_world, political_stability=shaken), Randomness(), LONG, 0)
    calm = draw_events(tiny_world, Randomness(), LONG, 0)
    there = tiny_world.firms.country == tiny_world.country("CHN")
    more = (events.availability[:, there] < 1).mean()
    assert more > 2 * (calm.availability[:, there] < 1).mean()
    np.testing.assert_array_equal(events.availability[:, ~there], calm.availability[:, ~there])


def test_seeds_differ_and_the_same_seed_repeats(tiny_world: World) -> None:
    one, again, other = (draw_events(tiny_world, Randomness(), 36, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.demand, again.demand)
    np.testing.assert_array_equal(one.availability, again.availability)
    assert (one.demand[1:] != other.demand[1:]).all()


def test_a_longer_horizon_starts_with_the_same_events(tiny_world: World) -> None:
    settings = Randomness(outage_rate=0.05)
    short, long = (draw_events(tiny_world, settings, months, 2) for months in (36, 120))
    np.testing.assert_array_equal(short.demand, long.demand[:36])
    np.testing.assert_array_equal(short.availability, long.availability[:36])


def test_another_mineral_leaves_the_events_of_the_others_alone(
    tiny_world: World, tmp_path: Path
) -> None:
    base = write_tiny_tables(tmp_path / "base")
    wider = build_world(
        read_tables([write_tin_tables(tmp_path / "tin")], base_folder=base), quiet_config().world
    )
    settings = Randomness(outage_rate=0.05)
    old, new = (draw_events(world, settings, 60, 2) for world in (tiny_world, wider))
    kept = [wider.minerals.index(mineral) for mineral in tiny_world.minerals]
    np.testing.assert_array_equal(old.demand, new.demand[:, kept])
    for row, market in enumerate(tiny_world.markets):
        before = old.availability[:, tiny_world.firms.market == row]
        after = new.availability[:, wider.firms.market == wider.markets.index(market)]
        np.testing.assert_array_equal(before, after)
    assert new.availability.shape[1] > old.availability.shape[1]


def test_a_stream_depends_on_its_seed_and_name_alone() -> None:
    first = stream(1, "outage", "nickel").random(4)
    stream(1, "demand", "nickel").random(1000)
    np.testing.assert_array_equal(stream(1, "outage", "nickel").random(4), first)
    for other in (stream(2, "outage", "nickel"), stream(1, "outage", "cobalt"), stream(1, "x")):
        assert not np.isin(other.random(4), first).any()


# Events that strike whole countries -----------------------------------------------------------


def test_a_country_event_strikes_all_firms_of_the_country_alike(tiny_world: World) -> None:
    shaken = Instability(active=True, rate=1.0)
    events = draw_events(tiny_world, Randomness(active=False), 120, 2, instability=shaken)
    lost = country_events(tiny_world, shaken, 120, 2)
    assert (lost[0] == 0).all()
    struck = lost[lost > 0]
    assert struck.min() >= shaken.least_lost
    assert struck.max() <= shaken.most_lost
    np.testing.assert_array_equal(
        events.availability, 1.0 - lost[:, tiny_world.firms.country], strict=True
    )


def test_stability_and_the_rate_decide_how_often_a_country_is_struck(tiny_world: World) -> None:
    """Renewal theory, as for firms; stability 0.5 in every country of the tiny world."""
    settings = Instability(active=True, rate=0.24, correlation=0.0)
    down = country_events(tiny_world, settings, 20_000, 1) > 0
    load = 0.24 / 12 * np.exp(-0.5) * settings.months
    assert down.mean() == pytest.approx(load / (1 + load), rel=0.15)
    worse = replace(tiny_world, political_stability=tiny_world.political_stability - 2.0)
    assert (country_events(worse, settings, 20_000, 1) > 0).mean() > 4 * down.mean()


def test_countries_of_a_region_fall_together(tiny_world: World) -> None:
    regions = ("North", "South", "North", "South")
    world = replace(tiny_world, regions=regions)
    settings = Instability(active=True, rate=1.2, correlation=0.8)
    together = np.corrcoef((country_events(world, settings, 20_000, 1) > 0).T)
    within = [together[0, 2], together[1, 3]]
    across = [together[0, 1], together[0, 3], together[2, 1], together[2, 3]]
    assert min(within) > 0.15
    assert max(np.abs(across)) < 0.05
    alone = replace(settings, correlation=0.0)
    apart = np.corrcoef((country_events(world, alone, 20_000, 1) > 0).T)
    assert abs(apart[0, 2]) < 0.05


def test_the_draws_of_a_country_depend_on_its_own_name_and_region(tiny_world: World) -> None:
    settings = Instability(active=True, rate=1.0)
    whole = country_events(tiny_world, settings, 240, 7)
    turned = replace(tiny_world, countries=tiny_world.countries[::-1])
    np.testing.assert_array_equal(country_events(turned, settings, 240, 7)[:, ::-1], whole)
    np.testing.assert_array_equal(country_events(tiny_world, settings, 60, 7), whole[:60])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_unrest_lowers_supply_and_raises_prices(tiny_world: World, seed: int) -> None:
    calm, shaken = quiet_config(4), quiet_config(4)
    shaken.instability = Instability(active=True, rate=2.0, months=8.0, least_lost=0.4)
    before, after = (run(config, tiny_world, seed=seed).measures for config in (calm, shaken))
    assert after["output_t"].sum() < before["output_t"].sum()
    price = "landed_price_usd_per_kg"
    assert after[price][1:].mean() > before[price][1:].mean()
    quiet = quiet_config(4)
    quiet.instability = Instability(active=True, rate=0.0)
    assert_same_history(run(calm, tiny_world, seed=seed), run(quiet, tiny_world, seed=seed))


def test_shares_lost_in_the_wrong_order_are_refused() -> None:
    config = quiet_config()
    config.instability = Instability(least_lost=0.6, most_lost=0.5)
    with pytest.raises(ConfigError, match=r"instability.least_lost is 0.6, above most_lost 0.5"):
        check(config)

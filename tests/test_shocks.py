"""Outside events: their statistics against the settings, and that nothing reshuffles them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import quiet_config
from tiny_world import write_tin_tables, write_tiny_tables

from abm.config import Randomness
from abm.shocks import PARTIAL_OUTAGE, OutsideEvents, draw_events
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

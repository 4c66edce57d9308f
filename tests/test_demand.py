"""The path of need: scenarios against the published figures, surprises, and who builds for them."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import assert_same_history, model_of, quiet_config, run

from abm.config import Config, ConfigError, DemandPath, DemandScenario, check
from abm.recorder import Record
from abm.tables import DATA_FOLDER, Tables
from abm.trend import departure
from abm.world import World, build_world

YEARS = np.arange(27.0)  # 2024 to 2050


def on_path(scenario: str, **terms: float) -> DemandPath:
    return DemandPath(active=True, scenario=DemandScenario(scenario), **terms)  # type: ignore[arg-type]


def need(world: World, scenario: str) -> np.ndarray:
    """[year, mineral, sector] need over its opening."""
    beyond = departure(world, on_path(scenario), YEARS, "2025-01")
    return beyond * (1.0 + world.growth[None]) ** YEARS[:, None, None]


def published() -> Iterator[tuple[dict[str, str], float]]:
    with (DATA_FOLDER / "demand_paths.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row, float(row["multiple"])


def test_a_scenario_passes_through_the_published_multiples(real_world: World) -> None:
    found = {name: need(real_world, name) for name in ("steps", "aps", "nze")}
    for row, multiple in published():
        place = real_world.minerals.index(row["mineral"]), real_world.sectors.index(row["sector"])
        value = found[row["scenario"]][int(row["year"]) - 2024][place]
        np.testing.assert_allclose(value, multiple, rtol=1e-12)


def test_net_zero_needs_most_and_stated_policies_least(real_world: World) -> None:
    clean = real_world.sectors.index("clean_energy")
    steps, aps, nze = (need(real_world, name)[:, :, clean] for name in ("steps", "aps", "nze"))
    years = slice(1, 12)  # to 2035; later thin-film panels fade soonest in the net-zero scenario
    assert (nze[years] > aps[years]).all()
    assert (aps[years] > steps[years]).all()


def test_a_drawn_growth_rate_keeps_its_distance_from_the_scenario(real_tables: Tables) -> None:
    config = quiet_config()
    config.world.draw_parameters = True
    drawn = build_world(real_tables, config.world, seed=5)
    central = build_world(real_tables, quiet_config().world)
    assert np.abs(drawn.growth - central.growth).max() > 0.01
    np.testing.assert_array_equal(
        departure(drawn, on_path("nze"), YEARS, "2025-01"),
        departure(central, on_path("nze"), YEARS, "2025-01"),
    )


def test_a_surprise_starts_on_its_date_and_its_level_stays(tiny_world: World) -> None:
    demand = DemandPath(active=True, defence=0.1, surprise_start="2026-07", surprise_years=2.0)
    months = np.arange(60)
    beyond = departure(tiny_world, demand, months / 12.0, "2025-01")
    defence = tiny_world.sectors.index("defence")
    others = [name != "defence" for name in tiny_world.sectors]
    np.testing.assert_array_equal(beyond[:, :, others], 1.0)
    np.testing.assert_array_equal(beyond[:19, :, defence], 1.0)
    np.testing.assert_allclose(beyond[18 + 12, :, defence], 1.1)
    np.testing.assert_allclose(beyond[18 + 24 :, :, defence], 1.21)


def graphite(record: Record, world: World) -> np.ndarray:
    """[year] USD/kg paid for refined graphite in the world."""
    row = world.market("graphite", "refined")
    outlay = np.nansum(record.measures["outlay_usd"][:, row], axis=1)
    bought = record.measures["purchases_t"][:, row].sum(axis=1)
    return outlay.reshape(-1, 12).sum(axis=1) / (1000.0 * bought.reshape(-1, 12).sum(axis=1))


def following(scenario: str, planned: float = 0.0) -> Config:
    config = quiet_config(years=6)
    config.demand = on_path(scenario, planned_share=planned)
    return config


@pytest.fixture(scope="module")
def surprised(tiny_world: World) -> dict[str, Record]:
    """Six years of each scenario that planners do not foresee."""
    return {name: run(following(name), tiny_world) for name in ("constant", "steps", "aps", "nze")}


def test_constant_growth_is_the_path_when_nothing_is_said(
    tiny_world: World, surprised: dict[str, Record]
) -> None:
    assert_same_history(surprised["constant"], run(quiet_config(years=6), tiny_world))
    config = following("constant", planned=0.7)
    config.horizon.years = 2
    assert_same_history(run(config, tiny_world), run(quiet_config(years=2), tiny_world))


def test_need_that_nobody_built_for_is_dear(
    tiny_world: World, surprised: dict[str, Record]
) -> None:
    price = {name: graphite(record, tiny_world) for name, record in surprised.items()}
    assert price["nze"][-1] > price["aps"][-1] > price["steps"][-1] > price["constant"][-1]
    assert price["nze"][-1] > 1.1 * price["constant"][-1]
    foreseen = graphite(run(following("nze", planned=1.0), tiny_world), tiny_world)
    half = graphite(run(following("nze", planned=0.5), tiny_world), tiny_world)
    assert price["nze"][-1] > half[-1] > foreseen[-1]
    np.testing.assert_allclose(foreseen, price["constant"], rtol=0.05)


def test_the_books_balance_on_a_fast_path(surprised: dict[str, Record]) -> None:
    record = surprised["nze"]
    assert record.tonnes_gap.max() <= 1e-9
    assert record.money_gap.max() <= 1e-9


def test_a_path_that_would_do_nothing_is_refused() -> None:
    config = Config()
    config.demand.scenario = DemandScenario.nze
    with pytest.raises(ConfigError, match="set demand"):
        check(config)
    config = Config()
    config.demand.defence = 0.1
    with pytest.raises(ConfigError, match="set demand"):
        check(config)
    config = Config()
    config.demand.surprise_start = "2027"
    with pytest.raises(ConfigError, match="surprise_start is '2027'"):
        check(config)


def test_the_opening_month_is_the_same_on_every_path(tiny_world: World) -> None:
    model = model_of(following("nze"), tiny_world)
    np.testing.assert_array_equal(model.trend.need[:2], 1.0)

"""The cheap members of the rare-earth family: tables laid over the built-in ones from anywhere."""

from pathlib import Path

import numpy as np
import pytest
from conftest import bloc_price, quiet_config, run

from abm.config import Config, Control, Instrument, Stage, Weight
from abm.tables import Tables
from abm.world import World, build_world
from experiments.ensemble import read_config_tables

FAMILY = ["rare_earths_light", "rare_earths_heavy", "rare_earths_cerium"]


@pytest.fixture(scope="module")
def world() -> World:
    """The opening world of the whole family."""
    config = Config()
    config.world.tables, config.world.minerals = ["lanthanum_cerium"], FAMILY
    return build_world(read_config_tables(config), config.world)


def test_found_wherever_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config()
    config.world.tables = ["lanthanum_cerium"]
    assert "rare_earths_cerium" in set(read_config_tables(config).minerals["mineral"])


def test_the_reference_world_does_without(real_tables: Tables) -> None:
    assert "rare_earths_cerium" not in set(real_tables.minerals["mineral"])


def test_one_family_that_balances(world: World) -> None:
    assert set(world.families) == {"rare_earths"}
    assert np.allclose(world.flow.sum(axis=(1, 2)), world.opening.use.sum(axis=1), rtol=1e-12)


def test_cheap_and_heavy(world: World) -> None:
    """Dearest per kilogram are the heavy members; the cheap ones are most of what is shipped."""
    refined = [world.market(mineral, "refined") for mineral in FAMILY]
    light, heavy, cheap = world.world_price[refined]
    assert heavy > light > cheap
    exporter = world.country("CHN")
    shipped = world.flow[refined, exporter].sum(axis=1) - world.flow[refined, exporter, exporter]
    assert shipped[2] > shipped[0] + shipped[1]


def test_a_family_quota_of_2010_raises_the_cheap_price_by_the_largest_multiple() -> None:
    """All pay the same rent a tonne: most beside the price of cerium, least beside dysprosium."""
    config = quiet_config(years=1, minerals=FAMILY)
    config.world.tables, config.world.year = ["lanthanum_cerium"], 2009
    config.horizon.start = "2010-01"
    config.controls = [
        Control(
            name="quota",
            instrument=Instrument.quota,
            targets=["world"],
            family="rare_earths",
            weight=Weight.gross,
            stages=[Stage.refined],
            announced="2010-07",
            start="2010-07",
            quota_tonnes=14040.0,
        )
    ]
    world = build_world(read_config_tables(config), config.world)
    record = run(config, world)
    abroad = [code for code in world.countries if code != "CHN"]
    light, heavy, cheap = (
        price[8] / price[0]
        for price in (bloc_price(record, world, (k, "refined"), abroad) for k in FAMILY)
    )
    assert cheap > light > heavy > 1.0

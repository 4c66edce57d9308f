"""What the tests share: worlds that are built once, quiet configurations and short runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from matplotlib import rc_context
from matplotlib.figure import Figure
from tiny_world import write_tiny_tables

from abm.agents.buyer import Orders
from abm.config import Circle, Config, Control, Instrument, check
from abm.model import MineralModel
from abm.recorder import Record
from abm.scenario import Scenario, scenarios
from abm.shocks import draw_events
from abm.tables import Tables, read_tables
from abm.world import MONTHS, World, build_world

hypothesis_settings.register_profile(
    "chokepoint",
    derandomize=True,
    deadline=None,
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],  # a failure is shown as found: shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("chokepoint")

# Files that take longest. With nothing compiled, the second of two processes compiles for both:
# until it has, the first tests what runs no month.
COMPILING, MEANWHILE = "facts", ("docs", "indices", "figures")
LONGEST = (
    *("run", "studies", "calibrate", "history", "hindcast", "market", "launchers", "new_mineral"),
    *("accession_study", "benchmarks", "model", "phase", "pathways", "resilience", "projects"),
)
FIRST = (MEANWHILE[0], COMPILING, *MEANWHILE[1:], *LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, so that two processes end together."""
    places = {f"test_{name}": place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(Path(item.location[0]).stem, len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays in one process, as its tests share runs; files are given out in their order."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def sketch(patch: pytest.MonkeyPatch) -> None:
    """Figures are written coarsely, their fonts as outlines: a third of the time."""
    whole = Figure.savefig

    def coarsely(figure: Figure, *arguments: Any, **options: Any) -> None:
        with rc_context({"pdf.fonttype": 3}):  # 42 cuts fonts down, which takes longest
            whole(figure, *arguments, **options | {"dpi": 50})

    patch.setattr(Figure, "savefig", coarsely)


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are sketched, where a test is not about how they look."""
    sketch(monkeypatch)


SIX = ("USA", "EU27", "GBR", "JPN", "AUS", "NZL")


def quiet_config(years: int = 10, minerals: Sequence[str] = ("all",)) -> Config:
    """The circle washington, central parameters, no outside randomness and no shock."""
    config = Config()
    config.world.minerals = list(minerals)
    config.world.draw_parameters = False
    config.randomness.active = False
    config.horizon.years = years
    config.membership.circles = {"washington": Circle(table="washington")}
    return config


def purchases(orders: Orders, use_scale: np.ndarray, price: np.ndarray) -> np.ndarray:
    """[market, country, group] t/month bought by each group at a price [market, country].

    `use_scale` [market, country, group] is use at this price over need: the erosion of the floor.
    """
    wide = orders.bid_quantity > 0
    width = np.where(wide, orders.bid_high - orders.bid_low, 1.0)
    part = np.clip((orders.bid_high - price[:, :, None]) / width, 0.0, 1.0)
    first, second = np.split(np.where(wide, orders.bid_quantity * part, 0.0), 2, axis=2)
    return orders.floor * use_scale + first + second


def without_instruments(config: Config) -> Config:
    """The same configuration with membership in name only."""
    for item in fields(config.instruments):
        getattr(config.instruments, item.name).active = False
    return config


def export_ban(minerals: Sequence[str] = ("gallium",), **terms: Any) -> Control:
    """A three-year ban of China on the six, from the third year, unless the terms say otherwise."""
    dates: dict[str, Any] = {"start": "2027-01", "announced": "2027-01", "end": "2030-01"}
    return Control(
        name="ban", instrument=Instrument.ban, minerals=list(minerals), **{**dates, **terms}
    )


def case_of(config: Config, world: World, membership: str, shocked: bool) -> Scenario:
    """One cell of the paired comparison."""
    check(config)
    return next(
        case
        for case in scenarios(config, world)
        if case.membership == membership and (case.shock != "none") == shocked
    )


def model_of(
    config: Config, world: World, membership: str = "none", shocked: bool = False, seed: int = 0
) -> MineralModel:
    """A model in its opening month."""
    case = case_of(config, world, membership, shocked)
    months = config.horizon.years * MONTHS
    events = draw_events(
        world, config.randomness, months, seed, config.instability, config.shipping
    )
    return MineralModel(world, case, events, config)


def run(
    config: Config, world: World, membership: str = "none", shocked: bool = False, seed: int = 0
) -> Record:
    """The record of a whole run."""
    return model_of(config, world, membership, shocked, seed).run()


def bloc_price(
    record: Record, world: World, market: tuple[str, str], countries: Sequence[str]
) -> np.ndarray:
    """[month] USD/kg the countries pay together: dollars over tonnes."""
    row = world.market(*market)
    columns = [world.country(code) for code in countries]
    outlay = record.measures["outlay_usd"][:, row][:, columns].sum(axis=1)
    return outlay / (1000.0 * record.measures["purchases_t"][:, row][:, columns].sum(axis=1))


def assert_same_history(one: Record, other: Record, months: slice = slice(None)) -> None:
    """Every measure of the months is bit-identical."""
    for name, values in one.measures.items():
        np.testing.assert_array_equal(
            values[months], other.measures[name][months], err_msg=name, strict=True
        )


@pytest.fixture(scope="session")
def real_tables() -> Tables:
    return read_tables()


@pytest.fixture(scope="session")
def real_world(real_tables: Tables) -> World:
    """All minerals, central parameters."""
    return build_world(real_tables, quiet_config().world)


@pytest.fixture(scope="session")
def gallium_world(real_tables: Tables) -> World:
    """The real world of gallium, which China dominates, and nickel, which others supply."""
    return build_world(real_tables, quiet_config(minerals=["gallium", "nickel"]).world)


@pytest.fixture(scope="session")
def tiny_tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return read_tables(base_folder=write_tiny_tables(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def tiny_world(tiny_tables: Tables) -> World:
    """Four countries, graphite and gallium, central parameters."""
    return build_world(tiny_tables, quiet_config().world)

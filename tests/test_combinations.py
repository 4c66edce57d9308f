"""Every mechanism together with every other: the identities hold whatever is switched on."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_welfare import real_worth

from abm.config import (
    Circle,
    Closure,
    Config,
    DemandScenario,
    Instrument,
    Rights,
    Weight,
    with_projects,
)
from abm.model import MineralModel
from abm.recorder import MEASURES
from abm.tables import Tables
from abm.world import World, build_world

START = "2025-06"
# Of a purchase or of what is there: empty where nothing is bought, used or listed.
PER_PURCHASE = ("non_allied_share", "supplier_hhi", "import_reliance", "low_impact_share")
MAY_BE_EMPTY = {*PER_PURCHASE, "origin_price_usd_per_kg", "cover_months", "reserves_t"}
MAY_BE_EMPTY |= {"use_intensity"}
NOT_DRAWN = {"name", "question", "world", "horizon", "membership", "shock", "controls"}
CASES = {
    "table": Circle(table="washington", since=START),
    "partial": Circle(
        table="washington",
        since=START,
        share={"AUS": 0.4},
        exits={"USA": "2026-06"},
        partners={"ROW": ["stockpiles", "price_floor", "joint_procurement"]},
    ),
    "wide": Circle(add=["USA", "AUS", "ROW"], since=START, joins={"ROW": "2025-10"}),
    "narrow": Circle(add=["USA"], since=START, instruments=["retaliation", "research"]),
}


def switches(node: Any, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every switch and every choice of a variant below a dataclass, with its possible values."""
    for item in fields(node):
        value, name = getattr(node, item.name), f"{path}{item.name}"
        if name in NOT_DRAWN:
            continue
        if is_dataclass(value):
            yield from switches(value, f"{name}.")
        elif isinstance(value, bool):
            yield name, [False, True]
        elif isinstance(value, Enum):
            yield name, list(type(value))


def with_values(chosen: dict[str, Any], control: dict[str, Any], months: Sequence[str]) -> Config:
    """A short and eventful run with the switches given and a control of China."""
    config = quiet_config(2)
    config.membership.circles = dict(CASES)
    config.membership.cases = {
        **{name: [name] for name in CASES},
        "overlapping": ["partial", "wide", "narrow"],
    }
    for name, value in chosen.items():
        *parents, last = name.split(".")
        node: Any = config
        for parent in parents:
            node = getattr(node, parent)
        setattr(node, last, value)
    if not config.demand.active:
        config.demand.scenario = DemandScenario.constant
    config.demand.digital = 0.3 * config.demand.active
    config.demand.surprise_start = START
    config.instability.rate = config.shipping.closure_rate = 2.0
    config.instruments.standards.since = START
    config.instruments.standards.phase_in_months = 3
    config.instruments.investment_fund.round_months = 2
    config.accession.review_months = 3
    config.planning.idling.loss_months = config.planning.idling.restart_months = 2
    begin, end = months
    dates = {"start": begin, "announced": "", "end": end}
    config.shock = export_ban(["all"], **dates, **control)
    config.shipping.closures = [
        Closure(chokepoint="narrows", **{"start": begin, "end": end}),
        Closure(chokepoint="bay", start="2025-09"),
    ]
    return config


SWITCHES = dict(switches(Config()))
CONTROLS = st.fixed_dictionaries(
    {
        "targets": st.sampled_from([["USA"], ["members"], ["world"], ["washington", "ROW"]]),
        "enforcement": st.sampled_from([0.0, 0.75, 1.0]),
        "joint": st.booleans(),
        "weight": st.sampled_from(Weight),
        "rights": st.sampled_from(Rights),
        "quota_share": st.sampled_from([0.0, 0.5, 1.2]),
        "approval_share": st.sampled_from([0.0, 0.7]),
        "detour_months": st.sampled_from([0, 4]),
    }
)


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    """Any switches, any control and any two dates."""
    chosen = draw(st.fixed_dictionaries({k: st.sampled_from(v) for k, v in SWITCHES.items()}))
    begin = draw(st.sampled_from(["2025-02", "2025-09", "2026-06"]))
    end = draw(st.sampled_from(["", "2026-10"]))
    config = with_values(chosen, draw(CONTROLS), (begin, end))
    config.shock.instrument = draw(st.sampled_from(Instrument))
    config.producers.review_months = draw(st.sampled_from([1, 4]))
    config.instruments.price_floor.level = draw(st.sampled_from([0.7, 1.2, 3.0]))
    if config.shock.instrument in (Instrument.quota, Instrument.licence):
        config.shock.validated_share = draw(st.sampled_from([0.0, 0.4]))
    return config


def everything(position: int) -> Config:
    """All switches on, with the first, or the last, of every variant."""
    chosen = {
        name: True if False in values else values[position] for name, values in SWITCHES.items()
    }
    return with_values(chosen, {"targets": ["members"]}, ("2025-09", ""))


class Audited(MineralModel):
    """A model that checks every month before it moves on."""

    def adapt(self) -> None:
        books = self.books
        spent = books.spent.sum()
        assert self.surplus.sum() == pytest.approx(real_worth(self), abs=1e-9 * spent)
        posted = sum(abs(entry.paid).sum() for entry in books.ledger.entries.values())
        assert abs(books.ledger.net.sum()) <= 1e-9 * posted
        assert np.isfinite(books.ledger.net).all()
        super().adapt()


@pytest.fixture(scope="module")
def worlds(tiny_tables: Tables, tiny_world: World) -> dict[bool, World]:
    """The tiny world without and with projects that may be built."""
    return {
        False: tiny_world,
        True: build_world(tiny_tables, quiet_config().world, with_projects=True),
    }


@settings(max_examples=14)
@given(
    config=configurations(),
    membership=st.sampled_from(["none", *CASES, "overlapping"]),
    seed=st.integers(0, 99),
)
@example(config=everything(0), membership="wide", seed=1)
@example(config=everything(-1), membership="overlapping", seed=2)
def test_identities_hold_whatever_is_switched_on(
    worlds: dict[bool, World], config: Config, membership: str, seed: int
) -> None:
    shocked = config.shock.instrument is not Instrument.none
    world = worlds[with_projects(config)]
    model = model_of(config, world, membership, shocked, seed)
    model.__class__ = Audited
    record = model.run()
    assert max(record.tonnes_gap.max(), record.money_gap.max()) <= 1e-9
    bought = record.measures["purchases_t"] > 0
    for name in MEASURES:
        values = record.measures[name]
        assert not np.isinf(values).any(), name
        if name not in MAY_BE_EMPTY:
            assert np.isfinite(values).all(), name
        if name in PER_PURCHASE:
            assert np.isfinite(values[bought]).all(), name
    for name in ("surplus", "sectors", "tension", "commitment", "restricted", "counter_tariff"):
        assert np.isfinite(getattr(record, name)).all(), name
    again = model_of(config, world, membership, shocked, seed).run()
    assert_same_history(record, again)
    for name in ("member", "flow", "value", "surplus", "sectors", "tension", "commitment"):
        assert getattr(record, name).tobytes() == getattr(again, name).tobytes(), name


def test_every_mechanism_is_among_the_switches() -> None:
    """A new mechanism is drawn as soon as it has a switch."""
    assert {f"instruments.{item.name}.active" for item in fields(Config().instruments)} <= set(
        SWITCHES
    )
    for item in fields(Config()):
        if hasattr(getattr(Config(), item.name), "active"):
            assert f"{item.name}.active" in SWITCHES

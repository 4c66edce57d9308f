"""Dated facts besides controls: each acts the way theory fixes, and none of it is felt when off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import assert_same_history, quiet_config, run

from abm.config import (
    Config,
    ConfigError,
    Control,
    DemandFact,
    Instrument,
    Outage,
    ProductionCap,
    Stage,
    StatePurchase,
    check,
)
from abm.facts import imposed_facts
from abm.recorder import Record
from abm.world import MONTHS, World

YEARS = 3
START, END = 6, 18  # months of the run
DATES = {"start": "2025-07", "end": "2026-07"}
REFINED = [Stage.refined]


def config_with(**facts: Any) -> Config:
    config = quiet_config(years=YEARS)
    for kind, fact in facts.items():
        setattr(config, kind, [fact])
    check(config)
    return config


def played(world: World, **facts: Any) -> Record:
    """The record of three years; every identity holds in every month."""
    record = run(config_with(**facts), world)
    assert record.tonnes_gap.max() < 1e-9
    assert record.money_gap.max() < 1e-9
    return record


@pytest.fixture(scope="module")
def calm(tiny_world: World) -> Record:
    return played(tiny_world)


def series(
    record: Record, world: World, name: str, market: tuple[str, str], code: str
) -> np.ndarray:
    """[month] of one measure."""
    return record.measures[name][:, world.market(*market), world.country(code)]


GALLIUM = ("gallium", "refined")
PRICE = "landed_price_usd_per_kg"


def test_facts_of_no_size_are_not_felt(tiny_world: World, calm: Record) -> None:
    growth = float(tiny_world.growth[1, 0])
    for facts in (
        {"outages": Outage(minerals=["gallium"], share=0.0, **DATES)},
        {"caps": ProductionCap(minerals=["gallium"], stages=REFINED, share=10.0, **DATES)},
        {"purchases": StatePurchase(tonnes=0.0, **DATES)},
        {"demand_facts": DemandFact(sectors=[tiny_world.sectors[0]], minerals=["gallium"],
                                    growth=growth, **DATES)},
    ):  # fmt: skip
        assert_same_history(calm, played(tiny_world, **facts))


def test_nothing_is_felt_before_it_is_known(tiny_world: World, calm: Record) -> None:
    for facts in (
        {"outages": Outage(minerals=["gallium"], share=0.5, **DATES)},
        {"caps": ProductionCap(minerals=["gallium"], stages=REFINED, share=0.5, **DATES)},
        {"purchases": StatePurchase(tonnes=100.0, **DATES)},
    ):
        assert_same_history(calm, played(tiny_world, **facts), slice(0, START))


def test_an_outage_takes_output_and_lifts_the_price(tiny_world: World, calm: Record) -> None:
    record = played(tiny_world, outages=Outage(minerals=["gallium"], share=0.5, **DATES))
    made = series(record, tiny_world, "output_t", GALLIUM, "CHN")
    usual = series(calm, tiny_world, "output_t", GALLIUM, "CHN")
    capacity = 708.0 / MONTHS / 0.8
    assert made[START] <= 0.55 * capacity
    assert made[START:END].sum() < 0.8 * usual[START:END].sum()
    dearer = series(record, tiny_world, PRICE, GALLIUM, "USA") / series(
        calm, tiny_world, PRICE, GALLIUM, "USA"
    )
    assert dearer[START:END].min() > 1.0
    assert dearer[START:END].max() > 1.2


def test_an_announced_outage_is_feared_before_it_comes(tiny_world: World, calm: Record) -> None:
    fact = Outage(minerals=["gallium"], share=0.5, announced="2025-04", **DATES)
    record = played(tiny_world, outages=fact)
    risk = series(record, tiny_world, "perceived_risk", GALLIUM, "USA")
    assert risk[2] == 0.0
    assert risk[3] == pytest.approx(0.5 * supplier_share(tiny_world, "USA"))
    dearer = series(record, tiny_world, PRICE, GALLIUM, "USA")[3:START]
    assert (dearer > series(calm, tiny_world, PRICE, GALLIUM, "USA")[3:START]).all()


def supplier_share(world: World, buyer: str) -> float:
    flow = world.flow[world.market(*GALLIUM)][:, world.country(buyer)]
    return float(flow[world.country("CHN")] / flow.sum())


@pytest.mark.parametrize("stage", ["mined", "refined"])
def test_a_cap_holds_output_and_lifts_the_home_price(
    tiny_world: World, calm: Record, stage: str
) -> None:
    market = ("graphite", stage)
    usual = series(calm, tiny_world, "output_t", market, "CHN")
    cap = ProductionCap(
        minerals=["graphite"], stages=[Stage(stage)], tonnes=MONTHS * 0.9 * usual[0], **DATES
    )
    record = played(tiny_world, caps=cap)
    made = series(record, tiny_world, "output_t", market, "CHN")
    assert (made[START:END] <= 0.9 * usual[0] * (1.0 + 1e-9)).all()
    assert made[END + 3] > 0.9 * usual[0]
    home = "origin_price_usd_per_kg"
    dearer = series(record, tiny_world, home, market, "CHN") / series(
        calm, tiny_world, home, market, "CHN"
    )
    assert dearer[START + 1 : END].min() > 1.0


def test_a_cap_at_opening_output_leaves_the_opening_price(tiny_world: World) -> None:
    """A cap cuts the end off the supply curve; it does not tilt it."""
    record = played(tiny_world, caps=ProductionCap(minerals=["gallium"], stages=REFINED, **DATES))
    price = series(record, tiny_world, "origin_price_usd_per_kg", GALLIUM, "CHN")
    assert price[START] == pytest.approx(price[START - 1], rel=0.02)


def test_overrun_runs_past_the_cap(tiny_world: World) -> None:
    cap = {"minerals": ["gallium"], "stages": REFINED, "share": 0.7, **DATES}
    strict = played(tiny_world, caps=ProductionCap(**cap))
    loose = played(tiny_world, caps=ProductionCap(**cap, overrun=0.5))
    made = [series(r, tiny_world, "output_t", GALLIUM, "CHN")[START:END] for r in (strict, loose)]
    assert (made[1] > made[0]).all()


def test_a_joint_cap_counts_all_its_markets(tiny_world: World, calm: Record) -> None:
    cap = ProductionCap(
        minerals=["graphite", "gallium"], joint=True, stages=REFINED, share=0.8, **DATES
    )
    record = played(tiny_world, caps=cap)

    def total(of: Record) -> np.ndarray:
        return sum(series(of, tiny_world, "output_t", (m, "refined"), "CHN") for m in cap.minerals)

    assert (total(record)[START:END] <= 0.8 * total(calm)[0] * (1.0 + 1e-9)).all()


def test_state_buying_fills_the_reserve_and_lifts_the_price(
    tiny_world: World, calm: Record
) -> None:
    record = played(tiny_world, purchases=StatePurchase(tonnes=60.0, **DATES))
    held = series(record, tiny_world, "strategic_stock_t", GALLIUM, "CHN")
    added = np.diff(held)
    assert (added[START - 1 : END - 1] > 0.0).all()
    assert (added <= 5.0 * (1.0 + 1e-4)).all()
    assert held[END - 1] > 30.0
    dearer = series(record, tiny_world, PRICE, GALLIUM, "USA")[START:END]
    assert (dearer > series(calm, tiny_world, PRICE, GALLIUM, "USA")[START:END]).all()


def test_a_surprise_in_demand_lifts_the_price_more_than_foreseen_growth(
    tiny_world: World, calm: Record
) -> None:
    fact = {"minerals": ["gallium"], "growth": 0.3, **DATES}
    surprise = played(tiny_world, demand_facts=DemandFact(**fact))
    foreseen = played(tiny_world, demand_facts=DemandFact(**fact, foreseen=1.0))
    prices = [
        series(r, tiny_world, PRICE, GALLIUM, "USA")[END - 1] for r in (calm, foreseen, surprise)
    ]
    assert prices[2] > 1.05 * prices[0]
    assert prices[2] > prices[1]


def test_growth_takes_the_place_of_the_usual_one_where_it_is_said(tiny_world: World) -> None:
    sector = tiny_world.sectors[1]
    fact = DemandFact(
        minerals=["gallium"], sectors=[sector], countries=["USA"], growth=0.2, **DATES
    )
    departure = imposed_facts(config_with(demand_facts=fact), tiny_world).departure.need
    assert departure.shape == (37, 2, 4, len(tiny_world.sectors))
    grown = departure[:, 1, tiny_world.country("USA"), 1]
    assert (grown[: START + 1] == 1.0).all()
    assert grown[-1] == pytest.approx(1.2 / (1.0 + tiny_world.growth[1, 1]))
    others = departure.copy()
    others[:, 1, tiny_world.country("USA"), 1] = 1.0
    assert (others == 1.0).all()


def quota(**terms: Any) -> Control:
    usual: dict[str, Any] = {
        "instrument": Instrument.quota,
        "quota_share": 0.5,
        "announced": "2025-07",
        **DATES,
    }
    return Control(name="quota", targets=["world"], minerals=["gallium"], **{**usual, **terms})


def test_smugglers_ease_a_quota_and_keep_their_rent(tiny_world: World) -> None:
    strict = played(tiny_world, controls=quota())
    leaky = played(tiny_world, controls=quota(smuggled_share=0.2))
    exports = [series(r, tiny_world, "exports_t", GALLIUM, "CHN") for r in (strict, leaky)]
    prices = [series(r, tiny_world, PRICE, GALLIUM, "USA") for r in (strict, leaky)]
    assert (exports[1][START + 4 : END] > 1.05 * exports[0][START + 4 : END]).all()
    assert (prices[1][START + 4 : END] < prices[0][START + 4 : END]).all()
    assert "rents_of_traders" in leaky.accounts
    assert "rents_of_traders" not in strict.accounts
    traders = leaky.accounts["rents_of_traders"].received
    assert traders[:, tiny_world.country("CHN")].sum() == pytest.approx(traders.sum())


def test_smugglers_stay_away_where_the_gap_does_not_pay(tiny_world: World) -> None:
    free = quota(quota_share=2.0)
    loose = quota(quota_share=2.0, smuggled_share=0.2)
    assert_same_history(played(tiny_world, controls=free), played(tiny_world, controls=loose))


def test_smugglers_past_a_tax_cost_the_treasury_revenue(tiny_world: World) -> None:
    terms = {"instrument": Instrument.tax, "rate": 0.5}
    strict = played(tiny_world, controls=quota(**terms))
    leaky = played(tiny_world, controls=quota(**terms, smuggled_share=0.3))
    revenue = [r.accounts["export_tax"].received.sum() for r in (strict, leaky)]
    assert revenue[1] < 0.9 * revenue[0]
    prices = [series(r, tiny_world, PRICE, GALLIUM, "USA") for r in (strict, leaky)]
    assert (prices[1][START:END] < prices[0][START:END]).all()
    dear = quota(**terms, smuggled_share=0.3, evasion_cost=0.5)
    assert_same_history(strict, played(tiny_world, controls=dear))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"outages": Outage()}, "outages[0].minerals is empty"),
        ({"outages": Outage(minerals=["gallium"], start="soon")}, "outages[0].start is 'soon'"),
        (
            {"caps": ProductionCap(minerals=["gallium"], start="2026-01", end="2025-01")},
            "caps[0].end is 2025-01, not after its start 2026-01",
        ),
        ({"demand_facts": DemandFact(end="")}, "demand_facts[0].end is empty"),
        (
            {"outages": Outage(minerals=["gallium"], announced="2030-01", start="2026-01")},
            "outages[0].announced is 2030-01, after its start 2026-01",
        ),
        (
            {"controls": quota(instrument=Instrument.ban, smuggled_share=0.2)},
            "controls[0].smuggled_share is 0.2, but only quotas and taxes",
        ),
        ({"outages": Outage(minerals=["gallium"], share=2.0)}, "outages[0].share is 2"),
    ],
)
def test_a_fact_that_cannot_be_meant_is_refused(facts: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_with(**facts)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"outages": Outage(minerals=["tin"])}, "outages[0].minerals contains 'tin'"),
        ({"outages": Outage(minerals=["gallium"], by="XXX")}, "outages[0].by names the country"),
        ({"outages": Outage(minerals=["gallium"], by="AUS")}, "outages[0] strikes AUS, which has"),
        (
            {"caps": ProductionCap(minerals=["gallium"], by="AUS", stages=REFINED)},
            "caps[0] caps the output of AUS, which makes none of gallium",
        ),
        ({"caps": ProductionCap(family="tins")}, "caps[0].family is 'tins'"),
        ({"purchases": StatePurchase(mineral="tin")}, "purchases[0].mineral is 'tin'"),
        ({"demand_facts": DemandFact(minerals=["tin"])}, "demand_facts[0].minerals contains 'tin'"),
        ({"demand_facts": DemandFact(sectors=["toys"])}, "demand_facts[0].sectors contains 'toys'"),
        ({"demand_facts": DemandFact(countries=["X"])}, "demand_facts[0].countries contains 'X'"),
    ],
)
def test_a_fact_of_another_world_is_refused(
    tiny_world: World, facts: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        imposed_facts(config_with(**facts), tiny_world)
    assert str(caught.value).startswith(said)

"""The whole model: opening month, trend, identities, pairing and neutrality."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    SIX,
    assert_same_history,
    bloc_price,
    export_ban,
    model_of,
    quiet_config,
    run,
    without_instruments,
)
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import write_tin_tables, write_tiny_tables

from abm.books import BooksDoNotBalance
from abm.config import (
    Behaviour,
    Circle,
    Config,
    Control,
    Instrument,
    Instruments,
    Randomness,
    WorldConfig,
    check,
    month_name,
)
from abm.model import MineralModel
from abm.passes.trading import book_flows
from abm.recorder import Record
from abm.scenario import scenarios
from abm.shocks import draw_events
from abm.tables import Tables, read_tables
from abm.world import MONTHS, World, build_world

USA, CHN, AUS, ROW = range(4)
EXACT = 1e-6  # of the issue: flows and prices of the opening month
BALANCE = 1e-9  # MODEL §8
BEFORE = slice(0, 24)  # the months before the ban of `export_ban`


# The opening month ----------------------------------------------------------------------------


def assert_opens_as_observed(model: MineralModel) -> None:
    """One step reproduces flows, prices, output and stocks of the opening."""
    world = model.world
    model.step()
    shown = {name: values[0] for name, values in model.record.measures.items()}
    volume = world.flow.sum(axis=(1, 2))
    gap = np.abs(model.last_flow - world.flow) / volume[:, None, None]
    assert gap.max() < EXACT
    bought = world.flow.sum(axis=1) > 0
    landed = shown["landed_price_usd_per_kg"]
    np.testing.assert_allclose(landed[bought], world.landed_price[bought], rtol=EXACT)
    sold = world.flow.sum(axis=2) > 1e-9 * volume[:, None]
    origin = shown["origin_price_usd_per_kg"]
    np.testing.assert_allclose(origin[sold], world.origin_price[sold], rtol=EXACT)
    supply = world.opening.supply / volume[:, None]
    np.testing.assert_allclose(shown["output_t"] / volume[:, None], supply, atol=EXACT)
    use = world.opening.use / volume[:, None]
    np.testing.assert_allclose(shown["use_t"] / volume[:, None], use, atol=EXACT)
    assert model.record.certificate[0] < BALANCE


@pytest.mark.parametrize("membership", ["none", "washington"])
def test_the_opening_month_is_the_observed_one(real_world: World, membership: str) -> None:
    """Members of long standing act from the second month: the first is history."""
    config = quiet_config()
    config.randomness.active = True
    config.membership.circles["washington"] = Circle(add=list(SIX), since="2020-01")
    assert_opens_as_observed(model_of(config, real_world, membership))


@pytest.mark.parametrize(
    ("seed", "minerals"), [(1, ["all"]), (2, ["graphite", "gallium"]), (3, ["cobalt"])]
)
def test_the_opening_month_is_the_observed_one_under_drawn_parameters(
    real_tables: Tables, real_world: World, seed: int, minerals: list[str]
) -> None:
    config = quiet_config(minerals=minerals)
    config.world.draw_parameters = True
    config.membership.circles["washington"] = Circle(add=list(SIX), since="2020-01")
    balance = real_world.opening if minerals == ["all"] else None
    world = build_world(real_tables, config.world, seed, balance)
    for membership in ("none", "washington"):
        assert_opens_as_observed(model_of(config, world, membership))


@pytest.mark.parametrize("seed", range(8))
def test_the_tiny_world_opens_as_observed_under_any_draw(tiny_tables: Tables, seed: int) -> None:
    config = Config()
    world = build_world(tiny_tables, config.world, seed=seed)
    assert_opens_as_observed(model_of(config, world, seed=seed))


# The trend ------------------------------------------------------------------------------------


def purchase_shares(world: World) -> np.ndarray:
    """[market, country] share of each country in the purchases of a market."""
    bought = world.flow.sum(axis=1)
    return bought / bought.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def calm(real_world: World) -> Record:
    """Ten years of the real world without anything."""
    return run(quiet_config(), real_world)


def relative_prices(record: Record, world: World) -> np.ndarray:
    """[month, market, country] price paid over the opening one; one where nobody buys."""
    bought = world.flow.sum(axis=1) > 0
    ratio = record.measures["landed_price_usd_per_kg"] / world.landed_price
    return np.where(bought, ratio, 1.0)


def test_an_undisturbed_market_keeps_its_opening_price(real_world: World, calm: Record) -> None:
    shares = purchase_shares(real_world)
    mean = (relative_prices(calm, real_world) * shares).sum(axis=2)
    assert np.abs(mean - 1).max() < 0.06
    # Use grows as the sectors do: prices that barely move barely bend it.
    use = calm.measures["use_t"].sum(axis=2)
    sectors = real_world.opening.final_use.sum(axis=1)
    for mineral, market in enumerate(real_world.refined_market):
        trend = sectors[market] @ (1 + real_world.growth[mineral]) ** (118 / 12)
        assert use[-1, market] / trend == pytest.approx(1.0, abs=0.03)


def strays(record: Record, world: World, bound: float) -> str:
    """Buyers with a hundredth of a market or more whose price leaves the bound in any month."""
    counts = purchase_shares(world) > 0.01
    drift = np.abs(relative_prices(record, world) - 1).max(axis=0)
    return "; ".join(
        f"{' '.join(world.markets[market])} {world.countries[country]} {drift[market, country]:.1%}"
        for market, country in np.argwhere(counts & (drift >= bound))
    )


def test_an_undisturbed_buyer_keeps_its_opening_price(real_world: World) -> None:
    """Without plants under construction nothing but the common trend moves: every buyer, month."""
    firms = real_world.firms
    coming = firms.start_year > 0
    settled = replace(
        firms,
        capacity=np.where(coming, 0.0, firms.capacity),
        start_year=np.zeros_like(firms.start_year),
    )
    world = replace(real_world, firms=settled)
    assert not strays(run(quiet_config(), world), world, 0.07)


def test_plants_under_construction_move_no_buyer_far(real_world: World, calm: Record) -> None:
    """They are part of the trend: their product is cheaper nearby, the feed they take dearer.

    Most for Malaysia, which shares Australian rare-earth ore with three new refineries.
    """
    assert not strays(calm, real_world, 0.2)


def test_randomness_moves_prices_around_the_trend(real_world: World) -> None:
    """Yearly means of the large markets (4 bn USD a year), and the ten-year mean of every one."""
    config = quiet_config()
    config.randomness.active = True
    record = run(config, real_world)
    mean = (relative_prices(record, real_world) * purchase_shares(real_world)).sum(axis=2)
    yearly = mean.reshape(-1, MONTHS, mean.shape[1]).mean(axis=1)
    value = 1e3 * MONTHS * real_world.world_price * real_world.flow.sum(axis=(1, 2))
    large = value > 4e9
    assert large.sum() >= 6
    assert np.abs(yearly[:, large] - 1).max() < 0.15
    assert np.abs(yearly.mean(axis=0) - 1).max() < 0.15
    assert mean[1:].std(axis=0).min() > 1e-3


# Identities -----------------------------------------------------------------------------------


def held(model: MineralModel) -> np.ndarray:
    """[market] t in stock, at sea and with producers."""
    stored = np.zeros(len(model.world.markets))
    np.add.at(stored, model.firms.market, model.firms.inventory)
    return stored + model.state.stock.sum(axis=(1, 2)) + model.state.at_sea.sum(axis=(1, 2, 3))


def assert_tonnes_balance(model: MineralModel, before: np.ndarray) -> None:
    """Market by market, stronger than the model's own check by mineral; and the refiners' yield."""
    month, measures = model.month - 1, model.record.measures
    made, used = (measures[name][month].sum(axis=1) for name in ("output_t", "use_t"))
    gap = np.abs(held(model) - before - made + used)
    assert (gap <= BALANCE * np.maximum(made + used, 1e-6 * before)).all()
    world = model.world
    for mineral, mined in enumerate(world.mined_market):
        if mined < 0:
            continue
        primary = (model.firms.market == world.refined_market[mineral]) & ~world.firms.recycler
        product = np.bincount(
            model.firms.country[primary], model.firms.output[primary], len(world.countries)
        )
        feed = model.books.feed_used[mined] * world.refining_yield[mineral]
        np.testing.assert_allclose(feed, product, rtol=1e-9, atol=1e-12)


def assert_sound(model: MineralModel) -> None:
    """Nothing negative, no price missing where something was bought, and the record says so."""
    record = model.record
    months = slice(0, model.month)
    assert record.tonnes_gap[months].max() <= BALANCE
    assert record.money_gap[months].max() <= BALANCE
    assert record.certificate[months].max() <= BALANCE
    scale = model.buyers.need.max()
    assert model.state.stock.min() >= -1e-9 * scale
    assert model.state.at_sea.min() >= 0
    assert model.firms.inventory.min() >= 0
    shown = {name: values[months] for name, values in record.measures.items()}
    for name in ("purchases_t", "use_t", "output_t", "exports_t", "outlay_usd", "rent_paid_usd"):
        assert (shown[name] >= -1e-9 * max(scale, 1.0)).all(), name
    for name in ("non_allied_share", "import_reliance", "perceived_risk"):
        values = shown[name][~np.isnan(shown[name])]
        assert ((values >= 0) & (values <= 1 + 1e-12)).all(), name
    price = shown["landed_price_usd_per_kg"][shown["purchases_t"] > 0]
    assert np.isfinite(price).all()
    assert (price > 0).all()


def of_range(kind: type, **fixed: object) -> st.SearchStrategy:
    """Any settings of a class within their valid ranges."""
    choices: dict[str, st.SearchStrategy] = {}
    for item in fields(kind):
        about = item.metadata
        if item.name in fixed:
            choices[item.name] = st.just(fixed[item.name])
        elif item.name == "active":
            choices[item.name] = st.booleans()
        elif "unit" in about:
            choices[item.name] = st.floats(about["low"], about["high"])
    return st.builds(kind, **choices)


@st.composite
def controls(draw: st.DrawFn, months: int) -> Control:
    """Any control of either producer that starts within the horizon."""
    by = draw(st.sampled_from(["CHN", "AUS"]))
    targets = [word for word in ("world", "members", "washington", "ROW", "USA") if word != by]
    begins = draw(st.integers(1, months - 1))
    ends = begins + draw(st.integers(1, months))
    early = draw(st.integers(0, 6))
    instrument = draw(st.sampled_from(list(Instrument)[1:]))
    return Control(
        name="control",
        instrument=instrument,
        by=by,
        targets=draw(st.lists(st.sampled_from(targets), min_size=1, max_size=2)),
        minerals=draw(st.sampled_from([["all"], ["gallium"], ["graphite"]])),
        announced=month_name("2025-01", begins - early),
        start=month_name("2025-01", begins),
        end=draw(st.sampled_from(["", month_name("2025-01", ends)])),
        rate=draw(st.floats(0, 0.9 if instrument is Instrument.dumping else 5)),
        quota_share=draw(st.floats(0, 2)),
        quota_tonnes=draw(st.sampled_from([-1.0, 0.0, 100.0, 1e6])),
        approval_share=draw(st.floats(0, 1)),
        processing_months=draw(st.integers(0, 12)),
        enforcement=draw(st.floats(0, 1)),
        evasion_cost=draw(st.floats(0, 5)),
        evasion_response=draw(st.floats(0, 3)),
    )


@pytest.fixture(scope="module")
def drawn_tiny_world(tiny_tables: Tables) -> Callable[[int], World]:
    """Four countries under the drawn parameters of a seed."""
    return lambda seed: build_world(tiny_tables, WorldConfig(), seed)


def of_nested(kind: type) -> st.SearchStrategy:
    """Any settings of a class whose fields are settings themselves."""
    return st.builds(
        kind,
        **{item.name: of_range(item.default_factory) for item in fields(kind)},  # type: ignore[arg-type]
    )


@given(
    behaviour=of_range(Behaviour),
    instruments=of_nested(Instruments),
    randomness=of_range(Randomness, active=True),
    shocks=st.lists(controls(24), max_size=2),
    seed=st.integers(0, 1000),
)
def test_tonnes_and_dollars_balance_every_month_whatever_the_settings(
    drawn_tiny_world: Callable[[int], World],
    behaviour: Behaviour,
    instruments: Instruments,
    randomness: Randomness,
    shocks: list[Control],
    seed: int,
) -> None:
    config = quiet_config(years=2)
    config.behaviour, config.instruments, config.randomness = behaviour, instruments, randomness
    config.controls = shocks
    config.membership.circles["washington"] = Circle(add=["USA", "AUS"], since="2025-06")
    model = model_of(config, drawn_tiny_world(seed), "washington", seed=seed)
    for _ in range(model.months):
        before = held(model)
        model.step()
        assert_tonnes_balance(model, before)
    assert_sound(model)


def test_tonnes_balance_in_the_real_world_under_a_ban(gallium_world: World) -> None:
    config = quiet_config(years=4)
    config.randomness.active = True
    config.shock = export_ban(minerals=["all"], start="2026-06", announced="2026-01", end="2028-01")
    model = model_of(config, gallium_world, "washington", shocked=True)
    for _ in range(model.months):
        before = held(model)
        model.step()
        assert_tonnes_balance(model, before)
    assert_sound(model)


def test_dollars_are_those_of_prices_mark_ups_duties_taxes_and_freight(tiny_world: World) -> None:
    """Outlay and duty computed again from the price of the seller; mark-ups stay as observed."""
    config = quiet_config(years=3)
    config.behaviour.market_power = 0.0
    tax = export_ban(minerals=["all"], targets=["world"], start="2025-07", announced="", rate=0.3)
    tax.instrument = Instrument.tax
    config.controls = [tax]
    model = model_of(config, tiny_world)
    world = tiny_world
    foreign = np.arange(4) != CHN
    for month in range(model.months):
        model.step()
        shown = {name: values[month] for name, values in model.record.measures.items()}
        price = np.nan_to_num(shown["origin_price_usd_per_kg"])[:, :, None]
        border = price * (1 + world.export_markup)
        if month >= 6:
            border[:, CHN, foreign] *= 1.3
        duty = (border * world.tariff * model.last_flow).sum(axis=1)
        cost = ((border * (1 + world.tariff) + world.freight) * model.last_flow).sum(axis=1)
        np.testing.assert_allclose(shown["outlay_usd"], 1000 * cost, rtol=1e-9)
        np.testing.assert_allclose(shown["duty_usd"], 1000 * duty, rtol=1e-9, atol=1e-9)
    assert model.record.measures["duty_usd"].sum() > 0


def test_the_books_notice_a_tonne_from_nowhere(tiny_world: World) -> None:
    model = model_of(quiet_config(years=1), tiny_world)
    model.step()
    settle = model.settle

    def settle_with_a_gift() -> None:
        model.state.stock[0, USA, 1] += 1.0
        settle()

    model.settle = settle_with_a_gift  # type: ignore[method-assign]
    with pytest.raises(BooksDoNotBalance, match=r"graphite in 2025-02: tonnes do not balance"):
        model.step()


def test_the_books_notice_an_outlay_that_is_no_number(
    tiny_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the stage that clears after it adds up."""
    gaps = iter([np.nan, 0.0])
    monkeypatch.setattr("abm.books.book_flows", lambda *given: book_flows(*given) + next(gaps))
    model = model_of(quiet_config(years=1), tiny_world)
    with pytest.raises(BooksDoNotBalance, match="2025-01: payments do not balance, gap nan"):
        model.step()


# Pairing --------------------------------------------------------------------------------------


def noisy_config(years: int = 4) -> Config:
    config = quiet_config(years=years)
    config.randomness.active = True
    config.membership.circles["washington"].since = "2026-02"
    return config


def test_every_scenario_of_a_seed_meets_the_same_world_and_luck(tiny_tables: Tables) -> None:
    """Drawn apart for each scenario; no run writes to what it shares."""
    plain = noisy_config()
    plain.world.draw_parameters = True
    changed = noisy_config()
    changed.world.draw_parameters = True
    changed.shock = export_ban(minerals=["all"], enforcement=0.5)
    changed.instruments.stockpiles.target_months = 12.0
    changed.behaviour.hoarding = 5.0
    worlds, luck = [], []
    for config, membership, shocked in (
        (plain, "none", False),
        (changed, "washington", True),
    ):
        world = build_world(tiny_tables, config.world, 9)
        model = model_of(config, world, membership, shocked, seed=9)
        model.run()
        worlds.append(world)
        luck.append(model.events)
    for item in fields(worlds[0]):
        one, other = (getattr(world, item.name) for world in worlds)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=item.name)
    for name, values in worlds[0].parameters.items():
        np.testing.assert_array_equal(values, worlds[1].parameters[name], err_msg=name)
    np.testing.assert_array_equal(luck[0].demand, luck[1].demand)
    np.testing.assert_array_equal(luck[0].availability, luck[1].availability)
    fresh = draw_events(worlds[0], plain.randomness, plain.horizon.years * MONTHS, 9)
    np.testing.assert_array_equal(luck[0].demand, fresh.demand)
    np.testing.assert_array_equal(luck[0].availability, fresh.availability)


def test_paired_runs_are_the_same_until_something_differs(tiny_world: World) -> None:
    config = noisy_config()
    config.shock = export_ban()
    calm = run(config, tiny_world)
    banned = run(config, tiny_world, shocked=True)
    joined = run(config, tiny_world, "washington")
    assert_same_history(calm, banned, BEFORE)
    assert_same_history(calm, joined, slice(0, 13))
    for other in (banned, joined):
        gap = np.abs(other.measures["purchases_t"] - calm.measures["purchases_t"])
        assert gap.max() > 0.1


def test_the_same_seed_twice_is_bit_identical_and_another_is_not(tiny_world: World) -> None:
    config = noisy_config()
    config.shock = export_ban(minerals=["all"])
    one, again, other = (
        run(config, tiny_world, "washington", shocked=True, seed=seed) for seed in (3, 3, 4)
    )
    assert_same_history(one, again)
    np.testing.assert_array_equal(one.flow, again.flow)
    assert (one.measures["use_t"][1:] != other.measures["use_t"][1:]).any()


def test_models_in_one_process_share_nothing(tiny_world: World) -> None:
    config = noisy_config()
    config.shock = export_ban(minerals=["all"])
    alone = run(config, tiny_world, "washington", shocked=True)
    one = model_of(config, tiny_world, "washington", shocked=True)
    other = model_of(config, tiny_world, seed=8)
    for month in range(one.months):
        one.step()
        if month % 3:
            other.step()
    assert_same_history(alone, one.record)


def test_a_longer_horizon_begins_with_the_same_history(tiny_world: World) -> None:
    short, long = (run(noisy_config(years), tiny_world, "washington") for years in (2, 4))
    for name, values in short.measures.items():
        np.testing.assert_array_equal(values, long.measures[name][:24], err_msg=name)


def test_another_mineral_leaves_the_history_of_the_others_alone(
    tiny_world: World, tmp_path: Path
) -> None:
    base = write_tiny_tables(tmp_path / "base")
    tables = read_tables([write_tin_tables(tmp_path / "tin")], base_folder=base)
    wider = build_world(tables, quiet_config().world)
    config = noisy_config()
    config.shock = export_ban()
    old = run(config, tiny_world, "washington", shocked=True)
    new = run(config, wider, "washington", shocked=True)
    rows = [wider.markets.index(market) for market in tiny_world.markets]
    for name, values in old.measures.items():
        np.testing.assert_allclose(
            values, new.measures[name][:, rows], rtol=1e-7, atol=1e-9, err_msg=name
        )


# Neutrality -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untouched(tiny_world: World) -> Record:
    """Four noisy years without membership, instrument or control."""
    return run(noisy_config(), tiny_world)


def test_membership_without_instruments_changes_nothing(
    tiny_world: World, untouched: Record
) -> None:
    nominal = run(without_instruments(noisy_config()), tiny_world, "washington")
    assert nominal.member[13:, [USA, AUS]].all()
    assert_same_history(untouched, nominal)


def test_instruments_without_members_change_nothing(tiny_world: World, untouched: Record) -> None:
    config = noisy_config()
    config.instruments.stockpiles.target_months = 40.0
    config.instruments.joint_procurement.countervailing_power = 1.0
    assert_same_history(untouched, run(config, tiny_world))


@pytest.mark.parametrize("name", ["tax", "after the horizon"])
def test_a_control_without_bite_changes_nothing(
    tiny_world: World, untouched: Record, name: str
) -> None:
    config = noisy_config()
    if name == "tax":
        config.shock = export_ban(minerals=["all"], targets=["world"], rate=0.0)
        config.shock.instrument = Instrument.tax
    else:
        config.shock = export_ban(start="2029-01", announced="2029-01", end="")
    assert_same_history(untouched, run(config, tiny_world, shocked=True))


def test_a_quota_far_above_trade_changes_nothing(tiny_world: World, untouched: Record) -> None:
    config = noisy_config()
    config.shock = export_ban(minerals=["all"], targets=["world"], quota_share=10.0)
    config.shock.instrument = Instrument.quota
    record = run(config, tiny_world, shocked=True)
    assert record.measures["rent_paid_usd"].max() == 0
    for name, values in untouched.measures.items():
        np.testing.assert_allclose(
            record.measures[name], values, rtol=1e-7, atol=1e-9, err_msg=name
        )


def test_a_late_control_leaves_the_months_before_it_alone(
    tiny_world: World, untouched: Record
) -> None:
    config = noisy_config()
    config.shock = export_ban(start="2028-06", announced="2028-06", end="")
    record = run(config, tiny_world, shocked=True)
    assert_same_history(untouched, record, slice(0, 41))
    assert record.measures["rerouted_t"][41:].max() > 0


# Small worlds ---------------------------------------------------------------------------------


def test_a_world_of_by_products_alone_runs(tiny_tables: Tables, tiny_world: World) -> None:
    """Nothing is mined in it; its prices are those of the world with other minerals."""
    config = quiet_config(years=2, minerals=["gallium"])
    world = build_world(tiny_tables, config.world)
    alone = bloc_price(run(config, world), world, ("gallium", "refined"), ["USA"])
    both = run(quiet_config(years=2), tiny_world)
    expected = bloc_price(both, tiny_world, ("gallium", "refined"), ["USA"])
    np.testing.assert_allclose(alone, expected, rtol=1e-6)


def test_an_impossible_ban_is_survived_by_demand_and_stocks(tiny_world: World) -> None:
    """All exports of everything stop for good: the books still close and prices stay finite."""
    config = quiet_config(years=6)
    config.shock = export_ban(
        minerals=["all"], targets=["world"], enforcement=1.0, evasion_response=0.0, end=""
    )
    model = model_of(config, tiny_world, shocked=True)
    model.run()
    assert_sound(model)
    assert model.record.measures["rerouted_t"].sum() == 0
    assert not model.record.flow[3:, :, CHN, [USA, AUS, ROW]].any()


def test_all_scenarios_of_a_configuration_are_run_in_order(tiny_world: World) -> None:
    config = quiet_config()
    config.membership.circles["pair"] = Circle(add=["USA", "ROW"])
    config.shock = export_ban()
    check(config)
    names = [(case.membership, case.shock) for case in scenarios(config, tiny_world)]
    assert names == [
        (circle, shock) for circle in ("none", "washington", "pair") for shock in ("none", "ban")
    ]
    config.shock = replace(config.shock, instrument=Instrument.none)
    assert len(scenarios(config, tiny_world)) == 3

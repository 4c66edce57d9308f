"""What the world does: the facts a ban must show, and the direction of every instrument."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from tiny_world import tiny_rows, write_table, write_tiny_tables

from abm.config import Behaviour, Config, Control, Instrument
from abm.intentions import anticipated_cover
from abm.recorder import Record
from abm.tables import read_tables
from abm.world import World, build_world

GALLIUM = ("gallium", "refined")
USA, CHN, AUS, ROW = range(4)  # of the tiny world
START, LIFTED = 24, 60  # months of the ban of `export_ban`, 2027-01 to 2030-01
YEAR = 12


# A ban on gallium in the real world -----------------------------------------------------------


@dataclass
class Ban:
    """The same members with and without the ban, and the ban on members without any state stock."""

    world: World
    calm: Record
    banned: Record
    bare: Record

    def price(self, record: Record, market: tuple[str, str] = GALLIUM) -> np.ndarray:
        """[month] USD/kg the six pay."""
        return bloc_price(record, self.world, market, SIX)

    def total(self, record: Record, measure: str, countries: Sequence[str]) -> np.ndarray:
        """[month] sum of a measure of gallium over countries."""
        columns = [self.world.country(code) for code in countries]
        return record.measures[measure][:, self.world.market(*GALLIUM)][:, columns].sum(axis=1)

    @property
    def third(self) -> list[str]:
        """Everybody but the six and China."""
        return [code for code in self.world.countries if code not in (*SIX, "CHN")]


@pytest.fixture(scope="module")
def ban(gallium_world: World) -> Ban:
    config = quiet_config()
    config.shock = export_ban()
    no_stock = replace(gallium_world, stockpile_months=0.0 * gallium_world.stockpile_months)
    without = quiet_config()
    without.shock = export_ban()
    without.instruments.stockpiles.active = False
    return Ban(
        gallium_world,
        run(config, gallium_world, "washington"),
        run(config, gallium_world, "washington", shocked=True),
        run(without, no_stock, "washington", shocked=True),
    )


def test_members_prices_at_least_double_within_a_year_of_the_ban(ban: Ban) -> None:
    price = ban.price(ban.banned)
    assert price[START : START + YEAR].max() >= 2.0 * price[START - 1]
    assert price[:START] == pytest.approx(ban.price(ban.calm)[:START])


def test_the_exporters_home_price_does_not_rise_under_its_own_ban(ban: Ban) -> None:
    market, china = ban.world.market(*GALLIUM), ban.world.country("CHN")
    home = ban.banned.measures["origin_price_usd_per_kg"][:, market, china]
    calm = ban.calm.measures["origin_price_usd_per_kg"][:, market, china]
    assert (home / calm)[START:LIFTED].max() <= 1.05
    assert (home / home[START - 1])[START:LIFTED].max() <= 1.05


def test_some_of_it_leaks_to_members_and_third_countries_earn_from_it(ban: Ban) -> None:
    force = slice(START, LIFTED)
    leaked = ban.total(ban.banned, "rerouted_t", SIX)
    assert (leaked[force] > 0).all()
    assert not leaked[:START].any()
    assert not leaked[LIFTED:].any()
    before = ban.total(ban.calm, "purchases_t", SIX)
    assert (leaked[force] < before[force]).all()
    # Third countries ship more to where it is dear; China ships less; members make and use less.
    third = ban.total(ban.banned, "exports_t", ban.third) / ban.total(
        ban.calm, "exports_t", ban.third
    )
    assert third[force].mean() > 1.1
    assert third[LIFTED - 1] > third[START]
    china = ban.total(ban.banned, "exports_t", ["CHN"]) / ban.total(ban.calm, "exports_t", ["CHN"])
    assert china[force].max() < 0.8
    used = ban.total(ban.banned, "use_t", SIX) / ban.total(ban.calm, "use_t", SIX)
    assert used[force].max() < 1.0
    assert used[START + YEAR : LIFTED].mean() < 0.95
    made = ban.total(ban.banned, "output_t", SIX) / ban.total(ban.calm, "output_t", SIX)
    assert made[START + YEAR : LIFTED].min() > 1.0


def test_the_jump_outruns_the_lost_volume(ban: Ban) -> None:
    """MODEL §10.2: buyers build stocks into the shortage, and purchases recover while use falls."""
    price = ban.price(ban.banned) / ban.price(ban.calm)
    lost = 1 - ban.total(ban.banned, "use_t", SIX) / ban.total(ban.calm, "use_t", SIX)
    force = slice(START, LIFTED)
    assert price[force].max() - 1 > 3 * lost[force].max() > 0
    cover = ban.total(ban.banned, "buyer_stock_t", SIX) / ban.total(ban.banned, "use_t", SIX)
    assert cover[LIFTED - 1] > 1.1 * cover[START - 1]


def test_the_price_falls_again_while_the_ban_still_holds(ban: Ban) -> None:
    """MODEL §10.2: most of the rise comes within a year, and the price has turned in two."""
    price = ban.price(ban.banned)
    before, force = price[START - 1], price[START:LIFTED]
    assert np.argmax(force) < 2 * YEAR
    assert force[:YEAR].max() - before > 0.7 * (force.max() - before)
    assert force[-1] < 0.95 * force.max()


def test_emergency_stocks_delay_and_lower_the_peak(ban: Ban) -> None:
    force = slice(START, LIFTED)
    with_stock, without = ban.price(ban.banned), ban.price(ban.bare)
    assert np.argmax(with_stock[force]) > np.argmax(without[force])
    assert with_stock[force].max() < 0.95 * without[force].max()
    first_year = slice(START, START + YEAR)
    assert with_stock[first_year].mean() < without[first_year].mean()
    stock = ban.total(ban.banned, "strategic_stock_t", SIX)
    assert stock[LIFTED - 1] < 0.5 * stock[START]
    assert not ban.total(ban.bare, "strategic_stock_t", SIX).any()


def test_prices_return_within_three_years_of_the_end(ban: Ban) -> None:
    """Every month from the third anniversary on is within 25 % of the run without the ban."""
    ratio = ban.price(ban.banned) / ban.price(ban.calm)
    assert ratio[LIFTED - 1] > 1.5
    assert np.abs(ratio[LIFTED + 3 * YEAR :] - 1).max() < 0.25


def test_the_same_ban_on_nickel_hardly_moves_prices(ban: Ban) -> None:
    config = quiet_config(years=6)
    config.shock = export_ban(minerals=["nickel"])
    record = run(config, ban.world, "washington", shocked=True)
    for stage in ("mined", "refined"):
        market = ("nickel", stage)
        ratio = ban.price(record, market) / ban.price(ban.calm, market)[:72]
        assert np.abs(ratio - 1).max() < 0.05
    assert record.measures["rerouted_t"].sum() > 0


# Direction of controls, in the real market of gallium -------------------------------------------


def control_run(
    world: World, control: Control | None, years: int = 4, **behaviour: float
) -> Record:
    """A run without members in which a control from 2026-01 (month 12) is the only event."""
    config = quiet_config(years=years)
    for name, value in behaviour.items():
        setattr(config.behaviour, name, value)
    if control is not None:
        config.controls = [control]
    return run(config, world)


def early(**terms: Any) -> Control:
    return export_ban(**{"start": "2026-01", "announced": "2026-01", "end": "", **terms})


@pytest.fixture(scope="module")
def undisturbed(gallium_world: World) -> Record:
    return control_run(gallium_world, None)


def test_tighter_enforcement_makes_it_dearer_and_leaks_less(gallium_world: World) -> None:
    prices, leaks = [], []
    for enforcement in (0.4, 0.7, 0.95):
        record = control_run(gallium_world, early(enforcement=enforcement))
        prices.append(bloc_price(record, gallium_world, GALLIUM, SIX)[12:].mean())
        leaks.append(record.measures["rerouted_t"][12:].sum())
    assert prices[0] < prices[1] < prices[2]
    assert leaks[0] > leaks[1] > leaks[2] > 0


def test_an_export_tax_is_paid_partly_abroad_and_partly_at_home(
    gallium_world: World, undisturbed: Record
) -> None:
    tax = early(targets=["world"], rate=0.3)
    tax.instrument = Instrument.tax
    record = control_run(gallium_world, tax)
    first_year = slice(12, 24)
    for country, rises in (("JPN", True), ("EU27", True), ("CHN", False)):
        price = bloc_price(record, gallium_world, GALLIUM, [country])[first_year]
        before = bloc_price(undisturbed, gallium_world, GALLIUM, [country])[first_year]
        assert (price > before).all() if rises else (price < before).all(), country
        assert (price < 1.3 * before).all()


def test_a_quota_binds_and_its_rent_is_the_price_gap(tiny_world: World) -> None:
    """USD/kg paid above the exporter's price with its mark-up, duty and freight, arc by arc."""
    config = quiet_config(years=4)
    config.behaviour.market_power = 0.0  # mark-ups stay as observed
    quota = export_ban(targets=["USA", "ROW"], quota_share=0.4)
    quota.instrument = Instrument.quota
    config.controls = [quota]
    model = model_of(config, tiny_world)
    row = tiny_world.market(*GALLIUM)
    cap = 0.4 * tiny_world.flow[row, CHN, [USA, ROW]].sum()
    gaps = []
    for month in range(36):
        model.step()
        shown = {name: values[month, row] for name, values in model.record.measures.items()}
        flow = model.last_flow[row, CHN]
        if month < START:
            assert not shown["rent_paid_usd"].any()
            assert flow[[USA, ROW]].sum() > cap
            continue
        assert flow[[USA, ROW]].sum() == pytest.approx(cap, rel=1e-6)
        seller = shown["origin_price_usd_per_kg"]
        cost = (
            seller[:, None] * (1 + tiny_world.export_markup[row]) * (1 + tiny_world.tariff[row])
            + tiny_world.freight[row]
        )
        for buyer in (USA, ROW):
            paid = shown["outlay_usd"][buyer] / 1000
            gap = paid - (np.nan_to_num(cost[:, buyer]) * model.last_flow[row, :, buyer]).sum()
            assert shown["rent_paid_usd"][buyer] == pytest.approx(1000 * gap, rel=1e-6)
            gaps.append(gap / flow[buyer])
        assert gaps[-1] == pytest.approx(gaps[-2], rel=1e-6)  # one right, one price
        assert shown["rent_paid_usd"][AUS] == 0
    assert min(gaps) > 0.1 * tiny_world.world_price[row]


def test_news_moves_prices_before_the_control_starts(
    gallium_world: World, undisturbed: Record
) -> None:
    """Announced for January 2026 in July 2025: hoarders bid before a single tonne is missing."""
    calm = bloc_price(undisturbed, gallium_world, GALLIUM, SIX)
    warned = control_run(gallium_world, early(announced="2025-07"))
    price = bloc_price(warned, gallium_world, GALLIUM, SIX)
    np.testing.assert_array_equal(price[:6], calm[:6])
    assert (price[7:12] > 1.02 * calm[7:12]).all()
    risk = warned.measures["perceived_risk"][:, gallium_world.market(*GALLIUM)]
    assert risk[6, gallium_world.country("JPN")] > 0.3
    unmoved = control_run(gallium_world, early(announced="2025-07"), hoarding=0.0)
    np.testing.assert_allclose(
        bloc_price(unmoved, gallium_world, GALLIUM, SIX)[:12], calm[:12], rtol=0.01
    )


def test_more_hoarding_makes_a_higher_peak(gallium_world: World) -> None:
    """Without state stocks, whose release would answer the peak."""
    stocks = 0.0 * gallium_world.stockpile_months
    bare = replace(gallium_world, stockpile_months=stocks)
    runs = [control_run(bare, early(), hoarding=hoarding) for hoarding in (0.0, 1.5, 4.0)]
    peaks = [bloc_price(record, bare, GALLIUM, SIX).max() for record in runs]
    assert peaks[0] < peaks[1] < peaks[2]
    assert peaks[2] > 1.1 * peaks[0]


def test_anticipation_feeds_a_rally_and_the_fall_after_it(gallium_world: World) -> None:
    stocks = 0.0 * gallium_world.stockpile_months
    bare = replace(gallium_world, stockpile_months=stocks)
    plain, eager = (
        bloc_price(control_run(bare, early(), anticipation=a), bare, GALLIUM, SIX) for a in (0, 4)
    )
    assert eager.max() > 1.05 * plain.max()
    assert eager[-1] < plain[-1]


def test_anticipation_leaves_a_calm_world_alone(gallium_world: World, undisturbed: Record) -> None:
    assert_same_history(control_run(gallium_world, None, anticipation=4.0), undisturbed)


def test_gain_pays_for_storing_only_beyond_the_carrying_cost_and_in_doubt() -> None:
    behaviour = Behaviour(anticipation=2.0, carrying_cost=0.02, contagion=0.0)
    growth = np.array([[0.5, 0.9, 0.985, 1.0, 1.015, 1.12]])
    one = np.ones(growth.shape)
    expected = np.array([[-0.5, -0.5, 0.0, 0.0, 0.0, 2.0]])
    for risk in (0.0, 0.5, 1.0):
        found = anticipated_cover(growth, risk * one, one, behaviour)
        np.testing.assert_allclose(found, risk * expected, atol=1e-12)


def test_momentum_believes_in_a_rally_that_no_control_began() -> None:
    behaviour = Behaviour(anticipation=2.0, momentum=0.25, carrying_cost=0.02, contagion=0.0)
    growth, need = np.array([[0.9, 1.0, 1.12]]), np.ones((1, 3))
    for risk, belief in ((0.0, 0.25), (0.1, 0.25), (0.5, 0.5)):
        found = anticipated_cover(growth, risk * need, need, behaviour)
        np.testing.assert_allclose(found, [[-0.5 * belief, 0.0, 2.0 * belief]], atol=1e-12)


def test_a_rally_elsewhere_counts_by_contagion() -> None:
    """The country in calm buys a quarter; its own price rests while that of the other rises."""
    behaviour = Behaviour(anticipation=1.0, carrying_cost=0.0, contagion=0.5)
    growth, need = np.array([[1.0, 1.2]]), np.array([[1.0, 3.0]])
    found = anticipated_cover(growth, np.ones((1, 2)), need, behaviour)
    np.testing.assert_allclose(found, [[0.5 * 0.75 * 0.2 / 0.1, 0.2 / 0.1]])


# Direction of instruments ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def dutiable_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tiny world in which USA charges a fifth on mined graphite, whoever sends it."""
    rows = tiny_rows()
    rows["tariffs"].append(
        {"mineral": "graphite", "stage": "mined", "importer": "USA", "exporter": "*", "rate": 0.2}
    )
    folder = write_tiny_tables(tmp_path_factory.mktemp("dutiable"))
    write_table(folder, "tariffs", rows["tariffs"])
    return build_world(read_tables(base_folder=folder), quiet_config().world)


def with_only(instrument: str, years: int = 4) -> Config:
    """Members with one instrument."""
    config = without_instruments(quiet_config(years=years))
    getattr(config.instruments, instrument).active = True
    return config


def arc_price(record: Record, market: int, origin: int, destination: int) -> np.ndarray:
    """[year] USD/kg paid on one arc."""
    place = (slice(None), market, origin, destination)
    return record.value[place] / (1000.0 * record.flow[place])


def test_preferential_tariffs_make_fellow_members_cheaper(dutiable_world: World) -> None:
    """USA and AUS are members: a duty of a fifth falls away, less what AUS then asks more."""
    config = with_only("preferential_tariffs")
    row = dutiable_world.market("graphite", "mined")
    none, member = (run(config, dutiable_world, name) for name in ("none", "washington"))
    ratio = arc_price(member, row, AUS, USA)[2] / arc_price(none, row, AUS, USA)[2]
    assert 1 / 1.2 - 1e-9 < ratio < 0.95
    share = {
        name: record.flow[2, row, AUS, USA] / record.flow[2, row, :, USA].sum()
        for name, record in (("none", none), ("member", member))
    }
    assert share["member"] > share["none"]
    assert (
        bloc_price(member, dutiable_world, ("graphite", "mined"), ["USA"])[24:36]
        < bloc_price(none, dutiable_world, ("graphite", "mined"), ["USA"])[24:36]
    ).all()
    # What comes from outsiders still pays: their arcs keep the duty.
    outside = arc_price(member, row, CHN, USA)[2] / arc_price(none, row, CHN, USA)[2]
    assert outside > 0.97
    duty = [record.measures["duty_usd"][24:36, row, USA].sum() for record in (none, member)]
    assert 0 < duty[1] < duty[0]


def test_joint_procurement_lowers_the_mark_up_that_members_pay(tiny_world: World) -> None:
    """The mark-up is what is left of the price on an arc without duty, less freight."""
    config = with_only("joint_procurement")
    config.instruments.joint_procurement.shared_relationships = 0.0
    row = tiny_world.market(*GALLIUM)
    marked = {}
    for name in ("none", "washington"):
        record = run(config, tiny_world, name)
        home = record.measures["origin_price_usd_per_kg"][24:36, row, CHN].mean()
        for buyer in (USA, AUS, ROW):
            net = arc_price(record, row, CHN, buyer)[2] - tiny_world.freight[row, CHN, buyer]
            marked[name, buyer] = net / home - 1
    for buyer in (USA, AUS):
        assert marked["washington", buyer] < 0.95 * marked["none", buyer]
        assert marked["washington", buyer] > 0
    assert marked["washington", ROW] == pytest.approx(marked["none", ROW], rel=0.05)


def test_building_a_stock_raises_prices_while_it_lasts(tiny_world: World) -> None:
    config = with_only("stockpiles", years=8)
    config.instruments.stockpiles.target_months = 6.0
    config.instruments.stockpiles.build_months = 6.0
    config.instruments.stockpiles.price_ceiling = 3.0
    row = tiny_world.market(*GALLIUM)
    none, member = (run(config, tiny_world, name) for name in ("none", "washington"))
    world_price = {
        name: bloc_price(record, tiny_world, GALLIUM, tiny_world.countries)
        for name, record in (("none", none), ("member", member))
    }
    rise = world_price["member"] / world_price["none"] - 1
    assert np.abs(rise[:13]).max() < 1e-9
    assert (rise[14:24] > 0.005).all()
    assert rise[14:24].mean() > 3 * rise[72:].mean()
    stock, use = (member.measures[name][:, row, USA] for name in ("strategic_stock_t", "use_t"))
    assert stock[12] < 1.2 * use[12]
    assert stock[-1] == pytest.approx(6 * use[-1], rel=0.1)


def test_a_pool_helps_the_member_that_has_no_stock_of_its_own(gallium_world: World) -> None:
    """Only Japan holds gallium: its partners pay less if it shares than if it serves itself."""
    stocks = np.zeros_like(gallium_world.stockpile_months)
    row = gallium_world.minerals.index("gallium")
    stocks[row, gallium_world.country("JPN")] = 12.0
    world = replace(gallium_world, stockpile_months=stocks)
    config = with_only("emergency_release")
    config.controls = [early(start="2026-06", announced="2026-06")]
    partners = [code for code in SIX if code != "JPN"]
    alone, pooled = (run(config, world, name) for name in ("none", "washington"))
    price = [bloc_price(record, world, GALLIUM, partners)[17:] for record in (alone, pooled)]
    assert price[1].mean() < price[0].mean()

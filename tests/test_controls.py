"""What export controls do to a small world: directions fixed by theory, and the books balance."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config, run
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny_world import tiny_rows, write_table, write_tiny_tables

from abm.config import Circle, Config, ConfigError, Control, Instrument, Rights, Stage, Weight
from abm.ledger import Account
from abm.recorder import Record
from abm.tables import read_tables
from abm.world import World, build_world

USA, CHN, AUS, ROW = range(4)
ABROAD = [USA, AUS, ROW]
START = 24  # 2027-01


def control(instrument: Instrument, **terms: Any) -> Control:
    made = export_ban(**{"targets": ["world"], "end": "", **terms})
    made.instrument = instrument
    return made


def history(world: World, *controls: Control, years: int = 4) -> Record:
    config = quiet_config(years)
    config.controls = list(controls)
    return run(config, world)


def price(record: Record, world: World, where: list[int], mineral: str = "gallium") -> np.ndarray:
    """[month] USD/kg paid by some countries for the refined product."""
    row = world.market(mineral, "refined")
    outlay = record.measures["outlay_usd"][:, row, where].sum(axis=1)
    return outlay / (1000.0 * record.measures["purchases_t"][:, row, where].sum(axis=1))


def series(record: Record, world: World, measure: str, mineral: str = "gallium") -> np.ndarray:
    return record.measures[measure][:, world.market(mineral, "refined")]


@pytest.fixture(scope="module")
def family_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Graphite at 6 and gallium at 500 USD/kg as one family, weighing 3 and 1.5 t shipped per t."""
    folder = write_tiny_tables(tmp_path_factory.mktemp("family"))
    rows = tiny_rows()
    write_table(folder, "minerals", [{**row, "family": "pair"} for row in rows["minerals"]])
    heavy = {"mineral": "graphite", "stage": "refined", "parameter": "gross_weight"}
    weight = {"value": 3.0, "low": 2.0, "high": 4.0, "unit": "t/t"}
    write_table(folder, "parameters", [*rows["parameters"], {**heavy, **weight}])
    return build_world(read_tables(base_folder=folder), quiet_config().world)


# Taxes since before the opening -----------------------------------------------------------------


def test_a_tax_since_before_the_opening_is_in_the_opening_price_and_its_end_lowers_it(
    tiny_world: World,
) -> None:
    untouched = history(tiny_world, years=4)
    dates = {"announced": "2020-01", "start": "2020-01"}
    standing = history(
        tiny_world, control(Instrument.tax, rate=0.2, **dates, end="2027-01"), years=4
    )
    before = slice(0, START)
    for who in (ABROAD, [CHN]):
        same, found = price(untouched, tiny_world, who), price(standing, tiny_world, who)
        np.testing.assert_allclose(found[before], same[before], rtol=1e-3)
    # Abolished, the tax no longer stands between the two prices.
    abroad, home = price(standing, tiny_world, ABROAD), price(standing, tiny_world, [CHN])
    assert abroad[START + 12] < 0.95 * price(untouched, tiny_world, ABROAD)[START + 12]
    assert home[START] > price(untouched, tiny_world, [CHN])[START]


def test_a_tax_since_before_the_opening_is_collected_and_is_no_news(tiny_world: World) -> None:
    tax = control(Instrument.tax, rate=0.2, announced="2020-01", start="2020-01")
    standing = history(tiny_world, tax, years=1)
    collected = series(standing, tiny_world, "treasury_usd")[0, CHN]
    # Whether it is told or not, nobody fears it: stocks are the same.
    untouched = history(tiny_world, years=1)
    assert collected > 0
    np.testing.assert_allclose(
        series(standing, tiny_world, "buyer_stock_t"),
        series(untouched, tiny_world, "buyer_stock_t"),
        rtol=1e-3,
    )


# Quotas ---------------------------------------------------------------------------------------


def test_a_tighter_quota_never_raises_the_home_price_nor_lowers_the_price_abroad(
    tiny_world: World,
) -> None:
    shares = (1.5, 0.9, 0.7, 0.5, 0.3, 0.1)
    runs = [history(tiny_world, control(Instrument.quota, quota_share=s), years=3) for s in shares]
    first_year = slice(START, START + 12)
    abroad = np.array([price(record, tiny_world, ABROAD)[first_year] for record in runs])
    home = np.array([price(record, tiny_world, [CHN])[first_year] for record in runs])
    assert (np.diff(abroad, axis=0)[:, 0] > -1e-9).all()
    assert (np.diff(home, axis=0)[:, 0] < 1e-9).all()
    assert (np.diff(abroad.mean(axis=1)) > 0).all()
    assert (np.diff(home.mean(axis=1)) < 0).all()
    # Fact 1: what the restriction withholds stays at home, where the price falls.
    assert abroad[3].max() > 1.5 * abroad[0].max()
    assert home[3].max() <= home[0].max() * (1 + 1e-9)


def test_a_common_quota_by_weight_hits_the_cheap_product_by_the_larger_multiple(
    family_world: World,
) -> None:
    """Fact 3: one rent in dollars a kilogram, added to six dollars and to five hundred."""
    quota = control(Instrument.quota, quota_share=0.6, minerals=(), family="pair")
    config = quiet_config(3)
    config.controls = [quota]
    model = model_of(config, family_world)
    calm = run(quiet_config(3), family_world)
    for _ in range(START + 6):
        model.step()
    names = ("graphite", "gallium")
    rows = [family_world.market(name, "refined") for name in names]
    exports = model.books.flow[rows][:, CHN][:, ABROAD].sum()
    opening = family_world.flow[rows][:, CHN][:, ABROAD].sum()
    assert exports == pytest.approx(0.6 * opening, rel=1e-9)
    rent = model.books.rent[rows][:, [USA, ROW]] / model.books.flow[rows, CHN][:, [USA, ROW]]
    np.testing.assert_allclose(rent, rent[0, 0], rtol=1e-9)  # one rent for both
    with_quota, without = (
        np.array([price(record, family_world, ABROAD, name)[START] for name in names])
        for record in (model.record, calm)
    )
    rise = with_quota / without
    assert rise[0] > 1.2 * rise[1] > 1.0


def test_a_quota_by_gross_weight_counts_packing_and_oxygen(family_world: World) -> None:
    quota = control(
        Instrument.quota,
        quota_share=0.6,
        minerals=(),
        family="pair",
        weight=Weight.gross,
        stages=[Stage.refined],
    )
    config = quiet_config(3)
    config.controls = [quota]
    model = model_of(config, family_world)
    for _ in range(START + 3):
        model.step()
    rows = [family_world.market(name, "refined") for name in ("graphite", "gallium")]
    weight = np.array([3.0, 1.5])
    shipped = model.books.flow[rows][:, CHN][:, ABROAD].sum(axis=1)
    opening = family_world.flow[rows][:, CHN][:, ABROAD].sum(axis=1)
    assert weight @ shipped == pytest.approx(0.6 * weight @ opening, rel=1e-9)
    rent = model.books.rent[rows, USA] / model.books.flow[rows, CHN, USA]
    assert rent[0] == pytest.approx(2.0 * rent[1], rel=1e-9)
    assert model.books.money_gap < 1e-9
    assert model.books.tonnes_gap < 1e-9


def test_the_weight_of_a_quota_on_one_product_does_not_matter(family_world: World) -> None:
    terms: dict[str, Any] = {"quota_share": 0.5, "minerals": ["gallium"]}
    plain = history(family_world, control(Instrument.quota, **terms), years=3)
    gross = history(family_world, control(Instrument.quota, weight=Weight.gross, **terms), years=3)
    for name, values in plain.measures.items():
        np.testing.assert_array_equal(values, gross.measures[name], err_msg=name)


def test_overlapping_controls_all_hold(tiny_world: World) -> None:
    config = quiet_config(3)
    config.controls = [
        control(Instrument.quota, quota_share=0.5),
        control(Instrument.quota, quota_share=0.2, targets=["washington"]),
        control(Instrument.ban, targets=["AUS"], enforcement=1.0),
    ]
    model = model_of(config, tiny_world)
    row = tiny_world.market("gallium", "refined")
    for _ in range(START + 1):
        model.step()
    opening, flow = tiny_world.flow[row, CHN], model.books.flow[row, CHN]
    assert flow[AUS] == 0.0
    assert flow[[USA, AUS]].sum() <= 0.2 * opening[[USA, AUS]].sum() * (1 + 1e-9)
    assert flow[ABROAD].sum() <= 0.5 * opening[ABROAD].sum() * (1 + 1e-9)
    assert flow[USA] > 0.0
    assert model.measures.tonnes.size == 3


def test_an_unknown_family_is_refused(tiny_world: World) -> None:
    config = quiet_config(3)
    config.controls = [control(Instrument.quota, minerals=(), family="noble")]
    with pytest.raises(ConfigError, match=r"controls\[0\].family is 'noble'.*joint=true"):
        run(config, tiny_world)


def test_only_quotas_and_licences_exempt_validated_users(tiny_world: World) -> None:
    config = quiet_config(3)
    config.controls = [control(Instrument.ban, validated_share=0.5)]
    with pytest.raises(ConfigError, match="only a quota or a licence exempts"):
        run(config, tiny_world)


def rent_per_tonne(record: Record, world: World) -> np.ndarray:
    """[month] rent of the refined product over what is bought abroad, USD/t."""
    row = world.market("gallium", "refined")
    paid = record.measures["rent_paid_usd"][:, row, ABROAD].sum(axis=1)
    return paid / record.measures["purchases_t"][:, row, ABROAD].sum(axis=1)


def test_exporters_who_hold_out_leave_rights_unused_and_the_rent_fades(tiny_world: World) -> None:
    """A tight quota is followed by one that is no limit any more: at once the rent is gone."""
    tight = control(Instrument.quota, quota_share=0.6, end="2028-01")
    loose = control(Instrument.quota, quota_share=2.0, announced="2028-01", start="2028-01")
    records = []
    for reserve in (0.0, 0.9):
        config = quiet_config(years=4)
        config.controls, config.behaviour.rights_reserve = [tight, loose], reserve
        records.append(run(config, tiny_world))
    free, held = (rent_per_tonne(record, tiny_world)[START:] for record in records)
    loosened = 12
    assert (free[loosened:] == 0.0).all()
    assert (held[loosened : loosened + 6] > 0.0).all()
    assert held[loosened + 6] < held[loosened]
    shipped = [series(record, tiny_world, "exports_t")[:, CHN] for record in records]
    assert shipped[1][START + loosened] < shipped[0][START + loosened]
    # Rents are money that somebody gets: the books have balanced every month.
    assert max(record.money_gap.max() for record in records) < 1e-9


def test_without_a_limit_nobody_holds_out(tiny_world: World) -> None:
    config = quiet_config(years=2)
    config.behaviour.rights_reserve = 0.9
    assert_same_history(run(config, tiny_world), run(quiet_config(years=2), tiny_world))


# Licences -------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", ["2026-07", "2026-11"])
def test_licences_without_scarcity_shift_trade_and_do_not_raise_prices_for_good(
    tiny_world: World, announced: str
) -> None:
    """The null case: everything applied for is approved, three months later."""
    wait = 3
    licence = control(
        Instrument.licence,
        approval_share=1.0,
        processing_months=wait,
        ramp_months=0,
        enforcement=1.0,
        announced=announced,
    )
    calm = history(tiny_world, years=7)
    held = history(tiny_world, licence, years=7)
    exports = series(held, tiny_world, "exports_t")[:, CHN]
    usual = series(calm, tiny_world, "exports_t")[:, CHN]
    known = START - (6 if announced == "2026-07" else 2)
    np.testing.assert_array_equal(exports[:known], usual[:known])
    assert (exports[known:START] > 1.05 * usual[known:START]).all()  # rush
    assert not exports[START : START + wait].any()  # dip
    whole = slice(known, START + 24)
    assert exports[whole].sum() == pytest.approx(usual[whole].sum(), rel=0.1)  # shifted, not lost
    late = slice(START + 36, None)
    ratio = price(held, tiny_world, ABROAD) / price(calm, tiny_world, ABROAD)
    assert ratio[START : START + wait].max() > 1.1
    assert ratio[late].mean() < 1.01
    assert ratio[late].max() < 1.02  # what the dip did to capacity dies out
    assert not series(held, tiny_world, "rent_paid_usd")[late].any()
    assert exports[late] == pytest.approx(usual[late], rel=0.02)


def test_a_slow_authority_makes_the_dip_longer_and_lets_trade_return(tiny_world: World) -> None:
    """Customs data of 2023-24: trade came back over four to nine months, without a catch-up."""
    terms: dict[str, Any] = {"approval_share": 1.0, "processing_months": 2, "enforcement": 1.0}
    calm = history(tiny_world, years=7)
    usual = series(calm, tiny_world, "exports_t")[:, CHN]
    exports, dear = [], []
    for ramp in (0, 3, 8):
        held = history(tiny_world, control(Instrument.licence, ramp_months=ramp, **terms), years=7)
        exports.append(series(held, tiny_world, "exports_t")[:, CHN] / usual)
        dear.append(price(held, tiny_world, ABROAD)[START : START + 12].mean())
    assert exports[0][START + 2] > 1.0 > exports[1][START + 2] > exports[2][START + 2] > 0.0
    assert (np.diff(exports[2][START + 2 : START + 10]) > 0).all()
    assert dear[0] < dear[1] < dear[2]
    np.testing.assert_allclose([e[-12:].mean() for e in exports], 1.0, rtol=0.03)


def test_a_longer_notice_and_wait_bring_more_purchases_forward(tiny_world: World) -> None:
    calm = series(history(tiny_world), tiny_world, "purchases_t")[:START, ABROAD].sum()

    def early(**terms: Any) -> float:
        licence = control(Instrument.licence, approval_share=1.0, **terms)
        held = history(tiny_world, licence)
        return float(series(held, tiny_world, "purchases_t")[:START, ABROAD].sum() / calm - 1.0)

    waits = [early(announced="2026-10", processing_months=months) for months in (0, 2, 5)]
    assert waits[0] == pytest.approx(0.0, abs=1e-12)
    assert waits[2] > 1.2 * waits[1] > 0.0
    notices = [early(announced=month, processing_months=3) for month in ("2026-12", "2026-08")]
    assert notices[1] > 1.2 * notices[0] > 0.0


def test_the_bridge_over_a_wait_is_bought_before_it_begins(tiny_world: World) -> None:
    """With one month of notice nearly all of it in that month; later the wait is lived through."""
    usual = series(history(tiny_world), tiny_world, "exports_t")[:, CHN]

    def rush(announced: str) -> np.ndarray:
        terms: dict[str, Any] = {"approval_share": 1.0, "processing_months": 2}
        held = history(tiny_world, control(Instrument.licence, announced=announced, **terms))
        early: np.ndarray = series(held, tiny_world, "exports_t")[:START, CHN] / usual[:START]
        return early

    late, early = rush("2026-12"), rush("2026-09")
    assert late[-1] > 1.5
    assert early[-1] < 0.8 * late[-1]
    assert (early[-4:] - 1.0).sum() > (late[-4:] - 1.0).sum()


@pytest.mark.parametrize("instrument", [Instrument.quota, Instrument.ban])
def test_buyers_rush_between_announcement_and_start_the_more_the_severer(
    tiny_world: World, instrument: Instrument
) -> None:
    calm = series(history(tiny_world), tiny_world, "purchases_t")[:START, ABROAD].sum()
    terms: list[dict[str, Any]] = [{"quota_share": 0.8}, {"quota_share": 0.3}]
    if instrument is Instrument.ban:
        terms = [{"announced": "2026-12"}, {"announced": "2026-08"}]
    rush = [
        series(
            history(tiny_world, control(instrument, **{"announced": "2026-10", **some})),
            tiny_world,
            "purchases_t",
        )[:START, ABROAD].sum()
        / calm
        for some in terms
    ]
    assert rush[1] > rush[0] > 1.0


def test_validated_users_get_theirs_and_nobody_else_gets_it(tiny_world: World) -> None:
    config = quiet_config(3)
    config.controls = [
        control(
            Instrument.licence,
            approval_share=0.0,
            enforcement=1.0,
            validated_share=0.5,
            validated_countries=["USA"],
        )
    ]
    model = model_of(config, tiny_world)
    row = tiny_world.market("gallium", "refined")
    for _ in range(START + 5):
        model.step()
    flow = model.books.flow[row, CHN]
    normal = tiny_world.flow[row, CHN, USA] * model.growth[row]
    assert flow[USA] == pytest.approx(0.5 * normal, rel=1e-9)
    assert flow[[AUS, ROW]].sum() == pytest.approx(0.0, abs=1e-9)


def test_validated_sectors_are_exempt_by_their_share_of_need(tiny_world: World) -> None:
    """A fifth of gallium goes to clean energy (tiny_world.py), in every country."""
    config = quiet_config(3)
    config.controls = [
        control(
            Instrument.quota,
            quota_share=0.0,
            validated_share=1.0,
            validated_sectors=["clean_energy"],
        )
    ]
    model = model_of(config, tiny_world)
    for _ in range(START + 1):
        model.step()
    row = tiny_world.market("gallium", "refined")
    exports = tiny_world.flow[row, CHN, ABROAD].sum() * model.growth[row]
    assert model.measures.tonnes == pytest.approx([0.2 * exports])


def test_the_cost_of_a_licence_is_paid_for_services(tiny_world: World) -> None:
    terms: dict[str, Any] = {"approval_share": 10.0, "processing_months": 0, "ramp_months": 0}
    free = history(tiny_world, control(Instrument.licence, **terms), years=3)
    config = quiet_config(3)
    config.controls = [control(Instrument.licence, licence_cost=0.1, **terms)]
    model = model_of(config, tiny_world)
    dear = model.run()
    row = tiny_world.market("gallium", "refined")
    cost = 0.1 * tiny_world.origin_price[row, CHN]
    first = slice(START, START + 1)
    rise = (price(dear, tiny_world, ABROAD) - price(free, tiny_world, ABROAD))[first]
    assert (rise > 0.5 * cost).all()
    assert (rise < cost).all()  # the seller bears the rest
    carriage = model.books.ledger.entries["carriage"]
    assert carriage.payee is Account.services
    charged = cost * model.books.flow[row, CHN, USA]
    assert carriage.paid[row, USA] > charged


# Detours --------------------------------------------------------------------------------------


def test_detours_are_found_over_the_months(tiny_world: World) -> None:
    terms: dict[str, Any] = {"targets": ["USA"], "evasion_response": 0.0}
    at_once = history(tiny_world, control(Instrument.ban, **terms))
    slowly = history(tiny_world, control(Instrument.ban, detour_months=5, **terms))
    leak = series(slowly, tiny_world, "rerouted_t")[START:, USA]
    full = series(at_once, tiny_world, "rerouted_t")[START:, USA]
    np.testing.assert_allclose(leak[:4] / full[:4], [0.2, 0.4, 0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(leak[4:8], full[4:8], rtol=1e-6)
    first = price(slowly, tiny_world, [USA])[START]
    assert first > price(at_once, tiny_world, [USA])[START]


def test_a_targeted_ban_leaks_unless_it_is_traced(tiny_world: World) -> None:
    """Fact 5; and what members refuse does not go to members."""
    config = quiet_config(3)
    config.controls = [control(Instrument.ban, targets=["USA", "ROW"], evasion_response=0.0)]

    def leaked(seen: float) -> np.ndarray:
        model = model_of(config, tiny_world)
        seeing = seen * np.array([1.0, 0.0, 0.0, 0.0])
        model.standards = replace(model.standards, traced=seeing)
        return model.run().measures["rerouted_t"][START, tiny_world.market("gallium", "refined")]

    untraced, half, whole = leaked(0.0), leaked(0.5), leaked(1.0)
    assert untraced[USA] > half[USA] > whole[USA]
    assert whole[USA] == pytest.approx(0.0, abs=1e-9)
    row = tiny_world.market("gallium", "refined")
    normal = 0.25 * tiny_world.flow[row, CHN] * (untraced.sum() > 0)
    assert half[USA] <= 0.5 * normal[USA] * 1.2
    assert whole[ROW] > 0.0


# Identities -----------------------------------------------------------------------------------

instruments = st.sampled_from(
    [Instrument.quota, Instrument.licence, Instrument.ban, Instrument.tax]
)


@hypothesis_settings(max_examples=8)
@given(
    kinds=st.tuples(instruments, instruments),
    joint=st.booleans(),
    gross=st.booleans(),
    validated=st.floats(0.0, 0.9),
    share=st.floats(0.1, 1.2),
    wait=st.integers(0, 5),
    ramp=st.integers(0, 6),
    traced=st.floats(0.0, 1.0),
    treasury=st.booleans(),
)
def test_tonnes_and_money_balance_under_any_mix_of_controls(
    family_world: World,
    kinds: tuple[Instrument, Instrument],
    joint: bool,
    gross: bool,
    validated: float,
    share: float,
    wait: int,
    ramp: int,
    traced: float,
    treasury: bool,
) -> None:
    config: Config = quiet_config(3)
    config.membership.circles = {"pair": Circle(add=["USA", "AUS"])}
    config.controls = [
        control(
            kind,
            minerals=("graphite", "gallium"),
            joint=joint and position == 0,
            weight=Weight.gross if gross else Weight.contained,
            quota_share=share,
            approval_share=share,
            processing_months=wait,
            detour_months=ramp,
            licence_cost=0.05,
            validated_share=0.0 if kind in (Instrument.ban, Instrument.tax) else validated,
            validated_countries=["AUS"],
            targets=targets,
            announced="2026-09",
            rights=Rights.treasury if treasury else Rights.exporters,
        )
        for position, (kind, targets) in enumerate(
            zip(kinds, (["world"], ["washington"]), strict=True)
        )
    ]
    model = model_of(config, family_world, "pair")
    seeing = traced * np.array([1.0, 0.0, 1.0, 0.0])
    model.standards = replace(model.standards, traced=seeing)
    record = model.run()
    assert record.tonnes_gap.max() < 1e-9
    assert record.money_gap.max() < 1e-9
    net = sum(model.books.ledger.balance(account).sum() for account in Account)
    assert abs(net) < 1e-9 * record.measures["outlay_usd"][-1].sum()
    assert model.measures.tonnes.min(initial=0.0) >= 0.0

"""Paired effects against effects that are known or computed another way."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.finding import Subject, headline
from experiments.measures.effects import (
    Window,
    blocs,
    calm_window,
    common_of,
    crisis_window,
    dependence,
    effects_table,
    estimate,
    estimates,
    exporter_home_gap,
    opening_basket,
    opening_of,
    paired_effects,
    price_series,
    seed_bands,
    yearly,
)
from experiments.measures.panel import Panel
from experiments.measures.replications import Asked, measured_months
from tests.synthetic_monthly import (
    CALM_EFFECT,
    CIRCLES,
    COUNTRIES,
    SHOCK,
    SHOCKED,
    START,
    synthetic_monthly,
)


@pytest.fixture(scope="module")
def monthly() -> pd.DataFrame:
    return synthetic_monthly(seeds=3, months=48)


@pytest.fixture(scope="module")
def exact() -> pd.DataFrame:
    """Without chance in the effect itself: only the common walk differs between seeds."""
    return synthetic_monthly(seeds=3, months=48, by_seed=0.0)


def test_common_noise_drops_out_of_the_paired_effect(exact: pd.DataFrame) -> None:
    table = paired_effects(exact, "landed_price", calm_window(exact)).set_index(
        ["membership", "country"]
    )
    for membership in ("washington", "forge"):
        for country in COUNTRIES:
            inside = country in CIRCLES[membership]
            truth = 100 * (CALM_EFFECT[membership] - 1) if inside else 0.0
            row = table.loc[(membership, country)]
            assert row["mean"] == pytest.approx(truth, abs=1e-9)
            assert row["high"] - row["low"] == pytest.approx(0.0, abs=1e-9)


def test_interval_is_that_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(2)
    without, with_ = rng.normal(5, 1, 8), rng.normal(5.5, 1, 8)
    found = estimate(with_ - without, "points")
    expected = stats.ttest_rel(with_, without).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == 8


def test_log_ratio_is_symmetric_and_in_percent() -> None:
    found = estimate(np.log([0.5, 2.0]), "%", relative=True)
    assert found.mean == pytest.approx(0.0)
    assert (1 + found.low / 100) * (1 + found.high / 100) == pytest.approx(1.0)


def test_one_seed_has_a_mean_but_no_interval() -> None:
    found = estimate(np.array([np.nan, 3.0]), "points")
    assert (found.mean, found.n) == (3.0, 1)
    assert not found.has_interval
    assert not found.clear


def test_price_effect_is_the_cost_ratio_of_the_opening_basket(monthly: pd.DataFrame) -> None:
    """The same index by pandas, row by row."""
    window = crisis_window(SHOCK, START, 12)
    calm = monthly[(monthly.membership == "none") & (monthly.shock == "none")]
    keys = ["mineral", "country"]
    opening = calm[calm.month.astype(str) < "2026"].groupby(keys, observed=True)["purchases_t"]
    basket = opening.mean()
    run = monthly[(monthly.shock == SHOCK) & monthly.mineral.isin(SHOCKED)]
    run = run[run.month.astype(str).between(window.start, window.end)]
    run = run[run.country.isin(CIRCLES["washington"])]
    weight = basket.reindex(pd.MultiIndex.from_frame(run[keys])).to_numpy()
    cost = (
        run.assign(cost=weight * run["landed_price_usd_per_kg"])
        .groupby(["membership", "seed"], observed=True)["cost"]
        .sum()
    )
    logs = np.log(cost["washington"] / cost["none"])
    table = paired_effects(
        monthly, "landed_price", window, by=("bloc",), roles=COUNTRIES, minerals=SHOCKED
    )
    row = table[(table.membership == "washington") & (table.bloc == "members")].iloc[0]
    assert row["mean"] == pytest.approx(100 * (np.exp(logs.mean()) - 1))
    assert row["median"] == pytest.approx(100 * (np.exp(logs.median()) - 1))


def test_months_without_a_price_leave_both_runs(exact: pd.DataFrame) -> None:
    holed = exact.copy()
    high = (holed.membership == "forge") & (holed.month == "2026-05")
    holed.loc[high, "landed_price_usd_per_kg"] = np.nan
    table = paired_effects(holed, "landed_price", calm_window(holed), by=("bloc",), roles=COUNTRIES)
    row = table[(table.membership == "forge") & (table.bloc == "members")].iloc[0]
    assert row["mean"] == pytest.approx(100 * (CALM_EFFECT["forge"] - 1))


def test_share_is_tonnes_over_tonnes_then_averaged_by_opening_expenditure() -> None:
    rows = []
    for membership, shares in (("none", (0.8, 0.2)), ("club", (0.6, 0.1))):
        for mineral, price, tonnes, share in zip(
            ("dear", "cheap"), (30.0, 1.0), (1.0, 10.0), shares, strict=True
        ):
            for month in ("2025-01", "2025-02"):
                rows.append(
                    {"membership": membership, "shock": "none", "seed": 0, "month": month}
                    | {"mineral": mineral, "stage": "refined", "country": "USA"}
                    | {"member": membership == "club", "landed_price_usd_per_kg": price}
                    | {"purchases_t": tonnes, "non_allied_share": share}
                )
    table = paired_effects(pd.DataFrame(rows), "non_allied_share", Window("calm", "none", "0", "9"))
    assert table["mean"].item() == pytest.approx(100 * (0.75 * -0.2 + 0.25 * -0.1))
    assert table["level_without"].item() == pytest.approx(100 * (0.75 * 0.8 + 0.25 * 0.2))


def test_order_of_rows_and_kind_of_columns_do_not_matter(monthly: pd.DataFrame) -> None:
    texts = ["membership", "shock", "month", "mineral", "stage", "country"]
    shuffled = monthly.sample(frac=1, random_state=1).astype(dict.fromkeys(texts, str))
    window = crisis_window(SHOCK, START, 12)
    tables = [
        paired_effects(m, "unmet_share", window, by=("bloc", "mineral"), roles=COUNTRIES)
        for m in (monthly, shuffled)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_every_country_is_in_one_bloc() -> None:
    sets = blocs(list(COUNTRIES), CIRCLES["washington"], COUNTRIES)
    assert sets["members"] == ("USA", "EU27", "JPN")
    assert sets["other allied"] == ("KOR",)
    assert sets["non-allied"] == ("CHN",)
    assert sorted(c for codes in sets.values() for c in codes) == sorted(COUNTRIES)


def test_effects_table_holds_every_split(monthly: pd.DataFrame) -> None:
    windows = [calm_window(monthly), crisis_window(SHOCK, START, 12)]
    table = effects_table(monthly, windows, COUNTRIES, minerals={"crisis": SHOCKED})
    assert set(table.window) == {"calm", "crisis"}
    assert set(table.measure) == {"landed_price", "non_allied_share", "unmet_share"}
    assert not table.duplicated(
        ["membership", "window", "measure", "country", "bloc", "mineral"]
    ).any()
    crisis = table[(table.window == "crisis") & (table.mineral != "all")]
    assert set(crisis.mineral) == set(SHOCKED)
    assert (table.low <= table["mean"]).all()
    assert (table["mean"] <= table.high).all()


def test_yearly_price_is_the_unit_value(monthly: pd.DataFrame) -> None:
    table = yearly(monthly)
    priced = 1000 * table["landed_price_usd_per_kg"] * table["purchases_t"]
    np.testing.assert_allclose(priced, table["outlay_usd"], rtol=1e-12)
    assert table["purchases_t"].sum() == pytest.approx(monthly["purchases_t"].sum())
    assert table["cover_months"].eq(2.0).all()


def test_home_gap_is_members_price_over_home_price(exact: pd.DataFrame) -> None:
    gap = exporter_home_gap(exact, "CHN", shock="none", minerals=["gallium"], members=["USA"])
    first = gap[gap.membership == "none"]["gap"]
    np.testing.assert_allclose(first, 1 / 0.85, rtol=1e-9)


def test_group_price_lies_between_those_of_its_countries(monthly: pd.DataFrame) -> None:
    groups = {"a": ["USA"], "b": ["JPN"], "ab": ["USA", "JPN"]}
    table = price_series(monthly, groups, "CHN", shock=SHOCK, minerals=["gallium"])
    keys = ["membership", "seed", "month"]
    wide = table.pivot(index=keys, columns="group", values="usd_per_kg")
    assert (wide["ab"] > wide[["a", "b"]].min(axis=1)).all()
    assert (wide["ab"] < wide[["a", "b"]].max(axis=1)).all()


def test_bands_are_nested_and_count_seeds(monthly: pd.DataFrame) -> None:
    prices = price_series(monthly, {"members": ["USA"]}, "CHN", shock=SHOCK)
    bands = seed_bands(prices, "usd_per_kg")
    ordered = bands[["p025", "p10", "median", "p90", "p975"]].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert (bands.n == 3).all()


def test_dependence_falls_as_written(exact: pd.DataFrame) -> None:
    table = dependence(exact, {"USA": ["USA"]}, shock="none", minerals=["gallium"])
    value = table.set_index(["membership", "period"])["share"]
    months = np.arange(48)
    share = 0.9 * 0.7 * (1 - 0.15 * months / 48)
    assert value["none", "first"] == pytest.approx(100 * share[:12].mean())
    assert value["none", "last"] == pytest.approx(100 * share[-12:].mean())


def test_headline_finds_the_known_effects(exact: pd.DataFrame) -> None:
    found = headline(exact, START, SHOCKED, "CHN", roles=COUNTRIES)
    assert [f.membership for f in found.findings] == ["washington", "forge"]
    small, wide = found.findings
    assert small.price_calm is not None
    assert small.price_calm.mean == pytest.approx(-3.0)
    assert small.outsiders_price_shock is not None
    assert small.outsiders_price_shock.mean == pytest.approx(0.0)
    assert wide.price_shock is not None
    assert small.price_shock is not None
    assert wide.price_shock.mean < small.price_shock.mean < -3.0
    # the jump written into the table peaks in its tenth month, the home price falls with it
    assert small.months_to_peak == 9
    assert small.peak_month == "2028-01"
    since = np.arange(21)
    jump = (1.2 * np.exp(-since / 30) * (1 - np.exp(-(since + 1) / 5))).max()
    assert small.peak_multiple is not None
    assert small.peak_multiple_without is not None
    assert small.peak_multiple_without.mean == pytest.approx(np.exp(jump))
    assert small.peak_multiple.mean == pytest.approx(np.exp(0.8 * jump))
    assert found.home_price_shock is not None
    assert found.home_price_shock.high < 0


@pytest.mark.parametrize("shock", ["none", SHOCK])
def test_headline_with_one_kind_of_run_leaves_the_rest_out(
    monthly: pd.DataFrame, shock: str
) -> None:
    found = headline(monthly[monthly.shock == shock], START, SHOCKED, "CHN")
    first = found.findings[0]
    assert (first.price_calm is None) == (shock != "none")
    assert (first.price_shock is None) == (shock == "none")
    assert (first.peak_multiple is None) == (shock == "none")


def test_shock_after_the_horizon_is_no_shock(monthly: pd.DataFrame) -> None:
    assert headline(monthly, "2050-01", SHOCKED, "CHN").shock is None


def test_basket_ignores_what_the_shock_does_later(monthly: pd.DataFrame) -> None:
    panel = Panel(monthly)
    changed = monthly.copy()
    changed.loc[changed.month.astype(str) >= "2026", "purchases_t"] *= 7
    for before, after in zip(
        opening_basket(panel, panel.markets),
        opening_basket(changed, panel.markets),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)


def test_many_groups_are_summarised_together_as_each_would_be_alone() -> None:
    """Groups of other sizes, mixed, with gaps and one with nothing known; SciPy says the rest."""
    draw = np.random.default_rng(5)
    of_group = draw.permutation(np.repeat(np.arange(6), [1, 4, 9, 9, 5, 3]))
    values = draw.normal(size=of_group.size)
    values[draw.random(values.size) < 0.2] = np.nan
    values[of_group == 5] = np.nan
    relative = np.array([False, True, False, True, False, False])
    numbers, count = estimates(values, of_group, relative)
    for group in range(6):
        known = values[of_group == group]
        known = known[np.isfinite(known)]
        assert count[group] == known.size
        if not known.size:
            assert np.isnan(numbers[group]).all()
            continue
        expected = [known.mean(), np.nan, np.nan, *np.quantile(known, [0.5, 0.1, 0.9])]
        if known.size > 1:
            expected[1:3] = stats.t.interval(0.95, known.size - 1, known.mean(), stats.sem(known))
        shown = 100.0 * np.expm1(expected) if relative[group] else expected
        np.testing.assert_allclose(numbers[group], shown, rtol=1e-12)


def test_seeds_measured_one_by_one_add_up_to_all_of_them(monthly: pd.DataFrame) -> None:
    """What seeds share is gathered first; then each is measured without the others."""
    openings = [opening_of(Panel(rows)) for _, rows in monthly.groupby("seed")]
    common, whole = common_of(openings), Panel(monthly)
    assert common.circles == whole.circles
    np.testing.assert_allclose(
        opening_basket(Panel(monthly, common), whole.markets),
        opening_basket(whole, whole.markets),
        rtol=1e-12,
    )
    windows = (calm_window(monthly), crisis_window(SHOCK, START))
    about = Subject(SHOCK, START, tuple(SHOCKED), "CHN", COUNTRIES)
    months = tuple(whole.months)
    asked = Asked(months, about, COUNTRIES, windows, {"crisis": tuple(SHOCKED)}, {}, 0.5)
    single: dict[str, list[pd.DataFrame]] = {}
    for _, rows in monthly.groupby("seed"):
        for name, table in measured_months(Panel(rows, common), asked):
            single.setdefault(name, []).append(table)
    for name, table in measured_months(whole, asked):
        keys = [column for column in table if not pd.api.types.is_float_dtype(table[column])]
        found, expected = (
            one.astype(dict.fromkeys(keys, str)).sort_values(keys).reset_index(drop=True)
            for one in (pd.concat(single[name]), table)
        )
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-10, obj=name)


def test_errors_say_what_to_do(monthly: pd.DataFrame) -> None:
    window = calm_window(monthly)
    with pytest.raises(ValueError, match=r"'luck'.*landed_price"):
        paired_effects(monthly, "luck", window)
    with pytest.raises(ValueError, match="add 'none'"):
        paired_effects(monthly[monthly.membership != "none"], "landed_price", window)
    with pytest.raises(ValueError, match="lacks the column 'unmet_t'"):
        paired_effects(monthly.drop(columns="unmet_t"), "unmet_share", window)
    with pytest.raises(ValueError, match="two rows"):
        paired_effects(pd.concat([monthly, monthly.tail(1)]), "landed_price", window)
    with pytest.raises(ValueError, match="'unobtainium'"):
        paired_effects(monthly, "landed_price", window, minerals=["unobtainium"])
    with pytest.raises(ValueError, match="roles"):
        paired_effects(monthly, "landed_price", window, by=("bloc",))

"""Studies: their arithmetic against figures worked out by hand, and each of them run small."""

import pickle
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_run import configuration

from abm.config import ConfigError, Control, check
from abm.tables import Tables
from abm.world import build_world
from experiments.engine.workers import Workers
from experiments.ensemble import PROJECT
from experiments.sensitivity import study as sensitivity
from experiments.studies import (
    instrument_figures,
    instruments,
    mechanisms,
    multiple_tests,
    standoff,
)
from experiments.studies.instruments import (
    NAMES,
    contributions,
    cost_effectiveness,
    summary,
    variants,
)
from experiments.studies.mechanisms import ablation, headline_effects
from experiments.studies.registry import STUDIES
from experiments.study import (
    Cell,
    check_cells,
    run_cell,
    run_study,
    what_it_costs,
    with_settings,
)

TINY = [
    "world.minerals=[gallium]",
    "horizon.years=2",
    "seeds=2",
    "workers=1",
    "shock.minerals=[gallium]",
    "shock.announced=2026-01",
    "shock.start=2026-01",
    "shock.end=",
]


# Instruments ----------------------------------------------------------------------------------


def outcomes_of(worth: dict[str, dict[str, float]], seeds: int = 3) -> pd.DataFrame:
    """Outcomes in which every instrument adds its own amount to each measure."""
    rows = []
    for variant, switches in variants().items():
        on = [name for name in NAMES if switches[f"instruments.{name}.active"]]
        for seed in range(seeds):
            for measure, base in (
                ("price", 2.0),
                ("dependence", 60.0),
                ("treasury", 0.0),
                ("consumers", 0.0),
                ("producers", 0.0),
                ("rents", 0.0),
            ):
                added = sum(worth.get(name, {}).get(measure, 0.0) for name in on)
                level = base * np.exp(added) if measure == "price" else base + added
                noise = 0.01 * seed * (measure == "price")
                rows.append((variant, "export_ban", seed, measure, level * (1 + noise)))
    columns = ["instruments", "shock", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_each_instrument_is_credited_with_what_it_adds() -> None:
    worth = {
        "stockpiles": {"price": -0.1, "treasury": -3e6, "consumers": 1e6},
        "investment_fund": {"dependence": -4.0, "treasury": -8e6, "producers": 2e6},
    }
    found = summary(contributions(outcomes_of(worth))).set_index(["instrument", "role", "measure"])
    for role in ("alone", "in the package"):
        price = found.loc[("stockpiles", role, "price"), "mean"]
        assert price == pytest.approx(100 * np.expm1(-0.1))
        assert found.loc[("stockpiles", role, "public_cost"), "mean"] == pytest.approx(3.0)
        assert found.loc[("stockpiles", role, "net_cost"), "mean"] == pytest.approx(2.0)
        assert found.loc[("standards", role, "price"), "mean"] == pytest.approx(0.0)
    assert found.loc[("all", "alone", "dependence"), "mean"] == pytest.approx(-4.0)


def test_dollars_a_point_need_points() -> None:
    worth = {
        "investment_fund": {"dependence": -4.0, "treasury": -8e6, "producers": 2e6},
        "stockpiles": {"dependence": -0.01, "treasury": 1e6},  # a gain for next to nothing
    }
    costs = cost_effectiveness(contributions(outcomes_of(worth))).set_index("instrument")
    fund = costs.loc["Investment fund"]
    assert fund["public_mn_usd_per_point"] == pytest.approx(2.0)
    assert fund["net_mn_usd_per_point"] == pytest.approx(1.5)
    assert fund["net_low"] == pytest.approx(1.5)
    assert (
        costs.drop(index=["Investment fund", "All together"])["net_mn_usd_per_point"].isna().all()
    )


def test_the_frontier_holds_what_nothing_beats() -> None:
    """Against every pair compared one by one, doing nothing among them."""
    effect, cost = (
        np.array([3.0, 1.0, 2.0, 3.0, -1.0, 0.5]),
        np.array([9.0, 2.0, 5.0, 8.0, 1.0, -1]),
    )
    options = [*zip(effect, cost, strict=True), (0.0, 0.0)]
    expected = [
        not any(other[0] >= mine[0] and other[1] <= mine[1] and other != mine for other in options)
        for mine in options[:-1]
    ]
    assert instruments.leading(effect, cost).tolist() == expected
    assert expected == [False, True, True, True, False, True]


def test_effects_and_costs_of_the_frontier_are_those_of_the_instruments() -> None:
    worth = {
        "investment_fund": {"dependence": -4.0, "treasury": -8e6, "producers": 2e6},
        "stockpiles": {"dependence": -1.0, "treasury": -9e6},
    }
    points = instruments.frontier_table(contributions(outcomes_of(worth)))
    rows = points[points["gain"] == "dependence"].set_index("instrument")
    assert rows.loc["investment_fund", ["effect", "cost", "frontier"]].tolist() == [4.0, 6.0, 1]
    assert rows.loc["stockpiles", "frontier"] == 0, "dearer, and buys less"
    assert rows.loc["all", ["effect", "cost", "frontier"]].tolist() == [5.0, 15.0, 1]
    assert len(instrument_figures.frontier_figure(points).axes) == len(instrument_figures.GAINS)


def test_shocks_are_told_apart_from_worlds_to_words() -> None:
    """Calm and two shocks in which different instruments help: each is credited under its own."""
    worth = {
        "calm": {"research": {"dependence": -2.0, "treasury": -4e6}},
        "licence": {"stockpiles": {"price": -0.1, "dependence": -1.0, "treasury": -3e6}},
        "export_ban": {"standards": {"price": -0.2, "dependence": -5.0, "treasury": -5e6}},
    }
    outcomes = pd.concat([outcomes_of(by).assign(shock=name) for name, by in worth.items()])
    found = instruments.answer(outcomes, None)
    table = found.tables["net_cost_of_a_point_of_dependence_avoided"].set_index(
        "Million US$ a year"
    )
    assert list(table.columns) == ["Calm", "Licences", "Export ban", "Mean of the shocks"]
    assert table.loc["Research and recycling"].tolist()[0] == pytest.approx(2.0)
    assert table.loc["Stockpiles"].tolist()[1] == pytest.approx(3.0)
    assert table.loc["Standards and tracing"].tolist()[2:] == pytest.approx([1.0, 1.0])
    assert table.drop(index="All together").notna().to_numpy().sum() == 5
    best, rest = found.sentences
    assert "of a shock (mean of licences and export ban), standards and tracing buys most" in best
    assert (
        "falls by 2.5 percentage points (95 % interval 2.5 to 2.5), each at a net cost of" in best
    )
    assert "of 1.0 million US$ a year (1.0 to 1.0), clearly ahead of the next, stockpiles" in best
    assert "falls clearly, and most, with standards and tracing alone (−9.5 %, " in rest
    assert "together change that price by −14 % (−14 to −14)" in rest
    for drawn, panels in zip(found.figures, (2, 4), strict=True):
        assert list(dict.fromkeys(drawn.table["shock"])) == list(worth)
        assert len(drawn.figure.axes) == panels * len(worth)


def test_the_answer_on_instruments_is_two_sentences_in_which_every_number_has_an_interval() -> None:
    """Under four shocks, with effects that differ by seed; what is not resolved is said to be."""
    draws, parts = np.random.default_rng(1), []
    for shock in ("calm", "export_ban", "export_quota", "export_tax", "licence"):
        worth = {
            "standards": {"price": -0.10, "dependence": -5.0, "treasury": -50e6},
            "research": {"price": -0.101, "dependence": -4.0, "treasury": -80e6},
            "price_floor": {"dependence": 3.0, "treasury": 9e6},
        }
        found = outcomes_of(worth, seeds=6)
        noise = draws.normal(0.0, 0.03, len(found)) * (found["instruments"] != "none")
        parts.append(found.assign(shock=shock, value=found["value"] * np.exp(noise)))
    said = instruments.answer(pd.concat(parts), None).sentences
    assert len(said) == 2
    assert "clearly ahead of the next, research and recycling at a cost of" in said[0]
    assert max(len(sentence) for sentence in said) < 480
    assert "), not clearly more than with" in said[1]
    numbers = re.findall(
        r"[−+]?[\d.,]+ (?:%|percentage points|million US\$ a year)", " ".join(said)
    )
    numbers.remove("95 %")
    intervals = re.findall(
        r"\((?:[^()]*, )?(?:95 % interval )?[−\d.,]+ to [−\d.,]+\)", " ".join(said)
    )
    assert len(numbers) == len(intervals) == 6


@pytest.mark.parametrize(
    ("lead", "words"), [(1.0, "clearly ahead of"), (0.01, "not clearly ahead")]
)
def test_what_pays_for_itself_buys_most_and_its_lead_is_tested(lead: float, words: str) -> None:
    """Gains for each point grow as points shrink: the larger gain leads, not the fewer points."""
    draws = np.random.default_rng(2)
    rows = []
    for seed in range(6):
        spent = {"standards": -50.0 * (1.0 + lead), "research": -50.0, "stockpiles": 20.0}
        avoided = {"standards": 5.0, "research": 1.0, "stockpiles": 9.0}
        for name in ("all", *NAMES):
            values = {
                "price": draws.normal(0.0, 0.01),
                "dependence": -avoided.get(name, 0.0),
                "net_cost": spent.get(name, 0.0) + draws.normal(0.0, 1.0),
                "public_cost": 0.0,
            }
            rows += [(name, "alone", "licence", seed, *item) for item in values.items()]
    columns = ["instrument", "role", "shock", "seed", "measure", "value"]
    mean = instruments.over_shocks(pd.DataFrame(rows, columns=columns))
    first, second = instruments._sentences(mean, ["licence"])
    assert "months of the licences, standards and tracing buys most" in first
    assert "each at a net gain of" in first
    assert words in first
    assert ("not clearly ahead" in first) == (lead < 0.1)
    assert "the next, research and recycling at a gain of" in first
    assert "clearly falls with none of them alone" in second


def test_an_instrument_that_is_clear_by_luck_among_nine_is_not_named() -> None:
    rows, pattern = [], np.array([1.0, -1.0, 2.0, -2.0])
    for number, name in enumerate(("all", *NAMES)):
        for seed, wobble in enumerate(pattern):
            lucky = 2.7 * (name == "standards")  # its own 95 % interval leaves out zero, just
            effect = -(wobble * (1 + 0.1 * number) / 2.0 + lucky)
            values = {"price": effect / 100, "dependence": effect, "net_cost": 5.0}
            rows += [(name, "alone", "licence", seed, *item) for item in values.items()]
    columns = ["instrument", "role", "shock", "seed", "measure", "value"]
    mean = pd.DataFrame(rows, columns=columns)
    own = mean[(mean["instrument"] == "standards") & (mean["measure"] == "dependence")]["value"]
    high = stats.t.interval(0.95, 3, own.mean(), stats.sem(own))[1]
    assert high < 0.0
    first, second = instruments._sentences(mean, ["licence"])
    assert "none of the 9 instruments alone clearly lowers members’ non-allied share" in first
    assert "clearly falls with none of them alone" in second


def test_numbers_of_dots_in_one_place_stand_apart() -> None:
    dots = np.concatenate([np.full((9, 2), 0.7), [[0.05, 0.05], [3.0, 1.4]]])
    places = instrument_figures.number_places(dots)
    gaps = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1))
    assert gaps[~np.eye(len(dots), dtype=bool)].min() >= instrument_figures.NEAR
    assert ((places > 0.0) & (places < instrument_figures.PANEL)).all()


def test_calm_worlds_serve_all_shocks_and_each_shock_is_that_of_its_own_study(
    real_tables: Tables,
) -> None:
    words = ["experiment=instruments", *TINY[:4]]
    dates = ("announced=2026-01", "start=2026-01", "end=", "minerals=[gallium]")
    both = ["shocks=[licence,export_ban]"]
    both += [f"shocks.{name}.{word}" for name in ("licence", "export_ban") for word in dates]
    config = configuration(*words, *both)
    world = build_world(real_tables, config.world)
    cells = instruments.instruments_study(config, world).cells
    count = len(variants())
    assert [cell.labels["shock"] for cell in cells] == [
        name for name in ("calm", "licence", "export_ban") for _ in range(count)
    ]
    alone = configuration(*words, "shock=licence", *(f"shock.{word}" for word in dates))
    single = instruments.instruments_study(alone, world).cells
    assert len(single) == 2 * count
    for one, other in zip(cells[1 : 2 * count : count], single[1::count], strict=True):
        tables = [run_cell(cell, instruments.window_outcomes, 1) for cell in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_calm_is_measured_of_the_minerals_under_any_shock() -> None:
    of = [Control(minerals=list(names)) for names in (("gallium",), ("cobalt", "gallium"))]
    assert instruments.minerals_under(of) == ["gallium", "cobalt"]
    for wide in (Control(minerals=["all"]), Control(family="rare_earths")):
        assert instruments.minerals_under([*of, wide]) == ["all"]


# Mechanisms -----------------------------------------------------------------------------------


def test_ablation_is_the_change_of_the_effect_of_membership() -> None:
    rows = []
    effect = {("none", "as configured"): -0.05, ("entry", "off"): -0.02, ("entry", "on"): -0.06}
    for (name, state), log_effect in effect.items():
        for seed in range(3):
            for alliance, share in ((mechanisms.ALONE, 0.0), (mechanisms.ALLIED, 1.0)):
                keys = (name, state, alliance, seed)
                rows.append((*keys, "2026-01", "price", np.exp(0.1 * seed + share * log_effect)))
                rows.append(
                    (*keys, "2026-01", "dependence", 50.0 + seed + 100 * share * log_effect)
                )
                rows.append((*keys, "2025-12", "price", 77.0))
    columns = ["mechanism", "switch", "alliance", "seed", "month", "measure", "value"]
    table = pd.DataFrame(rows, columns=columns).assign(shock="crisis")
    effects = headline_effects(table, "2026-01")
    table = ablation(effects, {"entry": "Entry (15)"})
    found = table.set_index(["mechanism", "measure"])
    price = 100 * (np.exp(-0.06) - np.exp(-0.02))
    assert found.loc[("entry", "price"), "mean"] == pytest.approx(price)
    assert found.loc[("entry", "dependence"), "mean"] == pytest.approx(-4.0)
    assert set(table["label"]) == {"Entry (15)"}


def test_the_ablation_covers_the_list_of_mechanisms_and_names_only_what_is_clear() -> None:
    """All of the eighteen but concentration and welfare, which are measured and not switched."""
    known = mechanisms.mechanisms(configuration("experiment=mechanisms"))
    assert {mechanism.number for mechanism in known.values()} == set(range(1, 19)) - {1, 18}
    page = (PROJECT / "docs" / "model.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+)\. ", page, flags=re.MULTILINE)
    assert [int(number) for number in listed] == list(range(1, 19))
    columns = ["mechanism", "label", "measure", "mean", "low", "high", "n"]
    worth = pd.DataFrame(
        [
            ("a", "Noise", "price", 9.0, -1.0, 19.0, 8),
            ("b", "Thrift", "price", -2.0, -2.5, -1.5, 8),
        ],
        columns=columns,
    )
    base = pd.DataFrame({"mechanism": "none", "price": [0.1, 0.2]})
    said = " ".join(mechanisms._sentences(base, worth))
    assert "1 of 2 mechanisms, all tested together" in said
    assert "Thrift (−2.0 points, −2.5 to −1.5)." in said
    assert "Noise" not in said


def test_luck_among_many_mechanisms_is_not_called_clear() -> None:
    """Effects of nothing, of which some leave out zero by themselves and none with all tested."""
    draws = np.random.default_rng(3).normal(0.0, 1.0, (46, 8))
    draws[7] += 6.0  # the one that is something, and not the largest
    draws[9] = 30.0 * draws[9]
    means, halves = draws.mean(axis=1), stats.sem(draws, axis=1) * stats.t.ppf(0.975, 7)
    table = pd.DataFrame({"mean": means, "low": means - halves, "high": means + halves, "n": 8})
    by_itself = np.flatnonzero((table["low"] > 0.0) | (table["high"] < 0.0))
    assert len(by_itself) > 1
    assert np.flatnonzero(mechanisms.clear(table)).tolist() == [7]
    expected = stats.ttest_1samp(draws, 0.0, axis=1).pvalue
    assert multiple_tests.p_values(table) == pytest.approx(expected)
    labels = [f"Mechanism {number}" for number in range(46)]
    told = table.assign(mechanism=labels, label=labels, measure="price")
    base = pd.DataFrame({"mechanism": "none", "price": [0.1, 0.2]})
    said = mechanisms._sentences(base, told)[1]
    assert said.startswith("1 of 46 mechanisms, all tested together (Holm’s correction), clearly")
    assert said.count("points") == 1
    said = mechanisms._sentences(base, told.drop(index=7))[1]
    assert said.startswith("None of 45 mechanisms")
    assert "the largest, Mechanism 9 (" in said


def test_p_values_of_holm_are_those_worked_out_by_hand() -> None:
    found = multiple_tests.holm(np.array([0.01, 0.04, 0.03, 0.005, 0.9]))
    assert found == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
    none = pd.DataFrame({"mean": [0.0, 2.0, 3.0], "low": [0.0, np.nan, 3.0],
                         "high": [0.0, np.nan, 3.0], "n": [4, 1, 4]})  # fmt: skip
    assert multiple_tests.p_values(none).tolist() == [1.0, 1.0, 0.0]


def test_levels_of_a_standoff_come_with_their_intervals() -> None:
    values = {("none", 0): 1.0, ("none", 1): 2.0, ("washington", 0): 3.0, ("washington", 1): 3.5}
    table = pd.DataFrame(
        [
            (alliance, seed, month, measure, 10.0 * value)
            for (alliance, seed), value in values.items()
            for month in ("2029-11", "2029-12")
            for measure in standoff.PANELS
        ],
        columns=["alliance", "seed", "month", "measure", "value"],
    )
    first = standoff._sentences(table, standoff.late_levels(table))[0]
    half = stats.t.ppf(0.975, 1) * 5.0
    assert f"15 % without an alliance (95 % interval −{half - 15:.0f} to {15 + half:.0f})" in first
    assert first.count("interval") == 1
    one = table[table["seed"] == 0]
    first = standoff._sentences(one, standoff.late_levels(one))[0]
    assert "30 % with the Washington six (one seed, so no interval)" in first


def test_a_share_of_variance_that_may_be_nothing_leads_no_result() -> None:
    columns = ["result", "parameter", "total", "total_low", "total_high"]
    found = pd.DataFrame(
        [(name, "behaviour.order_width", 0.6, 0.4, 0.8) for name in sensitivity.RESULTS],
        columns=columns,
    )
    found.loc[found["result"] == "peak", "total_low"] = -1.9
    screened = pd.DataFrame(
        {"result": list(sensitivity.RESULTS), "parameter": "order width", "mu_star": 1.0}
    )
    said = sensitivity._sentences(screened, found, 1)[0]
    assert "under the shock hangs most on order width (60 %, 40 to 80)" in said
    assert "the peak of the price hangs most on is not known" in said


def test_shares_beyond_what_a_share_can_be_are_said_and_shown_to_be_noise() -> None:
    """In the published table some are below zero; the words are those of 108 %, 3.2 to 212."""
    found = pd.read_csv(PROJECT / "docs" / "gallery" / "variance_shares.csv")
    figure = sensitivity.shares_figure(found)
    for result, axes in zip(sensitivity.RESULTS, figure.axes, strict=True):
        drawn = found[found["result"] == result].drop(columns=["result", "parameter"])
        low, high = axes.get_xlim()
        assert low < 100.0 * drawn.to_numpy().min() < 0.0
        assert max(100.0 * drawn.to_numpy().max(), 100.0) < high
        shaded = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
        assert shaded == [pytest.approx((low, 0.0)), pytest.approx((100.0, high))]
    (key,) = figure.legends
    assert "noise of the estimate" in key.get_texts()[-1].get_text()
    screened = pd.DataFrame(
        {"result": list(sensitivity.RESULTS), "parameter": "order width", "mu_star": 1.0}
    )
    share = ["total", "total_low", "total_high"]
    crisis = found["result"] == "effect_crisis"
    found.loc[crisis, share] = (0.2, 0.1, 0.5)
    found.loc[crisis & (found["parameter"] == "behaviour.trend_memory"), share] = (
        1.08,
        0.032,
        2.12,
    )
    said = sensitivity._sentences(screened, found, 1)[0]
    assert "trend memory (108 %, above 100 by noise of the estimate, 3.2 to 212) or on" in said
    assert "3.2 to 212) or on one of 9 others whose intervals overlap; " in said
    largest = 100.0 * found.loc[found["result"] == "effect_calm", "total"].max()
    assert f"power ({largest:.0f} % of the variance with interactions, 95 % interval" in said


@pytest.mark.parametrize("years", [2, 4, 5, 6, 8, 10, 12, 15, 20])
def test_dates_below_the_mechanisms_keep_apart(years: int) -> None:
    """As seen in the narrowest figure, whatever the horizon."""
    months = pd.period_range("2025-01", periods=12 * years, freq="M").astype(str)
    part = pd.DataFrame({"month": months, "median": 1.0, "p10": 0.0, "p90": 2.0})
    parts = [
        part.assign(mechanism=name, label=name, alliance=mechanisms.ALLIED, shock="crisis",
                    start="2026-01", measure="price")
        for name in ("a", "b", "c", "d")
    ]  # fmt: skip
    figure = mechanisms.mechanisms_figure(pd.concat(parts))
    figure.draw_without_rendering()
    for axes in figure.axes:
        shown = [label for label in axes.get_xticklabels() if label.get_text()]
        boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)
        assert len(boxes) >= 2
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_every_switch_names_a_setting() -> None:
    config = configuration("experiment=mechanisms")
    for mechanism in mechanisms.mechanisms(config).values():
        for value in (0, 1):
            changes = {name: pair[value] for name, pair in mechanism.switches.items()}
            with_settings(config, {**mechanism.ground, **changes})
        assert mechanism.shown in mechanisms.MEASURES


# The engine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "years", "processes", "said"),
    [
        (240, 1, 1, "240 worlds of 1 year: about 1 minute on 1 process, if"),
        (13_000, 5, 2, "13,000 worlds of 5 years: about 54 minutes on 2 processes, if"),
        (200, 1, 8, "200 worlds of 1 year: about 1 minute on 8 processes, if"),
    ],
)
def test_what_a_study_costs_is_said_in_words(
    runs: int, years: int, processes: int, said: str
) -> None:
    assert what_it_costs(runs, years, 0.1, processes).startswith(said)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no setting instruments\.price_floor\.actve"):
        with_settings(configuration(), {"instruments.price_floor.actve": True})


def test_shocks_to_compare_are_refused_where_none_are_compared() -> None:
    with pytest.raises(ConfigError, match=r"shocks holds licence.*shock=licence"):
        check(configuration("shocks=licence"))
    with pytest.raises(ConfigError, match=r"shocks\.licence\.rate is 9"):
        check(configuration("experiment=instruments", "shocks.licence.rate=9"))
    with pytest.raises(ConfigError, match=r"shocks\.licence\.end is 2026-01, not after its start"):
        check(configuration("experiment=instruments", "shocks.licence.end=2026-01"))


def test_settings_of_one_cell_leave_the_others_alone() -> None:
    config = configuration()
    changed = with_settings(config, {"instruments.stockpiles.active": False})
    assert config.instruments.stockpiles.active
    assert not changed.instruments.stockpiles.active


def test_a_cell_under_a_seed_is_the_same_again() -> None:
    config = configuration(*TINY, "membership=washington")
    cell = Cell({"alliance": "washington"}, config, "washington", True, ("USA", "JPN"))
    tables = [run_cell(cell, instruments.window_outcomes, 1) for _ in range(2)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert (tables[0]["seed"] == 1).all()


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["experiment=instruments", "shocks=none"], "shock=export_ban, or several"),
        (["experiment=instruments", "shock.start=2028-01"], "shock=none; name it too"),
        (["experiment=instruments"], r"shocks\.export_ban\.minerals contains"),
        (
            ["experiment=instruments", "shocks=licence", "shocks.licence.instrument=none"],
            "is no shock",
        ),
        (["experiment=instruments", "membership=washington_and_forge"], "membership=washington"),
        (["experiment=standoff", "producers=off"], "producers=strategic"),
        (["experiment=standoff", "membership=none"], "membership=washington_and_forge"),
        (["experiment=mechanisms", "shock=none"], "membership=washington shock=export_ban"),
        (["experiment=sensitivity", "shock=none"], "membership=washington shock=export_ban"),
    ],
)
def test_a_study_without_what_it_compares_is_refused(
    words: list[str], cure: str, real_tables: Tables
) -> None:
    config = configuration(*words, "world.minerals=[gallium]")
    world = build_world(real_tables, config.world)
    with pytest.raises(ConfigError, match=cure):
        STUDIES[config.question](config, world)


@pytest.mark.parametrize("question", ["accession", "instruments", "mechanisms", "phase"])
def test_a_shock_that_the_run_does_not_reach_is_refused(question: str, real_tables: Tables) -> None:
    """Nothing could be measured under it, and means of nothing are no numbers."""
    several = ["shocks=export_ban", "shocks.export_ban.minerals=[gallium]"]
    named = several if question == "instruments" else ["shock.minerals=[gallium]"]
    words = [f"experiment={question}", "world.minerals=[gallium]", *named]
    config = configuration(*words, "horizon.years=3")
    world = build_world(real_tables, config.world)
    check_cells(STUDIES[config.question](config, world).cells, world)
    config = configuration(*words, "horizon.years=2")
    with pytest.raises(ConfigError, match="export_ban starts in 2027-01, but the run ends in 2026"):
        check_cells(STUDIES[config.question](config, world).cells, world)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some instruments and mechanisms in place of all: with and without ground or members."""
    monkeypatch.setattr(instruments, "NAMES", ("stockpiles", "investment_fund"))
    everything = mechanisms.mechanisms
    kept = ("review", "stockpiles", "research", "shipping")
    factors = sensitivity.factors_of
    some = {"behaviour.hoarding", "world.positions.demand_elasticity"}
    monkeypatch.setattr(
        sensitivity,
        "factors_of",
        lambda *known: [factor for factor in factors(*known) if factor.setting in some],
    )
    monkeypatch.setattr(
        mechanisms, "mechanisms", lambda config: {name: everything(config)[name] for name in kept}
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process is asked to do must bear being sent to it, though here there is but one."""
    submit = Workers.submit

    def packed(self: Workers, work: Any, *arguments: Any) -> Any:
        pickle.dumps((work, arguments))
        return submit(self, work, *arguments)

    monkeypatch.setattr(Workers, "submit", packed)


@pytest.mark.usefixtures("few_rows", "sent", "sketched")
@pytest.mark.parametrize("question", ["instruments", "standoff", "mechanisms", "sensitivity"])
def test_every_study_runs_in_a_tiny_world(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command's settings to a report, with every figure and the table behind it."""
    words = TINY if question != "standoff" else TINY[:4]
    if question == "instruments":
        words = [*TINY, "shock=export_ban"]
    if question == "sensitivity":
        words = [*TINY, *(f"sensitivity.{name}=2" for name in ("trajectories", "base_samples"))]
    config = configuration(f"experiment={question}", *words)
    report = run_study(config, tmp_path / "results", STUDIES[config.question])
    page = report.read_text(encoding="utf-8")
    said = capsys.readouterr().out.strip()
    assert said
    assert "nan" not in said
    figures = report.parent / "figures"
    for path in figures.glob("*.png"):
        assert path.with_suffix(".pdf").exists()
        assert len(pd.read_csv(path.with_suffix(".csv")))
    assert page.count("data:image/png;base64,") == len(list(figures.glob("*.png"))) > 0
    outcomes = pd.read_parquet(report.parent / "outcomes.parquet")
    assert set(outcomes["seed"]) == {0, 1}
    assert np.isfinite(outcomes["value"]).all()


def test_a_figure_can_be_drawn_again_from_its_saved_table(tmp_path: Path) -> None:
    table = summary(contributions(outcomes_of({"stockpiles": {"price": -0.1}})))
    table.to_csv(tmp_path / "instruments.csv", index=False)
    again = instrument_figures.instruments_figure(pd.read_csv(tmp_path / "instruments.csv"))
    assert len(again.axes) == len(instrument_figures.HEADS)
    months = [f"2026-{month:02d}" for month in range(1, 13)]
    rows = [
        (alliance, measure, month, 0.9, 1.0, 1.1)
        for alliance in ("none", "washington")
        for measure in standoff.PANELS
        for month in months
    ]
    columns = ["alliance", "measure", "month", "p10", "median", "p90"]
    drawn = standoff.standoff_figure(pd.DataFrame(rows, columns=columns))
    assert len(drawn.axes) == len(standoff.PANELS)

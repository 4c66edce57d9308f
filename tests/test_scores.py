"""The vocabulary of observed figures against a hand-made record, the table's checks, the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from abm.config import ConfigError, Horizon
from abm.world import World
from experiments.scores import (
    COLUMNS,
    MEASURES,
    MOST,
    Figure,
    Scale,
    Trace,
    ranked_score,
    read_observed,
    score_figure,
    simulated,
    summary,
)

MONTHS = 24
GALLIUM = ("gallium", "refined")
ROW = {
    "name": "one", "measure": "price_multiple", "mineral": "gallium", "stage": "refined",
    "place": "abroad", "against": "", "window_start": "2025-07", "window_end": "2025-12",
    "base_start": "2024-01", "base_end": "2024-12", "value": "2", "low": "1.8", "high": "2.2",
    "unit": "ratio", "used_for": "check", "source": "invented", "status": "estimated",
}  # fmt: skip


@pytest.fixture(scope="module")
def trace(tiny_world: World) -> Trace:
    """China sells gallium to the others: prices rise to month 6, and have halved in month 10."""
    world = tiny_world
    shape = (MONTHS, len(world.markets), len(world.countries))
    names = ("landed_price_usd_per_kg", "origin_price_usd_per_kg", "purchases_t", "output_t",
             "use_t", "buyer_stock_t", "strategic_stock_t", "import_reliance")  # fmt: skip
    measures = {name: np.zeros(shape) for name in names}
    row, chn, usa, aus = (
        world.market(*GALLIUM),
        world.country("CHN"),
        world.country("USA"),
        world.country("AUS"),
    )
    path = np.full(MONTHS, 2.0)
    path[:12] = [10, 10, 10, 10, 20, 30, 40, 35, 30, 25, 20, 10]
    measures["landed_price_usd_per_kg"][:, row, :] = path[:, None]
    measures["landed_price_usd_per_kg"][:, row, aus] *= 2.0
    measures["origin_price_usd_per_kg"][:, row, :] = np.nan
    measures["origin_price_usd_per_kg"][:, row, chn] = 5.0
    measures["purchases_t"][:, row, usa] = 3.0
    measures["purchases_t"][:, row, aus] = 1.0
    measures["import_reliance"][:, row, :] = 0.5
    measures["output_t"][:, row, chn] = np.linspace(10.0, 33.0, MONTHS)
    measures["output_t"][:, row, usa] = 10.0
    measures["use_t"][:, row, usa] = np.where(np.arange(MONTHS) < 12, 4.0, 3.0)
    measures["buyer_stock_t"][:, row, usa] = 6.0
    measures["strategic_stock_t"][12:, row, usa] = 3.0
    declared = np.zeros((MONTHS, *world.flow.shape))
    declared[:12, row, chn, usa] = 1.0
    declared[12:, row, chn, usa] = 0.5
    declared[:, row, chn, aus] = 0.25
    declared[:, row, chn, chn] = 100.0
    limits = {"quota": np.column_stack([np.full(MONTHS, 3.0), np.full(MONTHS, 4.0)])}
    return Trace(world, "2025-01", measures, declared, limits)


def figure(**changes: object) -> Figure:
    usual = Figure(
        "one", "price_multiple", *GALLIUM, "USA", "", (6, 11), (0, 0), 2.0, 1.8, 2.2, "ratio",
        "check", "invented", "estimated",
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (40 + 35 + 30 + 25 + 20 + 10) / 6 / 10),
        ({"base": (4, 5)}, (40 + 35 + 30 + 25 + 20 + 10) / 6 / 25),
        ({"measure": "price_peak_multiple", "window": (0, 23)}, 4.0),
        ({"measure": "price_gap", "against": "home", "window": (0, 3)}, 2.0),
        ({"measure": "price_gap", "place": "AUS", "against": "USA"}, 2.0),
        ({"measure": "price_gap", "place": "abroad", "against": "home", "window": (0, 3)}, 2.5),
        ({"measure": "peak_month", "window": (0, 23)}, 6.0),
        ({"measure": "peak_month", "window": (8, 23)}, 8.0),
        ({"measure": "months_to_half", "window": (0, 23)}, 4.0),
        ({"measure": "months_to_half", "place": "home", "window": (0, 23)}, 24.0),
        ({"measure": "output_share", "place": "CHN", "window": (0, 0)}, 0.5),
        ({"measure": "output_share", "place": "abroad", "window": (23, 23)}, 10.0 / 43.0),
        ({"measure": "output_multiple", "place": "CHN", "window": (10, 10)}, 2.0),
        ({"measure": "output_multiple", "place": "world", "window": (20, 20)}, 2.0),
        ({"measure": "import_multiple"}, 1.0),
        ({"measure": "import_multiple", "against": "CHN", "window": (12, 23)}, 0.5),
        ({"measure": "import_share", "against": "CHN"}, 1.0 / 1.5),
        ({"measure": "import_share", "against": "AUS"}, 0.0),
        ({"measure": "export_multiple", "place": "CHN", "window": (12, 12)}, 0.75 / 1.25),
        ({"measure": "export_multiple", "place": "CHN", "against": "AUS"}, 1.0),
        ({"measure": "use_multiple", "window": (12, 23)}, 0.75),
        ({"measure": "stock_multiple", "window": (12, 23)}, 1.5),
        ({"measure": "quota_used", "place": "CHN", "against": "quota"}, 0.75),
    ],
)
def test_every_measure_of_a_record_made_by_hand(
    trace: Trace, changes: dict[str, object], expected: float
) -> None:
    assert simulated(trace, figure(**changes)) == pytest.approx(expected)


def test_every_word_of_the_vocabulary_is_tested() -> None:
    marks = test_every_measure_of_a_record_made_by_hand.pytestmark  # type: ignore[attr-defined]
    tested = {changes.get("measure", "price_multiple") for changes, _ in marks[0].args[1]}
    assert tested == set(MEASURES)


def test_a_family_is_a_basket_of_opening_purchases(trace: Trace) -> None:
    """All refined minerals: a fixed basket, so only a price that moves moves it."""
    flow = trace.world.flow.sum(axis=1)[:, trace.world.country("USA")]
    rows = [trace.world.market(*GALLIUM), trace.world.market("graphite", "refined")]
    steady = dict(trace.measures)
    price = steady["landed_price_usd_per_kg"].copy()
    price[:, rows[1]] = 1.0
    steady["landed_price_usd_per_kg"] = price
    found = simulated(replace(trace, measures=steady), figure(mineral="all", window=(6, 6)))
    assert found == pytest.approx(
        (40.0 * flow[rows[0]] + flow[rows[1]]) / (10.0 * flow[rows[0]] + flow[rows[1]])
    )


# The table ------------------------------------------------------------------------------------


def table_of(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "observed.csv"
    pd.DataFrame(list(rows), columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def read(path: Path, world: World) -> list[Figure]:
    return read_observed(path, world, Horizon("2025-01", 2), ["quota"])


def test_a_table_is_read_to_months_of_the_run(tmp_path: Path, tiny_world: World) -> None:
    dated = ROW | {"name": "two", "measure": "peak_month", "value": "2025-09", "low": "",
                   "high": "2025-12", "base_start": "", "base_end": ""}  # fmt: skip
    first, second = read(table_of(tmp_path, ROW, dated), tiny_world)
    assert (first.window, first.base) == ((6, 11), (0, 0))
    assert (first.value, first.low, first.high) == (2.0, 1.8, 2.2)
    assert (second.value, second.low, second.high) == (8.0, 7.0, 11.0)


def test_a_usual_error_stands_for_a_missing_range(tmp_path: Path, tiny_world: World) -> None:
    (only,) = read(table_of(tmp_path, ROW | {"low": "", "high": ""}), tiny_world)
    assert (only.low, only.high) == pytest.approx((2.0 / 1.1, 2.2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measure": "price"}, "measure is 'price'; choose from price_multiple"),
        ({"mineral": "tin"}, "there is no refined market of 'tin' in this world"),
        ({"stage": "mined"}, "there is no mined market of 'gallium'"),
        ({"place": "Mars"}, "place is 'Mars'; give a country code"),
        ({"measure": "price_gap"}, "against is ''; give a country code"),
        ({"against": "USA"}, "against is 'USA', but price_multiple takes none"),
        ({"measure": "quota_used", "against": "tax"}, "against is 'tax', which is no control"),
        ({"window_start": "July"}, "window_start is 'July'; give a month as YYYY-MM"),
        ({"window_end": "2027-01"}, "window_end is 2027-01, outside the run and its opening year"),
        ({"base_start": "2023-12"}, "base_start is 2023-12, outside the run"),
        ({"window_end": "2025-06"}, "window_end is 2025-06, before window_start"),
        ({"value": "much"}, "value is 'much'; give a number"),
        ({"value": "0"}, "value is 0; a multiple is above zero"),
        ({"value": "3"}, "value 3 is not between low 1.8 and high 2.2"),
        ({"measure": "peak_month"}, "value is '2'; give a month as YYYY-MM"),
        ({"used_for": "fun"}, "used_for is 'fun'; choose from calibration, check"),
        ({"source": ""}, "source is empty; fill it in"),
        ({"name": "zero"}, "name 'zero' stands twice"),
    ],
)
def test_a_wrong_row_is_named(
    tmp_path: Path, tiny_world: World, changes: dict[str, str], said: str
) -> None:
    path = table_of(tmp_path, ROW | {"name": "zero"}, ROW | changes)
    with pytest.raises(ConfigError) as caught:
        read(path, tiny_world)
    assert str(caught.value).startswith(f"observed.csv, row 3: {said}")


def test_a_file_that_is_no_table_is_refused(tmp_path: Path, tiny_world: World) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a table of observed figures"):
        read(tmp_path / "none.csv", tiny_world)
    (tmp_path / "short.csv").write_text("name,measure\n")
    with pytest.raises(ConfigError, match=r"short.csv lacks the columns mineral, stage"):
        read(tmp_path / "short.csv", tiny_world)
    with pytest.raises(ConfigError, match="holds no figure"):
        read(table_of(tmp_path), tiny_world)


# Scores ---------------------------------------------------------------------------------------


def test_a_perfect_model_scores_best() -> None:
    seeds = np.random.default_rng(1)
    for value, measure in ((2.0, "price_multiple"), (0.3, "output_share"), (8.0, "peak_month")):
        wanted = figure(measure=measure, value=value, low=0.95 * value, high=1.05 * value)
        perfect = score_figure(wanted, np.full(10, value))
        assert perfect["score"] == 0.0
        assert perfect["inside"] == perfect["close"] == 1.0
        for _ in range(20):
            other = value * np.exp(seeds.normal(seeds.normal(), seeds.uniform(0.0, 1.0), 10))
            assert score_figure(wanted, other)["score"] > 0.0


def test_a_multiple_off_by_the_tolerance_scores_one() -> None:
    for factor in (1.5, 1.0 / 1.5):
        found = score_figure(figure(), np.array([2.0 * factor]))
        assert found["score"] == pytest.approx(1.0)
        assert found["inside"] == 0.0
    share = figure(measure="output_share", value=0.3, low=0.3, high=0.3)
    assert score_figure(share, np.array([0.35]))["score"] == pytest.approx(1.0)


def test_honest_spread_scores_better_than_false_certainty() -> None:
    assert ranked_score(np.array([-1.0, 1.0, 3.0])) < ranked_score(np.array([1.0, 1.0, 1.0]))


def test_what_a_run_does_not_say_counts_as_far_off() -> None:
    found = score_figure(figure(), np.array([np.nan, np.nan]))
    assert found["score"] == MOST
    assert not found["inside"]
    assert score_figure(figure(), np.array([1e9]))["score"] == MOST


def test_the_summary_averages_figures_and_logs_of_multiples() -> None:
    rows = [
        {"scale": Scale.ratio.value} | score_figure(figure(), np.array([3.0])),
        {"scale": Scale.share.value}
        | score_figure(figure(measure="output_share", value=0.3), np.array([0.4])),
    ]
    found = summary(pd.DataFrame(rows))
    assert found["figures"] == 2
    assert found["score"] == pytest.approx(1.5)
    assert np.exp(found["log_error"]) == pytest.approx(1.5)
    assert found["close"] == 0.5

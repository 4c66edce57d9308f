"""Flows between blocs and on the map: what they show is what the flows say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch, PathPatch

from experiments.figures import Scene
from experiments.figures import flows as trade
from experiments.figures.flows import bloc_flows, flow_map, trade_table
from experiments.figures.shapes import ABSENT, drawing, outlines, polygons_of, seat_of
from experiments.measures.panel import Panel
from tests.synthetic_monthly import COUNTRIES, SHOCK, SHOCKED, START, synthetic_monthly

SCENE = Scene(
    exporter="CHN",
    shock=SHOCK,
    shock_start=START,
    shock_minerals=SHOCKED,
    roles=COUNTRIES,
    names={"USA": "United States", "CHN": "China"},
)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return Panel(synthetic_monthly(seeds=1, months=60))


@pytest.fixture(scope="module")
def flows() -> pd.DataFrame:
    """China sells 10 t a year to the USA, then 4 t; Japan steps in; everybody sells at home."""
    start = int(START[:4])
    rows = []
    for membership in ("none", "forge"):
        for seed in (0, 1):
            for year in range(start - 2, start + 3):
                for origin, tonnes in (
                    ("CHN", 10.0 if year < start else 4.0 - seed),
                    ("JPN", 0.0 if year < start or membership == "none" else 2.0),
                    ("USA", 50.0),
                ):
                    price = 2e6 if year == start - 2 else 9e6
                    rows.append(
                        (membership, SHOCK, seed, year, SHOCKED[0], "refined", origin, "USA",
                         tonnes, tonnes * price)
                    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(trade.FLOW_COLUMNS))


def test_trade_is_tonnes_at_the_prices_of_the_first_year(flows: pd.DataFrame, panel: Panel) -> None:
    table = trade_table(flows, panel, SCENE)
    assert (table["origin"] != table["destination"]).all(), "sales at home are no trade"
    worth = table.set_index(["period", "origin"])["million_usd_a_year"]
    before, alone, allied = dict.fromkeys(table["period"])
    assert worth[before, "CHN"] == pytest.approx(10.0 * 2.0)
    assert worth[alone, "CHN"] == pytest.approx(3.5 * 2.0)
    assert worth[allied, "JPN"] == pytest.approx(2.0 * 2.0)
    assert (alone, "JPN") not in worth.index
    assert set(table.loc[table["origin"] == "CHN", "origin_bloc"]) == {trade.EXPORTER}


def test_bands_are_as_wide_as_trade(flows: pd.DataFrame, panel: Panel) -> None:
    table = trade_table(flows, panel, SCENE)
    figure = bloc_flows(table, SCENE)
    widths = []
    for axes in figure.axes:
        bands = [
            patch.get_path().vertices for patch in axes.patches if isinstance(patch, PathPatch)
        ]
        widths.append(sum(corners[7, 1] - corners[0, 1] for corners in bands))
    sums = table.groupby("period", sort=False)["million_usd_a_year"].sum()
    np.testing.assert_allclose(widths, sums / sums.max())


def test_paths_of_a_drawing_become_polygons() -> None:
    square, moved = polygons_of("m 1,2 h 2 v 2 l -2,0 z m 5,5 c 0,9 9,9 1,0 L 7 8")
    np.testing.assert_allclose(square, [(1, -2), (3, -2), (3, -4), (1, -4)])
    np.testing.assert_allclose(moved, [(6, -7), (7, -7), (7, -8)])


def test_without_outlines_the_map_says_how_to_get_them(
    flows: pd.DataFrame, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade, "drawing", lambda: None)
    with pytest.raises(ValueError, match="pip install"):
        flow_map(trade_table(flows, panel, SCENE), SCENE)
    shown = [d.name for d in trade.drawn_trade(flows, panel, replace(SCENE, shock=SHOCK))]
    assert shown == ["bloc_flows"]


def test_arrows_on_the_map_run_between_countries(flows: pd.DataFrame, panel: Panel) -> None:
    if drawing() is None:
        pytest.skip(ABSENT)
    known = outlines(Path(str(drawing())))
    seats = {country: seat_of(country, known) for country in ("USA", "CHN", "BRA")}
    assert seats["USA"][0] < seats["BRA"][0] < seats["CHN"][0], "west to east"
    assert seats["BRA"][1] < seats["CHN"][1], "south to north"
    table = trade_table(flows, panel, SCENE)
    figure = flow_map(table, SCENE)
    for axes, period in zip(figure.axes, dict.fromkeys(table["period"]), strict=False):
        arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
        assert len(arrows) == (table["period"] == period).sum()

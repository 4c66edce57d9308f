"""Flows between blocs and on the map: what they show is what the flows say."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch, PathPatch

from experiments.ensemble import PROJECT
from experiments.figures import Scene
from experiments.figures import flows as trade
from experiments.figures.flows import NAMED, bloc_flows, flow_map, trade_table
from experiments.figures.names import name_places
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


def test_no_year_before_the_shock_is_under_it(flows: pd.DataFrame, panel: Panel) -> None:
    early = flows[flows["year"] < int(START[:4])]
    shown = list(dict.fromkeys(trade_table(early, panel, SCENE)["period"]))
    assert len(shown) == 3
    assert not any("under the shock" in period for period in shown)


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


EAST = ("CHN", "TWN", "KOR", "JPN", "VNM", "THA", "MYS", "PHL", "IDN", "MMR", "IND")
WEST = ("EU27", "GBR", "NOR", "CHE", "TUR", "CHN", "KAZ", "TJK", "RUS")
SOUTH = ("COD", "ZAF", "ZWE", "MOZ", "MDG", "TZA", "CHL", "ARG", "BOL", "BRA", "AUS", "NZL", "NCL")


def shipped_around(countries: tuple[str, ...]) -> pd.DataFrame:
    """Every country ships to the next two, those named first the most."""
    columns = ["period", "origin", "destination", "million_usd_a_year", "origin_bloc",
               "destination_bloc"]  # fmt: skip
    rows = [
        (
            period,
            origin,
            countries[(place + step) % len(countries)],
            100.0 - place,
            "members",
            "members",
        )
        for period in ("before", "after")
        for place, origin in enumerate(countries)
        for step in (1, 2)
    ]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("countries", [(), EAST, EAST[::-1], WEST, SOUTH, ("CHN", *SOUTH, "EU27")])
@pytest.mark.parametrize("dpi", [72, 220])
def test_no_names_on_the_map_overlap(countries: tuple[str, ...], dpi: int) -> None:
    """As seen on paper, for several sets of flows; () is that of the gallery."""
    if drawing() is None:
        pytest.skip(ABSENT)
    saved = PROJECT / "docs" / "gallery" / "flow_map.csv"
    table = shipped_around(countries) if countries else pd.read_csv(saved, keep_default_na=False)
    names = {"TWN": "Taiwan", "THA": "Thailand", "VNM": "Viet Nam", "MYS": "Malaysia",
             "EU27": "European Union", "USA": "United States", "GBR": "United Kingdom",
             "COD": "Democratic Republic of the Congo"}  # fmt: skip
    figure = flow_map(table, replace(SCENE, names=names))
    figure.set_dpi(dpi)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= NAMED - 1, "there is room for almost all"
        for one, other in combinations(boxes, 2):
            assert not one.overlaps(other)


def test_names_without_room_are_left_out_and_none_hides_a_mark() -> None:
    frame = np.array([[0.0, 0.0], [100.0, 30.0]])
    seats = np.array([[50.0, 15.0]] * 20)
    places = name_places(seats, np.full((20, 2), (30.0, 8.0)), seats[:1], frame)
    kept = places[~np.isnan(places).any(axis=1)]
    assert 2 <= len(kept) < 20
    np.testing.assert_array_equal(kept, places[: len(kept)], "the first come first")
    assert (np.abs(kept - 50.0) <= (35.0, 50.0)).all(), "within the frame"
    for one, other in combinations(kept, 2):
        assert (np.abs(one - other) >= (30.0, 8.0)).any()
    alone = name_places(seats[:1], np.array([[30.0, 8.0]]), np.array([[50.0, 8.0]]), frame)
    assert alone[0, 1] > 15.0, "above, as a mark stands below"


def test_a_map_without_arrows_is_drawn() -> None:
    """Where all trade is with the rest of the world, which has no place on it."""
    if drawing() is None:
        pytest.skip(ABSENT)
    figure = flow_map(shipped_around(("CHN", "ROW")).query("destination == 'ROW'"), SCENE)
    assert not any(axes.texts or axes.patches for axes in figure.axes)
    assert "nan" not in figure.legends[0].get_title().get_text()

"""Trade before and after: flows between blocs as bands, and between countries on a map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, PathPatch, Rectangle
from matplotlib.path import Path as Outline

from experiments.figures.drawn import Drawn
from experiments.figures.look import (
    BLUE,
    DOUBLE,
    GREY,
    ORANGE,
    SKY,
    SMALL,
    VERMILION,
    plain_number,
    style,
)
from experiments.figures.names import write_names
from experiments.figures.scene import Scene
from experiments.figures.shapes import ABSENT, drawing, land_of, outlines, seat_of
from experiments.measures.effects import (
    CRISIS_MONTHS,
    NO_MEMBERSHIP,
    NO_SHOCK,
    Layout,
    core_members,
    memberships_in,
    outlined,
)

EXPORTER, OTHER_NON_ALLIED = "exporter", "other non-allied"
CORE, WIDER, ELSEWHERE = "members", "wider circle", "rest of world"
BLOC_COLOURS = {
    EXPORTER: VERMILION,
    OTHER_NON_ALLIED: ORANGE,
    CORE: BLUE,
    WIDER: SKY,
    ELSEWHERE: GREY,
}
FLOW_COLUMNS = ("membership", "shock", "seed", "year", "mineral", "stage", "origin", "destination",
                "quantity_t", "value_usd")  # fmt: skip
MILLION = 1e6
SHOWN = 22  # flows on a map
NAMED = 9  # countries named on a map
WIDEST, THIN = 6.0, 0.5  # points: the largest flow, and at least any
SPECK, COAST = 1.5, 100.0  # boxes of islands no reader could see, and of land that frames a map
GAP, BAR = 0.03, 0.05  # of a panel's height, and of its width
THREAD = 0.004  # of the largest total: narrower bands are not drawn, nor bars named


def read_flows(folder: Path, scene: Scene) -> pd.DataFrame:
    """The yearly flows of a results folder that the figures of trade show.

    Refined products of the minerals under the shock, with it where it was run; empty where no
    tables by flow were kept.
    """
    if not (folder / "flows.parquet").exists():
        return pd.DataFrame()
    chosen = [
        ("stage", "==", "refined"),
        ("mineral", "in", list(scene.shock_minerals)),
        ("shock", "==", scene.shock or NO_SHOCK),
    ]
    return pd.read_parquet(
        folder / "flows.parquet", columns=list(FLOW_COLUMNS), filters=chosen, pre_buffer=False
    )


def trade_table(flows: pd.DataFrame, panel: Layout, scene: Scene) -> pd.DataFrame:
    """Trade between countries in each of the periods compared, mean over seeds.

    At prices of the first year (each mineral's mean over flows without an alliance), so that a
    rise is one of tonnes; sales at home are left out.

    Returns
    -------
    pd.DataFrame
        Columns period, origin, destination, origin_bloc, destination_bloc and million_usd_a_year.
    """
    first = flows[(flows["membership"] == NO_MEMBERSHIP) & (flows["year"] == flows["year"].min())]
    sums = first.groupby("mineral", observed=True)[["value_usd", "quantity_t"]].sum()
    price = (sums["value_usd"] / sums["quantity_t"]).to_dict()
    worth = flows["quantity_t"] * flows["mineral"].map(price).astype(float) / MILLION
    origin, destination = (flows[end].astype("category") for end in ("origin", "destination"))
    abroad = origin != destination.cat.set_categories(origin.cat.categories)
    flows = flows.assign(worth=worth)[abroad]
    parts = []
    for period, membership, years in periods(flows, panel, scene):
        rows = flows[(flows["membership"] == membership) & flows["year"].isin(years)]
        runs = rows["seed"].nunique() * len(years)
        sums_of = rows.groupby(["origin", "destination"], observed=True)["worth"].sum() / runs
        part = sums_of.rename("million_usd_a_year").reset_index()
        part.insert(0, "period", period)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    bloc = bloc_of(panel, scene)
    for place in ("origin", "destination"):
        table[place] = table[place].astype(str)
        table[f"{place}_bloc"] = table[place].map(bloc)
    return table[table["million_usd_a_year"] > 0.0].reset_index(drop=True)


def periods(flows: pd.DataFrame, panel: Layout, scene: Scene) -> list[tuple[str, str, list[int]]]:
    """Label, membership and years of what is compared: before, after, and after with an alliance.

    After is the first two whole years of the shock, or the last year where none was run or the run
    ends before it.
    """
    known = sorted(int(year) for year in flows["year"].unique())
    before, after, when = known[0], known[-1:], "after"
    start = int(scene.shock_start[:4])
    if scene.shock is not None and start <= known[-1]:
        whole = start + (scene.shock_start[5:7] != "01")
        before = max(known[0], start - 1)
        years = CRISIS_MONTHS // 12
        after = [year for year in known if whole <= year < whole + years] or known[-1:]
        when = "under the shock"
    span = f"{after[0]}–{after[-1]}" if len(after) > 1 else f"{after[0]}"
    found = [
        (f"{before}, before", NO_MEMBERSHIP, [before]),
        (f"{span}, {when},\nno alliance", NO_MEMBERSHIP, after),
    ]
    if circles := memberships_in(panel):
        widest = scene.membership_label(circles[-1])
        found.append((f"{span}, {when},\n{widest}", circles[-1], after))
    return found


def bloc_of(panel: Layout, scene: Scene) -> dict[str, str]:
    """The bloc of every country: inside every circle, inside some, non-allied, or elsewhere."""
    core = set(core_members(panel))
    layout = outlined(panel)
    inside = {country for circle in layout.circles.values() for country in circle}

    def bloc(country: str) -> str:
        if country == scene.exporter:
            return EXPORTER
        if country in core:
            return CORE
        if country in inside:
            return WIDER
        return OTHER_NON_ALLIED if scene.roles.get(country) == "non_allied" else ELSEWHERE

    return {country: bloc(country) for country in layout.countries}


def bloc_label(bloc: str, exporter: str) -> str:
    """A bloc's name for readers."""
    return exporter if bloc == EXPORTER else bloc.capitalize()


def drawn_trade(flows: pd.DataFrame, panel: Layout, scene: Scene) -> Iterator[Drawn]:
    """The figures of trade; the map only where outlines of countries are installed."""
    table = trade_table(flows, panel, scene)
    if table.empty:
        return
    yield drawn_bloc_flows(table, scene)
    if drawing() is not None:
        yield drawn_flow_map(table, scene)


# ---------------------------------------------------------------- bands between blocs


def bloc_flows(table: pd.DataFrame, scene: Scene) -> Figure:
    """A panel a period: exporting blocs left, importing blocs right, bands as wide as trade.

    Table: period, origin_bloc, destination_bloc, million_usd_a_year (several rows are added up).
    """
    keys = ["period", "origin_bloc", "destination_bloc"]
    worth = table.groupby(keys, sort=False)["million_usd_a_year"].sum()
    names = list(dict.fromkeys(table["period"]))
    present = set(table["origin_bloc"]) | set(table["destination_bloc"])
    blocs = [bloc for bloc in BLOC_COLOURS if bloc in present]
    total = max(float(worth[name].sum()) for name in names)
    with style():
        figure = Figure(figsize=(DOUBLE, 3.3), layout="constrained")
        cells = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(cells, names, strict=True):
            _bands(axes, worth[name], blocs, total)
            axes.set_title(name, fontsize=SMALL)
        home = scene.names.get(scene.exporter, scene.exporter)
        handles = [Patch(color=BLOC_COLOURS[b], lw=0, label=bloc_label(b, home)) for b in blocs]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            title="Million US$ a year at prices of the first year",
            title_fontsize=SMALL,
        )
    return figure


def _bands(axes: Axes, worth: pd.Series, blocs: Sequence[str], total: float) -> None:
    """Bars at both sides, and bands from the left ones to the right ones."""
    matrix = worth.unstack(fill_value=0.0).reindex(index=blocs, columns=blocs, fill_value=0.0)
    matrix = matrix.fillna(0.0) / total
    left = _bars(axes, matrix.sum(axis=1), 0.0, total)
    right = _bars(axes, matrix.sum(axis=0), 1.0 - BAR, total)
    for origin in blocs:
        for destination in blocs:
            size = float(matrix.loc[origin, destination])
            if size > THREAD:
                start, end = left[origin] - size, right[destination] - size
                axes.add_patch(_band(start, end, size, BLOC_COLOURS[origin]))
                left[origin], right[destination] = start, end
    axes.set_xlim(-0.16, 1.16)
    axes.set_ylim(-GAP * len(blocs), 1.01)
    axes.set_axis_off()


def _bars(axes: Axes, sizes: pd.Series, at: float, total: float) -> dict[str, float]:
    """Draw a side's bars, each with its millions; the upper end of every bar."""
    top, tops = 1.0, {}
    outside, align = (at - 0.02, "right") if at < 0.5 else (at + BAR + 0.02, "left")
    for bloc, size in sizes.items():
        tops[str(bloc)] = top
        if size <= THREAD:
            continue
        axes.add_patch(Rectangle((at, top - size), BAR, size, color=BLOC_COLOURS[str(bloc)], lw=0))
        axes.text(
            outside, top - size / 2, plain_number(size * total), ha=align, va="center",
            fontsize=SMALL,
        )  # fmt: skip
        top -= size + GAP
    return tops


def _band(start: float, end: float, size: float, colour: str) -> PathPatch:
    """A band from the left bars to the right ones, lower edges at `start` and `end`."""
    near, far, bend = BAR, 1.0 - BAR, 0.5
    corners = [
        (near, start), (bend, start), (bend, end), (far, end),
        (far, end + size), (bend, end + size), (bend, start + size), (near, start + size),
        (near, start),
    ]  # fmt: skip
    codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3,
             Outline.CLOSEPOLY]  # fmt: skip
    return PathPatch(Outline(corners, codes), facecolor=colour, alpha=0.45, lw=0)


def drawn_bloc_flows(table: pd.DataFrame, scene: Scene) -> Drawn:
    """The bands with their caption."""
    keys = ["period", "origin_bloc", "destination_bloc"]
    sums = table.groupby(keys, sort=False, as_index=False)["million_usd_a_year"].sum()
    home = scene.names.get(scene.exporter, scene.exporter)
    return Drawn(
        name="bloc_flows",
        title="Trade before and after",
        caption="Trade in refined products of the minerals under the shock between blocs, "
        "exporters left, importers right, million US$ a year at prices of the first year, so that "
        "bands show tonnes; means over seeds. Sales within a country are left out. Members: in "
        "every circle; wider circle: in some.",
        alt="Flow diagrams between blocs of countries. " + _exports(sums, home),
        figure=bloc_flows(sums, scene),
        table=sums,
    )


def _exports(table: pd.DataFrame, home: str) -> str:
    mine = table[table["origin_bloc"] == EXPORTER]
    parts = []
    for period in dict.fromkeys(table["period"]):
        worth = mine.loc[mine["period"] == period, "million_usd_a_year"].sum()
        parts.append(f"{' '.join(period.split())}: {plain_number(worth)}")
    return f"Exports of {home}, million US$ a year: {'; '.join(parts)}."


# ---------------------------------------------------------------- the map


def flow_map(table: pd.DataFrame, scene: Scene) -> Figure:
    """A map a period, one above the other: the largest flows from country to country.

    Table: period, origin, destination, origin_bloc, destination_bloc, million_usd_a_year.

    Raises
    ------
    ValueError
        Where no outlines of countries are installed.
    """
    path = drawing()
    if path is None:
        raise ValueError(ABSENT)
    known = outlines(path)
    names = list(dict.fromkeys(table["period"]))[:2]
    blocs = dict(zip(table["origin"], table["origin_bloc"], strict=True))
    blocs |= dict(zip(table["destination"], table["destination_bloc"], strict=True))
    shown = table[table["period"].isin(names) & _on_map(table, known)]
    widest = float(shown["million_usd_a_year"].max())
    with style():
        figure = Figure(figsize=(DOUBLE, 0.4 + 3.35 * len(names)), layout="constrained")
        cells = figure.subplots(len(names), 1, squeeze=False)[:, 0]
        named = []
        for axes, name in zip(cells, names, strict=True):
            _land(axes, known, blocs)
            rows = shown[shown["period"] == name].nlargest(SHOWN, "million_usd_a_year")
            _arrows(axes, rows, known, widest)
            named.append((_named(rows, known, scene), _ends(rows, known)))
            axes.set_title(" ".join(name.split()), fontsize=SMALL)
        home = scene.names.get(scene.exporter, scene.exporter)
        present = [bloc for bloc in BLOC_COLOURS if bloc in set(blocs.values())]
        handles = [Patch(color=BLOC_COLOURS[b], lw=0, label=bloc_label(b, home)) for b in present]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            title=_widths(widest) if len(shown) else None,
            title_fontsize=SMALL,
        )
        for axes, (places, ends) in zip(cells, named, strict=True):  # all else stands by now
            write_names(axes, places, ends)
    return figure


def _widths(widest: float) -> str:
    """What the width of an arrow says, in words."""
    return (
        f"Arrows by exporter; the widest: {plain_number(widest)} million US$ a year, "
        f"the thinnest: up to {plain_number(widest * THIN / WIDEST)}"
    )


def _on_map(table: pd.DataFrame, known: Mapping[str, tuple[np.ndarray, ...]]) -> pd.Series:
    seated = {
        country: seat_of(country, dict(known)) is not None
        for country in {*table["origin"], *table["destination"]}
    }
    return table["origin"].map(seated) & table["destination"].map(seated)


def _land(
    axes: Axes, known: Mapping[str, tuple[np.ndarray, ...]], blocs: Mapping[str, str]
) -> None:
    """All land in light grey, that of countries of the model tinted by bloc."""
    every = [polygon for polygons in known.values() for polygon in polygons]
    tinted = {bloc: [p for c, b in blocs.items() if b == bloc for p in land_of(c, dict(known))]
              for bloc in BLOC_COLOURS if bloc != ELSEWHERE}  # fmt: skip
    lay = [(every, "#ececec", 1.0), *((tinted[b], BLOC_COLOURS[b], 0.28) for b in tinted)]
    for polygons, colour, strength in lay:
        seen = [polygon for polygon in polygons if _size(polygon) > SPECK]
        axes.add_collection(
            PolyCollection(
                seen, facecolors=colour, alpha=strength, edgecolors="white", linewidths=0.25,
                in_layout=False,  # within its axes, and slow to measure
            )
        )  # fmt: skip
    frame = [p for c in blocs for p in land_of(c, dict(known)) if _size(p) > COAST]
    corners = np.concatenate(frame or every)
    (left, low), (right, high) = corners.min(axis=0), corners.max(axis=0)
    margin = 0.02 * (right - left)
    axes.set_xlim(left - margin, right + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _size(polygon: np.ndarray) -> float:
    """Area of the box around a polygon."""
    return float(np.prod(np.ptp(polygon, axis=0)))


def _arrows(
    axes: Axes, rows: pd.DataFrame, known: Mapping[str, tuple[np.ndarray, ...]], widest: float
) -> None:
    for row in rows.to_dict("records"):
        start, end = (_place(row[place], known) for place in ("origin", "destination"))
        width = max(WIDEST * row["million_usd_a_year"] / widest, THIN)
        head = f"head_length={width + 2.5},head_width={width + 2.5}"
        axes.add_patch(
            FancyArrowPatch(
                start, end, connectionstyle="arc3,rad=0.22", shrinkA=0, shrinkB=0,
                mutation_scale=1.0,
                arrowstyle=f"simple,{head},tail_width={width}", alpha=0.8, lw=0, zorder=3,
                color=BLOC_COLOURS[row["origin_bloc"]],
            )
        )  # fmt: skip


def _place(country: str, known: Mapping[str, tuple[np.ndarray, ...]]) -> tuple[float, float]:
    """Where flows of a country on the map start and end."""
    seat = seat_of(country, dict(known))
    assert seat is not None, "only countries on the map are shown"
    return float(seat[0]), float(seat[1])


def _named(
    rows: pd.DataFrame, known: Mapping[str, tuple[np.ndarray, ...]], scene: Scene
) -> dict[str, np.ndarray]:
    """The countries that trade most, by name, and where they are on the map."""
    worth = pd.concat(
        [rows.set_index(place)["million_usd_a_year"] for place in ("origin", "destination")]
    )
    largest = worth.groupby(level=0).sum().sort_values(ascending=False).index[:NAMED]
    return {
        scene.names.get(country, country): np.array(_place(str(country), known))
        for country in largest
    }


def _ends(rows: pd.DataFrame, known: Mapping[str, tuple[np.ndarray, ...]]) -> np.ndarray:
    """[end, 2] where the arrows of these flows start and end."""
    countries = sorted({*rows["origin"], *rows["destination"]})
    return np.array([_place(country, known) for country in countries]).reshape(-1, 2)


def drawn_flow_map(table: pd.DataFrame, scene: Scene) -> Drawn:
    """The map with its caption."""
    largest = table.loc[table["million_usd_a_year"].idxmax()]
    names = [scene.names.get(largest[place], largest[place]) for place in ("origin", "destination")]
    return Drawn(
        name="flow_map",
        title="Who ships to whom, before and after",
        caption=f"The {SHOWN} largest flows of refined products of the minerals under the shock "
        "between countries, without an alliance: width in proportion to million US$ a year at "
        "prices of the first year, colour by the bloc of the exporter; means over seeds. The "
        "European Union is drawn at Germany; the rest of the world has no place on the map.",
        alt=f"World maps with arrows between countries. The largest flow, {names[0]} to "
        f"{names[1]}, is {plain_number(largest['million_usd_a_year'])} million US$ a year "
        f"({' '.join(str(largest['period']).split())}).",
        figure=flow_map(table, scene),
        table=table,
    )

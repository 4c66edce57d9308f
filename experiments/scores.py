"""What history observed and what a run says of it: the figures, how each is read off, and scores.

An observed table has one row a figure. `MEASURES` is the vocabulary; every entry is a function of a
`Trace`, which keeps what a run did month by month. Multiples are compared in logs, shares in
points and dates in months; a tolerance for each makes them count alike in a score.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd

from abm.config import ConfigError, Horizon, month_index, month_name
from abm.model import MineralModel
from abm.scenario import named_countries
from abm.world import MONTHS, World

COLUMNS = (
    "name", "measure", "mineral", "stage", "place", "against", "window_start", "window_end",
    "base_start", "base_end", "value", "low", "high", "unit", "used_for", "source", "status",
)  # fmt: skip
OPTIONAL = ("against", "base_start", "base_end", "low", "high")
HOME, ABROAD = "home", "abroad"
USES = ("calibration", "check")
STATUSES = ("observed", "estimated")
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
PRICE = "landed_price_usd_per_kg"


class Scale(Enum):
    """How a figure is compared: what a tolerance of one means."""

    ratio = "factor"
    share = "share"
    months = "months"


TOLERANCE = {Scale.ratio: float(np.log(1.5)), Scale.share: 0.05, Scale.months: 4.0}
MOST = 5.0  # tolerances: one figure far off must not decide alone; choice
USUAL_ERROR = {Scale.ratio: float(np.log(1.1)), Scale.share: 0.02, Scale.months: 1.0}


@dataclass(frozen=True)
class Trace:
    """What a run did, month by month.

    Attributes
    ----------
    start
        The opening month, 'YYYY-MM'; it is the average of the opening year.
    measures
        ``[month, market, country]`` of every recorded measure.
    declared
        ``[month, market, origin, destination]`` t as customs see them: re-routed and smuggled goods
        are not seen to come from where they were made.
    limits
        Name of a control -> ``[month, 2]`` tonnes used, and tonnes allowed, by its weight.
    """

    world: World
    start: str
    measures: Mapping[str, np.ndarray]
    declared: np.ndarray
    limits: Mapping[str, np.ndarray]

    @property
    def months(self) -> int:
        """Months of the run."""
        return len(self.declared)


@dataclass(frozen=True)
class Figure:
    """One observed figure: what was measured, where, when, and what was found.

    Windows are months of the run, first and last; a base in the opening year is the opening month.
    `value`, `low` and `high` of dates are months since the opening.
    """

    name: str
    measure: str
    mineral: str
    stage: str
    place: str
    against: str
    window: tuple[int, int]
    base: tuple[int, int]
    value: float
    low: float
    high: float
    unit: str
    used_for: str
    source: str
    status: str

    @property
    def scale(self) -> Scale:
        """How the figure is compared."""
        return MEASURES[self.measure].scale


@dataclass(frozen=True)
class Measure:
    """One word of the vocabulary."""

    about: str
    scale: Scale
    read: Callable[[Trace, Figure], float]
    against: str = ""  # what the column must name: place, control, or nothing


# A run, month by month ------------------------------------------------------------------------


def follow(model: MineralModel, months: int | None = None) -> Trace:
    """Run a model to its end, or some months, and keep what the figures need."""
    count = months or model.months
    declared = np.zeros((count, *model.world.flow.shape))
    limits: dict[str, np.ndarray] = {}
    for month in range(count):
        model.step()
        declared[month] = np.where(model.measures.arcs.rerouted, 0.0, model.books.flow)
        _note_limits(model, declared[month], limits)
    measures = {name: values[:count] for name, values in model.record.measures.items()}
    return Trace(model.world, model.horizon.start, measures, declared, limits)


def persistence(model: MineralModel) -> Trace:
    """The forecast that nothing changes: every month is the opening, limits are used in full."""
    opening = follow(model, months=1)
    names = [control.terms.name for control in model.controls]
    return replace(
        opening,
        measures={name: _held(values, model) for name, values in opening.measures.items()},
        declared=_held(opening.declared, model),
        limits={name: np.ones((model.months, 2)) for name in names},
    )


def _held(values: np.ndarray, model: MineralModel) -> np.ndarray:
    return np.broadcast_to(values[:1], (model.months, *values.shape[1:]))


def _note_limits(model: MineralModel, declared: np.ndarray, limits: dict[str, np.ndarray]) -> None:
    """Add the month's use of every limit, and take what is smuggled out of the declared flows."""
    unit, month = model.measures.arcs.unit, model.month - 1
    for limit in model.measures.limits:
        place = np.ix_(limit.markets, [limit.origin], limit.destinations)
        shipped = model.books.flow[place].sum(axis=(1, 2))
        weight = unit[limit.markets]
        used = float((weight * shipped).sum())
        allowed = model.measures.weighed(limit) * (1.0 - limit.smuggled)
        kept = limits.setdefault(limit.control, np.zeros((model.months, 2)))
        kept[month] += (min(used, allowed), allowed)
        if limit.smuggled > 0.0 and used > allowed:
            declared[place] *= allowed / used


# Reading the figures off a trace --------------------------------------------------------------


def simulated(trace: Trace, figure: Figure) -> float:
    """What a run says of a figure; NaN where it has nothing to say."""
    return float(MEASURES[figure.measure].read(trace, figure))


def rows_of(world: World, mineral: str, stage: str) -> list[int]:
    """Markets of a mineral, of the minerals of a family, or of all, at one stage."""
    named = [
        name
        for name, family in zip(world.minerals, world.families, strict=True)
        if mineral in (name, family, "all")
    ]
    return [
        row for row, (name, kind) in enumerate(world.markets) if name in named and kind == stage
    ]


def countries_of(world: World, word: str, row: int) -> np.ndarray:
    """[country] bool: who is meant by a place in one market."""
    leader = np.arange(len(world.countries)) == world.leading_exporter[row]
    if word == HOME:
        return leader
    if word == ABROAD:
        return ~leader
    return named_countries([word], "place", world)


def price_path(trace: Trace, mineral: str, stage: str, place: str) -> np.ndarray:
    """[month] USD/kg at a place: what its buyers pay landed, rents included.

    Months are weighted by what is bought; `home` is what producers of the leading exporter get. A
    family is a basket of what was bought there at the opening, or made at home.
    """
    world = trace.world
    paths, weights = [], []
    for row in rows_of(world, mineral, stage):
        here = countries_of(world, place, row)
        usual = world.flow[row].sum(axis=0)[here]
        paths.append(_market_price(trace, row, place, here, usual))
        traded = world.opening.supply[row, here] if place == HOME else usual
        weights.append(max(float(traded.sum()), 1e-300))
    return np.average(paths, axis=0, weights=weights)


def _market_price(
    trace: Trace, row: int, place: str, here: np.ndarray, usual: np.ndarray
) -> np.ndarray:
    if place == HOME:
        return _filled(trace.measures["origin_price_usd_per_kg"][:, row, here][:, 0])
    price = trace.measures[PRICE][:, row, here]
    bought = trace.measures["purchases_t"][:, row, here]
    empty = bought.sum(axis=1) <= 0.0
    weight = np.where(empty[:, None], usual[None, :], bought)
    weight = np.where(np.isfinite(price), weight, 0.0)
    total = weight.sum(axis=1)
    spent = (np.where(np.isfinite(price), price, 0.0) * weight).sum(axis=1)
    return _filled(np.divide(spent, total, out=np.full(total.shape, np.nan), where=total > 0))


def _filled(path: np.ndarray) -> np.ndarray:
    """Months without a price have the last one."""
    return pd.Series(path).ffill().bfill().to_numpy()


def _mean(path: np.ndarray, window: tuple[int, int]) -> float:
    return float(path[window[0] : window[1] + 1].mean())


def _price(trace: Trace, figure: Figure, place: str = "") -> np.ndarray:
    return price_path(trace, figure.mineral, figure.stage, place or figure.place)


def _price_multiple(trace: Trace, figure: Figure) -> float:
    path = _price(trace, figure)
    return _mean(path, figure.window) / _mean(path, figure.base)


def _price_peak_multiple(trace: Trace, figure: Figure) -> float:
    path = _price(trace, figure)
    return float(path[figure.window[0] : figure.window[1] + 1].max()) / _mean(path, figure.base)


def _price_gap(trace: Trace, figure: Figure) -> float:
    other = _price(trace, figure, figure.against)
    return _mean(_price(trace, figure), figure.window) / _mean(other, figure.window)


def _peak(trace: Trace, figure: Figure) -> int:
    path = _price(trace, figure)
    return figure.window[0] + int(path[figure.window[0] : figure.window[1] + 1].argmax())


def _peak_month(trace: Trace, figure: Figure) -> float:
    return float(_peak(trace, figure))


def _months_to_half(trace: Trace, figure: Figure) -> float:
    """The length of the run where the price never halves."""
    path, peak = _price(trace, figure), _peak(trace, figure)
    below = np.flatnonzero(path[peak:] <= 0.5 * path[peak])
    return float(below[0] if below.size else trace.months)


def _tonnes(trace: Trace, figure: Figure, name: str, place: str) -> np.ndarray:
    """[month] t of a measure at a place, summed over the markets of the figure."""
    total = np.zeros(trace.months)
    for row in rows_of(trace.world, figure.mineral, figure.stage):
        here = countries_of(trace.world, place, row)
        total += np.nansum(trace.measures[name][:, row, here], axis=1)
    return total


def _multiple(path: np.ndarray, figure: Figure) -> float:
    base = _mean(path, figure.base)
    return _mean(path, figure.window) / base if base > 0.0 else np.nan


def _output_multiple(trace: Trace, figure: Figure) -> float:
    return _multiple(_tonnes(trace, figure, "output_t", figure.place), figure)


def _use_multiple(trace: Trace, figure: Figure) -> float:
    return _multiple(_tonnes(trace, figure, "use_t", figure.place), figure)


def _stock_multiple(trace: Trace, figure: Figure) -> float:
    held = _tonnes(trace, figure, "buyer_stock_t", figure.place)
    return _multiple(held + _tonnes(trace, figure, "strategic_stock_t", figure.place), figure)


def _output_share(trace: Trace, figure: Figure) -> float:
    mine = _mean(_tonnes(trace, figure, "output_t", figure.place), figure.window)
    return mine / _mean(_tonnes(trace, figure, "output_t", "world"), figure.window)


def _crossings(trace: Trace, figure: Figure, sellers: str, buyers: str) -> np.ndarray:
    """[month] t declared from some places to others, home trade apart."""
    total = np.zeros(trace.months)
    for row in rows_of(trace.world, figure.mineral, figure.stage):
        origins = np.flatnonzero(countries_of(trace.world, sellers, row))
        destinations = np.flatnonzero(countries_of(trace.world, buyers, row))
        flow = trace.declared[:, row][:, origins][:, :, destinations]
        abroad = origins[:, None] != destinations[None, :]
        total += (flow * abroad).sum(axis=(1, 2))
    return total


def _imports(trace: Trace, figure: Figure) -> np.ndarray:
    """[month] t that a place buys abroad, by whatever way they come."""
    total = np.zeros(trace.months)
    for row in rows_of(trace.world, figure.mineral, figure.stage):
        here = countries_of(trace.world, figure.place, row)
        bought = trace.measures["purchases_t"][:, row, here]
        total += np.nansum(bought * trace.measures["import_reliance"][:, row, here], axis=1)
    return total


def _import_multiple(trace: Trace, figure: Figure) -> float:
    if figure.against:
        return _multiple(_crossings(trace, figure, figure.against, figure.place), figure)
    return _multiple(_imports(trace, figure), figure)


def _import_share(trace: Trace, figure: Figure) -> float:
    seen = _mean(_crossings(trace, figure, figure.against, figure.place), figure.window)
    whole = _mean(_imports(trace, figure), figure.window)
    return seen / whole if whole > 0.0 else np.nan


def _export_multiple(trace: Trace, figure: Figure) -> float:
    return _multiple(_crossings(trace, figure, figure.place, figure.against or "world"), figure)


def _quota_used(trace: Trace, figure: Figure) -> float:
    first, last = figure.window
    kept = trace.limits.get(figure.against)
    if kept is None:
        return np.nan
    used, allowed = kept[first : last + 1].sum(axis=0)
    return float(used / allowed) if allowed > 0.0 else np.nan


MEASURES = {
    "price_multiple": Measure(
        "mean price in the window over that in the base window", Scale.ratio, _price_multiple
    ),
    "price_peak_multiple": Measure(
        "highest monthly price in the window over the mean of the base window",
        Scale.ratio,
        _price_peak_multiple,
    ),
    "price_gap": Measure(
        "mean price at the place over that at `against`, in the window",
        Scale.ratio,
        _price_gap,
        "place",
    ),
    "peak_month": Measure(
        "month of the highest price in the window, YYYY-MM", Scale.months, _peak_month
    ),
    "months_to_half": Measure(
        "months from the highest price in the window until it has halved; the length of the run "
        "where it never does",
        Scale.months,
        _months_to_half,
    ),
    "output_share": Measure(
        "share of the place in the world's output, in the window", Scale.share, _output_share
    ),
    "output_multiple": Measure(
        "output in the window over that of the base window", Scale.ratio, _output_multiple
    ),
    "import_share": Measure(
        "share of the place's imports that customs see come from `against`, in the window",
        Scale.share,
        _import_share,
        "place",
    ),
    "import_multiple": Measure(
        "imports in the window over those of the base window, from `against` alone if it is given",
        Scale.ratio,
        _import_multiple,
        "place or nothing",
    ),
    "export_multiple": Measure(
        "declared exports in the window over those of the base window, to `against` alone if it is "
        "given",
        Scale.ratio,
        _export_multiple,
        "place or nothing",
    ),
    "use_multiple": Measure(
        "use in the window over that of the base window", Scale.ratio, _use_multiple
    ),
    "stock_multiple": Measure(
        "stocks of buyers and state in the window over those of the base window",
        Scale.ratio,
        _stock_multiple,
    ),
    "quota_used": Measure(
        "declared exports under the control named in `against` over what it allows, in the window",
        Scale.share,
        _quota_used,
        "control",
    ),
}
PRICE_MEASURES = ("price_multiple", "price_peak_multiple", "price_gap", "peak_month",
                  "months_to_half")  # fmt: skip


# The observed table ---------------------------------------------------------------------------


def read_observed(
    path: Path, world: World, horizon: Horizon, controls: Sequence[str]
) -> list[Figure]:
    """Read and check a table of observed figures.

    Parameters
    ----------
    controls
        Names of the controls of the run.

    Raises
    ------
    ConfigError
        One sentence: the file, the row, the value, the cure.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as a table of observed figures ({error}); "
            "name a CSV file in hindcast.observed"
        ) from None
    missing = [name for name in COLUMNS if name not in table.columns and name not in OPTIONAL]
    if missing:
        raise ConfigError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; a table of "
            f"observed figures has {', '.join(COLUMNS)}"
        )
    if table.empty:
        raise ConfigError(f"{path} holds no figure; give at least one row")
    reader = _RowReader(path, world, horizon, tuple(controls))
    found = [reader.figure(row, number) for number, row in enumerate(table.to_dict("records"), 2)]
    names = [figure.name for figure in found]
    for number, name in enumerate(names):
        if name in names[:number]:
            reader.refuse(number + 2, f"name {name!r} stands twice; give each figure its own")
    return found


@dataclass(frozen=True)
class _RowReader:
    """Checks one table row by row."""

    path: Path
    world: World
    horizon: Horizon
    controls: tuple[str, ...]

    def refuse(self, number: int, reason: str) -> None:
        raise ConfigError(f"{self.path.name}, row {number}: {reason}")

    def figure(self, row: Mapping[str, str], number: int) -> Figure:
        cells = {name: row.get(name, "").strip() for name in COLUMNS}
        for name in ("name", "unit", "source"):
            if not cells[name]:
                self.refuse(number, f"{name} is empty; fill it in")
        for name, known in (("measure", tuple(MEASURES)), ("used_for", USES),
                            ("status", STATUSES), ("stage", ("mined", "refined"))):  # fmt: skip
            if cells[name] not in known:
                self.refuse(number, f"{name} is {cells[name]!r}; choose from {', '.join(known)}")
        self._check_mineral(cells, number)
        self._check_places(cells, number)
        window = self._window(cells, number, "window")
        base = (0, 0)
        if cells["base_start"] or cells["base_end"]:
            base = self._window(cells, number, "base")
        scale = MEASURES[cells["measure"]].scale
        value, low, high = self._values(cells, number, scale)
        return Figure(
            name=cells["name"],
            measure=cells["measure"],
            mineral=cells["mineral"],
            stage=cells["stage"],
            place=cells["place"],
            against=cells["against"],
            window=window,
            base=base,
            value=value,
            low=low,
            high=high,
            unit=cells["unit"],
            used_for=cells["used_for"],
            source=cells["source"],
            status=cells["status"],
        )

    def _check_mineral(self, cells: Mapping[str, str], number: int) -> None:
        mineral, stage, world = cells["mineral"], cells["stage"], self.world
        if not rows_of(world, mineral, stage):
            known = [*world.minerals, *sorted({name for name in world.families if name}), "all"]
            self.refuse(
                number,
                f"there is no {stage} market of {mineral!r} in this world; choose from "
                f"{', '.join(known)}, or the other stage",
            )

    def _check_places(self, cells: Mapping[str, str], number: int) -> None:
        wanted, against = MEASURES[cells["measure"]].against, cells["against"]
        named = [("place", cells["place"])]
        if wanted == "control":
            if against not in self.controls:
                self.refuse(
                    number,
                    f"against is {against!r}, which is no control of the run; choose from "
                    f"{', '.join(self.controls) or '(there is none)'}",
                )
        elif wanted == "place" or (wanted and against):
            named.append(("against", against))
        elif against:
            self.refuse(number, f"against is {against!r}, but {cells['measure']} takes none")
        for column, word in named:
            try:
                countries_of(self.world, word, 0)
            except ConfigError:
                self.refuse(
                    number,
                    f"{column} is {word!r}; give a country code, a circle of the table "
                    "memberships, world, abroad or home",
                )

    def _window(self, cells: Mapping[str, str], number: int, kind: str) -> tuple[int, int]:
        """First and last month of a window; the opening year is the opening month."""
        first, months = self.horizon.start, MONTHS * self.horizon.years
        ends = []
        for column in (f"{kind}_start", f"{kind}_end"):
            text = cells[column]
            if not MONTH.fullmatch(text):
                self.refuse(number, f"{column} is {text!r}; give a month as YYYY-MM")
            month = month_index(text, first)
            if not -MONTHS <= month < months:
                span = f"{month_name(first, -MONTHS)} to {month_name(first, months - 1)}"
                self.refuse(
                    number,
                    f"{column} is {text}, outside the run and its opening year, {span}; change it, "
                    "world.year, horizon.start or horizon.years",
                )
            ends.append(max(month, 0))
        if ends[1] < ends[0]:
            self.refuse(number, f"{kind}_end is {cells[f'{kind}_end']}, before {kind}_start")
        return ends[0], ends[1]

    def _values(
        self, cells: Mapping[str, str], number: int, scale: Scale
    ) -> tuple[float, float, float]:
        """Value and range; a usual error where no range is given."""
        value = self._value(cells, number, "value")
        usual = USUAL_ERROR[scale]
        low, high = value - usual, value + usual
        if scale is Scale.ratio:
            if value <= 0.0:
                self.refuse(number, f"value is {value:.10g}; a multiple is above zero")
            low, high = value * np.exp(-usual), value * np.exp(usual)
        low = self._value(cells, number, "low") if cells["low"] else low
        high = self._value(cells, number, "high") if cells["high"] else high
        if not low <= value <= high:
            self.refuse(number, f"value {value:.10g} is not between low {low:.10g} and high "
                                f"{high:.10g}; correct one of them")  # fmt: skip
        return value, low, high

    def _value(self, cells: Mapping[str, str], number: int, column: str) -> float:
        text = cells[column]
        if cells["measure"] == "peak_month":
            if not MONTH.fullmatch(text):
                self.refuse(number, f"{column} is {text!r}; give a month as YYYY-MM")
            return float(month_index(text, self.horizon.start))
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            self.refuse(number, f"{column} is {text!r}; give a number")
        return value


# Scores ---------------------------------------------------------------------------------------


def distance(figure: Figure, values: np.ndarray) -> np.ndarray:
    """How far simulated values lie from the observed one, in tolerances; positive: too high.

    Beyond `MOST` all count alike, and a value that is missing counts as that.
    """
    if figure.scale is Scale.ratio:
        apart = np.log(np.maximum(values, 1e-12) / figure.value) / TOLERANCE[Scale.ratio]
    else:
        apart = (values - figure.value) / TOLERANCE[figure.scale]
    return np.clip(np.where(np.isfinite(apart), apart, MOST), -MOST, MOST)


def ranked_score(distances: np.ndarray) -> float:
    """Continuous ranked probability score of an ensemble, in tolerances; zero is perfect.

    The mean distance to the observed value less half the mean distance between two members
    (Gneiting and Raftery 2007); for a single forecast it is the absolute error.
    """
    spread = np.abs(distances[:, None] - distances[None, :]).mean()
    return float(np.abs(distances).mean() - 0.5 * spread)


def score_figure(figure: Figure, values: np.ndarray) -> dict[str, float]:
    """Median and 80 % interval of an ensemble beside an observed figure, and its errors.

    Returns
    -------
    dict
        p10, median, p90 in the figure's unit; `error` of the median and `score` of the ensemble in
        tolerances; whether the interval meets the observed range (`inside`) and whether the median
        is within the tolerance (`close`).
    """
    known = values[np.isfinite(values)]
    low, middle, high = np.quantile(known, [0.1, 0.5, 0.9]) if known.size else [np.nan] * 3
    error = float(distance(figure, np.array([middle]))[0])
    return {
        "p10": float(low),
        "median": float(middle),
        "p90": float(high),
        "error": error,
        "score": ranked_score(distance(figure, values)),
        "inside": float(low <= figure.high and high >= figure.low),
        "close": float(abs(error) <= 1.0),
    }


def summary(scored: pd.DataFrame) -> dict[str, float]:
    """One forecast of an episode: how many figures, how close, how often inside.

    `log_error` is the mean absolute log error of the multiples alone.
    """
    ratios = scored[scored["scale"] == Scale.ratio.value]
    log_error = (TOLERANCE[Scale.ratio] * ratios["error"].abs()).mean()
    return {
        "figures": float(len(scored)),
        "score": float(scored["score"].mean()),
        "log_error": float(log_error) if len(ratios) else np.nan,
        "close": float(scored["close"].mean()),
        "inside": float(scored["inside"].mean()),
    }

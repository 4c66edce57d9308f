"""What is left after a control is over, and who stays: the words and tables of a run by choice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from abm.config import Config
from experiments.engine.store import read_by_seed
from experiments.figures import Scene, begun
from experiments.measures.aftermath import (
    Period,
    inside_counts,
    months_after,
    periods,
    price_left,
    remains,
    share,
    still_in_force,
    whereabouts,
)
from experiments.measures.effects import NO_MEMBERSHIP, NO_SHOCK, estimate_of
from experiments.report import Answer, effect_clause, interval, joined, number

TITLE = "What is left after the control, and who stays in the alliance"
NAMED = 6  # countries that a sentence names
LABELS = {
    "held_back": "Exports held back (% of opening value)",
    "counter_tariff": "Counter-tariffs on members’ opening imports (%)",
    "tension_felt": "Tension of the exporter towards members (0 to 1)",
    "tension_held": "Tension of members towards the exporter (0 to 1)",
    "commitment": "Members’ commitment (%)",
}
NOTES = (
    "Members are the founding members of a circle throughout, the same countries in every run and "
    "seed; who joins by choice counts among the others.",
    "Shares of seeds have Wilson’s 95 % interval, means over seeds Student’s t.",
)


@dataclass(frozen=True)
class Aftermath:
    """What the finished runs left, and what they were asked.

    Attributes
    ----------
    when
        The last year of the control and that of the run; empty without a control that ends.
    """

    config: Config
    scene: Scene
    stays: pd.DataFrame
    standing: pd.DataFrame
    peaks: pd.DataFrame
    when: dict[str, Period]

    @classmethod
    def of(cls, folder: Path, config: Config, scene: Scene) -> Aftermath:
        """From the tables of a results folder."""
        stays, standing, peaks = (
            read_by_seed(folder, name) for name in ("stays", "standing", "peaks")
        )
        when = periods(config) if scene.shock is not None else {}
        return cls(config, scene, stays, standing, peaks, when)

    @property
    def seeds(self) -> range:
        """Those of the runs."""
        return range(self.config.first_seed, self.config.first_seed + self.config.seeds)

    @property
    def control(self) -> str:
        """What the control is called in a sentence."""
        return f"the {self.config.shock.instrument.value}"

    @property
    def circles(self) -> list[str]:
        """Circles in which somebody ever was."""
        return list(dict.fromkeys(self.stays["membership"].astype(str)))

    def country(self, code: str) -> str:
        """A country's name."""
        return self.scene.names.get(code, code)


def aftermath(folder: Path, config: Config, scene: Scene) -> Answer | None:
    """The answer to both questions from a results folder; none where nobody is ever inside."""
    asked = Aftermath.of(folder, config, scene)
    if asked.stays.empty:
        return None
    where = whereabouts(asked.stays, asked.seeds)
    left = remains(asked.standing, asked.when, scene.shock or NO_SHOCK)
    sentences = [*left_sentences(asked, left)]
    for circle in asked.circles:
        sentences.append(staying_sentence(asked, where[where["membership"] == circle], circle))
    tables = {"who_stays": stay_table(asked, where)}
    if len(left):
        tables = {"what_is_left": left_table(asked, left), **tables}
    return Answer(sentences=sentences, figures=[], tables=tables, notes=NOTES, title=TITLE)


# ---------------------------------------------------------------- what is left


def left_sentences(asked: Aftermath, left: pd.DataFrame) -> list[str]:
    """What measures, answers and price are after the control, a sentence a circle."""
    if asked.scene.shock is None or asked.standing.empty:
        return []
    if not asked.when:
        end = asked.config.shock.end
        ends = f"is over in {end}, after" if end else "lasts until"
        return [
            f"{begun(asked.control)} {ends} the end of the run, so nothing is known of what is "
            f"left of it; {'more horizon.years would reach it' if end else 'give shock.end'}."
        ]
    period = asked.when["at the end"]
    months = len(pd.period_range(period.first, period.last, freq="M"))
    after = months_after(asked.config)
    span = f"{after - months + 1} to {after}" if months > 1 else f"{after}"
    force = still_in_force(asked.standing, period, str(asked.scene.shock)).set_index("membership")
    ends = left[left["period"] == "at the end"].set_index(["membership", "measure"])
    sentences = []
    for circle in asked.circles:
        if circle not in force.index:
            continue
        held, tariff = (
            _level(ends.loc[(circle, name)], asked) for name in ("held_back", "counter_tariff")
        )
        sentences.append(
            f"With the {asked.scene.membership_label(circle)}, {span} months after "
            f"{asked.control} has ended, {asked.country(asked.scene.exporter)} still holds back "
            f"{held} of its opening mineral exports and the founding members’ counter-tariffs are "
            f"{tariff} on their opening imports, on average; in the last month either is in force "
            f"in {_of_seeds(force.loc[circle])}. "
            f"{begun(asked.control)} that is over {_price(asked, circle, circle, period)}; without "
            f"an alliance it {_price(asked, circle, NO_MEMBERSHIP, period, 'what they pay')}."
        )
    return sentences


def _level(row: pd.Series, asked: Aftermath) -> str:
    """A mean level with its interval, and that of the same runs without the control."""
    values = [float(row[name]) for name in ("mean", "low", "high", "mean", "mean", "mean")]
    found = estimate_of(values, int(row["n"]), "%")
    without = f"{number(float(row['without']))} % without {asked.control}"
    return f"{number(found.mean)} % ({interval(found)}; {without})"


def _price(
    asked: Aftermath,
    circle: str,
    membership: str,
    period: Period,
    what: str = "what founding members pay for the minerals under it",
) -> str:
    return effect_clause(price_left(asked.peaks, circle, membership, period), what)


def left_table(asked: Aftermath, left: pd.DataFrame) -> pd.DataFrame:
    """The table of `remains` as readers see it."""
    spans = {name: f"{p.first} to {p.last}" for name, p in asked.when.items()}
    return pd.DataFrame(
        {
            "measure": left["measure"].map(LABELS),
            "circle": left["membership"].map(lambda m: begun(asked.scene.membership_label(m))),
            "months": left["period"].map(spans),
            f"with_{asked.control}": left["mean"],
            "95 % low": left["low"],
            "95 % high": left["high"],
            f"without_{asked.control}": left["without"],
            "seeds": left["n"],
        }
    )


# ---------------------------------------------------------------- who stays


def staying_sentence(asked: Aftermath, where: pd.DataFrame, circle: str) -> str:
    """How many are inside at the end, which founding members left and which outsiders joined."""
    shock = asked.scene.shock or NO_SHOCK
    counts = inside_counts(asked.stays, asked.seeds)
    end, calm = counts[circle, shock], counts.get((circle, NO_SHOCK))
    beside = interval(end)
    if shock != NO_SHOCK and calm is not None:
        beside += f"; {number(calm.mean)} without {asked.control}"
    own = where[where["shock"] == shock]
    founding = own[own["founding"]].sort_values("count", ascending=False)
    outsiders = own[~own["founding"]].sort_values(["count", "country"], ascending=[False, True])
    under = f"With {asked.control}" if shock != NO_SHOCK else "In calm"
    return (
        f"{under}, {number(end.mean)} countries are inside the "
        f"{asked.scene.membership_label(circle)} when the run ends ({beside}). Of its "
        f"{len(founding)} founding member{'' if len(founding) == 1 else 's'} there leave, for a "
        f"while or for good: {_moves(founding, asked)}. Of the others there join: "
        f"{_moves(outsiders, asked)}."
    )


def _moves(rows: pd.DataFrame, asked: Aftermath) -> str:
    """Which countries move in what share of seeds, the most frequent by name."""
    moved = rows[rows["count"] > 0]
    if moved.empty:
        seeds = len(asked.seeds)
        high = number(share(0, seeds)["high"])
        return f"none in any seed{f' (95 % interval 0 to {high} %)' if seeds > 1 else ''}"
    parts = []
    for _, alike in moved[:NAMED].groupby("count", sort=False):
        names = joined([asked.country(country) for country in alike["country"]])
        parts.append(f"{names} in {_of_seeds(alike.iloc[0])}")
    rest = len(moved) - NAMED
    if rest > 0:
        most = number(float(moved["percent"].iloc[NAMED]))
        parts.append(f"{rest} more" + f" in up to {most} %" * (len(asked.seeds) > 1))
    return joined(parts, "; ")


def _of_seeds(row: pd.Series) -> str:
    """A share of seeds with its interval."""
    if row["seeds"] < 2:
        return "the only seed" if row["count"] else "no seed (there is one)"
    bounds = f"95 % interval {number(row['low'])} to {number(row['high'])}"
    return f"{number(row['percent'])} % of seeds ({bounds})"


def stay_table(asked: Aftermath, where: pd.DataFrame) -> pd.DataFrame:
    """The table of `whereabouts` as readers see it: a row a circle and country."""
    rows = []
    for (circle, country), part in where.groupby(["membership", "country"], sort=False):
        first = part.iloc[0]
        row = {
            "country": asked.country(str(country)),
            "circle": begun(asked.scene.membership_label(str(circle))),
            "founding member": "yes" if first["founding"] else "no",
        }
        for _, shocked in part.sort_values("shock", key=lambda names: names == NO_SHOCK).iterrows():
            run = "calm" if shocked["shock"] == NO_SHOCK else asked.control
            row[f"left or joined, {run} (% of seeds)"] = _cell(shocked, "")
            row[f"inside at the end, {run} (% of seeds)"] = _cell(shocked, "end_")
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(row: pd.Series, which: str) -> str:
    low, high = (number(float(row[f"{which}{name}"])) for name in ("low", "high"))
    text = number(float(row[f"{which}percent"]))
    return text if row["seeds"] < 2 else f"{text} [{low}, {high}]"

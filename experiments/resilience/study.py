"""Every supplier is cut off, one at a time: who holds out for how long, and is back when.

Every cut is paired with the undisturbed run of the same circle under the same seed. A supplier is
cut in all its minerals in one run: markets of different minerals do not meet, so that the run of
each mineral by itself would give the same figures.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from abm.accession import REST
from abm.config import (
    Config,
    ConfigError,
    Control,
    Cut,
    Instrument,
    Outage,
    month_index,
    month_name,
)
from abm.model import MineralModel
from abm.scenario import check_country, members_of
from abm.world import MONTHS, World
from experiments.figures import MEMBERSHIP_LABELS, Drawn, mineral_label
from experiments.measures.effects import NO_MEMBERSHIP, Estimate, estimate
from experiments.report import Answer, effect_clause, number
from experiments.resilience.figures import league_figure, worst_figure
from experiments.resilience.times import supply_lost, time_to_recover, time_to_survive
from experiments.studies.paired import AgainstCalm, Pair
from experiments.study import Cell, Study

SURVIVE, RECOVER, LOST = "time_to_survive", "time_to_recover", "supply_lost"
WORST, PEAK, SHARE, COVER = "least_available", "peak_price", "supplier_share", "cover"
TIMES = (SURVIVE, RECOVER)
PLACE = ["supplier", "country", "mineral"]
NAMED = 10  # cases of the second sentence
SHOWN = 16  # cases in the figure of the league
LEAST_SUPPLY = 1e-9  # t/month: who is supplied with less has nothing to lose
MOST_SILENT = 0.005  # months of supply lost: below, a cut is not felt


def resilience_study(config: Config, world: World) -> Study:
    """Every supplier cut off without an alliance and with each circle of the settings.

    Raises
    ------
    ConfigError
        Without a circle, with a shock, or where a cut does not fit into the horizon.
    """
    check_cut(config)
    groups = {
        name: members_of(circle, name, world) for name, circle in config.membership.circles.items()
    }
    users = tuple(code for code in world.countries if any(code in g for g in groups.values()))
    cells = [
        Cell(
            labels={"alliance": alliance, "supplier": supplier},
            config=cut_off(config, supplier),
            membership=alliance,
            shocked=config.resilience.cut is Cut.ban,
            group=users,
        )
        for alliance in (NO_MEMBERSHIP, *groups)
        for supplier in suppliers(config, world)
    ]
    return Study(
        title="How long users hold out when a supplier is cut off, and when they have recovered",
        cells=cells,
        measure=resilience_outcomes,
        answer=lambda outcomes, world: answer(outcomes, world, config),
        job=AgainstCalm.of(config),
        together=len(cells) // (1 + len(groups)),
    )


def check_cut(config: Config) -> None:
    """Refuse settings under which nothing could be cut, or nobody recover."""
    settings = config.resilience
    if not config.membership.circles:
        raise ConfigError(
            "The study of resilience measures the members of a circle; give one such as "
            "membership=washington"
        )
    if config.shock.instrument is not Instrument.none:
        raise ConfigError(
            f"shock.name is {config.shock.name!r}, but the study of resilience makes its own cuts; "
            "give shock=none"
        )
    begins = month_index(settings.start, config.horizon.start)
    left = config.horizon.years * MONTHS - begins - settings.months
    if begins < 1 or left < settings.settled_months:
        raise ConfigError(
            f"A cut from {settings.start} for {settings.months} months does not fit into the run, "
            f"which starts in {config.horizon.start}, lasts {config.horizon.years} years and needs "
            f"{settings.settled_months} months after the cut to see a recovery; change "
            "resilience.start, resilience.months or horizon.years"
        )


def suppliers(config: Config, world: World) -> list[str]:
    """Who is cut off: those the settings name, else who ships enough of some mineral abroad.

    Raises
    ------
    ConfigError
        For a country that no table knows, or where nobody ships that much.
    """
    named = config.resilience.suppliers
    for code in named:
        check_country(code, "resilience.suppliers", world)
    if named:
        return [code for code in world.countries if code in named]
    large = (trade_share(world) >= config.resilience.least_share).any(axis=0)
    found = [code for code, big in zip(world.countries, large, strict=True) if big and code != REST]
    if not found:
        raise ConfigError(
            f"resilience.least_share is {config.resilience.least_share:g}, and no country ships "
            "that much of the foreign trade in a mineral; lower it"
        )
    return found


def trade_share(world: World) -> np.ndarray:
    """[market, country] share of each in what crosses borders at the opening."""
    abroad = world.flow.sum(axis=2) - np.einsum("mii->mi", world.flow)
    total = abroad.sum(axis=1, keepdims=True)
    return np.divide(abroad, total, out=np.zeros_like(abroad), where=total > 0)


def cut_off(config: Config, supplier: str) -> Config:
    """The settings with a supplier that ships nothing abroad, or makes nothing, for a while."""
    settings = config.resilience
    first = month_index(settings.start, config.horizon.start)
    dates: dict[str, Any] = {
        "start": settings.start,
        "end": month_name(config.horizon.start, first + settings.months),
    }
    if settings.cut is Cut.outage:
        outage = Outage(name="cut", by=supplier, minerals=["all"], **dates)
        return dataclasses.replace(config, outages=[*config.outages, outage])
    ban = Control(
        name="cut",
        instrument=Instrument.ban,
        by=supplier,
        targets=["world"],
        minerals=["all"],
        announced=settings.start,
        enforcement=1.0,
        **dates,
    )
    return dataclasses.replace(config, shock=ban)


# ---------------------------------------------------------------- what is measured


def resilience_outcomes(pair: Pair, cell: Cell) -> pd.DataFrame:
    """How the users of a cell fared in the refined minerals, against the undisturbed run.

    Returns
    -------
    pd.DataFrame
        Columns mineral, country, measure and value: months until supply falls short
        (`time_to_survive`) and until supply and price are back (`time_to_recover`), infinite where
        that does not come; months of supply lost; the least supply (percent of undisturbed) and the
        highest price (over undisturbed); the supplier's share of the country's opening purchases,
        direct or in the ore of who refines for it (percent); and months of use in stock, strategic
        ones among them, in the month before the cut. A supplier's own users are left out.
    """
    world, settings = pair.struck.world, cell.config.resilience
    supplier = world.country(cell.labels["supplier"])
    start = month_index(settings.start, cell.config.horizon.start)
    users = [code for code in cell.group if code != cell.labels["supplier"]]
    columns = np.array([world.country(code) for code in users], dtype=np.int64)
    rows = world.refined_market
    supply, price = (
        [values(model, rows, columns) for model in pair] for values in (supplied, landed_price)
    )
    using = (supply[0][start:] > LEAST_SUPPLY).all(axis=0)
    available, dearer = (_ratio(struck[start:], calm[start:]) for calm, struck in (supply, price))
    stored = sum(
        pair.calm.record.measures[name][start - 1][np.ix_(rows, columns)]
        for name in ("buyer_stock_t", "strategic_stock_t")
    )
    found = {
        SURVIVE: time_to_survive(available[: settings.months], settings.survival),
        RECOVER: time_to_recover(available, dearer, settings.band, settings.settled_months),
        LOST: supply_lost(available),
        WORST: 100.0 * available.min(axis=0),
        PEAK: dearer.max(axis=0),
        SHARE: 100.0 * share_of_supplier(world, supplier)[np.ix_(np.arange(rows.size), columns)],
        COVER: _ratio(stored, supply[0][start - 1]),
    }
    mineral, user = np.nonzero(using)
    parts = [
        pd.DataFrame(
            {
                "mineral": np.array(world.minerals)[mineral],
                "country": np.array(users)[user],
                "measure": name,
                "value": values[mineral, user],
            }
        )
        for name, values in found.items()
    ]
    return pd.concat(parts, ignore_index=True)


def supplied(model: MineralModel, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[month, market, country] t/month used, in tonnes of the opening's designs.

    Who has learnt to make the same product with less is supplied with less.
    """
    measures = model.record.measures
    used = measures["use_t"][:, rows][:, :, columns]
    intensity = measures["use_intensity"][:, rows][:, :, columns]
    return used / np.where(intensity > 0.0, intensity, 1.0)


def landed_price(model: MineralModel, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[month, market, country] USD/kg that users pay on delivery."""
    return model.record.measures["landed_price_usd_per_kg"][:, rows][:, :, columns]


def _ratio(struck: np.ndarray, calm: np.ndarray) -> np.ndarray:
    """One over the other; one where both have nothing to compare."""
    known = np.isfinite(struck) & np.isfinite(calm) & (calm > 0.0)
    return np.divide(struck, calm, out=np.ones_like(struck), where=known)


def share_of_supplier(world: World, supplier: int) -> np.ndarray:
    """[mineral, country] share of a supplier in what is bought refined, ore included.

    What others refine counts by the share of the supplier in the ore they buy.
    """
    bought = world.flow.sum(axis=1, keepdims=True)
    share = np.divide(world.flow, bought, out=np.zeros_like(world.flow), where=bought > 0)
    found = []
    for mined, refined in zip(world.mined_market, world.refined_market, strict=True):
        by_ore = share[mined, supplier].copy() if mined >= 0 else np.zeros(len(world.countries))
        by_ore[supplier] = 1.0
        found.append(by_ore @ share[refined])
    return np.array(found)


# ---------------------------------------------------------------- what was found


def league(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Every user, mineral and supplier, the most vulnerable first, with and without an alliance.

    Returns
    -------
    pd.DataFrame
        Columns rank (by months of supply lost without an alliance, mean over seeds), supplier,
        country, mineral, alliance; for each time its median with the 80 % band over seeds and
        the share of seeds in which it is finite; supply_lost with its mean, 95 % t-interval (low,
        high) and 80 % band; and medians of the other measures.
    """
    wide = outcomes.pivot(index=["alliance", *PLACE, "seed"], columns="measure", values="value")
    rows = []
    for key, part in wide.groupby(level=["alliance", *PLACE], sort=False):
        row: dict[str, object] = dict(zip(["alliance", *PLACE], key, strict=True))
        for name in TIMES:
            row |= time_band(part[name].to_numpy(), name)
        lost = estimate(part[LOST].to_numpy(), "months")
        row |= {LOST: lost.mean, f"{LOST}_low": lost.low, f"{LOST}_high": lost.high}
        row |= {f"{LOST}_p10": lost.p10, f"{LOST}_p90": lost.p90}
        rows.append(row | part[[WORST, PEAK, SHARE, COVER]].median().to_dict())
    table = pd.DataFrame(rows)
    alliances = {name: place for place, name in enumerate(outcomes["alliance"].unique())}
    table = table.sort_values("alliance", key=lambda names: names.map(alliances), kind="stable")
    first = table[table["alliance"] == NO_MEMBERSHIP]
    order = first.sort_values([LOST, *PLACE], ascending=[False, True, True, True])[PLACE]
    order.insert(0, "rank", np.arange(1, len(order) + 1))
    return order.merge(table, on=PLACE, how="left", sort=False)


def time_band(values: np.ndarray, name: str) -> dict[str, float]:
    """Median and 80 % band over seeds of times of which some may be infinite.

    Quantiles are observed times: between a finite and an infinite one there is nothing.
    """
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9], method="inverted_cdf")
    return {
        name: float(median),
        f"{name}_p10": float(low),
        f"{name}_p90": float(high),
        f"{name}_finite": float(np.isfinite(values).mean()),
    }


def worst_suppliers(table: pd.DataFrame) -> pd.DataFrame:
    """The supplier whose cut costs each country most of each mineral, by alliance."""
    order = table.sort_values(LOST, ascending=False, kind="stable")
    return order.drop_duplicates(["alliance", "country", "mineral"]).reset_index(drop=True)


def hardest_hit(table: pd.DataFrame) -> pd.DataFrame:
    """Of each supplier and mineral the country that loses most without an alliance; the worst."""
    alone = table[table["alliance"] == NO_MEMBERSHIP].sort_values("rank")
    cases = alone.drop_duplicates(["supplier", "mineral"])
    felt = cases[cases[LOST] > MOST_SILENT]
    chosen = (felt if len(felt) else cases)["rank"].iloc[:SHOWN]
    return table[table["rank"].isin(chosen)].reset_index(drop=True)


def alliance_effect(outcomes: pd.DataFrame, places: pd.DataFrame, alliance: str) -> Estimate:
    """What an alliance does to the months of supply lost, mean over some cases; paired seeds."""
    lost = outcomes[outcomes["measure"] == LOST].merge(places[PLACE], on=PLACE)
    means = lost.groupby(["alliance", "seed"])["value"].mean()
    change = means.loc[alliance] - means.loc[NO_MEMBERSHIP]
    return estimate(change.to_numpy(), "months")


def answer(outcomes: pd.DataFrame, world: World, config: Config) -> Answer:
    """Sentences, figures and tables of the study."""
    table = league(outcomes)
    names = dict(zip(world.countries, world.country_names, strict=True))
    table = table.assign(
        supplier_name=table["supplier"].map(names),
        country_name=table["country"].map(names),
        cut_months=config.resilience.months,
    )
    shown = hardest_hit(table)
    worst = worst_suppliers(table)
    settings = config.resilience
    cut = "ships nothing abroad" if settings.cut is Cut.ban else "makes nothing"
    drawn = [
        Drawn(
            name="league",
            title="The most vulnerable",
            caption=f"A supplier {cut} for {settings.months} months. Months until supply falls "
            f"below {100 * settings.survival:g} % of the undisturbed run, months until supply and "
            f"price are back for good (short or dear by {100 * settings.band:g} % at most), and "
            "months of supply lost. Dots: medians over paired seeds (of supply lost, means), lines "
            "80 % of seeds; an arrow: not within the cut, or not within the run. Of each mineral "
            "and supplier the member that loses most without an alliance; the worst of them.",
            alt=f"Dot and interval chart of the {shown['rank'].nunique()} most vulnerable cases.",
            figure=league_figure(shown),
            table=shown,
        ),
        Drawn(
            name="worst_supplier",
            title="Who is needed most",
            caption="For each country and mineral the supplier whose cut costs most, and the "
            "months of supply lost (mean over seeds; ISO codes); blank where no cut is felt.",
            alt="Heat tables of supply lost, country by mineral, with the worst supplier.",
            figure=worst_figure(worst),
            table=worst,
        ),
    ]
    return Answer(
        sentences=_sentences(outcomes, table, config),
        figures=drawn,
        tables={"league": table, "most_vulnerable": _best_of(table)},
        notes=_notes(config),
    )


def _best_of(table: pd.DataFrame) -> pd.DataFrame:
    """A short table to read."""
    columns = ["rank", *PLACE, "alliance", SHARE, COVER, *TIMES, LOST, WORST, PEAK]
    return table.loc[table["rank"] <= SHOWN, columns]


def _sentences(outcomes: pd.DataFrame, table: pd.DataFrame, config: Config) -> list[str]:
    settings = config.resilience
    first = table[(table["rank"] == 1) & (table["alliance"] == NO_MEMBERSHIP)].iloc[0]
    alone = table[table["alliance"] == NO_MEMBERSHIP]
    short = int(np.isfinite(alone[SURVIVE]).sum())
    verb = "stops all exports" if settings.cut is Cut.ban else "stops producing"
    if first[LOST] <= MOST_SILENT:
        return [
            "Without an alliance no member goes without any mineral in any of the "
            f"{len(alone)} cases in which a supplier {verb} for {settings.months} months."
        ]
    opening = (
        f"Without an alliance the most vulnerable is {mineral_label(first['mineral']).lower()} in "
        f"{first['country_name']} when {first['supplier_name']} {verb} for {settings.months} "
        f"months: it {_survival(first, settings.months)}, {_recovery(first)}, and loses "
        f"{number(first[LOST])} months of supply ({_interval(first)}); in {short} of {len(alone)} "
        f"cases supply falls below {100 * settings.survival:g} % of the undisturbed run."
    )
    places = table[table["rank"] <= NAMED].drop_duplicates("rank")
    clauses = [
        f"the {_label(alliance)} "
        + effect_clause(alliance_effect(outcomes, places, alliance), "the supply lost")
        for alliance in config.membership.circles
    ]
    return [opening, f"In the {len(places)} worst cases together {'; '.join(clauses)}."]


def _survival(row: pd.Series, months: int) -> str:
    if not np.isfinite(row[SURVIVE]):
        return f"holds out all {months} months"
    return f"holds out {_months(row[SURVIVE])}{_span(row, SURVIVE)}"


def _recovery(row: pd.Series) -> str:
    if not np.isfinite(row[RECOVER]):
        return "has not recovered by the end of the run"
    return f"has recovered after {_months(row[RECOVER])}{_span(row, RECOVER)}"


def _months(number: float) -> str:
    return f"{number:g} {'month' if number == 1.0 else 'months'}"


def _interval(row: pd.Series) -> str:
    low, high = row[f"{LOST}_low"], row[f"{LOST}_high"]
    if not np.isfinite(low):
        return "one seed, so no interval"
    return f"95 % interval {number(low)} to {number(high)}"


def _span(row: pd.Series, name: str) -> str:
    if not np.isfinite(row[f"{LOST}_low"]):
        return ""  # of one seed there is no span
    low, high = row[f"{name}_p10"], row[f"{name}_p90"]
    end = f"{high:g}" if np.isfinite(high) else "never"
    return f" (80 % of seeds: {low:g} to {end})"


def _label(alliance: str) -> str:
    return MEMBERSHIP_LABELS.get(alliance, alliance.replace("_", " "))


def _notes(config: Config) -> list[str]:
    settings = config.resilience
    who = (
        f"the countries {', '.join(settings.suppliers)}"
        if settings.suppliers
        else f"every country with at least {100 * settings.least_share:g} % of the foreign trade "
        "in some mineral, mined or refined"
    )
    return [
        f"Cut off one at a time: {who}, in all minerals and at both stages at once. Markets of "
        "different minerals do not meet under these settings, so that one run for each supplier "
        "tells what a run for each of its minerals would.",
        "Times are those of Simchi-Levi et al. (2015), to survive and to recover. Supply is the "
        "use of refined products in tonnes of the opening’s designs, whether the rest is missing "
        "or too dear: who has learnt to do with less is supplied with less. Quantiles over seeds "
        "are observed times, so that one may be infinite.",
        f"The cut is news when it begins, complete and without a way around, and ends after "
        f"{settings.months} months; recovery must last {settings.settled_months} months to the end "
        "of the run at least.",
        "The supplier’s share counts what others refine from its ore.",
    ]

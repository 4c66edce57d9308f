"""What the study of accession found, in words, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import pandas as pd

from abm.config import Config
from abm.world import World
from experiments.accession.figures import (
    candidates_ranking,
    minerals_heatmap,
    pairs_heatmap,
    shapley_bars,
)
from experiments.accession.game import Game
from experiments.accession.values import (
    CANDIDATE,
    FOES,
    ITSELF,
    MEMBERS,
    OTHER_MEMBERS,
    PRICE,
    PUBLIC_COST,
    RECEIVED,
    WORLD,
    Outcomes,
    candidates_table,
    gap,
    is_exact,
    pairs_table,
    places_table,
    price_joining,
    price_parts,
    relative_error,
    shapley_table,
)
from experiments.figures import MEMBERSHIP_LABELS, Drawn
from experiments.measures.effects import ALL, Estimate, estimate
from experiments.measures.indicators import CRISIS
from experiments.report import Answer, effect_clause, interval, number


def answer(config: Config, game: Game, outcomes: pd.DataFrame, world: World) -> Answer:
    """Sentences, figures and tables of the study."""
    found = Outcomes.of(outcomes, game, config.joining)
    names = names_of(game, world)
    values = named(shapley_table(found), names, player="name")
    pairs = named(pairs_table(found), names, player="name", to="to_name")
    places = named(places_table(found), names, player="name")
    candidates = ranked(named(candidates_table(found), names, candidate="name"))
    return Answer(
        sentences=sentences(values, candidates, found),
        figures=drawn(values, pairs, candidates),
        tables={
            "what_each_member_brings": brought(values, places),
            "who_should_join_next": joining(candidates),
        },
        notes=notes(found),
    )


def names_of(game: Game, world: World) -> dict[str, str]:
    """What readers call every party."""
    known = dict(zip(world.countries, world.country_names, strict=True))
    return {
        **{party: known.get(party, party.replace("_", " ").capitalize()) for party in game.parties},
        FOES: "Non-allied",
        WORLD: "Rest of the world",
        ALL: "All members",
    }


def named(table: pd.DataFrame, names: Mapping[str, str], **columns: str) -> pd.DataFrame:
    """The table with the names of those in some columns, in columns called as given."""
    for column, name in columns.items():
        if len(table):
            table.insert(list(table).index(column) + 1, name, table[column].map(names))
    return table


def ranked(candidates: pd.DataFrame) -> pd.DataFrame:
    """Candidates by what their joining does to the price of present members, the best first.

    Under the shock, with `rank` from 1.
    """
    if candidates.empty:
        return candidates
    by = candidates[
        (candidates["shock"] == CRISIS)
        & (candidates["measure"] == PRICE)
        & (candidates["part"] == MEMBERS)
    ].set_index("candidate")["mean"]
    rank = by.rank(method="first").astype(int)
    candidates.insert(0, "rank", candidates["candidate"].map(rank))
    return candidates.sort_values("rank", kind="stable").reset_index(drop=True)


# ---------------------------------------------------------------- words


def estimate_in(table: pd.DataFrame, **where: str) -> Estimate:
    """The estimate of one row of a table."""
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = table.to_dict("records")
    return Estimate(**{item.name: row[item.name] for item in fields(Estimate)})


def sentences(values: pd.DataFrame, candidates: pd.DataFrame, outcomes: Outcomes) -> list[str]:
    """What the members bring, then who should join next; an order only where it is resolved."""
    game = outcomes.game
    at = {"shock": CRISIS, "measure": PRICE, "part": MEMBERS, "mineral": ALL}
    label = MEMBERSHIP_LABELS.get(game.circle, game.circle.replace("_", " "))
    whole = estimate_in(values, player=ALL, **at)
    sign = -1.0 if whole.mean < 0 else 1.0
    parts = {name: sign * part for name, part in price_parts(outcomes).items()}
    called = dict(zip(values["player"], values["name"], strict=True))
    order = by_size(parts)
    most = estimate_in(values, player=order[0], **at)
    size = f"{called[order[0]]} ({number(most.mean, signed=True)} points, {interval(most)})"
    doubts = [unresolved(parts, called), "" if most.clear else "it may be nothing"]
    doubt = " and ".join(filter(None, doubts))
    found = [
        f"Under the shock, membership of the {label} "
        f"{effect_clause(whole, 'what its members pay')}; "
        + (
            f"which member brings most of it is not resolved: the estimate is largest for {size}, "
            f"but {doubt}."
            if doubt
            else f"the largest part comes with {size}, clearly more than with any other member."
        )
    ]
    if candidates.empty:
        return found
    best = str(candidates["candidate"].iloc[0])
    where = {"shock": CRISIS, "measure": PRICE, "candidate": best}
    members = estimate_in(candidates, part=MEMBERS, **where)
    own = estimate_in(candidates, part=CANDIDATE, **where)
    called = dict(zip(candidates["candidate"], candidates["name"], strict=True))
    found.append(
        f"{_first_of(price_joining(outcomes), called)}: its joining "
        f"{effect_clause(members, 'the price that present members pay')} and "
        f"{effect_clause(own, 'the price that it pays itself')}."
    )
    return found


def by_size(parts: Mapping[str, np.ndarray]) -> list[str]:
    """Names by the mean of their values over seeds, the largest first."""
    return sorted(parts, key=lambda name: -float(parts[name].mean()))


def unresolved(parts: Mapping[str, np.ndarray], called: Mapping[str, str]) -> str:
    """Of how many others the first is not clearly ahead; "" where of all of them it is.

    Leads are paired differences over seeds; larger values are ahead. A 95 % interval for each is
    enough: to be ahead of all, the first must pass every one of them.
    """
    first, *others = by_size(parts)
    if not others:
        return ""
    leads = [estimate(parts[first] - parts[name], "points") for name in others]
    doubtful = [at for at, lead in enumerate(leads) if not lead.clear]
    if not doubtful:
        return ""
    name, lead = called[others[doubtful[0]]], leads[doubtful[0]]
    return (
        f"its lead is not clear over {len(doubtful)} of the {len(others)} others (over {name} "
        f"{number(lead.mean)} points, {interval(lead)})"
    )


def _first_of(joining: Mapping[str, np.ndarray], called: Mapping[str, str]) -> str:
    """Who lowers the price of present members most, and whether clearly."""
    lowered = {name: -change for name, change in joining.items()}
    first = called[by_size(lowered)[0]]
    if len(joining) == 1:
        return f"The one candidate is {first}"
    order = f"Of {len(joining)} candidates, {first} comes first"
    doubt = unresolved(lowered, called)
    return f"{order}, but {doubt}" if doubt else f"{order}, clearly ahead of all others"


def notes(found: Outcomes) -> list[str]:
    """How to read the values."""
    names = found.game.names
    if is_exact(found.game, found.joining):
        how = f"all {1 << len(names)} coalitions of the {len(names)} players were run"
    else:
        how = (
            f"{found.rings} rings of sampled orders were run in every seed (each ring holds "
            f"{2 * len(names)} orders of joining, with every player twice in every place and every "
            "order with its reverse), and sampling leaves a standard error of at most "
            f"{100 * relative_error(found):.1f} % of the largest value for members’ price"
        )
    return [
        "The Shapley value of a member is what its joining changes, averaged over all orders in "
        f"which the members can join; {how}. The values add up to the effect of the whole alliance "
        f"(largest miss {gap(found):.0e} of it).",
        "The worth of a coalition is the outcome when exactly its countries are the alliance, "
        "against no alliance, under the same seed; in calm over the whole horizon, else over the "
        "first 24 months of the shock. The shock keeps its targets whoever joins.",
        "Price: cost of the opening basket of refined minerals under the shock, in percent of what "
        "all members pay for it without an alliance. Dependence: non-allied share of purchases, "
        "markets by opening expenditure, in percentage points for all members together. Welfare: "
        "surplus of consumers, producers, holders of rents and treasuries, both stages. Public "
        "cost: what treasuries lose.",
        "A candidate joins together with the present members, and is ranked by what this does to "
        "the price they pay under the shock. Its own price is in percent of what it pays outside.",
        "A lead is clear where the 95 % interval of the paired difference over seeds leaves out "
        "zero; who leads must do so over every other.",
    ]


# ---------------------------------------------------------------- what is shown


def drawn(values: pd.DataFrame, pairs: pd.DataFrame, candidates: pd.DataFrame) -> list[Drawn]:
    """The figures of the study."""
    found = [
        Drawn(
            name="accession_shapley",
            title="What each member brings, and what it receives",
            caption="Shapley values of membership: the part of the alliance’s effect on all "
            "members that comes with each of them, split by who benefits. Dots: sum of both parts, "
            "mean over paired seeds with 95 % t-interval. Diamonds: what the member receives from "
            "all, itself included. Left of zero is good for price and non-allied share, right of "
            "zero for welfare.",
            alt=_alt(values),
            figure=shapley_bars(values),
            table=values,
        )
    ]
    if len(candidates):
        found.append(
            Drawn(
                name="accession_candidates",
                title="Who should join next",
                caption="Effect of adding each candidate to the present circle, against the circle "
                "as it is: means over paired seeds with 95 % t-intervals. Ranked by the price that "
                "present members pay under the shock.",
                alt="Dot and interval chart of the effect of each candidate’s joining; first is "
                f"{candidates['name'].iloc[0]}.",
                figure=candidates_ranking(candidates),
                table=candidates,
            )
        )
    by_mineral = values[(values["mineral"] != ALL) & (values["part"] == MEMBERS)]
    last = {
        "accession_minerals": ("What each member brings, by mineral", minerals_heatmap, by_mineral),
        "accession_pairs": ("Who brings what to whom", pairs_heatmap, pairs),
    }
    for name, (title, figure, table) in last.items():
        found.append(
            Drawn(
                name=name,
                title=title,
                caption="Shapley values under the shock, means over paired seeds. Blue is good, "
                "red bad for those concerned; what rounds to nothing is blank.",
                alt=f"Heat maps. {title}, in price and in welfare.",
                figure=figure(table),
                table=table,
            )
        )
    return found


def _alt(values: pd.DataFrame) -> str:
    rows = values[
        (values["shock"] == CRISIS)
        & (values["measure"] == PRICE)
        & (values["part"] == MEMBERS)
        & (values["mineral"] == ALL)
    ]
    pairs = zip(rows["name"], rows["mean"], strict=True)
    parts = ", ".join(f"{name} {number(mean, signed=True)} %" for name, mean in pairs)
    return f"Stacked bars by member. Members’ price under the shock: {parts}."


def brought(values: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """A row for each member: what it brings to itself and others, first and last, and receives."""
    rows = values[values["mineral"] == ALL]
    keys = ["shock", "measure", "unit", "name"]
    wide = rows.pivot(index=keys, columns="part", values="mean")
    whole = rows[rows["part"] == MEMBERS].set_index(keys)
    ends = places.pivot(index=keys, columns="place", values="mean")
    columns = {
        "brings_to_itself": wide[ITSELF],
        "brings_to_other_members": wide[OTHER_MEMBERS],
        "brings_to_all_members": whole["mean"],
        "low": whole["low"],
        "high": whole["high"],
        "sampling_error": whole["sampling_error"],
        "receives_from_all": wide[RECEIVED],
        "brings_if_first": ends["first"],
        "brings_if_last": ends["last"],
    }
    return pd.DataFrame(columns).reindex(whole.index).reset_index()


def joining(candidates: pd.DataFrame) -> pd.DataFrame:
    """A row for each candidate and measure: what its joining changes under the shock, for whom."""
    if candidates.empty:
        return candidates
    rows = candidates[(candidates["shock"] == CRISIS) & (candidates["measure"] != PUBLIC_COST)]
    keys = ["rank", "name", "measure", "unit"]
    found = rows[keys].drop_duplicates().set_index(keys)
    for part, name in ((MEMBERS, "present_members"), (CANDIDATE, "candidate")):
        own = rows[rows["part"] == part].set_index(keys)
        for column in ("mean", "low", "high"):
            found[name if column == "mean" else f"{name}_{column}"] = own[column]
    return found.reset_index()

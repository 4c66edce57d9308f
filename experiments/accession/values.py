"""From the outcomes of coalitions to what each member brings and gains, and each candidate would.

Every number is a difference between runs of one seed, so that luck common to both drops out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from abm.config import Joining
from abm.streams import stream
from experiments.accession.game import NOBODY, NON_ALLIED, Game
from experiments.accession.outcomes import BASKET, EXPOSED, OPENING, QUANTITIES, SURPLUS
from experiments.accession.shapley import (
    Order,
    draw_ring,
    everybody,
    exact_values,
    ring_coalitions,
    ring_values,
    sampling_error,
)
from experiments.measures.effects import ALL, estimate
from experiments.measures.indicators import CRISIS

PRICE, DEPENDENCE, WELFARE, PUBLIC_COST = "price", "dependence", "welfare", "public_cost"
UNITS = {
    PRICE: "%",
    DEPENDENCE: "points",
    WELFARE: "million USD a year",
    PUBLIC_COST: "million USD a year",
}
ITSELF, OTHER_MEMBERS, MEMBERS = "itself", "other members", "all members"
RECEIVED = "received from all"
FOES, WORLD = "non-allied", "rest of the world"
CANDIDATE, TOGETHER = "candidate", "members and candidate"

Worth = Mapping[str, np.ndarray]  # coalition -> [party, mineral, quantity] of one seed and shock


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of a study as arrays.

    Attributes
    ----------
    worth
        By shock and seed, then by coalition: [party, mineral, quantity] million USD a year.
    """

    game: Game
    joining: Joining
    minerals: tuple[str, ...]
    worth: Mapping[tuple[str, int], Worth]

    @classmethod
    def of(cls, table: pd.DataFrame, game: Game, joining: Joining) -> Outcomes:
        """From the table of all outcomes, in which each run has its rows party by party."""
        minerals = tuple(dict.fromkeys(table["mineral"]))
        shape = (len(game.parties), len(minerals), len(QUANTITIES))
        worth: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        for (shock, seed, label), rows in table.groupby(["shock", "seed", "coalition"], sort=False):
            found = rows[list(QUANTITIES)].to_numpy(float).reshape(shape)
            worth.setdefault((str(shock), int(seed)), {})[str(label)] = found
        return cls(game, joining, minerals, worth)

    @property
    def shocks(self) -> list[str]:
        """In calm, under the shock."""
        return list(dict.fromkeys(shock for shock, _ in self.worth))

    @cached_property
    def everybody(self) -> str:
        """The name of the whole circle."""
        return self.game.label(everybody(len(self.game.names)))

    def of_shock(self, shock: str) -> list[tuple[int, Worth]]:
        """Seed and worth, seed by seed."""
        return [(seed, worth) for (name, seed), worth in self.worth.items() if name == shock]

    @property
    def rings(self) -> int:
        """Rings that are complete in every seed; none where every coalition is there."""
        if is_exact(self.game, self.joining):
            return 0
        return min(self._complete(seed, worth) for (_, seed), worth in self.worth.items())

    def _complete(self, seed: int, worth: Worth) -> int:
        for number in range(self.joining.rings):
            ring = ring_of(self.game, seed, number)
            if any(self.game.label(each) not in worth for each in ring_coalitions(ring)):
                return number
        return self.joining.rings


def is_exact(game: Game, joining: Joining) -> bool:
    """Whether every coalition of a game is run."""
    return len(game.names) <= joining.exact_up_to


def ring_of(game: Game, seed: int, number: int) -> Order:
    """A sampled ring of a replication: it depends on the seed and on nothing that was run."""
    return draw_ring(len(game.names), stream(seed, "accession", f"ring {number}"))


# ---------------------------------------------------------------- measures


def measured(change: np.ndarray, base: np.ndarray) -> np.ndarray:
    """[..., measure] of changes [..., quantity], in units of the outlay of a base.

    Linear in the change, so that values which add up still do.

    Parameters
    ----------
    base
        [quantity] of those, and of the run, by which prices and dependence are measured.
    """
    at = {name: change[..., QUANTITIES.index(name)] for name in (BASKET, EXPOSED, *SURPLUS)}
    outlay, opening = (base[QUANTITIES.index(name)] for name in (BASKET, OPENING))
    found = {
        PRICE: 100.0 * at[BASKET] / outlay if outlay else np.zeros(change.shape[:-1]),
        DEPENDENCE: 100.0 * at[EXPOSED] / opening if opening else np.zeros(change.shape[:-1]),
        WELFARE: sum(at[name] for name in SURPLUS),
        PUBLIC_COST: -at[SURPLUS[-1]],
    }
    return np.stack([found[name] for name in UNITS], axis=-1)


def with_total(values: np.ndarray) -> np.ndarray:
    """[..., mineral, measure] with the sum over minerals in front of them."""
    return np.concatenate([values.sum(axis=-2, keepdims=True), values], axis=-2)


def shared_out(outcomes: Outcomes, seed: int, worth: Worth) -> np.ndarray:
    """[ring, player, party, mineral, quantity] Shapley values of one seed; one ring where exact."""
    game = outcomes.game
    if is_exact(game, outcomes.joining):
        every = range(everybody(len(game.names)) + 1)
        return exact_values(np.stack([worth[game.label(each)] for each in every]))[None]
    found = []
    for number in range(outcomes.rings):
        ring = ring_of(game, seed, number)
        numbered = {each: worth[game.label(each)] for each in ring_coalitions(ring)}
        found.append(ring_values(ring, numbered))
    return np.stack(found)


def member_values(outcomes: Outcomes, shock: str) -> np.ndarray:
    """[seed, ring, player, party, mineral, measure] what each player brings to every party.

    Prices are percent of what all members pay for the basket without an alliance, dependence
    percentage points of their opening basket: so the parts of a value add up.
    """
    players = len(outcomes.game.names)
    return np.stack(
        [
            measured(shared_out(outcomes, seed, worth), worth[NOBODY][:players].sum(axis=(0, 1)))
            for seed, worth in outcomes.of_shock(shock)
        ]
    )


def whole_effect(outcomes: Outcomes, shock: str) -> np.ndarray:
    """[seed, party, mineral, measure] effect of the whole alliance, in the same units."""
    players = len(outcomes.game.names)
    return np.stack(
        [
            measured(
                worth[outcomes.everybody] - worth[NOBODY],
                worth[NOBODY][:players].sum(axis=(0, 1)),
            )
            for _, worth in outcomes.of_shock(shock)
        ]
    )


def gap(outcomes: Outcomes) -> float:
    """Largest miss of the sum of values to the whole effect, over the largest whole effect."""
    worst = 0.0
    for shock in outcomes.shocks:
        whole = whole_effect(outcomes, shock)
        miss = np.abs(member_values(outcomes, shock).sum(axis=2) - whole[:, None])
        size = np.abs(whole).max(axis=(0, 1, 2))
        worst = max(worst, float((miss.max(axis=(0, 1, 2, 3)) / np.where(size, size, 1.0)).max()))
    return worst


def relative_error(outcomes: Outcomes) -> float:
    """Largest standard error of sampling of the values for members' price, over the largest value.

    Under the shock, luck aside; zero where every coalition was run.
    """
    if is_exact(outcomes.game, outcomes.joining):
        return 0.0
    players, price = len(outcomes.game.names), list(UNITS).index(PRICE)
    values = member_values(outcomes, CRISIS)[..., price].sum(axis=-1)[..., :players].sum(axis=-1)
    largest = np.abs(values.mean(axis=(0, 1))).max()
    return float(sampling_error(values).max() / largest) if largest else 0.0


# ---------------------------------------------------------------- tables


def parts_of(game: Game) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Who benefits: from [..., party, mineral, measure] of a player to [..., mineral, measure]."""
    players, names = len(game.names), list(game.parties)
    foes = [names.index(NON_ALLIED)] if NON_ALLIED in names else []
    rest = [at for at in range(players, len(names)) if at not in foes]

    def of(chosen: Callable[[int], Sequence[int]]) -> Callable[[np.ndarray, int], np.ndarray]:
        return lambda values, player: values[..., list(chosen(player)), :, :].sum(axis=-3)

    return {
        ITSELF: of(lambda player: [player]),
        OTHER_MEMBERS: of(lambda player: [p for p in range(players) if p != player]),
        MEMBERS: of(lambda player: range(players)),
        FOES: of(lambda player: foes),
        WORLD: of(lambda player: rest),
    }


def shapley_table(outcomes: Outcomes) -> pd.DataFrame:
    """What each member brings, to whom, by mineral; and what it receives from all together.

    Returns
    -------
    pd.DataFrame
        Columns shock, measure, unit, player ("all" for the whole alliance, measured by itself),
        part (who benefits), mineral ("all" for their sum), mean with 95 % interval (low, high),
        median, p10, p90 and n over seeds, and sampling_error, the standard error that comes from
        sampled orders (0 where every coalition was run).
    """
    game, rows = outcomes.game, list[dict[str, object]]()
    parts = parts_of(game)
    for shock in outcomes.shocks:
        values = with_total(member_values(outcomes, shock))
        whole = with_total(whole_effect(outcomes, shock))[:, None]
        for player, name in enumerate(game.names):
            for part, pick in parts.items():
                found = pick(values[:, :, player], player)
                rows += _rows(outcomes, shock, found, {"player": name, "part": part})
            received = {"player": name, "part": RECEIVED}
            rows += _rows(outcomes, shock, whole[:, :, player], received)
        for part in (MEMBERS, FOES, WORLD):
            rows += _rows(outcomes, shock, parts[part](whole, 0), {"player": ALL, "part": part})
    return pd.DataFrame(rows)


def _rows(
    outcomes: Outcomes, shock: str, values: np.ndarray, about: Mapping[str, str]
) -> list[dict[str, object]]:
    """Rows by measure and mineral of [seed, ring, mineral, measure]."""
    sampled = values.shape[1] > 1
    errors = sampling_error(values) if sampled else np.zeros(values.shape[2:])
    by_seed = values.mean(axis=1)
    rows = []
    for at, (measure, unit) in enumerate(UNITS.items()):
        for of, mineral in enumerate((ALL, *outcomes.minerals)):
            named = {"shock": shock, "measure": measure, "unit": unit, **about, "mineral": mineral}
            summary = vars(estimate(by_seed[:, of, at], unit))
            rows.append(named | summary | {"sampling_error": float(errors[of, at])})
    return rows


def pairs_table(outcomes: Outcomes) -> pd.DataFrame:
    """What each member brings to each member, the non-allied and the rest of the world.

    Columns as in `shapley_table`, with `to` for the part.
    """
    game, rows = outcomes.game, list[dict[str, object]]()
    outside = {name: pick for name, pick in parts_of(game).items() if name in (FOES, WORLD)}
    for shock in outcomes.shocks:
        values = with_total(member_values(outcomes, shock))
        for player, name in enumerate(game.names):
            own = values[:, :, player]
            found = {to: own[:, :, at] for at, to in enumerate(game.names)}
            found |= {to: pick(own, player) for to, pick in outside.items()}
            for to, part in found.items():
                rows += _rows(outcomes, shock, part, {"player": name, "to": to})
    return pd.DataFrame(rows)


def places_table(outcomes: Outcomes) -> pd.DataFrame:
    """What a member brings to all members if it comes first, on average and last.

    Columns shock, measure, unit, player, place (first | average | last), mean, low, high, median,
    p10, p90 and n. Members complement each other where the last brings more than the first.
    """
    game, rows = outcomes.game, list[dict[str, object]]()
    players = len(game.names)
    whole = everybody(players)
    for shock in outcomes.shocks:
        runs = outcomes.of_shock(shock)
        average = member_values(outcomes, shock).mean(axis=1)
        for player, name in enumerate(game.names):
            ends = {"first": (1 << player, 0), "last": (whole, whole & ~(1 << player))}
            found = {"average": average[:, player]}
            for place, (with_, without) in ends.items():
                found[place] = np.stack(
                    [
                        measured(
                            worth[game.label(with_)] - worth[game.label(without)],
                            worth[NOBODY][:players].sum(axis=(0, 1)),
                        )
                        for _, worth in runs
                    ]
                )
            for place in ("first", "average", "last"):
                members = found[place][:, :players].sum(axis=(1, 2))
                rows += [
                    {"shock": shock, "measure": measure, "player": name, "place": place}
                    | vars(estimate(members[:, at], unit))
                    for at, (measure, unit) in enumerate(UNITS.items())
                ]
    return pd.DataFrame(rows)


def candidates_table(outcomes: Outcomes) -> pd.DataFrame:
    """What adding each candidate to the present circle changes, against the circle as it is.

    Columns shock, measure, unit, candidate, part (present members, the candidate, both, non-allied,
    rest of the world), mean, low, high, median, p10, p90 and n. Each part is measured by its own
    outlay: prices in percent of what it pays with the present circle.
    """
    game, rows = outcomes.game, list[dict[str, object]]()
    names, players = list(game.parties), len(game.names)
    foes = [names.index(NON_ALLIED)] if NON_ALLIED in names else []
    for candidate in game.candidates:
        own = names.index(candidate)
        rest = [at for at in range(players, len(names)) if at not in (*foes, own)]
        parts = {
            MEMBERS: [*range(players)],
            CANDIDATE: [own],
            TOGETHER: [*range(players), own],
            FOES: foes,
            WORLD: rest,
        }
        for shock in outcomes.shocks:
            for part, chosen in parts.items():
                found = np.stack(
                    [
                        _joining(outcomes, worth, candidate, chosen)
                        for _, worth in outcomes.of_shock(shock)
                    ]
                )
                rows += [
                    {"shock": shock, "measure": measure, "candidate": candidate, "part": part}
                    | vars(estimate(found[:, at], unit))
                    for at, (measure, unit) in enumerate(UNITS.items())
                ]
    return pd.DataFrame(rows)


def price_parts(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """[seed] by player, what it brings to all members' price under the shock."""
    players, price = outcomes.game.names, list(UNITS).index(PRICE)
    values = member_values(outcomes, CRISIS)[:, :, :, : len(players), :, price]
    by_seed = values.mean(axis=1).sum(axis=(2, 3))
    return dict(zip(players, by_seed.T, strict=True))


def price_joining(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """[seed] by candidate, what its joining does to the price of present members in the shock."""
    price, members = list(UNITS).index(PRICE), range(len(outcomes.game.names))
    return {
        candidate: np.stack(
            [
                _joining(outcomes, worth, candidate, members)[price]
                for _, worth in outcomes.of_shock(CRISIS)
            ]
        )
        for candidate in outcomes.game.candidates
    }


def _joining(
    outcomes: Outcomes, worth: Worth, candidate: str, parties: Sequence[int]
) -> np.ndarray:
    """[measure] what a candidate's joining changes for some parties, all minerals together."""
    before = worth[outcomes.everybody][list(parties)].sum(axis=(0, 1))
    after = worth[outcomes.game.with_candidate(candidate)][list(parties)].sum(axis=(0, 1))
    return measured(after - before, before)

"""Who should join next, and what does each member bring and gain?

The worth of a coalition is what its being the alliance changes, against no alliance, under the
same seed. Shapley values share out the whole alliance's effect among its members; then every
candidate is added to the present circle. Each coalition is run once per seed, in calm and under
the shock, and serves all players.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from abm.config import Config
from abm.world import World
from experiments.accession.answer import answer
from experiments.accession.game import NOBODY, Game, coalition_config, game_of
from experiments.accession.outcomes import party_outcomes
from experiments.accession.shapley import everybody, ring_coalitions
from experiments.accession.values import Outcomes, is_exact, relative_error, ring_of
from experiments.ensemble import seeds
from experiments.measures.effects import NO_MEMBERSHIP
from experiments.measures.indicators import CALM, CRISIS
from experiments.study import Cell, Study

FIRST_RINGS = 2  # without two rings in a seed there is no standard error


def accession_study(config: Config, world: World) -> Study:
    """The worlds of the study: all coalitions of few players, sampled rings of many.

    Raises
    ------
    ConfigError
        If the settings describe no game.
    """
    game = game_of(config, world)
    joined = [game.with_candidate(name) for name in game.candidates]
    exact = is_exact(game, config.joining)
    if exact:
        every = range(everybody(len(game.names)) + 1)
        cells = cells_of(config, game, [*map(game.label, every), *joined])
    else:
        cells = cells_of(config, game, joined)
        for seed in seeds(config):
            cells += cells_of(config, game, ring_labels(game, seed, range(FIRST_RINGS)), seed)
    return Study(
        title="Who should join next, and what each member brings and gains",
        cells=cells,
        measure=partial(party_outcomes, game.parties),
        answer=partial(answer, config, game),
        following=None if exact else partial(next_rings, config, game),
        together=2,
    )


def cells_of(
    config: Config, game: Game, labels: Sequence[str], seed: int | None = None
) -> list[Cell]:
    """A world for each coalition, in calm and under the shock."""
    return [
        Cell(
            labels={"coalition": label, "shock": CRISIS if shocked else CALM},
            config=changed,
            membership=NO_MEMBERSHIP if label == NOBODY else game.circle,
            shocked=shocked,
            seed=seed,
        )
        for label in labels
        for changed in [coalition_config(config, game, label)]
        for shocked in (False, True)
    ]


def ring_labels(game: Game, seed: int, numbers: Sequence[int]) -> list[str]:
    """The coalitions of some rings of a seed, each once."""
    rings = [ring_of(game, seed, number) for number in numbers]
    return list(dict.fromkeys(game.label(each) for ring in rings for each in ring_coalitions(ring)))


def next_rings(config: Config, game: Game, outcomes: pd.DataFrame) -> list[Cell]:
    """What the next ring of every seed needs and is not there yet; nothing where all is done.

    Sampling stops when the standard error of every value for members' price under the shock is at
    most `joining.precision` of the largest, or after `joining.rings` rings.
    """
    found = Outcomes.of(outcomes, game, config.joining)
    done = found.rings
    if done >= config.joining.rings or relative_error(found) <= config.joining.precision:
        return []
    cells = []
    for seed in seeds(config):
        there = found.worth[CALM, seed]
        labels = [label for label in ring_labels(game, seed, [done]) if label not in there]
        cells += cells_of(config, game, labels, seed)
    return cells

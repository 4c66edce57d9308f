"""Shapley values: what each player adds to a coalition, averaged over the orders of joining.

Shapley (1953): the value of player i is the mean, over all orders in which the players can join,
of the worth of those before it with i, less that without. A coalition is a whole number whose
bit i says that player i is in it; 0 is the coalition of nobody.

Many players are sampled by rings. A ring is a random cyclic order of all players. It holds 2n
orders of joining: from each player on, one way round and the other. Each of them is as likely as
any other order, every player comes once in every place each way (stratified by place), and every
order comes with its reverse (antithetic pairs). All 2n need the worth of the arcs of the ring
alone, n(n-1)+2 coalitions, where so many orders drawn one by one would need about 2n(n-1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import comb

import numpy as np

Order = tuple[int, ...]  # players in the order in which they join


def everybody(players: int) -> int:
    """The coalition of all players."""
    return (1 << players) - 1


def coalition_of(members: Sequence[int]) -> int:
    """The coalition of some players."""
    return sum(1 << player for player in members)


def exact_values(worth: np.ndarray) -> np.ndarray:
    """Shapley values from the worth of every coalition.

    Parameters
    ----------
    worth
        [coalition, ...] all 2^n, in the order of their numbers.

    Returns
    -------
    np.ndarray
        [player, ...]; they add up to the worth of everybody less that of nobody.

    Raises
    ------
    ValueError
        If the number of coalitions is no power of two.
    """
    players = len(worth).bit_length() - 1
    if players < 0 or len(worth) != 1 << players:
        raise ValueError(
            f"The worth of {len(worth)} coalitions was given, which is no power of two; give that "
            "of all 2^n coalitions, nobody first."
        )
    coalitions = np.arange(len(worth))
    weights = np.array([1.0 / (players * comb(players - 1, s)) for s in range(players)])
    values = np.empty((players, *worth.shape[1:]))
    for player in range(players):
        without = coalitions[(coalitions >> player) & 1 == 0]
        adds = worth[without | 1 << player] - worth[without]
        values[player] = np.tensordot(weights[np.bitwise_count(without)], adds, axes=1)
    return values


def order_values(order: Order, worth: Mapping[int, np.ndarray]) -> np.ndarray:
    """[player, ...] what each player adds to those who joined before it."""
    coalition = 0
    values: list[np.ndarray] = [worth[0]] * len(order)
    for player in order:
        joined = coalition | 1 << player
        values[player] = worth[joined] - worth[coalition]
        coalition = joined
    return np.array(values)


def draw_ring(players: int, draws: np.random.Generator) -> Order:
    """A random cyclic order of all players."""
    return tuple(int(player) for player in draws.permutation(players))


def ring_orders(ring: Order) -> Iterator[Order]:
    """The 2n orders of joining that a ring holds: each is followed by its reverse."""
    for first in range(len(ring)):
        order = ring[first:] + ring[:first]
        yield order
        yield order[::-1]


def ring_coalitions(ring: Order) -> list[int]:
    """The coalitions whose worth a ring needs: nobody, its arcs by length, everybody."""
    players = len(ring)
    twice = ring + ring
    arcs = [
        coalition_of(twice[first : first + length])
        for length in range(1, players)
        for first in range(players)
    ]
    return [0, *arcs, everybody(players)]


def ring_values(ring: Order, worth: Mapping[int, np.ndarray]) -> np.ndarray:
    """[player, ...] the mean over the orders of a ring: an unbiased estimate of Shapley values.

    Like the values themselves they add up to the worth of everybody less that of nobody.

    Parameters
    ----------
    worth
        Of every coalition of `ring_coalitions`, arrays of one shape.
    """
    return np.mean([order_values(order, worth) for order in ring_orders(ring)], axis=0)


def sampling_error(values: np.ndarray) -> np.ndarray:
    """[...] standard error of the mean of sampled rings, luck aside.

    The rings of a replication differ by chance of sampling alone, so their variance is taken
    inside each replication and averaged over replications.

    Parameters
    ----------
    values
        [replication, ring, ...] with at least two rings.
    """
    replications, rings = values.shape[:2]
    inside = values.var(axis=1, ddof=1).mean(axis=0)
    found: np.ndarray = np.sqrt(inside / (replications * rings))
    return found

"""Shapley values against their definition by orders of joining, and their axioms on small games."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.accession.shapley import (
    coalition_of,
    draw_ring,
    everybody,
    exact_values,
    ring_coalitions,
    ring_orders,
    ring_values,
    sampling_error,
)


def by_definition(worth: np.ndarray) -> np.ndarray:
    """The mean, over every order of joining, of what a player adds when it comes."""
    players = len(worth).bit_length() - 1
    values = np.zeros((players, *worth.shape[1:]))
    orders = list(permutations(range(players)))
    for order in orders:
        inside: list[int] = []
        for player in order:
            before = worth[coalition_of(inside)]
            inside.append(player)
            values[player] += (worth[coalition_of(inside)] - before) / len(orders)
    return values


@st.composite
def games(draw: st.DrawFn, least: int = 1, most: int = 5) -> np.ndarray:
    """[coalition, 2] two measures of a game of some players."""
    players = draw(st.integers(least, most))
    seed = draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e6]))
    return scale * np.random.default_rng(seed).normal(size=(1 << players, 2))


def swapped(coalition: int, one: int, other: int) -> int:
    """The coalition with two players in each other's place."""
    bits = (coalition >> one & 1, coalition >> other & 1)
    without = coalition & ~(1 << one | 1 << other)
    return without | bits[1] << one | bits[0] << other


@given(games())
def test_values_are_the_mean_over_all_orders(worth: np.ndarray) -> None:
    np.testing.assert_allclose(
        exact_values(worth), by_definition(worth), rtol=1e-9, atol=1e-12 * np.abs(worth).max()
    )


@given(games(most=10))
def test_values_add_up_to_the_whole(worth: np.ndarray) -> None:
    whole = worth[-1] - worth[0]
    miss = np.abs(exact_values(worth).sum(axis=0) - whole).max()
    assert miss <= 1e-9 * np.abs(worth).max()


@given(games(least=2), st.data())
def test_players_who_add_the_same_have_the_same_value(
    worth: np.ndarray, data: st.DataObject
) -> None:
    players = len(worth).bit_length() - 1
    one, other = data.draw(st.permutations(range(players)))[:2]
    mirror = worth[[swapped(coalition, one, other) for coalition in range(len(worth))]]
    values = exact_values(worth + mirror)
    np.testing.assert_allclose(values[one], values[other], atol=1e-9 * np.abs(worth).max())


@given(games(least=2), st.floats(-5, 5), st.data())
def test_a_player_who_adds_the_same_to_all_has_that_value(
    worth: np.ndarray, own: float, data: st.DataObject
) -> None:
    """With nothing to add it is a dummy, whose value is nothing."""
    players = len(worth).bit_length() - 1
    dummy = data.draw(st.integers(0, players - 1))
    for coalition in range(len(worth)):
        if coalition >> dummy & 1:
            worth[coalition] = worth[coalition & ~(1 << dummy)] + own
    size = np.abs(worth).max() + 1.0
    np.testing.assert_allclose(exact_values(worth)[dummy], own, atol=1e-9 * size)
    ring = draw_ring(players, np.random.default_rng(0))
    sampled = ring_values(ring, dict(enumerate(worth)))
    np.testing.assert_allclose(sampled[dummy], own, atol=1e-9 * size)


@given(games(least=3, most=3), games(least=3, most=3), st.floats(-3, 3))
def test_values_of_a_sum_of_games_are_the_sums(
    one: np.ndarray, other: np.ndarray, factor: float
) -> None:
    together = exact_values(one + factor * other)
    apart = exact_values(one) + factor * exact_values(other)
    size = np.abs(one).max() + np.abs(other).max()
    np.testing.assert_allclose(together, apart, atol=1e-9 * size)


def test_a_count_of_coalitions_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 coalitions .* no power of two"):
        exact_values(np.zeros(3))


# Sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("players", [2, 3, 6, 12])
def test_a_ring_is_stratified_by_place_and_antithetic(players: int) -> None:
    orders = list(ring_orders(draw_ring(players, np.random.default_rng(1))))
    assert len(orders) == 2 * players
    for forth, back in zip(orders[::2], orders[1::2], strict=True):
        assert forth == back[::-1]
    for place in range(players):
        assert sorted(order[place] for order in orders) == sorted(2 * list(range(players)))


@pytest.mark.parametrize("players", [2, 3, 6, 12])
def test_a_ring_needs_its_arcs_alone(players: int) -> None:
    ring = draw_ring(players, np.random.default_rng(1))
    needed = {
        coalition_of(order[:count]) for order in ring_orders(ring) for count in range(players + 1)
    }
    assert needed == set(ring_coalitions(ring))
    assert len(needed) == players * (players - 1) + 2
    assert {0, everybody(players)} <= needed


@given(games(least=2, most=4))
def test_rings_are_unbiased_and_add_up(worth: np.ndarray) -> None:
    players = len(worth).bit_length() - 1
    table = dict(enumerate(worth))
    found = [ring_values(ring, table) for ring in permutations(range(players))]
    size = np.abs(worth).max()
    np.testing.assert_allclose(np.mean(found, axis=0), exact_values(worth), atol=1e-9 * size)
    for values in found:
        np.testing.assert_allclose(values.sum(axis=0), worth[-1] - worth[0], atol=1e-9 * size)


def test_sampled_values_lie_within_their_standard_errors() -> None:
    """Players with saturating and with complementary parts, and luck that differs by seed."""
    players, draws = 9, np.random.default_rng(5)
    strength = draws.uniform(0.2, 2.0, players)
    inside = (np.arange(1 << players)[:, None] >> np.arange(players)) & 1
    total = inside @ strength
    worth = np.sqrt(total) + 0.05 * total**2
    sampled = np.empty((3, 4, players))
    for seed in range(3):
        for number in range(4):
            ring = draw_ring(players, draws)
            arcs = {c: worth[c] for c in ring_coalitions(ring)}
            sampled[seed, number] = ring_values(ring, arcs)
    error = sampling_error(sampled)
    miss = np.abs(sampled.mean(axis=(0, 1)) - exact_values(worth))
    assert (miss <= 3.5 * error).all()
    assert (error < 0.02 * exact_values(worth).max()).all()


def test_luck_of_a_seed_is_no_error_of_sampling() -> None:
    values = np.zeros((4, 2, 3)) + np.arange(4)[:, None, None]
    np.testing.assert_array_equal(sampling_error(values), 0.0)

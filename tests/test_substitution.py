"""Intensity of use falls in dear years and stays down; research speeds it and costs money."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config, run

from abm.config import Config, Research, Substitution
from abm.intentions import substitution_prices
from abm.ledger import Account
from abm.model import MineralModel
from abm.policy.research import grown_knowledge, progress, research_budget
from abm.substitution import next_intensity
from abm.world import World


def thrifty(years: int = 10, **terms: float) -> Config:
    config = quiet_config(years=years)
    config.substitution = Substitution(active=True, **terms)  # type: ignore[arg-type]
    config.shock = export_ban(targets=["USA", "AUS"])
    return config


def with_research(config: Config, **terms: float) -> Config:
    config.instruments.research = Research(active=True, **terms)  # type: ignore[arg-type]
    return config


# The rule ---------------------------------------------------------------------------------------


ONE = np.ones((1, 1))


def one_user(price: np.ndarray, settings: Substitution, pace: float = 1 / 48) -> np.ndarray:
    """[month] intensity of the only user of a mineral along a path of prices over the norm."""
    intensity, path = np.ones((1, 1, 1)), []
    for ratio in price:
        intensity = next_intensity(
            intensity, np.array([[ratio]]), np.ones((1, 1, 1)), np.array([pace]), ONE, settings
        )
        path.append(float(intensity[0, 0, 0]))
    return np.array(path)


def test_a_spike_that_fully_reverses_leaves_use_lower() -> None:
    spike = np.r_[np.full(36, 3.0), np.full(60, 1.0)]
    path = one_user(spike, Substitution(spillover=0.0))
    aim = (3.0 / 1.2) ** -0.4
    np.testing.assert_allclose(path[35], aim + (1 - aim) * (1 - 1 / 48) ** 36)
    assert path[35] < path[-1] < 1.0
    assert path[-1] - path[35] < 0.5 * (1.0 - path[35])


def test_small_rises_do_not_pay_a_redesign() -> None:
    np.testing.assert_array_equal(one_user(np.full(120, 1.19), Substitution()), 1.0)


def test_intensity_never_falls_below_its_floor() -> None:
    path = one_user(np.full(5000, 1e6), Substitution(floor=0.6))
    assert path.min() >= 0.6
    assert path[-1] == pytest.approx(0.6)


def test_savings_spread_to_countries_whose_price_never_moved() -> None:
    ratio, weight, pace = np.array([[4.0, 1.0]]), np.full((1, 2, 1), 0.5), np.array([1 / 48])
    left = {}
    for share in (0.0, 0.5):
        settings = Substitution(spillover=share)
        intensity = np.ones((1, 2, 1))
        for _ in range(120):
            faster = np.ones((1, 2))
            intensity = next_intensity(intensity, ratio, weight, pace, faster, settings)
        left[share] = intensity[0, :, 0]
    assert left[0.0][1] == 1.0
    assert left[0.0][0] < left[0.5][1] < 1.0
    assert left[0.5][0] == left[0.0][0]


# In the model -----------------------------------------------------------------------------------


def gallium(model: MineralModel, name: str) -> np.ndarray:
    """[month] what the United States have of it."""
    row = model.world.market("gallium", "refined")
    return model.record.measures[name][:, row, model.world.country("USA")]


def shocked(config: Config, world: World, membership: str = "none") -> MineralModel:
    model = model_of(config, world, membership, shocked=True)
    model.run()
    return model


def test_use_stays_lower_after_a_ban_that_was_lifted(tiny_world: World) -> None:
    plain = quiet_config()
    plain.shock = export_ban(targets=["USA", "AUS"])
    forgetful, learning = shocked(plain, tiny_world), shocked(thrifty(), tiny_world)
    late = slice(-12, None)
    for model in (forgetful, learning):  # the price has come back
        prices = gallium(model, "landed_price_usd_per_kg")
        assert prices[late].mean() < 1.1 * prices[0]
        assert prices[30:60].max() > 1.5 * prices[0]
    intensity = gallium(learning, "use_intensity")
    assert intensity[0] == 1.0
    assert intensity[late].max() < 0.97
    assert gallium(learning, "use_t")[late].sum() < 0.98 * gallium(forgetful, "use_t")[late].sum()
    np.testing.assert_array_equal(gallium(forgetful, "use_intensity"), 1.0)


def test_a_calm_world_keeps_its_intensity(tiny_world: World) -> None:
    config = thrifty()
    assert_same_history(run(config, tiny_world), run(quiet_config(), tiny_world))


def test_defence_is_slower_than_industry(tiny_world: World) -> None:
    model = shocked(thrifty(spillover=0.0, return_years=1000.0), tiny_world)
    left = model.intensity[tiny_world.minerals.index("gallium"), tiny_world.country("USA")]
    defence = tiny_world.sectors.index("defence")
    assert left[tiny_world.sectors.index("digital")] < left[defence] < 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_research_speeds_thrift_of_members(tiny_world: World, seed: int) -> None:
    left = {}
    for spending in (0.0, 200.0):
        config = with_research(thrifty(5), spending=spending, spillover=0.0, backstop_cut=0.0)
        config.randomness.active = True
        model = model_of(config, tiny_world, "washington", True, seed)
        model.run()
        left[spending] = gallium(model, "use_intensity")[-1]
    assert left[200.0] < left[0.0] < 1.0


def test_no_spending_is_no_research(tiny_world: World) -> None:
    funded = with_research(thrifty(5), spending=0.0)
    assert_same_history(
        run(funded, tiny_world, "washington", True), run(thrifty(5), tiny_world, "washington", True)
    )


def test_nobody_researches_outside_the_alliance(tiny_world: World) -> None:
    assert_same_history(
        run(with_research(thrifty(3)), tiny_world, "none", True),
        run(thrifty(3), tiny_world, "none", True),
    )


# Research ---------------------------------------------------------------------------------------


def test_knowledge_tends_to_spending_over_obsolescence() -> None:
    settings = Research(obsolescence=0.15)
    knowledge = np.zeros(1)
    for _ in range(1200):
        knowledge = grown_knowledge(knowledge, np.array([1000.0]), settings)
    np.testing.assert_allclose(knowledge, 12.0 / 0.15, rtol=1e-6)


def test_effects_of_research_saturate_and_leak() -> None:
    settings = Research(half_effect=100.0, spillover=0.3)
    reached = progress(np.array([0.0, 100.0, 1e9]), np.array([1.0, 0.5, 0.0]), settings)
    np.testing.assert_allclose(reached[0], 0.0)
    np.testing.assert_allclose(reached[1], [0.5, 0.325, 0.15])
    np.testing.assert_allclose(reached[2], [1.0, 0.65, 0.3], rtol=1e-6)


def test_members_pay_by_their_industry(tiny_world: World) -> None:
    model = model_of(with_research(thrifty(3), spending=12.0), tiny_world, "washington")
    model.run()
    entry = model.books.ledger.entries["research"]
    assert (entry.payer, entry.payee) == (Account.treasury, Account.services)
    part = model.part("research")
    # Every country of the tiny world has an industry of 1,000 billion: 12 million a year each.
    np.testing.assert_allclose(
        research_budget(part, tiny_world.industry, model.case.instruments.research), 1000.0 * part
    )
    refined = [tiny_world.market(name, "refined") for name in tiny_world.minerals]
    np.testing.assert_allclose(entry.paid[refined].sum(axis=1), 2000.0)
    assert entry.paid.sum() == pytest.approx(4000.0)


def test_research_brings_the_substitute_nearer(tiny_world: World) -> None:
    model = model_of(with_research(thrifty(4), spending=300.0), tiny_world, "washington")
    before = [prices.copy() for prices in substitution_prices(model, np.zeros((2, 4)))]
    model.run()
    after = (model.backstop, model.choke)
    row, usa, chn = (
        tiny_world.market("gallium", "refined"),
        *map(tiny_world.country, ("USA", "CHN")),
    )
    for earlier, later in zip(before, after, strict=True):
        assert later[row, usa] < 0.8 * earlier[row, usa]
        assert later[row, usa] < later[row, chn] < earlier[row, chn]
    assert (after[0] > model.buyers.reference_price).all()
    assert (after[1] > after[0]).all()
    assert model.record.tonnes_gap.max() <= 1e-9
    assert model.record.money_gap.max() <= 1e-9

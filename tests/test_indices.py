"""Sensitivity: known indices of a test function, ranges of factors, and the study run small."""

import numpy as np
import pandas as pd
import pytest
from test_run import configuration

from abm.tables import Tables
from abm.world import World, build_world
from experiments.sensitivity import study as sensitivity
from experiments.sensitivity.factors import Factor, changes, factors_of
from experiments.sensitivity.indices import (
    elementary_effects,
    exchanges,
    trajectories,
    variance_shares,
)
from experiments.sensitivity.study import (
    RESULTS,
    SCREENING,
    VARIANCE,
    WORLDS,
    answer,
    screening,
    screening_figure,
    shares,
    shares_figure,
    survivors,
)

A, B = 7.0, 0.1
PI = np.pi
INPUTS = [Factor(f"x{n}", -PI, PI) for n in (1, 2, 3)]
# Saltelli et al. (2008), Global Sensitivity Analysis: The Primer; worked out from the variances.
V1, V2, V13 = 0.5 * (1 + B * PI**4 / 5) ** 2, A**2 / 8, B**2 * PI**8 * 8 / 225
FIRST = np.array([V1, V2, 0.0]) / (V1 + V2 + V13)
TOTAL = np.array([V1 + V13, V2, V13]) / (V1 + V2 + V13)


def ishigami(values: dict[str, float]) -> float:
    x1, x2, x3 = values["x1"], values["x2"], values["x3"]
    return float(np.sin(x1) + A * np.sin(x2) ** 2 + B * x3**4 * np.sin(x1))


def outcomes_of(stage: str, factors: list[Factor], design: np.ndarray) -> pd.DataFrame:
    """What the runs of a design would leave if every result were the test function."""
    rows = []
    for sample, row in enumerate(design):
        value = np.exp(ishigami(changes(factors, row)) / 100.0)
        for alliance, shock in WORLDS:
            for measure in ("price", "peak", "gap"):
                level = value if alliance == sensitivity.ALLIED or measure != "price" else 1.0
                for seed in (0, 1):  # the second seed differs by what a pair has in common
                    found = level * (1.5 if seed and measure == "price" else 1.0)
                    rows.append((stage, str(sample), alliance, shock, seed, measure, found))
    columns = ["stage", "sample", "alliance", "shock", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    return outcomes_of(VARIANCE, INPUTS, exchanges(3, 1024))


def test_variance_shares_of_the_ishigami_function(known: pd.DataFrame) -> None:
    """From positions through settings, outcomes and means over seeds, as the study goes."""
    found = shares(known, [factor.setting for factor in INPUTS])
    for result in RESULTS:
        rows = found[found["result"] == result]
        np.testing.assert_allclose(rows["first"], FIRST, atol=0.06)
        np.testing.assert_allclose(rows["total"], TOTAL, atol=0.06)
        for kind, exact in (("first", FIRST), ("total", TOTAL)):
            assert (rows[f"{kind}_low"] <= exact + 0.03).all()
            assert (rows[f"{kind}_high"] >= exact - 0.03).all()
    assert np.isfinite(found.drop(columns=["result", "parameter"])).all(axis=None)


def test_the_screening_finds_what_moves_and_what_does_not() -> None:
    inputs = [*INPUTS, Factor("idle", 0.0, 1.0)]
    design = trajectories(4, 50)
    found = screening(outcomes_of(SCREENING, inputs, design), inputs, design)
    size = found[found["result"] == "peak"].set_index("parameter")["mu_star"]
    assert size["idle"] == pytest.approx(0.0, abs=1e-9)
    assert (size[["x1", "x2", "x3"]] > 1.0).all()
    chosen = survivors(found, 10)
    assert set(chosen) == {"x1", "x2", "x3"}
    assert survivors(found, 1) == chosen[:1]


def test_elementary_effects_of_a_line_are_its_slopes() -> None:
    design = trajectories(3, 6)
    found = elementary_effects(design, design @ np.array([2.0, -5.0, 0.0]))
    np.testing.assert_allclose(found["mu"], [2.0, -5.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(found["mu_star"], [2.0, 5.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(found["sigma"], 0.0, atol=1e-9)


def test_a_block_with_a_failed_world_is_left_out_whole(known: pd.DataFrame) -> None:
    names = [factor.setting for factor in INPUTS]
    failed = (known["sample"] == "7") & (known["measure"] == "peak")
    holed = known.assign(value=known["value"].mask(failed))
    values = sensitivity.results(holed, VARIANCE)["peak"].to_numpy()
    assert np.isnan(values).sum() == 1
    found = shares(holed, names).set_index(["result", "parameter"])
    kept = np.delete(values.reshape(-1, 5), 1, axis=0).ravel()  # sample 7 lies in block 1
    again = variance_shares(3, kept)
    np.testing.assert_array_equal(found.loc["peak"], again)


def test_a_result_that_never_moves_has_no_shares() -> None:
    assert (variance_shares(2, np.full(32, 3.0)) == 0.0).all(axis=None)


def test_a_design_with_nothing_left_is_refused() -> None:
    values = np.full(32, np.nan)
    with pytest.raises(ValueError, match=r"0 of 8 blocks .* sensitivity\.spread"):
        variance_shares(2, values)


def test_positions_become_values_of_the_range() -> None:
    assert Factor("a", 1.0, 100.0, log=True).value(0.5) == pytest.approx(10.0)
    assert Factor("a", 1.0, 4.0).value(0.5) == pytest.approx(2.5)
    assert Factor("a", 1, 4, whole=True).value(0.4) == 2


@pytest.fixture(scope="module")
def gallium(real_tables: Tables) -> World:
    config = configuration("experiment=sensitivity", "world.minerals=[gallium]").world
    return build_world(real_tables, config)


def test_factors_are_the_assumed_settings_of_what_is_on(
    gallium: World, real_tables: Tables
) -> None:
    config = configuration("experiment=sensitivity", "world.minerals=[gallium]")
    found = {factor.setting: factor for factor in factors_of(config, gallium, real_tables)}
    assert found["behaviour.hoarding"].low < config.behaviour.hoarding
    assert found["shock.enforcement"].high < 1.0, "the prior of controls holds for the shock"
    assert not {name for name in found if name.startswith(("tension.", "accounting."))}
    assert {"shock.rate", "shock.quota_share"}.isdisjoint(found), "a ban has no rate"
    assert "world.positions.demand_elasticity" in found
    assert "world.positions.capital" not in found, "no projects, no capital of projects"
    config.tension.active = True
    config.recycling.active = False
    again = {factor.setting for factor in factors_of(config, gallium, real_tables)}
    assert "tension.decay" in again
    assert not {name for name in again if name.startswith("recycling.")}
    for factor in found.values():
        assert factor.low < factor.high, factor
        assert factor.source, factor


def test_figures_can_be_drawn_again_from_their_tables(known: pd.DataFrame) -> None:
    found = shares(known, [factor.setting for factor in INPUTS])
    assert len(shares_figure(found).axes) == len(RESULTS)
    design = trajectories(3, 4)
    screened = screening(outcomes_of(SCREENING, INPUTS, design), INPUTS, design)
    assert len(screening_figure(screened).axes) == len(RESULTS)


def test_the_answer_says_what_the_results_hang_on(known: pd.DataFrame) -> None:
    config = configuration("experiment=sensitivity", "world.minerals=[gallium]")
    design = trajectories(3, 8)
    both = pd.concat([outcomes_of(SCREENING, INPUTS, design), known])
    said = answer(both, config, INPUTS, design)
    assert "hangs most on x1" in said.sentences[0]
    assert "Of 3 uncertain parameters, 0 move no result" in said.sentences[1]
    assert "0 samples hold a world that could not be run" in said.notes[-1]

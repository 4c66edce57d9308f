"""Calibration: known truths are found, bytes depend on the seed alone, nothing is run twice."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toy_history
from scipy.stats import kstest, norm

from abm.config import ConfigError
from abm.posterior import about_setting, read_posterior
from experiments.calibrate import Calibration, calibrate, planned
from experiments.calibration.candidates import RunStore
from experiments.calibration.emulator import fit_emulator
from experiments.calibration.inference import Sample, equal_draws, named_draws
from experiments.calibration.misfit import CAP, observed_figures
from experiments.calibration.priors import PRIORS, read_priors
from experiments.calibration.report import publish, write_results
from experiments.calibration.tables import (
    correlation_table,
    left_out_table,
    predictive_table,
    setting_table,
)


def calibrated(folder: Path, budget: int = 100, seed: int = 0, count: int = 1) -> Calibration:
    with RunStore(folder / "runs.sqlite") as store:
        return calibrate(toy_history.problem(), store, budget, seed, count)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    return calibrated(tmp_path_factory.mktemp("toy"), budget=500)


def test_the_truth_is_found_and_what_does_nothing_stays_as_it_was(found: Calibration) -> None:
    """A figure's deviation is known, so that of the posterior of hoarding is known too."""
    hoarding, decay, enforcement = found.draws.T
    assert np.median(hoarding) == pytest.approx(toy_history.TRUTH, rel=0.1)
    figures = found.figures
    powers = np.concatenate([toy_history.POWERS[name] for name in toy_history.POWERS])
    exact = 1.0 / np.sqrt(((powers / figures.deviation) ** 2).sum())
    assert exact / 2 < np.log(hoarding).std() < 2.5 * exact
    assert np.log(hoarding).std() < np.log(8.0 / 0.3) / np.sqrt(12.0) / 4
    low, high = 0.4, 0.98
    assert kstest((enforcement - low) / (high - low), "uniform").statistic < 0.2
    assert decay.max() < 0.196, "what does not clear is no candidate"
    assert found.fit.left < 0.97, "the first wave rules something out"


def test_generations_come_closer(found: Calibration) -> None:
    thresholds = found.fit.sample.thresholds
    assert len(thresholds) >= 3
    assert all(later < earlier for earlier, later in itertools.pairwise(thresholds))
    assert found.fit.sample.weights.sum() == pytest.approx(1.0)
    distances = found.fit.figures.distance(found.fit.sample.simulated)
    assert distances.max() <= thresholds[-1]


def test_every_episode_is_left_out_in_turn(found: Calibration) -> None:
    assert [held.name for held in found.held_out] == ["first", "second"]
    for held in found.held_out:
        assert held.fit.names == tuple(n for n in ("first", "second") if n != held.name)
        own = found.figures.of([held.name])
        known, guessed = own.distance(held.simulated), own.distance(found.wave.simulated[:, :2])
        assert np.median(known) < np.median(guessed)


def test_the_budget_is_kept(tmp_path: Path) -> None:
    budget = 120
    small = calibrated(tmp_path, budget)
    assert small.runs <= 2 * budget
    assert small.failed > 0
    assert planned(4000, 3).total + 3 * (planned(4000, 3).fold + planned(4000, 3).held_out) == 4000
    with pytest.raises(
        ConfigError, match=r"--budget is 5, too few for 2 episodes; give at least 87"
    ):
        calibrated(tmp_path, 5)


def outcome(found: Calibration) -> list[bytes]:
    arrays = [found.draws, found.fit.sample.weights, found.wave.simulated, found.central]
    return [array.tobytes() for array in (*arrays, *(held.simulated for held in found.held_out))]


def test_same_bytes_with_one_worker_or_two_and_another_seed_differs(tmp_path: Path) -> None:
    alone = outcome(calibrated(tmp_path / "one"))
    assert alone == outcome(calibrated(tmp_path / "two", count=2))
    assert alone != outcome(calibrated(tmp_path / "one", seed=1))


def test_a_calibration_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """What was kept is not run again, a run that was not kept whole is, and the result is one."""
    log = tmp_path / "log"
    problem = toy_history.problem(toy_history.counted, f"{log}|")

    def outcome_in(store: RunStore) -> list[bytes]:
        with store:
            return outcome(calibrate(problem, store, 96, 0, 1))

    expected = outcome_in(RunStore(tmp_path / "whole.sqlite"))
    runs = len(log.read_text().splitlines())
    log.unlink()

    class Killed(BaseException):
        pass

    class Cut(RunStore):
        left = runs // 2

        def put(self, key: str, figures: np.ndarray, trouble: str, seconds: float) -> None:
            self.left -= 1
            if self.left < 0:
                raise Killed
            super().put(key, figures, trouble, seconds)

    with pytest.raises(Killed):
        outcome_in(Cut(tmp_path / "cut.sqlite"))
    begun = len(log.read_text().splitlines())
    assert outcome_in(RunStore(tmp_path / "cut.sqlite")) == expected
    lost = len(log.read_text().splitlines()) - runs
    assert 0 < lost == begun - runs // 2 <= 2, "only runs of the candidate cut off are repeated"
    log.unlink()
    with RunStore(tmp_path / "cut.sqlite") as store:
        again = calibrate(problem, store, 96, 0, 1)
    assert outcome(again) == expected
    assert not log.exists()
    assert again.core_hours > 0.0, "what it cost is known although nothing was run"


def test_a_store_answers_only_for_its_own_code_and_data(tmp_path: Path) -> None:
    log = tmp_path / "log"
    problem = toy_history.problem(toy_history.counted, f"{log}|")
    for version in ("a", "b"):
        with RunStore(tmp_path / "runs.sqlite") as store:
            calibrate(dataclasses.replace(problem, version=version), store, 96, 0, 1)
        count = len(log.read_text().splitlines())
        log.unlink()
        assert count > 96


# --- Parts ----------------------------------------------------------------------------------------


def test_priors_are_wide_ranges_inside_the_valid_ones_around_the_defaults() -> None:
    priors = read_priors()
    assert len(set(priors.settings)) == len(priors.settings) >= 15
    table = pd.read_csv(PRIORS).set_index("setting")
    assert table["source"].notna().all()
    assert set(table["status"]) <= {"observed", "estimated"}
    for name, low, high in zip(priors.settings, priors.low, priors.high, strict=True):
        assert low <= about_setting(name).default <= high, name
    middle = (priors.low + priors.high) / 2.0
    np.testing.assert_allclose(priors.values(priors.scores(middle)), middle, rtol=1e-5)
    ranks = np.array([-9.0, 0.0, 9.0])[:, None] * np.ones(len(priors.settings))
    low, middle, high = priors.values(ranks)
    np.testing.assert_allclose(low, priors.low, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(high, priors.high, rtol=1e-5)
    straight = ~priors.log
    np.testing.assert_allclose(middle[straight], (low + high)[straight] / 2.0, rtol=1e-5)
    np.testing.assert_allclose(middle[priors.log], np.sqrt(low * high)[priors.log], rtol=1e-5)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("behaviour.hording,1,2,log,x,estimated", "behaviour.hording is no setting"),
        ("behaviour.hoarding,1,200,log,x,estimated", "ranges from 1 to 200"),
        ("behaviour.hoarding,2,1,log,x,estimated", "ranges from 2 to 1"),
        ("behaviour.hoarding,0,1,log,x,estimated", "starts at 0, which has no log"),
        ("behaviour.hoarding,1,2,cubic,x,estimated", "has the scale 'cubic'"),
    ],
)
def test_a_spoilt_prior_is_one_sentence(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "priors.csv"
    path.write_text(f"setting,low,high,scale,source,status\n{row}\n")
    with pytest.raises(ConfigError, match=said):
        read_priors(path)


def test_distance_is_capped_and_equal_by_episode() -> None:
    episodes = toy_history.problem().episodes
    figures = observed_figures(episodes)
    exact = figures.shown(figures.observed)
    assert figures.distance(exact) == pytest.approx(0.0, abs=1e-12)
    off = exact.copy()
    off[0] *= np.exp(2.0 * figures.deviation[0])
    assert figures.distance(off) == pytest.approx(4.0 / 2 / 2)
    assert figures.implausibility(off) == pytest.approx(0.0, abs=1e-9)
    off[0] = np.nan
    assert figures.distance(off) == pytest.approx(CAP / 2 / 2)
    assert figures.distance(exact * 1e9) == pytest.approx(CAP)
    longer = {**episodes, "first": dataclasses.replace(
        episodes["first"], observed=pd.concat([episodes["first"].observed] * 5)
    )}  # fmt: skip
    many = observed_figures(longer)
    simulated = many.shown(many.observed)
    simulated[many.episode == "first"] *= 1e9
    assert many.distance(simulated) == pytest.approx(CAP / 2), "an episode counts once"


def test_only_figures_for_calibration_count() -> None:
    episodes = dict(toy_history.problem().episodes)
    shown = episodes["first"].observed.assign(used_for=["calibration", "check"])
    episodes["first"] = dataclasses.replace(episodes["first"], observed=shown)
    figures = observed_figures(episodes)
    off = figures.shown(figures.observed)
    off[1] *= 100.0
    assert figures.distance(off) == pytest.approx(0.0, abs=1e-12)


def test_emulator_knows_squares_and_products_and_how_well() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(200, 4))
    truth = np.stack([0.3 * scores[:, 0] ** 2 - scores[:, 1] * scores[:, 2], scores[:, 3]], axis=1)
    noise = np.array([0.1, 0.5])
    emulator = fit_emulator(scores, truth + noise * rng.normal(size=truth.shape))
    assert emulator.products
    np.testing.assert_allclose(emulator.deviation, noise, rtol=0.2)
    fresh = rng.normal(size=(50, 4))
    known = np.stack([0.3 * fresh[:, 0] ** 2 - fresh[:, 1] * fresh[:, 2], fresh[:, 3]], axis=1)
    assert np.sqrt(((emulator.errors(fresh) - known) ** 2).mean(axis=0)).max() < 0.25
    assert not fit_emulator(scores[:20], truth[:20]).products


def test_equal_draws_follow_the_weights() -> None:
    weights = np.array([0.5, 0.25, 0.25, 0.0])
    sample = Sample(np.zeros((4, 1)), weights, np.zeros((4, 1)), (), (), ())
    counts = np.bincount(equal_draws(sample, 400, 0), minlength=4)
    np.testing.assert_allclose(counts, 400 * weights, atol=1)
    assert sample.effective_size == pytest.approx(1 / 0.375)


def test_named_draws_leave_the_shared_generator_as_it_was() -> None:
    def drawn(*name: str) -> list[float]:
        with named_draws(3, *name):
            return list(norm.rvs(size=3))

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert drawn("a", "1") == drawn("a", "1") != drawn("a", "2")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# --- What is written ------------------------------------------------------------------------------


def test_results_are_the_same_bytes_and_the_model_can_read_the_posterior(
    found: Calibration, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_results(found, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert {path.suffix for path in files} == {".csv", ".json", ".md", ".png", ".pdf"}
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    posterior = read_posterior(tmp_path / "one" / "posterior.csv")
    assert posterior.settings == toy_history.SETTINGS
    np.testing.assert_allclose(posterior.draws, found.draws, rtol=1e-5)
    about = json.loads((tmp_path / "one" / "posterior.json").read_text())
    assert about["episodes"] == ["first", "second"]
    assert about["distance"]["posterior"] < about["distance"]["prior"]
    (tmp_path / "root" / "abm" / "data").mkdir(parents=True)
    publish(found, tmp_path / "one", tmp_path / "root")
    page = (tmp_path / "root" / "docs" / "calibration.md").read_text()
    for picture in re.findall(r"\]\((figures/[\w.]+)\)", page):
        assert (tmp_path / "root" / "docs" / picture).is_file()
    assert page.count("![") == 4
    assert "nan" not in page
    assert (tmp_path / "root" / "abm" / "data" / "posterior.csv").is_file()


def test_tables_agree_with_what_was_run(found: Calibration) -> None:
    predictive = predictive_table(found)
    assert list(predictive["episode"]) == ["first"] * 2 + ["second"] * 2
    powers = np.concatenate(list(toy_history.POWERS.values()))
    np.testing.assert_allclose(predictive["observed"], toy_history.TRUTH**powers)
    np.testing.assert_allclose(predictive["high"] / predictive["observed"], 1.1, rtol=1e-6)
    np.testing.assert_allclose(predictive["default_median"], predictive["observed"], rtol=0.1)
    assert predictive["inside"].all()
    assert (predictive["posterior_p90"] < predictive["prior_p90"]).all()
    settings = setting_table(found).set_index("setting")
    assert settings.loc["behaviour.hoarding", "narrowed"] > 0.5
    assert abs(settings.loc["controls.enforcement", "narrowed"]) < 0.35
    left_out = left_out_table(found).set_index("episode")
    assert (left_out["without"] < left_out["prior"]).all()
    matrix = correlation_table(found).pivot(index="setting", columns="other", values="correlation")
    np.testing.assert_allclose(np.diag(matrix), 1.0)
    np.testing.assert_allclose(matrix, matrix.T)

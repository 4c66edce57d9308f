"""Calibration: known truths are found, bytes depend on the seed alone, nothing is run twice."""

from __future__ import annotations

import dataclasses
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
from experiments.calibrate import calibrate, planned, space_filling
from experiments.calibrate import main as calibrate_command
from experiments.calibration.candidates import RunStore
from experiments.calibration.emulator import fit_emulator
from experiments.calibration.inference import named_draws
from experiments.calibration.misfit import CAP, observed_figures
from experiments.calibration.priors import PRIORS, read_priors
from experiments.calibration.report import publish, write_results
from experiments.calibration.results import Calibration
from experiments.calibration.tables import (
    correlation_table,
    left_out_table,
    predictive_table,
    setting_table,
)


def calibrated(folder: Path, budget: int, seed: int = 0, count: int = 1) -> Calibration:
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
    assert kstest((enforcement - low) / (high - low), "uniform").pvalue > 0.01
    assert found.failed > 0
    assert decay.max() < 0.196, "what does not clear is no candidate"


def test_waves_and_draws_come_closer(found: Calibration) -> None:
    sample = found.fit.sample
    steps = [*[wave.simulated for wave in found.waves], sample.simulated]
    middle = [np.median(found.figures.distance(simulated)) for simulated in steps]
    assert max(middle[1:]) < middle[0] / 2
    assert found.fit.figures.distance(sample.simulated).max() <= sample.threshold
    assert len(sample.scores) == pytest.approx(0.2 * found.plan.search, rel=0.15)


def test_later_waves_and_draws_lie_where_earlier_ones_left_room(found: Calibration) -> None:
    region = found.fit.region
    assert len(region.cuts) == len(found.waves)
    assert 0.2 ** len(found.waves) <= region.left < 0.3
    assert region.inside(found.fit.sample.scores).all()
    space = np.random.default_rng(1).standard_normal((4000, 3))
    assert region.inside(space).mean() == pytest.approx(region.left, abs=0.03)


def test_every_episode_is_left_out_in_turn(found: Calibration) -> None:
    assert [held.name for held in found.held_out] == ["first", "second"]
    for held in found.held_out:
        assert held.fit.names == tuple(n for n in ("first", "second") if n != held.name)
        own = found.figures.of([held.name])
        own_columns = found.figures.episode == held.name
        known, guessed = own.distance(held.simulated), own.distance(found.prior[:, own_columns])
        assert np.median(known) < np.median(guessed)


# ----------------------------------------------------------------- the smallest calibration, again

SMALL = 170  # candidates


class Logged:
    """Calibrations in a folder, whose runs leave a line each."""

    def __init__(self, folder: Path) -> None:
        self.store, self.log = folder / "runs.sqlite", folder / "log"
        self.problem = toy_history.problem(toy_history.counted, f"{self.log}|")

    def calibrated(self, **changes: str) -> Calibration:
        problem = dataclasses.replace(self.problem, **changes)
        with RunStore(self.store) as store:
            return calibrate(problem, store, SMALL, 0, 1)

    def new_runs(self) -> int:
        """Runs since this was asked last."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return len(lines)


@dataclasses.dataclass
class Small:
    """The first calibration of a folder, in one process."""

    folder: Logged
    found: Calibration
    runs: int


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = Logged(tmp_path_factory.mktemp("small"))
    return Small(folder, folder.calibrated(), folder.new_runs())


def outcome(found: Calibration) -> list[bytes]:
    arrays = [found.draws, found.fit.sample.scores, found.prior, found.central]
    return [array.tobytes() for array in (*arrays, *(held.simulated for held in found.held_out))]


def test_the_budget_is_kept(small: Small, tmp_path: Path) -> None:
    assert small.runs == small.found.runs <= 2 * SMALL
    assert planned(4000, 3).total(3) == 4000
    with pytest.raises(
        ConfigError, match=r"--budget is 5, too few for 2 episodes; give at least \d+"
    ):
        calibrated(tmp_path, 5)


def test_same_bytes_with_one_worker_or_two_and_another_seed_differs(
    small: Small, tmp_path: Path
) -> None:
    alone = outcome(small.found)
    assert alone == outcome(calibrated(tmp_path / "two", SMALL, count=2))
    assert alone != outcome(calibrated(tmp_path / "one", SMALL, seed=1))


def test_a_calibration_that_was_cut_off_goes_on(small: Small, tmp_path: Path) -> None:
    """What was kept is not run again, a run that was not kept whole is, and the result is one."""
    folder = Logged(tmp_path)

    class Killed(BaseException):
        pass

    class Cut(RunStore):
        left = small.runs // 2

        def put(self, key: str, figures: np.ndarray, trouble: str, seconds: float) -> None:
            self.left -= 1
            if self.left < 0:
                raise Killed
            super().put(key, figures, trouble, seconds)

    with pytest.raises(Killed), Cut(folder.store) as store:
        calibrate(folder.problem, store, SMALL, 0, 1)
    begun = folder.new_runs()
    expected = outcome(small.found)
    assert outcome(folder.calibrated()) == expected
    lost = begun + folder.new_runs() - small.runs
    assert 0 < lost == begun - small.runs // 2 <= 2, "only what was cut off is repeated"
    again = folder.calibrated()
    assert outcome(again) == expected
    assert folder.new_runs() == 0
    assert again.core_hours > 0.0, "what it cost is known although nothing was run"


def test_a_store_answers_only_for_its_own_code_and_data(small: Small) -> None:
    small.folder.calibrated(version="other code")
    assert small.folder.new_runs() == small.runs


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
    assert figures.distance(off) == pytest.approx(2.0 / 2 / 2)
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


def test_emulator_knows_curves_and_what_it_does_not_know() -> None:
    rng = np.random.default_rng(5)
    scores = 0.5 * rng.standard_normal((150, 4))

    def truth(points: np.ndarray) -> np.ndarray:
        return np.exp(points[:, 0] ** 2 - points[:, 1] * points[:, 2])  # the fourth does nothing

    noise = 0.1
    emulator = fit_emulator(scores, truth(scores) * np.exp(noise * rng.standard_normal(150)), 0)
    fresh = 0.5 * rng.standard_normal((60, 4))
    mean, deviation = emulator.guess(fresh)
    error = mean - np.log(truth(fresh))
    assert np.sqrt((error**2).mean()) < 2 * noise
    assert np.mean(np.abs(error) < 2 * deviation + 0.02) > 0.8
    far = np.full((1, 4), 3.0)
    assert emulator.guess(far)[1] > 2 * deviation.mean()
    moved = fresh + np.array([0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(emulator.guess(moved)[0], mean, atol=noise)


def test_a_larger_budget_begins_with_the_points_of_a_smaller_one() -> None:
    few, many = (space_filling(points, 5, 0) for points in (20, 90))
    np.testing.assert_array_equal(few, many[:20])


def test_named_draws_leave_the_shared_generator_as_it_was() -> None:
    def drawn(*name: str) -> list[float]:
        with named_draws(3, *name):
            return list(norm.rvs(size=3))

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert drawn("a", "1") == drawn("a", "1") != drawn("a", "2")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# --- What is written ------------------------------------------------------------------------------


@pytest.mark.usefixtures("sketched")
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


def test_a_folder_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    where = tmp_path / "file" / "results"
    assert calibrate_command(["--results", str(where), "--budget", "300"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Cannot use ")
    assert "not a directory; give another --results" in said

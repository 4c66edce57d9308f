"""Estimate behaviour on history: `python -m experiments.calibrate`.

Settings common to all minerals and episodes are estimated once, on all episodes together. A first
wave fills the space of the priors; an emulator of its runs rules out what is implausible (history
matching); sequential Monte Carlo narrows what is left (approximate Bayesian computation). The same
is done with each episode left out in turn. Every run is kept as soon as it is done, so a call that
was cut off goes on where it stood when it is made again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc
from tqdm import tqdm

from abm.config import ConfigError
from abm.streams import stream
from abm.tables import TableError
from experiments.calibration.candidates import Candidate, Episode, Runs, RunStore, Simulate
from experiments.calibration.emulator import Emulator, fit_emulator
from experiments.calibration.inference import (
    Sample,
    Search,
    candidate_at,
    equal_draws,
    run_seed,
    sequential_sample,
)
from experiments.calibration.misfit import Figures, observed_figures
from experiments.calibration.priors import Priors
from experiments.engine.workers import start_workers

COMMAND = "python -m experiments.calibrate"
ROOT = Path(__file__).parent.parent
CUTOFF = 3.0  # deviations beyond which a point is implausible (Pukelsheim's three-sigma rule)
LEAST_LEFT = 0.05  # share of the space that the first wave leaves at least
SPACE = 4096  # points at which the share of the space left is measured
SHIPPED = 300  # draws of the table
LEAST_SEARCH = 18  # candidates that fill the smallest generation
BAND = (0.1, 0.5, 0.9)  # quantiles of the 80 % band and the median


@dataclass(frozen=True)
class Problem:
    """What is calibrated on what.

    Attributes
    ----------
    simulate
        A function of a module: from an episode's settings, a draw and a seed to a table with one
        row a figure and its value in the column `simulated`.
    version
        Hash of the code and data that runs depend on.
    """

    simulate: Simulate
    episodes: Mapping[str, Episode]
    priors: Priors
    version: str


@dataclass(frozen=True)
class Plan:
    """How a budget of candidates is shared out."""

    chance: int  # seeds at the defaults: how much of a figure is chance
    wave: int  # first wave
    search: int  # search with all episodes
    fold: int  # search with one episode left out
    held_out: int  # draws of it that are run on the episode left out

    @property
    def total(self) -> int:
        """Candidates, where there are folds to be run."""
        return self.chance + self.wave + self.search


@dataclass(frozen=True)
class Wave:
    """The first wave: points that fill the space, and their runs."""

    scores: np.ndarray  # [run, setting]
    simulated: np.ndarray  # [run, figure]


@dataclass(frozen=True)
class Fit:
    """What was found on some episodes.

    Attributes
    ----------
    names
        The episodes it was fitted on.
    cutoff
        Implausibility up to which points were let through.
    left
        Share of the prior that the emulator leaves.
    figures
        Their figures.
    """

    names: tuple[str, ...]
    figures: Figures
    emulator: Emulator
    cutoff: float
    left: float
    sample: Sample


@dataclass(frozen=True)
class HeldOut:
    """How the draws fitted without an episode do on it."""

    name: str
    fit: Fit
    simulated: np.ndarray  # [draw, figure] of the episode left out


@dataclass(frozen=True)
class Calibration:
    """All that was found, before it is written.

    Attributes
    ----------
    central
        ``[seed, figure]`` runs at the defaults.
    draws
        ``[draw, setting]`` equally likely values.
    """

    problem: Problem
    plan: Plan
    seed: int
    budget: int
    figures: Figures
    central: np.ndarray
    wave: Wave
    fit: Fit
    draws: np.ndarray
    held_out: tuple[HeldOut, ...]
    core_hours: float
    runs: int
    failed: int


def planned(budget: int, episodes: int) -> Plan:
    """How a budget of candidates is shared out.

    Raises
    ------
    ConfigError
        If it is too small for a generation.
    """
    plan = _shared_out(budget, episodes)
    if plan.search < LEAST_SEARCH:
        least = next(n for n in count(budget) if _shared_out(n, episodes).search >= LEAST_SEARCH)
        raise ConfigError(
            f"--budget is {budget}, too few for {episodes} episodes; give at least {least}"
        )
    return plan


def _shared_out(budget: int, episodes: int) -> Plan:
    chance = int(np.clip(budget // 60, 4, 24))
    wave = budget // 4
    fold = max(budget // 10, LEAST_SEARCH) if episodes > 1 else 0
    held_out = min(fold // 4, 50)
    return Plan(chance, wave, budget - chance - wave - episodes * (fold + held_out), fold, held_out)


def calibrate(
    problem: Problem, store: RunStore, budget: int, seed: int, processes: int
) -> Calibration:
    """Run the whole calibration.

    Parameters
    ----------
    budget
        Candidates; each is run on every episode it is fitted on.
    processes
        Worker processes; results do not depend on it.

    Raises
    ------
    ConfigError
        If the budget is too small for what is asked.
    """
    names = tuple(problem.episodes)
    plan = planned(budget, len(names))
    with (
        start_workers(processes) as workers,
        tqdm(total=budget, unit="run", disable=None, desc="Calibrating", smoothing=0.05) as bar,
    ):
        runs = Runs(problem.simulate, problem.episodes, problem.version, store, workers)
        try:
            return _calibrate(problem, plan, runs, names, budget, seed, bar.update)
        finally:
            runs.cancel()


def _calibrate(
    problem: Problem,
    plan: Plan,
    runs: Runs,
    names: tuple[str, ...],
    budget: int,
    seed: int,
    done: Callable[[], object],
) -> Calibration:
    def counted() -> None:
        done()

    priors = problem.priors
    centre = [
        Candidate((), {}, run_seed(seed, "chance", str(place))) for place in range(plan.chance)
    ]
    runs.wait(names[:1], centre[0])  # alone, so that one process compiles what all of them need
    central = runs.all_of(names, centre, counted)
    figures = observed_figures(problem.episodes).with_chance(central)
    scores = space_filling(plan.wave, len(priors.settings), seed)
    points = [
        candidate_at(priors, point, run_seed(seed, "wave", str(place)))
        for place, point in enumerate(scores)
    ]
    wave = Wave(scores, runs.all_of(names, points, counted))
    whole = fit(problem, runs, figures, wave, names, "all", plan.search, seed, counted)
    folds = [
        left_out(problem, runs, figures, wave, name, plan, seed, counted)
        for name in names
        if plan.fold
    ]
    rows = equal_draws(whole.sample, SHIPPED, seed)
    return Calibration(
        problem=problem,
        plan=plan,
        seed=seed,
        budget=budget,
        figures=figures,
        central=central,
        wave=wave,
        fit=whole,
        draws=priors.values(whole.sample.scores[rows]),
        held_out=tuple(folds),
        core_hours=runs.seconds / 3600.0,
        runs=runs.count,
        failed=runs.failed,
    )


def space_filling(points: int, settings: int, seed: int) -> np.ndarray:
    """``[point, setting]`` scores of a Latin hypercube over the priors."""
    cube = qmc.LatinHypercube(settings, rng=stream(seed, "first wave"))
    return ndtri(cube.random(points))


def fit(
    problem: Problem,
    runs: Runs,
    figures: Figures,
    wave: Wave,
    names: tuple[str, ...],
    label: str,
    budget: int,
    seed: int,
    done: Callable[[], None],
) -> Fit:
    """History matching on the first wave, then sequential Monte Carlo, on some episodes.

    Raises
    ------
    ConfigError
        If the budget does not fill a generation.
    """
    own = figures.of(names)
    columns = np.flatnonzero(np.isin(figures.episode, names) & figures.fitted)
    order = np.concatenate([columns[figures.episode[columns] == name] for name in names])
    emulator = fit_emulator(wave.scores, figures.errors(wave.simulated)[:, order])
    space = space_filling(SPACE, len(problem.priors.settings), seed + 1)
    guesses = emulator.implausibility(space)
    cutoff = float(max(CUTOFF, np.quantile(guesses, LEAST_LEFT)))

    def plausible(scores: np.ndarray) -> bool:
        return bool(emulator.implausibility(scores[None, :])[0] <= cutoff)

    population = int(np.clip(budget // 9, 6, SHIPPED))
    search = Search(problem.priors, own, runs, names, seed, label, done)
    sample = sequential_sample(search, plausible, population, 5 * population // 2, budget)
    if sample is None:
        raise ConfigError(
            f"--budget is too small: its {budget} runs for the search on {', '.join(names)} do "
            "not fill a generation; give more"
        )
    return Fit(names, own, emulator, cutoff, float(np.mean(guesses <= cutoff)), sample)


def left_out(
    problem: Problem,
    runs: Runs,
    figures: Figures,
    wave: Wave,
    name: str,
    plan: Plan,
    seed: int,
    done: Callable[[], None],
) -> HeldOut:
    """Fit without an episode, then run draws of that on it."""
    others = tuple(other for other in problem.episodes if other != name)
    label = f"without {name}"
    found = fit(problem, runs, figures, wave, others, label, plan.fold, seed, done)
    rows = equal_draws(found.sample, plan.held_out, seed)
    candidates: list[Candidate] = [
        candidate_at(
            problem.priors, found.sample.scores[row], run_seed(seed, label, "held out", str(place))
        )
        for place, row in enumerate(rows)
    ]
    return HeldOut(name, found, runs.all_of([name], candidates, done))


# ------------------------------------------------------------------------------ the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate, write the results folder and, if asked, the tables that the model ships with."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=(__doc__ or "").replace("\n\n", "\n").split("\n", 1)[1]
    )
    parser.add_argument("--budget", type=int, default=4000, help="candidates to run (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything (%(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one a core")
    parser.add_argument("--episodes", nargs="+", default=None, help="hindcasts to fit on")
    parser.add_argument("--results", default="results/calibration", help="folder (%(default)s)")
    parser.add_argument(
        "--ship", action="store_true", help="also write the posterior and page that are published"
    )
    given = parser.parse_args(arguments)
    # Loaded when asked for: what draws and what reads episodes takes long to load.
    from experiments.calibration.episodes import hindcast_problem
    from experiments.calibration.report import publish, write_results

    try:
        problem = hindcast_problem(given.episodes)
        folder = Path(given.results)
        workers = given.workers or os.cpu_count() or 1
        with RunStore(folder / "runs.sqlite") as store:
            found = calibrate(problem, store, given.budget, given.seed, workers)
        named = folder / f"seed{given.seed}_budget{given.budget}_{'_'.join(problem.episodes)}"
        write_results(found, named)
        if given.ship:
            publish(found, named, ROOT)
    except KeyboardInterrupt:
        print("Stopped by the user; the same command goes on from here.", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print(
            "A worker process was ended from outside; the same command goes on from here, "
            "with less memory under --workers 1.",
            file=sys.stderr,
        )
        return 2
    except (ConfigError, TableError, OSError) as error:
        print(f"{' '.join(str(error).split()).rstrip('.')}.", file=sys.stderr)
        return 2
    print(f"Results: {named}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

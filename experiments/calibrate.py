"""Estimate behaviour on history: `python -m experiments.calibrate`.

Settings common to all minerals and episodes are estimated once, on all episodes together. Waves of
runs and an emulator of them rule out what is implausible (history matching); from draws of the
prior in what is left, those that come closest are kept (approximate Bayesian computation). The same
is done with each episode left out in turn. Every run is kept as soon as it is done, so a call that
was cut off goes on where it stood when it is made again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from pathlib import Path

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc
from tqdm import tqdm

from abm.config import ConfigError
from abm.streams import stream
from abm.tables import TableError
from experiments.calibration.candidates import Candidate, Runs, RunStore
from experiments.calibration.emulator import fit_emulator
from experiments.calibration.inference import (
    Search,
    accepted_of,
    candidate_at,
    rejection_sample,
    run_seed,
)
from experiments.calibration.misfit import RIGHT, Figures, observed_figures
from experiments.calibration.priors import Priors
from experiments.calibration.results import (
    COMMAND,
    Calibration,
    Fit,
    HeldOut,
    Plan,
    Problem,
    Region,
    Wave,
)
from experiments.command import CommandLine, whole_number
from experiments.engine.workers import start_workers

ROOT = Path(__file__).parent.parent
WAVES = 3  # of history matching
KEPT = 0.2  # share of what was left that a wave leaves
SPACE = 4096  # points at which a share of the space is measured
LEAST_SEARCH = 18  # candidates of the smallest search
EDGE = 1e-9  # ranks of the first wave stay this far from the ends of the priors


def planned(budget: int, episodes: int) -> Plan:
    """How a budget of candidates is shared out.

    Raises
    ------
    ConfigError
        If it is too small to accept anything.
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
    waves = (int(0.4 * budget), *[int(0.1 * budget)] * (WAVES - 1))
    fold = max(budget // 20, LEAST_SEARCH) if episodes > 1 else 0
    held_out = accepted_of(fold)
    spent = chance + sum(waves) + episodes * (fold + held_out)
    return Plan(chance, waves, budget - spent, fold, held_out)


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
    waves: list[Wave] = []
    region = Region()
    for number, size in enumerate(plan.waves):
        if number == 0:
            scores = space_filling(size, len(priors.settings), seed)
        else:
            region = _narrowed(region, waves, figures.of(names), KEPT, seed)
            scores = points_inside(region, size, len(priors.settings), seed)
        waves.append(_run_wave(runs, names, priors, scores, number, seed, counted))
    region = _narrowed(region, waves, figures.of(names), KEPT, seed)
    whole = fit(problem, runs, figures, region, names, "all", plan.search, seed, counted)
    folds = [
        left_out(problem, runs, figures, waves, name, plan, seed, counted)
        for name in names
        if plan.fold
    ]
    return Calibration(
        problem=problem,
        plan=plan,
        seed=seed,
        budget=budget,
        figures=figures,
        central=central,
        waves=waves,
        fit=whole,
        draws=priors.values(whole.sample.scores),
        held_out=tuple(folds),
        core_hours=runs.seconds / 3600.0,
        runs=runs.count,
        failed=runs.failed,
    )


def _run_wave(
    runs: Runs,
    names: tuple[str, ...],
    priors: Priors,
    scores: np.ndarray,
    number: int,
    seed: int,
    done: Callable[[], None],
) -> Wave:
    label = "wave" if number == 0 else f"wave {number + 1}"
    points = [
        candidate_at(priors, point, run_seed(seed, label, str(place)))
        for place, point in enumerate(scores)
    ]
    return Wave(scores, runs.all_of(names, points, done))


def space_filling(points: int, settings: int, seed: int) -> np.ndarray:
    """``[point, setting]`` scores of a Sobol sequence over the priors.

    Its first points are the same however many are asked for, so a larger budget goes on where a
    smaller one stopped.
    """
    sequence = qmc.Sobol(settings, rng=stream(seed, "first wave"))
    ranks = sequence.random(2 ** int(np.ceil(np.log2(max(points, 1)))))[:points]
    return ndtri(np.clip(ranks, EDGE, 1.0 - EDGE))


def points_inside(region: Region, points: int, settings: int, seed: int) -> np.ndarray:
    """``[point, setting]`` scores of the prior that a region has not ruled out."""
    rng = stream(seed, "inside", str(len(region.cuts)))
    found: list[np.ndarray] = []
    while sum(map(len, found)) < points:
        scores = rng.standard_normal((SPACE, settings))
        found.append(scores[region.inside(scores)])
    return np.concatenate(found)[:points]


def _narrowed(
    region: Region, waves: Sequence[Wave], figures: Figures, kept: float, seed: int
) -> Region:
    """The region after one more round: the part where an emulator of all runs promises most.

    Parameters
    ----------
    figures
        Of the episodes fitted on; runs of the waves may hold others too.
    kept
        Share of the region that stays; more where more is as close as a right model would be.
    """
    scores = np.concatenate([wave.scores for wave in waves])
    simulated = np.concatenate([wave.simulated for wave in waves])
    emulator = fit_emulator(scores, figures.distance(simulated), seed)
    space = points_inside(region, SPACE, scores.shape[1], seed)
    guesses = emulator.at_best(space)
    cut = float(max(np.quantile(guesses, kept), np.log(RIGHT)))
    return region.below(emulator, cut, float(np.mean(guesses <= cut)))


def fit(
    problem: Problem,
    runs: Runs,
    figures: Figures,
    region: Region,
    names: tuple[str, ...],
    label: str,
    budget: int,
    seed: int,
    done: Callable[[], None],
) -> Fit:
    """Approximate Bayesian computation inside a region, on some episodes."""
    own = figures.of(names)
    search = Search(problem.priors, own, runs, names, seed, label, done)
    return Fit(names, own, region, rejection_sample(search, region.inside, budget))


def left_out(
    problem: Problem,
    runs: Runs,
    figures: Figures,
    waves: Sequence[Wave],
    name: str,
    plan: Plan,
    seed: int,
    done: Callable[[], None],
) -> HeldOut:
    """Fit without an episode, then run the draws of that on it."""
    others = tuple(other for other in problem.episodes if other != name)
    columns = np.isin(figures.episode, others)
    seen = [Wave(wave.scores, wave.simulated[:, columns]) for wave in waves]
    own = figures.of([other for other in problem.episodes if other in others])
    label = f"without {name}"
    region = _narrowed(Region(), seen, own, KEPT**WAVES, seed)
    found = fit(problem, runs, figures, region, others, label, plan.fold, seed, done)
    candidates = [
        candidate_at(problem.priors, scores, run_seed(seed, label, "held out", str(place)))
        for place, scores in enumerate(found.sample.scores)
    ]
    return HeldOut(name, found, runs.all_of([name], candidates, done))


# ------------------------------------------------------------------------------ the command


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate, write the results folder and, if asked, the tables that the model ships with."""
    parser = CommandLine(COMMAND, (__doc__ or "").replace("\n\n", "\n").split("\n", 1)[1])
    parser.add_argument(
        "--budget", type=whole_number(1), default=4000, help="candidates to run (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of everything (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=whole_number(0), default=0, help="processes; 0: one a core"
    )
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
        said = str(error)
        if isinstance(error, OSError) and error.strerror is not None:
            said = f"Cannot use {error.filename}: {error.strerror.lower()}; give another --results"
        print(f"{' '.join(said.split()).rstrip('.')}.", file=sys.stderr)
        return 2
    print(f"Results: {named}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

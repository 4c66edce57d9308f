"""Approximate Bayesian computation by rejection, the same whatever computes it.

pyABC (Schaelte and others 2022) draws from the prior and keeps what lies below a threshold. Its own
parallel samplers take whichever run is done first, so results depend on timing. Here candidate i of
generation t draws from a stream named after (t, i), runs are done ahead of need in the worker
processes, and candidates are judged in their order.

Later generations that perturb the accepted ones (Toni and others 2009) were tried: with some thirty
settings and a thousand runs their weights are carried by one or two candidates. Draws of the prior
all weigh the same; history matching does the narrowing instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyabc
from scipy.stats import norm

from abm.streams import stream
from experiments.calibration.candidates import Candidate, Runs
from experiments.calibration.misfit import RIGHT, Figures
from experiments.calibration.priors import Priors

Inside = Callable[[np.ndarray], np.ndarray]
ACCEPTED = 0.2  # share of the candidates that is kept
SLACK = 1.1  # most candidates of a search, over those needed on average
BATCH = 512  # points of the prior drawn at once


class NotRun(Exception):
    """A candidate whose run is not at hand yet."""

    def __init__(self, candidate: Candidate) -> None:
        super().__init__("not run yet")
        self.candidate = candidate


@contextmanager
def named_draws(seed: int, *name: str) -> Iterator[None]:
    """NumPy's shared generator, the only one pyABC knows, in the state of a named stream."""
    before = np.random.get_state()  # noqa: NPY002
    words = stream(seed, *name).integers(2**32, size=8, dtype=np.uint32)
    np.random.seed(words)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class PlausiblePrior(pyabc.DistributionBase):
    """Standard normal scores, where the waves before have not ruled them out.

    pyABC asks for a candidate two or three times, each time with the same draws. What is inside
    takes long to find, so that points are kept by the state of the draws.
    """

    def __init__(self, settings: Sequence[str], inside: Inside) -> None:
        self.settings = tuple(settings)
        self.inside = inside
        self._drawn: dict[tuple[object, ...], np.ndarray] = {}
        self._known: set[bytes] = set()  # points inside

    def rvs(self, *_: object, **__: object) -> pyabc.Parameter:
        """One point."""
        state: Any = np.random.get_state()  # noqa: NPY002
        key = (state[1].tobytes(), *state[2:])
        if key not in self._drawn:
            self._drawn[key] = self._first_inside()
            self._known.add(self._drawn[key].tobytes())
        return pyabc.Parameter(dict(zip(self.settings, self._drawn[key], strict=True)))

    def _first_inside(self) -> np.ndarray:
        while True:
            scores = norm.rvs(size=(BATCH, len(self.settings)))
            found = np.flatnonzero(self.inside(scores))
            if found.size:
                return scores[found[0]]

    def pdf(self, x: pyabc.Parameter) -> float:
        """Density over that at the centre; the true one is tiny where there are many settings."""
        scores = np.array([x[name] for name in self.settings])
        known = scores.tobytes() in self._known
        possible = known or self.inside(scores[None, :])[0]
        return float(np.exp(-0.5 * scores @ scores)) if possible else 0.0


@dataclass(frozen=True)
class Sample:
    """Accepted candidates; all weigh the same.

    Attributes
    ----------
    scores
        ``[candidate, setting]`` standard normal scores.
    simulated
        ``[candidate, figure]`` of the fitted episodes, one after the other.
    threshold
        Largest distance let through.
    tried
        Candidates that were run.
    """

    scores: np.ndarray
    simulated: np.ndarray
    threshold: float
    tried: int


class OrderedSampler(pyabc.Sampler):
    """Judges candidates in their order, while those after them are being run.

    The first sample of pyABC, from the prior, and generation 0 share their candidates.
    """

    def __init__(self, search: Search, budget: int) -> None:
        super().__init__()
        self.search, self.budget = search, budget
        self.first = 0
        self.accepted: list[pyabc.population.Particle] = []
        self.tried = 0

    def sample_until_n_accepted(
        self,
        n: int,
        simulate_one: Callable[[], pyabc.population.Particle],
        t: int,
        *,
        max_eval: float = np.inf,
        all_accepted: bool = False,
        ana_vars: object = None,
    ) -> pyabc.population.Sample:
        """The first `n` accepted candidates, or all of them when the budget is spent."""
        sample = self._create_empty_sample()
        free = self.first if t == 0 else 0  # already run and paid for
        place = ahead = 0
        while sample.n_accepted < n and place < self.budget:
            while ahead < min(place + self.search.runs.workers.ahead + 1, self.budget):
                self.search.request(simulate_one, ahead)
                ahead += 1
            sample.append(self.search.judge(simulate_one, place, place >= free))
            place += 1
        self.nr_evaluations_ = place
        if t < 0:
            self.first = place
        else:
            self.accepted, self.tried = sample.accepted_particles, place
        sample.ok = t < 0 or sample.n_accepted > 0
        return sample


@dataclass
class Search:
    """What links pyABC's candidates to runs."""

    priors: Priors
    figures: Figures
    runs: Runs
    episodes: Sequence[str]
    seed: int
    label: str
    done: Callable[[], None]
    _place: int = 0

    def request(self, simulate_one: Callable[[], object], place: int) -> None:
        """Hand in the run of a candidate unless it is known."""
        try:
            self._at(simulate_one, place)
        except NotRun as missing:
            self.runs.request(self.episodes, missing.candidate)

    def judge(
        self, simulate_one: Callable[[], pyabc.population.Particle], place: int, counts: bool
    ) -> pyabc.population.Particle:
        """The candidate with its distance, once it has been run."""
        try:
            particle = self._at(simulate_one, place)
        except NotRun as missing:
            self.runs.wait(self.episodes, missing.candidate)
            particle = self._at(simulate_one, place)
        if counts:
            self.done()
        return particle

    def model(self, parameter: pyabc.Parameter) -> dict[str, np.ndarray]:
        """Figures of a candidate; raises NotRun where they are not at hand."""
        scores = np.array([parameter[name] for name in self.priors.settings])
        seed = run_seed(self.seed, self.label, str(self._place))
        candidate = candidate_at(self.priors, scores, seed)
        found = self.runs.known(self.episodes, candidate)
        if found is None:
            raise NotRun(candidate)
        return {"figures": found}

    def _at[Found](self, simulate_one: Callable[[], Found], place: int) -> Found:
        self._place = place
        with named_draws(self.seed, self.label, "proposal", str(place)):
            return simulate_one()


def candidate_at(priors: Priors, scores: np.ndarray, seed: int) -> Candidate:
    """A candidate at some scores."""
    return Candidate(tuple(scores.tolist()), priors.draw(scores), seed)


def run_seed(seed: int, *name: str) -> int:
    """The seed of a run, from a stream of its own."""
    return int(stream(seed, "run", *name).integers(2**31))


def accepted_of(budget: int) -> int:
    """Candidates that a search keeps."""
    return int(ACCEPTED * budget / SLACK)


def rejection_sample(search: Search, inside: Inside, budget: int) -> Sample:
    """The candidates of the prior, inside a region, that come closest.

    Parameters
    ----------
    inside
        ``[point]`` bool of ``[point, setting]`` scores.
    budget
        Most candidates that are run. All but a few set the threshold, which lets a fifth through,
        and all that are as close as a right model would be.
    """
    logging.getLogger("ABC").setLevel(logging.WARNING)
    sampler = OrderedSampler(search, budget)
    accepted = accepted_of(budget)
    smc = pyabc.ABCSMC(
        models=search.model,
        parameter_priors=PlausiblePrior(search.priors.settings, inside),
        distance_function=pyabc.distance.FunctionDistance(
            lambda found, _: max(RIGHT, float(search.figures.distance(found["figures"])))
        ),
        population_size=pyabc.ConstantPopulationSize(
            accepted, nr_calibration_particles=int(budget / SLACK)
        ),
        eps=pyabc.QuantileEpsilon(initial_epsilon="from_sample", alpha=ACCEPTED),
        sampler=sampler,
    )
    with TemporaryDirectory() as folder:  # pyABC leaves a database in memory open
        smc.new(f"sqlite:///{Path(folder) / 'generations.sqlite'}")
        smc.run(max_nr_populations=1)
    kept = sampler.accepted
    return Sample(
        scores=np.array([[one.parameter[name] for name in search.priors.settings] for one in kept]),
        simulated=np.array([one.sum_stat["figures"] for one in kept]),
        threshold=float(smc.eps(0)),
        tried=sampler.tried,
    )

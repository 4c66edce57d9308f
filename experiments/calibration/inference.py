"""Approximate Bayesian computation by sequential Monte Carlo, the same whatever computes it.

pyABC (Schaelte and others 2022) keeps the generations, thresholds, perturbations and weights
(Toni and others 2009). Its own parallel samplers take whichever run is done first, so results
depend on timing. Here candidate i of generation t draws from a stream named after (t, i), runs
are done ahead of need in the worker processes, and candidates are judged in their order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyabc
from scipy.stats import norm

from abm.streams import stream
from experiments.calibration.candidates import Candidate, Runs
from experiments.calibration.misfit import Figures
from experiments.calibration.priors import Priors

Plausible = Callable[[np.ndarray], bool]
KEPT = 0.4  # share of a generation below whose distance the next one must lie
LEAST_ACCEPTED = 0.03  # share of candidates below which a generation is not begun
CAUTION = 1.5  # how many times as many candidates a generation may need as the last one's share


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
    """Standard normal scores, where the first waves have not ruled them out."""

    def __init__(self, settings: Sequence[str], plausible: Plausible) -> None:
        self.settings = tuple(settings)
        self.plausible = plausible

    def rvs(self, *_: object, **__: object) -> pyabc.Parameter:
        """One point."""
        while True:
            scores = norm.rvs(size=len(self.settings))
            if self.plausible(scores):
                return pyabc.Parameter(dict(zip(self.settings, scores, strict=True)))

    def pdf(self, x: pyabc.Parameter) -> float:
        """Density over that at the centre; the true one is tiny where there are many settings."""
        scores = np.array([x[name] for name in self.settings])
        return float(np.exp(-0.5 * scores @ scores)) if self.plausible(scores) else 0.0


@dataclass(frozen=True)
class Sample:
    """Weighted candidates of the last generation.

    Attributes
    ----------
    scores
        ``[candidate, setting]`` standard normal scores.
    weights
        ``[candidate]``, with sum one.
    simulated
        ``[candidate, figure]`` of the fitted episodes, one after the other.
    thresholds, accepted, tried
        One a generation: largest distance let through, candidates accepted and tried.
    """

    scores: np.ndarray
    weights: np.ndarray
    simulated: np.ndarray
    thresholds: tuple[float, ...]
    accepted: tuple[int, ...]
    tried: tuple[int, ...]

    @property
    def effective_size(self) -> float:
        """How many equally weighted candidates would say as much."""
        return float(1.0 / (self.weights**2).sum())


class OrderedSampler(pyabc.Sampler):
    """Judges candidates in their order, while those after them are being run.

    The first sample of pyABC, from the prior, and generation 0 share their candidates.
    """

    def __init__(self, search: Search, budget: int) -> None:
        super().__init__()
        self.search, self.left, self.first = search, budget, 0
        self.last_share = 1.0
        self.tried: list[int] = []
        self.generations: list[pyabc.population.Sample] = []

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
        """The first `n` accepted candidates of a generation, or a sample that is not `ok`."""
        sample = self._create_empty_sample()
        generation = max(t, 0)
        free = self.first if t == 0 else 0  # already run and paid for
        limit = int(min(max_eval, self.left + free))
        if n * CAUTION / self.last_share > limit + (CAUTION - 1.0) * n and t > 0:
            limit = 0
        place = ahead = 0
        while sample.n_accepted < n and place < limit:
            while ahead < min(place + self.search.runs.workers.ahead + 1, limit):
                self.search.request(simulate_one, generation, ahead)
                ahead += 1
            sample.append(self.search.judge(simulate_one, generation, place, place >= free))
            place += 1
        self.nr_evaluations_ = place
        self.left -= max(place - free, 0)
        if t < 0:
            self.first = place
        elif sample.n_accepted == n:
            self.last_share = n / place
            self.tried.append(place)
            self.generations.append(sample)
        sample.ok = sample.n_accepted >= n
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
    _place: tuple[int, int] = (0, 0)

    def request(self, simulate_one: Callable[[], object], generation: int, place: int) -> None:
        """Hand in the run of a candidate unless it is known."""
        try:
            self._at(simulate_one, generation, place)
        except NotRun as missing:
            self.runs.request(self.episodes, missing.candidate)

    def judge(
        self,
        simulate_one: Callable[[], pyabc.population.Particle],
        generation: int,
        place: int,
        counts: bool,
    ) -> pyabc.population.Particle:
        """The candidate with its distance, once it has been run."""
        try:
            particle = self._at(simulate_one, generation, place)
        except NotRun as missing:
            self.runs.wait(self.episodes, missing.candidate)
            particle = self._at(simulate_one, generation, place)
        if counts:
            self.done()
        return particle

    def model(self, parameter: pyabc.Parameter) -> dict[str, np.ndarray]:
        """Figures of a candidate; raises NotRun where they are not at hand."""
        scores = np.array([parameter[name] for name in self.priors.settings])
        candidate = candidate_at(self.priors, scores, self._run_seed())
        found = self.runs.known(self.episodes, candidate)
        if found is None:
            raise NotRun(candidate)
        return {"figures": found}

    def _run_seed(self) -> int:
        return run_seed(self.seed, self.label, *map(str, self._place))

    def _at[Found](self, simulate_one: Callable[[], Found], generation: int, place: int) -> Found:
        self._place = (generation, place)
        with named_draws(self.seed, self.label, "proposal", str(generation), str(place)):
            return simulate_one()


def candidate_at(priors: Priors, scores: np.ndarray, seed: int) -> Candidate:
    """A candidate at some scores."""
    return Candidate(tuple(scores.tolist()), priors.draw(scores), seed)


def run_seed(seed: int, *name: str) -> int:
    """The seed of a run, from a stream of its own."""
    return int(stream(seed, "run", *name).integers(2**31))


def sequential_sample(
    search: Search, plausible: Plausible, population: int, first: int, budget: int
) -> Sample | None:
    """Generations of ever smaller distance, for as long as the budget lasts.

    Parameters
    ----------
    population
        Candidates a generation keeps.
    first
        Candidates of the prior that set the first threshold, at least as many as the population.
    budget
        Most candidates that are run.

    Returns
    -------
    Sample | None
        The last full generation; None if not even one could be filled.
    """
    logging.getLogger("ABC").setLevel(logging.WARNING)
    sampler = OrderedSampler(search, budget)
    smc = pyabc.ABCSMC(
        models=search.model,
        parameter_priors=PlausiblePrior(search.priors.settings, plausible),
        distance_function=pyabc.distance.FunctionDistance(
            lambda found, _: float(search.figures.distance(found["figures"]))
        ),
        population_size=pyabc.ConstantPopulationSize(population, nr_calibration_particles=first),
        transitions=pyabc.MultivariateNormalTransition(),
        eps=pyabc.QuantileEpsilon(initial_epsilon="from_sample", alpha=KEPT),
        sampler=sampler,
    )
    with TemporaryDirectory() as folder:  # pyABC leaves a database in memory open
        smc.new(f"sqlite:///{Path(folder) / 'generations.sqlite'}")
        smc.run(min_acceptance_rate=LEAST_ACCEPTED)
    if not sampler.generations:
        return None
    last = sampler.generations[-1].accepted_particles
    return Sample(
        scores=np.array([[one.parameter[name] for name in search.priors.settings] for one in last]),
        weights=np.array([one.weight for one in last]),
        simulated=np.array([one.sum_stat["figures"] for one in last]),
        thresholds=tuple(float(smc.eps(t)) for t in range(len(sampler.generations))),
        accepted=tuple(one.n_accepted for one in sampler.generations),
        tried=tuple(sampler.tried),
    )


def equal_draws(sample: Sample, count: int, seed: int) -> np.ndarray:
    """``[draw]`` rows of the sample, each as often as its weight asks (systematic resampling)."""
    start = stream(seed, "equal draws").random()
    places = (start + np.arange(count)) / count
    edges = np.cumsum(sample.weights)
    return np.searchsorted(edges / edges[-1], places)

"""What a calibration leaves behind: tables, figures, the posterior and the page about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.calibration import tables
from experiments.calibration.figures import (
    correlation_figure,
    left_out_figure,
    predictive_figure,
    settings_figure,
)
from experiments.calibration.inference import ACCEPTED
from experiments.calibration.misfit import CAP, Figures
from experiments.calibration.results import COMMAND, Calibration
from experiments.engine.store import provenance
from experiments.figures import save

PAGE = "calibration.md"
FIGURES = {
    "settings": "Priors and posterior of every setting, with the default.",
    "correlations": "Correlations in the posterior.",
    "predictive": "Errors of every figure under prior and posterior; in the grey band a figure is "
    "within two standard deviations of all that is uncertain.",
    "left_out": "Misfit of each episode under the prior, the defaults, draws fitted on the other "
    "episodes, and draws fitted on all.",
}


def write_results(found: Calibration, folder: Path) -> None:
    """Write tables, figures, posterior and provenance; the same calibration, the same bytes.

    What depends on the machine, the cost, stands apart in cost.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = all_tables(found)
    for name, table in written.items():
        _write(table, folder / f"{name}.csv")
    _write(posterior_table(found), folder / "posterior.csv")
    _write_json(posterior_provenance(found), folder / "posterior.json")
    cost = {"core_hours": round(found.core_hours, 3), "runs": found.runs, "failed": found.failed}
    _write_json(cost, folder / "cost.json")
    draw_figures(found, written, folder / "figures")
    page = calibration_page(found, written, "figures/")
    (folder / PAGE).write_text(page, encoding="utf-8")


def publish(found: Calibration, folder: Path, root: Path) -> None:
    """Put the posterior among the model's tables, and its page and figures among the documents."""
    for name in ("posterior.csv", "posterior.json"):
        shutil.copyfile(folder / name, root / "abm" / "data" / name)
    shown = root / "docs" / "figures"
    shown.mkdir(parents=True, exist_ok=True)
    written = {path.stem for path in (folder / "figures").glob("*.png")}
    for name in sorted(written):
        shutil.copyfile(folder / "figures" / f"{name}.png", shown / f"{name}.png")
    page = calibration_page(found, all_tables(found), "figures/")
    (root / "docs" / PAGE).write_text(page, encoding="utf-8")


def all_tables(found: Calibration) -> dict[str, pd.DataFrame]:
    """The tables of a calibration by file name."""
    written = {
        "settings": tables.setting_table(found),
        "correlations": tables.correlation_table(found),
        "predictive": tables.predictive_table(found),
        "search": tables.search_table(found),
    }
    if found.held_out:
        written["left_out"] = tables.left_out_table(found)
        written["shifts"] = tables.shift_table(found)
    return written


def posterior_table(found: Calibration) -> pd.DataFrame:
    """Equally likely draws, one column a setting."""
    return pd.DataFrame(found.draws, columns=list(found.problem.priors.settings))


def posterior_provenance(found: Calibration) -> dict[str, Any]:
    """Where the draws come from."""
    sample = found.fit.sample
    about = provenance()
    return {
        "command": f"{COMMAND} --seed {found.seed} --budget {found.budget} --episodes "
        f"{' '.join(found.problem.episodes)}",
        "seed": found.seed,
        "budget": found.budget,
        "episodes": list(found.problem.episodes),
        "figures_fitted": int(found.figures.fitted.sum()),
        "settings": list(found.problem.priors.settings),
        "draws": len(found.draws),
        "candidates_of_the_search": sample.tried,
        "threshold": round(sample.threshold, 4),
        "space_left_by_history_matching": round(found.fit.region.left, 5),
        "distance": {
            name: round(float(np.median(found.figures.distance(simulated))), 4)
            for name, simulated in (
                ("prior", found.prior),
                ("default", found.central),
                ("posterior", sample.simulated),
            )
        },
        "code_and_data_sha256": found.problem.version,
        "versions": about["versions"],
        "commit": about["commit"],
    }


def draw_figures(found: Calibration, written: dict[str, pd.DataFrame], folder: Path) -> None:
    """Draw and save all figures."""
    priors = found.problem.priors
    settings = written["settings"].assign(log=priors.log)
    errors = standardised(written["predictive"], found.figures)
    drawn = {
        "settings": (settings_figure(posterior_table(found), settings), settings),
        "correlations": (correlation_figure(written["correlations"]), written["correlations"]),
        "predictive": (predictive_figure(errors), errors),
    }
    if "left_out" in written:
        drawn["left_out"] = (left_out_figure(written["left_out"]), written["left_out"])
    for name, (figure, table) in drawn.items():
        save(figure, folder, f"calibration_{name}", table)


def standardised(predictive: pd.DataFrame, figures: Figures) -> pd.DataFrame:
    """The bands of all figures as errors in standard deviations of all that is uncertain."""
    table = predictive[["episode", "figure", "used_for"]].copy()
    for run in ("prior", "default", "posterior"):
        for quantile in ("p10", "median", "p90"):
            column = f"{run}_{quantile}"
            table[column] = figures.errors(predictive[column].to_numpy(float))
    return table


# -------------------------------------------------------------------------------- the page


def calibration_page(found: Calibration, written: dict[str, pd.DataFrame], pictures: str) -> str:
    """The page about a calibration, with its numbers."""
    about = posterior_provenance(found)
    distance = about["distance"]
    inside = written["predictive"].query("used_for == 'calibration'")["inside"].mean()
    checked = written["predictive"].query("used_for == 'check'")["inside"]
    sample = found.fit.sample
    parts = [
        "# Calibration",
        f"Written by `{COMMAND}`; do not edit.",
        "Behaviour that is common to all minerals and all episodes is estimated once, on "
        f"{_listed(found.problem.episodes)} together: {about['figures_fitted']} figures, "
        f"{len(about['settings'])} settings. Nothing is fitted to one mineral or one episode.",
        "## How",
        METHOD.format(
            chance=found.plan.chance,
            first=len(found.waves[0].scores),
            later=_listed_numbers([len(wave.scores) for wave in found.waves[1:]]),
            left=100 * found.fit.region.left,
            tried=sample.tried,
            kept=100 * ACCEPTED,
            cap=CAP,
            draws=len(found.draws),
        ),
        f"Seed {found.seed}, {found.budget} candidates, {found.runs} runs of an episode, "
        f"{found.core_hours:.2f} core-hours; {found.failed} runs found no market clearing and "
        "count as far off.",
        "## What was found",
        "The distance is the mean over episodes of the mean absolute error of their figures, "
        f"in standard deviations, each capped at {CAP:g}. Its median is {distance['prior']:.2f} "
        f"under the prior, {distance['default']:.2f} at the defaults and "
        f"{distance['posterior']:.2f} under the posterior; the threshold was "
        f"{about['threshold']:.2f}. The posterior’s 80 % band meets the observed range of "
        f"{100 * inside:.0f} % of the figures fitted"
        + (f" and {100 * checked.mean():.0f} % of those only shown." if len(checked) else "."),
        _picture("settings", pictures),
        _markdown(
            written["settings"],
            {
                "setting": "setting",
                "unit": "unit",
                "low": "prior from",
                "high": "to",
                "default": "default",
                "p10": "posterior 10 %",
                "median": "median",
                "p90": "90 %",
                "narrowed": "narrowed by",
            },
        ),
        "`narrowed by` is the share of the prior’s spread that is gone: near zero, history says "
        "nothing about the setting.",
        _picture("correlations", pictures),
        "## Posterior predictive check",
        "Each figure, as the prior, the defaults and the posterior have it: medians and 80 % "
        "bands. Misses are those whose band does not meet the observed range.",
        _picture("predictive", pictures),
        _markdown(
            written["predictive"].assign(
                inside=np.where(written["predictive"]["inside"], "yes", "no")
            ),
            {
                "episode": "episode",
                "figure": "figure",
                "used_for": "used for",
                "observed": "observed",
                "low": "from",
                "high": "to",
                "prior_median": "prior",
                "default_median": "defaults",
                "posterior_p10": "posterior 10 %",
                "posterior_median": "median",
                "posterior_p90": "90 %",
                "inside": "meets",
            },
        ),
    ]
    if "left_out" in written:
        parts += [
            "## Each episode left out in turn",
            "The search again on the other episodes, with the runs of the waves at hand; then what "
            "it found is run on the one left out. If `without` is below `prior`, the other "
            "episodes have taught something about this one. `close` is the share of its figures "
            "whose median is within a factor of 1.5, 5 points or four months.",
            _picture("left_out", pictures),
            _markdown(
                written["left_out"],
                {
                    "episode": "episode",
                    "prior": "misfit under the prior",
                    "default": "defaults",
                    "without": "without it",
                    "all": "with all",
                    "close_prior": "close: prior",
                    "close_default": "defaults",
                    "close_without": "without it",
                    "close_all": "with all",
                },
            ),
        ]
    parts += ["## How the search went", _markdown(written["search"], None)]
    return "\n\n".join(parts) + "\n"


METHOD = """\
1. **Chance.** {chance} seeds at the defaults measure how far figures move by chance alone. With \
the observed range (read as a 90 % interval) and the model’s own error (half of the accuracy \
asked of it: a factor of 1.5, 5 points, four months) this makes the standard deviation of a \
figure.
2. **History matching.** A first wave of {first} points of a Sobol sequence over the priors, then \
{later} points in what is left. After each, a Gaussian process of scikit-learn (a length for every \
setting) emulates the distance of all runs so far, and four fifths of the space are ruled out: \
those whose distance, less one standard deviation of the emulator, is largest, but nothing that \
may be as close as a right model would be (a mean error of 0.8 deviations). {left:.1f} % of the \
space is left.
3. **Approximate Bayesian computation** with pyABC: of {tried} draws of the prior in what is left, \
the {kept:.0f} % that come closest are kept: {draws} equally likely, independent draws. An episode \
counts once, whatever the number of its figures; an error counts up to {cap:g} deviations.

Sequential Monte Carlo, which perturbs what was accepted, was tried first: with this many settings \
and a budget of a thousand or two the weights were carried by one candidate.

pyABC was chosen because it is maintained, tested and published (Schaelte and others 2022), and \
lets a sampler be replaced: its own parallel samplers keep whichever run is done first, so that \
results depend on timing. Ours names every random stream after generation and place and judges \
candidates in their order: the same seed gives the same bytes with any number of processes. \
Every run is kept when it is done, so a call that was killed goes on where it stood."""


def _listed(names: Iterable[str]) -> str:
    words = [f"`{name}`" for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _listed_numbers(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, numbers))


def _picture(name: str, pictures: str) -> str:
    return f"![{FIGURES[name]}]({pictures}calibration_{name}.png)\n\n*{FIGURES[name]}*"


def _markdown(table: pd.DataFrame, columns: dict[str, str] | None) -> str:
    """A table of some columns, under other names; numbers with three digits."""
    shown = table if columns is None else table[list(columns)].set_axis([*columns.values()], axis=1)
    lines = ["| " + " | ".join(map(str, shown.columns)) + " |", "|" + "---|" * shown.shape[1]]
    for row in shown.itertuples(index=False):
        lines.append("| " + " | ".join(map(_cell, row)) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "none" if np.isnan(value) else f"{value:.3g}"
    return str(value).replace("_", " ") if "." not in str(value) else f"`{value}`"


def _write(table: pd.DataFrame, path: Path) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
    part.replace(path)


def _write_json(content: dict[str, Any], path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)

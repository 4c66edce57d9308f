"""Play every shipped hindcast and write docs/validation.md: `python -m experiments.validate`.

Words are those of `experiments.run`, such as `seeds=32 workers=2`; they hold for every hindcast.
The page is a template filled with computed numbers, so it cannot say what was not measured.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from abm.config import Config, Question
from abm.posterior import POSTERIOR
from experiments.ensemble import PROJECT
from experiments.figures import mineral_label, save
from experiments.hindcast import (
    FORECASTS,
    HINDCASTS,
    MODEL,
    hindcast_study,
    scatter_figure,
    score_table,
)
from experiments.report import TEMPLATES
from experiments.run import REFUSED, composed, refuse
from experiments.scores import MEASURES, MOST, TOLERANCE, Scale
from experiments.study import run_study

PAGE = PROJECT / "docs" / "validation.md"
FIGURES = PROJECT / "docs" / "figures"
EXAMPLE = PROJECT / "examples" / "hindcast" / "invented.yaml"
ALL_EPISODES = "all episodes"


def validate(words: Sequence[str]) -> Path:
    """Play and score every hindcast of conf, and write the page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ConfigError, TableError, ResultsFolderError
        For words that cannot be used, before anything is computed.
    """
    names = sorted(path.stem for path in HINDCASTS.glob("*.yaml"))
    drawn = [f"uncertainty={'posterior' if POSTERIOR.is_file() else 'off'}"]
    configs = [composed([f"experiment=hindcast/{name}", *drawn, *words]) for name in names]
    folder = Path(configs[0].results) / "validation" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    episodes, scored = [], []
    for config in configs:
        assert config.question is Question.hindcast
        print(f"{config.name}:", flush=True)
        run_study(config, folder / config.name, hindcast_study)
        scored.append(pd.read_csv(folder / config.name / "scored.csv", keep_default_na=False))
        episodes.append(episode(config, folder / config.name))
    write_page(episodes, pd.concat(scored, ignore_index=True), configs[0], PAGE, FIGURES)
    return PAGE


def episode(config: Config, folder: Path) -> dict[str, Any]:
    """What the page says of one episode, from its results folder."""
    source = HINDCASTS / f"{config.name}.yaml"
    note = source.with_suffix(".md")
    figures = pd.read_csv(folder / "figures.csv", keep_default_na=False, dtype=str)
    scored = pd.read_csv(folder / "scored.csv", keep_default_na=False)
    picture = f"hindcast_{config.name}.png"
    FIGURES.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "figures" / "hindcast_paths.png", FIGURES / picture)
    return {
        "name": config.name,
        "title": config.name.replace("_", " "),
        "about": described(source),
        "minerals": ", ".join(mineral_label(name).lower() for name in config.world.minerals),
        "year": config.world.year,
        "years": config.horizon.years,
        "picture": picture,
        "scores": score_rows(pd.read_csv(folder / "scores.csv")),
        "figures": figures.to_dict("records"),
        "misses": misses(scored, figures),
        "note": note.read_text(encoding="utf-8").strip() if note.is_file() else "",
    }


def described(path: Path) -> str:
    """The comment at the head of a scenario file, as a sentence."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = []
    for line in lines:
        if not line.startswith("#"):
            break
        if "@package" not in line:
            said.append(line.removeprefix("#").strip())
    return " ".join(said)


def misses(scored: pd.DataFrame, figures: pd.DataFrame) -> list[str]:
    """A sentence for every figure of the model that is off by more than the tolerance."""
    mine = scored[scored["forecast"] == MODEL].reset_index(drop=True)
    mine["error"] = pd.to_numeric(mine["error"], errors="coerce")
    said = []
    for row, shown in zip(mine.to_dict("records"), figures.to_dict("records"), strict=True):
        if float(row["close"]):
            continue
        said.append(
            f"{shown['figure']} ({shown['window']}): {shown['simulated']} simulated "
            f"({shown['80 % interval']}), {shown['observed']} observed: {_apart(row)}"
        )
    return said


def _apart(row: dict[str, Any]) -> str:
    """By how much the median of a figure is off, in its own unit."""
    scale, error = Scale(row["scale"]), float(row["error"])
    if not np.isfinite(error) or row["median"] == "":
        return "the run says nothing of it"
    size, most = abs(error) * TOLERANCE[scale], abs(error) >= MOST
    word = "at least " if most else ""
    if scale is Scale.ratio:
        return f"{word}{np.exp(size):.1f} times too {'high' if error > 0 else 'low'}"
    if scale is Scale.share:
        return f"{word}{100 * size:.0f} points too {'high' if error > 0 else 'low'}"
    return f"{word}{size:.0f} months too {'late' if error > 0 else 'early'}"


def score_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """The scores of the forecasts as text."""
    return [
        {
            "forecast": FORECASTS[str(row["forecast"])],
            "figures": f"{row['figures']:.0f}",
            "score": f"{row['score']:.2f}",
            "factor": f"{np.exp(row['log_error']):.2f}" if np.isfinite(row["log_error"]) else "–",
            "close": f"{100 * row['close']:.0f} %",
            "inside": f"{100 * row['inside']:.0f} %",
        }
        for row in table.to_dict("records")
    ]


def pooled(scored: pd.DataFrame) -> dict[str, list[dict[str, str]]]:
    """Scores over all figures, and over those fitted and those only shown."""
    parts = {"all figures": scored}
    for use, about in (("calibration", "figures for calibration"), ("check", "figures only shown")):
        parts[about] = scored[scored["used_for"] == use]
    return {about: score_rows(score_table(part)) for about, part in parts.items() if len(part)}


def write_page(
    episodes: Sequence[dict[str, Any]],
    scored: pd.DataFrame,
    config: Config,
    page: Path,
    figures: Path,
) -> None:
    """Fill the template of the page, and draw the figure of all episodes together."""
    numbers = ("value", "low", "high", "p10", "median", "p90", "error", "score", "close", "inside")
    for name in numbers:
        scored[name] = pd.to_numeric(scored[name], errors="coerce")
    picture = save(scatter_figure(scored), figures, "hindcast_all", scored)
    for ending in (".pdf", ".csv"):
        picture.with_suffix(ending).unlink()
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    example = EXAMPLE.with_suffix(".csv").read_text(encoding="utf-8")
    text = environment.get_template("validation.md").render(
        episodes=episodes,
        pooled=pooled(scored),
        measures=MEASURES,
        seeds=config.seeds,
        posterior=config.uncertainty.active,
        settings=EXAMPLE.read_text(encoding="utf-8").strip(),
        table="\n".join(example.splitlines()[:4]),
    )
    page.write_text(text, encoding="utf-8")


def main() -> int:
    """Run the command; a wrong input is answered with one sentence and exit code 2."""
    try:
        print(f"Page: {validate(sys.argv[1:])}")
    except REFUSED as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The study of phases: its frontier against a slow search, its grid, and what theory fixes."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import case_of, model_of, quiet_config
from test_run import configuration

from abm.config import Circle, Config, ConfigError, Control, Instrument, Ordering
from abm.model import MineralModel
from abm.tables import Tables
from abm.world import World, build_world
from experiments.ensemble import PROJECT
from experiments.figures.again import redraw
from experiments.figures.drawn import save
from experiments.measures.effects import ALL
from experiments.phase import frontier as contour
from experiments.phase.figures import frontier_figure
from experiments.phase.study import (
    GAIN,
    covered,
    frontiers,
    nested,
    nested_sizes,
    of_severity,
    ordered_members,
    phase_outcomes,
)
from experiments.phase.worth import PARTS, worth
from experiments.studies.paired import Pair
from experiments.studies.registry import STUDIES
from experiments.study import Cell, run_study

SEVERITY = np.array([0.2, 0.4, 0.7, 1.0])
CHN = 1  # of the tiny world


# The frontier ---------------------------------------------------------------------------------


def slow_crossings(gain: np.ndarray) -> tuple[float, float]:
    """First fall and first rise through zero, walked in small steps along the broken line."""
    places = np.linspace(SEVERITY[0], SEVERITY[-1], 2_001)
    pays = np.interp(places, SEVERITY, gain) > 0.0
    fall = next((s for s, (a, b) in zip(places[1:], pairwise(pays), strict=True) if a and not b), 0)
    rise = next((s for s, (a, b) in zip(places[1:], pairwise(pays), strict=True) if b and not a), 0)
    end = np.inf if pays.any() else 0.0
    return fall or end, 0.0 if pays[0] else rise or np.inf


def test_crossings_are_those_of_a_slow_walk() -> None:
    gains = np.random.default_rng(3).normal(0.0, 1.0, (20, SEVERITY.size))
    gains = np.vstack([gains, np.abs(gains[:1]), -np.abs(gains[:1])])
    slow = np.array([slow_crossings(gain) for gain in gains])
    assert contour.falls(SEVERITY, gains) == pytest.approx(slow[:, 0], abs=8e-4)
    assert contour.rises(SEVERITY, gains) == pytest.approx(slow[:, 1], abs=8e-4)


def test_frontier_of_lines_is_where_they_meet_zero() -> None:
    """Gains that fall in a straight line, shifted from seed to seed; and some that never cross."""
    roots = np.array([0.45, 0.5, 0.55, 0.6, 0.65])
    crossing = roots[:, None] - SEVERITY
    always = np.ones_like(crossing)
    gain = np.stack([crossing, -crossing, always, -always], axis=1)
    found = contour.frontier(SEVERITY, gain)
    assert list(found["kind"]) == [contour.UP_TO, contour.FROM, contour.PAYS, contour.LOSES]
    assert found.loc[0, "up_to"] == pytest.approx(0.55)
    assert found.loc[1, "from"] == pytest.approx(0.55)
    assert found.loc[[1, 2, 3], "up_to"].isna().all()
    # the mean of five equally likely roots, resampled: normal to a good approximation
    half = 1.2816 * roots.std() / np.sqrt(roots.size)
    assert found.loc[0, "up_to_low"] == pytest.approx(0.55 - half, abs=0.01)
    assert found.loc[0, "up_to_high"] == pytest.approx(0.55 + half, abs=0.01)
    assert list(found["crossing_share"]) == [1.0, 1.0, 0.0, 0.0]
    alone = contour.frontier(SEVERITY, gain[2:3]).loc[0]
    assert alone["up_to_low"] == alone["up_to_high"] == pytest.approx(0.55)


def test_seeds_are_resampled_whole() -> None:
    """Two cells that differ by a constant in every seed differ by it in every resample."""
    gain = np.random.default_rng(0).normal(0.0, 1.0, (6, 1, 2))
    drawn = contour.resampled(np.concatenate([gain, gain + 3.0], axis=1))
    assert drawn[:, 1] == pytest.approx(drawn[:, 0] + 3.0)
    assert drawn[:, 0].mean(axis=0) == pytest.approx(gain[:, 0].mean(axis=0), abs=0.05)


def test_frontiers_keep_circles_and_minerals_apart() -> None:
    rows = [
        (f"{members}", f"{10 * members}", f"{s:g}", seed, mineral, GAIN, root - less - s)
        for members, root in ((2, 0.5), (10, 0.9))
        for s in SEVERITY
        for seed in range(3)
        for mineral, less in ((ALL, 0.0), ("gallium", 0.2))
    ]
    columns = ["members", "coverage", "severity", "seed", "mineral", "measure", "value"]
    found = frontiers(pd.DataFrame(rows, columns=columns)).set_index(["mineral", "members"])
    assert found.loc[(ALL, 2), "up_to"] == pytest.approx(0.5)
    assert found.loc[(ALL, 10), "up_to"] == pytest.approx(0.9)
    assert found.loc[("gallium", 10), "up_to"] == pytest.approx(0.7)
    assert found.loc[("gallium", 10), "coverage"] == 100.0


# The grid -------------------------------------------------------------------------------------


def tiny_config() -> Config:
    """Three years of the tiny world, in which China withholds gallium from the members."""
    config = quiet_config(years=3)
    config.membership.circles = {"pair": Circle(add=["USA", "AUS"])}
    config.shock = Control(
        name="control",
        instrument=Instrument.ban,
        targets=["members"],
        minerals=["gallium"],
        announced="2026-01",
        start="2026-01",
    )
    return config


@pytest.mark.parametrize("instrument", ["ban", "quota", "licence", "tax"])
def test_a_control_puts_at_stake_what_its_severity_says(instrument: str, tiny_world: World) -> None:
    config = tiny_config()
    config.shock.instrument = Instrument(instrument)
    for severity in SEVERITY:
        changed = replace(config, shock=of_severity(config.shock, float(severity)))
        (control,) = case_of(changed, tiny_world, "pair", shocked=True).controls
        assert control.severity == pytest.approx(severity)


def test_sizes_come_nearest_to_equal_parts() -> None:
    assert nested_sizes([30.0, 55.0, 70.0, 79.0, 85.0, 90.0], 3) == [1, 2, 6]
    assert nested_sizes([30.0, 55.0], 9) == [1, 2]


def test_circles_are_nested_by_use_or_by_date(tiny_world: World) -> None:
    """USA uses 20 % of the gallium, ROW 15 %, AUS 5 %; China's own use does not count."""
    config = tiny_config()
    config.membership.circles = {"all": Circle(add=["AUS", "ROW", "USA", "CHN"])}
    config.membership.circles["all"].joins = {"AUS": "2026-03", "USA": "2027-01", "ROW": "2027-01"}
    assert ordered_members(config, tiny_world) == ["USA", "ROW", "AUS"]
    assert covered(config, tiny_world, ["USA"]) == pytest.approx(50.0, abs=1.0)
    assert covered(config, tiny_world, ["USA", "ROW", "AUS"]) == pytest.approx(100.0)
    circles = [set(members) for members in nested(config, tiny_world).values()]
    assert all(small < large for small, large in pairwise(circles))
    config.phase.order = Ordering.accession
    assert ordered_members(config, tiny_world) == ["AUS", "USA", "ROW"]


# What theory fixes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(tiny_world: World) -> list[tuple[Pair, Config]]:
    """Runs under rising severity, each beside the run without the control."""
    config = tiny_config()
    calm = finished(config, tiny_world, shocked=False)
    found = []
    for severity in SEVERITY:
        changed = replace(config, shock=of_severity(config.shock, float(severity)))
        found.append((Pair(calm, finished(changed, tiny_world, shocked=True)), changed))
    return found


def finished(config: Config, world: World, shocked: bool) -> MineralModel:
    model = model_of(config, world, "pair", shocked)
    model.run()
    return model


def outcomes_of(pair: Pair, config: Config) -> pd.Series:
    cell = Cell({}, config, "pair", shocked=True, group=("USA", "AUS"))
    table = phase_outcomes(pair, cell)
    return table[table["mineral"] == ALL].set_index("measure")["value"]


def test_a_severer_control_never_lowers_the_price_outside(
    pairs: list[tuple[Pair, Config]],
) -> None:
    found = pd.DataFrame([outcomes_of(*pair) for pair in pairs])
    for price in ("outside_price", "members_price"):
        assert (found[price].diff().dropna() >= 0.0).all()
        assert found[price].iloc[0] > 0.0
    assert (found["dependence"].diff().dropna() <= 0.0).all()
    assert found[GAIN].to_numpy() == pytest.approx(found[list(PARTS)].sum(axis=1).to_numpy())


def test_worth_is_nothing_without_a_control_and_follows_its_weights(
    pairs: list[tuple[Pair, Config]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, config = pairs[-1]
    months = slice(12, 36)
    for values in worth(Pair(pair.calm, pair.calm), CHN, months).values():
        assert not values.any()
    before = worth(pair, CHN, months)
    assert before["leverage"].sum() > 0.0, "rivals lose by a ban"
    for weight, value in (("leverage", 2.0), ("home_users", 0.0), ("future_share", 0.5)):
        monkeypatch.setattr(config.producers, weight, value)
    after = worth(pair, CHN, months)
    assert after["leverage"] == pytest.approx(2.0 * before["leverage"])
    assert after["future_share"] == pytest.approx(0.5 * before["future_share"])
    assert not after["home_users"].any()


# The command ------------------------------------------------------------------------------------

TINY = [
    "experiment=phase",
    "world.minerals=[gallium]",
    "horizon.years=2",
    "seeds=2",
    "workers=1",
    "shock.minerals=[gallium]",
    "shock.announced=2026-01",
    "shock.start=2026-01",
    "phase.severities=[0.5,1.0]",
    "phase.steps=2",
]


@pytest.mark.usefixtures("sketched")
def test_from_settings_to_a_report_and_figures_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(*TINY)
    report = run_study(config, tmp_path, STUDIES[config.question])
    said = capsys.readouterr().out
    assert "For China, a control of gallium on the members" in said
    assert "nan" not in said
    outcomes = pd.read_parquet(tmp_path / "outcomes.parquet")
    assert np.isfinite(outcomes["value"]).all()
    assert set(outcomes["severity"]) == {"0.5", "1"}
    assert report.read_text(encoding="utf-8").count("data:image/png;base64,") == 2
    assert {path.stem for path in redraw(tmp_path)} == {"phase", "phase_by_mineral"}


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["shock=none"], "membership=forge shock=export_ban"),
        (["membership=none"], "membership=forge shock=export_ban"),
        (["phase.severities=[0.5]"], r"such as \[0.5,1.0\]"),
        (["phase.severities=[1.0,0.5]"], r"such as \[0.5,1.0\]"),
        (["shock.instrument=dumping"], "give ban, quota, licence or tax"),
        (["membership=washington", "shock.by=JPN", "shock.targets=[world]",
          "membership.circles.washington.table=", "membership.circles.washington.add=[JPN]"],
         "hold nobody but JPN"),
    ],
)  # fmt: skip
def test_settings_without_a_grid_are_refused(
    words: list[str], cure: str, real_tables: Tables
) -> None:
    config = configuration("experiment=phase", "world.minerals=[gallium]",
                           "shock.minerals=[gallium]", *words)  # fmt: skip
    world = build_world(real_tables, config.world)
    with pytest.raises(ConfigError, match=cure):
        STUDIES[config.question](config, world)


def test_the_frontier_leaves_the_numbers_readable(tmp_path: Path) -> None:
    """No number of the published diagrams lies under a mark of the frontier."""
    table = pd.read_csv(PROJECT / "docs" / "gallery" / "phase_by_mineral.csv")
    figure = frontier_figure(table)
    save(figure, tmp_path, "phase_by_mineral")  # laid out as on paper
    figure.draw_without_rendering()
    marks = 0
    for axes in figure.axes:
        lines = [line.get_xydata() for line in axes.lines if line.get_marker() == "o"]
        for place in axes.transData.transform(np.concatenate([*lines, np.empty((0, 2))])):
            marks += 1
            boxes = [text.get_window_extent() for text in axes.texts]
            assert not any(box.contains(*place) for box in boxes)
    assert marks > 3

"""Pathways: shares and milestones against figures worked out by hand, and a small study."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_run import configuration
from test_studies import TINY

from abm.config import Config, ConfigError, check
from abm.tables import TableError, Tables
from abm.world import World, build_world
from experiments.figures.again import figure_from
from experiments.measures.effects import wilson
from experiments.pathways.milestones import (
    MEASURES,
    Milestone,
    Year,
    reached_counts,
    reached_shares,
    read_milestones,
    verdicts,
    years_of,
)
from experiments.pathways.study import bands, differences, pathways_study, switches
from experiments.studies.registry import STUDIES
from experiments.study import Cell, cell_model, run_study

SMALL = [*TINY, "experiment=pathways", "pathways.scenarios=[aps]"]
HEAD = "milestone,label,group,measure,bound,target_percent,due,minerals,source,status"
ROWS = [
    "eu_refining,EU refines 40 %,EU27,processing,at_least,40,2026,all,invented,estimated",
    "half,Half at most,members,non_allied_share,at_most,50,2026,gallium,invented,estimated",
]


@pytest.fixture(scope="module")
def world(real_tables: Tables) -> World:
    return build_world(real_tables, configuration(*SMALL).world)


def table(folder: Path, *rows: str) -> str:
    path = folder / "goals.csv"
    path.write_text("\n".join([HEAD, *(rows or ROWS)]) + "\n", encoding="utf-8")
    return str(path)


# Shares -----------------------------------------------------------------------------------------


def test_shares_of_a_year_by_hand() -> None:
    year = Year(
        use=np.array([[100.0, 50.0, 0.0]]),
        ore_used=np.array([[25.0, 0.0, 0.0]]),
        mined=np.array([[15.0, np.nan, 3.0]]),
        primary=np.array([[40.0, 5.0, 0.0]]),
        recycled=np.array([[10.0, 20.0, 0.0]]),
        bought=np.array([[[50.0, 30.0, 20.0], [25.0, 5.0, 20.0], [0.0, 0.0, 0.0]]]),
        refining_yield=np.array([0.8, 1.0, 1.0]),
        home=np.array([True, False, False]),
        non_allied=np.array([False, False, True]),
    )
    shares = {name: share(year)[0] for name, share in MEASURES.items()}
    np.testing.assert_allclose(shares["extraction"], [10.0, np.nan, np.nan])  # 15 of 100/0.8 + 25
    np.testing.assert_allclose(shares["processing"], [40.0, 10.0, np.nan])
    np.testing.assert_allclose(shares["recycling"], [10.0, 40.0, np.nan])
    np.testing.assert_allclose(shares["largest_source"], [30.0, 40.0, np.nan])
    np.testing.assert_allclose(shares["non_allied_share"], [20.0, 40.0, np.nan])


def test_yearly_shares_agree_with_what_is_recorded_month_by_month() -> None:
    config = configuration(*SMALL, "horizon.years=1", "world.minerals=[graphite]")
    group = ("USA", "JPN")
    model = cell_model(Cell({}, config, "none", False, group), 3)
    model.run()
    inside = np.isin(model.world.countries, group)
    year, record = years_of(model.world, model.record, inside), model.record.measures
    row = model.world.market("graphite", "refined")
    bought = record["purchases_t"][:, row][:, inside]
    from_foes = (record["non_allied_share"][:, row][:, inside] * bought).sum() / bought.sum()
    assert MEASURES["non_allied_share"](year)[0, 0] == pytest.approx(100.0 * from_foes)
    used = record["use_t"][:, model.world.market("graphite", "mined")][:, inside].sum()
    fed = year.primary[0, 0] / model.world.refining_yield[0]
    assert year.ore_used[0, 0] + fed == pytest.approx(used, rel=1e-9)


# Milestones -------------------------------------------------------------------------------------


def goal(**changed: object) -> Milestone:
    about: dict[str, object] = {
        "name": "goal", "label": "Goal", "group": "EU27", "measure": "processing",
        "at_least": True, "target": 40.0, "due": 2027, "minerals": ("gallium", "cobalt"),
    }  # fmt: skip
    return Milestone(**{**about, **changed})  # type: ignore[arg-type]


def outcomes_of(values: dict[tuple[str, int, str], list[float]]) -> pd.DataFrame:
    """Yearly shares from 2025 on, by ambition, seed and mineral."""
    rows = [
        ("steps", ambition, seed, "EU27", mineral, "processing", 2025 + year, value)
        for (ambition, seed, mineral), path in values.items()
        for year, value in enumerate(path)
    ]
    names = ["scenario", "ambition", "seed", "group", "mineral", "measure", "year", "value"]
    return pd.DataFrame(rows, columns=names)


PATHS = {
    ("none", 0, "gallium"): [10.0, 30.0, 39.9, 45.0],
    ("none", 1, "gallium"): [41.0, 30.0, 40.0, 20.0],
    ("none", 0, "cobalt"): [0.0, 0.0, 0.0, 0.0],
    ("none", 1, "cobalt"): [0.0, 0.0, np.nan, 0.0],
    ("high", 0, "gallium"): [10.0, 40.0, 60.0, 70.0],
    ("high", 1, "gallium"): [41.0, 50.0, 60.0, 70.0],
    ("high", 0, "cobalt"): [0.0, 0.0, 80.0, 0.0],
    ("high", 1, "cobalt"): [0.0, 0.0, 80.0, 0.0],
}


def test_a_milestone_is_met_in_its_due_year_or_missed() -> None:
    found = verdicts(outcomes_of(PATHS), [goal()]).set_index(["ambition", "seed", "mineral"])
    expected = {key: path[2] >= 40.0 for key, path in PATHS.items() if np.isfinite(path[2])}
    assert found["reached"].to_dict() == expected
    assert found.loc[("none", 0, "gallium"), "year"] == 2028
    assert found.loc[("none", 1, "gallium"), "year"] == 2025
    assert np.isnan(found.loc[("none", 0, "cobalt"), "year"])
    upper = verdicts(outcomes_of(PATHS), [goal(at_least=False)])
    both = found["reached"].to_numpy() & upper["reached"].to_numpy()
    assert both.sum() == 1, "only the one that is exactly at the target satisfies both"


def test_seeds_that_reach_a_milestone_are_counted() -> None:
    table = verdicts(outcomes_of(PATHS), [goal()])
    shares = reached_shares(table).set_index(["ambition", "mineral"])
    assert shares.loc[("none", "gallium"), ["runs", "reached"]].tolist() == [2, 1]
    assert shares.loc[("none", "cobalt"), "runs"] == 1
    assert shares.loc[("high", "gallium"), "year"] == 2025.5
    counts = reached_counts(table).set_index("ambition")
    assert counts.loc["high", "mean"] == 2.0
    assert counts.loc["none", "mean"] == 0.5
    assert counts.loc["none", "minerals"] == 2


@pytest.mark.parametrize(("reached", "runs"), [(0, 8), (3, 8), (8, 8), (1, 2)])
def test_interval_of_a_share_is_wilsons(reached: int, runs: int) -> None:
    z, share = 1.959963984540054, reached / runs
    middle = (share + z**2 / (2 * runs)) / (1 + z**2 / runs)
    half = z / (1 + z**2 / runs) * np.sqrt(share * (1 - share) / runs + z**2 / (4 * runs**2))
    assert wilson(reached, runs) == pytest.approx((100 * (middle - half), 100 * (middle + half)))


def test_ambitions_are_compared_seed_by_seed() -> None:
    shown = outcomes_of({key: path[:2] for key, path in PATHS.items()})
    shown = shown.assign(group="members", measure="non_allied_share")
    found = differences(shown).set_index("mineral")
    assert found.loc["gallium", "mean"] == pytest.approx((10.0 + 20.0) / 2)
    assert found.loc["cobalt", "mean"] == 0.0
    assert set(found["year"]) == {2026}


# Settings ---------------------------------------------------------------------------------------


def test_an_ambition_switches_its_instruments_and_sets_their_strength() -> None:
    config = configuration(*SMALL)
    high = switches(config.pathways.ambitions["high"], config)
    assert high["instruments.investment_fund.active"]
    assert high["instruments.investment_fund.contribution"] == 0.6
    assert not high["instruments.retaliation.active"]
    today = switches(config.pathways.ambitions["today"], config)
    assert not today["instruments.investment_fund.active"]
    assert today["projects.active"], "so that only the fund differs"


def changed(config: Config, **values: object) -> Config:
    for name, value in values.items():
        setattr(config.pathways, name, value)
    return config


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["membership=none"], "membership=forge"),
        (["pathways.scenarios=[]"], "name at least one"),
        (["pathways.milestones=goals_of_nobody.csv"], "give its path"),
        ([], "more horizon.years"),
    ],
)
def test_a_study_without_what_it_needs_is_refused(
    words: list[str], cure: str, world: World
) -> None:
    with pytest.raises(ConfigError, match=cure):
        pathways_study(configuration(*SMALL, *words), world)


def test_an_ambition_without_sense_is_refused() -> None:
    config = configuration(*SMALL)
    config.pathways.ambitions["high"].settings["investment_fund.contributions"] = 1.0
    with pytest.raises(ConfigError, match=r"choose from investment_fund\.contribution, "):
        check(config)
    config = configuration(*SMALL)
    config.pathways.ambitions["high"].instruments.append("prayer")
    with pytest.raises(ConfigError, match="'prayer', which is no instrument"):
        check(config)
    config = configuration(*SMALL)
    config.pathways.ambitions["none"] = config.pathways.ambitions["high"]
    with pytest.raises(ConfigError, match="kept for the world without"):
        check(config)


def test_a_milestone_that_cannot_be_used_names_row_and_cure(tmp_path: Path, world: World) -> None:
    for row, said in (
        (ROWS[0].replace("EU27", "EUU"), "row 2: group is 'EUU'; give the code"),
        (ROWS[0].replace("processing", "smelting"), "row 2: unknown measure 'smelting'"),
        (ROWS[0].replace(",40,", ",140,"), "row 2: target_percent is 140"),
    ):
        config = changed(configuration(*SMALL), milestones=table(tmp_path, row))
        with pytest.raises(TableError, match=said):
            read_milestones(config, world)


# The study --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sketched")
def test_the_study_runs_small_and_its_figures_are_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = changed(configuration(*SMALL), milestones=table(tmp_path))
    report = run_study(config, tmp_path / "results", STUDIES[config.question])
    said = capsys.readouterr().out
    assert "nan" not in said
    assert said.startswith("Without an alliance members buy")
    assert "of 2 milestones" in said.lower()
    found = pd.read_parquet(report.parent / "outcomes.parquet")
    assert set(found["ambition"]) == {"none", "today", "high"}
    assert len(bands(found)) == 3 * 2 * 2
    tables = sorted((report.parent / "figures").glob("*.csv"))
    assert [path.stem for path in tables] == [
        "milestones", "milestones_reached", "pathways_dependence", "pathways_effects",
    ]  # fmt: skip
    for path in tables:
        assert figure_from(path, {})[0].axes
    assert report.read_text(encoding="utf-8").count("data:image/png;base64,") == len(tables)

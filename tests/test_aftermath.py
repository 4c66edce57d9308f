"""What is left after a control and who stays: stays, shares and sentences against other ways."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import model_of, quiet_config
from matplotlib.figure import Figure
from scipy import stats
from test_accession import after, choosing
from test_run import SMALL, configuration

from abm.config import Control, Instrument, month_name
from abm.world import World
from experiments import outcome, run
from experiments.aftermath import Aftermath, left_sentences, staying_sentence
from experiments.engine.store import COLUMNS
from experiments.figures import Scene
from experiments.figures.again import figure_from
from experiments.measures.aftermath import (
    Period,
    inside_counts,
    inside_over_time,
    months_after,
    periods,
    price_left,
    remains,
    standing,
    stays,
    still_in_force,
    whereabouts,
)
from experiments.measures.effects import wilson

CHOOSING = [
    *SMALL,
    "experiment=aftermath",
    "shock.end=2025-12",
    "accession.review_months=3",
    "workers=1",
]
MONTHS = [month_name("2025-01", month) for month in range(6)]
# Of two seeds: A founds and leaves in one of them under the ban, B joins in both, C for a month.
STAYS = pd.DataFrame(
    [
        ("club", "none", 0, "A", True, "2025-02", ""),
        ("club", "none", 1, "A", True, "2025-02", ""),
        ("club", "ban", 0, "A", True, "2025-02", ""),
        ("club", "ban", 1, "A", True, "2025-02", "2025-05"),
        ("club", "ban", 0, "B", False, "2025-04", ""),
        ("club", "ban", 1, "B", False, "2025-03", ""),
        ("club", "ban", 1, "C", False, "2025-03", "2025-04"),
    ],
    columns=["membership", "shock", "seed", "country", "founding", "joined", "left"],
)
SCENE = Scene("X", "ban", "2025-02", ("gallium",), {}, names={"A": "Atland", "B": "Beland"})


def standing_of(held: dict[tuple[str, int], list[float]]) -> pd.DataFrame:
    """Exports held back month by month; all else is at rest."""
    rest = {"counter_tariff": 0.0, "tension_felt": 0.0, "tension_held": 0.0, "commitment": 100.0}
    parts = [
        pd.DataFrame({"month": MONTHS, "held_back": values, **rest}).assign(
            membership="club", shock=shock, seed=seed
        )
        for (shock, seed), values in held.items()
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def banned() -> Aftermath:
    config = quiet_config(years=1)
    config.seeds = 2
    config.shock = Control(instrument=Instrument.ban, start="2025-02", end="2025-04")
    held = {("none", 0): [0.0] * 6, ("none", 1): [0.0] * 6}
    held |= {("ban", 0): [0, 9, 9, 4, 2, 0], ("ban", 1): [0, 9, 9, 8, 6, 4]}
    level = {"none": [1.0] * 6, "club": [1, 3, 3, 1.21, 1.21, 1.21]}
    peaks = pd.concat(
        pd.DataFrame({"month": MONTHS, "multiple": values}).assign(
            alliance="club", membership=name, seed=seed
        )
        for name, values in level.items()
        for seed in (0, 1)
    )
    when = {"at the end": Period("2025-04", "2025-06")}
    return Aftermath(config, SCENE, STAYS, standing_of(held), peaks, when)


# ---------------------------------------------------------------- what a run leaves


@pytest.mark.parametrize("settings", [{"contribution": 0.0}, {"contribution": 1.0, "patience": 1}])
def test_stays_say_who_was_inside_in_every_month(
    tiny_world: World, settings: dict[str, float]
) -> None:
    model = after(choosing(**settings), tiny_world, 48)
    table = stays(model, "2025-01")
    inside = np.zeros_like(model.record.member)
    for row in table.itertuples():
        for month in range(48):
            label = month_name("2025-01", month)
            if row.joined <= label and (row.left == "" or label < row.left):
                inside[month, tiny_world.country(row.country)] = True
    np.testing.assert_array_equal(inside, model.record.member)
    assert set(table.loc[table["founding"], "country"]) == {"USA", "AUS"}


def test_only_runs_by_choice_leave_more(tiny_world: World) -> None:
    model = model_of(quiet_config(years=1), tiny_world, "washington")
    model.run()
    assert stays(model, "2025-01").empty
    assert standing(model, "2025-01").empty
    assert standing(after(choosing(), tiny_world, 3), "2025-01")["commitment"].iloc[0] == 100.0


# ---------------------------------------------------------------- summaries


@pytest.mark.parametrize(("count", "runs"), [(0, 16), (1, 1), (3, 16), (16, 16), (50, 100)])
def test_interval_of_a_share_is_that_of_scipy(count: int, runs: int) -> None:
    found = stats.binomtest(count, runs).proportion_ci(0.95, "wilson")
    assert wilson(count, runs) == pytest.approx((100.0 * found.low, 100.0 * found.high), abs=1e-9)


def test_whereabouts_by_hand() -> None:
    table = whereabouts(STAYS, range(2)).set_index(["shock", "country"])
    assert table.loc[("ban", "A"), ["count", "percent", "end_percent"]].tolist() == [1, 50, 50]
    assert table.loc[("none", "A"), ["count", "percent", "end_percent"]].tolist() == [0, 0, 100]
    assert table.loc[("ban", "B"), ["count", "end"]].tolist() == [2, 2]
    assert table.loc[("ban", "C"), ["count", "end"]].tolist() == [1, 0]
    assert table.loc[("none", "B"), ["count", "end"]].tolist() == [0, 0]
    counts = inside_counts(STAYS, range(2))
    assert (counts["club", "ban"].mean, counts["club", "none"].mean) == (1.5, 1.0)


def test_share_inside_over_time_by_hand() -> None:
    table = inside_over_time(STAYS, MONTHS)
    paths = table.groupby(["shock", "country"])["inside_percent"].agg(list).to_dict()
    assert paths["ban", "A"] == [0, 100, 100, 100, 50, 50]
    assert paths["ban", "B"] == [0, 0, 50, 100, 100, 100]
    assert paths["ban", "C"] == [0, 0, 50, 0, 0, 0]
    assert paths["none", "A"] == [0, 100, 100, 100, 100, 100]
    assert paths["none", "B"] == [0] * 6


def test_remains_are_means_over_months_then_seeds(banned: Aftermath) -> None:
    left = remains(banned.standing, banned.when, "ban").set_index("measure")
    low, high = stats.t.interval(0.95, 1, 4.0, 2.0)  # 2 and 6, so a standard error of 2
    assert left.loc["held_back", ["mean", "low", "high"]].tolist() == pytest.approx([4, low, high])
    assert left.loc["held_back", "without"] == 0.0
    force = still_in_force(banned.standing, banned.when["at the end"], "ban")
    assert force[["count", "seeds"]].to_numpy().tolist() == [[1, 2]]
    price = price_left(banned.peaks, "club", "club", banned.when["at the end"])
    assert price.mean == pytest.approx(21.0)


@pytest.mark.parametrize(
    ("end", "after_end", "last"),
    [("2025-10", 3, ("2025-10", "2025-12")), ("2026-01", 0, None), ("", 0, None)],
)
def test_periods_are_within_the_run(end: str, after_end: int, last: tuple[str, str] | None) -> None:
    config = quiet_config(years=1)
    config.shock = Control(instrument=Instrument.ban, start="2025-03", end=end)
    assert months_after(config) == after_end
    found = periods(config)
    assert (found == {}) == (last is None)
    if last:
        assert found["at the end"] == Period(*last)
        assert found["under the control"] == Period("2025-03", "2025-09")


# ---------------------------------------------------------------- what is said


def test_sentences_hold_the_numbers(banned: Aftermath) -> None:
    left = remains(banned.standing, banned.when, "ban")
    (sentence,) = left_sentences(banned, left)
    # The year ends nine months after the ban; three months of it are compared.
    assert "With the club, 7 to 9 months after the ban has ended, X still holds back 4.0 %" in (
        sentence
    )
    assert "in force in 50 % of seeds (95 % interval 9.5 to 91)" in sentence
    assert "raises what founding members pay for the minerals under it by 21 %" in sentence
    assert "without an alliance it leaves what they pay unchanged" in sentence
    staying = staying_sentence(banned, whereabouts(STAYS, range(2)), "club")
    assert "With the ban, 1.5 countries are inside the club when the run ends" in staying
    assert "1.0 without the ban). Of its 1 founding member there leave, for a while" in staying
    assert "for good: Atland in 50 % of seeds (95 % interval 9.5 to 91). Of the others" in staying
    assert "there join: Beland in 100 % of seeds (95 % interval 34 to 100); C in 50 %" in staying


def test_a_control_that_outlasts_the_run_is_said_to(banned: Aftermath) -> None:
    late = Aftermath(**(vars(banned) | {"when": {}}))
    (sentence,) = left_sentences(late, pd.DataFrame())
    assert sentence.startswith("The ban is over in 2025-04, after the end of the run, so nothing")


# ---------------------------------------------------------------- the whole command


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aftermath") / "results"
    run.run_experiment(configuration(*CHOOSING), folder)
    return folder


def test_report_answers_its_questions_first(finished: Path) -> None:
    said = json.loads((finished / "manifest.json").read_text())["finding"]
    assert said.startswith("With the Washington six, 2 to 13 months after the ban has ended, China")
    assert said.index("when the run ends") < said.index("In calm years")
    assert said.count("95 % interval") == 1
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "<h1>What is left after the control, and who stays in the alliance</h1>" in page
    assert page.index("Who is inside when") < page.index("Who stays</h2>")


def test_the_six_are_six_whoever_joins(finished: Path) -> None:
    joined = pd.read_parquet(finished / "stays_by_seed.parquet")
    assert not joined["founding"].all(), "nobody joined, so that nothing is tested"
    six = set(joined.loc[joined["founding"], "country"])
    assert six == {"AUS", "EU27", "GBR", "JPN", "NZL", "USA"}
    effects = pd.read_parquet(finished / "effects.parquet")
    members = effects[(effects["bloc"] == "members") & (effects["country"] != "all")]
    assert set(members["country"]) <= six
    monthly = pd.read_parquet(finished / "monthly.parquet")
    ever = monthly[monthly["member"] & (monthly["membership"] == "washington")]
    assert set(ever["country"]) > set(members["country"])


def test_figure_comes_back_from_its_table(finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    figure, table = figure_from(finished / "figures" / "inside.csv", manifest)
    assert isinstance(figure, Figure)
    stays_table = pd.read_parquet(finished / "stays_by_seed.parquet")
    shown = figure.axes[0].collections[0].get_array()
    calm = table[table["shock"] == "none"].pivot(
        index="country", columns="month", values="inside_percent"
    )
    order = list(dict.fromkeys(table["country"]))
    np.testing.assert_allclose(np.asarray(shown).reshape(calm.shape), calm.loc[order])
    assert set(order) == set(stays_table["country"])


@pytest.mark.parametrize("name", ["stays", "standing"])
def test_what_runs_leave_is_documented(name: str, finished: Path) -> None:
    schema = pq.read_schema(finished / f"{name}_by_seed.parquet")
    assert all(item.metadata[b"description"] == COLUMNS[item.name].encode() for item in schema)


def test_without_choice_nothing_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *arguments, **options: None)
    monkeypatch.setattr(outcome, "write_report", lambda folder, *arguments: folder)
    run.run_experiment(configuration(*CHOOSING, "accession=off", "seeds=1"), tmp_path / "fixed")
    names = {path.stem for path in (tmp_path / "fixed").rglob("*.*")}
    assert not {"stays_by_seed", "standing_by_seed", "inside"} & names
    said = json.loads((tmp_path / "fixed" / "manifest.json").read_text())["finding"]
    assert said.startswith("In calm years, membership of the Washington six")

"""Hindcasts: files of settings by path, the shipped scenarios, and a study from end to end."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import sketch

from abm.config import Config, ConfigError, Question, check
from abm.facts import imposed_facts
from abm.posterior import drawn_config
from abm.scenario import scenarios
from abm.world import build_world
from experiments import run, settings_file, validate
from experiments.ensemble import config_opening, read_config_tables
from experiments.figures import save
from experiments.hindcast import (
    HINDCASTS,
    MODEL,
    PERSISTENCE,
    TEXTBOOK,
    TEXTBOOK_SETTINGS,
    finding,
    hindcast_study,
    observed_figures,
    simulate,
)
from experiments.study import run_study, with_settings

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "hindcast" / "invented.yaml"
SHIPPED = sorted(path.stem for path in HINDCASTS.glob("*.yaml"))


@pytest.fixture(scope="module")
def invented() -> Config:
    return run.composed([f"experiment={EXAMPLE}", "workers=1", "seeds=2"])


def test_a_textbook_leaves_out_what_is_drawn_too(invented: Config, tmp_path: Path) -> None:
    table = tmp_path / "posterior.csv"
    draw = {"behaviour.anticipation": 5.0, "behaviour.hoarding": 3.0, "behaviour.distress": 4.0}
    pd.DataFrame([draw]).to_csv(table, index=False)
    changes = {"uncertainty.active": True, "uncertainty.table": str(table)}
    config = with_settings(invented, changes)
    study = hindcast_study(
        config,
        build_world(read_config_tables(config), config.world, opening=config_opening(config)),
    )
    drawn = {
        cell.labels["forecast"]: drawn_config(cell.config, 0).behaviour for cell in study.cells
    }
    assert (drawn[MODEL].anticipation, drawn[MODEL].hoarding) == (5.0, 3.0)
    assert (drawn[TEXTBOOK].anticipation, drawn[TEXTBOOK].hoarding) == (0.0, 0.0)
    assert drawn[TEXTBOOK].distress == 4.0, "what a textbook does not speak of is drawn"


# A file of settings ---------------------------------------------------------------------------


def test_a_file_is_composed_as_if_typed(invented: Config) -> None:
    written = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert invented.question is Question.hindcast
    assert invented.name == "invented"
    assert invented.membership.circles == {}
    assert invented.controls[0].quota_tonnes == written["controls"][0]["quota_tonnes"]
    assert [len(getattr(invented, kind)) for kind in ("outages", "caps", "purchases")] == [1] * 3
    assert invented.demand_facts[0].sectors == ["digital"]
    assert Path(invented.hindcast.observed) == EXAMPLE.with_suffix(".csv")


def test_words_typed_after_the_file_win() -> None:
    words = ["horizon.years=5", "membership=g7", f"experiment={EXAMPLE}"]
    config = run.composed(words)
    assert config.horizon.years == 5
    assert list(config.membership.circles) == ["g7"]


def test_settings_of_a_file_may_be_printed_without_running(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ([f"experiment={EXAMPLE}", "--cfg", "job"], ["--cfg", "job", "seeds=3"]):
        monkeypatch.setattr("sys.argv", ["run", *words])
        assert run.main() == 0
        assert "observed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "holds no settings; write them as name: value"),
        ("a: [\n", "cannot be read as YAML"),
        ("defaults:\n  - base\n", "defaults contains 'base'; write - override /GROUP: OPTION"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"own\.yaml") as caught:
        settings_file.expanded([f"experiment={path}"])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hindcast: {obsreved: a.csv}", "There is no setting hindcast.obsreved, perhaps"),
        ("controls: [{instrument: qutoa}]", "expected one of [none, tax, quota"),
        ("world: {year: long ago}", "world.year='long ago' cannot be used; give a whole number"),
        ("hindcats: {}", "There is no setting hindcats, perhaps hindcast is meant"),
    ],
)
def test_a_wrong_setting_of_a_file_is_answered_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    text: str, said: str,
) -> None:  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text(text)
    monkeypatch.setattr("sys.argv", ["run", f"experiment={path}"])
    assert run.main() == run.MISUSE
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_every_kind_of_value_can_stand_in_a_file() -> None:
    assert settings_file.literal({"a": [1, 2.5, None, True, "it's"]}) == (
        "{a:[1,2.5,null,true,'it\\'s']}"
    )


# What is shipped ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_hindcast_fits_its_world(name: str) -> None:
    config = run.composed([f"experiment=hindcast/{name}"])
    check(config)
    assert config.name == name
    tables = read_config_tables(config)
    world = build_world(tables, config.world, opening=config_opening(config))
    assert len(scenarios(config, world)) == 1
    imposed_facts(config, world)
    assert observed_figures(config, world)


def test_a_hindcast_without_a_table_or_with_an_alliance_is_refused(invented: Config) -> None:
    for changes, said in (
        ({"hindcast.observed": ""}, "hindcast.observed is empty"),
        ({"hindcast.observed": "none.csv"}, "hindcast.observed is 'none.csv', and there is no"),
        ({"membership.circles": {"g7": object()}}, "A hindcast knows no alliance"),
    ):
        config = with_settings(invented, changes)
        world = build_world(
            read_config_tables(invented), invented.world, opening=config_opening(invented)
        )
        with pytest.raises(ConfigError, match=said):
            hindcast_study(config, world)


# Playing it -----------------------------------------------------------------------------------


def test_one_draw_under_one_seed_gives_one_row_a_figure(invented: Config) -> None:
    found = simulate(invented, {}, 0)
    assert len(found) == len(pd.read_csv(EXAMPLE.with_suffix(".csv")))
    assert np.isfinite(found["simulated"]).all()
    again = simulate(invented, {}, 0)
    pd.testing.assert_frame_equal(found, again, check_exact=True)
    fearful = simulate(invented, {"behaviour.hoarding": 6.0}, 0).set_index("name")["simulated"]
    assert fearful["price_abroad"] > found.set_index("name")["simulated"]["price_abroad"]


def test_the_textbook_changes_settings_that_exist() -> None:
    changed = with_settings(Config(), TEXTBOOK_SETTINGS)
    check(changed)
    for name, value in TEXTBOOK_SETTINGS.items():
        group, *_, setting = name.split(".")
        if group == "behaviour":
            assert getattr(Config().behaviour, setting) != value


@pytest.fixture(scope="module")
def played(invented: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In one process, but with figures that another process could draw."""

    def sent(figure: Any, *where: Any) -> None:
        save(pickle.loads(pickle.dumps(figure)), *where)

    folder = tmp_path_factory.mktemp("hindcast") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.study.save", sent)
        sketch(patch)
        run_study(invented, folder, hindcast_study)
    return folder


def test_a_hindcast_reports_every_figure_under_three_forecasts(played: Path) -> None:
    scored = pd.read_csv(played / "scored.csv")
    figures = pd.read_csv(EXAMPLE.with_suffix(".csv"))
    counts = scored["forecast"].value_counts()
    assert counts.to_dict() == dict.fromkeys((MODEL, PERSISTENCE, TEXTBOOK), len(figures))
    still = scored[(scored["forecast"] == PERSISTENCE) & (scored["measure"] == "price_multiple")]
    assert still["median"].to_numpy() == pytest.approx(1.0)
    page = (played / "report.html").read_text(encoding="utf-8")
    assert "price abroad" in page
    assert "hindcast_paths" in {path.stem for path in (played / "figures").iterdir()}


@pytest.mark.usefixtures("sketched")
def test_the_page_states_scores_and_every_miss(
    played: Path, invented: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "HINDCASTS", EXAMPLE.parent)
    monkeypatch.setattr(validate, "FIGURES", tmp_path)
    told = validate.episode(invented, played)
    scored = pd.read_csv(played / "scored.csv", keep_default_na=False)
    validate.write_page([told], scored, invented, tmp_path / "page.md", tmp_path)
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    mine = pd.read_csv(played / "scored.csv")
    missed = mine[(mine["forecast"] == MODEL) & (mine["close"] == 0.0)]
    assert page.count(" simulated (") == len(missed)
    assert "### invented" in page
    assert EXAMPLE.read_text(encoding="utf-8").strip() in page
    assert (tmp_path / "hindcast_all.png").exists()


def test_the_finding_names_the_closest_forecast() -> None:
    table = pd.DataFrame(
        {
            "forecast": [MODEL, PERSISTENCE, TEXTBOOK],
            "figures": [4.0] * 3,
            "score": [1.0, 2.0, 0.5],
            "log_error": [np.log(1.5)] * 3,
            "close": [0.5] * 3,
            "inside": [0.25] * 3,
        }
    )
    first, second = finding(table)
    assert first.startswith("Of 4 observed figures, 2 are met")
    assert "a factor of 1.50" in first
    assert second.endswith("not the best: the textbook equilibrium is closer.")

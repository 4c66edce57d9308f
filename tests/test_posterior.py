"""Ensembles that draw behaviour: which draw, what it changes, and what is left alone."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import export_ban, quiet_config

from abm.config import Config, ConfigError, check
from abm.posterior import about_setting, drawn_config, read_posterior, with_draw
from experiments.engine.store import drawn_from, plain, write_manifest
from experiments.ensemble import one_run
from experiments.report import Answer, write_study_report

DRAWS = {
    "behaviour.hoarding": [0.5, 1.0, 4.0],
    "controls.enforcement": [0.6, 0.7, 0.9],
    "controls.detour_months": [1.4, 6.0, 12.0],
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "posterior.csv"
    pd.DataFrame(DRAWS).to_csv(path, index=False)
    return path


def uncertain(table: Path, **settings: object) -> Config:
    config = quiet_config(years=1, minerals=["gallium"])
    config.shock = export_ban(announced="2025-01", start="2025-02", end="2026-02")
    config.uncertainty.active = True
    config.uncertainty.table = str(table)
    for name, value in settings.items():
        setattr(config.uncertainty, name, value)
    return config


def test_off_is_the_same_object() -> None:
    config = Config()
    assert drawn_config(config, 3) is config


def test_each_seed_has_its_draw_and_all_draws_come(table: Path) -> None:
    config = uncertain(table)
    found = [drawn_config(config, seed) for seed in range(40)]
    assert [drawn_config(config, seed) for seed in range(40)] == found
    values = [item.behaviour.hoarding for item in found]
    assert set(values) == set(DRAWS["behaviour.hoarding"])
    assert config.behaviour.hoarding == Config().behaviour.hoarding
    for item in found:
        check(item)
        row = DRAWS["behaviour.hoarding"].index(item.behaviour.hoarding)
        assert item.shock.enforcement == DRAWS["controls.enforcement"][row], "one row a draw"
        assert item.shock.detour_months == round(DRAWS["controls.detour_months"][row])


def test_draws_are_equally_likely(table: Path) -> None:
    posterior = read_posterior(table)
    values = [posterior.draw(seed)["behaviour.hoarding"] for seed in range(3000)]
    for value in DRAWS["behaviour.hoarding"]:
        assert np.mean(np.array(values) == value) == pytest.approx(1 / 3, abs=0.03)


def test_what_was_chosen_by_hand_or_kept_is_not_drawn(table: Path) -> None:
    config = uncertain(table, keep=["behaviour.hoarding"])
    config.shock.enforcement = 0.85
    config.controls = [export_ban(("nickel",))]
    for seed in range(5):
        found = drawn_config(config, seed)
        assert found.behaviour.hoarding == Config().behaviour.hoarding
        assert found.shock.enforcement == 0.85
        assert found.controls[0].enforcement in DRAWS["controls.enforcement"]


def test_runs_of_a_seed_use_its_draw(table: Path) -> None:
    config = uncertain(table)
    drawn = one_run(config, 1, 1, months=3).model.record.figures
    draw = read_posterior(table).draw(1)
    by_hand = with_draw(config, draw)
    by_hand.uncertainty.active = False
    np.testing.assert_array_equal(drawn, one_run(by_hand, 1, 1, months=3).model.record.figures)
    central = uncertain(table)
    central.uncertainty.active = False
    other = one_run(central, 1, 1, months=3).model.record.figures
    assert not np.array_equal(drawn, other, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("behaviour.hoarding\n99\n", "row 2: behaviour.hoarding is 99"),
        ("behaviour.hoarding\n1\nmuch\n", "row 3: behaviour.hoarding is much"),
        ("behaviour.hording\n1\n", "behaviour.hording is no setting with a range"),
        ("world.minerals\n1\n", "world.minerals is no setting with a range"),
        ("behaviour.hoarding\n", "holds no draw"),
        ("", "cannot be read"),
    ],
)
def test_a_spoilt_table_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "draws.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as refusal:
        read_posterior(path)
    assert str(refusal.value).count("\n") == 0


def test_a_missing_table_and_a_strange_name_are_one_sentence(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no such table of draws; make one with"):
        drawn_config(uncertain(tmp_path / "none.csv"), 0)
    with pytest.raises(ConfigError, match=r"uncertainty.keep contains behaviour.hording"):
        drawn_config(uncertain(table, keep=["behaviour.hording"]), 0)


def test_a_position_holds_for_the_world_that_is_built(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text("world.positions.demand_elasticity\n0.25\n")
    config = uncertain(path)
    assert drawn_config(config, 0).world.positions == {"demand_elasticity": 0.25}
    config.world.positions = {"demand_elasticity": 0.9}
    assert drawn_config(config, 0).world.positions == {"demand_elasticity": 0.9}
    assert about_setting("world.positions.supply_elasticity").high == 1.0
    with pytest.raises(ConfigError, match=r"world.positions.charm is no setting"):
        about_setting("world.positions.charm")


def test_settings_of_controls_are_found() -> None:
    assert about_setting("controls.enforcement").unit == "share stopped"
    assert about_setting("planning.entry.decision_months").default == 6.0


# What a results folder says of the draws -----------------------------------------------------


def manifest_of(config: Config) -> dict[str, object]:
    return {"finding": "none", "config": plain(dataclasses.asdict(config))}


def test_manifest_and_report_name_the_posterior_and_its_calibration(
    table: Path, tmp_path: Path
) -> None:
    about = {"command": "calibrate --seed 3", "commit": "abc1234", "distance": {"prior": 1.0}}
    table.with_suffix(".json").write_text(json.dumps(about))
    manifest = manifest_of(uncertain(table))
    found = json.loads(write_manifest(tmp_path, manifest).read_text())
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    assert found["posterior"] == {
        "table": "posterior.csv",
        "sha256": digest,
        "draws": 3,
        "settings": 3,
        "command": "calibrate --seed 3",
        "commit": "abc1234",
    }
    assert drawn_from(found) == {}, "a manifest read again is not read twice"
    page = write_study_report(tmp_path, "A study", Answer([], [], {}), manifest, pd.DataFrame())
    assert digest in page.read_text()


def test_a_table_without_its_calibration_says_so(table: Path) -> None:
    found = drawn_from(manifest_of(uncertain(table)))["posterior"]
    assert "no readable posterior.json" in found["calibration"]


def test_without_draws_the_manifest_is_as_given(tmp_path: Path) -> None:
    manifest = manifest_of(Config())
    assert json.loads(write_manifest(tmp_path, manifest).read_text()) == manifest

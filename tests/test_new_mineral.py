"""Additions without code: the tin of `examples/tin`, and every file and command of docs/adding.md.

The files of the page are written into a copy of the project's settings, as a newcomer would do.
"""

import csv
import re
import shlex
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from abm.config import Config, ConfigError, Control, Instrument, Randomness, WorldConfig, check
from abm.model import MineralModel
from abm.recorder import Record
from abm.scenario import Scenario, members_of, scenarios
from abm.shocks import draw_events
from abm.tables import SCHEMAS, TableError, Tables, read_tables
from abm.world import World, build_world
from experiments import run as command  # registers the schema of the settings

ROOT = Path(__file__).resolve().parents[1]
TIN = ROOT / "examples" / "tin"
PAGE = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
BAN_MONTH = 3
MONTHS = 12
ALLIES = ("USA", "EU27", "JPN")


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def files_of_page() -> dict[str, str]:
    """Path and content of every file that the page shows in full."""
    shown = re.findall(r"^`([\w/]+\.\w+)`\n\n```(?:csv|yaml)\n(.*?)```", PAGE, re.DOTALL | re.M)
    assert len(shown) == len(blocks("csv")) + len(blocks("yaml"))
    return dict(shown)


def commands_of_page() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def tables_of_page(needed: str) -> list[str]:
    return re.findall(rf"^\| `(\w+)` \| {needed} \|", PAGE, re.M)


@pytest.fixture(scope="module")
def with_tin() -> Tables:
    return read_tables([TIN])


@pytest.fixture(scope="module")
def world(with_tin: Tables) -> World:
    return build_world(with_tin, WorldConfig(minerals=["gallium", "tin"], draw_parameters=False))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: settings and examples of the project, and what the page adds to them."""
    for name in ("conf", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name, content in files_of_page().items():
        if not name.startswith("examples/"):
            path = tmp_path / name
            assert not path.exists(), f"{name} of the page would overwrite a file of the project"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(checkout: Path, line: str) -> Config:
    """What a command line is understood as."""
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", command.__name__]
    with initialize_config_dir(str(checkout / "conf"), version_base="1.3"):
        config = OmegaConf.to_object(compose("config", overrides=words[3:]))
    assert isinstance(config, Config)
    return config


@cache
def tables_of(folders: tuple[str, ...]) -> Tables:
    """Tables by the folders named on a command line; the same in every checkout."""
    return read_tables([Path(folder) for folder in folders])


@cache
def world_of(folders: tuple[str, ...], minerals: tuple[str, ...]) -> World:
    return build_world(tables_of(folders), WorldConfig(minerals=list(minerals)))


def build(config: Config) -> World:
    """The world of a configuration; where it takes all minerals, gallium stands for them."""
    folders = tuple(config.world.tables)
    if config.world.minerals == ["all"]:
        assert set(config.shock.minerals) <= set(tables_of(folders).minerals["mineral"])
        config.world.minerals = config.shock.minerals = ["gallium"]
    return world_of(folders, tuple(config.world.minerals))


# --- The example ----------------------------------------------------------------------------------


def test_tin_is_added_and_no_other_row_changes(real_tables: Tables, with_tin: Tables) -> None:
    for name in SCHEMAS:
        before, after = getattr(real_tables, name), getattr(with_tin, name)
        if "mineral" in after:
            after = after[after["mineral"] != "tin"].reset_index(drop=True)
        pd.testing.assert_frame_equal(before, after)
    assert "tin" in set(with_tin.minerals["mineral"])
    assert real_tables.data_hash() != with_tin.data_hash()


def test_other_markets_open_as_without_tin(real_tables: Tables, world: World) -> None:
    alone = build_world(real_tables, WorldConfig(minerals=["gallium"], draw_parameters=False))
    market = world.market("gallium", "refined")
    for name in ("flow", "landed_price", "delivered_price"):
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(world, name)[market])


def test_figures_from_memory_are_marked_as_estimates() -> None:
    for path in TIN.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                recalled = "memory" in row["source"] or row.get("confidence") == "memory"
                assert not (recalled and row["status"] == "observed"), f"{path.name}: {row}"


def test_example_folder_is_lean(with_tin: Tables) -> None:
    """Rows of the example beat `*` rows for cause; what a `*` row says is not repeated."""
    rows = {
        (row.mineral, row.stage, row.parameter): (row.value, row.low, row.high)
        for row in with_tin.parameters.itertuples()
    }
    for (mineral, stage, name), values in rows.items():
        if mineral == "tin":
            for general in (("*", stage, name), ("*", "*", name)):
                assert rows.get(general) != values


# --- A run with tin -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(world: World) -> dict[str, tuple[Record, np.ndarray]]:
    """Record of one year and flow of the opening month, in calm and under an Indonesian ban."""
    config = Config(randomness=Randomness(active=False))
    config.horizon.years = 1
    config.shock = Control(
        name="ban",
        instrument=Instrument.ban,
        by="IDN",
        targets=["washington"],
        minerals=["tin"],
        announced="2025-04",
        start="2025-04",
    )
    events = draw_events(world, config.randomness, MONTHS, 0)

    def one_run(case: Scenario) -> tuple[Record, np.ndarray]:
        model = MineralModel(world, case, events, config)
        model.step()
        opening_flow = model.last_flow.copy()
        for _ in range(MONTHS - 1):
            model.step()
        return model.record, opening_flow

    return {case.shock: one_run(case) for case in scenarios(config, world)}


def published_tonnes(stage: str) -> dict[str, float]:
    with (TIN / "output.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == stage]
    return {row["country"]: float(row["quantity_t"]) for row in rows}


def test_first_month_is_the_opening(
    runs: dict[str, tuple[Record, np.ndarray]], world: World
) -> None:
    record, flow = runs["none"]
    mined = world.market("tin", "mined")
    shipped = dict(zip(world.countries, 12 * flow[mined].sum(axis=1), strict=True))
    for country, tonnes in published_tonnes("mined").items():
        assert shipped.pop(country) == pytest.approx(tonnes, rel=1e-6)
    assert sum(shipped.values()) == 0.0
    refined = world.market("tin", "refined")
    made = 0.97 * sum(published_tonnes("mined").values()) + 59_200  # yield, and scrap
    assert 12 * flow[refined].sum() == pytest.approx(made, rel=1e-6)
    largest = world.flow.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(flow / largest, world.flow / largest, atol=1e-6)
    price = record.measures["landed_price_usd_per_kg"][0]
    used = world.flow.sum(axis=1) > 0
    np.testing.assert_allclose(price[used], world.landed_price[used], rtol=1e-6)


def price_ratio(
    runs: dict[str, tuple[Record, np.ndarray]], world: World, measure: str, mineral: str
) -> dict[str, np.ndarray]:
    """[month] price of refined product under the ban over that in calm, by country."""
    market = world.market(mineral, "refined")
    banned, calm = (runs[name][0].measures[measure][:, market] for name in ("ban", "none"))
    return dict(zip(world.countries, (banned / calm).T, strict=True))


def test_ban_raises_the_price_of_those_it_targets(
    runs: dict[str, tuple[Record, np.ndarray]], world: World
) -> None:
    landed = price_ratio(runs, world, "landed_price_usd_per_kg", "tin")
    at_origin = price_ratio(runs, world, "origin_price_usd_per_kg", "tin")
    for ally in ALLIES:
        np.testing.assert_allclose(landed[ally][:BAN_MONTH], 1.0, rtol=1e-9)
        assert (landed[ally][BAN_MONTH:] > 1.02).all()
    # Japan buys the largest part from Indonesia; China is not targeted and gets what is diverted.
    assert landed["JPN"][-1] == max(landed[ally][-1] for ally in ALLIES)
    assert landed["CHN"][-1] < 1.0
    assert at_origin["IDN"][-1] < 1.0 < at_origin["MYS"][-1]


def test_ban_on_tin_leaves_gallium_alone(
    runs: dict[str, tuple[Record, np.ndarray]], world: World
) -> None:
    landed = price_ratio(runs, world, "landed_price_usd_per_kg", "gallium")
    for country in (*ALLIES, "CHN"):
        np.testing.assert_allclose(landed[country], 1.0, rtol=1e-9)


# --- The page -------------------------------------------------------------------------------------


def test_page_shows_the_files_of_the_example() -> None:
    shown = {name: text for name, text in files_of_page().items() if name.startswith("examples/")}
    assert len(shown) == 2
    for name, content in shown.items():
        assert (ROOT / name).read_text(encoding="utf-8") == content


@pytest.mark.parametrize("line", commands_of_page())
def test_command_of_the_page_is_understood(checkout: Path, line: str) -> None:
    config = settings(checkout, line)
    check(config)
    cases = scenarios(config, build(config))
    assert {case.shock for case in cases} == {"none", config.shock.name}
    assert len(cases) == 2 * (1 + len(config.membership.circles))
    assert all(case.controls for case in cases if case.shock != "none")


def test_both_ways_to_add_a_country_give_the_same_circle(checkout: Path) -> None:
    by_setting, by_row = (line for line in commands_of_page() if "membership=forge" in line)
    plain = settings(checkout, f"python -m {command.__name__} membership=forge")
    members = [
        set(members_of(config.membership.circles["forge"], "forge", build(config)))
        for config in (plain, settings(checkout, by_setting), settings(checkout, by_row))
    ]
    assert members[1] == members[2] == members[0] | {"ZAF"}
    assert "ZAF" not in members[0]


def test_circle_of_an_own_file(checkout: Path) -> None:
    config = settings(checkout, f"python -m {command.__name__} membership=quad_plus")
    world = build(config)
    case = next(c for c in scenarios(config, world) if c.membership == "quad_plus")
    assert set(np.array(world.countries)[case.members(17)]) == {
        "USA",
        "JPN",
        "AUS",
        "IND",
        "KOR",
        "NZL",
    }
    assert not case.members(16).any()


def test_overlapping_circles_of_an_own_file(checkout: Path) -> None:
    config = settings(checkout, f"python -m {command.__name__} membership=two_clubs")
    world = build(config)
    cases = {case.membership: case for case in scenarios(config, world)}
    assert set(cases) == {"none", "two_clubs", "traders_alone"}
    part = dict(
        zip(world.countries, cases["two_clubs"].participation(20, "stockpiles"), strict=True)
    )
    assert {code: value for code, value in part.items() if value} == {
        "JPN": 1.0,
        "AUS": 1.0,
        "KOR": 0.5,
        "CHL": 1.0,
    }
    assert not cases["traders_alone"].participation(20, "stockpiles").any()


def test_another_sector_and_circle_are_configuration_alone(checkout: Path) -> None:
    config = settings(checkout, f"python -m {command.__name__} experiment=tin_buyers")
    config.horizon.years = 4
    world = build(config)
    assert set(world.minerals) == {"tin"}
    case = scenarios(config, world)[-1]
    codes = np.array(world.countries)
    assert set(codes[case.members(20)]) == {"USA", "EU27", "JPN", "KOR"}
    assert set(codes[case.controls[0].destinations]) == {"USA", "EU27", "JPN", "KOR", "TWN"}
    model = MineralModel(world, case, draw_events(world, config.randomness, 48, 0), config)
    for _ in range(40):
        model.step()
    assert model.part("stockpiles")[world.country("TWN")] == 0.5
    assert model.record.tonnes_gap[:40].max() < 1e-9


def test_control_of_an_own_file(checkout: Path) -> None:
    config = settings(checkout, f"python -m {command.__name__} shock=my_ban")
    assert config.shock == Control(
        name="my_ban",
        instrument=Instrument.ban,
        by="IDN",
        targets=["JPN", "g7"],
        minerals=["nickel"],
        announced="2026-10",
        start="2027-01",
        end="2029-01",
    )


def test_further_control_is_in_force_with_and_without_the_shock(checkout: Path) -> None:
    line = next(line for line in commands_of_page() if "with_quota" in line)
    config = settings(checkout, line)
    found = {
        (case.membership, case.shock): [control.instrument.value for control in case.controls]
        for case in scenarios(config, build(config))
    }
    assert found["none", "none"] == ["quota"]
    assert found["forge", "my_ban"] == ["ban", "quota"]


def test_world_with_tin_is_an_option_of_the_command(checkout: Path) -> None:
    config = settings(checkout, f"python -m {command.__name__} world=with_tin")
    assert config.world == WorldConfig(tables=["examples/tin"])
    tables = read_tables([checkout / folder for folder in config.world.tables])
    assert tables.stages_of("tin") == ("mined", "refined")


def test_needed_tables_are_needed_and_the_others_are_not(tmp_path: Path) -> None:
    needed, optional = tables_of_page("yes"), tables_of_page("no")
    by_mineral = [
        name
        for name, schema in SCHEMAS.items()
        if "mineral" in {column.name for column in schema.columns}
    ]
    assert sorted([*needed, *optional]) == sorted(by_mineral)
    given = {path.stem for path in TIN.glob("*.csv")}
    assert set(needed) <= given <= set(by_mineral)
    folder = Path(shutil.copytree(TIN, tmp_path / "tin"))
    for name in given - set(needed):
        (folder / f"{name}.csv").unlink()
    assert build_world(read_tables([folder]), WorldConfig(minerals=["tin"])).minerals == ("tin",)
    for name in needed:
        path = folder / f"{name}.csv"
        path.rename(tmp_path / "away")
        with pytest.raises(TableError, match="tin"):
            read_tables([folder])
        (tmp_path / "away").rename(path)


def table_fault(folder: Path, name: str, old: str, new: str) -> str:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read_tables([folder])
    path.write_text(text, encoding="utf-8")
    return str(caught.value)


def test_messages_of_the_page_are_those_of_the_program(checkout: Path, real_tables: Tables) -> None:
    folder = Path("examples/tin")
    said = [
        table_fault(folder, "output.csv", "mined,ROW,", "mined,PER,"),
        table_fault(folder, "firms.csv", "35000,19400", "35000,59400"),
        table_fault(folder, "demand.csv", "CHN,0.53", "CHN,0.48"),
    ]
    with pytest.raises(ConfigError) as caught:
        build_world(real_tables, WorldConfig(minerals=["tin"]))
    assert "".join(blocks("text")).splitlines() == [*said, f"{caught.value}."]

"""The study of resilience: its times against slow walks, its league, and what theory fixes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import model_of, quiet_config
from test_run import configuration

from abm.config import Circle, Config, ConfigError, Cut, month_index
from abm.model import MineralModel
from abm.tables import Tables
from abm.world import World, build_world
from experiments.figures.again import redraw
from experiments.resilience.study import (
    COVER,
    LOST,
    PEAK,
    RECOVER,
    SHARE,
    SURVIVE,
    TIMES,
    WORST,
    alliance_effect,
    answer,
    cut_off,
    hardest_hit,
    league,
    resilience_outcomes,
    share_of_supplier,
    suppliers,
    time_band,
    worst_suppliers,
)
from experiments.resilience.times import supply_lost, time_to_recover, time_to_survive
from experiments.studies.paired import Pair
from experiments.studies.registry import STUDIES
from experiments.study import Cell, run_study

NEVER = np.inf

# Times ----------------------------------------------------------------------------------------


def slow_survival(path: list[float], least: float) -> float:
    for month, share in enumerate(path):
        if share < least:
            return month
    return NEVER


def slow_recovery(path: list[float], price: list[float], band: float, settled: int) -> float:
    """The first month from which all that follows is well, with enough of it left."""
    well = [a >= 1 - band and p <= 1 + band for a, p in zip(path, price, strict=True)]
    for month in range(len(path) + 1):
        if all(well[month:]):
            return month if len(path) - month >= settled else NEVER
    return NEVER


def test_times_are_those_of_a_slow_walk() -> None:
    draws = np.random.default_rng(1)
    available = np.clip(draws.normal(1.0, 0.15, (9, 60)), 0.0, 1.2)
    price = draws.normal(1.0, 0.1, (9, 60))
    available[:, 0], price[:, 0] = 1.0, 1.0  # never away
    available[5:, 1], price[5:, 1] = 1.0, 0.2  # back, if dear supply counts and cheap does not
    survival = time_to_survive(available, 0.8)
    recovery = time_to_recover(available, price, 0.1, 3)
    for column in range(60):
        path, paid = list(available[:, column]), list(price[:, column])
        assert survival[column] == slow_survival(path, 0.8)
        assert recovery[column] == slow_recovery(path, paid, 0.1, 3)
        lost = sum(1.0 - share for share in path if share < 1.0)
        assert supply_lost(available)[column] == pytest.approx(lost)
    assert recovery[0] == 0.0
    assert {NEVER} < set(recovery) > {0.0}


def test_bands_of_times_know_never() -> None:
    found = time_band(np.array([3.0, 5.0, NEVER, 4.0, NEVER]), SURVIVE)
    assert found[SURVIVE] == 5.0
    assert found[f"{SURVIVE}_p10"] == 3.0
    assert found[f"{SURVIVE}_p90"] == NEVER
    assert found[f"{SURVIVE}_finite"] == pytest.approx(0.6)


# The league -----------------------------------------------------------------------------------


def outcomes_of(lost: dict[tuple[str, str, str, str], float], seeds: int = 4) -> pd.DataFrame:
    """Outcomes by alliance, supplier, country and mineral; every seed adds a hundredth."""
    rows = [
        (*place, seed, measure, value + 0.01 * seed)
        for place, value in lost.items()
        for seed in range(seeds)
        for measure in (*TIMES, LOST, "least_available", PEAK, SHARE, "cover")
    ]
    columns = ["alliance", "supplier", "country", "mineral", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


LOSSES = {
    ("none", "CHN", "USA", "gallium"): 2.0,
    ("none", "CHN", "AUS", "gallium"): 5.0,
    ("none", "ROW", "USA", "gallium"): 3.0,
    ("club", "CHN", "USA", "gallium"): 1.0,
    ("club", "CHN", "AUS", "gallium"): 5.5,
    ("club", "ROW", "USA", "gallium"): 0.5,
}


def test_league_ranks_by_what_is_lost_without_an_alliance() -> None:
    table = league(outcomes_of(LOSSES))
    alone = table[table["alliance"] == "none"]
    assert list(alone["country"]) == ["AUS", "USA", "USA"]
    assert list(alone["supplier"]) == ["CHN", "ROW", "CHN"]
    assert list(table["rank"]) == [1, 1, 2, 2, 3, 3]
    assert list(table["alliance"]) == ["none", "club"] * 3
    assert alone[LOST].iloc[0] == pytest.approx(5.015)
    assert list(hardest_hit(table)["rank"]) == [1, 1, 2, 2], "of gallium from China, Australia"
    worst = worst_suppliers(table).set_index(["alliance", "country"])["supplier"]
    assert worst[("none", "USA")] == "ROW"
    assert worst[("club", "USA")] == "CHN"


def test_an_alliance_is_credited_with_the_mean_over_cases() -> None:
    outcomes = outcomes_of(LOSSES)
    found = alliance_effect(outcomes, league(outcomes).drop_duplicates("rank"), "club")
    assert found.mean == pytest.approx((-1.0 + 0.5 - 2.5) / 3)
    assert found.low == pytest.approx(found.high)


# Who depends on whom ------------------------------------------------------------------------------


def test_share_of_a_supplier_counts_its_ore(tiny_world: World) -> None:
    """By loops over who refines, and from whose ore."""
    world = tiny_world
    for supplier in range(len(world.countries)):
        found = share_of_supplier(world, supplier)
        for k in range(len(world.minerals)):
            mined, refined = world.flow[world.mined_market[k]], world.flow[world.refined_market[k]]
            for user in range(len(world.countries)):
                whole = refined[:, user].sum()
                mine = 0.0
                for maker in range(len(world.countries)):
                    fed = 1.0 if maker == supplier else 0.0
                    if maker != supplier and world.mined_market[k] >= 0:
                        ore = mined[:, maker].sum()
                        fed = mined[supplier, maker] / ore if ore > 0 else 0.0
                    mine += fed * refined[maker, user]
                assert found[k, user] == pytest.approx(mine / whole if whole > 0 else 0.0)


def tiny_config(cut: Cut = Cut.ban) -> Config:
    """Three years of the tiny world; a supplier is cut for one of them."""
    config = quiet_config(years=3)
    config.membership.circles = {"pair": Circle(add=["USA", "AUS"])}
    config.resilience.start, config.resilience.months = "2026-01", 12
    config.resilience.cut = cut
    return config


def test_who_ships_enough_is_a_supplier(tiny_world: World) -> None:
    """By loops over what crosses borders; the rest of the world is no country."""
    config = tiny_config()
    config.resilience.least_share = 0.5
    large = set()
    for flow in tiny_world.flow:
        abroad = [sum(row) - row[i] for i, row in enumerate(flow)]
        large |= {i for i, shipped in enumerate(abroad) if shipped >= 0.5 * sum(abroad) > 0.0}
    assert suppliers(config, tiny_world) == [tiny_world.countries[i] for i in sorted(large)]
    config.resilience.least_share = 0.01
    assert "ROW" not in suppliers(config, tiny_world)
    config.resilience.suppliers = ["AUS", "CHN"]
    assert suppliers(config, tiny_world) == ["CHN", "AUS"]


# What theory fixes --------------------------------------------------------------------------------


def finished(config: Config, world: World, shocked: bool = False) -> MineralModel:
    model = model_of(config, world, "none", shocked)
    model.run()
    return model


def outcomes_in(
    config: Config, world: World, supplier: str, calm: MineralModel | None = None
) -> pd.DataFrame:
    """[country and mineral] x measure when a supplier is cut in the tiny world."""
    changed = cut_off(config, supplier)
    shocked = config.resilience.cut is Cut.ban
    pair = Pair(calm or finished(config, world), finished(changed, world, shocked))
    cell = Cell({"supplier": supplier}, changed, "none", shocked, ("USA", "AUS", "ROW"))
    table = resilience_outcomes(pair, cell)
    return table.pivot(index=["country", "mineral"], columns="measure", values="value")


@pytest.fixture(scope="module")
def calm(tiny_world: World) -> MineralModel:
    return finished(tiny_config(), tiny_world)


@pytest.mark.parametrize("cut", list(Cut))
def test_who_shares_no_market_with_the_supplier_feels_nothing(
    cut: Cut, tiny_world: World, calm: MineralModel
) -> None:
    """The rest of the world makes graphite and no gallium: whoever uses that has no limit."""
    found = outcomes_in(tiny_config(cut), tiny_world, "ROW", calm).xs("gallium", level="mineral")
    assert (found[SURVIVE] == NEVER).all()
    assert not found[[RECOVER, LOST, SHARE]].to_numpy().any()
    assert (found[PEAK] == 1.0).all()


def test_the_main_supplier_is_missed_and_one_cut_serves_all_minerals(
    tiny_world: World, calm: MineralModel
) -> None:
    config = tiny_config()
    found = outcomes_in(config, tiny_world, "CHN", calm)
    assert (found.loc[("USA", "gallium")][[SURVIVE, RECOVER]] < [12.0, NEVER]).any()
    assert found.loc[("USA", "gallium"), LOST] > 1.0
    changed = cut_off(config, "CHN")
    changed.shock.minerals = ["gallium"]
    pair = Pair(calm, finished(changed, tiny_world, shocked=True))
    cell = Cell({"supplier": "CHN"}, changed, "none", shocked=True, group=("USA",))
    alone = resilience_outcomes(pair, cell)
    alone = alone[alone["mineral"] == "gallium"].set_index("measure")["value"]
    pd.testing.assert_series_equal(
        alone.sort_index(), found.loc[("USA", "gallium")].sort_index(),
        check_exact=True, check_names=False,
    )  # fmt: skip


def test_stocks_lengthen_the_time_to_survive(tiny_tables: Tables) -> None:
    survival, lost = [], []
    for cover in (1.0, 6.0):
        rows = tiny_tables.parameters.copy()
        rows.loc[rows["parameter"] == "buyer_cover_months", ["value", "low", "high"]] = cover
        config = tiny_config()
        config.resilience.survival = 0.5
        world = build_world(replace(tiny_tables, parameters=rows), config.world)
        found = outcomes_in(config, world, "CHN")
        survival.append(found.loc[("USA", "gallium"), SURVIVE])
        lost.append(found.loc[("USA", "gallium"), LOST])
    assert survival[0] < survival[1]
    assert lost[0] > lost[1]


# The command --------------------------------------------------------------------------------------

TINY = [
    "experiment=resilience",
    "world.minerals=[gallium]",
    "horizon.years=2",
    "seeds=2",
    "workers=1",
    "resilience.suppliers=[CHN]",
    "resilience.start=2025-06",
    "resilience.months=12",
]


@pytest.mark.usefixtures("sketched")
def test_from_settings_to_a_report_and_figures_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(*TINY)
    report = run_study(config, tmp_path, STUDIES[config.question])
    said = capsys.readouterr().out
    assert "when China stops all exports for 12 months" in said
    assert "nan" not in said
    outcomes = pd.read_parquet(tmp_path / "outcomes.parquet")
    assert outcomes["value"].notna().all()
    assert set(outcomes["alliance"]) == {"none", "washington"}
    assert report.read_text(encoding="utf-8").count("data:image/png;base64,") == 2
    assert {path.stem for path in redraw(tmp_path)} == {"league", "worst_supplier"}


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["membership=none"], "membership=washington"),
        (["shock=export_ban"], "give shock=none"),
        (["resilience.suppliers=[XXX]"], "resilience.suppliers names the country 'XXX'"),
        (["resilience.least_share=1.0", "resilience.suppliers=[]"], "lower it"),
        (["horizon.years=1"], "change resilience.start, resilience.months or horizon.years"),
    ],
)
def test_settings_without_a_cut_are_refused(
    words: list[str], cure: str, real_tables: Tables
) -> None:
    config = configuration(*TINY, *words)
    world = build_world(real_tables, config.world)
    with pytest.raises(ConfigError, match=cure):
        STUDIES[config.question](config, world)


def test_a_cut_ends_in_its_month() -> None:
    config = cut_off(tiny_config(), "CHN")
    assert month_index(config.shock.end, config.shock.start) == 12
    assert config.shock.enforcement == 1.0
    outage = cut_off(tiny_config(Cut.outage), "CHN").outages[-1]
    assert (outage.start, outage.end, outage.share) == ("2026-01", "2027-01", 1.0)


def made_up(lost: dict[int, float]) -> pd.DataFrame:
    """Outcomes of one case, by seed, with and without the circle."""
    values = {SURVIVE: 3.0, RECOVER: 20.0, WORST: 0.5, PEAK: 2.0, SHARE: 0.8, COVER: 1.0}
    rows = [
        (alliance, "CHN", "JPN", "gallium", seed, measure, value)
        for alliance in ("none", "washington")
        for seed in lost
        for measure, value in {**values, LOST: lost[seed]}.items()
    ]
    names = ["alliance", "supplier", "country", "mineral", "seed", "measure", "value"]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize(
    ("lost", "said", "unsaid"),
    [
        ({0: 5.0}, ["loses 5.0 months of supply (one seed, so no interval)"], ["80 %", "–"]),
        ({0: 5.0, 1: 7.0}, ["loses 6.0 months of supply (95 % interval", "80 % of seeds"], ["–"]),
        ({0: 0.0, 1: 0.0}, ["no member goes without any mineral"], ["most vulnerable"]),
    ],
)
def test_the_answer_says_how_sure_it_is(
    lost: dict[int, float], said: list[str], unsaid: list[str], real_tables: Tables
) -> None:
    config = configuration(*TINY)
    world = build_world(real_tables, config.world)
    text = " ".join(answer(made_up(lost), world, config).sentences)
    assert [part for part in said if part not in text] == [], text
    assert [part for part in unsaid if part in text] == [], text

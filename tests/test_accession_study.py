"""The study of accession: who plays, what a coalition is worth, and how values are shared out."""

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SIX
from test_run import configuration

from abm.config import Circle, Config, ConfigError, Instrument
from abm.scenario import members_of
from abm.tables import Tables
from abm.world import World, build_world
from experiments.accession.answer import answer, by_size, unresolved
from experiments.accession.figures import shapley_bars
from experiments.accession.game import Game, coalition_config, game_of
from experiments.accession.outcomes import QUANTITIES
from experiments.accession.study import accession_study, next_rings
from experiments.accession.values import (
    Outcomes,
    candidates_table,
    gap,
    places_table,
    relative_error,
    shapley_table,
)
from experiments.ensemble import PROJECT
from experiments.figures.again import figure_from
from experiments.study import Cell, run_study, with_settings

NEW = "experiment=accession"
MINERALS = ("gallium", "graphite")


def asked(**changes: Any) -> Config:
    """The settings of the experiment with some others: dots are written as two underscores."""
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    return with_settings(configuration(NEW, "world.minerals=[gallium]"), settings)


@pytest.fixture(scope="module")
def world(real_tables: Tables) -> World:
    return build_world(real_tables, asked().world)


# Who plays ------------------------------------------------------------------------------------


def test_members_play_alone_or_in_groups(world: World) -> None:
    groups = {"anzac": ["AUS", "NZL"], "nordic": ["NOR", "CHE"]}
    config = asked(joining__players=groups, joining__candidates=["NOR", "quad"])
    game = game_of(config, world)
    assert list(game.players) == ["USA", "EU27", "GBR", "JPN", "anzac"]
    assert game.players["anzac"] == ("AUS", "NZL")
    assert game.candidates == {"IND": ("IND",), "nordic": ("NOR", "CHE")}
    everyone = [code for codes in game.parties.values() for code in codes]
    assert sorted(everyone) == sorted(world.countries)
    assert "CHN" in game.others["non_allied"]


def test_candidates_are_the_allied_and_the_partners_outside_unless_named(world: World) -> None:
    game = game_of(asked(), world)
    roles = {world.roles[world.country(code)] for code in game.candidates}
    assert roles == {"allied", "partner"}
    assert not set(game.candidates) & set(game.players)
    assert not game_of(asked(joining__candidates=[]), world).candidates


def test_a_coalition_has_exactly_its_countries(world: World) -> None:
    six = Circle(table="washington", add=["KOR"], drop=["GBR", "EU27"], joins={"JPN": "2028-01"})
    config = asked(
        membership__circles={"six": six},
        joining__players={"east": ["KOR", "JPN"]},
        joining__candidates=["GBR"],
    )
    game = game_of(config, world)
    labels = [game.label(coalition) for coalition in range(1, 1 << len(game.names))]
    assert len(labels) == 15
    for label in [*labels, game.with_candidate("GBR")]:
        circle = coalition_config(config, game, label).membership.circles["six"]
        assert sorted(members_of(circle, "six", world)) == sorted(game.countries(label))
        assert set(circle.joins) == {"JPN"} & set(game.countries(label))
    assert six.add == ["KOR"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shock__instrument": Instrument.none}, "membership=washington shock=export_ban"),
        ({"membership__circles": {}}, "needs one circle"),
        ({"joining__players": {"six": SIX}}, "has 1 player"),
        ({"joining__players": {"a": ["AUS", "NZL"], "b": ["NZL"]}}, "NZL in a and in b"),
        ({"joining__players": {"a": ["AUS", "KOR"]}}, "1 are in the circle"),
        ({"joining__players": {"a": []}}, "players.a is empty; name"),
        ({"joining__players": {"KOR": ["AUS", "NZL"]}}, "calls a group 'KOR'"),
        ({"joining__players": {"a": ["AUS", "XXX"]}}, "country 'XXX'"),
        ({"joining__candidates": ["KOR", "USA"]}, "'USA', which is a member already"),
        ({"joining__candidates": ["KOR", "atlantis"]}, "contains 'atlantis'"),
        ({"accession__active": True}, "accession=off"),
    ],
)
def test_a_game_that_cannot_be_played_is_refused(
    changes: dict[str, Any], said: str, world: World
) -> None:
    with pytest.raises(ConfigError, match=said):
        accession_study(asked(**changes), world)


# Values from outcomes worked out by hand --------------------------------------------------------


def small_game(players: int) -> Game:
    names = [f"P{number}" for number in range(players)]
    return Game(
        circle="club",
        players={name: (name,) for name in names},
        candidates={"C": ("C",)},
        others={"non_allied": ("F",), "rest": ("R",)},
    )


def outcomes_of(game: Game, labels: dict[int, list[str]], luck: float = 0.0) -> pd.DataFrame:
    """Outcomes in which member i lowers its own bill by i+1 and each other member's by a tenth.

    Pairs of members add a hundredth to welfare at the non-allied's cost. Bills are 100 each.
    """
    rows = []
    for seed, coalitions in labels.items():
        for label in coalitions:
            inside = [] if label == "none" else label.split("+")
            for shock in ("calm", "crisis"):
                for party in game.parties:
                    for at, mineral in enumerate(MINERALS):
                        weight = (1.0 - at * 0.5) * (1.0 + luck * seed) * (1 + (shock == "crisis"))
                        own = (int(party[1:]) + 1) * (party in inside) if party[0] == "P" else 0.0
                        others = 0.1 * len(set(inside) - {party})
                        pairs = len(list(combinations(inside, 2)))
                        saved = weight * (own + others) if party[0] == "P" else 0.0
                        lost = -0.01 * pairs * weight * (party == "non_allied")
                        values = (100.0, 100.0 - saved, 60.0, saved, lost, 0.0, -saved / 4)
                        rows.append((label, shock, seed, party, mineral, *values))
    return pd.DataFrame(
        rows, columns=["coalition", "shock", "seed", "party", "mineral", *QUANTITIES]
    )


def every_label(game: Game) -> list[str]:
    whole = [game.label(coalition) for coalition in range(1 << len(game.names))]
    return [*whole, game.with_candidate("C")]


@pytest.fixture
def three() -> tuple[Game, Outcomes]:
    game = small_game(3)
    table = outcomes_of(game, {seed: every_label(game) for seed in (3, 4)}, luck=0.01)
    return game, Outcomes.of(table, game, Config().joining)


def row(table: pd.DataFrame, **where: str) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_a_member_is_credited_with_what_it_does_for_itself_and_for_others(
    three: tuple[Game, Outcomes],
) -> None:
    table = shapley_table(three[1])
    at = {"shock": "calm", "measure": "price", "mineral": "gallium"}
    bill = 3 * 2 * 100.0  # three members, two minerals
    luck = 1.035
    itself = row(table, player="P1", part="itself", **at)
    assert itself["mean"] == pytest.approx(-100 * 2.0 * luck / bill)
    others = row(table, player="P1", part="other members", **at)
    assert others["mean"] == pytest.approx(-100 * 0.2 * luck / bill)
    received = row(table, player="P1", part="received from all", **at)
    assert received["mean"] == pytest.approx(-100 * 2.2 * luck / bill)
    welfare = row(
        table, player="P0", part="non-allied", shock="crisis", measure="welfare", mineral="all"
    )
    assert welfare["mean"] == pytest.approx(-0.01 * luck * 2 * 1.5)
    cost = row(
        table, player="P0", part="itself", shock="calm", measure="public_cost", mineral="all"
    )
    assert cost["mean"] == pytest.approx(1.5 * luck / 4)
    assert (table["sampling_error"] == 0).all()


def test_parts_minerals_and_members_add_up(three: tuple[Game, Outcomes]) -> None:
    table = shapley_table(three[1])
    keys = ["shock", "measure"]
    whole = table[(table["player"] == "all") & (table["mineral"] == "all")]
    for part in ("all members", "non-allied", "rest of the world"):
        rows = table[(table["player"] != "all") & (table["part"] == part)]
        by_player = rows[rows["mineral"] == "all"].groupby(keys)["mean"].sum()
        by_mineral = rows[rows["mineral"] != "all"].groupby(keys)["mean"].sum()
        direct = whole[whole["part"] == part].set_index(keys)["mean"].sort_index()
        np.testing.assert_allclose(by_player, direct, atol=1e-9)
        np.testing.assert_allclose(by_mineral, direct, atol=1e-9)
    own = table[table["part"].isin(["itself", "other members"])]
    split = own.groupby([*keys, "player", "mineral"])["mean"].sum()
    together = table[(table["part"] == "all members") & (table["player"] != "all")]
    together = together.set_index([*keys, "player", "mineral"])["mean"].sort_index()
    np.testing.assert_allclose(split, together, atol=1e-9)
    assert gap(three[1]) <= 1e-9


def test_places_tell_complements_from_substitutes(three: tuple[Game, Outcomes]) -> None:
    table = places_table(three[1])
    at = {"shock": "calm", "measure": "price", "player": "P2"}
    found = {place: row(table, place=place, **at)["mean"] for place in ("first", "average", "last")}
    assert found["first"] == pytest.approx(found["last"])
    assert found["average"] == pytest.approx(found["first"])


def test_a_candidate_is_judged_against_the_present_circle(three: tuple[Game, Outcomes]) -> None:
    table = candidates_table(three[1])
    at = {"shock": "calm", "measure": "price", "candidate": "C"}
    before = 600.0 - 1.035 * 1.5 * (1 + 2 + 3 + 3 * 0.2)
    members = row(table, part="all members", **at)["mean"]
    assert members == pytest.approx(-100 * 1.035 * 1.5 * 3 * 0.1 / before, rel=1e-3)
    assert row(table, part="candidate", **at)["mean"] == pytest.approx(0.0)


@pytest.mark.parametrize(("noise", "resolved"), [(0.02, True), (4.0, False)])
def test_a_member_leads_only_where_its_lead_is_clear(
    noise: float, resolved: bool, world: World
) -> None:
    """By construction the third member brings most; with noise in bills that is not resolved."""
    game, draws = small_game(3), np.random.default_rng(4)
    table = outcomes_of(game, {seed: every_label(game) for seed in range(6)})
    moved = (table["coalition"] != "none") & table["party"].str.startswith("P")
    table[QUANTITIES[1]] += noise * draws.normal(size=len(table)) * moved
    said = answer(asked(), game, table, world).sentences[0]
    if resolved:
        assert "the largest part comes with P2 (−" in said
        assert said.endswith("clearly more than with any other member.")
    else:
        assert "which member brings most of it is not resolved: the estimate is largest" in said
        assert "largest part comes with" not in said
        assert re.search(r"its lead is not clear over \d of the 2 others \(over P\d", said)
    assert "smallest" not in said


def test_an_order_is_open_where_paired_differences_hold_zero() -> None:
    """The same values: paired they differ by seed alike, or apart from each other."""
    luck, names = np.array([3.0, -2.0, 1.0, 0.5, -1.5, 2.0]), {"a": "Ann", "b": "Bob", "c": "Cyd"}
    wobble = 0.01 * np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    parts = {"b": luck, "a": luck + 1.0 + wobble, "c": luck - 1.0 - wobble}
    assert by_size(parts) == ["a", "b", "c"]
    assert unresolved(parts, names) == ""
    apart = {"b": luck, "a": 2.0 - luck, "c": luck - 60.0}
    assert unresolved(apart, names).startswith(
        "its lead is not clear over 1 of the 2 others (over Bob 1.0 points, 95 % interval −"
    )
    assert unresolved({"a": luck}, names) == ""


def test_sampled_values_add_up_and_agree_with_all_coalitions() -> None:
    """Outcomes of an additive game: every ring gives the same."""
    game = small_game(5)
    table = outcomes_of(game, {seed: every_label(game) for seed in (0, 1)})
    joining = Config().joining
    exact = shapley_table(Outcomes.of(table, game, joining))
    joining.exact_up_to = 4
    sampled = Outcomes.of(table, game, joining)
    assert sampled.rings == joining.rings
    assert gap(sampled) <= 1e-9
    members = exact["part"].isin(["itself", "other members", "all members"])
    np.testing.assert_allclose(
        shapley_table(sampled)["mean"][members], exact["mean"][members], atol=1e-9
    )
    assert relative_error(sampled) == pytest.approx(0.0, abs=1e-9)


def test_sampling_runs_what_is_missing_and_stops(world: World) -> None:
    config = asked(seeds=2, joining__exact_up_to=3, joining__candidates=[], joining__rings=3)
    study = accession_study(config, world)
    game = game_of(config, world)

    def labels_of(cells: Sequence[Cell], seed: int) -> list[str]:
        return list(dict.fromkeys(c.labels["coalition"] for c in cells if c.seed == seed))

    labels = {seed: labels_of(study.cells, seed) for seed in (0, 1)}
    assert labels[0] != labels[1]
    assert max(map(len, labels.values())) <= 2 * (6 * 5 + 2)
    assert next_rings(config, game, blank_outcomes(game, labels)) == []  # nothing differs
    config.joining.precision = 0.0
    noisy = blank_outcomes(game, labels, noise=1.0)
    more = next_rings(config, game, noisy)
    for seed in (0, 1):
        new = labels_of(more, seed)
        assert not set(new) & set(labels[seed])
        labels[seed] += new
    assert next_rings(config, game, blank_outcomes(game, labels, noise=1.0)) == []


def blank_outcomes(game: Game, labels: dict[int, list[str]], noise: float = 0.0) -> pd.DataFrame:
    """Bills of 100, one mineral, lowered by chance where there is noise."""
    draws = np.random.default_rng(0)
    keys = [
        (label, shock, seed, party, "gallium")
        for seed, known in labels.items()
        for label in known
        for shock in ("calm", "crisis")
        for party in game.parties
    ]
    table = pd.DataFrame(keys, columns=["coalition", "shock", "seed", "party", "mineral"])
    for name in QUANTITIES:
        table[name] = 100.0 + noise * draws.normal(size=len(table))
    return table


# The study in small -----------------------------------------------------------------------------


@pytest.mark.usefixtures("sketched")
def test_the_study_runs_in_a_small_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], real_tables: Tables
) -> None:
    """Three members and a candidate in the market of gallium, from settings to the report."""
    config = configuration(
        NEW,
        "world.minerals=[gallium]",
        "horizon.years=1",
        "seeds=2",
        "workers=1",
        "shock.minerals=[gallium]",
        "shock.announced=2025-06",
        "shock.start=2025-06",
        "shock.end=",
        "membership.circles.washington.since=2025-02",
        "membership.circles.washington.drop=[EU27,GBR,AUS,NZL]",
        "joining.candidates=[KOR]",
    )
    report = run_study(config, tmp_path / "results", accession_study)
    page = report.read_text(encoding="utf-8")
    said = capsys.readouterr().out
    assert "The one candidate is Korea: its joining" in said
    assert "nan" not in said
    drawn = sorted(path.stem for path in (report.parent / "figures").glob("*.png"))
    assert drawn == [f"accession_{name}" for name in ("candidates", "minerals", "pairs", "shapley")]
    assert page.count("data:image/png;base64,") == len(drawn)
    outcomes = pd.read_parquet(report.parent / "outcomes.parquet")
    assert len(outcomes.drop_duplicates(["coalition", "shock", "seed"])) == (4 + 1) * 2 * 2
    world = build_world(real_tables, config.world)
    found = Outcomes.of(outcomes, game_of(config, world), config.joining)
    assert gap(found) <= 1e-9
    again = answer(config, game_of(config, world), outcomes, world)
    assert again.sentences[0] in said


def test_figures_are_drawn_again_from_their_tables(
    three: tuple[Game, Outcomes], world: World, tmp_path: Path
) -> None:
    game, _ = three
    table = outcomes_of(game, {seed: every_label(game) for seed in (3, 4)}, luck=0.01)
    found = answer(asked(), game, table, world)
    names = ("shapley", "candidates", "minerals", "pairs")
    assert [drawn.name for drawn in found.figures] == [f"accession_{name}" for name in names]
    for drawn in found.figures:
        path = tmp_path / f"{drawn.name}.csv"
        drawn.table.to_csv(path, index=False)
        again, _ = figure_from(path, {})
        assert len(again.axes) == len(drawn.figure.axes)


def test_marks_of_the_bars_lie_inside_their_panels() -> None:
    """Of the published figure: bars end at zero, where half of a mark was cut off."""
    figure = shapley_bars(pd.read_csv(PROJECT / "docs" / "gallery" / "accession_shapley.csv"))
    for axes in figure.axes:
        low, high = axes.get_xlim()
        for line in axes.lines:
            if line.get_marker() in ("o", "D"):
                assert low < line.get_xdata().min()
                assert line.get_xdata().max() < high

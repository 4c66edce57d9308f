"""Another sector by tables and settings alone: nuclear fuel (`examples/uranium`)."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_run import configuration

from abm.model import MineralModel
from abm.opening import opening_balance
from abm.scenario import scenarios
from abm.shocks import draw_events
from abm.tables import TableError, Tables, read_tables
from abm.world import World, build_world

ROOT = Path(__file__).resolve().parents[1]
URANIUM = ROOT / "examples" / "uranium"
MONTHS = 30  # the ban starts in month 24


@pytest.fixture(scope="module")
def tables() -> Tables:
    return read_tables([URANIUM])


@pytest.fixture(scope="module")
def world(tables: Tables) -> World:
    return build_world(tables, configuration("experiment=blueprint").world, seed=1)


def published(stage: str) -> dict[str, float]:
    with (URANIUM / "output.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == stage]
    return {row["country"]: float(row["quantity_t"]) for row in rows}


def test_the_opening_holds_what_was_published(world: World) -> None:
    assert world.minerals == ("uranium",)
    for stage, tolerance in (("mined", 1e-6), ("refined", 1e-3)):  # what mines feed, 56,559 t
        made = 12 * world.flow[world.market("uranium", stage)].sum(axis=1)
        for country, tonnes in published(stage).items():
            assert made[world.country(country)] == pytest.approx(tonnes, rel=tolerance)
    bought = 12 * world.flow[world.market("uranium", "refined")]
    fuel = bought[:, world.country("EU27")]
    # Europe exports fuel and buys a quarter of its own from Russia: a home share is published.
    assert fuel[world.country("EU27")] / fuel.sum() == pytest.approx(0.68, abs=0.06)
    assert fuel[world.country("RUS")] / fuel.sum() == pytest.approx(0.24, abs=0.06)


def test_figures_from_memory_are_marked_as_estimates() -> None:
    for path in URANIUM.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                guessed = any(word in row["source"] for word in ("memory", "assumed"))
                assert not (guessed and row["status"] == "observed"), f"{path.name}: {row}"


def test_the_ban_raises_what_members_pay_and_every_month_balances(world: World) -> None:
    config = configuration("experiment=blueprint", "horizon.years=3")
    events = draw_events(world, config.randomness, 36, 1, config.instability, config.shipping)
    cases = {(case.membership, case.shock): case for case in scenarios(config, world)}
    assert set(cases) == {(m, s) for m in ("none", "sapporo_five") for s in ("none", "fuel_ban")}
    price = {}
    for shock in ("none", "fuel_ban"):
        model = MineralModel(world, cases[("sapporo_five", shock)], events, config)
        for _ in range(MONTHS):
            model.step()
        record = model.record
        assert record.tonnes_gap[:MONTHS].max() < 1e-9
        assert record.money_gap[:MONTHS].max() < 1e-9
        row = world.market("uranium", "refined")
        price[shock] = record.measures["landed_price_usd_per_kg"][:MONTHS, row]
    dearer = price["fuel_ban"][-1] / price["none"][-1]
    assert dearer[world.country("USA")] > 1.02
    assert dearer[world.country("USA")] > dearer[world.country("CHN")]
    np.testing.assert_allclose(price["fuel_ban"][:24], price["none"][:24], rtol=1e-9)


def test_a_home_share_that_is_no_share_is_refused(tmp_path: Path) -> None:
    head = "mineral,stage,importer,partner,share,basis,source,status\n"
    row = "gallium,refined,USA,USA,1.2,quantity,invented,estimated\n"
    (tmp_path / "import_shares.csv").write_text(head + row, encoding="utf-8")
    with pytest.raises(TableError, match=r"row 2: share is 1\.2"):
        read_tables([tmp_path])


def test_a_home_share_is_no_import_share(tables: Tables) -> None:
    rows = tables.import_shares
    abroad = rows[rows["importer"] != rows["partner"]]
    found = []
    for given in (tables, replace(tables, import_shares=abroad)):
        opening = opening_balance(given, ("uranium",))
        flow = opening.flow[opening.market("uranium", "refined")]
        europe = opening.countries.index("EU27")
        found.append(flow[europe, europe] / flow[:, europe].sum())
    assert found[0] < 0.75 < 0.9 < found[1], "a net exporter without one serves itself"

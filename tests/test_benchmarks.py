"""The benchmarks: their rivals pose the same market, their certificate can say no."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from abm.config import Behaviour
from abm.market import Clearing, MarketNotCleared, Problem, clear, fallback
from abm.world import World
from benchmarks import __main__ as bench
from benchmarks import cold, core, document, plain, stress
from benchmarks import model as whole
from benchmarks.certificate import gaps_of, resolution_of, stranded
from benchmarks.conic import DEFAULT, TIGHT, Program, price_gap
from benchmarks.limits import Limit, limit_arcs, limit_fields
from benchmarks.markets import convex, markets, single, with_controls
from benchmarks.mesa_firms import race
from benchmarks.rows import Row, at_least, at_most, cells_of
from benchmarks.wild import wild_market
from tests.reference import Reference

TINY = bench.Scale(
    instances=2, groups=1, size=2, repeats=1, batches=(1, 2, 100, 101), threaded=2,
    origins=(3, 5), firms=(24, 36), counted=(1, 2), again=1,
)  # fmt: skip


def small(seed: int = 0, count: int = 1) -> Problem:
    return markets(np.random.default_rng(seed), count, origins=4, destinations=6, firms=12)


def controlled(seed: int = 0) -> Problem:
    problem = small(seed)
    return with_controls(problem, clear(problem))


# --- Harness --------------------------------------------------------------------------------------


def test_harness_writes_a_row_for_each_measure_and_the_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", TINY)
    words = ["--quick", "--only", "firms,cold,warm,batch,threads,origins"]
    assert bench.main([*words, "--folder", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    assert all(measure in said for measure in table["measure"])
    assert (table["low"] <= table["figure"]).all()
    assert (table["figure"] <= table["high"]).all()
    judged = table[table["target"] != ""]
    assert set(judged["verdict"]) <= {"met", "missed"}
    assert len(judged) >= 8
    agreement = table.set_index("measure").loc["largest gap of prices to SciPy, no limits"]
    assert agreement["figure"] < 1e-6
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "bench.pdf").read_bytes().startswith(b"%PDF")


def test_clock_runs_inside_the_compiled_part_alone() -> None:
    problem = small()
    with core.compiled_clock() as clock:
        whole = core.seconds_of(lambda: clear(problem), 1)
        inside = clock.seconds
    assert 0.0 < inside < whole
    clear(problem)
    assert clock.seconds == inside


def test_benchmarks_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.options(["--only", "warm,cold"]).only == ["cold", "warm"]
    for words, said in ((["--only", "speed"], "no benchmark with"), (["--quick"], "full run")):
        with pytest.raises(SystemExit):
            bench.options([*words, "--document"])
        assert said in capsys.readouterr().err


def test_a_figure_is_judged_by_its_target() -> None:
    assert Row("m", 31.0, 20.0, 40.0, "×", at_least(30.0)).verdict == "met"
    assert Row("m", 29.0, 20.0, 40.0, "×", at_least(30.0)).verdict == "missed"
    assert Row("m", 16.0, 16.0, 16.0, "", at_most(15.0)).verdict == "missed"
    assert Row("m", 16.0, 16.0, 16.0, "").verdict == ""
    assert Row("m", np.nan, np.nan, np.nan, "", at_most(0.0)).verdict == "not measured"
    cells = cells_of(Row("m", 0.25, 0.1, 1234.5, "s", at_most(1.0)))
    assert cells == ["m", "0.25 s", "0.10 to 1,234", "≤ 1", "met"]


def test_figures_stand_between_their_markers_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(document.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for marker in ("benchmarks table", "stress table"):
        document.write_section(marker, f"about the {marker}", page)
    text = page.read_text(encoding="utf-8")
    assert text.count("\nabout the benchmarks table\n") == 1
    assert text.count("\nabout the stress table\n") == 1
    assert "## Stress" in text


# --- Rivals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_residual_given_to_scipy_is_that_of_the_reference(seed: int) -> None:
    problem = small(seed)
    residual, reference = cold.Residual(problem), Reference(problem)
    for price in np.random.default_rng(seed).uniform(-5.0, 60.0, (10, 4)):
        excess = reference.excess(price, np.empty(0))
        np.testing.assert_allclose(residual(price) * residual.volume, excess, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_plain_evaluation_is_that_of_the_reference(seed: int) -> None:
    problem = small(seed)
    price = np.random.default_rng(seed).uniform(-5.0, 60.0, (1, 4))
    excess = plain.excess_of(problem, price, np.zeros(problem.shape))
    offered_less_sold = Reference(problem).excess(price[0], np.empty(0))
    np.testing.assert_allclose(-excess[0], offered_less_sold, atol=1e-9)


def test_plain_evaluation_knows_the_clearing_under_limits() -> None:
    problem = controlled()
    found = clear(problem)
    free, rent = plain.with_rents(problem, found)
    assert not free.limit.size
    assert rent.any()
    excess = plain.excess_of(free, found.origin_price, rent)
    assert np.abs(excess).max() < 1e-8 * problem.capacity.sum()
    plain.plain_seconds(problem, found, 1)
    elsewhere = replace(found, origin_price=1.1 * found.origin_price)
    with pytest.raises(RuntimeError, match="Excess demand at the clearing prices is"):
        plain.plain_seconds(problem, elsewhere, 1)


def test_scipy_starts_where_seven_tenths_are_offered() -> None:
    problem = small()
    price = cold.Residual(problem).start()
    reference = Reference(problem)
    for i in range(4):
        whole = problem.capacity[reference.firms(i)].sum()
        assert reference.supply(i, price[i]) == pytest.approx(0.7 * whole)


def test_convex_program_has_the_clearing_of_the_market_with_limits() -> None:
    clarabel = pytest.importorskip("clarabel")
    free = convex(small(3))
    problem = with_controls(free, clear(free))
    found = clear(problem)
    assert (found.rent[:3] > 0.0).any()
    seconds, price, rent = Program(problem).solve(clarabel, TIGHT)
    banned = problem.limit == 0.0
    assert price_gap(found, price, rent, banned) < 1e-6
    assert price_gap(found, 1.01 * price, rent, banned) > 1e-3
    assert 0.0 < seconds < 60.0
    assert DEFAULT > TIGHT


def test_market_taken_out_of_a_batch_clears_as_it_did_there() -> None:
    together = small(1, count=3)
    found = clear(together)
    for b in range(3):
        np.testing.assert_allclose(clear(single(together, b)).flow[0], found.flow[b], rtol=1e-12)


def test_controls_of_a_batch_are_those_of_each_market_alone() -> None:
    together = small(2, count=3)
    joined = clear(with_controls(together, clear(together)))
    per_market = joined.rent.size // 3
    for b in range(3):
        alone = single(together, b)
        found = clear(with_controls(alone, clear(alone)))
        mine = joined.rent[b * per_market : (b + 1) * per_market]
        np.testing.assert_allclose(found.rent, mine, rtol=1e-6, atol=1e-9)
        assert found.rent.max() > 0.0


# --- Certificate ----------------------------------------------------------------------------------


def by_hand(**changed: np.ndarray) -> tuple[Problem, Clearing]:
    """Ten tonnes on a step at 5, a bid of 8 up to 4 and none from 8: six are sold at 5."""
    problem = replace(
        markets(np.random.default_rng(0), 1, 1, 1, 1),
        capacity=np.array([10.0]),
        low_ask=np.array([5.0]),
        high_ask=np.array([5.0]),
        need=np.zeros((1, 1, 2)),
        bid_quantity=np.array([[[8.0]]]),
        bid_low=np.array([[[4.0]]]),
        bid_high=np.array([[[8.0]]]),
        log_weight=np.zeros((1, 1, 1)),
        price_factor=np.ones((1, 1, 1)),
        price_addition=np.zeros((1, 1, 1)),
        **limit_fields([Limit(6.0, np.array([[0, 0, 0]])), Limit(50.0, np.array([[0, 0, 0]]))]),
    )
    one, arc = np.array([[6.0]]), np.array([[[6.0]]])
    answer: dict[str, np.ndarray] = {
        "origin_price": np.array([[5.0]]),
        "rent": np.zeros(2),
        "flow": arc,
        "delivered_price": np.array([[[5.0]]]),
        "landed_price": np.array([[5.0]]),
        "average_price": np.array([[5.0]]),
        "demand": one,
        "sales": np.array([6.0]),
        "iterations": np.zeros(1, np.int64),
        "residual": np.zeros(1),
        "fell_back": np.zeros(1, np.bool_),
    }
    blank = {f.name: np.zeros((1, 1)) for f in fields(Clearing) if f.name not in answer}
    return problem, Clearing(**{**blank, **answer, **changed})


def test_certificate_accepts_what_was_solved_by_hand() -> None:
    assert gaps_of(*by_hand()).worst <= 1e-15


@pytest.mark.parametrize(
    ("name", "value", "condition", "size"),
    [
        ("sales", [6.6], "balance", 0.1),
        ("sales", [-0.6], "supply", 0.1),
        ("origin_price", [[5.5]], "supply", 0.4 / 0.6),
        ("origin_price", [[5.5]], "flows", 1.0 / 6.0),
        ("flow", [[[6.3]]], "flows", 0.05),
        ("demand", [[5.4]], "demand", 0.1),
        ("rent", [0.5, 0.0], "limits", 1.0 / 6.0),
        ("rent", [0.0, 1e-9], "limits", 44.0 / 6.0),
        ("rent", [-1e-9, 0.0], "limits", np.inf),
        ("demand", [[np.nan]], "demand", np.inf),
    ],
)
def test_certificate_names_the_condition_that_fails(
    name: str, value: list[float], condition: str, size: float
) -> None:
    gaps = gaps_of(*by_hand(**{name: np.array(value)}))
    assert getattr(gaps, condition) == pytest.approx(size, rel=0.12)


def test_certificate_sees_flow_above_a_limit() -> None:
    problem, found = by_hand()
    tight = replace(problem, limit=np.array([4.5, 50.0]))
    assert gaps_of(tight, found).limits == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(4))
def test_certificate_agrees_with_the_solver_under_controls(seed: int) -> None:
    problem = controlled(seed)
    found = clear(problem)
    assert gaps_of(problem, found).worst < 2e-9
    dearer = replace(found, rent=found.rent * 1.001)
    assert gaps_of(problem, dearer).worst > 1e-6


def test_a_limit_over_two_markets_bears_one_rent() -> None:
    """A common tax on both markets' first arcs is the rent of a limit at the flow it leaves."""
    free, rent = small(5, count=2), 0.75
    addition = free.price_addition.copy()
    addition[:, 0, :] += rent
    taxed = clear(replace(free, price_addition=addition))
    arcs = np.array([[b, 0, j] for b in range(2) for j in range(6)])
    family = replace(free, **limit_fields([Limit(taxed.flow[:, 0].sum(), arcs)]))
    np.testing.assert_array_equal(limit_arcs(family)[1], arcs)
    assert gaps_of(family, replace(taxed, rent=np.array([rent]))).worst < 2e-9
    assert gaps_of(family, replace(taxed, rent=np.array([1.1 * rent]))).worst > 1e-4


def test_rounding_of_prices_matters_where_much_demand_is_cut_off_at_a_step() -> None:
    problem, found = by_hand()
    assert resolution_of(problem, found) < 1e-14
    need = np.array([[[1e6, 0.0]]])
    price = np.full((1, 1, 2), 5.0)
    steep = replace(
        problem, need=need, reference_price=price, backstop_price=price - 2e-5, choke_price=price
    )
    at_the_ramp = replace(found, origin_price=np.array([[5.0 - 1e-5]]))
    grain = 1e6 * 4 * np.finfo(float).eps * 5.0 / 5e-3 / 6.0
    assert resolution_of(steep, at_the_ramp) == pytest.approx(grain, rel=0.3)


# --- Stress ---------------------------------------------------------------------------------------


def test_wild_markets_are_well_formed_and_come_from_their_seed_alone() -> None:
    first, again = wild_market(7), wild_market(7)
    np.testing.assert_array_equal(first.price_factor, again.price_factor)
    drawn = [wild_market(seed) for seed in range(300)]
    for problem in drawn:
        problem.check()
    seen = {
        "one origin": any(p.shape[1] == 1 < p.shape[2] for p in drawn),
        "one destination": any(p.shape[2] == 1 < p.shape[1] for p in drawn),
        "a ban": any((p.limit == 0.0).any() for p in drawn),
        "a limit above capacity": any((p.limit > p.capacity.sum()).any() for p in drawn),
        "a step of supply": any((p.low_ask == p.high_ask).any() for p in drawn),
        "a step of demand": any((p.backstop_price == p.choke_price).any() for p in drawn),
        "no need": any((p.need == 0.0).all(axis=2).any() for p in drawn),
        "all arcs closed": any(np.isinf(p.log_weight).all(axis=1).any() for p in drawn),
        "a wedge of 400 %": any(p.price_factor.max() > 5.0 for p in drawn),
        "a floor": any((p.floor_price > 0.0).any() for p in drawn),
        "no choke": any(np.isinf(p.choke_price).any() for p in drawn),
        "no clearing": any(stranded(p) for p in drawn),
        "a crowd": any(np.diff(p.firm_offset).max(initial=0) > 15 for p in drawn),
    }
    assert [what for what, found in seen.items() if not found] == []
    money = [p.low_ask.max() for p in drawn if p.low_ask.size]
    assert min(money) < 1e-4
    assert max(money) > 1e7


@pytest.mark.parametrize("seed", [342, 1540, 1776, 2273, 2566])
def test_what_is_certified_loosely_is_the_market_itself(seed: int) -> None:
    """Never an eased relative of it, which the fallback solves on the way."""
    problem = wild_market(seed)
    for tolerance in (1e-3, 1e-5, 1e-7):
        found = clear(problem, tolerance=tolerance)
        assert gaps_of(problem, found).worst <= tolerance + resolution_of(problem, found)


def test_few_wild_markets_hold() -> None:
    tally = stress.stress(range(40), one_in=1)
    assert tally.failures == {}
    assert tally.certified - 4 <= tally.again <= tally.certified
    assert tally.certified + tally.refused + tally.rounded == 40
    assert tally.checked == tally.certified
    assert 0.0 < tally.worst_gap < 1e-8


def test_what_cannot_clear_must_be_refused() -> None:
    seed = next(seed for seed in range(1000) if stranded(wild_market(seed)))
    tally = stress.stress([seed])
    assert (tally.refused, tally.failures) == (1, {})


def test_false_answers_are_failures_with_their_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lies(problem: Problem, **_: float) -> Clearing:
        found = clear(problem)
        return replace(found, origin_price=found.origin_price * 1.3)

    def gives_up(problem: Problem, **_: float) -> Clearing:
        raise MarketNotCleared("did not clear", [0])

    monkeypatch.setattr(stress, "clear", lies)
    assert list(stress.stress([3], one_in=1).failures) == [3]
    monkeypatch.setattr(stress, "clear", gives_up)
    assert stress.main(["--markets", "1", "--seed", "3"]) == 1
    said = capsys.readouterr().out
    assert "seed 3: did not clear" in said
    assert "--replay 3" in said


def test_one_market_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert stress.main(["--replay", "3"]) == 0
    said = capsys.readouterr().out
    assert "residual, recomputed" in said
    assert "dispersion" in said


def test_prices_that_run_away_are_no_clearing() -> None:
    """Limits on the same arcs and hardly any dispersion once sent prices of seed 57079 to 1e296."""
    for seed in (16337, 57079, 65086):
        problem = wild_market(seed)
        found = clear(problem)
        assert gaps_of(problem, found).worst < 2e-9
        assert np.nanmax(found.origin_price) < 2.0 * problem.high_ask.max()


@pytest.mark.parametrize("seed", [45637, 1021446, 1088282, 1029130])
def test_markets_on_which_hardly_any_way_leads_home_are_cleared(seed: int) -> None:
    """In turn: only without a leash, so too, by bold steps, only with wedges brought in last."""
    tally = stress.stress([seed], one_in=1)
    assert tally.failures == {}
    assert (tally.certified, tally.again) == (1, 1)


def test_what_does_not_clear_is_given_up_after_some_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = wild_market(1029130)
    assert clear(problem).iterations[0] > 1000
    monkeypatch.setattr(fallback, "ENOUGH", 0.0)
    with pytest.raises(MarketNotCleared, match=r"residual .* after \d{2,3} steps"):
        clear(problem)


# --- The whole model ------------------------------------------------------------------------------


def test_agents_and_arrays_are_the_same_firms(tiny_world: World) -> None:
    found = race(tiny_world, Behaviour(), months=30, seed=3)
    assert found.firms == tiny_world.firms.capacity.size
    assert found.gap < 1e-9
    assert (found.ratio > 0.0).all()


def test_firms_cut_into_parts_make_the_same_whole(tiny_world: World) -> None:
    firms = tiny_world.firms
    count = 3 * firms.capacity.size + 1
    parts = whole.with_firms(tiny_world, count).firms
    assert parts.capacity.size == count
    for name in ("capacity", "output"):
        sums = [np.bincount(rows.market, getattr(rows, name)) for rows in (firms, parts)]
        np.testing.assert_allclose(*sums, rtol=1e-12)
    assert parts.output[0] == firms.output[0] / 4
    spare = firms.capacity > 1.05 * firms.output
    first = np.flatnonzero(spare)[0]
    own = parts.capacity[3 * first + 1 : 3 * first + 4] if first else parts.capacity[:4]
    assert np.unique(own).size == own.size, "parts with plant to spare ask apart"
    assert (parts.capacity >= parts.output * (1.0 - 1e-12)).all()


def test_the_model_is_measured_and_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = whole.Scale(months=1, years=1, repeats=1, firms=(1_000, 2_000), race=1_000)
    monkeypatch.setattr(whole, "QUICK", tiny)
    words = ["--quick", "--only", "million", "--folder", str(tmp_path)]
    assert whole.main(words) == 0
    table = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    said = capsys.readouterr().out
    assert all(measure in said for measure in table["measure"])
    assert (table["figure"] > 0).sum() >= 2
    with pytest.raises(SystemExit):
        whole.options([*words, "--document"])

"""Measure the model and write the table: `python -m benchmarks.model --help`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import process_time

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from abm.config import Config
from abm.model import MineralModel
from abm.scenario import scenarios
from abm.shocks import draw_events
from abm.world import MONTHS, FirmColumns, World, build_world
from benchmarks import command
from benchmarks.mesa_firms import race
from benchmarks.rows import Measured, at_least, at_most, table_of
from experiments.ensemble import config_opening, read_config_tables
from experiments.run import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 4  # months that are not timed: compiled code loads, and the first prices are found
OFF = (
    "membership=forge", "instruments=none", "shock=none", "instability=off", "planning=off",
    "recycling=off", "substitution=off",
)  # fmt: skip
ON = (
    "instruments=announced", "shock=export_ban", "producers=strategic", "tension=spiral",
    "accession=by_choice", "demand=ai_boom", "shipping=by_chance", "planning=full",
    "projects=candidates", "recycling=scrap_returns", "substitution=ratchet",
    "instability=by_region",
)  # fmt: skip
REVIEWS = ("producers=strategic",)
GOLDEN = 0.5 * (5.0**0.5 - 1.0)  # its multiples spread evenly, in no order
UNLIKE = 0.2  # by which the plant of the parts of a firm differs at most


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    months: int  # timed in a row, with everything off and with everything on
    years: int  # of the run with reviews
    repeats: int  # of which the quickest counts
    firms: tuple[int, ...]  # that share the capacity of the world
    race: int  # firms that race as agents and as arrays


FULL = Scale(months=56, years=15, repeats=3, firms=(1_000, 10_000, 100_000, 1_000_000), race=1_500)
QUICK = Scale(months=12, years=2, repeats=1, firms=(1_000, 10_000), race=1_000)


def settings(*overrides: str) -> Config:
    """The configuration of a run, as the command line composes it."""
    with initialize_config_dir(str(SETTINGS), version_base="1.3"):
        composed = OmegaConf.to_object(compose("config", overrides=list(overrides)))
    assert isinstance(composed, Config)
    return composed


def world_of(config: Config) -> World:
    """The opening world of a configuration."""
    return build_world(read_config_tables(config), config.world, 0, config_opening(config))


def model_of(config: Config, world: World, seed: int) -> MineralModel:
    """A run of the last case of a configuration: with members, and under the shock if any."""
    events = draw_events(world, config.randomness, config.horizon.years * MONTHS, seed)
    return MineralModel(world, scenarios(config, world)[-1], events, config)


def with_firms(world: World, count: int) -> World:
    """The world with each firm cut into parts, as many as make so many firms in all.

    The parts make the same each, from plant that differs as far as the firm has plant to spare:
    were they alike, all would ask the same.
    """
    firms = world.firms
    parts = np.full(firms.capacity.size, count // firms.capacity.size)
    parts[: count % firms.capacity.size] += 1
    parts = np.maximum(parts, 1)
    columns = {item.name: np.repeat(getattr(firms, item.name), parts) for item in fields(firms)}
    for name in ("capacity", "output"):
        columns[name] = columns[name] / np.repeat(parts, parts)
    owner = np.repeat(np.arange(parts.size), parts)
    larger = GOLDEN * np.arange(owner.size) % 1.0
    larger -= (np.bincount(owner, larger) / parts)[owner]
    spare = np.maximum(1.0 - firms.output / np.maximum(firms.capacity, 1e-300), 0.0)
    columns["capacity"] *= 1.0 + np.minimum(UNLIKE, spare)[owner] * larger
    return replace(world, firms=FirmColumns(**columns))


def month_times(model: MineralModel, months: int) -> np.ndarray:
    """[month] seconds of processor time, after some months that are not counted."""
    times = []
    for _ in range(WARM_UP + months):
        start = process_time()
        model.step()
        times.append(process_time() - start)
    return np.array(times[WARM_UP:])


def month(scale: Scale, seed: int) -> Measured:
    """A month of ten minerals with every mechanism off, also with more firms, and with all on."""
    measured = Measured()
    plan = (
        ("every mechanism off", OFF, 0),
        ("every mechanism off", OFF, scale.race),
        ("every mechanism on", ON, 0),
    )
    for name, overrides, firms in plan:
        config = settings(*overrides, f"horizon.years={1 + (WARM_UP + scale.months) // MONTHS}")
        world = world_of(config)
        if firms:
            world = with_firms(world, firms)
        times = [month_times(model_of(config, world, seed), scale.months)
                 for _ in range(scale.repeats)]  # fmt: skip
        least = 1e3 * np.min(times, axis=0)
        size = f"{len(world.minerals)} minerals, {world.firms.capacity.size:,} firms"
        target = at_most(5.0) if overrides is OFF else None
        measured.add(f"a month of {size}, {name}", least, "ms", target)
    return measured


def years(scale: Scale, seed: int) -> Measured:
    """A whole run with a review of export policies every quarter, and one with all else on, too."""
    measured = Measured()
    target = at_most(1.5) if scale.years == FULL.years else None
    for name, overrides in (("", REVIEWS), (", every mechanism on", ON)):
        config = settings(*overrides, f"horizon.years={scale.years}")
        world = world_of(config)
        times = []
        for _ in range(scale.repeats):
            model = model_of(config, world, seed)
            start = process_time()
            model.run()
            times.append(process_time() - start)
        held = f"{scale.years} years with {len(model.review.minutes)} reviews{name}"
        measured.add(held, min(times), "s", target)
        rate = len(world.minerals) * model.months / min(times)
        measured.add(f"mineral-months a second{name}", rate, "", at_least(1_200.0))
    return measured


def million(scale: Scale, seed: int) -> Measured:
    """More and more firms, each a part of one of the world's."""
    config = settings(*OFF, "horizon.years=1")
    world, measured, each = world_of(config), Measured(), []
    for count in scale.firms:
        model = model_of(config, with_firms(world, count), seed)
        times = month_times(model, MONTHS - WARM_UP)
        each.append(times.min())
        target = at_most(0.3) if count == 1_000_000 else None
        measured.add(f"a month of {len(model.firms):,} firms", 1e3 * times, "ms", None)
        if target:
            measured.add("the same, least of its months", times.min(), "s", target)
    more = np.array(scale.firms[1:]) - scale.firms[0]
    added = 1e9 * (np.array(each[1:]) - each[0]) / more
    measured.add("time per firm added to the smallest", added, "ns")
    return measured


def mesa(scale: Scale, seed: int) -> Measured:
    """The firms' monthly rules as ordinary Mesa agents, and as the arrays of the model."""
    config = settings(*OFF)
    world = with_firms(world_of(config), scale.race)
    found = race(world, config.behaviour, 6 * MONTHS, seed)
    measured = Measured()
    measured.add(f"{found.firms:,} firms as Mesa agents", 1e3 * found.agents, "ms a month")
    measured.add("the same as arrays", 1e6 * found.arrays, "µs a month")
    target = at_least(100.0) if scale.race == FULL.race else None
    measured.add("agents ÷ arrays", found.ratio, "×", target)
    measured.add("largest gap of any firm's state", found.gap, "relative", at_most(1e-9))
    return measured


BENCHMARKS: dict[str, Callable[[Scale, int], Measured]] = {
    "month": month,
    "years": years,
    "million": million,
    "mesa": mesa,
}


def options(words: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    folder = ROOT / "results" / "bench_model"
    return command.options(
        words, "python -m benchmarks.model", __doc__, BENCHMARKS, folder, "outside events"
    )


def main(words: Sequence[str] | None = None) -> int:
    chosen = options(words)
    scale = QUICK if chosen.quick else FULL
    measured = command.measure(BENCHMARKS, chosen.only, scale, chosen.seed)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    table_of(measured.rows).to_csv(chosen.folder / "table.csv", index=False)
    print("\n".join(["", *measured.notes, f"Written: {chosen.folder / 'table.csv'}"]))
    if chosen.document:
        command.write_page("model table", measured)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

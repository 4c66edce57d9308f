"""Settings that cannot be used are refused in one sentence that names setting, value and cure."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from conftest import quiet_config

from abm.config import (
    Behaviour,
    Circle,
    Config,
    ConfigError,
    Control,
    Instrument,
    check,
    month_index,
    month_name,
)
from abm.scenario import members_of, scenarios
from abm.tables import Tables
from abm.world import World, build_world


def assert_one_sentence(message: str, *mentioned: str) -> None:
    """One line, one sentence, and it says what the user needs to find the setting."""
    assert "\n" not in message
    assert ". " not in message
    assert len(message.split()) > 6
    for text in mentioned:
        assert text in message


def ban(**terms: Any) -> Control:
    return Control(**{"instrument": Instrument.ban, "minerals": ["gallium"], **terms})


def set_value(path: str, value: object) -> Callable[[Config], None]:
    """A change of one setting by its dotted name."""

    def change(config: Config) -> None:
        *parents, name = path.split(".")
        node: object = config
        for parent in parents:
            node = getattr(node, parent)
        setattr(node, name, value)

    return change


def test_the_defaults_are_valid() -> None:
    check(Config())


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("horizon.years", 0, "0"),
        ("horizon.years", -3, "-3"),
        ("horizon.start", "2025-13", "2025-13"),
        ("horizon.start", "January", "January"),
        ("horizon.start", "2025-1", "2025-1"),
        ("seeds", 0, "0"),
        ("first_seed", 3_000_000_000, "3000000000"),
        ("workers", -1, "-1"),
        ("world.scrap_utilisation", 1.5, "1.5"),
        ("instruments.stockpiles.target_months", -1.0, "-1"),
        ("instruments.preferential_tariffs.cut", 1.2, "1.2"),
        ("instruments.emergency_release.trigger", 0.5, "0.5"),
        ("behaviour.hoarding", -0.1, "-0.1"),
        ("behaviour.price_memory", float("nan"), "nan"),
        ("randomness.demand_noise", 0.9, "0.9"),
        ("shock.rate", -0.2, "-0.2"),
        ("shock.enforcement", 1.01, "1.01"),
        ("shock.start", "2027/01", "2027/01"),
        ("shock.announced", "soon", "soon"),
        ("shock.end", "2030", "2030"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(
    path: str, value: object, shown: str
) -> None:
    config = Config()
    set_value(path, value)(config)
    with pytest.raises(ConfigError) as refusal:
        check(config)
    assert_one_sentence(str(refusal.value), path, shown, "give")


@pytest.mark.parametrize(
    ("control", "mentioned"),
    [
        (ban(start="2028-01", announced="2027-01", end="2027-06"), ("end", "2027-06", "2028-01")),
        (ban(start="2028-01", announced="2027-01", end="2028-01"), ("end", "2028-01")),
        (ban(start="2027-01", announced="2027-02"), ("announced", "2027-02", "2027-01")),
        (ban(by="CHN", targets=["USA", "CHN"]), ("targets", "CHN")),
        (ban(minerals=[]), ("minerals", "[all]")),
        (ban(targets=[]), ("targets", "members", "world")),
        (ban(stages=[]), ("stages", "[mined]")),
    ],
)
def test_a_control_that_contradicts_itself_is_refused(
    control: Control, mentioned: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refusal:
        check(Config(shock=control))
    assert_one_sentence(str(refusal.value), "shock.", *mentioned)
    with pytest.raises(ConfigError) as refusal:
        check(Config(controls=[ban(), control]))
    assert_one_sentence(str(refusal.value), "controls[1].", *mentioned)


@pytest.mark.parametrize(
    ("name", "circle", "mentioned"),
    [
        ("six", Circle(), ("membership.circles.six", "add")),
        ("six", Circle(table="g7", since="2026"), ("membership.circles.six.since", "'2026'")),
        ("none", Circle(table="g7"), ("membership.circles.none",)),
    ],
)
def test_a_circle_without_meaning_is_refused(
    name: str, circle: Circle, mentioned: tuple[str, ...]
) -> None:
    config = Config()
    config.membership.circles = {name: circle}
    with pytest.raises(ConfigError) as refusal:
        check(config)
    assert_one_sentence(str(refusal.value), *mentioned)


@pytest.mark.parametrize(
    ("change", "mentioned"),
    [
        ({"shock": ban(minerals=["unobtainium"])}, ("shock.minerals", "unobtainium", "gallium")),
        ({"shock": ban(by="XXX")}, ("shock.by", "XXX", "CHN")),
        ({"shock": ban(targets=["atlantis"])}, ("shock.targets", "atlantis", "washington")),
        ({"shock": ban(start="2025-01", announced="")}, ("shock.start", "2025-01")),
        ({"shock": ban(start="2020-05", announced="")}, ("shock.start", "2020-05")),
        ({"controls": [ban(by="ZZZ")]}, ("controls[0].by", "ZZZ")),
    ],
)
def test_a_control_that_the_world_cannot_place_is_refused(
    tiny_world: World, change: dict[str, object], mentioned: tuple[str, ...]
) -> None:
    config = quiet_config()
    for name, value in change.items():
        setattr(config, name, value)
    check(config)
    with pytest.raises(ConfigError) as refusal:
        scenarios(config, tiny_world)
    assert_one_sentence(str(refusal.value), *mentioned)


@pytest.mark.parametrize(
    ("circle", "mentioned"),
    [
        (Circle(table="round"), ("table", "'round'", "washington")),
        (Circle(table="washington", add=["MARS"]), ("membership.circles.x", "'MARS'", "ROW")),
        (Circle(table="washington", drop=["MARS"]), ("membership.circles.x", "'MARS'")),
        (Circle(add=["USA"], drop=["USA"]), ("membership.circles.x.drop", "all its 1 members")),
    ],
)
def test_a_circle_that_cannot_be_filled_is_refused(
    tiny_world: World, circle: Circle, mentioned: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refusal:
        members_of(circle, "x", tiny_world)
    assert_one_sentence(str(refusal.value), *mentioned)


def test_an_unknown_mineral_of_the_world_is_refused(tiny_tables: Tables) -> None:
    config = quiet_config(minerals=["graphite", "mithril"])
    with pytest.raises(ConfigError) as refusal:
        build_world(tiny_tables, config.world)
    assert_one_sentence(str(refusal.value), "world.minerals", "'mithril'", "graphite, gallium")


def test_members_are_the_circle_of_the_table_changed_by_hand(tiny_world: World) -> None:
    assert members_of(Circle(table="washington"), "x", tiny_world) == ["USA", "AUS"]
    changed = Circle(table="washington", add=["ROW"], drop=["AUS"])
    assert members_of(changed, "x", tiny_world) == ["USA", "ROW"]


def test_months_count_across_years() -> None:
    assert month_index("2027-01", "2025-01") == 24
    assert month_index("2024-11", "2025-02") == -3
    assert [month_name("2025-11", n) for n in (0, 1, 2, 14)] == [
        "2025-11",
        "2025-12",
        "2026-01",
        "2027-01",
    ]


def test_every_number_carries_unit_range_and_source() -> None:
    """What the documentation prints; a default outside its own range could not be run."""
    found = list(_numbers(Config()))
    assert len(found) > 40
    assert len(list(_numbers(Behaviour()))) == len(fields(Behaviour))
    for name, about, value in found:
        assert about.keys() >= {"unit", "low", "high", "source"}, name
        assert about["low"] <= value <= about["high"], name
        assert about["unit"], name
        assert about["source"], name


def _numbers(node: Any) -> Iterator[tuple[str, Any, float]]:
    """Name, metadata and value of every numeric setting below a dataclass."""
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from _numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield item.name, item.metadata, value

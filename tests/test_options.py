"""The options of the command: what off means, and that each of them says what it is."""

from itertools import chain
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from test_run import configuration

from abm.config import Config
from experiments.run import SETTINGS

# Groups that choose what is asked or of which world: nothing of theirs can be switched off.
ALWAYS = {"world", "experiment", "experiment/hindcast"}
OPTIONS = sorted(SETTINGS.glob("*/**/*.yaml"))
GROUPS = sorted({path.parent for path in OPTIONS} - {SETTINGS / "hydra" / "launcher"})


def name_of(path: Path) -> str:
    return path.relative_to(SETTINGS).with_suffix("").as_posix()


def neutral_option(group: Path) -> str:
    """How a group calls its option without any effect, an empty word where it has none."""
    return next((name for name in ("off", "none") if (group / f"{name}.yaml").exists()), "")


def test_every_group_can_be_switched_off() -> None:
    missing = {name_of(group) for group in GROUPS if not neutral_option(group)}
    assert missing == ALWAYS


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_every_option_begins_with_what_it_means(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if not line.startswith("# @package"))
    assert first.startswith("# ")
    assert len(first.split()) > 1


def test_everything_off_is_the_default_of_every_setting() -> None:
    """The files of neutral options hold nothing but switches, and no default is on by itself."""
    chosen = {name_of(group): neutral_option(group) for group in GROUPS}
    words = [f"{group}={option}" for group, option in chosen.items() if option]
    plain = Config()
    for instrument in vars(plain.instruments).values():
        instrument.active = False
    assert configuration(*words) == plain


def test_an_option_that_is_off_sets_only_switches() -> None:
    for group in GROUPS:
        if neutral_option(group) == "off":
            held = OmegaConf.to_container(OmegaConf.load(group / "off.yaml"))
            assert isinstance(held, dict)
            parts = [
                part if isinstance(part, dict) else {name: part} for name, part in held.items()
            ]
            assert set(chain.from_iterable(part.items() for part in parts)) == {("active", False)}

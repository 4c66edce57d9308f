"""The settings of a command: what Hydra makes of its words, several times as quickly."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from abm.config import Config
from experiments.run import SETTINGS


def composed(words: Sequence[str], folder: Path = SETTINGS) -> Config:
    """Hydra chooses the options of groups first, which takes long, and sets values afterwards.

    So what the options give is kept, and only values are set anew, by Hydra itself.
    """
    given = OverridesParser.create().parse_overrides(list(words))
    chosen = [word.is_hydra_override() or (folder / word.key_or_group).is_dir() for word in given]
    lines = tuple(word.input_line for word, choice in zip(given, chosen, strict=True) if choice)
    settings = copy.deepcopy(options(lines, folder))
    values = [word for word, choice in zip(given, chosen, strict=True) if not choice]
    ConfigLoaderImpl._apply_overrides_to_config(values, settings)
    config = OmegaConf.to_object(settings)
    assert isinstance(config, Config)
    return config


@functools.cache
def options(lines: tuple[str, ...], folder: Path = SETTINGS) -> DictConfig:
    """What Hydra composes of these words."""
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("config", list(lines))

"""A world beside the same world undisturbed: what is measured is the difference of the two."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from abm.config import Config, Control
from abm.model import MineralModel
from experiments.study import Cell, Measure, cell_model, labelled


class Pair(NamedTuple):
    """Two finished runs of one membership and seed: without what is studied, and with it."""

    calm: MineralModel
    struck: MineralModel


@dataclass(frozen=True)
class AgainstCalm:
    """What is done for a cell: its world is run, and measured against the undisturbed one.

    Attributes
    ----------
    config
        Settings of the undisturbed worlds, which have no shock.
    """

    config: Config

    @classmethod
    def of(cls, config: Config) -> AgainstCalm:
        """The undisturbed worlds of a study: its settings without their shock."""
        return cls(dataclasses.replace(config, shock=Control()))

    def __call__(self, cell: Cell, measure: Measure, seed: int) -> pd.DataFrame:
        """The outcomes of one cell under one seed, with its labels."""
        calm = self.undisturbed(cell.membership, seed)
        struck = cell_model(cell, seed)
        struck.run()
        found = measure(Pair(calm, struck), dataclasses.replace(cell, config=struck.config))
        return labelled(found, cell, seed)

    def undisturbed(self, membership: str, seed: int) -> MineralModel:
        """The finished run without a shock; a process keeps the last: its cells come in a row."""
        key = (repr(self.config), membership, seed)
        if key not in _kept:
            calm = cell_model(Cell({}, self.config, membership, shocked=False), seed)
            calm.run()
            _kept.clear()
            _kept[key] = calm
        return _kept[key]


_kept: dict[tuple[str, str, int], MineralModel] = {}

"""An agent is a row: state lives once, in columns of a table, and an agent is a view of one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mesa
import numpy as np

if TYPE_CHECKING:
    from abm.model import MineralModel


class Table:
    """Columns of equal length, one row an agent. Rows are never added, removed or sorted."""

    def __init__(self, **columns: np.ndarray) -> None:
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of a table differ in length: {lengths}")
        self.columns = columns
        self.__dict__.update(columns)  # found at once, as an attribute is

    def __getattr__(self, name: str) -> np.ndarray:
        raise AttributeError(f"the table has no column {name!r}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


class Column:
    """One column seen from an agent: reading and writing touch the agent's own row only."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, agent: Row | None, owner: type) -> Any:
        return self if agent is None else agent.table.columns[self.name][agent.row]

    def __set__(self, agent: Row, value: Any) -> None:
        agent.table.columns[self.name][agent.row] = value


class Row(mesa.Agent):
    """A Mesa agent bound to one row of a table of its own model."""

    def __init__(self, model: MineralModel, table: Table, row: int) -> None:
        super().__init__(model)
        self.table = table
        self.row = row

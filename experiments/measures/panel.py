"""The monthly table laid out as dense arrays, for measures that touch every month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
KEYS = ("membership", "shock", "seed", "month", "mineral", "stage", "country")


@dataclass(frozen=True)
class Common:
    """What all seeds of an experiment share, which the runs of one seed cannot tell.

    Attributes
    ----------
    circles
        Founding members by membership: who is inside in any month by the circle's definition,
        whoever joins or leaves by choice.
    basket
        Opening purchases (t/month) and price (USD/kg) by mineral, stage and country.
    """

    circles: Mapping[str, tuple[str, ...]]
    basket: pd.DataFrame


@dataclass(frozen=True)
class Outline:
    """The axes of an experiment and who is in its circles; a panel of all its runs has them too.

    Attributes
    ----------
    months
        The first and the last, YYYY-MM.
    """

    memberships: Sequence[str]
    shocks: Sequence[str]
    months: Sequence[str]
    countries: Sequence[str]
    circles: Mapping[str, tuple[str, ...]]


class Panel:
    """The monthly table as dense arrays [membership, shock, seed, month, market, country].

    A panel of some seeds of an experiment is given what all of them share, `common`; without it
    a circle is whoever is inside in any month of the table, also by choice.

    Every function here takes the table or a panel made from it: make one first to measure a large
    table several times. Columns are laid out when first asked for. Raises a `ValueError` for a
    missing column and for two rows of the same run, month, market and country.
    """

    def __init__(self, monthly: pd.DataFrame, common: Common | None = None) -> None:
        self.common = common
        self.basket: Array | None = None  # `opening_basket` of all markets, when first asked for
        self._table = monthly
        self._columns: dict[str, Array] = {}
        axes = [self._axis(name) for name in KEYS]
        (membership, shock, seed, month, mineral, stage, country) = (codes for codes, _ in axes)
        names = [labels for _, labels in axes]
        market, present = _compressed(mineral * len(names[5]) + stage)
        self.memberships = [str(name) for name in names[0]]
        self.shocks = [str(name) for name in names[1]]
        self.seeds = [int(name) for name in names[2]]
        self.months = [str(name) for name in names[3]]
        pairs = (divmod(int(code), len(names[5])) for code in present)
        self.markets = [(str(names[4][m]), str(names[5][s])) for m, s in pairs]
        self.countries = [str(name) for name in names[6]]
        self.shape = (*(len(x) for x in names[:4]), len(self.markets), len(self.countries))
        codes = (membership, shock, seed, month, market, country)
        self._cell = np.ravel_multi_index(codes, self.shape)
        if len(self._cell) and np.bincount(self._cell).max() > 1:
            raise ValueError(
                "The monthly table has two rows for the same membership, shock, seed, month, "
                "market and country; write each run once."
            )
        inside = np.zeros((len(self.memberships), len(self.countries)), dtype=bool)
        rows = self._values("member").astype(bool)
        inside[membership[rows], country[rows]] = True
        self.circles = {
            name: tuple(c for c, member in zip(self.countries, row, strict=True) if member)
            for name, row in zip(self.memberships, inside, strict=True)
        }
        if common is not None:
            self.circles = {name: common.circles[name] for name in self.memberships}

    @classmethod
    def of_runs(
        cls,
        runs: Sequence[tuple[str, str]],
        seed: int,
        months: Sequence[str],
        places: Sequence[tuple[str, str, str]],
        columns: Mapping[str, Array],
        common: Common,
    ) -> Panel:
        """The panel of one seed, from the measures of its runs as arrays.

        Parameters
        ----------
        runs
            Membership and shock of each.
        months
            In their order, YYYY-MM.
        places
            Mineral, stage and country of each row of a month.
        columns
            [run, month, place] by name.
        """
        panel = cls.__new__(cls)
        panel.common, panel.basket, panel._table = common, None, pd.DataFrame()
        panel.memberships, panel.shocks = (sorted(set(names)) for names in zip(*runs, strict=True))
        panel.seeds, panel.months = [seed], list(months)
        panel.markets = sorted({(mineral, stage) for mineral, stage, _ in places})
        panel.countries = sorted({country for _, _, country in places})
        axes = (panel.memberships, panel.shocks, panel.seeds, panel.months)
        panel.shape = (*(len(axis) for axis in axes), len(panel.markets), len(panel.countries))
        panel.circles = {name: common.circles[name] for name in panel.memberships}
        market = [panel.markets.index(place[:2]) for place in places]
        country = [panel.countries.index(place[2]) for place in places]
        # Where each market and country stands in a month; the last, unknown, where it has no row.
        stands = np.full(panel.shape[-2:], len(places))
        stands[market, country] = np.arange(len(places))
        order = [
            runs.index(run) if (run := (membership, shock)) in runs else len(runs)
            for membership in panel.memberships
            for shock in panel.shocks
        ]
        panel._columns = {}
        for name, values in columns.items():
            known = np.full((len(runs) + 1, len(months), len(places) + 1), np.nan, values.dtype)
            known[:-1, :, :-1] = values
            dense = known[order].take(stands.ravel(), axis=2)
            panel._columns[name] = dense.reshape(panel.shape).astype(float)
        return panel

    @classmethod
    def of(cls, monthly: pd.DataFrame | Panel) -> Panel:
        """A panel, made from the table unless it is one."""
        return monthly if isinstance(monthly, Panel) else cls(monthly)

    def column(self, name: str) -> Array:
        """A column as an array, NaN where the table has no row."""
        if name not in self._columns:
            dense = np.full(int(np.prod(self.shape)), np.nan)
            dense[self._cell] = self._values(name)
            self._columns[name] = dense.reshape(self.shape)
        return self._columns[name]

    def _values(self, name: str) -> NDArray[Any]:
        return self._known(name).to_numpy()

    def _known(self, name: str) -> pd.Series:
        if name not in self._table:
            raise ValueError(
                f"The monthly table lacks the column '{name}'; write it with all columns."
            )
        return self._table[name]

    def _axis(self, name: str) -> tuple[NDArray[np.intp], list[Any]]:
        """Codes into the sorted distinct values of a key column."""
        column = self._known(name)
        if not isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype("category")
        labels = np.asarray(column.cat.categories)
        order = np.argsort(labels)
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        codes, present = _compressed(rank[column.cat.codes.to_numpy()])
        return codes, [labels[order][i] for i in present]


def _compressed(codes: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[int]]:
    """Codes without gaps, and the old code of each new one."""
    present = np.bincount(codes) > 0
    return (np.cumsum(present) - 1)[codes], np.flatnonzero(present).tolist()

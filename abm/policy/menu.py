"""The menu of a producer's export policies, and the control that each of them would be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from abm.config import Control, Instrument, Producers
from abm.scenario import DatedControl, adopted_control
from abm.world import World


class Reach(Enum):
    """Whose purchases a policy restricts."""

    world = "world"
    bloc = "bloc"  # members of the alliance
    rivals = "rivals"  # countries towards which tension is high


@dataclass(frozen=True)
class Option:
    """One line of the menu."""

    name: str
    strength: float
    reach: Reach
    terms: Control

    @property
    def instrument(self) -> Instrument:
        """What the control would be; `none` for doing nothing."""
        return self.terms.instrument


def menu_of(settings: Producers) -> tuple[Option, ...]:
    """Doing nothing, then every option at each of its strengths."""
    none = Option("none", 0.0, Reach.world, Control())
    return (none, *_taxes(settings), *_limits(settings), *_licences(settings))


def _taxes(settings: Producers) -> list[Option]:
    kinds = (
        ("tax", Instrument.tax, settings.tax_rates),
        ("dumping", Instrument.dumping, settings.dumping_rates),
    )
    return [
        Option(name, rate, Reach.world, Control(instrument=instrument, rate=rate))
        for name, instrument, rates in kinds
        for rate in rates
    ]


def _limits(settings: Producers) -> list[Option]:
    quotas = (
        ("quota", Reach.world, settings.quota_shares),
        ("bloc quota", Reach.bloc, settings.bloc_quota_shares),
    )
    options = [
        Option(name, share, reach, Control(instrument=Instrument.quota, quota_share=share))
        for name, reach, shares in quotas
        for share in shares
    ]
    bans = [
        Option("ban", share, Reach.rivals, Control(instrument=Instrument.ban, enforcement=share))
        for share in settings.ban_enforcements
    ]
    return options + bans


def _licences(settings: Producers) -> list[Option]:
    return [
        Option(
            "licence",
            share,
            Reach.world,
            Control(
                instrument=Instrument.licence,
                approval_share=share,
                processing_months=settings.processing_months,
            ),
        )
        for share in settings.approval_shares
    ]


def draft(
    option: Option, world: World, exporter: int, markets: np.ndarray, destinations: np.ndarray
) -> DatedControl:
    """The control that an option would be, from the opening month on and without end.

    Parameters
    ----------
    markets
        Rows of the mineral's markets that the producer reviews.
    """
    mineral = world.minerals[world.mineral_of_market[markets[0]]]
    name = f"{option.name} of {world.countries[exporter]} on {mineral}"
    terms = replace(option.terms, name=name)
    return adopted_control(world, terms, exporter, markets, destinations, start=0)


def at_present(control: DatedControl, growth: np.ndarray) -> DatedControl:
    """The draft in the tonnes of today.

    A quota is a share of normal exports in the month of the review, at which it is issued anew.
    Approvals and leaks are shares of normal exports of their own month, as in every control.

    Parameters
    ----------
    growth
        [market] normal trade of the month over opening trade.
    """
    if control.instrument is not Instrument.quota:
        return control
    return replace(control, opening_exports=control.opening_exports * growth[control.markets])

"""How a month moves countries against each other: retaliation, the answer to it, what remains.

Members and producers decide on last month's tension and the measures in force; what they adopt is
in force from the next month on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from abm.config import Control, Instrument
from abm.policy.retaliation import (
    burden,
    counter_tariff,
    next_commitment,
    pressure,
    under_retaliation,
)
from abm.scenario import DatedControl, adopted_control
from abm.tension import control_grievance, growth_grievance, next_level, tariff_grievance

if TYPE_CHECKING:
    from abm.model import MineralModel

COUNTER_CONTROL, ANSWER = "counter-control", "answer to counter-tariffs"  # names of the adopted


def retaliate(model: MineralModel) -> None:
    """Members decide whom they act against, with what tariffs and what controls of their own."""
    if not model.anyone("retaliation") and not model.retaliated.any():
        return
    settings, part = model.case.instruments.retaliation, model.part("retaliation")
    complaint = pressure(model.tension.level, resented(model), part)
    model.retaliated = under_retaliation(model.retaliated, complaint, settings)
    rate = counter_tariff(model.retaliated, part, model.tension.supply, settings)
    if not np.array_equal(rate, model.counter_tariff):
        model.counter_tariff = rate
    if settings.counter_quota < 1.0:
        hold_back(model, part)


def hold_back(model: MineralModel, part: np.ndarray) -> None:
    """Members cap what they export to those they act against, by the part they take at the time."""
    exported = model.tension.exports.any(axis=0)
    members, targets = np.flatnonzero(part > 0), np.flatnonzero(model.retaliated)
    wanted = {(i, j) for i in members for j in targets if exported[i, j]}
    held = {(c.exporter, c.destinations[0]) for c in _adopted(model, COUNTER_CONTROL)}
    kept = [
        c
        for c in model.adopted
        if c.terms.name != COUNTER_CONTROL or (c.exporter, c.destinations[0]) in wanted
    ]
    for member, target in sorted(wanted - held):
        kept.append(_counter_control(model, part, int(member), int(target)))
    if wanted != held:
        model.adopted = tuple(kept)


def _counter_control(
    model: MineralModel, part: np.ndarray, member: int, target: int
) -> DatedControl:
    settings = model.case.instruments.retaliation
    share = 1.0 - part[member] * (1.0 - settings.counter_quota)
    markets = np.flatnonzero(model.tension.exports[:, member, target])
    terms = Control(name=COUNTER_CONTROL, instrument=Instrument.quota, quota_share=float(share))
    start = model.month + 1
    return adopted_control(model.world, terms, member, markets, np.array([target]), start)


def answer_tariffs(model: MineralModel) -> None:
    """Producers under counter-tariffs cap what those who levy them need most.

    Where producers review their policy by themselves, tension tells them and no rule is needed.
    """
    settings = model.config.tension
    if not settings.active or model.config.producers.active:
        return
    tariff = model.border.terms.counter_tariff
    answering = {c.exporter for c in _adopted(model, ANSWER)}
    if not answering and not tariff.any():
        return
    kept = [c for c in model.adopted if c.terms.name != ANSWER]
    relents = settings.answer_release * settings.answer_trigger
    for control in _adopted(model, ANSWER):
        if _provoked(model, control.exporter, tariff, relents):
            kept.append(control)
    for producer in model.producers.country:
        if producer not in answering and _provoked(
            model, producer, tariff, settings.answer_trigger
        ):
            kept += _answer(model, producer, tariff)
    if tuple(kept) != model.adopted:
        model.adopted = tuple(kept)


def _provoked(model: MineralModel, producer: int, tariff: np.ndarray, bound: float) -> bool:
    """Whether a producer is tense enough with somebody who taxes its goods."""
    levying = tariff[:, producer].any(axis=0)
    return bool((model.tension.level[producer, levying] > bound).any())


def _answer(model: MineralModel, producer: int, tariff: np.ndarray) -> list[DatedControl]:
    settings = model.config.tension
    levying = np.flatnonzero(tariff[:, producer].any(axis=0))
    flow = model.world.flow[:, :, levying].sum(axis=2)
    dominant = flow[:, producer] > settings.answer_dominance * flow.sum(axis=1)
    if not dominant.any() or settings.answer_quota >= 1.0:
        return []
    terms = Control(name=ANSWER, instrument=Instrument.quota, quota_share=settings.answer_quota)
    markets, start = np.flatnonzero(dominant), model.month + 1
    return [adopted_control(model.world, terms, producer, markets, levying, start)]


def _adopted(model: MineralModel, name: str) -> list[DatedControl]:
    return [control for control in model.adopted if control.terms.name == name]


def resented(model: MineralModel) -> np.ndarray:
    """[country, country] what the first resents in the export controls of the second in force."""
    stand, controls = model.tension, model.measures.arcs.controls
    if stand.controls != controls:
        stand.resented, stand.controls = control_grievance(model.world, controls), controls
    return stand.resented


def update_tension(model: MineralModel) -> None:
    """Tension answers the measures of the month and fades."""
    settings, stand = model.config.tension, model.tension
    if not settings.active:
        return
    inside = model.case.inside(model.month)
    bloc = stand.exports.sum(axis=0) @ inside
    grievance = resented(model) + tariff_grievance(model.border.terms.counter_tariff, stand.exports)
    stand.level = next_level(
        stand.level,
        np.minimum(grievance, 1.0),
        growth_grievance(stand.bloc, bloc, inside),
        model.events.incident[model.month],
        settings,
    )
    stand.bloc = bloc


def update_commitment(model: MineralModel) -> None:
    """What own buyers suffer wears down how far members go along with anything."""
    settings = model.case.instruments.retaliation
    if not model.anyone("retaliation") and (model.commitment == 1.0).all():
        return
    inside = model.case.participation(model.month, "retaliation")
    books = model.books
    suffered = burden(books.spent, counter_duty(model), books.bought, model.state.customary_price)
    model.commitment = next_commitment(model.commitment, suffered, inside, settings)


def counter_duty(model: MineralModel) -> np.ndarray:
    """[market, country] counter-tariffs that its buyers paid this month, thousand USD."""
    terms, books = model.terms, model.books
    tariff = terms.border.terms.counter_tariff
    duty = np.zeros(books.spent.shape)
    for origin in np.flatnonzero(tariff.any(axis=(0, 2))):
        asked = np.nan_to_num(books.origin_price[:, origin, None])
        taxed = asked * (1.0 + terms.markup[:, origin])
        taxed *= 1.0 + terms.border.terms.controls.tax[:, origin]
        duty += books.flow[:, origin] * taxed * tariff[:, origin]
    return duty

"""Every setting of a run: name, unit, default, valid range and where the default comes from.

The dataclasses here are the schema that the command line is checked against. They stay mutable
because a frozen schema would refuse every override. `check` is the one place that says no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one sentence with the cure."""


class Stage(Enum):
    """Where in the chain a product stands."""

    mined = "mined"
    refined = "refined"


class Instrument(Enum):
    """What a government does to its exports."""

    none = "none"
    tax = "tax"
    quota = "quota"
    licence = "licence"
    ban = "ban"
    dumping = "dumping"  # exports are sold below the home price; the treasury pays the difference


class AccessionRule(Enum):
    """What decides on who joins an alliance and when."""

    scheduled = "scheduled"
    choice = "choice"


class FloorVariant(Enum):
    """How members hold a price up."""

    border = "border"
    contracts = "contracts"


class FloorBasis(Enum):
    """What the level of a floor is a multiple of."""

    opening = "opening"
    cost = "cost"


class Question(Enum):
    """What an experiment asks."""

    membership = "membership"
    instruments = "instruments"
    standoff = "standoff"
    mechanisms = "mechanisms"
    hindcast = "hindcast"
    sensitivity = "sensitivity"
    pathways = "pathways"
    phase = "phase"
    resilience = "resilience"
    accession = "accession"


class Ordering(Enum):
    """Who comes first where an alliance grows country by country."""

    use = "use"
    accession = "accession"


class Cut(Enum):
    """How a supplier fails: it ships to nobody abroad, or it makes nothing."""

    ban = "ban"
    outage = "outage"


class Rights(Enum):
    """Who holds the right to export under a limit, and so collects its rent."""

    exporters = "exporters"
    treasury = "treasury"


class Treatment(Enum):
    """What happens at the border to goods that cannot meet a standard."""

    levy = "levy"
    exclusion = "exclusion"


class Pace(Enum):
    """How a strategic stock is run down in an emergency."""

    declining = "declining"
    steady = "steady"


class Sharing(Enum):
    """The key by which members who run short share what the pool releases."""

    need = "need"
    contribution = "contribution"
    equal = "equal"


class Weight(Enum):
    """By which weight a limit on several products counts them."""

    contained = "contained"
    gross = "gross"


YEAR_OF_TABLES = 2024  # which the tables describe: the opening year unless another is asked for
ROLES = ("allied", "partner", "neutral", "non_allied")  # of countries towards the alliance


def parameter(default: Any, unit: str, low: float, high: float, source: str) -> Any:
    """A dataclass field that carries its unit, its valid range and the source of its default."""
    about = {"unit": unit, "low": low, "high": high, "source": source}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=about)
    return field(default=default, metadata=about)


@dataclass
class WorldConfig:
    """Which minerals of which year, and which tables beside the built-in ones.

    `positions` sets parameters by mineral, by name, to a quantile of their stated ranges in all
    minerals: 0 the lowest, 1 the highest value. Those named are not drawn.
    """

    minerals: list[str] = field(default_factory=lambda: ["all"])
    tables: list[str] = field(default_factory=list)
    year: int = parameter(
        2024, "year whose average is the opening month", 2009, 2024, "the years of the tables"
    )
    draw_parameters: bool = True
    positions: dict[str, float] = field(default_factory=dict)
    scrap_utilisation: float = parameter(
        0.95, "share of recycling capacity run", 0.5, 1.0, "assumed: scrap at hand limits it"
    )


@dataclass
class Horizon:
    """The months that are simulated; the opening month is the average of `world.year`."""

    start: str = "2025-01"
    years: int = parameter(10, "years", 1, 100, "choice")


@dataclass
class Circle:
    """A group of members: a circle of the table memberships, changed by hand where wanted.

    Members join in the month `since`, or on their own date in the table where that is later.
    `joins` and `exits` give the month of single countries, `share` how far one takes part (1 where
    not named). `instruments` are those that the circle has, all where empty; `partners` are
    countries that take part in the instruments named, from `since` on, without being members.
    """

    table: str = ""
    add: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    since: str = "2026-02"
    joins: dict[str, str] = field(default_factory=dict)
    exits: dict[str, str] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=dict)
    instruments: list[str] = field(default_factory=list)
    partners: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Membership:
    """The circles that are compared with a world without any.

    `cases` names circles that are in force together; where empty, every circle is a case alone.
    """

    circles: dict[str, Circle] = field(default_factory=dict)
    cases: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Control:
    """One dated export control.

    `targets` names destinations: country codes, circles of the table memberships, `members` (the
    circle of the run itself) or `world`. Shares are of the opening flow to those destinations.
    With `joint`, or where `family` names a family of the table minerals, all its markets of one
    stage stand under one limit by weight. Validated users are exempt from quotas and licences: the
    named sectors in the named countries, all of them where a list is empty. A tax may stand since
    before the opening: then the opening prices hold it, it is no news, and its end lowers them.
    """

    name: str = "none"
    instrument: Instrument = Instrument.none
    by: str = "CHN"
    targets: list[str] = field(default_factory=lambda: ["washington"])
    minerals: list[str] = field(default_factory=list)
    family: str = ""
    joint: bool = False
    weight: Weight = Weight.contained
    stages: list[Stage] = field(default_factory=lambda: [Stage.mined, Stage.refined])
    announced: str = "2027-01"
    start: str = "2027-01"
    end: str = ""
    rate: float = parameter(0.25, "fraction of the price", 0.0, 5.0, "assumed")
    quota_share: float = parameter(0.5, "share of opening exports", 0.0, 10.0, "assumed")
    quota_tonnes: float = parameter(-1.0, "t/year; negative: use the share", -1.0, 1e12, "off")
    approval_share: float = parameter(
        0.7, "share of normal exports", 0.0, 10.0, "assumed; within reports on 2023-24 licences"
    )
    processing_months: int = parameter(
        3, "months", 0, 60, "90 days at most to secure a licence: Project Blue 2025"
    )
    ramp_months: int = parameter(
        3,
        "months from the first decision until all applications are decided in time; 0: at once",
        0,
        60,
        "three to nine: Chinese customs on gallium, germanium, graphite, antimony",
    )
    licence_validity: float = parameter(
        12.0, "months", 1.0, 120.0, "assumed: China's dual-use licences hold a year at most"
    )
    licence_cost: float = parameter(
        0.0, "fraction of the price", 0.0, 5.0, "off: opening mark-ups contain licence costs"
    )
    validated_share: float = parameter(0.0, "share of their need", 0.0, 1.0, "off")
    validated_countries: list[str] = field(default_factory=list)
    validated_sectors: list[str] = field(default_factory=list)
    enforcement: float = parameter(
        0.75, "share stopped", 0.0, 1.0, "assumed; re-routed flows were reported for 2023-25"
    )
    evasion_cost: float = parameter(0.25, "fraction of the price", 0.0, 5.0, "assumed")
    evasion_response: float = parameter(
        0.5, "elasticity of re-routed tonnes to the price gap", 0.0, 3.0, "assumed"
    )
    detour_months: int = parameter(
        0, "months until detours carry all they will; 0: at once", 0, 60, "off"
    )
    smuggled_share: float = parameter(
        0.0, "share of normal exports that passes a quota or tax unseen", 0.0, 1.0, "off"
    )
    rights: Rights = Rights.exporters


@dataclass
class Outage:
    """Capacity that stops for reasons of its own: an accident, a strike, a closure by order.

    It takes a share of all the capacity of a country at the stages named. Without `end` it lasts.
    News breaks when it is announced and when it starts.
    """

    name: str = "outage"
    by: str = "CHN"
    minerals: list[str] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=lambda: [Stage.mined, Stage.refined])
    announced: str = ""
    start: str = "2027-01"
    end: str = ""
    share: float = parameter(1.0, "share of capacity lost", 0.0, 1.0, "choice")


@dataclass
class ProductionCap:
    """A limit that a state sets on the output of its own mines or plants.

    All named minerals of one stage stand under one cap where `joint` is set or a `family` is named;
    else each has its own. Firms share it by what they could make.
    """

    name: str = "cap"
    by: str = "CHN"
    minerals: list[str] = field(default_factory=list)
    family: str = ""
    joint: bool = False
    weight: Weight = Weight.contained
    stages: list[Stage] = field(default_factory=lambda: [Stage.mined])
    announced: str = ""
    start: str = "2027-01"
    end: str = ""
    tonnes: float = parameter(-1.0, "t/year; negative: use the share", -1.0, 1e12, "off")
    share: float = parameter(1.0, "share of opening output", 0.0, 10.0, "choice")
    overrun: float = parameter(
        0.0, "share of the capacity beyond the cap that runs anyway", 0.0, 1.0, "off"
    )


@dataclass
class StatePurchase:
    """A state buys refined metal for its reserve, whatever an alliance does."""

    name: str = "purchase"
    by: str = "CHN"
    mineral: str = "gallium"
    start: str = "2027-01"
    end: str = ""
    tonnes: float = parameter(0.0, "t/year contained", 0.0, 1e12, "choice")
    price_ceiling: float = parameter(
        2.0, "multiple of the customary price above which it buys less", 0.1, 50.0, "assumed"
    )


@dataclass
class DemandFact:
    """Need that grows at a pace of its own over some months; the level reached then stays.

    The pace takes the place of the growth of the opening world. Planners foresee a share of the
    departure; what they do not foresee comes as a surprise. Empty lists mean all.
    """

    name: str = "demand"
    minerals: list[str] = field(default_factory=lambda: ["all"])
    sectors: list[str] = field(default_factory=list)
    countries: list[str] = field(default_factory=list)
    start: str = "2027-01"
    end: str = "2028-01"
    growth: float = parameter(0.0, "a year, fraction", -0.95, 20.0, "choice")
    foreseen: float = parameter(
        0.0, "share of the departure, in logs, that planned capacity foresees", 0.0, 1.0, "choice"
    )


@dataclass
class Hindcast:
    """How a past episode is played again and scored.

    `observed` names the table of observed figures: a path, or a file beside the hindcasts of conf.
    With `baselines`, two simpler forecasts are scored by the same figures.
    """

    observed: str = ""
    baselines: bool = True


@dataclass
class PreferentialTariffs:
    """Tariffs between members fall."""

    active: bool = True
    cut: float = parameter(1.0, "share of the tariff removed", 0.0, 1.0, "assumed: duty-free zone")


@dataclass
class JointProcurement:
    """Members buy together."""

    active: bool = True
    shared_relationships: float = parameter(0.3, "share of purchases pooled", 0.0, 1.0, "assumed")
    countervailing_power: float = parameter(
        0.5, "share of a mark-up removed at full buying power", 0.0, 1.0, "assumed"
    )


@dataclass
class Stockpiles:
    """Members build strategic stocks up to a target."""

    active: bool = True
    target_months: float = parameter(
        2.0, "months of use", 0.0, 60.0, "60 days: Project Vault, February 2026"
    )
    build_months: float = parameter(24.0, "months", 1.0, 240.0, "assumed")
    price_ceiling: float = parameter(
        1.15, "multiple of the customary price", 0.5, 10.0, "assumed: no buying in a rally"
    )
    storage: float = parameter(
        0.02, "share of the value a year", 0.0, 1.0, "assumed: warehouse, insurance, turnover"
    )
    financing: float = parameter(
        0.04, "share of the value a year", 0.0, 1.0, "assumed: yield of long government bonds"
    )


@dataclass
class EmergencyRelease:
    """Members release their stocks together when one of them runs short.

    A declining pace releases `1 / release_months` of what is left each month, a steady one of what
    there was at the call, until nothing is left. Without the instrument each country still releases
    its own stock for itself, at the same trigger and pace.
    """

    active: bool = True
    trigger: float = parameter(1.3, "multiple of the customary price", 1.0, 20.0, "assumed")
    release_months: float = parameter(9.0, "months to run a full stock down", 1.0, 60.0, "assumed")
    pace: Pace = Pace.declining
    sharing: Sharing = Sharing.need
    pooled_share: float = parameter(
        1.0, "share of a member's release on call for all", 0.0, 1.0, "choice: one pool"
    )


@dataclass
class PriceFloor:
    """Members hold prices above a floor, at the border or by contracts for difference.

    `border`: a variable levy lifts imports from outside to the floor. `contracts`: treasuries pay
    their producers what the market price of the month before falls short of it.
    """

    active: bool = False
    variant: FloorVariant = FloorVariant.border
    basis: FloorBasis = FloorBasis.opening
    level: float = parameter(
        1.2,
        "multiple of the opening world price, or of long-run cost",
        0.0,
        20.0,
        "assumed, between an offtake for Sangdong (about 0.7, from memory) and the 110 USD/kg of "
        "DoD and MP Materials, July 2025 (2.0)",
    )
    minerals: list[str] = field(default_factory=lambda: ["all"])
    stages: list[Stage] = field(default_factory=lambda: [Stage.mined, Stage.refined])
    output_share: float = parameter(
        1.0, "share of sales under contract", 0.0, 1.0, "assumed: all, as in DoD-MP Materials 2025"
    )
    payback: float = parameter(
        0.3,
        "share of the price above the strike that producers pay back; 1: two-way",
        0.0,
        1.0,
        "DoD-MP Materials 2025, from memory",
    )


@dataclass
class InvestmentFund:
    """Members co-finance mines and plants at home and in partner countries.

    The fund chooses among the projects of the table projects by dependence relieved per dollar.
    """

    active: bool = False
    contribution: float = parameter(
        0.2,
        "USD a year per 1,000 USD of manufacturing value added",
        0.0,
        100.0,
        "assumed: 1.3 bn USD a year for the six; single public awards of 2025-26 are 0.1 to 1.3 bn "
        "(DoD-MP Materials 0.55, Eneabba 1.65 bn AUD)",
    )
    loan_share: float = parameter(
        0.5, "share of the capital that is not given", 0.0, 1.0, "half at most is the EIB's rule"
    )
    largest_grant: float = parameter(
        0.4, "share of the capital given to fill a viability gap", 0.0, 1.0, "assumed"
    )
    interest: float = parameter(
        0.04, "a year", 0.0, 0.5, "assumed: near the yield of long government bonds"
    )
    tenor_years: float = parameter(15.0, "years", 1.0, 50.0, "Project Vault, February 2026: 15")
    permitting_cut: float = parameter(
        0.3, "share of the permitting time saved in members", 0.0, 1.0, "assumed"
    )
    partners: list[str] = field(default_factory=lambda: ["allied", "partner"])
    round_months: int = parameter(6, "months between two rounds", 1, 120, "assumed")
    baseline_risk: float = parameter(
        0.05, "a year: chance of a disruption that is not in the news", 0.0, 1.0, "assumed"
    )


@dataclass
class Standards:
    """Environmental and social standards, and material that can be traced.

    Scores of origins run from 0 to 1 (table standards). An origin below `least_score` cannot be
    certified; one between it and `standard` can, at a cost that grows with what it lacks.
    """

    active: bool = False
    since: str = "2027-01"
    phase_in_months: int = parameter(24, "months", 0, 240, "assumed: two years to be certified")
    standard: float = parameter(
        0.6, "score", 0.0, 1.0, "assumed: just below the lowest of the allied countries"
    )
    least_score: float = parameter(
        0.4, "score", 0.0, 1.0, "assumed: leaves out the Congo, Myanmar, Russia and Zimbabwe"
    )
    treatment: Treatment = Treatment.levy
    levy: float = parameter(0.1, "fraction of the border price", 0.0, 5.0, "assumed")
    compliance_cost: float = parameter(
        0.2, "share of the world price per point of score short", 0.0, 5.0, "assumed: 3 % for China"
    )
    audit_cost: float = parameter(0.005, "share of the world price", 0.0, 1.0, "assumed")
    premium: float = parameter(
        0.02, "fraction of the seller's price", 0.0, 1.0, "assumed: green premia reported are small"
    )
    traced_share: float = parameter(
        0.5, "share of re-routed goods seen and refused", 0.0, 1.0, "assumed"
    )
    tracing_cost: float = parameter(
        20.0, "USD per t contained", 0.0, 1e5, "assumed: sampling and paperwork of a shipment"
    )


@dataclass
class Research:
    """Members spend on substitutes, on thrift, and on the collection of scrap.

    Knowledge leaks: countries outside have a part of its effect. Support of collection acts only
    where recycling is active, research on thrift only where substitution is.
    """

    active: bool = False
    spending: float = parameter(
        3.0,
        "million USD a year and mineral per 1,000 billion USD of a member's manufacturing",
        0.0,
        10_000.0,
        "assumed: the six then spend 20 on each mineral; the US hub for critical materials had "
        "about 25 a year for all (from memory)",
    )
    obsolescence: float = parameter(
        0.15,
        "share of knowledge lost a year",
        0.0,
        1.0,
        "the usual rate for research capital (Griliches; from memory)",
    )
    half_effect: float = parameter(
        100.0, "million USD of knowledge at half the greatest effect", 0.01, 1e6, "assumed"
    )
    speed: float = parameter(
        1.0,
        "rise of the pace of redesign at the greatest effect, share",
        0.0,
        20.0,
        "assumed: twice as fast",
    )
    backstop_cut: float = parameter(
        0.5,
        "share of the substitute's extra cost removed at the greatest effect",
        0.0,
        0.95,
        "assumed: learning halves it",
    )
    spillover: float = parameter(
        0.3, "share of the effect in countries outside", 0.0, 1.0, "assumed: patents and papers"
    )
    collection_target: float = parameter(
        0.25,
        "share of collectable retired products",
        0.0,
        0.95,
        "after the 25 % of use that the EU wants from recycling by 2030 (Regulation 2024/1252)",
    )
    collection_years: float = parameter(
        6.0, "years, mean time to reach the target", 0.1, 60.0, "assumed: take-back schemes"
    )
    collection_cost: float = parameter(
        0.3,
        "public cost over the opening price of the metal collected by support",
        0.0,
        10.0,
        "assumed",
    )


@dataclass
class Retaliation:
    """Members answer export controls together; their buyers bear a part of it."""

    active: bool = False
    trigger: float = parameter(
        0.4, "complaint about a producer, 0 to 1", 0.0, 1.0, "assumed: above the opening tension"
    )
    release: float = parameter(
        0.6, "share of the trigger below which it ends", 0.0, 1.0, "assumed: it outlasts its cause"
    )
    tariff: float = parameter(
        0.25,
        "fraction of the border price",
        0.0,
        5.0,
        "25 %: Section 301 on minerals (from memory)",
    )
    spare_dependence: float = parameter(
        0.6,
        "share of purchases above which a good is spared",
        0.0,
        1.0,
        "assumed: tariffs of 2025 spared many critical minerals (from memory)",
    )
    counter_quota: float = parameter(
        1.0, "share of opening exports to the producer let through", 0.0, 1.0, "assumed: none held"
    )
    backlash: float = parameter(
        0.1, "commitment worn away a month at full burden", 0.0, 1.0, "assumed"
    )
    recovery: float = parameter(
        0.03, "share of lost commitment regained a month", 0.0, 1.0, "assumed: half in two years"
    )


@dataclass
class Instruments:
    """What members do together. Each has its own switch and strength."""

    preferential_tariffs: PreferentialTariffs = field(default_factory=PreferentialTariffs)
    joint_procurement: JointProcurement = field(default_factory=JointProcurement)
    stockpiles: Stockpiles = field(default_factory=Stockpiles)
    emergency_release: EmergencyRelease = field(default_factory=EmergencyRelease)
    price_floor: PriceFloor = field(default_factory=PriceFloor)
    investment_fund: InvestmentFund = field(default_factory=InvestmentFund)
    standards: Standards = field(default_factory=Standards)
    research: Research = field(default_factory=Research)
    retaliation: Retaliation = field(default_factory=Retaliation)


@dataclass
class Projects:
    """Single mines and plants of the table projects, which owners build where it pays.

    Switched on also by the investment fund, which has nothing to finance without them.
    """

    active: bool = False
    cost_of_capital: float = parameter(
        0.12, "a year, real", 0.0, 1.0, "assumed: 10 to 15 % is usual for single mines"
    )
    country_premium: float = parameter(
        0.03, "a year per point of WGI political stability below zero", 0.0, 0.5, "assumed"
    )
    operating_cost_share: float = parameter(
        0.65,
        "share of the opening price, feed apart",
        0.0,
        2.0,
        "assumed: few projects paid at 2024 prices without support",
    )
    idle_cost_share: float = parameter(
        1.0,
        "the same of plants that were idle at the opening",
        0.0,
        5.0,
        "assumed: they had stopped because 2024 prices did not cover their cost",
    )
    cost_spread: float = parameter(
        0.15,
        "standard deviation of the log of operating cost between projects",
        0.0,
        1.0,
        "assumed",
    )
    life_years: float = parameter(20.0, "years of production", 1.0, 100.0, "assumed")
    financing_share: float = parameter(
        0.1, "share of the lead time until finance is closed", 0.0, 0.3, "assumed"
    )
    permitting_share: float = parameter(
        0.4, "share of the lead time until permits are granted", 0.0, 0.5, "assumed"
    )
    commissioning_share: float = parameter(
        0.1, "share of the lead time between construction and first output", 0.0, 0.2, "assumed"
    )
    slip: float = parameter(0.3, "mean overrun of a phase, share of its plan", 0.0, 5.0, "assumed")
    failure: float = parameter(
        0.2, "probability that a project that has started never produces", 0.0, 1.0, "assumed"
    )
    development_share: float = parameter(
        0.05, "share of the capital spent before construction", 0.0, 0.5, "assumed"
    )
    patience: float = parameter(
        0.1, "loss, as share of the capital, at which owners give up", 0.0, 10.0, "assumed"
    )
    displacement: float = parameter(
        1.0,
        "share of a project's output that others leave out of their planned growth",
        0.0,
        1.0,
        "assumed: as plants under construction do",
    )


@dataclass
class Producers:
    """Non-allied producers review their export policy, mineral by mineral, and choose it.

    The lists hold the strengths at which an option is on the menu; an empty one takes it off.
    `rivals` names country codes, circles of the table memberships or `world`.
    """

    active: bool = False
    review_months: int = parameter(3, "months between reviews", 1, 120, "choice: quarterly")
    least_share: float = parameter(
        0.3,
        "share of what the rest of the world buys, from which a market is reviewed",
        0.01,
        1.0,
        "assumed: with less, buyers turn to others",
    )
    tax_rates: list[float] = parameter(
        [0.25], "fractions of the price", 0.0, 5.0, "China's rare-earth duties were 15 to 25 %"
    )
    quota_shares: list[float] = parameter(
        [0.6],
        "shares of normal exports to the world",
        0.0,
        10.0,
        "China's rare-earth quota of 2010 was 60 % of that of 2009: 30,258 t of 50,145 t",
    )
    bloc_quota_shares: list[float] = parameter(
        [0.5], "shares of normal exports to members", 0.0, 10.0, "assumed"
    )
    approval_shares: list[float] = parameter(
        [0.7], "shares of normal exports licensed", 0.0, 10.0, "as control.approval_share"
    )
    processing_months: int = parameter(
        3, "months to a licence", 0, 60, "90 days at most to secure a licence: Project Blue 2025"
    )
    ban_enforcements: list[float] = parameter(
        [0.75], "shares stopped by a ban on rivals", 0.0, 1.0, "as control.enforcement"
    )
    dumping_rates: list[float] = parameter(
        [0.2], "fractions of the price by which exports undercut home", 0.0, 0.95, "assumed"
    )
    lead_months: int = parameter(
        1,
        "months from announcement to start",
        0,
        60,
        "gallium and germanium: announced July, in force August 2023",
    )
    home_users: float = parameter(
        1.0, "weight of home users' surplus", 0.0, 10.0, "assumed: a dollar counts as a dollar"
    )
    leverage: float = parameter(
        1.0, "weight of rivals' loss at full tension", 0.0, 100.0, "assumed"
    )
    future_share: float = parameter(
        1.0, "weight of earnings lost to entry", 0.0, 100.0, "assumed: counted as they are"
    )
    newcomers: float = parameter(
        0.05,
        "share of what the rest of the world buys, at the long-run elasticity",
        0.0,
        1.0,
        "assumed: entry is possible where nobody produces yet",
    )
    discount_rate: float = parameter(0.1, "a year", 0.0, 1.0, "assumed: usual for mining projects")
    change_cost: float = parameter(
        0.1, "share of opening export value a month", 0.0, 10.0, "assumed"
    )
    rivals: list[str] = field(default_factory=lambda: ["washington"])
    opening_tension: float = parameter(
        0.2, "of producers towards rivals where tension is off", 0.0, 1.0, "assumed"
    )
    ban_tension: float = parameter(
        0.15, "least tension towards a country that a ban hits", 0.0, 1.0, "assumed"
    )


@dataclass
class Tension:
    """Tension between countries: it rises with measures, fades with time, and is answered."""

    active: bool = False
    opening_distance: float = parameter(
        8.0, "UN ideal points apart at full tension", 1.0, 1000.0, "assumed: USA and China at 0.4"
    )
    response: float = parameter(0.1, "rise a month at full grievance", 0.0, 1.0, "assumed")
    decay: float = parameter(
        0.02,
        "share forgotten a month",
        0.0,
        1.0,
        "assumed: half in three years, as China's sanctions on Norway and Australia (from memory)",
    )
    alliance_growth: float = parameter(
        0.3, "rise when all customers join at once", 0.0, 1.0, "assumed"
    )
    answer_trigger: float = parameter(
        0.3, "tension at which a producer answers counter-tariffs", 0.0, 1.0, "assumed"
    )
    answer_release: float = parameter(
        0.5, "share of the trigger below which it relents", 0.0, 1.0, "assumed"
    )
    answer_quota: float = parameter(
        0.5, "share of opening exports let through", 0.0, 1.0, "assumed; 1: no answer"
    )
    answer_dominance: float = parameter(
        0.5, "share of purchases that makes a weapon", 0.0, 1.0, "assumed"
    )


@dataclass
class Accession:
    """When countries join the circles of a run: together, on a schedule, or by choice.

    On schedule, each country joins on its own date in the table memberships. By choice, the
    circles start as they are; `candidates` (every country that is not non-allied, where empty) may
    join the first circle of the case, and members may leave.
    """

    active: bool = False
    rule: AccessionRule = AccessionRule.choice
    candidates: list[str] = field(default_factory=list)
    review_months: int = parameter(12, "months between reviews", 1, 120, "assumed: yearly")
    join_margin: float = parameter(
        0.0, "net benefit above which one joins, share of trade", -1.0, 1.0, "assumed"
    )
    leave_margin: float = parameter(
        -0.005, "net benefit below which a member has doubts", -1.0, 1.0, "assumed"
    )
    patience: int = parameter(
        3, "reviews with doubts before it leaves", 1, 100, "assumed: three years of losses"
    )
    worn_out: float = parameter(0.2, "commitment below which a member leaves", 0.0, 1.0, "assumed")
    contribution: float = parameter(
        0.001, "share of trade in minerals", 0.0, 1.0, "assumed: secretariat and common projects"
    )
    carrying_cost: float = parameter(
        0.08, "of the value of a stock, a year", 0.0, 1.0, "assumed: capital and storage"
    )
    emergency_risk: float = parameter(
        0.02, "chance of a month of shortage, in calm", 0.0, 1.0, "assumed: one month in four years"
    )
    feared_loss: float = parameter(
        0.02, "share of trade with a producer at full tension", 0.0, 1.0, "assumed"
    )


@dataclass
class Instability:
    """Outages that strike whole countries, and their regions with them."""

    active: bool = False
    rate: float = parameter(
        0.03, "a year, at WGI stability 0", 0.0, 12.0, "assumed: once in five years at -2"
    )
    stability_effect: float = parameter(
        1.0, "log rate per point of WGI political stability", 0.0, 3.0, "assumed"
    )
    months: float = parameter(
        4.0,
        "months, mean",
        1.0,
        120.0,
        "assumed: South African strike 2014 five, New Caledonia 2024 six",
    )
    least_lost: float = parameter(0.1, "share of the country's capacity", 0.0, 1.0, "assumed")
    most_lost: float = parameter(0.5, "share of the country's capacity", 0.0, 1.0, "assumed")
    correlation: float = parameter(
        0.4,
        "of the latent factor within a region",
        0.0,
        0.99,
        "assumed: coups in West Africa 2020-23",
    )


class DemandScenario(Enum):
    """Which path need takes: constant growth by sector, or a scenario of the IEA."""

    constant = "constant"
    steps = "steps"
    aps = "aps"
    nze = "nze"


@dataclass
class DemandPath:
    """How fast need grows, by scenario and sector.

    A surprise adds growth to the need of a sector for some years; the higher level then stays.
    Planners foresee a share of what departs from constant growth, and build for that.
    """

    active: bool = False
    scenario: DemandScenario = DemandScenario.constant
    clean_energy: float = parameter(0.0, "extra growth a year, fraction", -0.5, 1.0, "choice")
    digital: float = parameter(0.0, "extra growth a year, fraction", -0.5, 1.0, "choice")
    defence: float = parameter(0.0, "extra growth a year, fraction", -0.5, 1.0, "choice")
    surprise_start: str = "2027-01"
    surprise_years: float = parameter(5.0, "years of extra growth", 0.0, 100.0, "choice")
    planned_share: float = parameter(
        0.0,
        "share of the departure from constant growth, in logs, that planned capacity foresees",
        0.0,
        1.0,
        "choice: a surprise to planners",
    )


@dataclass
class Closure:
    """One dated closure of a chokepoint of the table chokepoints; without `end` it lasts."""

    chokepoint: str = "suez"
    start: str = "2027-01"
    end: str = ""


@dataclass
class Shipping:
    """Chokepoints at sea that close: on given dates, and by chance."""

    active: bool = False
    closures: list[Closure] = field(default_factory=list)
    closure_rate: float = parameter(
        0.04,
        "a year and chokepoint",
        0.0,
        12.0,
        "assumed: Suez shut or shunned in 1956, 1967, 2023",
    )
    closure_months: float = parameter(6.0, "months, mean", 1.0, 120.0, "assumed")
    knots: float = parameter(14.0, "speed of ships", 1.0, 40.0, "that of the table distances")
    delay_days: float = parameter(
        5.0, "days lost to queues", 0.0, 120.0, "assumed: 10 to 20 days in all by the Cape in 2024"
    )
    freight_surcharge: float = parameter(
        1.0,
        "share of normal freight",
        0.0,
        20.0,
        "container rates doubled, Drewry WCI January 2024",
    )
    insurance_surcharge: float = parameter(
        0.005, "fraction of value", 0.0, 1.0, "assumed: up to 1 % of a ship's value in 2024"
    )
    stranded_km: float = parameter(
        5000.0, "km at sea that a way by land or feeder costs", 0.0, 1e5, "assumed"
    )
    close_stranded: bool = False


@dataclass
class Lifetimes:
    """Mean life of products by the sector that makes them."""

    clean_energy: float = parameter(
        14.0, "years", 0.5, 100.0, "assumed: vehicles 12 to 16, turbines and panels 20 to 30"
    )
    digital: float = parameter(5.0, "years", 0.5, 100.0, "assumed: phones 3, computers and disks 6")
    defence: float = parameter(25.0, "years", 0.5, 100.0, "assumed: platforms serve 20 to 40")
    alloys: float = parameter(
        10.0,
        "years",
        0.5,
        100.0,
        "assumed: hard-metal tools 1, machinery 15, plant and turbines 20",
    )
    other: float = parameter(
        12.0, "years", 0.5, 100.0, "assumed: motors and appliances 10 to 15, lead batteries 4"
    )


@dataclass
class Recycling:
    """Scrap that returns after the lifetime of products, more of it at a high price."""

    active: bool = False
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    traded_products: float = parameter(
        0.5,
        "share of products that come into use where the world's manufacturing is",
        0.0,
        1.0,
        "assumed: magnets, cells and chips are made in few countries and used in all",
    )
    collection_elasticity: float = parameter(
        0.4,
        "price elasticity of collection",
        0.0,
        5.0,
        "assumed: 0.2 to 0.6 is usual for secondary copper and aluminium (from memory)",
    )
    collection_months: float = parameter(
        12.0, "months, mean time in which collection follows the price", 1.0, 240.0, "assumed"
    )
    plant_months: float = parameter(
        24.0, "months from scrap to a plant for it", 1.0, 240.0, "assumed: one to three years"
    )
    scrap_months: float = parameter(
        2.0, "months of use of scrap that recyclers hold", 1.0, 60.0, "assumed"
    )


@dataclass
class Substitution:
    """Intensity of use that falls while prices are high, and is slow to return."""

    active: bool = False
    elasticity: float = parameter(
        0.4,
        "long-run price elasticity of use, on top of the immediate one",
        0.0,
        5.0,
        "assumed: long-run elasticities of metal use are two to four times those of the short run",
    )
    threshold: float = parameter(
        1.2,
        "multiple of the long-run price above which users redesign",
        1.0,
        10.0,
        "assumed: a redesign must pay its cost",
    )
    redesign_years: float = parameter(
        4.0,
        "years, mean time of a redesign",
        0.1,
        60.0,
        "assumed: a vehicle generation; heavy rare earths in magnets fell by half in 2011-2015",
    )
    defence_years: float = parameter(
        8.0, "years, the same in defence", 0.1, 60.0, "assumed: parts are qualified anew"
    )
    return_years: float = parameter(
        20.0, "years in which savings are given up again", 0.1, 1000.0, "assumed: knowledge stays"
    )
    floor: float = parameter(
        0.4, "least intensity over the opening", 0.01, 1.0, "assumed: no substitute for the core"
    )
    norm_memory: float = parameter(
        0.01, "weight of the last month in the long-run price", 0.0, 1.0, "assumed: 8 years"
    )
    spillover: float = parameter(
        0.3, "share of the world's saving that spreads to everybody", 0.0, 1.0, "assumed"
    )


@dataclass
class Contracts:
    """Part of trade is under term contract at the mean price of past months."""

    active: bool = False
    scale: float = parameter(
        1.0, "share of the tabulated contract shares", 0.0, 1.0, "contract_share by market"
    )
    index_months: int = parameter(
        6,
        "months whose prices are averaged",
        1,
        60,
        "Albemarle 2022: index-referenced with a lag of three months (Fastmarkets, January 2023)",
    )
    firmness: float = parameter(
        0.8,
        "share of contracted tonnes taken whatever the price",
        0.0,
        1.0,
        "assumed: take-or-pay with some freedom to call off more or less",
    )


@dataclass
class Idling:
    """Plants that lose money stand still, and restart later and at a higher price."""

    active: bool = False
    cost_share: float = parameter(
        0.6,
        "variable cost over the opening price, mean plant without a reported cost",
        0.05,
        0.95,
        "assumed: 0.50 is the median of the 15 mines with a reported cost, all lithium",
    )
    cost_spread: float = parameter(
        0.25,
        "of the same price, from the mean plant to the dearest",
        0.0,
        0.9,
        "assumed: a tenth of capacity loses money at 20 % below the price of 2024",
    )
    loss_months: int = parameter(
        6,
        "months below variable cost before a plant stops",
        1,
        120,
        "assumed: Finniss stopped in January 2024, after half a year of falling spodumene prices",
    )
    deep_pockets: float = parameter(
        3.0,
        "times as long as the dearest plant that the cheapest bears losses",
        1.0,
        20.0,
        "assumed: large mines with low costs have owners who can wait",
    )
    restart_margin: float = parameter(
        1.15, "restart price over variable cost", 1.0, 5.0, "assumed: pays for crews and refit"
    )
    restart_months: int = parameter(
        6, "months above it before output resumes", 1, 120, "assumed: hiring, dewatering, refit"
    )
    pace: float = parameter(
        0.15,
        "share of a firm's capacity stopped or restarted a month",
        0.01,
        1.0,
        "assumed: Finniss milled its stockpile for half a year after mining had stopped",
    )


@dataclass
class Depletion:
    """Mines run out of ore."""

    active: bool = False
    decline_years: float = parameter(
        5.0,
        "years of output left at which output starts to fall",
        0.5,
        50.0,
        "assumed: mine plans look some five years ahead",
    )
    replacement: float = parameter(
        0.5,
        "share of output that exploration adds to reserves",
        0.0,
        1.0,
        "assumed: world reserves were replaced in full for decades, those of a mine are not",
    )


@dataclass
class Entry:
    """Capacity comes in cohorts, a lead time after the decision, and may be given up on the way."""

    active: bool = False
    cost_of_capital: float = parameter(
        0.10, "a year, real", 0.0, 0.5, "discount rate for base metals (CIM Magazine, March 2013)"
    )
    opening_cost_of_capital: float = parameter(
        0.10, "a year, real: new capacity just pays at opening prices", 0.0, 0.5, "the same"
    )
    life_years: float = parameter(20.0, "years of output", 1.0, 100.0, "assumed")
    running_share: float = parameter(
        0.6, "running cost over the opening price", 0.0, 0.95, "assumed: as the mean variable cost"
    )
    decision_months: float = parameter(
        6.0, "months in which a gap is decided on", 1.0, 120.0, "assumed: studies and financing"
    )
    foresight: float = parameter(
        0.8,
        "share of the price fall from capacity under construction that firms reckon with",
        0.0,
        1.0,
        "assumed: projects are announced; 0 is the cobweb",
    )
    cancel_trigger: float = parameter(
        0.8,
        "worth over money still to be spent, below which projects are given up",
        0.0,
        1.0,
        "assumed: waiting has a value (Dixit and Pindyck 1994); 1 is the rule of present value",
    )
    cancel_share: float = parameter(
        0.1, "share of such projects given up a month", 0.0, 1.0, "assumed: boards meet quarterly"
    )
    brownfield_share: float = parameter(
        0.0, "share of new capacity that expands running sites", 0.0, 1.0, "off"
    )
    brownfield_time: float = parameter(
        0.35,
        "lead time of such an expansion over that of a new site",
        0.05,
        1.0,
        "assumed: one to two years where a new mine takes five, as in lithium in 2021-23",
    )


@dataclass
class HostMetals:
    """By-products cannot outgrow the metal they come with."""

    active: bool = False
    scale: float = parameter(
        1.0, "multiple of the tabulated ceiling", 0.1, 10.0, "byproduct_ceiling by market"
    )
    growth: float = parameter(
        0.02, "growth of host metals a year", -0.1, 0.2, "assumed: aluminium, zinc and copper"
    )


@dataclass
class Planning:
    """How firms plan: contracts, idling, depletion, entry and the tie to host metals."""

    contracts: Contracts = field(default_factory=Contracts)
    idling: Idling = field(default_factory=Idling)
    depletion: Depletion = field(default_factory=Depletion)
    entry: Entry = field(default_factory=Entry)
    host_metals: HostMetals = field(default_factory=HostMetals)


@dataclass
class Behaviour:
    """How firms and buyers answer. Common to all minerals."""

    price_memory: float = parameter(0.3, "weight of the last month", 0.01, 1.0, "assumed")
    trend_memory: float = parameter(
        0.09,
        "weight of the last month in the price trend; 0: no trend",
        0.0,
        1.0,
        "as in double smoothing at this price_memory, which does not swing (Brown 1963)",
    )
    trend_damping: float = parameter(
        0.85,
        "share of the trend expected to last another month",
        0.0,
        1.0,
        "assumed: 0.8 to 0.98 is usual (Hyndman and Athanasopoulos 2021, from memory)",
    )
    customary_memory: float = parameter(0.04, "weight of the last month", 0.0, 1.0, "assumed: 2 y")
    investment_memory: float = parameter(0.05, "weight of the last month", 0.0, 1.0, "assumed")
    hoarding: float = parameter(
        2.0,
        "extra cover at full risk, share of target",
        0.0,
        10.0,
        "assumed: Japanese users held six to twelve months of rare earths in 2011-12 (from memory)",
    )
    anticipation: float = parameter(
        0.0,
        "extra cover at full risk per 10 % of expected gain a month, share of target",
        0.0,
        20.0,
        "off",
    )
    momentum: float = parameter(
        0.0,
        "anticipation where supply is in no doubt, share of that at full risk",
        0.0,
        1.0,
        "off",
    )
    carrying_cost: float = parameter(
        0.01,
        "a month: expected rise or fall that makes no buyer store more or less",
        0.0,
        0.2,
        "assumed: interest and storage of 12 % a year",
    )
    contagion: float = parameter(0.2, "risk felt by those not targeted", 0.0, 1.0, "assumed")
    risk_decay: float = parameter(0.05, "share forgotten a month", 0.0, 1.0, "assumed")
    adjustment_months: float = parameter(6.0, "months to close a stock gap", 1.0, 60.0, "assumed")
    drawdown_months: float = parameter(1.5, "months to run spare stock down", 1.0, 60.0, "assumed")
    minimum_cover: float = parameter(0.3, "share of the target cover", 0.0, 1.0, "assumed")
    order_width: float = parameter(0.5, "price range of an order, share", 0.01, 5.0, "assumed")
    distress: float = parameter(
        3.0,
        "multiple of the expected price at which minimum cover is given up",
        1.0,
        50.0,
        "assumed",
    )
    speculation: float = parameter(
        0.1, "extra buying when cheap, share of need", 0.0, 2.0, "assumed"
    )
    markup_speed: float = parameter(0.05, "a month", 0.0, 1.0, "assumed")
    markup_bound: float = parameter(0.05, "fraction, firm without power", 0.0, 1.0, "assumed")
    market_power: float = parameter(
        0.1, "share of the dominant-firm mark-up charged", 0.0, 1.0, "assumed"
    )
    rights_reserve: float = parameter(
        0.0,
        "share of last month's rent below which exporters leave their rights unused",
        0.0,
        0.99,
        "off",
    )
    shutdown_price: float = parameter(
        0.2, "share of the opening price below which a firm sells nothing", 0.01, 0.9, "assumed"
    )
    inventory_offer: float = parameter(0.5, "share of inventory on offer", 0.0, 1.0, "assumed")
    qualification_months: float = parameter(
        18.0, "months", 1.0, 120.0, "qualifying a supplier takes one to two years; assumed"
    )
    attrition_years: float = parameter(
        5.0, "years", 1.0, 100.0, "assumed: closures after sustained low prices, and wear"
    )


@dataclass
class Randomness:
    """Outside events, all drawn before month one."""

    active: bool = True
    demand_noise: float = parameter(0.02, "standard deviation, world", 0.0, 0.5, "assumed")
    country_noise: float = parameter(0.01, "standard deviation, country", 0.0, 0.5, "assumed")
    noise_memory: float = parameter(0.8, "autocorrelation a month", 0.0, 0.99, "assumed")
    outage_rate: float = parameter(0.004, "a month, at WGI stability 0", 0.0, 0.5, "assumed")
    outage_months: float = parameter(3.0, "months, mean", 1.0, 60.0, "assumed")
    stability_effect: float = parameter(
        0.5, "log rate per point of WGI political stability", 0.0, 3.0, "assumed"
    )
    tension_noise: float = parameter(
        0.005, "standard deviation a month of tension", 0.0, 0.5, "assumed: 0.025 in the long run"
    )


@dataclass
class Accounting:
    """How gains and burdens are reported; nothing of it acts on the model."""

    pass_through: float = parameter(
        0.7, "share of a cost that industry passes on", 0.0, 1.5, "assumed: 0.6 to 1 is usual"
    )
    uncovered_months: float = parameter(
        3.0, "months of need that stock should cover", 0.1, 60.0, "assumed: the length of a licence"
    )


@dataclass
class Uncertainty:
    """Whether replications draw behaviour from a posterior instead of taking central settings.

    Settings that were given another value than their default, and those named in `keep`, are not
    drawn. `table` is a CSV of draws; the built-in one where empty.
    """

    active: bool = False
    table: str = ""
    keep: list[str] = field(default_factory=list)


@dataclass
class Sensitivity:
    """How the study of sensitivity samples parameters: a screening, then variance shares."""

    trajectories: int = parameter(
        8, "walks of the screening", 2, 10_000, "choice: 4 to 10 are usual"
    )
    survivors: int = parameter(
        10, "parameters whose variance shares are estimated, at most", 1, 1000, "choice"
    )
    base_samples: int = parameter(
        64, "base points of the variance shares, a power of 2", 2, 1_048_576, "choice"
    )
    spread: float = parameter(
        2.0, "range of a setting without a prior, as a factor", 1.01, 100.0, "choice"
    )


@dataclass
class Phase:
    """The grid of the study of phases: how severe a control is, and how wide the alliance.

    The circles are nested. They hold the countries of all circles of the run in an order: by their
    use of the minerals under control, or by the month in which they join, then by use.
    """

    severities: list[float] = parameter(
        [0.2, 0.4, 0.6, 0.8, 1.0], "share of normal trade at stake", 0.001, 1.0, "choice"
    )
    steps: int = parameter(6, "nested circles, at most", 1, 100, "choice")
    order: Ordering = Ordering.use


@dataclass
class Resilience:
    """How suppliers are cut off one at a time, and when a user has survived and recovered.

    Every country that ships at least `least_share` of the foreign trade in some mineral at some
    stage is cut, in all its minerals at once; `suppliers` names others instead. A user survives
    while it has at least `survival` of its undisturbed supply, and has recovered when it is short
    of supply by `band` of that at most, and pays no more than that above the undisturbed price,
    until the end of the run and for `settled_months` at least.
    """

    cut: Cut = Cut.ban
    suppliers: list[str] = field(default_factory=list)
    least_share: float = parameter(
        0.1, "share of the foreign trade in a mineral", 0.001, 1.0, "choice"
    )
    start: str = "2027-01"
    months: int = parameter(24, "months a cut lasts", 1, 1200, "choice")
    survival: float = parameter(
        0.75, "share of undisturbed supply", 0.01, 1.0, "choice: one in four goes without"
    )
    band: float = parameter(
        0.1, "share of undisturbed supply and price", 0.0, 10.0, "choice: swings in calm years"
    )
    settled_months: int = parameter(6, "months", 1, 120, "choice: shorter is a pause")


@dataclass
class Joining:
    """How the study of accession splits the effect of an alliance among those who join it.

    `players` names groups of countries that join as one; every other member of the circle is a
    player by itself. `candidates` are those who might join next: countries, groups of `players`,
    circles of the table memberships, or roles (allied, partner, neutral).
    """

    players: dict[str, list[str]] = field(default_factory=dict)
    candidates: list[str] = field(default_factory=lambda: ["allied", "partner"])
    exact_up_to: int = parameter(
        10,
        "players up to which every coalition is run; of more, orders are sampled",
        1,
        16,
        "choice",
    )
    rings: int = parameter(
        4, "rounds of sampled orders, one ring a replication each, at most", 2, 1000, "choice"
    )
    precision: float = parameter(
        0.05,
        "standard error of sampling over the largest value, at which sampling stops",
        0.0,
        1.0,
        "choice",
    )


@dataclass
class Ambition:
    """How much an alliance does together: instruments it has, and how strong they are.

    `settings` gives numbers of the instruments by name, such as {stockpiles.target_months: 6}.
    Without instruments there is no alliance.
    """

    instruments: list[str] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)


@dataclass
class Pathways:
    """What the study of pathways compares, and the milestones it holds the paths against.

    Every ambition, by name, meets every scenario of demand; all are compared with no alliance.
    `milestones` names the table of milestones: a path, or a file beside the experiments of conf.
    """

    scenarios: list[DemandScenario] = field(default_factory=lambda: [DemandScenario.constant])
    ambitions: dict[str, Ambition] = field(default_factory=dict)
    milestones: str = "milestones.csv"


@dataclass
class Config:
    """One run of the command."""

    name: str = "membership"
    question: Question = Question.membership
    world: WorldConfig = field(default_factory=WorldConfig)
    horizon: Horizon = field(default_factory=Horizon)
    membership: Membership = field(default_factory=Membership)
    instruments: Instruments = field(default_factory=Instruments)
    shock: Control = field(default_factory=Control)
    shocks: dict[str, Control] = field(default_factory=dict)
    controls: list[Control] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    caps: list[ProductionCap] = field(default_factory=list)
    purchases: list[StatePurchase] = field(default_factory=list)
    demand_facts: list[DemandFact] = field(default_factory=list)
    hindcast: Hindcast = field(default_factory=Hindcast)
    projects: Projects = field(default_factory=Projects)
    producers: Producers = field(default_factory=Producers)
    tension: Tension = field(default_factory=Tension)
    accession: Accession = field(default_factory=Accession)
    instability: Instability = field(default_factory=Instability)
    demand: DemandPath = field(default_factory=DemandPath)
    shipping: Shipping = field(default_factory=Shipping)
    recycling: Recycling = field(default_factory=Recycling)
    substitution: Substitution = field(default_factory=Substitution)
    planning: Planning = field(default_factory=Planning)
    accounting: Accounting = field(default_factory=Accounting)
    behaviour: Behaviour = field(default_factory=Behaviour)
    randomness: Randomness = field(default_factory=Randomness)
    uncertainty: Uncertainty = field(default_factory=Uncertainty)
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    phase: Phase = field(default_factory=Phase)
    resilience: Resilience = field(default_factory=Resilience)
    joining: Joining = field(default_factory=Joining)
    pathways: Pathways = field(default_factory=Pathways)
    seeds: int = parameter(8, "paired replications", 1, 1_000_000, "choice")
    first_seed: int = parameter(0, "seed", 0, 2_000_000_000, "choice")
    full_tables: int = parameter(
        16, "replications whose tables by month and flow are kept", 0, 1_000_000, "choice"
    )
    workers: int = parameter(0, "processes; 0: one per core", 0, 1024, "choice")
    results: str = "results"


def month_index(text: str, start: str) -> int:
    """Months from `start` to `text`, both 'YYYY-MM'; negative before the start."""
    return _months(text) - _months(start)


@lru_cache(maxsize=4096)
def month_name(start: str, index: int) -> str:
    """The month `index` months after `start`, as 'YYYY-MM'."""
    months = _months(start) + index
    return f"{months // 12:04d}-{months % 12 + 1:02d}"


def check(config: Config) -> None:
    """Refuse values that are out of range or contradict each other.

    Raises
    ------
    ConfigError
        With the setting's full name, its value and the cure, in one sentence.
    """
    for path, about, value in _parameters(config, ""):
        for number in value if isinstance(value, list) else [value]:
            _check_range(path, about, number)
    _check_month("horizon.start", config.horizon.start)
    _check_start(config)
    _check_demand(config.demand)
    for name, circle in config.membership.circles.items():
        _check_circle(name, circle)
    for name, together in config.membership.cases.items():
        _check_case(name, together, config.membership)
    for path, control in named_controls(config):
        check_control(path, control)
    _check_compared(config)
    for path, fact in named_facts(config):
        _check_fact(path, fact)
    _check_month("instruments.standards.since", config.instruments.standards.since)
    _check_shipping(config.shipping)
    _check_instability(config.instability)
    _check_month("resilience.start", config.resilience.start)
    _check_pathways(config.pathways)
    base = config.sensitivity.base_samples
    if base & (base - 1):
        raise ConfigError(
            f"sensitivity.base_samples is {base}, which is no power of 2; give one such as "
            f"{1 << base.bit_length()}"
        )
    for role in config.instruments.investment_fund.partners:
        if role not in ROLES:
            raise ConfigError(
                f"instruments.investment_fund.partners contains {role!r}; "
                f"choose from {', '.join(ROLES)}"
            )


def with_projects(config: Config) -> bool:
    """Whether mines and plants of the table projects may be built."""
    return config.projects.active or config.instruments.investment_fund.active


def named_controls(config: Config) -> Iterator[tuple[str, Control]]:
    """The shock and the extra controls, each with the name a user knows it by."""
    yield "shock", config.shock
    for position, control in enumerate(config.controls):
        yield f"controls[{position}]", control


type Fact = Outage | ProductionCap | StatePurchase | DemandFact


def named_facts(config: Config) -> Iterator[tuple[str, Fact]]:
    """The dated facts besides controls, each with the name a user knows it by."""
    for kind in ("outages", "caps", "purchases", "demand_facts"):
        for position, fact in enumerate(getattr(config, kind)):
            yield f"{kind}[{position}]", fact


def _check_compared(config: Config) -> None:
    """Refuse shocks to compare where the question compares none."""
    if config.shocks and config.question is not Question.instruments:
        raise ConfigError(
            f"shocks holds {', '.join(config.shocks)}, which only the study of instruments "
            f"compares; give experiment=instruments, or one shock such as "
            f"shock={next(iter(config.shocks))}"
        )
    for name, control in config.shocks.items():
        path = f"shocks.{name}"
        for inner, about, value in _parameters(control, f"{path}."):
            _check_range(inner, about, value)
        check_control(path, control)


def check_control(path: str, control: Control) -> None:
    """Refuse a control that cannot be meant, whatever the world is."""
    for name in ("announced", "start", "end"):
        value = getattr(control, name)
        if value or name == "start":
            _check_month(f"{path}.{name}", value)
    if control.end and _months(control.end) <= _months(control.start):
        raise ConfigError(
            f"{path}.end is {control.end}, not after its start {control.start}; "
            "give a later month or leave it empty for a control without end"
        )
    if control.announced and _months(control.announced) > _months(control.start):
        raise ConfigError(
            f"{path}.announced is {control.announced}, after its start {control.start}; "
            "give the same or an earlier month"
        )
    if control.by in control.targets:
        raise ConfigError(
            f"{path}.targets contains {control.by}, the country that imposes the control; "
            "a country cannot restrict exports to itself, so take it out of the list"
        )
    if control.instrument is Instrument.dumping and control.rate >= 1.0:
        raise ConfigError(
            f"{path}.rate is {control.rate:.10g}, but exports cannot be dumped at nothing or "
            "less; give a share of the price below 1"
        )
    if control.instrument is not Instrument.none and not (control.minerals or control.family):
        raise ConfigError(f"{path}.minerals is empty; name at least one mineral, or [all]")
    if control.instrument is not Instrument.none and not control.targets:
        raise ConfigError(
            f"{path}.targets is empty, so the control would hit nobody; name countries, circles, "
            "members or world"
        )
    if control.validated_share > 0 and control.instrument in (Instrument.tax, Instrument.ban):
        raise ConfigError(
            f"{path}.validated_share is {control.validated_share:.10g}, but only a quota or a "
            "licence exempts validated users; set it to 0, or use a licence with approval_share=0"
        )
    if control.smuggled_share > 0 and control.instrument not in (Instrument.tax, Instrument.quota):
        raise ConfigError(
            f"{path}.smuggled_share is {control.smuggled_share:.10g}, but only quotas and taxes "
            "are passed by smugglers; leave it at 0 and lower enforcement instead"
        )
    if control.instrument is not Instrument.none and not control.stages:
        raise ConfigError(f"{path}.stages is empty; give [mined], [refined] or both")


def _check_fact(path: str, fact: Fact) -> None:
    """Refuse a dated fact that cannot be meant, whatever the world is."""
    _check_span(path, fact.start, fact.end)
    if isinstance(fact, DemandFact) and not fact.end:
        raise ConfigError(f"{path}.end is empty; give the month in which the growth ends")
    if isinstance(fact, (Outage, ProductionCap)) and fact.announced:
        _check_month(f"{path}.announced", fact.announced)
        if _months(fact.announced) > _months(fact.start):
            raise ConfigError(
                f"{path}.announced is {fact.announced}, after its start {fact.start}; "
                "give the same or an earlier month"
            )
    if isinstance(fact, (Outage, ProductionCap)) and not fact.stages:
        raise ConfigError(f"{path}.stages is empty; give [mined], [refined] or both")
    named = isinstance(fact, StatePurchase) or fact.minerals
    if not (named or (isinstance(fact, ProductionCap) and fact.family)):
        raise ConfigError(f"{path}.minerals is empty; name at least one mineral, or [all]")


def _check_span(path: str, start: str, end: str) -> None:
    _check_month(f"{path}.start", start)
    if end:
        _check_month(f"{path}.end", end)
        if _months(end) <= _months(start):
            raise ConfigError(
                f"{path}.end is {end}, not after its start {start}; give a later month"
                " or leave it empty if it lasts"
            )


def _parameters(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    for item in fields(node):
        value, name = getattr(node, item.name), f"{path}{item.name}"
        if is_dataclass(value):
            yield from _parameters(value, f"{name}.")
        elif isinstance(value, list) and value and is_dataclass(value[0]):
            for position, entry in enumerate(value):
                yield from _parameters(entry, f"{name}[{position}].")
        elif "unit" in item.metadata:
            yield name, item.metadata, value


def _check_range(path: str, about: Any, value: float) -> None:
    if not about["low"] <= value <= about["high"]:
        raise ConfigError(
            f"{path} is {value:.10g} ({about['unit']}); give a value from {about['low']:.10g} to "
            f"{about['high']:.10g}"
        )


def _check_month(path: str, text: str) -> None:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        raise ConfigError(f"{path} is {text!r}; give a month as YYYY-MM, such as 2027-01")


def _check_start(config: Config) -> None:
    first, given = config.world.year + 1, int(config.horizon.start[:4])
    if given < first or (first <= YEAR_OF_TABLES and given > first):
        raise ConfigError(
            f"horizon.start is {config.horizon.start}, but the world opens with the average of "
            f"{config.world.year}; give {first}-01, or another world.year"
        )


def _check_demand(demand: DemandPath) -> None:
    _check_month("demand.surprise_start", demand.surprise_start)
    growth = (demand.clean_energy, demand.digital, demand.defence)
    constant = demand.scenario is DemandScenario.constant
    if not demand.active and (any(growth) or not constant):
        raise ConfigError(
            f"demand.active is false, so the scenario {demand.scenario.value} and the extra growth "
            f"{growth} of demand would do nothing; set demand.active=true"
        )


def _check_circle(name: str, circle: Circle) -> None:
    path = f"membership.circles.{name}"
    _check_month(f"{path}.since", circle.since)
    if name == "none":
        raise ConfigError("membership.circles.none: the name none is kept for the world without")
    if not circle.table and not circle.add:
        raise ConfigError(
            f"{path} has no members; name a circle of the table memberships "
            "in table, or countries in add"
        )
    for column in ("joins", "exits"):
        for country, month in getattr(circle, column).items():
            _check_month(f"{path}.{column}.{country}", month)
    for country, share in circle.share.items():
        if not 0.0 < share <= 1.0:
            raise ConfigError(
                f"{path}.share.{country} is {share:.10g}; give a share above 0 and up to 1, "
                "or take the country out with drop"
            )
    known = [item.name for item in fields(Instruments)]
    for where, names in [("instruments", circle.instruments), *_partner_lists(circle)]:
        for instrument in names:
            if instrument not in known:
                raise ConfigError(
                    f"{path}.{where} contains {instrument!r}, which is no instrument; "
                    f"choose from {', '.join(known)}"
                )


def _check_pathways(pathways: Pathways) -> None:
    known = [item.name for item in fields(Instruments)]
    for name, ambition in pathways.ambitions.items():
        path = f"pathways.ambitions.{name}"
        if name == "none":
            raise ConfigError(f"{path}: the name none is kept for the world without an alliance")
        for instrument in ambition.instruments:
            if instrument not in known:
                raise ConfigError(
                    f"{path}.instruments contains {instrument!r}, which is no instrument; "
                    f"choose from {', '.join(known)}"
                )
        for setting in ambition.settings:
            _check_number(f"{path}.settings", setting)


def _check_number(path: str, setting: str) -> None:
    """Refuse the name of a setting of an instrument that is none, or that takes no number."""
    instruments = Instruments()
    numbers = [
        f"{group.name}.{item.name}"
        for group in fields(instruments)
        for item in fields(getattr(instruments, group.name))
        if "unit" in item.metadata
    ]
    if setting in numbers:
        return
    near = [name for name in numbers if name.split(".")[0] == setting.split(".")[0]]
    cure = f"choose from {', '.join(near)}" if near else "write INSTRUMENT.SETTING"
    raise ConfigError(f"{path} contains {setting!r}, which is no number to set; {cure}")


def _partner_lists(circle: Circle) -> list[tuple[str, list[str]]]:
    return [(f"partners.{country}", names) for country, names in circle.partners.items()]


def _check_case(name: str, together: list[str], membership: Membership) -> None:
    path = f"membership.cases.{name}"
    if name == "none":
        raise ConfigError("membership.cases.none: the name none is kept for the world without")
    if not together:
        raise ConfigError(f"{path} is empty; name the circles that are in force together")
    for circle in together:
        if circle not in membership.circles:
            known = ", ".join(membership.circles) or "(there are none)"
            raise ConfigError(
                f"{path} contains {circle!r}, which is no circle of the run; choose from {known}"
            )


def _check_shipping(shipping: Shipping) -> None:
    for position, closure in enumerate(shipping.closures):
        path = f"shipping.closures[{position}]"
        _check_month(f"{path}.start", closure.start)
        if closure.end:
            _check_month(f"{path}.end", closure.end)
            if _months(closure.end) <= _months(closure.start):
                raise ConfigError(
                    f"{path}.end is {closure.end}, not after its start {closure.start}; give a "
                    "later month or leave it empty for a closure without end"
                )


def _check_instability(instability: Instability) -> None:
    if instability.least_lost > instability.most_lost:
        raise ConfigError(
            f"instability.least_lost is {instability.least_lost:g}, above most_lost "
            f"{instability.most_lost:g}; lower it or raise most_lost"
        )


@lru_cache(maxsize=4096)
def _months(text: str) -> int:
    year, month = text.split("-")
    return 12 * int(year) + int(month) - 1

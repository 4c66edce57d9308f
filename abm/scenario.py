"""What differs between paired runs: who is a member, since when, and which controls are dated."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from abm.config import (
    AccessionRule,
    Circle,
    Config,
    ConfigError,
    Control,
    Instrument,
    Instruments,
    Rights,
    Stage,
    Weight,
    month_index,
    named_controls,
)
from abm.world import MONTHS, World

NEVER = 1_000_000  # a month no horizon reaches
BEFORE = -1  # a month before the opening


@dataclass(frozen=True, eq=False)
class DatedControl:
    """A control with every name resolved to rows and every date to a month of the run."""

    name: str
    instrument: Instrument
    exporter: int
    markets: np.ndarray
    destinations: np.ndarray
    groups: tuple[np.ndarray, ...]  # rows of `markets` that stand under one limit
    unit: np.ndarray  # [control market] t by the weight a common limit counts per contained t
    exports: np.ndarray  # [control market, destination] t/month at the opening
    opening_exports: np.ndarray  # [control market] their sum
    validated: np.ndarray  # [control market, destination] share of trade of validated users
    announced: int
    start: int
    end: int
    quota_share: float  # of opening exports, also where the quota is given in tonnes
    terms: Control

    @property
    def severity(self) -> float:
        """Share of normal trade the text of the control puts at stake, 0 to 1: what buyers fear.

        Buyers read the announcement, not the loopholes: enforcement does not enter.
        """
        terms = self.terms
        at_stake = {
            Instrument.none: 0.0,
            Instrument.tax: 0.5 * terms.rate,
            Instrument.quota: 1.0 - self.quota_share,
            Instrument.licence: 1.0 - terms.approval_share,
            Instrument.ban: 1.0,
            Instrument.dumping: 0.0,
        }
        return min(max(at_stake[self.instrument], 0.0), 1.0)

    @property
    def licensed_exports(self) -> np.ndarray:
        """[control market] t/month at the opening that are not of validated users."""
        return self.opening_exports - (self.exports * self.validated).sum(axis=1)

    @cached_property
    def each_alone(self) -> bool:
        """Whether every market stands under a limit of its own, in their order."""
        return [rows.tolist() for rows in self.groups] == [
            [row] for row in range(self.markets.size)
        ]

    def weighed(self, tonnes: np.ndarray) -> list[float]:
        """[group] contained tonnes [control market] by the weight that its limit counts."""
        if self.each_alone:
            return tonnes.tolist()
        return [
            float(tonnes[rows[0]] if rows.size == 1 else (self.unit[rows] * tonnes[rows]).sum())
            for rows in self.groups
        ]

    def published_tonnes(self, rows: np.ndarray) -> float:
        """The quota in tonnes a year as the limit of a group counts it."""
        return self.terms.quota_tonnes / (float(self.unit[rows[0]]) if rows.size == 1 else 1.0)

    @property
    def rights(self) -> Rights:
        """Who collects the rent of the limit."""
        return self.terms.rights


@dataclass(frozen=True, eq=False)
class Bloc:
    """A circle in force: who is in it from when to when, and what it does together."""

    name: str
    joined: np.ndarray  # [country] month of joining, NEVER for outsiders
    left: np.ndarray  # [country] first month outside again, NEVER where none is known
    share: np.ndarray  # [country] how far each takes part once it is in, 0 to 1
    instruments: frozenset[str]
    partners: dict[str, np.ndarray]  # instrument -> [country] who takes part without being in
    since: int  # month from which partners take part

    def inside(self, month: int) -> np.ndarray:
        """[country] how far each country belongs to the circle in a month, 0 to 1."""
        return self.share * ((self.joined <= month) & (month < self.left))

    def part(self, month: int, instrument: str) -> np.ndarray:
        """[country] how far each takes part in an instrument, 0 to 1: members and partners."""
        part = self.inside(month) * (instrument in self.instruments)
        if instrument in self.partners and month >= self.since:
            part = np.maximum(part, self.partners[instrument])
        return part


@dataclass(frozen=True, eq=False)
class Scenario:
    """One cell of a paired comparison."""

    membership: str
    shock: str
    count: int  # of countries
    circles: tuple[Bloc, ...]  # in force together
    instruments: Instruments
    controls: tuple[DatedControl, ...]

    def inside(self, month: int) -> np.ndarray:
        """[country] how far each country is a member of any circle in a month, 0 to 1."""
        return self._most([circle.inside(month) for circle in self.circles])

    def members(self, month: int) -> np.ndarray:
        """[country] who is a member of any circle in a month."""
        return self.inside(month) > 0

    def founders(self, months: int) -> np.ndarray:
        """[country] who is a member in any of so many months by the circles as they stand here.

        Of the scenario that a run opens with: whom the definition of its circles lets in, whoever
        joins or leaves by choice.
        """
        found = np.zeros(self.count, dtype=bool)
        for month in range(months):
            found |= self.members(month)
        return found

    def participation(self, month: int, instrument: str) -> np.ndarray:
        """[country] how far each country takes part in an instrument of the alliance, 0 to 1.

        In circles that overlap, the one in which it takes the larger part counts.

        Parameters
        ----------
        instrument
            Its name among `Instruments`; an instrument that is switched off has no participants.
        """
        if not getattr(self.instruments, instrument).active:
            return np.zeros(self.count)
        return self._most([circle.part(month, instrument) for circle in self.circles])

    def together(self, month: int, instrument: str, commitment: np.ndarray) -> np.ndarray:
        """[country, country] how far two countries take part in an instrument in one circle.

        Parameters
        ----------
        commitment
            [country] factor on the part of each.
        """
        pairs = np.zeros((self.count, self.count))
        if getattr(self.instruments, instrument).active:
            for circle in self.circles:
                part = circle.part(month, instrument) * commitment
                np.maximum(pairs, part[:, None] * part[None, :], out=pairs)
        return pairs

    def since(self, instrument: str) -> np.ndarray:
        """[country] month of joining the first circle that has an instrument; NEVER if none."""
        joined = [circle.joined for circle in self.circles if instrument in circle.instruments]
        return np.minimum.reduce(joined) if joined else np.full(self.count, NEVER)

    @cached_property
    def turns(self) -> list[int]:
        """Months in which somebody joins or leaves a circle or partners begin, in order."""
        dates = [np.append([circle.joined, circle.left], circle.since) for circle in self.circles]
        return np.unique(np.concatenate(dates)).tolist() if dates else []

    def _most(self, parts: list[np.ndarray]) -> np.ndarray:
        most = np.zeros(self.count)
        for part in parts:
            np.maximum(most, part, out=most)
        return most


class Participation:
    """How far countries take part in each instrument, worked out when it changes."""

    def __init__(self) -> None:
        self._case: Scenario | None = None
        self._period = -1
        self._commitment: np.ndarray | None = None
        self._known: dict[str, np.ndarray] = {}
        self._anyone: dict[str, bool] = {}
        self._pairs: dict[str, np.ndarray] = {}
        self._last_pairs: dict[str, np.ndarray] = {}

    def of(self, case: Scenario, month: int, commitment: np.ndarray, instrument: str) -> np.ndarray:
        """[country] the part a case gives times the commitment, 0 to 1; not to be written to."""
        self._look_at(case, month, commitment)
        found = self._known.get(instrument)
        if found is None:
            found = self._known[instrument] = case.participation(month, instrument) * commitment
        return found

    def anyone(self, case: Scenario, month: int, commitment: np.ndarray, instrument: str) -> bool:
        """Whether some country takes part in an instrument."""
        part = self.of(case, month, commitment, instrument)
        found = self._anyone.get(instrument)
        if found is None:
            found = self._anyone[instrument] = bool(part.any())
        return found

    def pairs(
        self, case: Scenario, month: int, commitment: np.ndarray, instrument: str
    ) -> np.ndarray:
        """[country, country] as `Scenario.together`; the same array while nobody's part changes."""
        self._look_at(case, month, commitment)
        if instrument not in self._pairs:
            found = case.together(month, instrument, commitment)
            last = self._last_pairs.get(instrument)
            if last is None or not np.array_equal(last, found):
                last = self._last_pairs[instrument] = found
            self._pairs[instrument] = last
        return self._pairs[instrument]

    def _look_at(self, case: Scenario, month: int, commitment: np.ndarray) -> None:
        """Forget what was worked out for another case, commitment or time between two turns."""
        period = bisect_right(case.turns, month)
        if self._period != period or self._commitment is not commitment or self._case is not case:
            self._case, self._period, self._commitment = case, period, commitment
            self._known, self._anyone, self._pairs = {}, {}, {}


def scenarios(config: Config, world: World) -> list[Scenario]:
    """Every case of membership, and the world without one, with and without the shock."""
    membership = config.membership
    cases = membership.cases or {name: [name] for name in membership.circles}
    for code in config.accession.candidates:
        check_country(code, "accession.candidates", world)
    with_shock = [False] + [True] * (config.shock.instrument is not Instrument.none)
    blocs = {name: _bloc(config, world, name) for name in membership.circles}
    return [
        _scenario(config, world, name, tuple(blocs[circle] for circle in circles), shocked)
        for name, circles in {"none": [], **cases}.items()
        for shocked in with_shock
    ]


def members_of(circle: Circle, name: str, world: World) -> list[str]:
    """Country codes of a circle of the configuration.

    Raises
    ------
    ConfigError
        For a circle or a country that no table knows, and for a circle of nobody.
    """
    listed: list[str] = []
    if circle.table:
        if circle.table not in world.circles:
            raise ConfigError(
                f"membership.circles.{name}.table is {circle.table!r}, which memberships.csv does "
                f"not list; choose from {', '.join(sorted(world.circles))}"
            )
        listed = list(world.circles[circle.table])
    for code in [*circle.add, *circle.drop]:
        check_country(code, f"membership.circles.{name}", world)
    chosen = {*listed, *circle.add} - set(circle.drop)
    if not chosen:
        raise ConfigError(
            f"membership.circles.{name}.drop takes out all its {len(set(circle.drop))} members; "
            "keep at least one, or leave the circle out"
        )
    return [code for code in world.countries if code in chosen]


def _bloc(config: Config, world: World, name: str) -> Bloc:
    """A circle of the configuration with names resolved to rows and dates to months."""
    circle, path = config.membership.circles[name], f"membership.circles.{name}"
    members, count = members_of(circle, name, world), len(world.countries)
    for part in ("joins", "exits", "share"):
        for code in getattr(circle, part):
            check_country(code, f"{path}.{part}", world)
            if code not in members:
                raise ConfigError(
                    f"{path}.{part} names {code}, which is not in the circle; put it into add, "
                    "or leave it out"
                )
    joined, left, share = np.full(count, NEVER), np.full(count, NEVER), np.ones(count)
    for code in members:
        row = world.country(code)
        date = _joining_date(config, world, circle, code)
        joined[row] = max(1, month_index(date, config.horizon.start))
        share[row] = circle.share.get(code, 1.0)
        if code in circle.exits:
            left[row] = month_index(circle.exits[code], config.horizon.start)
            if circle.exits[code] <= date:
                raise ConfigError(
                    f"{path}.exits.{code} is {circle.exits[code]}, not after the country joins, "
                    f"{date}; give a later month"
                )
    return Bloc(
        name=name,
        joined=joined,
        left=left,
        share=share,
        instruments=frozenset(circle.instruments or [item.name for item in fields(Instruments)]),
        partners=_partners(circle, path, members, world),
        since=max(1, month_index(circle.since, config.horizon.start)),
    )


def _joining_date(config: Config, world: World, circle: Circle, code: str) -> str:
    """The country's own date; else, on schedule, that of the table; else that of the circle."""
    listed = world.circles.get(circle.table, {}).get(code, circle.since)
    accession = config.accession
    scheduled = accession.active and accession.rule is AccessionRule.scheduled
    return circle.joins.get(code, listed if scheduled else max(circle.since, listed))


def _partners(circle: Circle, path: str, members: list[str], world: World) -> dict[str, np.ndarray]:
    partners: dict[str, np.ndarray] = {}
    for code, instruments in circle.partners.items():
        check_country(code, f"{path}.partners", world)
        if code in members:
            raise ConfigError(
                f"{path}.partners names {code}, which is a member; take it out of one of the two"
            )
        for instrument in instruments:
            parts = partners.setdefault(instrument, np.zeros(len(world.countries)))
            parts[world.country(code)] = 1.0
    return partners


def _scenario(
    config: Config, world: World, name: str, circles: tuple[Bloc, ...], shocked: bool
) -> Scenario:
    ever = np.zeros(len(world.countries), dtype=bool)
    for circle in circles:
        ever |= circle.joined < NEVER
    dated = [
        _dated(path, control, config, world, ever)
        for path, control in named_controls(config)
        if control.instrument is not Instrument.none and (path != "shock" or shocked)
    ]
    _check_weights(dated, world)
    return Scenario(
        membership=name,
        shock=config.shock.name if shocked else "none",
        count=len(world.countries),
        circles=circles,
        instruments=config.instruments,
        controls=tuple(control for control in dated if control.destinations.size),
    )


def _check_weights(controls: list[DatedControl], world: World) -> None:
    """Common limits on one market must count it by one weight: the market clears in its unit."""
    weight: dict[int, Weight] = {}
    for control in controls:
        for rows in control.groups:
            for market in control.markets[rows] if rows.size > 1 else ():
                if weight.setdefault(int(market), control.terms.weight) != control.terms.weight:
                    raise ConfigError(
                        f"the common limits on {' '.join(world.markets[market])} weigh it both "
                        "contained and gross; give their controls the same weight"
                    )


def _dated(
    path: str, control: Control, config: Config, world: World, members: np.ndarray
) -> DatedControl:
    check_country(control.by, f"{path}.by", world)
    exporter = world.country(control.by)
    start = config.horizon.start
    begins = month_index(control.start, start)
    since_before = begins < 1 and control.instrument is Instrument.tax
    if begins < 1 and not since_before:
        raise ConfigError(
            f"{path}.start is {control.start}, not after the opening month {start}; "
            f"the opening month is the observed {config.world.year} average, so give a later month "
            "(only a tax may stand since before)"
        )
    announced = month_index(control.announced, start) if control.announced else begins
    markets = _markets(path, control, world)
    targets = _destinations(path, control, world, members, exporter)
    return DatedControl(
        name=control.name if path == "shock" else f"{control.name} ({path})",
        instrument=control.instrument,
        exporter=exporter,
        markets=markets,
        destinations=targets,
        announced=BEFORE if since_before else max(announced, 1),
        start=BEFORE if since_before else begins,
        end=month_index(control.end, start) if control.end else NEVER,
        terms=replace(control),
        **_reach(path, control, world, exporter, markets, targets),
    )


def adopted_control(
    world: World,
    terms: Control,
    exporter: int,
    markets: np.ndarray,
    destinations: np.ndarray,
    start: int,
) -> DatedControl:
    """A control that is adopted during a run: known and in force from a month on, without end.

    Parameters
    ----------
    terms
        Name, instrument and its strength; dates and names of countries and minerals are not read.
    exporter, markets, destinations
        Rows of the world.
    """
    return DatedControl(
        name=terms.name,
        instrument=terms.instrument,
        exporter=exporter,
        markets=markets,
        destinations=destinations,
        announced=start,
        start=start,
        end=NEVER,
        terms=replace(terms),
        **_reach(terms.name, terms, world, exporter, markets, destinations),
    )


def _reach(
    path: str,
    control: Control,
    world: World,
    exporter: int,
    markets: np.ndarray,
    destinations: np.ndarray,
) -> dict[str, Any]:
    """The trade that a control reaches: how much, what stands under one limit, what is exempt."""
    place = np.ix_(markets, [exporter], destinations)
    exports = world.flow[place].sum(axis=(1, 2))
    groups = _groups(control, world, markets)
    unit = np.ones(markets.size)
    if control.weight is Weight.gross:
        unit = world.parameters["gross_weight"][markets]
    return {
        "groups": groups,
        "unit": unit,
        "exports": world.flow[place][:, 0],
        "opening_exports": exports,
        "validated": _validated(path, control, world, markets, destinations),
        "quota_share": _quota_share(control, unit * exports, groups),
    }


def _groups(control: Control, world: World, markets: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of the markets under one limit: each alone, or all of a stage together."""
    if not (control.joint or control.family):
        return tuple(np.array([row]) for row in range(markets.size))
    refined = world.is_refined[markets]
    stages = (np.flatnonzero(~refined), np.flatnonzero(refined))
    return tuple(rows for rows in stages if rows.size)


def _quota_share(control: Control, exports: np.ndarray, groups: tuple[np.ndarray, ...]) -> float:
    """The quota as a share of opening exports [control market] to the targets, by its weight."""
    if control.quota_tonnes < 0:
        return control.quota_share
    largest = max((float(exports[rows].sum()) for rows in groups), default=0.0)
    return control.quota_tonnes / max(MONTHS * largest, 1e-12)


def _validated(
    path: str, control: Control, world: World, markets: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """[control market, destination] share of the need of each target that validated users have."""
    for code in control.validated_countries:
        check_country(code, f"{path}.validated_countries", world)
    for sector in control.validated_sectors:
        if sector not in world.sectors:
            raise ConfigError(
                f"{path}.validated_sectors contains {sector!r}, which is no sector; "
                f"choose from {', '.join(world.sectors)}"
            )
    place = np.ix_(markets, targets)
    part = np.ones((markets.size, targets.size))
    if control.validated_sectors:
        chosen = np.isin(world.sectors, control.validated_sectors)
        final = world.opening.final_use[place]
        whole = final.sum(axis=2) + world.opening.feed_use[place]
        mine = final[:, :, chosen].sum(axis=2)
        part = np.divide(mine, whole, out=np.zeros(whole.shape), where=whole > 0)
    if control.validated_countries:
        part = part * np.isin(np.array(world.countries)[targets], control.validated_countries)
    return control.validated_share * part


def _markets(path: str, control: Control, world: World) -> np.ndarray:
    """Rows of the markets that a control names, and those of its family."""
    wanted = [*world.minerals] if control.minerals == ["all"] else [*control.minerals]
    if control.family:
        wanted += related_minerals(path, control.family, world)
    return named_markets(path, wanted, control.stages, world)


def named_markets(path: str, minerals: list[str], stages: list[Stage], world: World) -> np.ndarray:
    """Rows of the markets of some minerals at some stages.

    Raises
    ------
    ConfigError
        For a mineral that is not in the world; `path` is what the user calls the setting.
    """
    wanted = world.minerals if minerals == ["all"] else minerals
    for mineral in wanted:
        if mineral not in world.minerals:
            raise ConfigError(
                f"{path}.minerals contains {mineral!r}, which is not in this world; "
                f"choose from {', '.join(world.minerals)}, or [all]"
            )
    chosen = {stage.value for stage in stages}
    rows = [
        row
        for row, (mineral, stage) in enumerate(world.markets)
        if mineral in wanted and stage in chosen
    ]
    return np.array(rows, dtype=np.int64)


def related_minerals(path: str, family: str, world: World) -> list[str]:
    """Minerals of a family of the table minerals.

    Raises
    ------
    ConfigError
        For a family to which no mineral of the world belongs.
    """
    relatives = [
        mineral
        for mineral, name in zip(world.minerals, world.families, strict=True)
        if name == family
    ]
    if not relatives:
        known = sorted({name for name in world.families if name})
        raise ConfigError(
            f"{path}.family is {family!r}, to which no mineral of this world belongs; "
            f"choose from {', '.join(known) or 'none'}, or name minerals and say joint=true"
        )
    return relatives


def _destinations(
    path: str, control: Control, world: World, members: np.ndarray, exporter: int
) -> np.ndarray:
    fixed = [word for word in control.targets if word != "members"]
    chosen = named_countries(fixed, f"{path}.targets", world, "'members' or 'world'")
    if "members" in control.targets:
        chosen |= members
    chosen[exporter] = False
    return np.flatnonzero(chosen)


def named_countries(
    words: list[str], path: str, world: World, others: str = "'world'"
) -> np.ndarray:
    """[country] bool: who is meant by country codes, circles and 'world'.

    Raises
    ------
    ConfigError
        For a word that is none of them.
    """
    chosen = np.zeros(len(world.countries), dtype=bool)
    for word in words:
        if word == "world":
            chosen[:] = True
        elif word in world.circles:
            chosen |= np.isin(world.countries, list(world.circles[word]))
        elif word in world.countries:
            chosen[world.country(word)] = True
        else:
            raise ConfigError(
                f"{path} contains {word!r}, which is no country, circle, {others}; "
                f"countries are {', '.join(world.countries)}; "
                f"circles are {', '.join(sorted(world.circles))}"
            )
    return chosen


def check_country(code: str, path: str, world: World) -> None:
    """Refuse a country code that no table knows.

    Raises
    ------
    ConfigError
        Naming the setting, the code and the codes there are.
    """
    if code not in world.countries:
        raise ConfigError(
            f"{path} names the country {code!r}, which countries.csv does not list; "
            f"choose from {', '.join(world.countries)}"
        )

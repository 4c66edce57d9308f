"""Who plays: the members of a circle, alone or grouped, who might join it, and their coalitions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from abm.config import ROLES, AccessionRule, Circle, Config, ConfigError
from abm.scenario import check_country
from abm.world import World
from experiments.measures.effects import ALL
from experiments.study import circle_under_shock, with_settings

NOBODY = "none"
NON_ALLIED, REST = "non_allied", "rest"  # those who never play
JOINED = "+"  # between the names of a coalition


@dataclass(frozen=True)
class Game:
    """Players, candidates and everybody else.

    Attributes
    ----------
    circle
        Name of the circle whose members play.
    players, candidates
        Countries by the name of whom they stand for, in the order of the world.
    others
        The countries that never join, non-allied and the rest, by these names.
    """

    circle: str
    players: Mapping[str, tuple[str, ...]]
    candidates: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]]

    @property
    def parties(self) -> dict[str, tuple[str, ...]]:
        """Everybody whose outcomes are measured, by name; each country once."""
        return {**self.players, **self.candidates, **self.others}

    @property
    def names(self) -> tuple[str, ...]:
        """The players; their places are their bits in a coalition."""
        return tuple(self.players)

    def label(self, coalition: int) -> str:
        """The name of a coalition of players."""
        inside = [name for bit, name in enumerate(self.names) if coalition >> bit & 1]
        return JOINED.join(inside) or NOBODY

    def with_candidate(self, candidate: str) -> str:
        """The name of the whole circle and a candidate."""
        return JOINED.join((*self.names, candidate))

    def countries(self, label: str) -> tuple[str, ...]:
        """The countries of a coalition, by its name."""
        everyone = self.parties
        names = () if label == NOBODY else label.split(JOINED)
        return tuple(code for name in names for code in everyone[name])


def game_of(config: Config, world: World) -> Game:
    """The game that settings describe.

    Raises
    ------
    ConfigError
        Unless there is one circle of two players or more, and a shock; where countries join by
        choice; for a country that no table knows or that two groups name; and for a group that
        stands half inside the circle.
    """
    circle, members = circle_under_shock(config, world)
    if config.accession.active and config.accession.rule is AccessionRule.choice:
        raise ConfigError(
            "With accession=by_choice a coalition would not keep its members, so its worth could "
            "not be told; give accession=off"
        )
    groups = _groups(config, world, members)
    players = _grouped(members, groups)
    if len(players) < 2:
        raise ConfigError(
            f"The circle {circle} has {len(players)} player, so there is nothing to share out; "
            "name a larger circle, or take joining.players apart"
        )
    chosen = _candidates(config, world, members, groups)
    candidates = _grouped(chosen, groups)
    outside = [c for c in world.countries if c not in members and c not in chosen]
    foes = tuple(c for c in outside if world.roles[world.country(c)] == NON_ALLIED)
    rest = tuple(c for c in outside if c not in foes)
    others = {name: codes for name, codes in ((NON_ALLIED, foes), (REST, rest)) if codes}
    return Game(circle, players, candidates, others)


def _groups(config: Config, world: World, members: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The groups of the settings, each inside the circle or outside."""
    path, seen = "joining.players", dict[str, str]()
    for name, codes in config.joining.players.items():
        if JOINED in name or name in (NOBODY, ALL, NON_ALLIED, REST, *world.countries):
            raise ConfigError(f"{path} calls a group {name!r}, which is taken; give another name")
        for code in codes:
            check_country(code, f"{path}.{name}", world)
            if code in seen:
                raise ConfigError(
                    f"{path} names {code} in {seen[code]} and in {name}; leave it in one of them"
                )
            seen[code] = name
        inside = [code for code in codes if code in members]
        if not codes:
            raise ConfigError(
                f"{path}.{name} is empty; name countries that are all members, or all outside"
            )
        if 0 < len(inside) < len(codes):
            raise ConfigError(
                f"{path}.{name} is {' '.join(codes)}, of which {len(inside)} are in the circle; "
                "name countries that are all members, or all outside"
            )
    return {name: tuple(codes) for name, codes in config.joining.players.items()}


def _grouped(
    codes: Iterable[str], groups: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Countries under the names of their groups, or under their own."""
    of_group = {code: name for name, together in groups.items() for code in together}
    found: dict[str, tuple[str, ...]] = {}
    for code in codes:
        name = of_group.get(code, code)
        found[name] = (*found.get(name, ()), code)
    return found


def _candidates(
    config: Config, world: World, members: Collection[str], groups: Mapping[str, Sequence[str]]
) -> list[str]:
    """The countries that might join next."""
    chosen: set[str] = set()
    for word in config.joining.candidates:
        if word in groups:
            chosen |= set(groups[word])
        elif word in world.circles:
            chosen |= set(world.circles[word])
        elif word in ROLES and word != NON_ALLIED:
            chosen |= {
                c for c, role in zip(world.countries, world.roles, strict=True) if role == word
            }
        elif word in members:
            raise ConfigError(
                f"joining.candidates contains {word!r}, which is a member already; name countries "
                "outside the circle"
            )
        elif word in world.countries:
            chosen.add(word)
        else:
            raise ConfigError(
                f"joining.candidates contains {word!r}; give groups of joining.players, circles "
                f"({', '.join(sorted(world.circles))}), roles (allied, partner, neutral) or "
                f"countries ({', '.join(world.countries)})"
            )
    whole = {c for codes in groups.values() if chosen & set(codes) for c in codes}
    return [code for code in world.countries if code in (chosen | whole) - set(members)]


def coalition_config(config: Config, game: Game, label: str) -> Config:
    """The settings in which the circle of a game has exactly the countries of a coalition.

    Everybody joins on the date on which the circle's table or its settings have it, or with the
    circle; what the circle does together is the same for all coalitions.
    """
    codes = game.countries(label)
    if not codes:
        return config
    base = config.membership.circles[game.circle]
    circle = replace(
        base,
        add=list(codes),
        drop=[code for party in game.parties.values() for code in party if code not in codes],
        joins=_of(base.joins, codes),
        exits=_of(base.exits, codes),
        share=_of(base.share, codes),
        partners={code: part for code, part in base.partners.items() if code not in codes},
    )
    changes: dict[str, Circle | dict[str, list[str]]] = {
        f"membership.circles.{game.circle}": circle,
        "membership.cases": {},
    }
    return with_settings(config, changes)


def _of[Value](table: Mapping[str, Value], codes: Collection[str]) -> dict[str, Value]:
    return {code: value for code, value in table.items() if code in codes}

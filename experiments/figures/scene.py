"""What figures and reports know about an experiment besides its tables, and names for readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from experiments.measures.effects import (
    NO_MEMBERSHIP,
    Layout,
    memberships_in,
)

SHORT_LABELS = {"non_allied_share": "Non-allied share"}

MINERAL_LABELS = {
    "rare_earths_light": "Light rare earths",
    "rare_earths_heavy": "Heavy rare earths",
    "graphite": "Natural graphite",
}
MEMBERSHIP_LABELS = {
    NO_MEMBERSHIP: "no alliance",
    "washington": "Washington six",
    "forge": "wide circle",
    "sapporo_five": "Sapporo Five",
    "g7": "G7",
    "quad": "Quad",
    "msp": "Minerals Security Partnership",
    "pax_silica": "Pax Silica",
}
BLOC_LABELS = {
    "members": "Members",
    "other allied": "Other allied",
    "non-allied": "Non-allied",
    "rest": "Rest of world",
}


@dataclass(frozen=True)
class Scene:
    """What the figures and the report must know about an experiment besides its tables.

    `shock` is the name in the table and None where no shock was run; `events` are dated marks
    (label -> YYYY-MM, such as announced, ban starts, lifted); `roles` are the countries' roles
    (code -> role), `names` their names; `memberships` labels of circles that differ from the
    defaults. All text, so that it can be written to a manifest and read back.
    """

    exporter: str
    shock: str | None
    shock_start: str
    shock_minerals: tuple[str, ...]
    roles: Mapping[str, str]
    events: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    memberships: Mapping[str, str] = field(default_factory=dict)
    crisis_months: int = 24

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scene:
        """A scene from a manifest's values."""
        return cls(**{**values, "shock_minerals": tuple(values["shock_minerals"])})

    def membership_label(self, membership: str) -> str:
        """A circle's label."""
        default = MEMBERSHIP_LABELS.get(membership, membership.replace("_", " "))
        return self.memberships.get(membership, default)


def begun(label: str) -> str:
    """A label as the first of a line, names in it as they are."""
    return label[:1].upper() + label[1:]


def mineral_label(mineral: str) -> str:
    """A mineral's name for readers."""
    return MINERAL_LABELS.get(mineral, mineral.replace("_", " ").capitalize())


def ordered(memberships: Sequence[str], scene: Scene | None = None) -> list[str]:
    """`none` first, the others in their order of appearance."""
    names = list(dict.fromkeys(memberships))
    return [m for m in names if m == NO_MEMBERSHIP] + [m for m in names if m != NO_MEMBERSHIP]


def in_order(table: pd.DataFrame, layout: Layout, scene: Scene) -> pd.DataFrame:
    """Rows with `none` first and circles from small to large, the shocked minerals first."""
    rank = {m: i for i, m in enumerate([NO_MEMBERSHIP, *memberships_in(layout)])}
    minerals = {m: i for i, m in enumerate(scene.shock_minerals)}
    places = pd.DataFrame(
        {
            "membership": table["membership"].astype(str).map(rank).astype(int),
            "mineral": table["mineral"].astype(str).map(minerals).fillna(len(minerals)).astype(int),
        }
    )
    order = places.sort_values(["membership", "mineral"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def place(scene: Scene) -> Callable[[str], tuple[int, str]]:
    """Sort key of countries: the order of the table of roles."""
    order = {country: i for i, country in enumerate(scene.roles)}
    return lambda country: (order.get(country, len(order)), country)

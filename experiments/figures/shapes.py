"""Outlines of countries, read from the map that an installed package brings along.

The package is an extra (`pip install "chokepoint[map]"`); nothing is fetched from anywhere.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE, DRAWING = "pygal_maps_world", "worldmap.svg"
ABSENT = (
    "The world map needs outlines of countries, which are not installed; install them with "
    'pip install "chokepoint[map]"'
)
UNION = [
    "at", "be", "bg", "cy", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr", "hr", "hu", "ie", "it",
    "lt", "lu", "lv", "mt", "nl", "pl", "pt", "ro", "se", "si", "sk",
]  # fmt: skip
# ISO 3166 codes of two letters, as in the drawing, of the countries of the model
LETTERS = {
    "USA": "us", "GBR": "gb", "JPN": "jp", "AUS": "au", "NZL": "nz", "CAN": "ca", "KOR": "kr",
    "IND": "in", "NOR": "no", "CHE": "ch", "TWN": "tw", "CHN": "cn", "RUS": "ru", "COD": "cd",
    "IDN": "id", "MMR": "mm", "CHL": "cl", "ARG": "ar", "BRA": "br", "ZAF": "za", "PHL": "ph",
    "VNM": "vn", "THA": "th", "MYS": "my", "KAZ": "kz", "MOZ": "mz", "MDG": "mg", "TZA": "tz",
    "TUR": "tr", "ZWE": "zw", "TJK": "tj", "BOL": "bo", "MEX": "mx", "NCL": "nc",
}  # fmt: skip
SEAT = {"EU27": "de"}  # where flows of a group of countries end
TOKEN = re.compile(r"[a-zA-Z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
TAKEN = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}

Polygon = NDArray[np.float64]  # [point, (x, y)], y upwards


def drawing() -> Path | None:
    """The file with the outlines, or None where the package is not installed."""
    found = find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (path := Path(folder) / DRAWING).is_file():
            return path
    return None


@lru_cache(maxsize=2)
def outlines(path: Path) -> dict[str, tuple[Polygon, ...]]:
    """Polygons by two-letter code, each country's largest first, in units of the drawing.

    Elements of class "xx country" hold the outlines of country xx; those that are moved by a
    transform are marks for very small countries and left out.
    """
    found: dict[str, tuple[Polygon, ...]] = {}
    for element in ElementTree.parse(path).iter():
        words = element.get("class", "").split()
        if "country" not in words:
            continue
        paths = [inner for inner in element.iter() if inner.get("d") and not inner.get("transform")]
        polygons = [polygon for inner in paths for polygon in polygons_of(inner.get("d", ""))]
        if polygons:
            found[words[0]] = tuple(sorted(polygons, key=area, reverse=True))
    return found


def polygons_of(path: str) -> list[Polygon]:
    """Corners of the closed lines of an SVG path; curves are cut short to their ends."""
    tokens = TOKEN.findall(path)
    lines: list[list[NDArray[np.float64]]] = []
    here, command = np.zeros(2), "m"
    place = 0
    while place < len(tokens):
        if tokens[place].isalpha():
            command, place = tokens[place], place + 1
        count = TAKEN[command.lower()]
        values = [float(token) for token in tokens[place : place + count]]
        place += count
        if command in "zZ":
            here = lines[-1][0]
            continue
        here = end_of(command, values, here)
        if command in "mM":
            lines.append([here])
            command = "l" if command == "m" else "L"
        else:
            lines[-1].append(here)
    return [np.array(line) * (1.0, -1.0) for line in lines if len(line) > 2]


def end_of(command: str, values: list[float], here: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a command of a path ends."""
    start = here if command.islower() else np.zeros(2)
    if command in "hH":
        return np.array([start[0] + values[0], here[1]])
    if command in "vV":
        return np.array([here[0], start[1] + values[0]])
    return start + values[-2:]


def area(polygon: Polygon) -> float:
    """Area of a polygon."""
    x, y = polygon.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def middle(polygon: Polygon) -> NDArray[np.float64]:
    """Centre of gravity of a polygon."""
    x, y = polygon.T
    ahead_x, ahead_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * ahead_y - ahead_x * y
    weights = np.array([(x + ahead_x) @ cross, (y + ahead_y) @ cross])
    return weights / (3.0 * cross.sum())


def land_of(country: str, known: dict[str, tuple[Polygon, ...]]) -> list[Polygon]:
    """The polygons of a country of the model; none where it is not on the map."""
    letters = UNION if country in SEAT else [LETTERS.get(country, "")]
    return [polygon for code in letters for polygon in known.get(code, ())]


def seat_of(country: str, known: dict[str, tuple[Polygon, ...]]) -> NDArray[np.float64] | None:
    """Where flows of a country start and end: the middle of its largest polygon."""
    polygons = known.get(SEAT.get(country, LETTERS.get(country, "")))
    return middle(polygons[0]) if polygons else None

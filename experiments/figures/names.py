"""Names beside places of a drawing, so that no name covers another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from experiments.figures.look import SMALL

Points = NDArray[np.float64]

POINT = 1.0 / 72.0  # inches
NEAR = 3.0  # points between a place and its name
RINGS = (NEAR, 12.0, 24.0, 40.0)  # points: where the first is taken, further out with a line
APART = 2.0  # points at least between two names
SIDES = ((0, -1), (0, 1), (1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1))


def write_names(axes: Axes, places: Mapping[str, Points], marks: Points) -> None:
    """Write each name at its place in data coordinates, the most important names first.

    `marks` are [mark, 2] all places that a reader should see, named or not.

    The figure is laid out before, as room is counted on paper; names do not change its layout.
    A name for which there is no room within the axes is left out.
    """
    if not places:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
    axes.apply_aspect()
    points = POINT * figure.dpi
    frame = np.array(axes.get_window_extent().get_points()) / points
    seats = axes.transData.transform(np.array(list(places.values()))) / points
    seen = axes.transData.transform(marks) / points
    found = name_places(seats, np.array([size_of(name) for name in places]), seen, frame)
    for (name, place), seat, centre in zip(places.items(), seats, found, strict=True):
        if np.isnan(centre).any():
            continue
        far = not _beside(centre - seat, size_of(name))
        written = axes.annotate(
            name,
            (float(place[0]), float(place[1])),
            xytext=(float(centre[0] - seat[0]), float(centre[1] - seat[1])),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=SMALL,
            zorder=5,
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
            arrowprops={"arrowstyle": "-", "lw": 0.5, "shrinkA": 0, "shrinkB": 0} if far else None,
        )
        written.set_in_layout(False)


def size_of(name: str) -> Points:
    """Width and height of a name on paper, points; all names are as high as the highest letters."""
    width = TextPath((0.0, 0.0), name, size=SMALL).get_extents().width
    return np.array([width, 1.2 * SMALL])


def name_places(seats: Points, sizes: Points, marks: Points, frame: Points) -> Points:
    """Centres of names so that none comes near another, earlier ones first.

    Of the places that are free within the frame a name takes the one that comes near the fewest
    marks, of those the nearest to its seat.

    Parameters
    ----------
    seats
        [name, 2] points: what is named.
    sizes
        [name, 2] points: width and height of each name.
    marks
        [mark, 2] points: what a name next to it would hide or seem to name.
    frame
        [corner, 2] points: lower left and upper right.

    Returns
    -------
    Points
        [name, 2] points, NaN where there is no room.
    """
    found = np.full(seats.shape, np.nan)
    for name, (seat, size) in enumerate(zip(seats, sizes, strict=True)):
        centres = np.array(
            [seat + np.array(side) * (size / 2 + ring) for ring, side in product(RINGS, SIDES)]
        )
        away = np.abs(centres[:, None] - found[:name])  # [place, earlier name, 2]
        covers = (away < (size + sizes[:name]) / 2 + APART).all(axis=2).any(axis=1)
        inside = ((centres - size / 2 >= frame[0]) & (centres + size / 2 <= frame[1])).all(axis=1)
        near = (np.abs(centres[:, None] - marks) < size / 2 + APART).all(axis=2).sum(axis=1)
        free = inside & ~covers
        if free.any():
            found[name] = centres[np.where(free, near, len(marks) + 1).argmin()]
    return found


def _beside(shift: Points, size: Points) -> bool:
    """Whether a name stands next to what it names, so that it needs no line."""
    return bool((np.abs(shift) <= size / 2 + NEAR + 1e-6).all())

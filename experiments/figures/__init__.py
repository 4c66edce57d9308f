"""Figures: each a pure function from a tidy table to a `Figure`, one module a kind.

Colours are those of Okabe and Ito, told apart in greyscale too by dash and marker. Widths are a
journal's: single column 89 mm, double 183 mm.
"""

from experiments.figures.dependence import dependence_heatmap
from experiments.figures.drawn import Drawn, Shown, load_drawing, save
from experiments.figures.effects import bloc_effects, membership_effect
from experiments.figures.look import (
    BLACK,
    BLUE,
    DOUBLE,
    GREEN,
    GREY,
    NEGLIGIBLE,
    NORMAL,
    ORANGE,
    PURPLE,
    SINGLE,
    SKY,
    SMALL,
    VERMILION,
    circle_style,
    dates,
    style,
    years_axis,
)
from experiments.figures.membership import draw, membership_figures, read_and_draw
from experiments.figures.prices import home_gap, price_paths
from experiments.figures.scene import (
    MEMBERSHIP_LABELS,
    MINERAL_LABELS,
    SHORT_LABELS,
    Scene,
    begun,
    mineral_label,
)
from experiments.figures.welfare import welfare_bars

__all__ = [
    "BLACK",
    "BLUE",
    "DOUBLE",
    "GREEN",
    "GREY",
    "MEMBERSHIP_LABELS",
    "MINERAL_LABELS",
    "NEGLIGIBLE",
    "NORMAL",
    "ORANGE",
    "PURPLE",
    "SHORT_LABELS",
    "SINGLE",
    "SKY",
    "SMALL",
    "VERMILION",
    "Drawn",
    "Scene",
    "Shown",
    "begun",
    "bloc_effects",
    "circle_style",
    "dates",
    "dependence_heatmap",
    "draw",
    "home_gap",
    "load_drawing",
    "membership_effect",
    "membership_figures",
    "mineral_label",
    "price_paths",
    "read_and_draw",
    "save",
    "style",
    "welfare_bars",
    "years_axis",
]

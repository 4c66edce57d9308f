"""Reports in a browser, offline: complete, quiet, and readable on a telephone and on paper."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.figures import Drawn, save
from experiments.figures.flows import bloc_flows
from experiments.report import Answer, write_study_report
from tests.browser import browser, seen
from tests.test_trade_figures import SCENE


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with a figure of full width, a table of many columns and long words."""
    folder = tmp_path_factory.mktemp("report")
    trade = pd.DataFrame(
        {
            "period": "2026, before",
            "origin_bloc": ["exporter", "members"],
            "destination_bloc": ["members", "rest of world"],
            "million_usd_a_year": [900.0, 80.0],
        }
    )
    drawn = Drawn(
        "bloc_flows", "Trade", "What goes where.", "Bands.", bloc_flows(trade, SCENE), trade
    )
    save(drawn.figure, folder / "figures", drawn.name, drawn.table)
    wide = pd.DataFrame(
        np.pi * np.ones((3, 14)), columns=[f"measure_{n}_of_all" for n in range(14)]
    )
    answer = Answer(
        ["The price falls by 3 % (95 % interval 2 to 4).", "Dependence does not."],
        [drawn],
        {"a_wide_table": wide},
        ["A note."],
    )
    manifest = {"data_hash": "0123456789abcdef" * 8, "config": {"horizon": {"years": 5}}}
    path = write_study_report(folder, "A question", answer, manifest, wide.head(1))
    return path.read_text(encoding="utf-8")


@pytest.mark.skipif(browser() is None, reason="no Chromium on the path nor in CHROMIUM")
def test_report_is_complete_and_fits_a_telephone_and_paper(page: str, tmp_path: Path) -> None:
    found, console = seen(page, tmp_path)
    assert console == ""
    assert set(found) == {"narrow", "printed"}
    for view in found.values():
        assert view["images"] == 1
        assert view["missing"] == 0
        assert view["overflow"] <= 0
        assert view["wide"] == []
    assert found["narrow"]["smallest"] >= 11.5


def test_report_starts_with_the_answer_then_figures_then_method(page: str) -> None:
    places = [
        page.index(words)
        for words in ("The price falls by 3 %", "<h2>Figures", "<h2>Method", "<h2>Provenance")
    ]
    assert places == sorted(places)

"""The gallery: every image its page names is there, drawn from the newest saved table."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from experiments import gallery
from experiments.studies.standoff import PANELS

ROOT = Path(__file__).resolve().parents[1]
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")


def saved(results: Path, folder: str, finding: str, level: float, age: float, name: str) -> None:
    """A finished results folder with the table of one figure."""
    place = results / folder
    (place / "figures").mkdir(parents=True)
    table = pd.DataFrame(
        [
            (alliance, measure, f"2026-{month:02d}", level, level + 0.1, level + 0.2)
            for alliance in ("none", "washington")
            for measure in PANELS
            for month in (1, 6, 12)
        ],
        columns=["alliance", "measure", "month", "p10", "median", "p90"],
    )
    table.to_csv(place / "figures" / "standoff.csv", index=False)
    words = {"title": "Tension", "caption": "Medians.", "alt": "Lines."}
    manifest = {"finding": finding, "seeds": "0 to 7", "figures": {"standoff": words}}
    manifest["config"] = {"name": name}
    (place / "manifest.json").write_text(json.dumps(manifest))
    os.utime(place / "manifest.json", (age, age))


def test_the_newest_table_is_drawn_and_the_page_names_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, docs = tmp_path / "results", tmp_path / "docs"
    assert gallery.main([str(results)], docs) == 2
    assert "make run" in capsys.readouterr().out
    saved(results, "new", "Tension settles.", 2.0, 2e9, "standoff")
    saved(results, "old", "Tension climbs.", 1.0, 1e9, "standoff")
    saved(results, "newest", "Uranium is tense.", 3.0, 3e9, "another_sector")
    assert gallery.main([str(results)], docs) == 0
    assert "No saved table of: price_paths" in capsys.readouterr().out
    page = (docs / "gallery.md").read_text(encoding="utf-8")
    assert "Tension settles." in page
    assert "Tension climbs." not in page
    assert IMAGE.findall(page) == ["gallery/standoff.png"]
    for kind in ("png", "pdf", "csv"):
        assert (docs / "gallery" / f"standoff.{kind}").is_file()
    assert pd.read_csv(docs / "gallery" / "standoff.csv")["p10"].eq(2.0).all()


def test_every_piece_has_a_question_and_one_line() -> None:
    assert {piece.experiment for piece in gallery.GALLERY} <= set(gallery.QUESTIONS)
    assert len({piece.name for piece in gallery.GALLERY}) == len(gallery.GALLERY)
    assert all(piece.see.endswith(".") and len(piece.see) < 160 for piece in gallery.GALLERY)


def test_images_of_the_page_exist() -> None:
    page = ROOT / "docs" / "gallery.md"
    named = IMAGE.findall(page.read_text(encoding="utf-8")) if page.is_file() else []
    assert [name for name in named if not (page.parent / name).is_file()] == []

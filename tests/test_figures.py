"""Figures and report: what they show is what the tables say, legible and repeatable."""

import json
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.figures import (
    Drawn,
    Scene,
    home_gap,
    membership_figures,
    mineral_label,
    save,
)
from experiments.figures import again as drawing
from experiments.figures.effects import drawn_effects
from experiments.figures.look import DOUBLE, mark_events
from experiments.figures.prices import price_paths
from experiments.finding import Headline, headline
from experiments.measures.effects import (
    Estimate,
    calm_window,
    crisis_window,
    dependence_by_seed,
    effects_table,
    estimate,
    month_after,
    price_series,
)
from experiments.measures.panel import Panel
from experiments.measures.replications import dependence_groups, price_groups
from experiments.report import caveats, effect_clause, finding, number, write_report
from tests.synthetic_monthly import COUNTRIES, SHOCK, SHOCKED, START, synthetic_monthly

SCENE = Scene(
    exporter="CHN",
    shock=SHOCK,
    shock_start=START,
    shock_minerals=SHOCKED,
    roles=COUNTRIES,
    events={"announced": "2027-01", "ban starts": START},
    names={"USA": "United States", "CHN": "China"},
)


@pytest.fixture(scope="module")
def monthly() -> pd.DataFrame:
    return synthetic_monthly(seeds=3, months=60)


@pytest.fixture(scope="module")
def effects(monthly: pd.DataFrame) -> pd.DataFrame:
    windows = [calm_window(monthly), crisis_window(SHOCK, START)]
    return effects_table(monthly, windows, COUNTRIES, minerals={"crisis": SHOCKED})


@pytest.fixture(scope="module")
def drawn(monthly: pd.DataFrame, effects: pd.DataFrame) -> dict[str, Drawn]:
    return {
        d.name: d
        for d in membership_figures(
            Panel(monthly), {**paths_of(monthly), "effects": effects}, SCENE
        )
    }


def paths_of(monthly: pd.DataFrame) -> dict[str, pd.DataFrame]:
    groups = price_groups(monthly, COUNTRIES)
    prices = price_series(monthly, groups, "CHN", shock=SHOCK, minerals=SHOCKED)
    by_seed = dependence_by_seed(monthly, dependence_groups(monthly), shock="none")
    return {"prices": prices, "dependence": by_seed}


@pytest.fixture(scope="module")
def found(monthly: pd.DataFrame) -> Headline:
    return headline(monthly, START, SHOCKED, "CHN", roles=COUNTRIES)


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: dict[str, Drawn],
    effects: pd.DataFrame,
    found: Headline,
) -> str:
    folder = tmp_path_factory.mktemp("results")
    shown = [drawn["home_gap"]]
    for d in shown:
        save(d.figure, folder / "figures", d.name, d.table)
    manifest = {"config": {"horizon": {"years": 5}}, "seeds": [0, 1, 2], "commit": "abc<1>"}
    path = write_report(folder, found, shown, manifest, {"effects": effects}, SCENE)
    return path.read_text(encoding="utf-8")


def test_a_figure_sent_to_another_process_gives_the_same_files(
    tmp_path: Path, drawn: dict[str, Drawn]
) -> None:
    d = drawn["bloc_effects"]
    sent = pickle.loads(pickle.dumps(d.figure))
    for figure, folder in ((d.figure, "here"), (sent, "there")):
        save(figure, tmp_path / folder, d.name, d.table)
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("here", "there")
    )
    assert set(here) == {"bloc_effects.png", "bloc_effects.pdf", "bloc_effects.csv"}
    assert here == there


def test_every_figure_is_drawn(drawn: dict[str, Drawn]) -> None:
    assert list(drawn) == [
        "price_paths",
        "home_gap",
        "dependence_heatmap",
        "membership_effect",
        "bloc_effects",
    ]
    assert all(d.caption and d.alt and len(d.table) for d in drawn.values())


def test_figures_fit_a_column_and_can_be_read(drawn: dict[str, Drawn]) -> None:
    for d in drawn.values():
        width, height = d.figure.get_size_inches()
        assert min(abs(width * 25.4 - mm) for mm in (89, 183)) < 1e-6
        assert height < 9.5
        sizes = [text.get_fontsize() for text in _texts(d.figure)]
        assert min(sizes) >= 7.0
        axes = [a for a in d.figure.axes if a.axison]
        assert all(a.get_title(loc="left") or a.get_ylabel() for a in axes)


def test_no_texts_of_an_axes_overlap(drawn: dict[str, Drawn]) -> None:
    for d in drawn.values():
        d.figure.draw_without_rendering()
        for axes in d.figure.axes:
            for labels in (axes.get_yticklabels(), [axes.title, axes._left_title, *axes.texts]):
                boxes = [
                    t.get_window_extent().shrunk(0.96, 0.96)
                    for t in labels
                    if t.get_text() and t.get_visible()
                ]
                for i, box in enumerate(boxes):
                    assert not any(box.overlaps(other) for other in boxes[:i]), d.name


def test_path_lines_are_the_medians_of_the_table(drawn: dict[str, Drawn]) -> None:
    axes = drawn["price_paths"].figure.axes[0]
    table = drawn["price_paths"].table
    rows = table[(table.mineral == SHOCKED[0]) & (table.group == "members")]
    shown = [line.get_ydata() for line in axes.get_lines()]
    for _, line in rows.groupby("membership"):
        assert any(len(y) == len(line) and np.allclose(y, line["median"].to_numpy()) for y in shown)


def test_events_inside_the_horizon_are_marked(drawn: dict[str, Drawn]) -> None:
    table = drawn["home_gap"].table
    scene = replace(SCENE, events={**SCENE.events, "lifted": "2045-01"})
    axes = home_gap(table, scene).axes[0]
    assert [t.get_text() for t in axes.texts] == ["announced", "ban starts"]


@pytest.mark.parametrize(
    "months", [("2026-10", "2027-01", "2030-01"), ("2027-01", "2027-02", "2039-01")]
)
@pytest.mark.parametrize("last", ["2032-01", "2040-01"])
def test_names_of_events_do_not_overlap(months: tuple[str, ...], last: str) -> None:
    """On a panel of a third of a page, for a horizon of seven years and of fifteen."""
    figure = Figure(figsize=(DOUBLE / 3, 2.0))
    axes = figure.subplots()
    axes.plot(np.array(["2025-01", last], dtype="datetime64[D]"), [1.0, 1.0])
    events = dict(zip(("announced", "ban starts", "lifted"), months, strict=True))
    mark_events(axes, events, named=True)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == sum(month <= last for month in months)
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)


def test_memberships_differ_without_colour(drawn: dict[str, Drawn]) -> None:
    lines = drawn["home_gap"].figure.axes[0].get_lines()
    dashes = {str(line._unscaled_dash_pattern) for line in lines if len(line.get_ydata()) > 2}
    assert len(dashes) == 3


def test_heat_map_annotations_are_the_shares(drawn: dict[str, Drawn]) -> None:
    axes = drawn["dependence_heatmap"].figure.axes[2]
    assert axes.get_title(loc="left") == "2029, Washington six"
    table = drawn["dependence_heatmap"].table
    rows = table[(table.membership == "washington") & (table.period == "last")]
    shares = rows.set_index(["country", "mineral"])["share"]
    names = {SCENE.names.get(c, c): c for c in rows["country"]}
    countries = [names[t.get_text()] for t in axes.get_yticklabels()]
    labels = {mineral_label(m): m for m in rows["mineral"]}
    minerals = [labels[t.get_text()] for t in axes.get_xticklabels()]
    expected = [f"{shares[c, m]:.0f}" for c in countries for m in minerals]
    assert [t.get_text() for t in axes.texts] == expected
    assert len(expected) == len(rows)
    assert minerals[:3] == list(SHOCKED)


def test_effects_are_filled_for_members_only(drawn: dict[str, Drawn]) -> None:
    axes = drawn["membership_effect"].figure.axes[0]
    dots = [line for line in axes.get_lines() if line.get_marker() in "os"]
    filled = sum(len(d.get_xdata()) for d in dots if d.get_markerfacecolor() != "white")
    assert filled == 3 + 4


def test_saving_twice_gives_the_same_bytes(tmp_path: Path, drawn: dict[str, Drawn]) -> None:
    table = drawn["home_gap"].table
    pair = []
    for name in ("one", "two"):
        figure = home_gap(table, replace(SCENE, shock_minerals=SHOCKED[:1]))
        save(figure, tmp_path / name, "gap", table)
        pair.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert pair[0] == pair[1]
    assert set(pair[0]) == {"gap.png", "gap.pdf", "gap.csv"}
    assert b"CreationDate" not in pair[0]["gap.pdf"]


@pytest.mark.usefixtures("sketched")
def test_redraw_from_a_results_folder(
    tmp_path: Path,
    drawn: dict[str, Drawn],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every figure comes back from its saved table alone, and the table stays as it was."""
    assert drawing.main([str(tmp_path)]) == 2
    (tmp_path / "manifest.json").write_text(json.dumps({"scene": SCENE.to_dict()}))
    assert drawing.main([str(tmp_path)]) == 2
    assert "run the experiment again" in capsys.readouterr().out
    assert Scene.from_dict(json.loads(json.dumps(SCENE.to_dict()))) == SCENE
    folder = tmp_path / "figures"
    folder.mkdir()
    for name, shown in drawn.items():
        shown.table.to_csv(folder / f"{name}.csv", index=False)
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    assert drawing.main([str(tmp_path)]) == 0
    printed = [Path(path) for path in capsys.readouterr().out.split()]
    assert {path.stem for path in printed} == set(drawn)
    assert all(path.is_file() and path.with_suffix(".pdf").is_file() for path in printed)
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == before


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("manifest.json", "", "is not JSON"),
        ("manifest.json", "[]", "no object in braces"),
        ("figures/home_gap.csv", "a,b\n1,2\n", "is not the table of the figure 'home_gap'"),
        ("figures/home_gap.csv", "", "is no table"),
        ("figures/phase.csv", "coverage\n", "is not the table of the figure 'phase'"),
    ],
)
def test_what_cannot_be_drawn_again_is_named(
    file: str, content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "manifest.json").write_text(json.dumps({"scene": SCENE.to_dict()}))
    (tmp_path / file).write_text(content)
    assert drawing.main([str(tmp_path)]) == 2
    sentence = capsys.readouterr().out
    assert str(tmp_path / file) in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([-2.0, -2.1, -1.9, -2.0], "lowers it by 2.0 % (95 % interval 1.9 to 2.1)"),
        ([2.0, 2.1, 1.9, 2.0], "raises it by 2.0 %"),
        ([-1.0, 1.2, -0.9, 1.1], "has no clear effect on it"),
        ([0.0, 0.0, 0.0], "leaves it unchanged"),
        ([-3.0], "lowers it by 3.0 % (one seed, so no interval)"),
        ([], "was not measured"),
    ],
)
def test_words_follow_sign_and_interval(values: list[float], words: str) -> None:
    assert words in effect_clause(estimate(np.array(values), "%"), "it")


def test_lowering_turns_the_interval(found: Headline) -> None:
    clause = effect_clause(Estimate(-2.0, -3.0, -1.0, -2.0, -2.5, -1.5, 8, "points"), "it")
    assert clause == "lowers it by 2.0 percentage points (95 % interval 1.0 to 3.0)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.04, "−0.040"), (3.14159, "3.1"), (-12.6, "−13"), (1234.5, "1,234")],
)
def test_numbers_have_two_figures(value: float, text: str) -> None:
    assert number(value) == text


def test_finding_is_two_sentences_with_the_numbers(found: Headline) -> None:
    sentences = finding(found, SCENE)
    assert len(sentences) == 2
    for sentence, name in zip(sentences, ("price_calm", "price_shock"), strict=True):
        for circle in found.findings:
            assert f"by {number(abs(getattr(circle, name).mean))} %" in sentence
    assert "".join(sentences).count("95 % interval") == 1


@pytest.mark.parametrize(
    ("held", "said"), [(30, "first 24 months"), (7, "first 7 months"), (1, "first month")]
)
def test_a_run_that_ends_early_tells_of_the_months_it_holds(
    monthly: pd.DataFrame, held: int, said: str
) -> None:
    short = monthly[monthly["month"].astype(str) <= month_after(START, held - 1)]
    sentences = finding(headline(short, START, SHOCKED, "CHN", roles=COUNTRIES), SCENE)
    assert sentences[1].startswith(f"In the {said} of the shock, ")


def test_a_run_that_ends_before_the_shock_says_so(monthly: pd.DataFrame) -> None:
    short = monthly[monthly["month"].astype(str) < START]
    scene = replace(SCENE, shock=SHOCK)
    sentences = finding(headline(short, START, SHOCKED, "CHN", roles=COUNTRIES), scene)
    assert sentences[0].startswith("In calm years, ")
    assert sentences[1].startswith(f"The shock starts in {START}, after the end of the run")
    assert len(finding(headline(short, START, SHOCKED, "CHN"), replace(scene, shock=None))) == 1


def test_a_caption_names_the_periods_that_were_measured(drawn: dict[str, Drawn]) -> None:
    shown = drawn["membership_effect"]
    assert "over the calm horizon and the first 24 months of the shock (only" in shown.caption
    calm = drawn_effects(shown.table[shown.table["window"] == "calm"], SCENE)
    assert "over the calm horizon. Filled" in calm.caption


def test_finding_without_membership_says_so(found: Headline) -> None:
    assert "No membership" in finding(replace(found, findings=()), SCENE)[0]


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_report_is_one_file_without_network_or_script(page: str) -> None:
    outline = _Outline()
    outline.feed(page)
    images = [attrs for tag, attrs in outline.tags if tag == "img"]
    assert len(images) == 1
    assert all(str(i["src"]).startswith("data:image/png;base64,") and i["alt"] for i in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in outline.tags}
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"url\(|@import", page)


def test_report_starts_with_the_finding_and_escapes(page: str, found: Headline) -> None:
    text = re.sub(r"base64,[^\"]*", "", page)
    first = finding(found, SCENE)[0]
    assert text.index(first[:40]) < text.index("<h2>Figures") < text.index("<h2>Method")
    assert "abc&lt;1&gt;" in text
    assert "years: 5" in text
    assert "United States" in text


def test_unsaved_figure_is_a_plain_error(
    tmp_path: Path, drawn: dict[str, Drawn], found: Headline
) -> None:
    with pytest.raises(FileNotFoundError, match="save the figures first"):
        write_report(tmp_path, found, list(drawn.values()), {}, {}, SCENE)


def _texts(figure: Figure) -> list:
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
    parts = [t for a in figure.axes for t in (*a.texts, *a.get_xticklabels(), *a.get_yticklabels())]
    parts += [t for a in figure.axes for t in (a._left_title, a.xaxis.label, a.yaxis.label)]
    return parts + [t for legend in legends for t in legend.get_texts()]


# ---------------------------------------------------------------- what does not move


def test_no_unmet_need_is_not_credited_to_membership(found: Headline) -> None:
    for level, said in ((0.0, True), (2.0, False)):
        changed = tuple(replace(f, unmet_level_shock=level) for f in found.findings)
        text = " ".join(finding(replace(found, findings=changed), SCENE))
        assert ("leaves their unmet need at zero, as without it" in text) == said


def test_a_measure_that_moves_nowhere_is_left_out_and_said_to_be(
    monthly: pd.DataFrame, effects: pd.DataFrame
) -> None:
    still = effects.copy()
    still.loc[still["measure"] == "unmet_share", ["mean", "low", "high"]] = 0.0
    shown = {d.name: d for d in membership_figures(Panel(monthly), {"effects": still}, SCENE)}
    for name in ("membership_effect", "bloc_effects"):
        titles = [axes.get_title(loc="left") for axes in shown[name].figure.axes]
        assert any("price" in title for title in titles)
        assert not any("Unmet" in title for title in titles)
        assert "Unmet need is left out" in shown[name].caption


def test_unmet_need_that_is_clear_in_no_country_takes_no_panel(
    monthly: pd.DataFrame, effects: pd.DataFrame
) -> None:
    """One small value across zero: told in the caption; a clear one has its panel."""
    titles = {}
    for low, high in ((-0.12, 0.05), (-0.12, -0.02), (np.nan, np.nan)):
        small = effects.copy()
        unmet = small["measure"] == "unmet_share"
        small.loc[unmet, ["mean", "low", "high"]] = 0.0
        one = unmet & (small["country"] == "USA") & (small["window"] == "crisis")
        small.loc[one, ["mean", "low", "high"]] = -0.041, low, high
        shown = drawn_effects(
            small[(small["country"] != "all") & (small["mineral"] == "all")], SCENE
        )
        titles[low, high] = [axes.get_title(loc="left") for axes in shown.figure.axes]
        told = "clearly in no country (most in United States, by −0.041 percentage points, 95 %"
        assert (told in shown.caption) == (high > 0.0)
    panels = [any("Unmet" in title for title in found) for found in titles.values()]
    assert panels == [False, True, True]


def test_shades_of_prices_are_those_of_one_world(drawn: dict[str, Drawn]) -> None:
    """Bands of every membership over each other were one brown in which none could be told."""
    table = drawn["price_paths"].table
    assert table["membership"].nunique() > 2
    rows = table[(table.mineral == SHOCKED[0]) & (table.group == "members")]
    axes = drawn["price_paths"].figure.axes[0]
    without = rows[rows.membership == "none"]
    assert len(axes.collections) == 2
    for shade, (low, high) in zip(
        axes.collections, (("p025", "p975"), ("p10", "p90")), strict=True
    ):
        ends = shade.get_paths()[0].vertices[:, 1]
        assert ends.min() == pytest.approx(without[low].min())
        assert ends.max() == pytest.approx(without[high].max())
    shown = [line.get_ydata() for line in axes.get_lines()]
    for _, line in rows[rows.membership != "none"].groupby("membership"):
        for edge in ("p10", "p90"):
            assert any(len(y) == len(line) and np.allclose(y, line[edge]) for y in shown)


def test_the_key_below_a_single_panel_of_prices_is_not_cut_off(drawn: dict[str, Drawn]) -> None:
    table = drawn["price_paths"].table
    figure = price_paths(table, replace(SCENE, shock_minerals=SHOCKED[:1]))
    figure.draw_without_rendering()
    (key,) = figure.legends
    box = key.get_window_extent()
    assert box.x0 >= 0.0
    assert box.x1 <= figure.bbox.x1


def test_caveats_say_what_the_intervals_hold() -> None:
    fixed = {"world": {"draw_parameters": False}, "uncertainty": {"active": False}}
    drawn = {"world": {"draw_parameters": True}, "uncertainty": {"active": True}}
    first = caveats({"config": fixed})[0]
    assert "chance only" in first
    assert "uncertainty of all parameters" in first
    first, *others = caveats({"config": drawn})
    assert "chance, parameters of minerals" in first
    assert "behaviour" in first
    assert not any("assumed from ranges" in caveat for caveat in others)

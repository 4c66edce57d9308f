"""The gallery: the figures of every experiment, drawn from its latest saved tables, on one page.

`python -m experiments.gallery` (or `make figures`) looks through `results/`, draws into
`docs/gallery/` and writes `docs/gallery.md`. What was drawn before stays until there is a newer
table, so that experiments may be run one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.command import CommandLine
from experiments.engine.store import write_json
from experiments.ensemble import PROJECT
from experiments.figures.again import figure_from, read_manifest
from experiments.figures.drawn import save
from experiments.report import TEMPLATES

SOURCES = "sources.json"  # beside the figures: what each was drawn from
NAMED = ("seeds", "data_hash", "commit")  # of a manifest, below the figures


@dataclass(frozen=True)
class Piece:
    """A figure of the gallery: its name there, its experiment, and what to see in it.

    `saved` is the name that the experiment saves it under, where another has taken that.
    """

    name: str
    experiment: str
    see: str
    saved: str = ""

    @property
    def stem(self) -> str:
        """The name of its files in a results folder."""
        return self.saved or self.name


QUESTIONS = {
    "membership": "What does membership do to prices and dependence?",
    "accession": "What is each country worth to the alliance, and who should join next?",
    "phase": "Where does an export control stop paying?",
    "resilience": "Who is hurt by which cut, how soon and for how long?",
    "instruments": "Which instrument buys most for its money?",
    "mechanisms": "Which mechanisms matter most for the effect of membership?",
    "standoff": "How does a standoff unfold?",
    "pathways": "Where does dependence go until 2040?",
    "blueprint": "And in another sector: what does membership do for nuclear fuel?",
    "sensitivity": "Which assumptions do the results hang on?",
}
GALLERY = (
    Piece("price_paths", "membership", "how far members’ price rises under the control, how much "
          "of that rise membership takes away, and the home price falling at the same time."),
    Piece("home_gap", "membership", "the multiple that members pay over the exporter’s own buyers, "
          "which is what its industry gains by."),
    Piece("dependence_heatmap", "membership", "which member depends on non-allied producers for "
          "which mineral, at first and at last."),
    Piece("bloc_flows", "membership", "the exporter’s bands to members getting thinner, and whose "
          "get wider."),
    Piece("flow_map", "membership", "the same country by country: which routes the control closes "
          "and which open."),
    Piece("membership_effect", "membership", "who gains by membership, country by country; an "
          "interval across zero is no clear effect."),
    Piece("bloc_effects", "membership", "whether what members gain is lost by others."),
    Piece("welfare", "membership", "who pays: consumers, producers, holders of rents or the "
          "treasury."),
    Piece("accession_shapley", "accession", "what each member brings to the others and to itself; "
          "the parts add up to the effect of the whole alliance."),
    Piece("accession_candidates", "accession", "which candidate would help present members most, "
          "and whether it would gain itself."),
    Piece("phase", "phase", "the line where the exporter’s gain is zero: above it retaliation pays "
          "no more."),
    Piece("phase_by_mineral", "phase", "where that line lies, mineral by mineral."),
    Piece("league", "resilience", "members and minerals by time to survive and to recover."),
    Piece("cost_frontier", "instruments", "the steps: what nothing else beats at its cost, "
          "in calm and under each shock."),
    Piece("instruments", "instruments", "each instrument alone against the same as the last of a "
          "package: a filled dot far from its hollow one is crowded out by the others."),
    Piece("ablation", "mechanisms", "which mechanisms change what membership does to the price, "
          "and how many hardly do."),
    Piece("mechanisms", "mechanisms", "each mechanism at work, in the figure it acts on."),
    Piece("standoff", "standoff", "whether tension and controls settle or climb, by size of the "
          "alliance."),
    Piece("pathways_dependence", "pathways", "how far ambition bends the path under each demand "
          "scenario."),
    Piece("milestones", "pathways", "which published milestones are reached, and when."),
    Piece("fuel_prices", "blueprint", "the same picture for enriched uranium: what members pay "
          "rises by a third, and the alliance takes none of it away.", saved="price_paths"),
    Piece("fuel_flows", "blueprint", "whose trade fills the gap when Russia ships less to members.",
          saved="bloc_flows"),
    Piece("fuel_effect", "blueprint", "prices a little higher under the ban, for members and "
          "others alike: nothing the alliance does makes up for enrichment.",
          saved="membership_effect"),
    Piece("fuel_welfare", "blueprint", "how small what the alliance changes is beside the ban "
          "itself, and who gains by a ban on fuel: enrichers elsewhere.", saved="welfare"),
    Piece("variance_shares", "sensitivity", "the few parameters that account for most of the "
          "variance, and how much of it comes from interactions."),
    Piece("screening", "sensitivity", "filled dots far from zero are parameters that move the "
          "result; where the hollow one is as far, they do so differently from place to place."),
)  # fmt: skip


def latest_table(piece: Piece, results: Path) -> Path | None:
    """The saved table of a figure in the newest finished results folder of its experiment.

    Runs under a name of their own, another sector for one, are not the paper's.
    """
    found = [
        path
        for path in results.rglob(f"figures/{piece.stem}.csv")
        if (path.parents[1] / "manifest.json").is_file()
        and read_manifest(path.parents[1]).get("config", {}).get("name") == piece.experiment
    ]
    return max(found, key=lambda path: (path.parents[1] / "manifest.json").stat().st_mtime_ns,
               default=None)  # fmt: skip


def draw(results: Path, docs: Path) -> list[str]:
    """Draw what `results` holds and write the page; the names of the figures drawn.

    Raises
    ------
    FileNotFoundError
        Where there is no table of any figure of the gallery.
    """
    folder = docs / "gallery"
    drawn = {}
    for piece in GALLERY:
        path = latest_table(piece, results)
        if path is None:
            continue
        manifest = read_manifest(path.parents[1])
        figure, table = figure_from(path, manifest)
        save(figure, folder, piece.name, table)
        drawn[piece.name] = source(piece.stem, manifest)
    if not drawn:
        raise FileNotFoundError(
            f"No saved table of a figure below '{results}': run an experiment first, such as make "
            "run"
        )
    known = folder / SOURCES
    before = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    sources = {
        p.name: {**before, **drawn}[p.name] for p in GALLERY if p.name in {**before, **drawn}
    }
    write_json(known, sources)
    (docs / "gallery.md").write_text(page(sources), encoding="utf-8")
    return list(drawn)


def source(name: str, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the page says of a figure: its words, its finding, and what it was drawn from."""
    plain = {"title": name.replace("_", " ").capitalize(), "caption": "", "alt": name}
    words = {**plain, **manifest.get("figures", {}).get(name, {})}
    said = [f"{key.replace('_', ' ')} {manifest[key]}" for key in NAMED if manifest.get(key)]
    return {**words, "finding": str(manifest.get("finding", "")), "source": ", ".join(said)}


def page(sources: Mapping[str, Mapping[str, str]]) -> str:
    """The page, of the figures that were ever drawn, by question."""
    sections = []
    for experiment, question in QUESTIONS.items():
        pieces = [p for p in GALLERY if p.experiment == experiment and p.name in sources]
        if not pieces:
            continue
        first = sources[pieces[0].name]
        sections.append(
            {
                "experiment": experiment,
                "question": question,
                "finding": first["finding"],
                "source": first["source"],
                "figures": [{"name": p.name, "see": p.see, **sources[p.name]} for p in pieces],
            }
        )
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("gallery.md").render(sections=sections)


def main(arguments: Sequence[str] | None = None, docs: Path = PROJECT / "docs") -> int:
    """Command line: draw the gallery from a folder of results, by default `results`."""
    parser = CommandLine(
        "python -m experiments.gallery",
        "Draw the gallery from the latest saved tables of every experiment.",
    )
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"),
                        help="folder that holds results folders (default: results)")  # fmt: skip
    try:
        names = draw(parser.parse_args(arguments).results, docs)
    except (OSError, ValueError) as error:
        print(error)
        return 2
    absent = [piece.name for piece in GALLERY if piece.name not in names]
    print(f"Drawn from saved tables: {', '.join(names)}.")
    if absent:
        print(f"No saved table of: {', '.join(absent)}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The results folder: Parquet tables written run by run, and a manifest that explains them."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from abm.posterior import POSTERIOR, read_posterior
from experiments.ensemble import TABLES, Maker, RunResult

SCHEMA_VERSION = 3  # docs/results.md says what each version changed
PLAN = "plan.json"  # what a results folder is for
PACKAGES = ("chokepoint", "mesa", "numpy", "scipy", "numba", "pandas", "pyarrow", "hydra-core")
# What a manifest repeats of the calibration that left a table of draws.
CALIBRATION = ("command", "figures_fitted", "code_and_data_sha256", "commit")
COLUMNS = {
    "membership": "circle of members of the run; none: no alliance",
    "shock": "name of the shock; none: calm",
    "seed": "replication; runs with the same seed met the same outside events",
    "month": "YYYY-MM",
    "mineral": "mineral",
    "country": "buying or producing country",
    "member": "the country is in the circle this month",
    "founding": "the definition of the circle lets the country in within the run",
    "joined": "first month inside the circle, YYYY-MM",
    "left": "first month outside again, YYYY-MM; empty: inside when the run ends",
    "held_back": "exports that the exporter's controls put at stake, percent of opening value",
    "counter_tariff": "mean over the founding members of that on opening imports, percent",
    "tension_felt": "tension of the exporter towards the founding members, mean, 0 to 1",
    "tension_held": "tension of the founding members towards the exporter, mean, 0 to 1",
    "commitment": "of the founding members to the alliance, mean, percent",
    "landed_price_usd_per_kg": "mean price, delivered and duty paid, 2024 USD/kg contained",
    "paid_price_usd_per_kg": "the same with what is under term contract at its own price, USD/kg",
    "origin_price_usd_per_kg": "price received by the country's own producers, 2024 USD/kg",
    "purchases_t": "bought this month, t contained",
    "use_t": "used this month by industry or refiners, t contained",
    "unmet_t": "wanted at the month's price but not at hand, t",
    "priced_out_t": "final need at reference prices that the month's price has choked off, t",
    "output_t": "made by the country's firms, t",
    "idle_capacity_t": "capacity of plants that stand idle, t a month",
    "building_capacity_t": "capacity under construction, t a month",
    "reserves_t": "left in the ground at the end of the month, t; empty without depletion",
    "exports_t": "sold abroad by the country's firms, t",
    "buyer_stock_t": "held by industry and refiners at the end of the month, t",
    "strategic_stock_t": "held by the state at the end of the month, t",
    "cover_months": "buyers' stock over the month's use",
    "non_allied_share": "share of purchases that comes from non-allied origins, 0 to 1",
    "supplier_hhi": "Herfindahl-Hirschman index of the country's suppliers, 0 to 10,000",
    "import_reliance": "share of purchases that comes from abroad, 0 to 1",
    "perceived_risk": "supply risk that buyers perceive, 0 to 1",
    "outlay_usd": "paid by the country's buyers at the month's prices, USD",
    "duty_usd": "of which import duties, USD",
    "rent_paid_usd": "of which rents of export limits, USD",
    "rent_received_usd": "rents earned by the country's exporters or traders, USD",
    "treasury_usd": "duties, taxes and auctioned rents, less what instruments cost it, USD",
    "rerouted_t": "bought through third countries around a ban, t",
    "recycled_t": "made from scrap by the country's firms, t; part of output_t",
    "use_intensity": "mineral used per product over the opening, mean of sectors by opening use",
    "low_impact_share": "share of purchases from origins that meet the standard, 0 to 1",
    "year": "calendar year",
    "origin": "country where it was produced",
    "destination": "country that bought it",
    "quantity_t": "t over the year",
    "value_usd": "paid over the year, delivered, USD",
    "producer": "non-allied producer that reviews its export policy",
    "option": "line of its menu: none, tax, dumping, quota, bloc quota, ban or licence",
    "strength": "rate, share allowed, share approved or share stopped, by option",
    "possible": "the option would hit somebody",
    "chosen": "the option was chosen; it is announced in the month after",
    "objective_usd": "worth to the producer over doing nothing: the sum of what follows, USD/month",
    "sellers_usd": "its firms' income less variable cost, over doing nothing, USD/month",
    "levies_usd": "its export taxes and rents less the cost of dumping, USD/month",
    "home_users_usd": "surplus of its own users over doing nothing, weighted, USD/month",
    "leverage_usd": "loss of rivals' users over doing nothing, weighted by tension, USD/month",
    "future_share_usd": "earnings abroad kept from rivals who build (negative: lost), USD/month",
    "change_usd": "cost of leaving the present policy, USD/month",
    "entry": "kind of payment",
    "account": "whose money it is; services are freight, compliance, storage, construction",
    "amount_usd": "received over the year, paid if negative, USD",
    "consumers_usd": "final users: worth of what they use less what they pay, over the year, USD",
    "producers_usd": "mines and refiners: receipts less what they ask for what they sell, USD",
    "rents_usd": "rents of export limits that exporters and traders earn, USD",
    "sector": "industry that uses the mineral",
    "availability": "percent of need that was used, times the outlay, summed over minerals, USD",
    "uncovered": "percent of need without stock, times the outlay, summed over minerals, USD",
    "need_t": "wanted over the year at the reference price, t",
    "uncovered_t": "need of the coming months not covered by stock, a month, summed over the year",
    "surplus_usd": "final users' surplus above the price, over the year, USD",
    "party": "who gains: consumers, producers, rents, treasury or total; a player or the others",
    "compared": "what differs within a pair of runs: membership or shock",
    "opening": "in the opening month of the model: index 0 to 10,000, or share",
    "published": "the published figure, or the index of published shares",
    "publisher": "who published it",
    "project": "mine or plant that may be built",
    "status": "where the project stood at the end of the run",
    "milestone": "financing, permit, construction, commissioning, ramp-up: each at its end",
    "planned_month": "when it was due as planned at the start, YYYY-MM; empty: not begun",
    "actual_month": "when it was reached, YYYY-MM; empty: not reached",
    "fund_share": "share of the capital that the joint fund lends or gives, 0 to 1",
    "project_spent_usd": "spent on the project by owner and fund, USD",
    "fund_spent_usd": "of which by the fund, USD",
    "certificate_max": "largest residual of any market and month, share of its volume",
    "tonnes_gap_max": "largest imbalance of tonnes in any month, share of the volume",
    "money_gap_max": "largest imbalance of payments in any month, share of the outlay",
    "newton_steps": "steps of the solver over the whole run",
    "instruments": "instruments that act: none, all, only one, or all without one",
    "mechanism": "mechanism that is switched; none: as configured",
    "switch": "whether the mechanism is on, off or as configured",
    "alliance": "circle of members; none: no alliance",
    "scenario": "scenario of demand",
    "ambition": "what the circle does together, by name; none: no alliance",
    "forecast": "model, persistence (nothing changes) or textbook (equilibrium without hoarding)",
    "figure": "name of an observed figure; of a price path: home, abroad or another place",
    "kind": "figure: a simulated figure; path: a monthly price, USD/kg",
    "stage": "mined or refined product; in a study of sensitivity, screening or variance",
    "members": "countries in the circle of members, counted",
    "coverage": "share of the use outside the controlling country that members hold, percent",
    "severity": "share of normal exports to its targets that the control puts at stake, 0 to 1",
    "level": "level of a price (index, opening 1) or a share (percent) under the control",
    "supplier": "country that is cut off, or whose control it is",
    "sample": "row of the design of a study of sensitivity",
    "value": "value of the measure; empty where the world could not be run",
    "coalition": "who forms the alliance, joined by +; none: no alliance",
    "opening_musd": "opening purchases, refined, at opening prices, million USD a year",
    "basket_musd": "the same at the mean landed prices of the window, million USD a year",
    "exposed_musd": "opening_musd times the non-allied share of purchases, million USD a year",
    "consumers_musd": "surplus of final users over the window, million USD a year",
    "producers_musd": "surplus of mines and refiners over the window, million USD a year",
    "rents_musd": "rents of export limits over the window, million USD a year",
    "treasury_musd": "balance of the treasury with the state's stock, million USD a year",
    "group": "country or group of them: members of the circle or circles whether in force or not, "
    "outsiders of all, or home of the exporter",
    "usd_per_kg": "price of the refined product, 2024 USD/kg",
    "period": "first or last year of the runs",
    "share": "non-allied share of purchases over that year, percent of tonnes",
    "multiple": "members' basket price over that of the same run without shock",
    "change": "of the one run over the other, in the unit named, or in logs",
    "window": "period over which memberships are compared: calm or crisis",
    "measure": "what membership changes",
    "unit": "unit of mean, low, high, median, p10 and p90",
    "bloc": "members, other allied, non-allied or rest of the world, by role and circle",
    "mean": "mean over seeds of the paired difference to the run without alliance",
    "low": "lower end of the 95 % interval of the mean",
    "high": "upper end of the 95 % interval of the mean",
    "median": "median over seeds of the paired difference",
    "p10": "tenth percentile over seeds of the paired difference",
    "p90": "ninetieth percentile over seeds of the paired difference",
    "n": "seeds in which the difference could be measured",
    "level_without": "mean level without alliance; prices as index, shares in percent",
    "level_with": "mean level with the circle, in the unit of level_without",
}


def parquet_writer(sink: Path | IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of result tables: how they are packed is settled here alone."""
    return pq.ParquetWriter(sink, schema, compression="zstd", **encoding(schema))


def passing_writer(sink: Path | IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """The same for tables that are read once and thrown away: quicker, and told by seed alone."""
    told = [name for name in schema.names if name == "seed"]
    return pq.ParquetWriter(
        sink, schema, compression="lz4", write_statistics=told, **encoding(schema)
    )


def abandon(writer: pq.ParquetWriter) -> None:
    """Close a writer for good, where the disk takes no more: it would try again when collected."""
    with suppress(OSError, ValueError):
        writer.close()
    writer.is_open = False


class ResultsFolderError(OSError):
    """The results folder cannot take a run."""


@dataclass
class ResultTables:
    """Gathers runs into whole tables; a table gets its name only when all of it is there."""

    folder: Path
    _writers: dict[str, pq.ParquetWriter] = field(default_factory=dict)

    def __enter__(self) -> ResultTables:
        return self

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows to a table, as a row group of their own."""
        if name not in self._writers:
            self._writers[name] = parquet_writer(self._part(name), rows.schema)
        self._writers[name].write_table(rows, row_group_size=max(len(rows), 1))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the tables, and name them unless something failed."""
        try:
            for writer in self._writers.values():
                writer.close()
            if kind is None:
                for name in self._writers:
                    self._part(name).replace(self.folder / f"{name}.parquet")
        finally:
            for name, writer in self._writers.items():
                abandon(writer)
                self._part(name).unlink(missing_ok=True)

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}.part.parquet"


def run_tables(
    result: RunResult,
    memberships: Sequence[str],
    shocks: Sequence[str],
    makers: Mapping[str, Maker] = TABLES,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables of a run that are not empty, by name, with its labels.

    Parameters
    ----------
    memberships, shocks
        Names of all scenarios of the experiment, the categories of the labels.
    makers
        What makes each table, by its name.
    """
    of_membership, of_shock = (pd.CategoricalDtype(list(names)) for names in (memberships, shocks))
    for name, make in makers.items():
        table = make(result.model, result.start)
        if len(table):
            yield name, _labelled(table, result, of_membership, of_shock)


def run_health(result: RunResult) -> pd.DataFrame:
    """One row: the run and how exactly it was solved."""
    key = {"membership": result.membership, "shock": result.shock, "seed": result.seed}
    return pd.DataFrame([key | result.health])


def _labelled(
    table: pd.DataFrame,
    result: RunResult,
    memberships: pd.CategoricalDtype,
    shocks: pd.CategoricalDtype,
) -> pd.DataFrame:
    count = len(table)
    labels = {
        "membership": _same(result.membership, memberships, count),
        "shock": _same(result.shock, shocks, count),
        "seed": np.full(count, result.seed, dtype=np.int32),
    }
    return pd.DataFrame({**labels, **table}, copy=False)


def _same(name: str, names: pd.CategoricalDtype, count: int) -> pd.Categorical:
    """A column that holds one of the names throughout."""
    codes = np.full(count, names.categories.get_loc(name))
    return pd.Categorical.from_codes(codes, dtype=names)


def described(table: pd.DataFrame) -> pa.Table:
    """The table with the meaning of every column in its schema."""
    columns = {name: pa.array(column, from_pandas=True) for name, column in table.items()}
    fields = [
        pa.field(name, column.type, metadata={"description": COLUMNS[name]})
        for name, column in columns.items()
    ]
    schema = pa.schema(fields, metadata={"chokepoint_schema": str(SCHEMA_VERSION)})
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def write_described(table: pd.DataFrame, path: Path) -> None:
    """Write a whole table."""
    pq.write_table(described(table), path, compression="zstd")


def encoding(schema: pa.Schema) -> dict[str, Any]:
    """Words as dictionaries, numbers as split bytes: the smaller and quicker way for each."""
    numbers = [item.name for item in schema if pa.types.is_floating(item.type)]
    words = [item.name for item in schema if pa.types.is_dictionary(item.type)]
    return {"use_dictionary": words, "use_byte_stream_split": numbers}


def read_by_seed(folder: Path, name: str) -> pd.DataFrame:
    """A table with a row a seed of a results folder, words as categories; empty where none is."""
    path = folder / f"{name}_by_seed.parquet"
    if not path.exists():
        return pd.DataFrame()
    schema = pq.read_schema(path)
    words = [item.name for item in schema if not pa.types.is_primitive(item.type)]
    return pq.read_table(path, read_dictionary=words).to_pandas()


def write_manifest(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write manifest.json whole or not at all, with where draws of behaviour come from."""
    return write_json(folder / "manifest.json", {**content, **drawn_from(content)})


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def plain(value: Any) -> Any:
    """Nested settings as words and numbers."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return getattr(value, "value", value)


def provenance() -> dict[str, Any]:
    """Versions and commit of the code that runs."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that was not installed
            versions[name] = "not installed"
    return {"schema_version": SCHEMA_VERSION, "versions": versions, "commit": _commit()}


def origin(folder: Path) -> dict[str, str]:
    """What the results of a folder come from, by its plan: seeds and hashes; empty without one."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    kinds = ("settings", "seeds", "posterior", "data", "code")
    return {name: str(plan[name]) for name in kinds if plan.get(name)}


def drawn_from(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The posterior that the settings of a manifest draw behaviour from, to be added to it.

    Its hash, and what the calibration wrote about itself in the JSON file beside the table. Empty
    where nothing is drawn, or where the manifest holds it already.
    """
    uncertainty = manifest.get("config", {}).get("uncertainty", {})
    if not uncertainty.get("active") or "posterior" in manifest:
        return {}
    path = Path(uncertainty["table"] or POSTERIOR)
    posterior = read_posterior(path)
    about = {
        "table": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "draws": len(posterior.draws),
        "settings": len(posterior.settings),
    }
    return {"posterior": about | _calibration(path.with_suffix(".json"))}


def _calibration(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"calibration": f"unknown: there is no readable {path.name} beside the table"}
    return {name: told[name] for name in CALIBRATION if name in told}


def _commit() -> str:
    """The commit of the checkout, marked when files differ from it; 'unknown' without git."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()

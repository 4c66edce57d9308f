"""What a run leaves behind: arrays over time, then tidy tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from abm.agents.project import STATUS, fund_share
from abm.agents.table import Table
from abm.config import month_name
from abm.ledger import ENTRIES, Entry, Ledger, named_entries
from abm.measures import MEASURED
from abm.shocks import MILESTONES
from abm.tables import STAGES
from abm.welfare import PARTIES, SECTOR_FIGURES
from abm.world import KG, MONTHS, World

if TYPE_CHECKING:
    from abm.review import Review

# What counts beside money now, and is weighed by a setting each.
WEIGHED = ("home_users", "leverage", "future_share", "change")
MEASURES = (
    "landed_price_usd_per_kg",
    "paid_price_usd_per_kg",
    "origin_price_usd_per_kg",
    "purchases_t",
    "use_t",
    "unmet_t",
    "priced_out_t",
    "output_t",
    "idle_capacity_t",
    "building_capacity_t",
    "reserves_t",
    "exports_t",
    "buyer_stock_t",
    "strategic_stock_t",
    "cover_months",
    "non_allied_share",
    "supplier_hhi",
    "import_reliance",
    "perceived_risk",
    "outlay_usd",
    "duty_usd",
    "rent_paid_usd",
    "rent_received_usd",
    "treasury_usd",
    "rerouted_t",
    "recycled_t",
    "use_intensity",
    "low_impact_share",
)


@dataclass
class Record:
    """[month, market, country] of every measure, and the health of the run."""

    figures: np.ndarray  # [month, measure, market, country] in the order of `MEASURED`
    measures: dict[str, np.ndarray]  # the same by name, in the order of `MEASURES`
    member: np.ndarray  # [month, country] bool
    flow: np.ndarray  # [year, market, origin, destination] t, summed over the year
    value: np.ndarray  # [year, market, origin, destination] USD paid, summed over the year
    payments: np.ndarray  # [year, side, entry, country] USD, in the order of the ledger
    posted: np.ndarray  # [entry] bool: which were posted
    surplus: np.ndarray  # [year, party, market, country] USD
    sectors: np.ndarray  # [year, figure, market, country, sector] t and thousand USD
    tension: np.ndarray  # [month, country, country] from the first towards the second, 0 to 1
    commitment: np.ndarray  # [month, country] to the alliance, 0 to 1
    restricted: np.ndarray  # [month, country] share of opening export value that controls hold back
    counter_tariff: np.ndarray  # [month, country] mean over opening imports, fraction
    certificate: np.ndarray  # [month] largest residual of the month's clearings
    tonnes_gap: np.ndarray  # [month] largest imbalance of a mineral, share of its volume
    money_gap: np.ndarray  # [month] largest imbalance of a market, share of its outlay
    iterations: np.ndarray  # [month] Newton steps of the month

    def keep_accounts(self, year: int, ledger: Ledger) -> None:
        """Add a month's payments to those of its year."""
        self.posted |= ledger.posted
        self.payments[year] += KG * ledger.by_country

    @property
    def accounts(self) -> dict[str, Entry]:
        """Every kind of payment made, by name: [year, country] USD on both sides."""
        return named_entries(self.posted, np.moveaxis(self.payments, 0, 2))


def empty_record(world: World, months: int) -> Record:
    """Room for a run of so many months."""
    shape = (months, len(world.markets), len(world.countries))
    years = -(-months // MONTHS)
    figures = np.full((months, len(MEASURED), *shape[1:]), np.nan)
    return Record(
        figures=figures,
        measures={name: figures[:, MEASURED.index(name)] for name in MEASURES},
        member=np.zeros((months, len(world.countries)), dtype=bool),
        flow=np.zeros((years, *world.flow.shape)),
        value=np.zeros((years, *world.flow.shape)),
        payments=np.zeros((years, 2, len(ENTRIES), len(world.countries))),
        posted=np.zeros(len(ENTRIES), dtype=bool),
        surplus=np.zeros((years, len(PARTIES), *shape[1:])),
        sectors=np.zeros((years, len(SECTOR_FIGURES), *shape[1:], len(world.sectors))),
        tension=np.zeros((months, len(world.countries), len(world.countries))),
        commitment=np.ones((months, len(world.countries))),
        restricted=np.zeros((months, len(world.countries))),
        counter_tariff=np.zeros((months, len(world.countries))),
        certificate=np.zeros(months),
        tonnes_gap=np.zeros(months),
        money_gap=np.zeros(months),
        iterations=np.zeros(months, dtype=np.int64),
    )


def active_places(world: World) -> tuple[np.ndarray, np.ndarray]:
    """[place] markets, and countries that buy or sell there: the rows of a month."""
    active = world.flow.sum(axis=1) > 0
    active[world.firms.market, world.firms.country] |= world.firms.capacity > 0
    market, country = np.nonzero(active)
    return market, country


def month_names(record: Record, start: str) -> list[str]:
    """The months of a run, YYYY-MM."""
    return [month_name(start, month) for month in range(record.member.shape[0])]


def monthly_table(world: World, record: Record, start: str) -> pd.DataFrame:
    """One row a month, market and country that buys or sells there."""
    market, country = active_places(world)
    names = month_names(record, start)
    months = len(names)
    columns: dict[str, object] = {
        "month": _category(np.repeat(np.arange(months), market.size), names),
        "mineral": _category(
            np.tile(world.mineral_of_market[market], months), list(world.minerals)
        ),
        "stage": _stages(world, np.tile(market, months)),
        "country": _category(np.tile(country, months), list(world.countries)),
        "member": record.member[:, country].ravel(),
    }
    for name in MEASURES:
        columns[name] = record.measures[name][:, market, country].astype(np.float32).ravel()
    return pd.DataFrame(columns)


def flow_table(world: World, record: Record, start: str) -> pd.DataFrame:
    """Tonnes and dollars from origin to destination by calendar year of the run."""
    year, market, origin, destination = np.nonzero(record.flow > 0)
    first = int(start[:4])
    places = (year, market, origin, destination)
    return pd.DataFrame(
        {
            "year": (first + year).astype(np.int32),
            "mineral": _category(world.mineral_of_market[market], list(world.minerals)),
            "stage": _stages(world, market),
            "origin": _category(origin, list(world.countries)),
            "destination": _category(destination, list(world.countries)),
            "quantity_t": record.flow[places].astype(np.float32),
            "value_usd": record.value[places].astype(np.float32),
        }
    )


def decision_table(world: World, review: Review, start: str) -> pd.DataFrame:
    """One row a review, producer, mineral and option of the menu; empty where nobody reviews.

    Money is USD a month over doing nothing.
    """
    held, cases, options = len(review.minutes), review.trials.cases, review.trials.options
    number, case, option = (axis.ravel() for axis in np.indices((held, cases, options)))
    months = [month_name(start, minutes.month) for minutes in review.minutes]
    names = list(dict.fromkeys(line.name for line in review.menu))
    lines = np.array([names.index(line.name) for line in review.menu])
    strengths = np.array([line.strength for line in review.menu], dtype=np.float32)
    producers = np.flatnonzero(world.non_allied)
    chosen = np.array([minutes.chosen for minutes in review.minutes]).reshape(held, cases)
    possible = np.array([minutes.possible for minutes in review.minutes]).ravel()
    columns: dict[str, object] = {
        "month": _category(number, months),
        "producer": _category(producers[review.producer[case]], list(world.countries)),
        "mineral": _category(review.mineral[case], list(world.minerals)),
        "option": _category(lines[option], names),
        "strength": strengths[option],
        "possible": possible.astype(bool),
        "chosen": chosen[number, case] == option,
    }
    for part in ("objective", "sellers", "levies", *WEIGHED):
        values = np.array([getattr(minutes.appraisal, part) for minutes in review.minutes])
        columns[f"{part}_usd"] = (KG * values).ravel().astype(np.float32)
    return pd.DataFrame(columns)


def account_table(world: World, record: Record, start: str) -> pd.DataFrame:
    """Dollars by calendar year, kind of payment, account and country; what is paid is negative."""
    sides = [
        (name, account, sign * amount)
        for name, kept in record.accounts.items()
        for account, sign, amount in (
            (kept.payer, -1.0, kept.paid),
            (kept.payee, 1.0, kept.received),
        )
    ]
    amounts = np.array([amount for _, _, amount in sides]).reshape(
        len(sides), record.flow.shape[0], len(world.countries)
    )
    side, year, country = np.nonzero(amounts)
    return pd.DataFrame(
        {
            "year": (int(start[:4]) + year).astype(np.int32),
            "entry": _named(side, [name for name, _, _ in sides]),
            "account": _named(side, [account.name for _, account, _ in sides]),
            "country": _category(country, list(world.countries)),
            "amount_usd": amounts[side, year, country].astype(np.float32),
        }
    )


def surplus_table(world: World, record: Record, start: str) -> pd.DataFrame:
    """Dollars that a year was worth to each party of a country, by market."""
    year, market, country = np.nonzero(np.abs(record.surplus).sum(axis=1))
    columns = _places(world, start, year, market, country)
    for row, party in enumerate(PARTIES):
        columns[f"{party}_usd"] = record.surplus[year, row, market, country].astype(np.float32)
    return pd.DataFrame(columns)


def sector_table(world: World, record: Record, start: str) -> pd.DataFrame:
    """Need, use, need without cover, outlay and surplus of every sector by year and market."""
    year, market, country, sector = np.nonzero(record.sectors[:, 0])
    columns = _places(world, start, year, market, country)
    columns["sector"] = _category(sector, list(world.sectors))
    for row, figure in enumerate(SECTOR_FIGURES):
        scale = KG if figure.endswith("_usd") else 1.0
        values = scale * record.sectors[year, row, market, country, sector]
        columns[figure] = values.astype(np.float32)
    return pd.DataFrame(columns)


def _places(
    world: World, start: str, year: np.ndarray, market: np.ndarray, country: np.ndarray
) -> dict[str, object]:
    return {
        "year": (int(start[:4]) + year).astype(np.int32),
        "mineral": _category(world.mineral_of_market[market], list(world.minerals)),
        "stage": _stages(world, market),
        "country": _category(country, list(world.countries)),
    }


def _stages(world: World, market: np.ndarray) -> pd.Categorical:
    return _category(world.is_refined[market].astype(int), list(STAGES))


def _named(codes: np.ndarray, names: list[str]) -> pd.Categorical:
    """Names by number, where several numbers may share a name."""
    return pd.Categorical(
        np.array(names, dtype=object)[codes], categories=list(dict.fromkeys(names))
    )


def milestone_table(world: World, projects: Table, start: str) -> pd.DataFrame:
    """One row a project and milestone: when it was due and when it was reached.

    Months are empty where a project was never started or a milestone not reached; the first
    milestone is due some months after the start.
    """
    listed, count = world.projects, len(MILESTONES)
    months = {
        name: [month_name(start, month) if month >= 0 else "" for month in values.ravel()]
        for name, values in (("planned", projects.planned), ("actual", projects.actual))
    }
    stages = [
        "recycled" if recycler else world.markets[market][1]
        for market, recycler in zip(listed.market, listed.recycler, strict=True)
    ]
    share = fund_share(projects.loan, projects.grant)
    columns: dict[str, Any] = {
        "project": listed.name,
        "mineral": [world.markets[market][0] for market in listed.market],
        "stage": stages,
        "country": [world.countries[country] for country in listed.country],
        "status": [STATUS[int(phase)] for phase in projects.phase],
        "fund_share": share,
        "project_spent_usd": KG * projects.spent,
        "fund_spent_usd": KG * projects.fund_spent,
    }
    table = pd.DataFrame({name: np.repeat(values, count) for name, values in columns.items()})
    table.insert(5, "milestone", np.tile(MILESTONES, listed.name.size))
    table.insert(6, "planned_month", months["planned"])
    table.insert(7, "actual_month", months["actual"])
    return table


def _category(codes: np.ndarray, names: list[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))

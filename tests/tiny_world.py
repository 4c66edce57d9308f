"""A complete set of tables for a world small enough to check by hand.

Four countries (USA, CHN, AUS, ROW), graphite (mined and refined, a quarter used unrefined) and
gallium (refined only, a by-product). Quantities are round numbers of tonnes a year.
"""

import csv
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

COUNTRIES = ("USA", "CHN", "AUS", "ROW")
_PROVENANCE = {"source": "invented for tests", "status": "estimated"}

_OUTPUT = {
    ("graphite", "mined"): {"CHN": 9600.0, "AUS": 1200.0, "ROW": 1200.0},
    ("graphite", "refined"): {"CHN": 7200.0, "USA": 480.0, "ROW": 120.0},
    ("gallium", "refined"): {"CHN": 708.0, "USA": 12.0, "ROW": 0.0},
}
_DEMAND = {
    ("graphite", "mined"): (0.2, 0.5, 0.05, 0.25),
    ("graphite", "refined"): (0.25, 0.6, 0.0, 0.15),
    ("gallium", "refined"): (0.2, 0.6, 0.05, 0.15),
}
_IMPORTS = {  # partner shares; AUS makes no gallium, so its share stands for re-exports
    ("graphite", "mined", "USA"): {"CHN": 0.4, "AUS": 0.5, "ROW": 0.1},
    ("graphite", "refined", "USA"): {"CHN": 0.9, "ROW": 0.05},
    ("gallium", "refined", "USA"): {"CHN": 0.7, "AUS": 0.3},
}
_PRICES = {("graphite", "mined"): 1.2, ("graphite", "refined"): 6.0, ("gallium", "refined"): 500.0}
_PARAMETERS = {  # value, low, high, unit
    "supply_elasticity": (0.3, 0.1, 0.6, "1"),
    "demand_elasticity": (0.3, 0.1, 0.6, "1"),
    "sourcing_elasticity": (5.0, 3.0, 8.0, "1"),
    "longrun_sourcing_factor": (2.5, 2.0, 3.0, "1"),
    "refining_yield": (0.8, 0.7, 0.9, "t/t"),
    "backstop_price_multiple": (8.0, 5.0, 12.0, "1"),
    "choke_price_multiple": (20.0, 15.0, 30.0, "1"),
    "utilisation": (0.8, 0.7, 0.9, "1"),
    "buyer_cover_months": (2.0, 1.0, 3.0, "months"),
    "producer_stock_months": (1.0, 0.5, 2.0, "months"),
    "lead_time_years": (5.0, 3.0, 8.0, "years"),
    "longrun_supply_elasticity": (2.0, 1.0, 3.0, "1"),
    "gross_weight": (1.5, 1.0, 2.0, "t/t"),
    "freight_fixed_usd_per_t": (40.0, 20.0, 80.0, "usd/t"),
    "freight_usd_per_t_per_1000km": (5.0, 3.0, 8.0, "usd/t"),
    "insurance_share": (0.005, 0.002, 0.01, "1"),
    "contract_share": (0.5, 0.2, 0.8, "1"),
    "byproduct_ceiling": (2.0, 1.5, 4.0, "1"),
    "old_scrap_share": (0.5, 0.2, 0.8, "1"),
    "collectable_share": (0.7, 0.5, 0.9, "1"),
}
_DISTANCES = {
    ("USA", "CHN"): 11000.0,
    ("USA", "AUS"): 12000.0,
    ("USA", "ROW"): 9000.0,
    ("CHN", "AUS"): 8000.0,
    ("CHN", "ROW"): 7000.0,
    ("AUS", "ROW"): 9500.0,
}


def write_table(folder: Path, name: str, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write one table with the columns of its first row plus source and status."""
    complete = [{**row, **{k: row.get(k, v) for k, v in _PROVENANCE.items()}} for row in rows]
    path = folder / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(complete[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(complete)
    return path


def _countries() -> list[dict[str, object]]:
    roles = ("allied", "non_allied", "allied", "neutral")
    return [
        {
            "code": code,
            "name": f"Land {code}",
            "region": "Test",
            "role": role,
            "political_stability": 0.5,
            "industry_bn_usd": 1000.0,
        }
        for code, role in zip(COUNTRIES, roles, strict=True)
    ]


def _minerals() -> list[dict[str, object]]:
    return [
        {
            "mineral": "graphite",
            "name": "Natural graphite",
            "family": "",
            "by_product": "no",
            "stages": "mined+refined",
        },
        {
            "mineral": "gallium",
            "name": "Gallium",
            "family": "",
            "by_product": "yes",
            "stages": "refined",
        },
    ]


def _parameters() -> list[dict[str, object]]:
    names = ("value", "low", "high", "unit")
    return [
        {
            "mineral": "*",
            "stage": "*",
            "parameter": name,
            **dict(zip(names, values, strict=True)),
        }
        for name, values in _PARAMETERS.items()
    ]


def _firms() -> list[dict[str, object]]:
    rows = (
        ("Great Mine", "CHN", "graphite", "mined", "operating", 6000.0, 4800.0),
        ("Reef Mine", "AUS", "graphite", "mined", "operating", 1500.0, 1200.0),
        ("Plant One", "CHN", "graphite", "refined", "operating", 5000.0, 4000.0),
        ("Scrap Works", "USA", "gallium", "recycled", "operating", 15.0, 12.0),
        ("Hope Plant", "AUS", "gallium", "refined", "planned", 100.0, ""),
    )
    return [
        {
            "firm": firm,
            "operator": firm,
            "parent": "",
            "country": country,
            "mineral": mineral,
            "stage": stage,
            "state": state,
            "capacity_t": capacity,
            "output_t": output,
            "start_year": "",
            "cash_cost_usd_per_kg": "",
            "confidence": "derived",
            "note": "",
        }
        for firm, country, mineral, stage, state, capacity, output in rows
    ]


def _projects() -> list[dict[str, object]]:
    rows = (
        ("Hill Mine", "AUS", "graphite", "mined", "planned", 1200.0, 3.0),
        ("Coast Plant", "AUS", "graphite", "refined", "planned", 600.0, 2.0),
        ("Hope Plant", "AUS", "gallium", "refined", "planned", 60.0, 60.0),
        ("Old Plant", "USA", "gallium", "refined", "idle", 20.0, 5.0),
        ("Delta Mine", "ROW", "graphite", "mined", "construction", 600.0, 1.0),
    )
    return [
        {
            "project": project,
            "country": country,
            "mineral": mineral,
            "stage": stage,
            "state": state,
            "capacity_t": capacity,
            "capital_musd": capital,
            "capital_low_musd": capital / 2,
            "capital_high_musd": capital * 2,
            "confidence": "derived",
        }
        for project, country, mineral, stage, state, capacity, capital in rows
    ]


def _prices() -> list[dict[str, object]]:
    return [
        {
            "mineral": mineral,
            "stage": stage,
            "market": market,
            "exporter": exporter,
            "year": 2024,
            "price_usd_per_kg": price * factor,
        }
        for (mineral, stage), price in _PRICES.items()
        for market, exporter, factor in (("world", "", 1.0), ("home", "CHN", 0.8))
    ]


def tiny_rows() -> dict[str, list[dict[str, object]]]:
    """Rows of every table, by table name; change them and write them with `write_table`."""
    sectors = {"graphite": (0.5, 0.0, 0.0, 0.3, 0.2), "gallium": (0.2, 0.6, 0.1, 0.0, 0.1)}
    sector_names = ("clean_energy", "digital", "defence", "alloys", "other")
    market = ("mineral", "stage")
    return {
        "countries": _countries(),
        "country_codes": [{"iso3": "PRI", "code": "USA"}],
        "minerals": _minerals(),
        "parameters": _parameters(),
        "output": [
            {
                "mineral": mineral,
                "stage": stage,
                "country": country,
                "year": 2024,
                "quantity_t": quantity,
            }
            for (mineral, stage), by_country in _OUTPUT.items()
            for country, quantity in by_country.items()
        ],
        "recycling": [{"mineral": "gallium", "country": "USA", "quantity_t": 12.0}],
        "firms": _firms(),
        "projects": _projects(),
        "demand": [
            {
                **dict(zip(market, key, strict=True)),
                "country": country,
                "share": share,
                "low": share / 2,
                "high": min(1.0, share * 2),
            }
            for key, shares in _DEMAND.items()
            for country, share in zip(COUNTRIES, shares, strict=True)
        ],
        "direct_use": [{"mineral": "graphite", "share": 0.25, "low": 0.2, "high": 0.3}],
        "sectors": [
            {
                "mineral": mineral,
                "sector": sector,
                "share": share,
                "growth_per_year": 0.03,
                "growth_low": 0.0,
                "growth_high": 0.06,
            }
            for mineral, shares in sectors.items()
            for sector, share in zip(sector_names, shares, strict=True)
        ],
        "demand_paths": [
            {
                "mineral": "graphite",
                "sector": "clean_energy",
                "scenario": scenario,
                "year": 2034,
                "multiple": multiple,
            }
            for scenario, multiple in (("steps", 1.5), ("aps", 2.0), ("nze", 3.0))
        ],
        "prices": _prices(),
        "import_shares": [
            {
                **dict(zip((*market, "importer"), key, strict=True)),
                "partner": partner,
                "share": share,
                "basis": "quantity",
            }
            for key, partners in _IMPORTS.items()
            for partner, share in partners.items()
        ],
        "distances": [
            {"origin": origin, "destination": destination, "sea_km": km, "days": km / 622}
            for (origin, destination), km in _DISTANCES.items()
        ],
        "chokepoints": [
            {"chokepoint": name, "origin": a, "destination": b, "share": 1.0, "detour_km": km}
            for name, a, b, km in (("narrows", "CHN", "USA", 6000.0), ("bay", "AUS", "ROW", ""))
        ],
        "tariffs": [
            {
                "mineral": "graphite",
                "stage": "refined",
                "importer": "USA",
                "exporter": "CHN",
                "rate": 0.25,
            }
        ],
        "reserves": [{"mineral": "graphite", "country": "CHN", "reserves_t": 80000.0}],
        "stockpiles": [{"mineral": "gallium", "country": "USA", "cover_months": 1.0}],
        "memberships": [
            {"circle": "washington", "country": country, "role": "member", "date": "2026-02"}
            for country in ("USA", "AUS")
        ],
        "alignment": [
            {"country": country, "ideal_point": point}
            for country, point in (("USA", 2.0), ("CHN", -1.0), ("AUS", 1.0))
        ],
        "standards": [
            {"country": country, "score": score}
            for country, score in (("USA", 0.8), ("CHN", 0.45), ("AUS", 0.7), ("ROW", 0.2))
        ],
        "published_shares": [
            {
                "mineral": "gallium",
                "stage": "refined",
                "country": "CHN",
                "share": 0.98,
                "publisher": "USGS",
            }
        ],
        "published_concentration": [
            {
                "mineral": "gallium",
                "stage": "refined",
                "measure": "hhi",
                "year": 2024,
                "value": 9800.0,
                "publisher": "USGS",
            }
        ],
    }


def write_tiny_tables(folder: Path) -> Path:
    """Write the complete set into a folder (made if absent) and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tiny_rows().items():
        write_table(folder, name, rows)
    return folder


def tin_rows() -> dict[str, list[dict[str, object]]]:
    """Rows of an extra folder that adds a whole mineral, tin, to the tiny world."""
    stages = ("mined", "refined")
    return {
        "minerals": [
            {
                "mineral": "tin",
                "name": "Tin",
                "family": "",
                "by_product": "no",
                "stages": "mined+refined",
            }
        ],
        "output": [
            {
                "mineral": "tin",
                "stage": stage,
                "country": country,
                "year": 2024,
                "quantity_t": 1000.0,
            }
            for stage, country in product(stages, ("CHN", "AUS"))
        ],
        "demand": [
            {
                "mineral": "tin",
                "stage": "refined",
                "country": country,
                "share": 0.25,
                "low": 0.1,
                "high": 0.4,
            }
            for country in COUNTRIES
        ],
        "sectors": [
            {
                "mineral": "tin",
                "sector": "alloys",
                "share": 1.0,
                "growth_per_year": 0.01,
                "growth_low": 0.0,
                "growth_high": 0.02,
            }
        ],
        "prices": [
            {
                "mineral": "tin",
                "stage": stage,
                "market": "world",
                "exporter": "",
                "year": 2024,
                "price_usd_per_kg": 30.0,
            }
            for stage in stages
        ],
    }


def write_tin_tables(folder: Path) -> Path:
    """Write the extra folder that adds tin and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tin_rows().items():
        write_table(folder, name, rows)
    return folder

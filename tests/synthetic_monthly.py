"""A made-up monthly table in the shape of the results contract, for figures and effects.

Prices, shares and shortages follow simple closed rules, so that the true effect of a membership is
known: `CALM_EFFECT` (factor on members' price) and `CRISIS_EFFECT` (power on the shock's jump).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

COUNTRIES = {
    "USA": "allied",
    "EU27": "allied",
    "JPN": "allied",
    "KOR": "allied",
    "IND": "partner",
    "BRA": "neutral",
    "CHN": "non_allied",
    "ROW": "neutral",
}
CIRCLES = {"none": (), "washington": ("USA", "EU27", "JPN"), "forge": ("USA", "EU27", "JPN", "KOR")}
MINERALS = {"gallium": 400.0, "germanium": 1500.0, "graphite": 1.2, "lithium": 60.0}
SHOCKED = ("gallium", "germanium", "graphite")
SHOCK = "export_ban"
START = "2027-04"
LIFTED = "2030-04"
CALM_EFFECT = {"none": 1.0, "washington": 0.97, "forge": 0.95}
CRISIS_EFFECT = {"none": 1.0, "washington": 0.8, "forge": 0.6}


def synthetic_monthly(
    seeds: int = 4, months: int = 120, noise: float = 0.04, by_seed: float = 0.01
) -> pd.DataFrame:
    """One row per membership, shock, seed, month, mineral and country, from January 2025."""
    calendar = pd.period_range("2025-01", periods=months, freq="M").astype(str)
    axes = [list(CIRCLES), ["none", SHOCK], range(seeds), calendar, list(MINERALS), list(COUNTRIES)]
    names = ["membership", "shock", "seed", "month", "mineral", "country"]
    table = pd.MultiIndex.from_product(axes, names=names).to_frame(index=False)
    shape = tuple(len(axis) for axis in axes)
    member = np.array([[c in circle for c in COUNTRIES] for circle in CIRCLES.values()])
    member = member[:, None, None, None, None, :]
    target = np.array([c in CIRCLES["forge"] for c in COUNTRIES])
    rng = np.random.default_rng(5)
    # shared by all runs of a seed: month, mineral
    walk = np.exp(noise * rng.standard_normal((seeds, months, len(MINERALS), 1)).cumsum(axis=1) / 4)
    luck = 1.0 + by_seed * rng.standard_normal((len(CIRCLES), 1, seeds, 1, 1, 1))
    since = (
        np.arange(months) - list(calendar).index(START) if START in calendar else -np.ones(months)
    )
    until = (
        np.arange(months) - list(calendar).index(LIFTED) if LIFTED in calendar else -np.ones(months)
    )
    jump = np.where(since >= 0, 1.2 * np.exp(-since / 30) * (1 - np.exp(-(since + 1) / 5)), 0.0)
    jump = np.where(until >= 0, jump * np.exp(-np.maximum(until, 0) / 4), jump)
    hit = np.array([mineral in SHOCKED for mineral in MINERALS])
    exposed = np.where(target, 1.0, 0.15)
    jump = (jump[:, None, None] * hit[:, None] * exposed)[None, None, None]
    jump = jump * np.array([0.0, 1.0])[None, :, None, None, None, None]
    soften = np.array(list(CRISIS_EFFECT.values()))[:, None, None, None, None, None]
    jump = np.where(member, jump * soften, jump)
    calm = np.array(list(CALM_EFFECT.values()))[:, None, None, None, None, None]
    opening = np.array(list(MINERALS.values()))[:, None]
    local = 1.0 + 0.02 * np.arange(len(COUNTRIES))
    price = opening * local * walk[None, None] * np.exp(jump)
    price = price * np.where(member, calm * luck, 1.0)
    price = np.broadcast_to(price, shape)
    home = np.array([c == "CHN" for c in COUNTRIES])
    home_price = 0.85 * opening * walk[None, None] * np.exp(-0.1 * jump.max(axis=-1, keepdims=True))
    home_price = np.where(home, np.broadcast_to(home_price, shape), np.nan)
    size = np.array([9.0, 8.0, 5.0, 3.0, 1.5, 1.0, 12.0, 4.0])
    tonnes = np.array([50.0, 12.0, 90_000.0, 8_000.0])[:, None] * size / size.sum()
    need = np.broadcast_to(tonnes, shape)
    unmet = need * np.minimum(0.25 * jump, 0.6) * np.where(member, 0.7, 1.0)
    share = np.array([0.9, 0.6, 0.75, 0.3])[:, None] * np.linspace(0.7, 1.0, len(COUNTRIES))
    years = np.arange(months)[:, None, None] / months
    share = share * (1 - 0.15 * years) * np.exp(-0.4 * jump) * np.where(member, 1 - 0.1 * years, 1)
    columns = {
        "landed_price_usd_per_kg": price,
        "origin_price_usd_per_kg": home_price,
        "purchases_t": need - unmet,
        "use_t": need - unmet,
        "unmet_t": unmet,
        "output_t": np.where(home, 2.0 * need, 0.0),
        "non_allied_share": np.clip(share, 0, 1),
        "supplier_hhi": 1e4 * share**2,
        "import_reliance": np.clip(share, 0, 1),
        "cover_months": 2.0 + 0 * need,
        "outlay_usd": 1000.0 * price * (need - unmet),
    }
    for name, values in columns.items():
        table[name] = np.broadcast_to(values, shape).reshape(-1)
    table["member"] = np.broadcast_to(member, shape).reshape(-1)
    table["stage"] = "refined"
    categories = ["membership", "shock", "month", "mineral", "stage", "country"]
    return table.astype(dict.fromkeys(categories, "category"))

"""The completed opening: closure by hand, balance to rounding, and the fit against references."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from tiny_world import COUNTRIES, tiny_rows, write_table, write_tin_tables, write_tiny_tables

from abm.opening import (
    BalanceError,
    CompletionRule,
    Opening,
    affinity,
    balance_flows,
    concentration,
    hhi,
    import_share_fit,
    opening_balance,
    share_comparison,
)
from abm.tables import DATA_FOLDER, SCHEMAS, SECTORS, TableError, Tables, read_tables

needs_data = pytest.mark.skipif(
    not all((DATA_FOLDER / schema.file_name).exists() for schema in SCHEMAS.values()),
    reason="the data tables are not complete",
)
MINERALS = ("graphite", "gallium")
USA, CHN, AUS, ROW = range(4)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return read_tables(base_folder=write_tiny_tables(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def opening(tables: Tables) -> Opening:
    return opening_balance(tables, MINERALS)


@pytest.fixture(scope="module")
def real(real_tables: Tables) -> Opening:
    return opening_balance(real_tables, real_tables.minerals["mineral"].tolist())


def assert_balanced(opening: Opening) -> None:
    """Every market balances, in total and at every country, relative to its volume."""
    volume = opening.supply.sum(axis=1)
    shipped, received = opening.flow.sum(axis=2), opening.flow.sum(axis=1)
    used = opening.feed_use + opening.final_use.sum(axis=2)
    assert (np.abs(used.sum(axis=1) - volume) < 1e-12 * volume).all()
    assert (np.abs(shipped - opening.supply).max(axis=1) < 1e-12 * volume).all()
    assert (np.abs(received - used).max(axis=1) < 1e-12 * volume).all()
    assert (opening.flow >= 0).all()


def test_axes(opening: Opening) -> None:
    assert opening.countries == COUNTRIES
    assert opening.sectors == SECTORS
    assert opening.markets == (
        ("graphite", "mined"),
        ("graphite", "refined"),
        ("gallium", "refined"),
    )
    assert opening.mineral_of_market.tolist() == [0, 0, 1]
    assert opening.is_refined.tolist() == [False, True, True]
    assert opening.refining_yield.tolist() == [0.8, 1.0]


def test_tiny_world_balances(opening: Opening) -> None:
    assert_balanced(opening)


def test_mined_supply_is_as_published(opening: Opening) -> None:
    np.testing.assert_allclose(opening.supply[0] * 12, [0, 9600, 1200, 1200], rtol=1e-14)


def test_refining_is_closed_on_the_mined_balance(opening: Opening) -> None:
    """12,000 t mined, a quarter used directly, yield 0.8: 7,200 t refined by 480:7200:0:120."""
    np.testing.assert_allclose(
        opening.supply[1] * 12, 7200 * np.array([480, 7200, 0, 120]) / 7800, rtol=1e-14
    )
    np.testing.assert_allclose(opening.feed_use[0], opening.supply[1] / 0.8, rtol=1e-14)
    assert opening.final_use[0].sum() * 12 == pytest.approx(3000)
    assert not opening.feed_use[1:].any()


def test_scrap_comes_on_top_of_what_mines_feed(tables: Tables, tmp_path: Path) -> None:
    base = write_tiny_tables(tmp_path)
    scrap = {"mineral": "graphite", "country": "USA", "quantity_t": 120.0}
    write_table(base, "recycling", [scrap])
    opening = opening_balance(read_tables(base_folder=base), ["graphite"])
    primary = 7200 * np.array([360, 7200, 0, 120]) / 7680
    np.testing.assert_allclose(
        opening.supply[1] * 12, primary + np.array([120, 0, 0, 0]), rtol=1e-14
    )
    np.testing.assert_allclose(opening.feed_use[0] * 12, primary / 0.8, rtol=1e-14)
    assert opening.recycled[1].tolist() == [10.0, 0, 0, 0]


def test_refined_only_mineral_keeps_published_output(opening: Opening) -> None:
    np.testing.assert_allclose(opening.supply[2] * 12, [12, 708, 0, 0], rtol=1e-14)
    assert opening.recycled[2].tolist() == [1.0, 0, 0, 0]


def test_use_follows_demand_and_sectors(opening: Opening) -> None:
    gallium = opening.final_use[2] / 60.0
    np.testing.assert_allclose(gallium.sum(axis=1), [0.2, 0.6, 0.05, 0.15], rtol=1e-14)
    np.testing.assert_allclose(gallium.sum(axis=0), [0.2, 0.6, 0.1, 0.0, 0.1], rtol=1e-14)


def test_sectors_of_both_stages_add_up_to_the_published_mix(opening: Opening) -> None:
    by_sector = opening.final_use[:2].sum(axis=(0, 1))
    np.testing.assert_allclose(by_sector / by_sector.sum(), [0.5, 0, 0, 0.3, 0.2], atol=1e-14)
    assert opening.final_use[0].sum(axis=0)[0] == 0.0  # batteries take only refined graphite


def test_the_fit_keeps_the_cross_ratios_of_the_prior(opening: Opening) -> None:
    for prior, flow in zip(opening.observed_prior, opening.flow, strict=True):
        rows = np.flatnonzero(prior.sum(axis=1))
        columns = np.flatnonzero(prior.sum(axis=0))
        for i, k in combinations(rows, 2):
            for j, n in combinations(columns, 2):
                before = prior[i, j] * prior[k, n] / (prior[i, n] * prior[k, j])
                after = flow[i, j] * flow[k, n] / (flow[i, n] * flow[k, j])
                assert after == pytest.approx(before, rel=1e-9)


def test_the_fit_is_the_nearest_in_relative_entropy() -> None:
    rng = np.random.default_rng(7)
    prior = rng.uniform(0.1, 2.0, (3, 3))
    supply, use = np.array([3.0, 2.0, 1.0]), np.array([1.0, 1.5, 3.5])

    def distance(x: np.ndarray) -> float:
        return float((x * np.log(x / prior.ravel()) - x).sum())

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.log(x / prior.ravel())

    sums = [
        {"type": "eq", "fun": lambda x: x.reshape(3, 3).sum(axis=1) - supply},
        {"type": "eq", "fun": lambda x: (x.reshape(3, 3).sum(axis=0) - use)[:2]},
    ]
    start = np.outer(supply, use).ravel() / 6.0
    found = minimize(
        distance,
        start,
        jac=gradient,
        bounds=[(1e-9, None)] * 9,
        constraints=sums,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success
    np.testing.assert_allclose(
        balance_flows(prior, supply, use), found.x.reshape(3, 3), rtol=0, atol=1e-6
    )


def test_a_fit_that_cannot_be_names_the_market() -> None:
    prior = np.array([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(BalanceError, match="refined gallium") as caught:
        balance_flows(prior, np.array([2.0, 1.0]), np.array([1.0, 2.0]), "refined gallium", 100)
    assert str(caught.value).count(". ") == 0


def test_every_producer_reaches_every_user_but_unobserved_arcs_stay_tiny(opening: Opening) -> None:
    possible = (opening.supply[:, :, None] > 0) & (opening.use[:, None, :] > 0)
    assert (opening.flow[possible] > 0).all()
    assert not opening.flow[~possible].any()
    mined = opening.flow[0]
    assert mined[AUS, CHN] > 10.0  # gravity leads Australian ore to the largest refiner
    assert mined[CHN, AUS] < 1e-3 * mined[CHN].sum()  # Australia serves itself


def test_exporters_serve_home_first_and_importers_keep_the_stated_share(tables: Tables) -> None:
    rule = CompletionRule(gravity_floor=0.0, home_share_refined=0.5)
    prior = opening_balance(tables, ["gallium"], rule).observed_prior[0]
    assert prior[CHN, CHN] == pytest.approx(36.0)  # uses 60 % of 60 t, makes 59 t
    assert prior[USA, USA] == pytest.approx(0.5)  # makes 1 t of the 12 t it uses


def test_an_exporter_with_published_partners_imports_a_little(tmp_path: Path) -> None:
    base = write_tiny_tables(tmp_path)
    row = {"mineral": "gallium", "stage": "refined", "importer": "CHN", "partner": "USA"}
    write_table(base, "import_shares", [{**row, "share": 1.0, "basis": "value"}])
    rule = CompletionRule(gravity_floor=0.0, two_way_share=0.01)
    prior = opening_balance(read_tables(base_folder=base), ["gallium"], rule).observed_prior[0]
    assert prior[CHN, CHN] == pytest.approx(0.99 * 36.0)
    assert prior[USA, CHN] == pytest.approx(0.01 * 36.0)


def test_shares_of_partners_without_output_go_to_producers(tables: Tables) -> None:
    """Australia has 30 % of observed US gallium imports and makes none: China sent it all."""
    opening = opening_balance(tables, ["gallium"], CompletionRule(gravity_floor=0.0))
    imports = opening.use[0, USA] - opening.observed_prior[0, USA, USA]
    assert opening.observed_prior[0, CHN, USA] == pytest.approx(imports)
    fit = import_share_fit(tables, opening).set_index("partner")
    assert not fit.loc["AUS", "partner_supplies"]
    assert fit.loc["CHN", "balanced_share"] == pytest.approx(1.0)


def test_import_shares_that_fit_the_output_are_reproduced(tmp_path: Path) -> None:
    """Two exporters of 33.3 t face two importers of 33.3 t: mirrored shares balance as they are."""
    base, extra = write_tiny_tables(tmp_path / "base"), write_tin_tables(tmp_path / "tin")
    observed = {("USA", "CHN"): 0.7, ("USA", "AUS"): 0.3, ("ROW", "CHN"): 0.3, ("ROW", "AUS"): 0.7}
    rows = [
        {
            "mineral": "tin",
            "stage": "refined",
            "importer": importer,
            "partner": partner,
            "share": share,
            "basis": "quantity",
        }
        for (importer, partner), share in observed.items()
    ]
    write_table(extra, "import_shares", rows)
    tables = read_tables([extra], base_folder=base)
    fit = import_share_fit(tables, opening_balance(tables, ["tin"]))
    assert len(fit) == 4
    assert fit["difference"].abs().max() < 1e-3  # the gravity floor


def test_distance_matters_more_with_a_larger_exponent(tables: Tables) -> None:
    near, far = (
        affinity(tables, opening_balance(tables, ["gallium"]), CompletionRule(exponent))[0, AUS]
        for exponent in (0.5, 2.0)
    )
    assert far[AUS] / far[USA] > near[AUS] / near[USA] > 1.0


def test_affinity_has_mean_one_over_use_and_needs_no_supply(
    tables: Tables, opening: Opening
) -> None:
    entry = affinity(tables, opening)
    weight = opening.use / opening.use.sum(axis=1, keepdims=True)
    np.testing.assert_allclose((entry * weight[:, None, :]).sum(axis=2), 1.0, rtol=1e-12)
    assert opening.supply[2, AUS] == 0.0
    assert (entry[2, AUS] > 0).all()
    assert np.argmax(entry[2, AUS]) == AUS  # a new producer sells best at home


def test_share_comparison_shows_model_against_published(tables: Tables, opening: Opening) -> None:
    row = share_comparison(tables, opening).iloc[0]
    assert row["model_share"] == pytest.approx(708 / 720)
    assert row["difference"] == pytest.approx(708 / 720 - 0.98)
    assert (row["mineral"], row["country"], row["publisher"]) == ("gallium", "CHN", "USGS")


def test_concentration_index() -> None:
    assert hhi(np.array([1.0])) == 10_000
    assert hhi(np.array([0.5, 0.3, 0.2])) == pytest.approx(3800)
    by_column = hhi(np.array([[2.0, 0.0], [2.0, 0.0]]), axis=0)
    assert by_column.tolist() == [5000.0, 0.0]


def test_a_mineral_of_an_extra_folder_is_completed(tmp_path: Path) -> None:
    base, extra = write_tiny_tables(tmp_path / "base"), write_tin_tables(tmp_path / "tin")
    opening = opening_balance(read_tables([extra], base_folder=base), [*MINERALS, "tin"])
    assert ("tin", "mined") in opening.markets
    assert_balanced(opening)
    tin = opening.market("tin", "refined")
    np.testing.assert_allclose(opening.supply[tin] * 12, [0, 800, 800, 0], rtol=1e-14)


def test_minerals_are_checked(tables: Tables, opening: Opening) -> None:
    with pytest.raises(TableError, match="'galium'"):
        opening_balance(tables, ["galium"])
    with pytest.raises(TableError, match="twice"):
        opening_balance(tables, ["gallium", "gallium"])
    with pytest.raises(TableError, match=r"world\.minerals is empty"):
        opening_balance(tables, [])
    with pytest.raises(ValueError, match="no market gallium mined"):
        opening.market("gallium", "mined")


def test_arrays_are_read_only(opening: Opening) -> None:
    with pytest.raises(ValueError, match="read-only"):
        opening.flow[0, 0, 0] = 1.0


def test_a_mineral_alone_is_completed_as_among_others(tables: Tables, opening: Opening) -> None:
    alone = opening_balance(tables, ["gallium"])
    np.testing.assert_array_equal(alone.flow[0], opening.flow[2])


def test_tiny_rows_are_fresh() -> None:
    tiny_rows()["output"][0]["quantity_t"] = -1.0
    assert tiny_rows()["output"][0]["quantity_t"] > 0


@needs_data
def test_real_world_balances(real: Opening) -> None:
    assert_balanced(real)
    assert len(real.markets) == 18
    assert len(real.countries) == 36


@needs_data
def test_real_mined_output_is_as_published(real_tables: Tables, real: Opening) -> None:
    for row in real_tables.output[real_tables.output["stage"] == "mined"].itertuples():
        supply = real.supply[real.market(row.mineral, "mined"), real.countries.index(row.country)]
        assert supply * 12 == pytest.approx(row.quantity_t, rel=1e-12)


@needs_data
def test_real_import_shares_follow_the_published_ones(real_tables: Tables, real: Opening) -> None:
    """Where partners supply, balanced shares stay near; output and product codes bound the fit."""
    fit = import_share_fit(real_tables, real)
    fit = fit[fit["partner_supplies"]]
    assert fit["observed_share"].corr(fit["balanced_share"]) > 0.8
    assert fit["difference"].abs().median() < 0.05


@needs_data
def test_real_supply_shares_are_near_some_publisher(real_tables: Tables, real: Opening) -> None:
    comparison = share_comparison(real_tables, real)
    nearest = comparison.assign(distance=comparison["difference"].abs())
    nearest = nearest.groupby(["mineral", "stage", "country"])["distance"].min()
    assert nearest.max() < 0.15
    assert nearest.median() < 0.01


def test_concentration_shows_the_index_beside_published_ones(
    tables: Tables, opening: Opening
) -> None:
    found = concentration(tables, opening)
    gallium = found[(found["mineral"] == "gallium") & (found["measure"] == "hhi")]
    by_hand = 1e4 * ((708 / 720) ** 2 + (12 / 720) ** 2)
    np.testing.assert_allclose(gallium["opening"], by_hand)
    assert sorted(gallium["published"]) == pytest.approx([1e4 * 0.98**2, 9800.0])
    graphite = found[(found["mineral"] == "graphite") & (found["stage"] == "mined")]
    assert graphite["published"].isna().all()
    assert graphite.set_index("measure").loc["largest_share", "opening"] == pytest.approx(0.8)


@needs_data
def test_real_concentration_agrees_with_the_nearest_published_index(
    real_tables: Tables, real: Opening
) -> None:
    """Of the same year within 200 points; gallium (secondary output) and germanium are known."""
    found = concentration(real_tables, real).dropna(subset="published")
    index = found[found["measure"] == "hhi"].assign(
        gap=lambda table: (table["opening"] - table["published"]).abs()
    )
    apart = index.groupby(["mineral", "stage"])["gap"].min()
    assert apart.drop([("gallium", "refined"), ("germanium", "refined")]).max() < 700
    ours = index[(index["year"] == 2024) & ~index["mineral"].isin(["gallium", "germanium"])]
    nearest = ours.groupby(["mineral", "stage"])["gap"].min()
    assert (nearest < 200).sum() >= len(nearest) - 1
    assert found["opening"].corr(found["published"]) > 0.9

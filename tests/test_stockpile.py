"""Strategic stocks in a small world: what they do to prices, and who pays for them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_same_history, export_ban, model_of, quiet_config, run

from abm.config import Config, Pace, Sharing
from abm.intentions import releases
from abm.ledger import Account
from abm.world import World

USA, CHN, AUS, ROW = range(4)
START = 24


def stocking(months: float, years: int = 5, build: float = 12.0) -> Config:
    config = quiet_config(years)
    config.instruments.preferential_tariffs.active = False
    config.instruments.joint_procurement.active = False
    config.instruments.stockpiles.target_months = months
    config.instruments.stockpiles.build_months = build
    return config


def test_stocks_bought_in_calm_raise_the_price_while_they_are_built(tiny_world: World) -> None:
    row, build = tiny_world.market("gallium", "refined"), slice(14, 30)
    price = [
        run(stocking(months), tiny_world, "washington").measures["landed_price_usd_per_kg"]
        for months in (0.0, 3.0, 6.0)
    ]
    mean = [values[build, row, USA].mean() for values in price]
    assert mean[0] < mean[1] < mean[2]
    assert mean[2] < 1.5 * mean[0]


def test_treasuries_pay_for_purchases_and_for_holding_and_earn_from_release(
    tiny_world: World,
) -> None:
    config = stocking(6.0)
    config.instruments.stockpiles.storage, config.instruments.stockpiles.financing = 0.03, 0.06
    config.shock = export_ban()
    model = model_of(config, tiny_world, "washington", shocked=True)
    row, sold = tiny_world.market("gallium", "refined"), 0.0
    for month in range(40):
        before = model.state.stock[row, :, -1].copy()
        model.step()
        entries = model.books.ledger.entries
        assert entries["stockpile_purchases"].payer is Account.treasury
        assert entries["stockholding"].payee is Account.services
        if month == START - 1:
            bought = entries["stockpile_purchases"].paid[row, USA]
            paid = model.books.spent[row, USA] / model.books.bought[row, USA]
            assert bought == pytest.approx(paid * model.books.taken[row, USA, -1])
            assert model.state.stock[row, USA, -1] > before[USA]
            holding = 0.09 / 12.0 * paid * model.state.stock[row, USA, -1]
            assert entries["stockholding"].paid[row, USA] == pytest.approx(holding)
        sold += model.books.ledger.received("stockpile_sales")[row].sum()
        net = sum(model.books.ledger.balance(account).sum() for account in Account)
        assert abs(net) < 1e-9 * model.books.spent.sum()
    assert sold > 0.0
    assert model.record.tonnes_gap[:40].max() < 1e-9


def test_the_cost_of_holding_moves_no_price(tiny_world: World) -> None:
    free, dear = stocking(3.0), stocking(3.0)
    free.instruments.stockpiles.storage = free.instruments.stockpiles.financing = 0.0
    one, two = run(free, tiny_world, "washington"), run(dear, tiny_world, "washington")
    treasury = [record.measures.pop("treasury_usd") for record in (one, two)]
    assert_same_history(one, two)
    assert (treasury[0] - treasury[1]).sum() > 0.0


@pytest.mark.parametrize("sharing", list(Sharing))
def test_a_dry_pool_gives_nothing_more(tiny_world: World, sharing: Sharing) -> None:
    """Paired with a world without any stock: relief first, and no more once all is spent."""
    config = stocking(2.0, years=4)
    release = config.instruments.emergency_release
    release.pace, release.sharing, release.release_months = Pace.steady, sharing, 3.0
    config.shock = export_ban(targets=["world"], enforcement=0.9)
    model = model_of(config, tiny_world, "washington", shocked=True)
    row, received = 1, []
    for _ in range(48):
        model.step()
        received.append(model.received[row].sum())
    stock = model.record.measures["strategic_stock_t"][:, tiny_world.market("gallium", "refined")]
    dry = np.flatnonzero(stock[START:, [USA, AUS]].sum(axis=1) <= 1e-9)
    assert dry.size
    assert max(received[START : START + 12]) > 0.0
    assert received[START + int(dry[0]) + 1] == pytest.approx(0.0, abs=1e-9)


def test_nobody_gives_more_than_there_is(tiny_world: World) -> None:
    """The part for all and the part for oneself may round to more than the stock."""
    config = stocking(2.0)
    release = config.instruments.emergency_release
    release.pace, release.release_months = Pace.steady, 1.0
    model = model_of(config, tiny_world, "washington")
    model.month, model.countries.short[:] = START, True
    model.strike_shocks()
    stock = model.state.stock[tiny_world.refined_rows, :, -1]
    stock[:] = np.random.default_rng(0).uniform(0.0, 0.5, stock.shape)
    model.state.stock[tiny_world.refined_rows, :, -1] = stock
    for share in np.linspace(0.0, 1.0, 60):
        release.pooled_share = share
        given, _ = releases(model)
        assert (given <= stock).all()
        np.testing.assert_allclose(given[:, USA], stock[:, USA], rtol=1e-12)


def test_a_pool_kept_at_home_leaves_each_to_itself(tiny_world: World) -> None:
    """With nothing on call for all, the pooled world is the one without a pool."""
    own, none_shared = stocking(3.0), stocking(3.0)
    own.instruments.emergency_release.active = False
    none_shared.instruments.emergency_release.pooled_share = 0.0
    for config in (own, none_shared):
        config.shock = export_ban(targets=["USA"])
    one, two = [
        run(config, replace(tiny_world), "washington", shocked=True)
        for config in (own, none_shared)
    ]
    assert_same_history(one, two)

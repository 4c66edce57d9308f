"""Double entry: nothing is paid from nowhere, and the books of a run close."""

import numpy as np
import pytest
from conftest import export_ban, model_of, quiet_config

from abm.ledger import Account, Ledger, LedgerDoesNotBalance
from abm.world import World


def test_an_entry_moves_money_from_one_account_to_the_other() -> None:
    ledger = Ledger((2, 3))
    paid, received = np.zeros((2, 2, 3))
    paid[0, 0], received[0, 1], received[0, 2] = 10.0, 6.0, 4.0
    ledger.post("duty", paid, received)
    ledger.close()
    np.testing.assert_array_equal(ledger.balance(Account.buyers), -paid)
    np.testing.assert_array_equal(ledger.balance(Account.treasury), received)
    ledger.post("duty", paid, received)
    ledger.close()
    np.testing.assert_array_equal(ledger.balance(Account.treasury), 2 * received)
    assert not ledger.balance(Account.fund).any()


@pytest.mark.parametrize("lost", [1e-6, np.nan, -1e-6])
def test_a_payment_that_does_not_arrive_is_an_error(lost: float) -> None:
    ledger = Ledger((1, 2))
    ledger.post("carriage", np.ones((1, 2)))
    ledger.post("fund_spending", np.array([[5.0, 0.0]]), np.array([[0.0, 5.0 * (1 + lost)]]))
    with pytest.raises(LedgerDoesNotBalance, match=r"fund_spending: fund pay .* services receive"):
        ledger.close()


def test_every_dollar_of_a_month_has_two_sides(tiny_world: World) -> None:
    """Buyers pay the whole outlay, and what the others receive adds up to it."""
    config = quiet_config(years=4)
    config.shock = export_ban()
    model = model_of(config, tiny_world, "washington", shocked=True)
    for _ in range(30):
        model.step()
    books, ledger = model.books, model.books.ledger
    assert books.rent.any()
    trade = ("goods", "export_tax", "duty", "floor_levy", "carriage", "compliance")
    bought = [
        entry.paid
        for name, entry in ledger.entries.items()
        if name in trade or name.startswith("rents_of_")
    ]
    np.testing.assert_allclose(sum(bought), books.spent, rtol=1e-9)
    total = sum(ledger.balance(account) for account in Account)
    np.testing.assert_allclose(total.sum(axis=1), 0.0, atol=1e-9 * books.spent.sum())
    rents = sum(books.rents_received(holder) for holder in ("exporters", "treasury", "traders"))
    np.testing.assert_allclose(rents.sum(axis=1), books.rent.sum(axis=1), rtol=1e-9)

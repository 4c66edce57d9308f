"""Who paid whom in a month: double entry, so that nothing is paid from nowhere."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from abm.passes.accounts import add_up_entries

TOLERANCE = 1e-9  # by which the two sides of an entry may differ, as a share of the larger


class LedgerDoesNotBalance(RuntimeError):
    """An entry whose sides differ: a defect of the model, never of the input."""


class Account(IntEnum):
    """Whose money it is; every country has one of each."""

    buyers = 0
    producers = 1
    traders = 2
    treasury = 3
    fund = 4
    services = 5  # freight, detours, compliance, storage, construction, research


# Every kind of payment: who pays, and who receives it.
ENTRIES = {
    "goods": (Account.buyers, Account.producers),
    "export_tax": (Account.buyers, Account.treasury),
    "duty": (Account.buyers, Account.treasury),
    "floor_levy": (Account.buyers, Account.treasury),
    "carriage": (Account.buyers, Account.services),
    "compliance": (Account.buyers, Account.services),
    "rents_of_exporters": (Account.buyers, Account.producers),
    "rents_of_treasury": (Account.buyers, Account.treasury),
    "rents_of_traders": (Account.buyers, Account.traders),
    "contract_rebate": (Account.producers, Account.buyers),
    "contract_premium": (Account.buyers, Account.producers),
    "strike_payments": (Account.treasury, Account.producers),
    "strike_payback": (Account.producers, Account.treasury),
    "projects": (Account.producers, Account.services),
    "fund_calls": (Account.treasury, Account.fund),
    "fund_spending": (Account.fund, Account.services),
    "fund_repayments": (Account.producers, Account.fund),
    "fund_returns": (Account.fund, Account.treasury),
    "construction": (Account.producers, Account.services),
    "recycling_support": (Account.treasury, Account.services),
    "research": (Account.treasury, Account.services),
    "stockpile_purchases": (Account.treasury, Account.buyers),
    "stockpile_sales": (Account.buyers, Account.treasury),
    "stockholding": (Account.treasury, Account.services),
}
NAMES = tuple(ENTRIES)
ROW = {name: row for row, name in enumerate(NAMES)}
PAID, RECEIVED = 0, 1  # the sides of an entry
_ACCOUNT = np.array(list(ENTRIES.values()), dtype=np.int64).T.copy()  # [side, entry]


class Entry(NamedTuple):
    """One kind of payment: who pays, what, to whom, and what arrives there."""

    payer: Account
    paid: np.ndarray
    payee: Account
    received: np.ndarray


def named_entries(posted: np.ndarray, sides: np.ndarray) -> dict[str, Entry]:
    """The entries that were `posted` [entry] by name, of `sides` [side, entry, …]."""
    return {
        name: Entry(payer, sides[PAID, row], payee, sides[RECEIVED, row])
        for row, (name, (payer, payee)) in enumerate(ENTRIES.items())
        if posted[row]
    }


class Ledger:
    """Payments of one month, thousand USD.

    What concerns a mineral as a whole stands in the row of its refined market.

    Attributes
    ----------
    posted
        [entry] bool: which of `ENTRIES` were posted.
    sides
        [side, entry, market, country] what is paid and received; only of entries posted.
    net
        [account, market, country] received less paid, once closed; all add up to zero.
    by_country
        [side, entry, country] sums over markets, once closed.
    """

    net: np.ndarray
    by_country: np.ndarray

    def __init__(self, shape: tuple[int, int]) -> None:
        self.posted = np.zeros(len(ENTRIES), dtype=bool)
        self.sides = np.empty((2, len(ENTRIES), *shape))

    def post(self, name: str, paid: np.ndarray, received: np.ndarray | None = None) -> None:
        """Enter a payment of a name in `ENTRIES`; both sides are [market, country].

        Where only `paid` is given, every country receives what it pays. A second part of an entry
        is added to the first.
        """
        row = ROW[name]
        received = paid if received is None else received
        if self.posted[row]:
            self.sides[PAID, row] += paid
            self.sides[RECEIVED, row] += received
        else:
            self.sides[PAID, row], self.sides[RECEIVED, row] = paid, received
            self.posted[row] = True

    def close(self) -> None:
        """Check that every payment was received, and add the entries up.

        Raises
        ------
        LedgerDoesNotBalance
            If what is paid is not what is received.
        """
        self.net, self.by_country, totals, wrong = add_up_entries(
            self.posted, self.sides, _ACCOUNT, len(Account), TOLERANCE
        )
        if wrong >= 0:
            name, (paid, received) = NAMES[wrong], totals
            payer, payee = ENTRIES[name]
            raise LedgerDoesNotBalance(
                f"{name}: {payer.name} pay {paid:.12g} and {payee.name} receive "
                f"{received:.12g} thousand USD"
            )

    @property
    def entries(self) -> dict[str, Entry]:
        """What was posted, by name: [market, country] thousand USD on both sides."""
        return named_entries(self.posted, self.sides)

    def received(self, name: str) -> np.ndarray:
        """[market, country] thousand USD received under a name; zero where it was not posted."""
        row = ROW[name]
        return self.sides[RECEIVED, row] if self.posted[row] else np.zeros(self.sides.shape[2:])

    def balance(self, account: Account) -> np.ndarray:
        """[market, country] what an account has received less what it has paid, once closed."""
        return self.net[account]

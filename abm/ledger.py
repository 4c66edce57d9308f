"""Who paid whom in a month: double entry, so that nothing is paid from nowhere."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

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


class Entry(NamedTuple):
    """One kind of payment in a month, thousand USD, [market, country] on both sides."""

    payer: Account
    paid: np.ndarray
    payee: Account
    received: np.ndarray


class Ledger:
    """Payments of one month.

    What concerns a mineral as a whole stands in the row of its refined market.

    Attributes
    ----------
    entries
        Every entry by name, in the order posted.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape  # [market, country]
        self.entries: dict[str, Entry] = {}

    def post(
        self,
        name: str,
        payer: tuple[Account, np.ndarray],
        payee: tuple[Account, np.ndarray],
    ) -> None:
        """Enter a payment; both sides are thousand USD, [market, country].

        A name is posted once a month, except that a second part with the same accounts is added.

        Raises
        ------
        LedgerDoesNotBalance
            If what is paid is not what is received.
        """
        paid, received = payer[1], payee[1]
        total = float(np.add.reduce(paid, axis=None))
        other = total if received is paid else float(np.add.reduce(received, axis=None))
        if not abs(total - other) <= TOLERANCE * max(abs(total), abs(other)):
            raise LedgerDoesNotBalance(
                f"{name}: {payer[0].name} pay {total:.12g} and {payee[0].name} receive "
                f"{other:.12g} thousand USD"
            )
        before = self.entries.get(name)
        if before is not None:
            assert (before.payer, before.payee) == (payer[0], payee[0]), name
            paid, received = before.paid + paid, before.received + received
        self.entries[name] = Entry(payer[0], paid, payee[0], received)

    def balances(self) -> np.ndarray:
        """[account, market, country] of every account, thousand USD; all add up to zero."""
        net = np.zeros((len(Account), *self.shape))
        for entry in self.entries.values():
            net[entry.payee] += entry.received
            net[entry.payer] -= entry.paid
        return net

    def balance(self, account: Account) -> np.ndarray:
        """[market, country] what an account has received less what it has paid, thousand USD."""
        net = np.zeros(self.shape)
        for entry in self.entries.values():
            if entry.payee == account:
                net += entry.received
            if entry.payer == account:
                net -= entry.paid
        return net

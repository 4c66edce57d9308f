"""Appraisal of export policies: what the rows of the trials bring those who try them."""

import numpy as np

from abm.passes import compiled


@compiled
def count_books(
    flow: np.ndarray,
    origin_price: np.ndarray,
    sales: np.ndarray,
    capacity: np.ndarray,
    low_ask: np.ndarray,
    high_ask: np.ndarray,
    firm_offset: np.ndarray,
    market: np.ndarray,
    exporter: np.ndarray,
    markup: np.ndarray,
    tax: np.ndarray,
    rents: np.ndarray,
) -> np.ndarray:
    """[4, R] the exporter's income less variable cost, its levies, exports and earnings abroad.

    A row R is a `market` on trial by an `exporter`; `flow` [R, I, J] t/month, prices USD/kg, the
    rest thousand USD a month. Buyers pay the origin price [R, I] raised by a `markup` [M, I, J];
    `tax` [R, J] is a part of that, and `rents` [R] are levied beside it. What was sold [F] cost the
    area under the offers of `firm_offset` [R, I + 1].
    """
    rows, _, destinations = flow.shape
    books = np.empty((4, rows))
    for r in range(rows):
        m, e = market[r], exporter[r]
        price = origin_price[r, e] if np.isfinite(origin_price[r, e]) else 0.0
        income, levies, sold, cost = 0.0, rents[r], 0.0, 0.0
        for j in range(destinations):
            paid = price * (1.0 + markup[m, e, j]) * flow[r, e, j]
            income += paid
            levies += paid * tax[r, j]
            sold += flow[r, e, j]
        for f in range(firm_offset[r, e], firm_offset[r, e + 1]):
            used = sales[f] / capacity[f] if capacity[f] > 0.0 else 0.0
            cost += sales[f] * (low_ask[f] + 0.5 * used * (high_ask[f] - low_ask[f]))
        exports = sold - flow[r, e, e]
        unit_cost = cost / sold if sold > 0.0 else cost
        at_home = price * (1.0 + markup[m, e, e]) * flow[r, e, e]
        books[0, r] = income - cost
        books[1, r] = levies
        books[2, r] = exports
        books[3, r] = income - at_home - unit_cost * exports + levies
    return books


@compiled
def draw_rivals(
    flow: np.ndarray,
    origin_price: np.ndarray,
    landed_price: np.ndarray,
    demand: np.ndarray,
    market: np.ndarray,
    exporter: np.ndarray,
    untouched: np.ndarray,
    pending: np.ndarray,
    elasticity: np.ndarray,
    newcomers: float,
    least: float,
    most: float,
) -> np.ndarray:
    """[R] t/month of capacity that rivals add over what they have in the `untouched` row.

    Rivals' sales and `pending` plants [M, I] grow by their price over that of the untouched row to
    an `elasticity` [M], between `least` and `most` times; who sells nothing yet looks at the mean
    price of those who do. Newcomers add their part of what the others buy where it has become
    dearer. `flow` [R, I, J] and `demand` [R, J] in t/month, prices [R, I] and [R, J] in USD/kg.
    """
    rows, countries = origin_price.shape
    added = np.zeros(rows)
    sold, ratio = np.empty(countries), np.empty(countries)
    for r in range(rows):
        m, e, before = market[r], exporter[r], untouched[r]
        total, weighed = 0.0, 0.0
        for i in range(countries):
            sold[i] = 0.0
            for j in range(countries):
                sold[i] += flow[before, i, j]
            ratio[i] = origin_price[r, i] / origin_price[before, i]
            if i != e and np.isfinite(ratio[i]):
                total += sold[i]
                weighed += sold[i] * ratio[i]
        mean = weighed / total if total > 0.0 else 1.0
        bought, paid, usual = 0.0, 0.0, 0.0
        for i in range(countries):
            if i == e:
                continue
            seen = ratio[i] if np.isfinite(ratio[i]) else mean
            answer = min(max(seen ** elasticity[m], least), most)
            added[r] += (sold[i] + pending[m, i]) * (answer - 1.0)
            if demand[before, i] > 0.0:
                bought += demand[before, i]
                paid += landed_price[r, i] * demand[before, i]
                usual += landed_price[before, i] * demand[before, i]
        if bought > 0.0:
            call = min(max((paid / usual) ** elasticity[m], 1.0), most)
            added[r] += newcomers * bought * (call - 1.0)
    return added

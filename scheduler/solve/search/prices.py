"""Prices by tatonnement: what headroom on each group is worth when every application prefers the cheapest.

Every application chooses as if it were alone, in fractions of replicas, at the list price plus a scarcity price per
group and per quota. Where more is wanted than there is the price rises, else it falls, each by a step of its own that
grows while the sign stays and is halved when it turns (Rprop; Riedmiller and Braun, 1993). That climbs the Lagrangean
dual of the stock and quota rows, whose value is known after each pass; the best prices seen are kept.
"""

from typing import NamedTuple

import numpy as np

from scheduler.solve.problem import UNIT, FloatArray, IntArray, Problem
from scheduler.solve.search.fractions import MIDDLE, fill
from scheduler.solve.search.jit import compiled
from scheduler.solve.search.scratch import ITEMS, Scratch, add_candidate
from scheduler.solve.search.solution_state import SolutionState, most_machines

FIRST_STEP, SMALLEST_STEP, LARGEST_STEP = 0.15, 0.002, 0.1
"""Steps of a price, as shares of what it is added to."""


SMOOTH = 0.3


class Prices(NamedTuple):
    """Scarcity prices, in micro-dollars per machine and per unit of a quota."""

    group: FloatArray
    quota: FloatArray
    group_step: FloatArray
    quota_step: FloatArray
    load: FloatArray
    """By group, how many machines were wanted in the last pass."""
    spread: IntArray
    """At which level each application was spread last."""
    best_group: FloatArray
    best_quota: FloatArray
    mean: FloatArray
    """Of each pair, the mean choice of the later passes: nearly a fractional optimum that keeps stock and quotas."""
    dual: FloatArray
    """[0]: the best value of the dual."""


def new_prices(p: Problem) -> Prices:
    """Return prices of nothing."""
    return Prices(
        group=np.zeros(p.groups),
        quota=np.zeros(len(p.quota_headroom)),
        group_step=np.full(p.groups, FIRST_STEP),
        quota_step=np.full(len(p.quota_headroom), FIRST_STEP),
        load=np.zeros(p.groups),
        spread=np.full(p.applications, MIDDLE, np.int64),
        best_group=np.zeros(p.groups),
        best_quota=np.zeros(len(p.quota_headroom)),
        mean=np.zeros(p.pairs),
        dual=np.array([-np.inf]),
    )


@compiled
def scarcity(p: Problem, prices: Prices, g: int) -> float:
    """Return the scarcity price of one machine of a group, with its share of quotas."""
    price = prices.group[g]
    for k in range(p.quota_first[g], p.quota_first[g + 1]):
        price += p.quota_size[k] * prices.quota[p.quota[k]]
    return float(price)


@compiled
def priced(p: Problem, prices: Prices, j: int) -> float:
    """Return what a replica of a pair costs at the prices, its share of a machine counted alone."""
    g = p.group[j]
    return float((p.price[g] + scarcity(p, prices, g)) * p.size[j] / UNIT + p.extra[j])


@compiled
def update_prices(p: Problem, b: SolutionState, d: Scratch, prices: Prices, apps: IntArray, passes: int) -> None:
    """Let applications that are not placed yet choose *passes* times, and move the prices after each.

    They choose among what the solution leaves. On return the prices are the best seen.
    """
    groups, quotas = len(p.price), len(p.quota_headroom)
    left = np.empty(groups, np.float64)
    for g in range(groups):
        left[g] = max(most_machines(p, b, g) - b.used[g] / UNIT, 0.0)
    quota_left = np.maximum(p.quota_headroom - b.quota_used, 0).astype(np.float64)
    smooth = np.zeros(groups, np.float64)
    quota_load = np.zeros(quotas, np.float64)
    was_over, quota_was_over = np.zeros(groups, np.float64), np.zeros(quotas, np.float64)
    scale = _quota_scale(p)
    list_price = p.price.astype(np.float64)
    prices.dual[0] = -np.inf
    for step in range(passes):
        share = 1.0 / (1.0 + max(0, step - passes // 3))
        dual = _choose(p, d, prices, apps, left, share)
        dual -= (prices.group * left).sum() + (prices.quota * quota_left).sum()
        if dual > prices.dual[0]:
            prices.dual[0] = dual
            prices.best_group[:] = prices.group
            prices.best_quota[:] = prices.quota
        smooth += (1.0 if step == 0 else SMOOTH) * (prices.load - smooth)
        quota_load[:] = 0.0
        for g in range(groups):
            for k in range(p.quota_first[g], p.quota_first[g + 1]):
                quota_load[p.quota[k]] += smooth[g] * p.quota_size[k]
        _move(prices.group, prices.group_step, was_over, (smooth - left) / np.maximum(left, 1.0), list_price)
        over = (quota_load - quota_left) / np.maximum(quota_left, 1.0)
        _move(prices.quota, prices.quota_step, quota_was_over, over, scale)
    prices.group[:] = prices.best_group
    prices.quota[:] = prices.best_quota


@compiled
def _choose(p: Problem, d: Scratch, prices: Prices, apps: IntArray, left: FloatArray, share: float) -> float:
    """Let applications choose; note the load, move the mean choice by *share*, and return what they pay."""
    load = prices.load
    load[:] = 0.0
    price = np.empty(len(p.price), np.float64)
    for g in range(len(price)):
        price[g] = p.price[g] + scarcity(p, prices, g)
    paid = 0.0
    for k in range(len(apps)):
        a = apps[k]
        d.now[ITEMS] = 0
        for j in range(p.first[a], p.first[a + 1]):
            g = p.group[j]
            add_candidate(p, d, a, j, price[g] * p.size[j] / UNIT + p.extra[j], int(left[g] * UNIT) // p.size[j])
        spread, cost = fill(p, d, a, prices.spread[a])
        prices.spread[a] = spread
        paid += cost
        for i in range(d.now[ITEMS]):
            j = d.pair[i]
            prices.mean[j] += share * (d.part[i] - prices.mean[j])
            if d.part[i] > 0:
                load[p.group[j]] += d.part[i] * p.size[j] / UNIT
    return paid


@compiled
def _quota_scale(p: Problem) -> FloatArray:
    """Return by quota the mean price of a unit: what a step of its price is measured by."""
    price = np.zeros(len(p.quota_headroom), np.float64)
    many = np.zeros(len(p.quota_headroom), np.float64)
    for g in range(len(p.price)):
        for k in range(p.quota_first[g], p.quota_first[g + 1]):
            price[p.quota[k]] += p.price[g] / p.quota_size[k]
            many[p.quota[k]] += 1
    return price / np.maximum(many, 1)


@compiled
def _move(prices: FloatArray, steps: FloatArray, was_over: FloatArray, over: FloatArray, scale: FloatArray) -> None:
    """Move every price by its own step."""
    for k in range(len(prices)):
        turned = over[k] * was_over[k]
        if turned > 0:
            steps[k] = min(steps[k] * 1.2, LARGEST_STEP)
        elif turned < 0:
            steps[k] = max(steps[k] * 0.5, SMALLEST_STEP)
        was_over[k] = over[k]
        pull = min(max(3.0 * over[k], -1.0), 1.0)
        prices[k] = max(0.0, prices[k] + steps[k] * pull * (scale[k] + prices[k]))

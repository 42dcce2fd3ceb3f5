"""The checker's own formulas, and that it uses no others."""

import ast
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from providers.regions import EARTH_RADIUS_KM, METRO_KM, RTT_BASE_MS, RTT_MS_PER_1000_KM
from scheduler.check import facts
from state.model.catalog import Market, Shortage, ShortageKind
from state.model.spec import Application, Choice
from tests.builders import NOON, a_spec, an_offer, application
from tests.plans import EU, US

CHECK = Path(facts.__file__).parent
VOCABULARY = {"known_regions", "provider_of", "total"}
"""Functions that the checker shares: a table, a part of a name, and a sum."""
FORMULAS = {"milli", "gpu_milli", "replica_milli", "admits", "is_in_force"}
"""What the models compute for the solver and the planner."""
INSTANT = timedelta(microseconds=1)
OFFER = an_offer(US)


def imported() -> set[str]:
    """Return the names in lower case that the checker imports from the rest of the project: its functions."""
    found = set()
    for file in CHECK.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                is_ours = node.module.startswith(("scheduler", "providers", "inference", "state"))
                if is_ours and not node.module.startswith("scheduler.check"):
                    found |= {alias.name for alias in node.names if alias.name.islower()}
    return found


def test_the_checker_shares_data_and_no_formulas() -> None:
    tree = [ast.parse(file.read_text()) for file in CHECK.glob("*.py")]
    used = {node.attr for module in tree for node in ast.walk(module) if isinstance(node, ast.Attribute)}

    assert imported() <= VOCABULARY
    assert {"named", "max_per_hour"} <= used and not used & FORMULAS


def chat(**changes: Any) -> Application:
    return a_spec(chat=application(**changes)).applications["chat"]


def test_demand_and_throughput_are_in_thousandths_of_the_demands_unit() -> None:
    shapes = [{"gpu": "L4", "requests_per_second": 2.5}, {"gpu": "T4", "requests_per_second": 0.0016}]
    by_rate = chat(demand={"requests_per_second": 7.25}, shapes=shapes)
    by_count = chat(demand={"replicas": 3}, shapes=shapes)

    assert facts.demand_of(by_rate) == 7250
    assert [facts.carried_by(by_rate, shape) for shape in by_rate.shapes] == [2500, 2]
    assert facts.demand_of(by_count) == 3000
    assert [facts.carried_by(by_count, shape) for shape in by_count.shapes] == [1000, 1000]


@pytest.mark.parametrize(
    ("wanted", "offered", "is_same"),
    [
        ("A100", "A100-80GB", True),
        ("a100-80gb", "A100-80GB", True),
        ("A100", "A100", True),
        ("H100", "h100-nvl", True),
        ("A100-80GB", "A100", False),
        ("A100-80GB", "A100-40GB", False),
        ("A10", "A100", False),
        ("80GB", "A100-80GB", False),
        ("L4", "", False),
    ],
)
def test_a_model_covers_its_variants(wanted: str, offered: str, is_same: bool) -> None:  # noqa: FBT001
    assert facts.is_model(wanted, offered) is is_same


QUARTER_KM = EARTH_RADIUS_KM * 3.141592653589793 / 2


@pytest.mark.parametrize(
    ("a", "b", "quarters"),
    [
        ((0, 0), (0, 90), 1),
        ((0, 90), (90, 0), 1),
        ((90, 0), (90, 120), 0),
        ((0, -90), (0, 90), 2),
        ((-90, 7), (90, 7), 2),
        ((45, 0), (45, 180), 1),
        ((30, 20), (-60, 20), 1),
        ((0, 10), (0, 55), 0.5),
    ],
)
def test_a_round_trip_is_fitted_from_the_great_circle(
    a: tuple[float, float], b: tuple[float, float], quarters: float
) -> None:
    expected = 1 if quarters == 0 else RTT_BASE_MS + RTT_MS_PER_1000_KM * quarters * QUARTER_KM / 1000

    assert facts.fitted_ms(a, b) == pytest.approx(expected, rel=1e-12)
    assert facts.fitted_ms(b, a) == facts.fitted_ms(a, b)


def test_in_a_metropolitan_area_it_is_a_millisecond_and_the_border_is_part_of_it() -> None:
    degree = QUARTER_KM / 90

    assert facts.fitted_ms((0, 0), (METRO_KM / degree, 0)) == 1
    assert facts.fitted_ms((0, 0), ((METRO_KM + 0.0009) / degree, 0)) == 1
    assert facts.fitted_ms((0, 0), ((METRO_KM + 0.0011) / degree, 0)) > RTT_BASE_MS


def a_shortage(**changes: Any) -> Shortage:
    short = Shortage(US, None, None, None, ShortageKind.STOCK_OUT, NOON - INSTANT, NOON + INSTANT)
    return replace(short, **changes)


@pytest.mark.parametrize(
    ("changes", "is_covered"),
    [
        ({}, True),
        ({"until": NOON}, False),
        ({"region": EU}, False),
        ({"zone": "a", "instance_type": "l4.1", "market": Market.ON_DEMAND, "family": "gpu"}, True),
        ({"zone": "b"}, False),
        ({"instance_type": "l4.2"}, False),
        ({"market": Market.SPOT}, False),
        ({"family": "cpu"}, False),
        ({"available_zones": ("b", "c")}, True),
        ({"available_zones": ("b", "a")}, False),
    ],
)
def test_a_shortage_covers_what_it_names_while_it_lasts(changes: dict[str, Any], is_covered: bool) -> None:  # noqa: FBT001
    assert facts.is_short(OFFER, [a_shortage(**changes)], NOON) is is_covered
    assert facts.is_short(OFFER, [a_shortage(region=EU), a_shortage(**changes)], NOON) is is_covered
    assert facts.is_short(OFFER, [a_shortage(**changes), a_shortage(region=EU)], NOON) is is_covered
    assert not facts.is_short(OFFER, [], NOON)


def test_an_offer_is_sold_from_its_beginning_until_before_its_end() -> None:
    later, earlier = NOON + INSTANT, NOON - INSTANT
    for begins, ends, is_sold in (
        (None, None, True),
        (NOON, None, True),
        (later, None, False),
        (None, later, True),
        (None, NOON, False),
        (earlier, earlier, False),
        (earlier, later, True),
    ):
        assert facts.is_sold(replace(OFFER, valid_from=begins, valid_until=ends), NOON) is is_sold


@pytest.mark.parametrize(
    ("allow", "deny", "is_chosen"),
    [
        ((), (), True),
        (("aws", "gcp"), (), True),
        (("gcp",), (), False),
        ((), ("aws",), False),
        ((), ("gcp",), True),
        (("aws",), ("aws",), False),
        (("aws",), ("gcp",), True),
    ],
)
def test_a_choice_leaves_what_it_allows_and_does_not_deny(
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    is_chosen: bool,  # noqa: FBT001
) -> None:
    assert facts.is_chosen("aws", Choice(allow=allow, deny=deny)) is is_chosen


@pytest.mark.parametrize(
    ("share", "demand", "expected"),
    [(0.67, 3000, 2010), (0.55, 3000, 1650), (0.56, 5000, 2800), (1 / 3, 1000, 334), (0.0, 9, 0), (1.0, 7, 7)],
)
def test_a_share_of_a_demand_counts_all_that_is_begun(share: float, demand: int, expected: int) -> None:
    assert facts.at_least(share, demand) == expected


@pytest.mark.parametrize(
    ("share", "total", "expected"), [(0.5, 4000, 3000), (0.67, 3000, 3010), (1 / 3, 1000, 1333), (0.0, 9, 1000)]
)
def test_a_place_may_have_its_share_give_or_take_a_replica(share: float, total: int, expected: int) -> None:
    assert facts.at_most(share, total, 1000) == expected


def test_a_share_counts_to_a_millionth() -> None:
    assert facts.exactly(0.1234567) == Fraction(123_457, 1_000_000)
    assert facts.exactly(1) == 1


@pytest.mark.parametrize(
    ("changes", "gpus", "is_short"),
    [
        ({"region": "aws/*"}, 1, True),
        ({"region": "gcp/*"}, 1, False),
        ({"region": "aws/*", "kind": ShortageKind.QUOTA}, 1, True),
        ({"region": "aws/*", "kind": ShortageKind.QUOTA}, 0, False),
        ({"kind": ShortageKind.QUOTA, "family": "gpu"}, 0, True),
        ({"kind": ShortageKind.DENIED}, 0, True),
        ({"available_zones": ("a",)}, 1, False),
        ({"available_zones": ("b",), "kind": ShortageKind.QUOTA}, 1, True),
        ({"available_zones": ("a",), "kind": ShortageKind.QUOTA}, 1, False),
    ],
)
def test_a_wide_shortage_covers_its_account_and_a_quota_on_gpus_no_heads(
    changes: dict[str, Any], gpus: int, *, is_short: bool
) -> None:
    machine = replace(OFFER.machine, gpus=gpus)
    until = NOON + timedelta(hours=1)
    wide = Shortage(US, None, None, None, ShortageKind.STOCK_OUT, NOON, until)

    found = facts.is_short(replace(OFFER, machine=machine), (replace(wide, **changes),), NOON)

    assert found is is_short

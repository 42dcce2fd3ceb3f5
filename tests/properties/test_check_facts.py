"""The checker's formulas and the solver's are two models of one thing: they agree on whatever comes."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.gpus import MEMORY_GIB, same_gpu
from providers.regions import KNOWN, METRO_KM, distance_km, known_regions, round_trip_ms
from scheduler import shortages
from scheduler.check import facts
from scheduler.check.machines import replicas_on
from scheduler.check.placement import TOLERANCE_MS, is_too_far, is_under
from scheduler.solve.domains import at_most, share_of
from scheduler.solve.fit import replicas_per_machine
from scheduler.solve.latency import atlas
from scheduler.solve.refusals import region_causes
from state.model.catalog import Machine, Market, Offer, Shortage, ShortageKind
from state.model.ids import RegionId
from state.model.placement import RefusalCause
from state.model.spec import Application, Choice, Demand, ServeReference, Shape
from tests.builders import NOON, a_spec, an_offer, application
from tests.plans import a_snapshot

CASES: Final = settings(max_examples=2 * int(os.environ.get("SKERRY_EXAMPLES", "100")), deadline=None)

POINTS = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
MODELS = st.sampled_from((*MEMORY_GIB, "A100", "V100", "a100-80gb", "h100", "A1", "80GB", "L4-", "", "RTX4090"))
RATES = st.none() | st.floats(0.001, 1e6) | st.sampled_from((0.0005, 0.0015, 2.0005, 0.1, 7.25))


THOUSANDTHS = st.integers(-600, 600)


@st.composite
def two_points(draw: st.DrawFn) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return points anywhere, or a few dozen kilometres apart."""
    latitude, longitude = here = draw(POINTS)
    north, east = draw(THOUSANDTHS), draw(THOUSANDTHS)
    near = (max(-90.0, min(90.0, latitude + north / 1000)), longitude + east / 1000)
    return here, draw(st.one_of(st.just(near), POINTS))


@given(two_points())
@example(((0.0, 0.0), (0.0, 180.0)))
@example(((37.5, -120.0), (-37.5, 60.0)))
@example(((90.0, 0.0), (-90.0, 45.0)))
@example(((0.0, 0.0), (0.0, METRO_KM / 111.194926644)))
@CASES
def test_round_trips_agree_but_within_a_metre_of_a_metropolitan_border(
    points: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    a, b = points
    theirs, ours = round_trip_ms(a, b), facts.fitted_ms(a, b)

    if abs(distance_km(a, b) - METRO_KM) > 2 * facts.METRO_TOLERANCE_KM:
        assert abs(ours - theirs) <= TOLERANCE_MS / 10
    assert ours <= theirs + TOLERANCE_MS / 10, "the checker never refuses what the solver may choose"


@given(MODELS, MODELS)
@CASES
def test_models_of_gpus_agree(wanted: str, offered: str) -> None:
    assert facts.is_model(wanted, offered) is same_gpu(wanted, offered)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    return Shape(
        gpu=draw(st.sampled_from(("L4", "A100", "A100-80GB"))),
        count=draw(st.sampled_from((0.001, 0.1, 0.25, 0.3, 0.333, 0.5, 1, 2, 3, 8))),
        machines=draw(st.sampled_from((1, 1, 2))),
        requests_per_second=draw(RATES),
        cpus=draw(st.sampled_from((0.0, 0.1, 0.7, 1.0, 3.3, 8.0)) | st.floats(0.01, 64)),
        memory_gib=draw(st.sampled_from((0.0, 0.1, 10.7, 32.0)) | st.floats(0.01, 600)),
        gpu_memory_gib=draw(st.sampled_from((0.0, 24.0, 40.5))),
    )


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    gpu = draw(st.sampled_from((None, "L4", "A100-40GB", "A100-80GB")))
    return Machine(
        gpu,
        draw(st.integers(1, 16)) if gpu else 0,
        MEMORY_GIB[gpu] if gpu else 0.0,
        draw(st.integers(1, 192)),
        draw(st.sampled_from((3.3, 32.0, 64.2, 1100.0)) | st.floats(0.5, 2000)),
        "gpu",
    )


@given(shapes(), machines())
@CASES
def test_replicas_of_a_machine_agree_to_the_last_digits_of_a_division(shape: Shape, machine: Machine) -> None:
    theirs = replicas_per_machine(shape, machine)
    slack = replace(machine, memory_gib=machine.memory_gib * (1 + 1e-8))
    more = shape.model_copy(update={"cpus": shape.cpus * (1 - 1e-8)})

    assert theirs <= replicas_on(shape, machine) <= replicas_per_machine(more, slack)


@given(st.integers(1, 100_000), RATES, shapes())
@CASES
def test_demand_and_throughput_agree(replicas: int, rate: float | None, shape: Shape) -> None:
    demand = Demand(replicas=replicas) if rate is None else Demand(requests_per_second=rate)
    serve = ServeReference(config="serve.yaml", application="chat", deployment="Chat")
    wanted = Application.model_construct(serve=serve, demand=demand, shapes=(shape,))

    assert facts.demand_of(wanted) == demand.milli
    assert facts.carried_by(wanted, shape) == wanted.replica_milli(shape)


TIMES = st.sampled_from([NOON + timedelta(minutes=n) for n in (-1, 0, 1)])
REGION_IDS = st.sampled_from([RegionId("aws/us-east-1"), RegionId("gcp/us-central1")])
MARKETS = st.sampled_from(Market)


@st.composite
def found_shortages(draw: st.DrawFn) -> Shortage:
    return Shortage(
        draw(REGION_IDS),
        draw(st.sampled_from((None, None, "a", "b"))),
        draw(st.sampled_from((None, None, "l4.1", "l4.2"))),
        draw(st.sampled_from((None, None, None, *Market))),
        ShortageKind.STOCK_OUT,
        NOON,
        draw(st.sampled_from([NOON, NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)])),
        family=draw(st.sampled_from((None, None, "gpu", "cpu"))),
        available_zones=draw(st.sampled_from(((), ("a",), ("b", "c")))),
    )


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    offer = an_offer(
        draw(REGION_IDS), zone=draw(st.sampled_from("abc")), gpus=draw(st.integers(1, 2)), market=draw(MARKETS)
    )
    return replace(offer, valid_from=draw(st.none() | TIMES), valid_until=draw(st.none() | TIMES))


@given(offers(), st.lists(found_shortages(), max_size=3))
@CASES
def test_what_is_short_and_what_is_sold_agree(offer: Offer, known: list[Shortage]) -> None:
    assert facts.is_short(offer, known, NOON) is (shortages.in_force(known, offer, NOON) is not None)
    assert facts.is_sold(offer, NOON) is offer.is_in_force(NOON)


NAMES = st.sampled_from(("aws", "gcp", "azure"))


@given(NAMES, st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=2))
@CASES
def test_choices_agree(name: str, allow: list[str], deny: list[str]) -> None:
    choice = Choice(allow=tuple(allow), deny=tuple(deny))

    assert facts.is_chosen(name, choice) is choice.admits(name)


SOME_REGIONS = sorted(KNOWN)[::7]
CLIENTS = st.lists(
    st.builds(
        lambda place, weight: place | {"weight": weight},
        st.sampled_from(SOME_REGIONS).map(lambda region: {"near": str(region)})
        | POINTS.map(lambda point: {"latitude": point[0], "longitude": point[1]}),
        st.floats(0.1, 10),
    ),
    min_size=1,
    max_size=3,
)
MEASURED = st.lists(
    st.tuples(st.sampled_from(SOME_REGIONS), st.sampled_from(SOME_REGIONS), st.floats(1, 300)), max_size=4
)


@given(CLIENTS, MEASURED, st.floats(1, 300), st.none() | st.floats(1, 300), st.sampled_from(SOME_REGIONS))
@CASES
def test_where_an_application_may_run_agrees_to_a_microsecond(
    clients: list[dict[str, object]],
    measured: list[tuple[RegionId, RegionId, float]],
    max_ms: float,
    worst_ms: float | None,
    region: RegionId,
) -> None:
    snapshot = replace(a_snapshot(), latencies=tuple(measured))
    known = known_regions()

    def within(more_ms: float) -> Application:
        worst = None if worst_ms is None else worst_ms + more_ms
        latency = {"max_ms": max_ms + more_ms, "worst_ms": worst, "clients": clients}
        chat = application(latency=latency, regions={"jurisdictions": ["EU", "US"]})
        return a_spec(chat=chat).applications["chat"]

    def cause_of(wanted: Application) -> RefusalCause | None:
        return region_causes(wanted, (region,), atlas(snapshot)).get(region)

    cause = cause_of(within(0))

    assert is_under(within(0), region, known) is (cause is not RefusalCause.JURISDICTION)
    if is_too_far(within(0), region, snapshot, known):
        assert cause is not None, "the checker never refuses what the solver may choose"
    elif cause is not RefusalCause.JURISDICTION:
        assert cause_of(within(0.001)) is None


SHARES = [k / 100 for k in range(101)]


@pytest.mark.parametrize("replicas", range(1, 51))
def test_every_share_of_a_demand_is_the_same_to_the_solver_and_the_checker(replicas: int) -> None:
    for share in SHARES:
        assert share_of(1000 * replicas, share) == facts.at_least(share, 1000 * replicas)
        assert at_most(1000 * replicas, share, 1000) == facts.at_most(share, 1000 * replicas, 1000)


@given(st.floats(0, 1), st.integers(0, 10**9), st.integers(1, 10**6))
@CASES
def test_any_share_is_the_same_to_the_solver_and_the_checker(share: float, demand: int, replica: int) -> None:
    assert share_of(demand, share) == facts.at_least(share, demand)
    assert at_most(demand, share, replica) == facts.at_most(share, demand, replica)

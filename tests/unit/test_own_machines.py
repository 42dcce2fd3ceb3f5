"""Own machines in the plan: used first, with bursts to the clouds, and replaced when impaired."""

from dataclasses import replace
from pathlib import Path

import pytest

from providers.registry import ProvidersSettings
from providers.static.settings import StaticRegionSettings, StaticSettings
from scheduler.documents.machines_file import read_machines
from scheduler.documents.settings_file import Settings
from scheduler.documents.spec_file import load_wanted
from scheduler.documents.yaml_document import DocumentError
from scheduler.simulation.world import TICK, World
from state.model.catalog import Market, Offer, Price, ShortageKind
from state.model.ids import RegionId
from state.model.inventory import Notice, NoticeKind, Role, TerminationReason
from state.model.plan import Launch, Terminate
from state.model.units import Usd
from tests.builders import NOON, a_head_offer, an_offer
from tests.fleets import US, want

OWN = "static/berlin"
EXAMPLE = Path(__file__).parents[2] / "examples" / "chat" / "capacity.yaml"


def own(offer: Offer, stock: int) -> Offer:
    key = replace(offer.key, market=Market.RESERVED)
    return replace(offer, key=key, price=Price(Usd(0), "paid for already", NOON), stock=stock)


def a_hybrid(machines: int) -> World:
    head = own(replace(a_head_offer(OWN), key=replace(a_head_offer(OWN).key, instance_type="head-4c")), 1)
    return World(own(an_offer(OWN), machines), head, an_offer(US, "1", stock=20))


def workers(world: World) -> dict[str, int]:
    found: dict[str, int] = {}
    for offer, count in world.running().items():
        region = offer.rsplit("/", 3)[0]
        found[region] = found.get(region, 0) + count
    return found


def test_own_machines_are_used_first_and_the_rest_is_bought() -> None:
    world = a_hybrid(2)
    want(world, 2, survive={"any": "none"})
    world.converge()
    assert workers(world) == {OWN: 2}

    want(world, 5, survive={"any": "none"})
    world.converge()
    assert workers(world) == {OWN: 2, US: 3}

    want(world, 2, survive={"any": "none"})
    world.converge()
    assert workers(world) == {OWN: 2}


def test_a_cell_of_own_machines_has_a_head_at_no_cost() -> None:
    world = a_hybrid(2)
    want(world, 2, survive={"any": "none"})

    plan = world.converge()

    assert plan.placement.per_hour == Usd(0)
    heads = [seen for seen, _ in world.cloud("static").alive() if seen.key.instance_type == "head-4c"]
    assert [seen.key.market for seen in heads] == [Market.RESERVED]


def test_a_drained_machine_is_replaced_by_a_bought_one_and_ended_after() -> None:
    world = a_hybrid(2)
    want(world, 2, survive={"any": "none"}, disruption={"max_surge": 2})
    world.converge()
    leaving = next(seen for seen, _ in world.cloud("static").alive() if seen.key.instance_type != "head-4c")
    cloud = world.cloud("static")
    cloud.announced.append(Notice(leaving.instance_id, RegionId(OWN), NoticeKind.DRAIN, world.clock.now()))

    bought, ended = None, None
    for number in range(30):
        for action in world.tick().actions:
            if isinstance(action, Launch) and action.key.region == US and action.role is Role.WORKER:
                bought = number
            if isinstance(action, Terminate) and action.instance_id == leaving.instance_id:
                ended = ended or number

    assert bought is not None
    assert ended is not None
    assert bought < ended
    assert leaving.instance_id not in {seen.instance_id for seen, _ in cloud.alive()}


def test_a_machine_that_joined_without_its_gpus_is_replaced() -> None:
    world = World(an_offer(US, "1", stock=3))
    want(world, 1, survive={"any": "none"})
    world.tick()
    [dead] = world.cloud("aws").launched
    world.tick()
    world.cells[RegionId(US)].short_of_gpus.add(dead)

    ends = [a for _ in range(12) for a in world.tick().actions if isinstance(a, Terminate)]

    assert [a.instance_id for a in ends][:1] == [dead]
    assert (ends[0].reason, ends[0].message) == (TerminationReason.GPUS_MISSING, "0 of 1")
    assert dead not in {seen.instance_id for seen, _ in world.cloud("aws").alive()}
    world.converge()
    assert workers(world) == {US: 1}


def test_an_impaired_machine_is_replaced_once_it_has_left_its_cell() -> None:
    world = World(an_offer(US, "1", stock=3))
    want(world, 1, survive={"any": "none"})
    world.converge()
    [(worker, _)] = [(seen, r) for seen, r in world.cloud("aws").alive() if seen.key.instance_type == "l4.1"]
    world.cloud("aws").impaired[worker.instance_id] = ("its instance status check fails", world.clock.now())

    for _ in range(10):
        assert not any(isinstance(a, Terminate | Launch) for a in world.tick().actions), "it still serves"

    world.cells[RegionId(US)].drained.add(worker.address or "")
    ends = [a for _ in range(8) for a in world.tick().actions if isinstance(a, Terminate)]
    assert ends[0].instance_id == worker.instance_id
    assert (ends[0].reason, ends[0].message) == (TerminationReason.IMPAIRED, "its instance status check fails")


def test_an_offer_whose_machines_never_join_is_avoided_for_a_while() -> None:
    world = World(an_offer(US, "1"), an_offer("gcp/europe-west4", "5"))
    want(world, 1, survive={"any": "none"})
    world.tick()
    world.tick()
    [lost] = [i for i in world.store.load().instances if i.role is Role.WORKER]
    cell = world.cells[RegionId(US)]
    cell.drained.add(lost.address or f"10.0.0.{len(world.cloud('aws').launched)}")

    for _ in range(120):
        if any(isinstance(action, Terminate) for action in world.tick().actions):
            break
    world.run(6 * TICK)

    assert workers(world) == {"gcp/europe-west4": 1}
    [shortage] = world.store.load().shortages
    assert (shortage.region, shortage.instance_type, shortage.kind) == (US, "l4.1", ShortageKind.NEVER_READY)


def test_own_regions_have_the_jurisdiction_and_position_of_the_settings(tmp_path: Path) -> None:
    place = StaticRegionSettings(register_url="http://x", jurisdiction="EU", latitude=52.5, longitude=13.4)
    static = StaticSettings(regions={"berlin": place}, token_file="t")
    settings = Settings(home=tmp_path, database_url="x", providers=ProvidersSettings(static=static))
    for jurisdiction, count in (("EU", 2), ("US", 0)):
        world = a_hybrid(2)
        world.ports = replace(world.ports, own_regions=settings.own_regions)
        want(world, 2, survive={"any": "none"}, regions={"jurisdictions": [jurisdiction]})
        for _ in range(20):
            world.tick(TICK)
        assert workers(world).get(OWN, 0) == count


def test_a_spec_may_name_regions_of_the_settings(tmp_path: Path) -> None:
    spec = tmp_path / "capacity.yaml"
    text = EXAMPLE.read_text().replace("config: ", f"config: {EXAMPLE.parent}/")
    spec.write_text(f"{text}\nregions: {{deny: [static/berlin]}}\n")
    place = StaticRegionSettings(register_url="http://x", jurisdiction="EU", latitude=52.5, longitude=13.4)

    with pytest.raises(DocumentError, match="there is no region 'static/berlin'"):
        load_wanted(spec)
    own_regions = StaticSettings(regions={"berlin": place}, token_file="t").own_regions

    assert load_wanted(spec, own_regions).spec.regions.deny == ("static/berlin",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{name: a, region: berlin, address: x, vcpus: 8, memory_gib: 32}", "can only be a head"),
        ("{name: a, region: berlin, address: x, gpus: 1, vcpus: 8, memory_gib: 32}", "both gpu and gpus"),
        ("{name: a, region: berlin, address: x, gpu: RTX4090, gpus: 1, vcpus: 8, memory_gib: 32}", "gpu_memory_gib"),
        ("{name: A B, region: berlin, address: x, head: true, vcpus: 8, memory_gib: 32}", "name"),
    ],
)
def test_an_invalid_file_of_machines_is_refused_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "machines.yaml"
    file.write_text(f"machines:\n  - {line}\n")

    with pytest.raises(DocumentError) as raised:
        read_machines(file)

    assert message in str(raised.value.problems[0])
    assert f"{file}:2" in str(raised.value.problems[0])


def test_the_memory_of_common_gpus_may_be_omitted(tmp_path: Path) -> None:
    file = tmp_path / "machines.yaml"
    file.write_text(
        "machines: [{name: a, region: berlin, address: x, gpu: H100, gpus: 8, vcpus: 192, memory_gib: 2048}]"
    )

    [machine] = read_machines(file)

    assert (machine.hardware.gpu_memory_gib, machine.hardware.gpus, machine.is_head) == (80, 8, False)

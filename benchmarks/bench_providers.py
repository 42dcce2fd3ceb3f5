"""How fast the adapters are, through the real SDKs, against the embedded clouds in a process of their own.

Prints, and writes to benchmarks/out/providers.json: launches per second at parallelism 1, 8 and 32; time and CPU per
1,000 machines listed and per 1,000 offers refreshed, ours apart from the emulator's; calls per tick, with few machines
and with many; and how long a refresh of every region of three clouds takes, over the slowest region alone. All of it in
one run: figures of machines like these are noisy, ratios less so.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import psutil

from benchmarks.providers.clouds import names, templates
from providers.aws.machines import Aws
from providers.aws.settings import AwsSettings
from providers.azure.machines import Azure
from providers.azure.settings import AzureSettings
from providers.base import LaunchOrder, Observation, Provider
from providers.emulator.regions import CATALOG
from providers.fake import FakeCloud
from providers.gcp.machines import Gcp
from providers.gcp.settings import GcpSettings
from providers.price_catalogue import load_prices
from providers.prices import PriceList
from providers.settings import PaceSettings
from scheduler.embedded.local import CREDENTIALS
from state.clock import SystemClock
from state.model.catalog import Market, Offer
from state.model.ids import InstanceId
from state.model.inventory import CloudInstance, Role
from tests.builders import NOON, an_offer

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "out" / "providers.json"
OWNER = "sk-bench"
REGIONS = 30
PARALLEL = (1, 8, 32)
LAUNCHES = {1: 50, 8: 150, 32: 300}
FAKE_MACHINES = 10_000
LATENCIES_S = (0.1, 0.3)
"""Of every call, in the refresh of all regions: about a round trip across an ocean, and with a cloud's own time for it.

At the first the two cores, which the emulators share, are what is waited for; at the second the clouds.
"""
REPEATS = 5
"""Of that refresh; the median counts, since machines are noisy."""
PACE = PaceSettings(reads_per_second=1000, writes_per_second=1000, parallel=64)

Item = TypeVar("Item")


@dataclass
class Subject:
    """The clouds, the adapters, and the emulator's process."""

    at: dict[str, str]
    process: psutil.Process
    control: httpx.Client

    def emulator_s(self) -> float:
        """Return the CPU seconds that the emulator has spent."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def calls(self) -> Counter[str]:
        """Return how many calls each cloud got since this was last asked, by `cloud operation`."""
        return Counter(self.control.post("/calls").json())


@contextmanager
def running() -> Iterator[Subject]:
    """Run the clouds beside this process."""
    command = [sys.executable, str(ROOT / "benchmarks" / "providers" / "clouds.py"), str(REGIONS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        at = json.loads(process.stdout.readline() if process.stdout else "")
        headers = {"Authorization": f"Bearer {Path(at['control_token_file']).read_text()}"}
        control = httpx.Client(base_url=f"{at['control']}/_skerry", headers=headers, trust_env=False, timeout=60)
        yield Subject(at, psutil.Process(process.pid), control)
    finally:
        process.terminate()
        process.wait()


def prices() -> PriceList:
    """Return the catalogue's prices of the region that the others are copies of, for each of them."""
    listed = load_prices(tuple(templates()), CATALOG, NOON).prices
    copied = dict(listed)
    for provider, template in templates().items():
        for (cloud, location, instance_type, market), price in listed.items():
            if cloud == provider and location.startswith(template.name):
                for name in names(provider, REGIONS):
                    copied[cloud, location.replace(template.name, name), instance_type, market] = price
    return PriceList(copied)


def adapters(at: dict[str, str], regions: int) -> dict[str, Provider]:
    """Return the three adapters over the first *regions* regions of each cloud."""
    listed, clock = prices(), SystemClock()
    aws, gcp, azure = (names(provider, regions) for provider in ("aws", "gcp", "azure"))
    made: dict[str, Provider] = {
        "aws": Aws(
            AwsSettings(
                regions=aws, images=dict.fromkeys(aws, "ami-12c6146b"), endpoint_url=at["aws"], pace=PACE,
                timeout_seconds=60,
            ),
            lambda: listed, lambda: OWNER, clock,
        ),
        "gcp": Gcp(
            GcpSettings(project="p", regions=gcp, image="i", endpoint=at["gcp"], pace=PACE, timeout_seconds=60),
            lambda: listed, clock,
        ),
        "azure": Azure(
            AzureSettings(
                subscription_id="s", resource_group="skerry", regions=azure, image="/i",
                subnets=dict.fromkeys(azure, "/subnets/a"), ssh_public_key="ssh-ed25519 AAAA", endpoint=at["azure"],
                ca_file=at["ca_file"], prices_url=f"{at['azure']}/api/retail/prices", pace=PACE, timeout_seconds=60,
            ),
            lambda: listed, clock,
        ),
    }  # fmt: skip
    return made


def measured(bench: Subject, work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Return what *work* takes: time, our CPU, the emulator's CPU, in seconds; and its result."""
    wall, ours, theirs = time.perf_counter(), time.process_time(), bench.emulator_s()
    result = work()
    facts = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - ours,
        "emulator_cpu_seconds": bench.emulator_s() - theirs,
    }
    return facts, result


def whole(observation: Observation[Item]) -> tuple[Item, ...]:
    """Return what was seen, which must be everything."""
    if observation.unreachable:
        sys.exit(f"a region did not answer: {observation.unreachable}")
    return tuple(observation.items)


def per_thousand(facts: dict[str, float], count: int) -> dict[str, float]:
    """Return figures for a thousand items."""
    return {name: value * 1000 / count for name, value in facts.items()}


def launches(bench: Subject, provider: Provider, offer: Offer) -> list[dict[str, float]]:
    """Launch machines, so many at once, and return how many a second."""
    found = []
    for parallel in PARALLEL:
        orders = [
            LaunchOrder(InstanceId(f"sk-{provider.name}-{parallel}-{n}"), offer.key, Role.WORKER, OWNER, "true", None)
            for n in range(LAUNCHES[parallel])
        ]
        with ThreadPoolExecutor(parallel) as pool:
            facts, _ = measured(bench, partial(_launch_all, pool, provider, orders))
        rate = len(orders) / facts["seconds"]
        found.append(
            {"parallel": parallel, "per_second": rate, "cpu_ms_each": facts["cpu_seconds"] * 1000 / len(orders)}
        )
    return found


def _launch_all(pool: ThreadPoolExecutor, provider: Provider, orders: list[LaunchOrder]) -> list[CloudInstance]:
    return list(pool.map(provider.launch, orders))


def tick_calls(bench: Subject, provider: Provider) -> dict[str, dict[str, int]]:
    """Return the calls of a tick that refreshes everything, and of one that looks at machines alone."""
    bench.calls()
    whole(provider.instances(OWNER))
    whole(provider.notices(OWNER))
    looks = bench.calls()
    whole(provider.offers())
    whole(provider.quotas())
    refresh = bench.calls()
    return {"every_tick": dict(looks), "every_five_minutes": dict(refresh)}


def one_cloud(bench: Subject, name: str, provider: Provider) -> dict[str, Any]:
    """Measure one cloud over two regions."""
    refresh, offers = measured(bench, lambda: whole(provider.offers()))
    refresh, offers = measured(bench, lambda: whole(provider.offers()))  # the first opened the connections
    before = tick_calls(bench, provider)
    cheapest = min((o for o in offers if o.machine.gpus and o.key.market is Market.ON_DEMAND), key=lambda o: o.key)
    rates = launches(bench, provider, cheapest)
    listed, machines = measured(bench, lambda: whole(provider.instances(OWNER)))
    if len(machines) != sum(LAUNCHES.values()):
        sys.exit(f"{name} lists {len(machines)} machines of {sum(LAUNCHES.values())}")
    return {
        "offers": len(offers),
        "per_1000_offers": per_thousand(refresh, len(offers)),
        "launches": rates,
        "machines": len(machines),
        "per_1000_machines_listed": per_thousand(listed, len(machines)),
        "calls": {"without_machines": before, "with_machines": tick_calls(bench, provider)},
    }


def _offers(provider: Provider) -> tuple[Offer, ...]:
    return whole(provider.offers())


def everywhere(bench: Subject, latency_s: float) -> dict[str, float]:
    """Refresh all offers of all regions of three clouds at once, and each cloud's single region alone."""
    bench.control.post("/faults", json={"kind": "delay", "seconds": latency_s}).raise_for_status()
    alone = []
    for provider in adapters(bench.at, 1).values():
        whole(provider.offers())
        once = (measured(bench, partial(_offers, provider)) for _ in range(REPEATS))
        alone.append(median(facts["seconds"] for facts, _ in once))
    every = adapters(bench.at, REGIONS)
    with ThreadPoolExecutor(len(every)) as pool:
        list(pool.map(lambda provider: whole(provider.offers()), every.values()))
        runs = [
            measured(bench, lambda: list(pool.map(lambda p: whole(p.offers()), every.values()))) for _ in range(REPEATS)
        ]
    runs.sort(key=lambda run: run[0]["seconds"])
    facts, seen = runs[REPEATS // 2]
    bench.control.request("DELETE", "/faults").raise_for_status()
    return {
        "regions": float(REGIONS * len(every)),
        "offers": float(sum(map(len, seen))),
        "latency_of_a_call_s": latency_s,
        "slowest_region_alone_s": max(alone),
        "ratio": facts["seconds"] / max(alone),
        "ratio_of_the_best_run": runs[0][0]["seconds"] / max(alone),
        **facts,
    }


def fake_listing() -> dict[str, float]:
    """List many machines of the fake: what a listing costs beyond any SDK."""
    offer = replace(an_offer("fake/one"), stock=None)
    cloud = FakeCloud("fake", [offer], SystemClock())
    for n in range(FAKE_MACHINES):
        cloud.launch(LaunchOrder(InstanceId(f"sk-{n}"), offer.key, Role.WORKER, OWNER, "true", None))
    began = time.process_time()
    seen = cloud.instances(OWNER).items
    return {"machines": float(len(seen)), "cpu_seconds_per_1000": (time.process_time() - began) * 1000 / len(seen)}


def main() -> None:
    """Measure, print and write."""
    os.environ |= CREDENTIALS
    facts: dict[str, Any] = {"clouds": {}}
    with running() as bench:
        for name, provider in adapters(bench.at, 2).items():
            facts["clouds"][name] = cloud = one_cloud(bench, name, provider)
            listed, offers = cloud["per_1000_machines_listed"], cloud["per_1000_offers"]
            rates = ", ".join(f"{r['per_second']:.0f}/s at {r['parallel']}" for r in cloud["launches"])
            print(f"{name}: launches {rates}")
            for what, row in (("machines listed", listed), ("offers refreshed", offers)):
                print(
                    f"  1,000 {what}: {row['seconds']:.2f} s, our CPU {row['cpu_seconds']:.2f} s, "
                    f"the emulator's {row['emulator_cpu_seconds']:.2f} s"
                )
            for when, calls in cloud["calls"].items():
                print(f"  calls over two regions, {when.replace('_', ' ')}: {calls}")
        facts["everywhere"] = [everywhere(bench, latency_s) for latency_s in LATENCIES_S]
        for every in facts["everywhere"]:
            print(
                f"all offers of {every['regions']:.0f} regions at once, {every['latency_of_a_call_s']:g} s a call: "
                f"{every['seconds']:.2f} s, {every['ratio']:.2f} times the slowest region alone "
                f"({every['slowest_region_alone_s']:.2f} s), {every['ratio_of_the_best_run']:.2f} in the best of "
                f"{REPEATS} runs; our CPU {every['cpu_seconds']:.2f} s, the emulator's "
                f"{every['emulator_cpu_seconds']:.2f} s"
            )
    facts["fake"] = fake_listing()
    facts["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the fake lists 1,000 machines in {facts['fake']['cpu_seconds_per_1000'] * 1000:.1f} ms of CPU")
    print(f"peak memory of our process: {facts['peak_memory_mib']:.0f} MiB")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(facts, indent=1))
    print(f"written to {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

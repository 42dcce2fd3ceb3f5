"""doctor: reads all that a tick would read, and reports what is wrong, where, and what to do."""

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx

from providers.base import Provider, supports_dry_run
from providers.errors import ProviderError
from providers.profile import NAME_HEAD_TYPES
from providers.registry import CLOUDS
from providers.settings import CloudSettings
from scheduler.documents.settings_file import Settings
from state.clock import Clock
from state.model.catalog import Capability, Market, Offer, Quota
from state.model.ids import ProviderName, RegionId, region_id, region_name

SKEW_WARNS: Final = timedelta(seconds=30)
SKEW_FAILS: Final = timedelta(minutes=2)
"""Signatures of requests are refused when clocks differ by five minutes; leases and notices suffer sooner."""
GROUP_AND_OTHERS: Final = 0o077


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was checked."""

    level: Level
    subject: str
    """A provider, a region, or a part of the installation."""
    what: str
    todo: str = ""


def diagnose(
    settings: Settings, providers: Mapping[ProviderName, Provider], owner: str, clock: Clock
) -> tuple[Diagnosis, ...]:
    """Return what is right and wrong, provider by provider; change nothing."""
    findings = list(_installation(settings))
    if not providers:
        todo = "name a cloud under providers: in the settings, or start the embedded ones with `skerry local up`"
        findings.append(Diagnosis(Level.ERROR, "providers", "no cloud is set up", todo))
    used = {cloud.profile.name: cloud for cloud in settings.providers.used}
    for name, provider in sorted(providers.items()):
        if name in used:
            findings += _clock(used[name], clock, trust_env=settings.embedded is None)
        findings += _reads(name, provider, owner, settings)
    return tuple(findings)


def _installation(settings: Settings) -> Iterator[Diagnosis]:
    token = Path(settings.ray_token_file or settings.home / "ray-token")
    if not token.is_file():
        todo = "write a long random secret to it, and the same to each cloud's secret store"
        yield Diagnosis(Level.ERROR, "ray token", f"{token} does not exist", todo)
    elif token.stat().st_mode & GROUP_AND_OTHERS:
        yield Diagnosis(Level.WARNING, "ray token", f"{token} can be read by others", f"chmod 600 {token}")
    else:
        yield Diagnosis(Level.OK, "ray token", "exists, and its owner alone can read it")
    named = {region_id(c.profile.name, region) for c in settings.providers.used for region in c.region_names}
    with_cell = {RegionId(region) for region in settings.cells}
    for region in sorted(named - with_cell):
        yield Diagnosis(Level.WARNING, region, "has no cell, so nothing is placed there", "give it one under cells:")
    for region in sorted(with_cell - named):
        yield Diagnosis(
            Level.WARNING, region, "has a cell, but no provider has that region", "name it under providers:"
        )


def _clock(cloud: CloudSettings, clock: Clock, *, trust_env: bool) -> Iterator[Diagnosis]:
    """Compare the clocks: any answer of a cloud carries its time, without credentials."""
    endpoint, name = cloud.time_endpoint, cloud.profile.name
    if endpoint is None:
        return
    try:
        verify = ssl.create_default_context(cafile=endpoint.ca_file)
        answer = httpx.get(endpoint.url, timeout=10, verify=verify, trust_env=trust_env)
        reported = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (httpx.HTTPError, OSError, KeyError, ValueError) as error:
        todo = "check the network, a proxy, or the endpoint in the settings"
        yield Diagnosis(Level.ERROR, name, f"{endpoint.url} does not answer: {type(error).__name__}", todo)
        return
    skew = abs(clock.now() - reported)
    level = Level.OK if skew < SKEW_WARNS else Level.WARNING if skew < SKEW_FAILS else Level.ERROR
    todo = "" if level is Level.OK else "synchronise this machine's clock"
    yield Diagnosis(level, name, f"the clocks differ by {skew.total_seconds():.0f} s", todo)


def _reads(name: str, provider: Provider, owner: str, settings: Settings) -> Iterator[Diagnosis]:
    with ThreadPoolExecutor(4) as pool:
        future_offers, future_quotas = pool.submit(provider.offers), pool.submit(provider.quotas)
        machines, notices = pool.submit(provider.instances, owner), pool.submit(provider.notices, owner)
        offers, quotas = future_offers.result(), future_quotas.result()
        unreachable = {
            "offers": offers.unreachable,
            "quotas": quotas.unreachable,
            "machines": machines.result().unreachable,
            "notices": notices.result().unreachable,
        }
    denied: dict[tuple[str, str], list[RegionId]] = {}
    for what, regions in unreachable.items():
        for region, reason in regions.items():
            denied.setdefault((what, reason), []).append(region)
    for (what, reason), where in sorted(denied.items()):
        todo = "grant the permission, or fix the credentials or the network; docs/how-to/providers.md lists permissions"
        yield Diagnosis(Level.ERROR, ", ".join(sorted(where)), f"{what}: {reason}", todo)
    for what, reason in sorted((offers.degraded | machines.result().degraded).items()):
        todo = "planning goes on without; grant the permission, enable the API or the network: docs/how-to/providers.md"
        yield Diagnosis(Level.WARNING, name, f"{what}: {reason}", todo)
    if not denied:
        yield Diagnosis(Level.OK, name, "credentials are valid, and offers, quotas, machines and notices can be read")
    for machine in machines.result().items:
        if machine.impairment:
            todo = "it is replaced once it carries no replica; repair it, or end it"
            yield Diagnosis(Level.WARNING, machine.key.region, f"{machine.instance_id}: {machine.impairment}", todo)
    yield from _supply(provider, offers.items, set(offers.unreachable), settings)
    yield from _quotas(quotas.items, offers.items)
    yield from _lacks(provider, settings)
    yield from _dry_runs(provider)


def _supply(
    provider: Provider, offers: tuple[Offer, ...], unreachable: set[RegionId], settings: Settings
) -> Iterator[Diagnosis]:
    for region in sorted(set(provider.regions) - unreachable):
        here = [offer for offer in offers if offer.key.region == region]
        if not any(offer.machine.gpus for offer in here):
            todo = "check that the region sells GPUs to this account, and that the price catalogue covers it"
            yield Diagnosis(Level.WARNING, region, "offers no machine with GPUs", todo)
        if region in settings.cells and not any(not offer.machine.gpus for offer in here):
            cloud = CLOUDS.get(provider.name)
            todo = NAME_HEAD_TYPES if cloud is None else cloud.profile.head_advice
            yield Diagnosis(Level.ERROR, region, "sells no machine for a cell's head", todo)


def _quotas(quotas: tuple[Quota, ...], offers: tuple[Offer, ...]) -> Iterator[Diagnosis]:
    sold = {(o.key.region, o.machine.family, o.key.market) for o in offers if o.machine.gpus}
    for quota in sorted(quotas, key=lambda q: (q.region, q.family, q.market)):
        if quota.limit == 0 and (quota.region, quota.family, quota.market) in sold:
            kind = "spot" if quota.market is Market.SPOT else "on-demand"
            what = f"the quota of {quota.family} ({kind}) is 0 {quota.unit}: nothing of it can be started"
            yield Diagnosis(
                Level.WARNING, quota.region, what, "request an increase from the cloud, if it is to be used"
            )


def _lacks(provider: Provider, settings: Settings) -> Iterator[Diagnosis]:
    """Report what a provider cannot do and what that costs."""
    if Capability.FIXED_ADDRESS not in provider.capabilities:
        what = "it starts no machine with a given address, so no cell can have its head there"
        for region in sorted(set(provider.regions) & set(settings.cells)):
            yield Diagnosis(Level.ERROR, region, what, "reserve the head's address in the provider's settings")
    if Capability.IDEMPOTENT_LAUNCH not in provider.capabilities:
        what = "a launch with no known outcome is not repeated"
        yield Diagnosis(Level.WARNING, provider.name, what, "look for such machines in the cloud's own console")
    if Capability.TAGS not in provider.capabilities:
        what = "machines carry no tags: those whose launch had no known outcome are never found, and may cost money"
        yield Diagnosis(Level.WARNING, provider.name, what, "look for such machines in the cloud's own console")


def _dry_runs(provider: Provider) -> Iterator[Diagnosis]:
    if not supports_dry_run(provider):
        return
    for region in provider.regions:
        try:
            provider.dry_run(region)
        except ProviderError as error:
            todo = "grant it, or correct the image, subnet or instance profile in the settings"
            yield Diagnosis(Level.ERROR, region, f"a launch would be refused: {error}", todo)
        else:
            yield Diagnosis(Level.OK, region, f"a launch in {region_name(region)} would be allowed")

"""doctor: asks everything that a tick would ask, and says what is wrong, where, and what to do about it."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx

from providers.base import Provider, SupportsDryRun
from providers.errors import ProviderError
from scheduler.documents.settings_file import Settings
from state.clock import Clock
from state.model.catalog import Market, Offer, Quota
from state.model.ids import RegionId, region_name

SKEW_WARNS: Final = timedelta(seconds=30)
SKEW_FAILS: Final = timedelta(minutes=2)
"""Signatures of requests are refused when clocks differ by five minutes; leases and notices suffer sooner."""
ENDPOINTS: Final = {
    "aws": "https://ec2.amazonaws.com/",
    "gcp": "https://compute.googleapis.com/",
    "azure": "https://management.azure.com/",
}
"""Any answer carries the time, without credentials."""
GROUP_AND_OTHERS: Final = 0o077


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    """A provider, a region, or a part of the installation."""
    what: str
    todo: str = ""


def diagnose(settings: Settings, providers: dict[str, Provider], owner: str, clock: Clock) -> tuple[Finding, ...]:
    """Return what is found, provider by provider; nothing is changed anywhere."""
    findings = list(_installation(settings))
    if not providers:
        todo = "name a cloud under providers: in the settings, or start the embedded ones with `skerry local up`"
        findings.append(Finding(Level.ERROR, "providers", "no cloud is set up", todo))
    for name, provider in sorted(providers.items()):
        findings += _clock(name, settings, clock)
        findings += _looks(name, provider, owner, settings)
    return tuple(findings)


def _installation(settings: Settings) -> Iterator[Finding]:
    token = Path(settings.ray_token_file or settings.home / "ray-token")
    if not token.is_file():
        todo = "write a long random secret to it, and the same to each cloud's secret store"
        yield Finding(Level.ERROR, "ray token", f"{token} is not there", todo)
    elif token.stat().st_mode & GROUP_AND_OTHERS:
        yield Finding(Level.WARNING, "ray token", f"{token} can be read by others", f"chmod 600 {token}")
    else:
        yield Finding(Level.OK, "ray token", "is there, and its owner's alone")
    clouds = settings.providers
    every = ((name, getattr(clouds, name)) for name in type(clouds).model_fields)
    named = {f"{name}/{region}" for name, cloud in every if cloud is not None for region in cloud.regions}
    for region in sorted(named - set(settings.cells)):
        yield Finding(Level.WARNING, region, "has no cell, so nothing is placed there", "give it one under cells:")
    for region in sorted(set(settings.cells) - named):
        yield Finding(Level.WARNING, region, "has a cell, but no cloud sells there", "name it under providers:")


def _clock(name: str, settings: Settings, clock: Clock) -> Iterator[Finding]:
    cloud = getattr(settings.providers, name, None)
    url = getattr(cloud, "endpoint_url", None) or getattr(cloud, "endpoint", None) or ENDPOINTS.get(name)
    if url is None:
        return
    verify = ssl.create_default_context(cafile=getattr(cloud, "ca_file", None))
    try:
        answer = httpx.get(url, timeout=10, verify=verify, trust_env=settings.embedded is None)
        told = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        todo = "check the network, a proxy, or the endpoint in the settings"
        yield Finding(Level.ERROR, name, f"{url} does not answer: {type(error).__name__}", todo)
        return
    skew = abs(clock.now() - told)
    level = Level.OK if skew < SKEW_WARNS else Level.WARNING if skew < SKEW_FAILS else Level.ERROR
    todo = "" if level is Level.OK else "synchronise this machine's clock"
    yield Finding(level, name, f"its clock and ours differ by {skew.total_seconds():.0f} s", todo)


def _looks(name: str, provider: Provider, owner: str, settings: Settings) -> Iterator[Finding]:
    with ThreadPoolExecutor(4) as pool:
        asked_offers, asked_quotas = pool.submit(provider.offers), pool.submit(provider.quotas)
        machines, notices = pool.submit(provider.instances, owner), pool.submit(provider.notices, owner)
        offers, quotas = asked_offers.result(), asked_quotas.result()
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
        todo = "grant the permission, or mend the credentials or the network; docs/how-to/providers.md lists them"
        yield Finding(Level.ERROR, ", ".join(sorted(where)), f"{what}: {reason}", todo)
    for what, reason in sorted((offers.degraded | machines.result().degraded).items()):
        todo = "it goes on without; grant the permission or enable the API to have it: docs/how-to/providers.md"
        yield Finding(Level.WARNING, name, f"{what}: {reason}", todo)
    if not denied:
        yield Finding(Level.OK, name, "credentials are right, and offers, quotas, machines and notices can be read")
    for machine in machines.result().items:
        if machine.impairment:
            todo = "it is replaced once it carries nothing; mend it, or end it"
            yield Finding(Level.WARNING, machine.key.region, f"{machine.instance_id}: {machine.impairment}", todo)
    yield from _supply(provider, offers.items, set(offers.unreachable), settings)
    yield from _quotas(quotas.items, offers.items)
    yield from _dry_runs(provider)


def _supply(
    provider: Provider, offers: tuple[Offer, ...], unreachable: set[RegionId], settings: Settings
) -> Iterator[Finding]:
    for region in sorted(set(provider.regions) - unreachable):
        here = [offer for offer in offers if offer.key.region == region]
        if not any(offer.machine.gpus for offer in here):
            todo = "check that the region sells GPUs to this account, and that the price catalogue covers it"
            yield Finding(Level.WARNING, region, "offers no machine with GPUs", todo)
        if region in settings.cells and not any(not offer.machine.gpus for offer in here):
            todo = "let one join with --head" if provider.name == "static" else "name others under head_types:"
            yield Finding(Level.ERROR, region, "sells no machine for a cell's head", todo)


def _quotas(quotas: tuple[Quota, ...], offers: tuple[Offer, ...]) -> Iterator[Finding]:
    sold = {(o.key.region, o.machine.family, o.key.market) for o in offers if o.machine.gpus}
    for quota in sorted(quotas, key=lambda q: (q.region, q.family, q.market)):
        if quota.limit == 0 and (quota.region, quota.family, quota.market) in sold:
            kind = "spot" if quota.market is Market.SPOT else "on-demand"
            what = f"the quota of {quota.family} ({kind}) is 0 {quota.unit}: nothing of it can be started"
            yield Finding(Level.WARNING, quota.region, what, "ask the cloud to raise it, if it is to be used")


def _dry_runs(provider: Provider) -> Iterator[Finding]:
    while (inner := getattr(provider, "inner", None)) is not None:
        provider = inner
    if not isinstance(provider, SupportsDryRun):
        return
    for region in provider.regions:
        try:
            provider.dry_run(region)
        except ProviderError as error:
            todo = "grant it, or mend the image, subnet or instance profile in the settings"
            yield Finding(Level.ERROR, region, f"a launch would be refused: {error}", todo)
        else:
            yield Finding(Level.OK, region, f"a launch in {region_name(region)} would be allowed")

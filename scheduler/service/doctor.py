"""doctor: reads all that a tick would read, and reports what is wrong, where, and what to do."""

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import httpx

from providers.base import Observation, Provider, supports_dry_run
from providers.connections import not_connected
from providers.errors import NotConnectedError, ProviderError
from providers.exclusions import WHOLE_REGION, Exclusion, ExclusionKind
from providers.profile import NAME_HEAD_TYPES
from providers.registry import CLOUDS
from providers.settings import CloudSettings
from scheduler.documents.settings_file import Settings
from scheduler.service.diagnosis import Check, Diagnosis, DiagnosisLevel
from state.clock import Clock
from state.model.catalog import Capability, Offer, Quota
from state.model.ids import ProviderName, RegionId, region_id
from state.model.inventory import CloudInstance, Notice

SKEW_WARNS: Final = timedelta(seconds=30)
SKEW_FAILS: Final = timedelta(minutes=2)
"""Signatures of requests are refused when clocks differ by five minutes; leases and notices suffer sooner."""
GROUP_AND_OTHERS: Final = 0o077


def diagnose(
    settings: Settings,
    providers: Mapping[ProviderName, Provider],
    owner: str,
    clock: Clock,
    *,
    are_embedded_down: bool = False,
) -> tuple[Diagnosis, ...]:
    """Return what is right and wrong, provider by provider; change nothing.

    Args:
        settings: The settings.
        providers: The providers to check, by name.
        owner: The installation's id.
        clock: The clock that is compared with the clouds'.
        are_embedded_down: Whether the clouds of the settings are embedded ones that do not run.
    """
    found = list(_installation(settings))
    if not providers:
        found.append(Diagnosis(Check.NO_CLOUD, DiagnosisLevel.ERROR))
    used = {cloud.profile.name: cloud for cloud in settings.providers.used}
    for name, provider in sorted(providers.items()):
        reads = _read(provider, owner)
        lost = _lost(provider, reads)
        if name in used and lost != set(provider.regions):
            found += _clock(used[name], clock, trust_env=settings.embedded is None)
        found += _unread(name, reads, Check.EMBEDDED_DOWN if are_embedded_down else Check.NOT_CONNECTED)
        if lost:
            found.append(Diagnosis(Check.CHECKS_SKIPPED, DiagnosisLevel.WARNING, name, regions=tuple(sorted(lost))))
        found += _details(provider, reads, settings)
        found += _left_out(name, reads.offers.left_out)
        found += _tags(used[name]) if name in used else ()
        found += _dry_runs(provider, lost)
    return tuple(found)


def _installation(settings: Settings) -> Iterator[Diagnosis]:
    token = Path(settings.ray_token_file or settings.home / "ray-token")
    if not token.is_file():
        yield Diagnosis(Check.TOKEN_MISSING, DiagnosisLevel.ERROR, subject=str(token))
    elif token.stat().st_mode & GROUP_AND_OTHERS:
        yield Diagnosis(Check.TOKEN_READABLE, DiagnosisLevel.WARNING, subject=str(token))
    else:
        yield Diagnosis(Check.TOKEN_PRIVATE, DiagnosisLevel.OK, subject=str(token))
    named = {region_id(c.profile.name, region) for c in settings.providers.used for region in c.region_names}
    with_cell = {RegionId(region) for region in settings.cells}
    for region in sorted(named - with_cell):
        yield Diagnosis(Check.REGION_WITHOUT_CELL, DiagnosisLevel.WARNING, regions=(region,))
    for region in sorted(with_cell - named):
        yield Diagnosis(Check.CELL_WITHOUT_CLOUD, DiagnosisLevel.WARNING, regions=(region,))


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
        failed = not_connected(name, "time", error)
        message = type(error).__name__ if failed is None else str(failed)
        yield Diagnosis(Check.ENDPOINT_SILENT, DiagnosisLevel.ERROR, name, subject=endpoint.url, message=message)
        return
    skew = abs(clock.now() - reported)
    level = (
        DiagnosisLevel.OK
        if skew < SKEW_WARNS
        else DiagnosisLevel.WARNING
        if skew < SKEW_FAILS
        else DiagnosisLevel.ERROR
    )
    yield Diagnosis(Check.CLOCK_SKEW, level, name, skew=skew)


@dataclass(frozen=True, slots=True)
class _Reads:
    """All that a tick would read of a provider."""

    offers: Observation[Offer]
    quotas: Observation[Quota]
    machines: Observation[CloudInstance]
    notices: Observation[Notice]

    def by_subject(self) -> tuple[tuple[str, Observation[Any]], ...]:
        """Return what was read, by its name."""
        return tuple((field.name, getattr(self, field.name)) for field in fields(self))


def _read(provider: Provider, owner: str) -> _Reads:
    with ThreadPoolExecutor(4) as pool:
        offers, quotas = pool.submit(provider.offers), pool.submit(provider.quotas)
        machines, notices = pool.submit(provider.instances, owner), pool.submit(provider.notices, owner)
        return _Reads(offers.result(), quotas.result(), machines.result(), notices.result())


def _lost(provider: Provider, reads: _Reads) -> frozenset[RegionId]:
    """Return the regions whose later checks would fail for lack of a connection."""
    return reads.offers.not_connected & reads.machines.not_connected & set(provider.regions)


def _unread(name: ProviderName, reads: _Reads, disconnected: Check) -> Iterator[Diagnosis]:
    """Report what could not be read; all that one lost connection hides is one diagnosis."""
    lost: dict[str, tuple[set[str], set[RegionId]]] = {}
    denied: dict[tuple[str, str], list[RegionId]] = {}
    for what, observed in reads.by_subject():
        for region, reason in observed.unreachable.items():
            if region in observed.not_connected:
                subjects, regions = lost.setdefault(reason, (set(), set()))
                subjects.add(what)
                regions.add(region)
            else:
                denied.setdefault((what, reason), []).append(region)
    for reason, (subjects, regions) in sorted(lost.items()):
        where, what = tuple(sorted(regions)), ", ".join(sorted(subjects))
        yield Diagnosis(disconnected, DiagnosisLevel.ERROR, name, regions=where, subject=what, message=reason)
    for (what, reason), found in sorted(denied.items()):
        where = tuple(sorted(found))
        yield Diagnosis(Check.READ_FAILED, DiagnosisLevel.ERROR, name, regions=where, subject=what, message=reason)
    for what, reason in sorted((reads.offers.degraded | reads.machines.degraded).items()):
        yield Diagnosis(Check.READ_DEGRADED, DiagnosisLevel.WARNING, name, subject=what, message=reason)
    if not lost and not denied:
        yield Diagnosis(Check.ALL_READ, DiagnosisLevel.OK, name)


def _details(provider: Provider, reads: _Reads, settings: Settings) -> Iterator[Diagnosis]:
    """Report what is wrong with what was read."""
    for machine in reads.machines.items:
        if machine.impairment:
            yield Diagnosis(
                Check.MACHINE_IMPAIRED,
                DiagnosisLevel.WARNING,
                regions=(machine.key.region,),
                subject=machine.instance_id,
                message=machine.impairment,
            )
    yield from _supply(provider, reads.offers.items, set(reads.offers.unreachable), settings)
    yield from _quotas(reads.quotas.items, reads.offers.items)
    yield from _lacks(provider, settings)


def _supply(
    provider: Provider, offers: tuple[Offer, ...], unreachable: set[RegionId], settings: Settings
) -> Iterator[Diagnosis]:
    for region in sorted(set(provider.regions) - unreachable):
        here = [offer for offer in offers if offer.key.region == region]
        if not any(offer.machine.gpus for offer in here):
            yield Diagnosis(Check.NO_GPUS_OFFERED, DiagnosisLevel.WARNING, regions=(region,))
        if region in settings.cells and not any(not offer.machine.gpus for offer in here):
            cloud = CLOUDS.get(provider.name)
            advice = NAME_HEAD_TYPES if cloud is None else cloud.profile.head_advice
            yield Diagnosis(Check.NO_HEAD_OFFERED, DiagnosisLevel.ERROR, regions=(region,), advice=advice)


def _left_out(name: ProviderName, exclusions: tuple[Exclusion, ...]) -> Iterator[Diagnosis]:
    """Report what is not offered: one diagnosis per cause, with all that it applies to."""
    subjects: dict[tuple[ExclusionKind, str, RegionId], set[str]] = {}
    for one in exclusions:
        subjects.setdefault((one.kind, one.detail, one.region), set()).add(one.subject)
    regions: dict[tuple[ExclusionKind, str, tuple[str, ...]], list[RegionId]] = {}
    for (kind, detail, region), found in subjects.items():
        regions.setdefault((kind, detail, tuple(sorted(found))), []).append(region)
    for (kind, detail, several), where in sorted(regions.items()):
        is_wrong = kind is ExclusionKind.WRONG_SUBNET or several == (WHOLE_REGION,)
        level = DiagnosisLevel.WARNING if is_wrong else DiagnosisLevel.NOTE
        yield Diagnosis(Check(kind), level, name, regions=tuple(sorted(where)), subjects=several, message=detail)


def _tags(cloud: CloudSettings) -> Iterator[Diagnosis]:
    """Report the tags or labels that the settings demand; where launches are checked, they are checked with them."""
    if cloud.resource_tags:
        pairs = tuple(f"{tag}={value}" for tag, value in sorted(cloud.resource_tags.items()))
        yield Diagnosis(Check.TAGS_SET, DiagnosisLevel.OK, cloud.profile.name, subjects=pairs)


def _quotas(quotas: tuple[Quota, ...], offers: tuple[Offer, ...]) -> Iterator[Diagnosis]:
    sold = [offer for offer in offers if offer.machine.gpus]
    for quota in sorted(quotas, key=lambda q: q.sort_key):
        if quota.limit == 0 and any(quota.counts(o.key, o.machine) for o in sold):
            yield Diagnosis(
                Check.QUOTA_ZERO,
                DiagnosisLevel.WARNING,
                regions=(quota.region,),
                subject=quota.family or quota.name,
                market=quota.market,
                unit=quota.unit,
            )


def _lacks(provider: Provider, settings: Settings) -> Iterator[Diagnosis]:
    """Report what a provider cannot do and what that costs."""
    if Capability.FIXED_ADDRESS not in provider.capabilities:
        for region in sorted(set(provider.regions) & set(settings.cells)):
            yield Diagnosis(Check.NO_FIXED_ADDRESS, DiagnosisLevel.ERROR, regions=(region,))
    if Capability.IDEMPOTENT_LAUNCH not in provider.capabilities:
        yield Diagnosis(Check.NO_REPEATED_LAUNCH, DiagnosisLevel.WARNING, provider.name)
    if Capability.TAGS not in provider.capabilities:
        yield Diagnosis(Check.NO_TAGS, DiagnosisLevel.WARNING, provider.name)


def _dry_runs(provider: Provider, lost: frozenset[RegionId]) -> Iterator[Diagnosis]:
    if not supports_dry_run(provider):
        return
    for region in (region for region in provider.regions if region not in lost):
        try:
            provider.dry_run(region)
        except NotConnectedError as error:
            check, message = Check.NOT_CONNECTED, str(error)
            yield Diagnosis(check, DiagnosisLevel.ERROR, regions=(region,), subject="permissions", message=message)
        except ProviderError as error:
            yield Diagnosis(Check.LAUNCH_REFUSED, DiagnosisLevel.ERROR, regions=(region,), message=str(error))
        else:
            yield Diagnosis(Check.LAUNCH_ALLOWED, DiagnosisLevel.OK, regions=(region,))

"""Diagnoses of the doctor to sentences. Pure."""

from typing import Any, Final

from scheduler.cli.render.obstacles import EMBEDDED_DOWN
from scheduler.service.diagnosis import Check, Diagnosis, DiagnosisLevel
from state.model.catalog import Market

MARKS: Final = {
    DiagnosisLevel.OK: "ok     ",
    DiagnosisLevel.NOTE: "note   ",
    DiagnosisLevel.WARNING: "warning",
    DiagnosisLevel.ERROR: "ERROR  ",
}
SUBJECTS_SHOWN: Final = 6
"""Of several in one line; the JSON has all."""

SENTENCES: Final[dict[Check, str]] = {
    Check.NO_CLOUD: "no cloud is set up",
    Check.TOKEN_MISSING: "{subject} does not exist",
    Check.TOKEN_READABLE: "{subject} can be read by others",
    Check.TOKEN_PRIVATE: "exists, and only its owner can read it",
    Check.REGION_WITHOUT_CELL: "has no cell, so nothing is placed there",
    Check.CELL_WITHOUT_CLOUD: "has a cell, but no provider names the region",
    Check.ENDPOINT_SILENT: "{subject} does not answer: {message}",
    Check.NOT_CONNECTED: "{message}, so {subject} cannot be read",
    Check.EMBEDDED_DOWN: "{message}, so {subject} cannot be read",
    Check.CHECKS_SKIPPED: "supply, quotas and permissions to launch are not checked, since there is no connection",
    Check.CLOCK_SKEW: "its clock and ours differ by {seconds:.0f} s",
    Check.READ_FAILED: "{subject} cannot be read: {message}",
    Check.READ_DEGRADED: "{subject} cannot be read: {message}",
    Check.ALL_READ: "credentials are valid; offers, quotas, machines and notices can be read",
    Check.MACHINE_IMPAIRED: "{subject}: {message}",
    Check.NO_GPUS_OFFERED: "offers no machine with GPUs",
    Check.NO_HEAD_OFFERED: "offers no machine for a cell's head",
    Check.NO_FIXED_ADDRESS: "it starts no machine with a given address, so no cell can have its head there",
    Check.NO_REPEATED_LAUNCH: "a launch with no known outcome is not repeated",
    Check.NO_TAGS: "machines carry no tags: one whose launch has no known outcome is never found, and may cost money",
    Check.QUOTA_ZERO: "the quota of {subject} ({market}) is 0 {unit}: nothing of it can be started",
    Check.PART_OF_GPU: "not offered: {subject}, {message}; Ray counts a part as a whole GPU",
    Check.UNKNOWN_GPU: "not offered: {subject}, whose GPU is not known ({message})",
    Check.ARCHITECTURE: "not offered: {subject}, which cannot run the image ({message})",
    Check.NO_PRICE: "not offered: {subject}, of which the catalogue has no price",
    Check.ZONE_WITHOUT_PRICES: "not offered: {subject}, with prices of its own that the catalogue lacks ({message})",
    Check.ZONE_NOT_ENABLED: "not offered: zone {subject}, which the account has not opted in to",
    Check.RESTRICTED: "not offered: {subject}, which the cloud does not sell to this account ({message})",
    Check.NO_SUBNET: "not offered: {subject}, which has no subnet ({message})",
    Check.WRONG_SUBNET: "not offered: {subject}, whose subnet does not fit ({message})",
    Check.TAGS_SET: "every resource is created with {subject}",
    Check.LAUNCH_REFUSED: "a launch would be refused: {message}",
    Check.LAUNCH_ALLOWED: "a launch would be allowed",
}

REMEDIES: Final[dict[Check, str]] = {
    Check.NO_CLOUD: "name a cloud under providers: in the settings, or start the embedded ones with `skerry local up`",
    Check.TOKEN_MISSING: "write a long random secret to it, and the same to each cloud's secret store",
    Check.TOKEN_READABLE: "chmod 600 {subject}",
    Check.REGION_WITHOUT_CELL: "give it one under cells:",
    Check.CELL_WITHOUT_CLOUD: "name it under providers:",
    Check.ENDPOINT_SILENT: "check the network, a proxy, or the endpoint in the settings",
    Check.NOT_CONNECTED: "check the network, a proxy, or the endpoint in the settings",
    Check.EMBEDDED_DOWN: EMBEDDED_DOWN,
    Check.CHECKS_SKIPPED: "run `skerry doctor` again once it answers",
    Check.CLOCK_SKEW: "synchronise this machine's clock",
    Check.READ_FAILED: "grant the permission, or correct the credentials or the network: docs/how-to/providers.md",
    Check.READ_DEGRADED: "not needed; to have it, grant the permission, enable the API or restore the network",
    Check.MACHINE_IMPAIRED: "it is replaced once it carries nothing; repair it, or end it",
    Check.NO_GPUS_OFFERED: "check that the region sells GPUs to this account, and that the price catalogue covers it",
    Check.NO_HEAD_OFFERED: "{advice}",
    Check.NO_FIXED_ADDRESS: "reserve the head's address in the provider's settings",
    Check.NO_REPEATED_LAUNCH: "look for such machines in the cloud's own console",
    Check.NO_TAGS: "look for such machines in the cloud's own console",
    Check.QUOTA_ZERO: "ask the cloud to raise it, if it is to be used",
    Check.PART_OF_GPU: "choose a size with a whole GPU; `count: 0.25` of a shape shares one",
    Check.UNKNOWN_GPU: "not needed; such GPUs can be used once they are in its tables",
    Check.ARCHITECTURE: "not needed; name an image of that architecture to use it",
    Check.NO_PRICE: "not needed; to use it, give the price catalogue a line of it",
    Check.ZONE_WITHOUT_PRICES: "not needed; to use it, give the price catalogue lines of that zone",
    Check.ZONE_NOT_ENABLED: "not needed; enable its zone group to use it",
    Check.RESTRICTED: "not needed; ask the cloud for access to use it",
    Check.NO_SUBNET: "name a subnet there in the settings to use it",
    Check.WRONG_SUBNET: "name the zone's own subnet, in the VPC of the security groups",
    Check.LAUNCH_REFUSED: "grant it, or correct the image, subnet, tags or instance profile in the settings",
}

INSTALLATION: Final[dict[Check, str]] = {
    Check.NO_CLOUD: "providers",
    Check.TOKEN_MISSING: "ray token",
    Check.TOKEN_READABLE: "ray token",
    Check.TOKEN_PRIVATE: "ray token",
}
"""What checks of the installation itself are about."""


def subject(diagnosis: Diagnosis) -> str:
    """Return what a diagnosis is about: regions, a provider, or a part of the installation."""
    if diagnosis.regions:
        return ", ".join(diagnosis.regions)
    return diagnosis.provider or INSTALLATION[diagnosis.check]


def sentence(diagnosis: Diagnosis) -> str:
    """Return what was found."""
    return _filled(SENTENCES[diagnosis.check], diagnosis)


def remedy(diagnosis: Diagnosis) -> str:
    """Return what to do about it; empty where nothing is to be done."""
    return "" if diagnosis.level is DiagnosisLevel.OK else _filled(REMEDIES[diagnosis.check], diagnosis)


def _filled(template: str, diagnosis: Diagnosis) -> str:
    return template.format(
        subject=diagnosis.subject or _listed(diagnosis.subjects),
        message=diagnosis.message,
        seconds=0.0 if diagnosis.skew is None else diagnosis.skew.total_seconds(),
        market="spot" if diagnosis.market is Market.SPOT else "on-demand",
        unit=diagnosis.unit,
        advice=diagnosis.advice,
    )


def _listed(subjects: tuple[str, ...]) -> str:
    """Return the first of several subjects, and how many more there are."""
    more = len(subjects) - SUBJECTS_SHOWN
    return ", ".join(subjects[:SUBJECTS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis."""
    return {
        "check": diagnosis.check,
        "level": diagnosis.level,
        "provider": diagnosis.provider,
        "regions": list(diagnosis.regions),
        "subject": subject(diagnosis),
        "subjects": list(diagnosis.subjects),
        "message": sentence(diagnosis),
        "remedy": remedy(diagnosis),
    }


def lines(diagnosis: Diagnosis) -> list[str]:
    """Return a diagnosis as one line, and a second one with what to do."""
    todo = remedy(diagnosis)
    first = f"{MARKS[diagnosis.level]}  {subject(diagnosis)}: {sentence(diagnosis)}"
    return [first, f"         {todo}"] if todo else [first]

"""What a person at a terminal reads is ours: no SDK logs, warnings or tracebacks."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from providers.emulator.regions import CATALOG

OURS = ("asking the clouds", "reading", "skerry: ", "aws/", "gcp/", "azure/")
"""How lines on standard error may begin: progress, messages, and regions that did not answer."""


@pytest.fixture(scope="module")
def closed() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def unreachable_clouds(home: Path, closed: str, catalog: Path | None) -> None:
    common = {"timeout_seconds": 2}
    aws = {"regions": ["us-east-1"], "images": {"us-east-1": "ami-1"}, "endpoint_url": f"http://{closed}"}
    gcp = {"project": "p", "regions": ["us-central1"], "image": "i", "endpoint": f"http://{closed}"}
    azure = {
        "subscription_id": "a0",
        "resource_group": "g",
        "regions": ["eastus"],
        "image": "/i",
        "subnets": {"eastus": "/s"},
    }
    azure |= {"ssh_public_key": "k", "endpoint": f"https://{closed}", "prices_url": f"https://{closed}"}
    regions = ("aws/us-east-1", "gcp/us-central1", "azure/eastus")
    settings = {
        "providers": {"aws": aws | common, "gcp": gcp | common, "azure": azure | common},
        "cells": {region: {"head_address": f"10.{n}.0.4"} for n, region in enumerate(regions)},
        "price_catalog": None if catalog is None else str(catalog),
    }
    (home / "settings.yaml").write_text(json.dumps(settings))


def run(home: Path, closed: str, credentials: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_"))}
    environment |= {"SKERRY_HOME": str(home), "HOME": str(home), "HTTPS_PROXY": f"http://{closed}", "NO_PROXY": ""}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONWARNINGS": "default"} | credentials
    command = [sys.executable, "-m", "scheduler.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000002",
    "AZURE_CLIENT_SECRET": "c",
}


@pytest.mark.parametrize("credentials", [{}, CREDENTIALS], ids=["none", "made-up"])
@pytest.mark.parametrize("catalog", [None, CATALOG], ids=["published", "folder"])
def test_unreachable_clouds_are_reported_in_lines_of_ours(
    tmp_path: Path, closed: str, credentials: dict[str, str], catalog: Path | None
) -> None:
    unreachable_clouds(tmp_path, closed, catalog)

    done = run(tmp_path, closed, credentials, "offers", "--output", "json")

    foreign = [line for line in done.stderr.splitlines() if not line.startswith(OURS)]
    assert foreign == []
    assert all(f"\n{region}: offers" in f"\n{done.stderr}" for region in ("aws/us-east-1", "azure/eastus")), done.stderr
    json.loads(done.stdout)


def test_doctor_reports_on_clouds_that_are_unreachable_and_nothing_else_writes(tmp_path: Path, closed: str) -> None:
    unreachable_clouds(tmp_path, closed, None)

    done = run(tmp_path, closed, {}, "doctor", "--output", "json")

    found = json.loads(done.stdout)["diagnoses"]
    assert all("\n" not in finding["message"] for finding in found)
    assert any("price catalogue cannot be read" in finding["message"] for finding in found)
    [line] = done.stderr.splitlines()
    assert line.startswith("skerry: ")

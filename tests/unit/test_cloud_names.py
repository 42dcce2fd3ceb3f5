"""A cloud is one folder under providers/ and one line in providers/registry.py: no other code names one."""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from providers.aws.settings import AwsSettings
from providers.azure.settings import AzureSettings
from providers.build import build_providers
from providers.gcp.settings import GcpSettings
from providers.registry import CLOUDS, ProvidersSettings
from providers.static.settings import StaticRegionSettings, StaticSettings
from state.clock import ManualClock
from state.model.ids import region_id
from tests.builders import NOON

ROOT = Path(__file__).parents[2]
CLOUD_FOLDERS = ("providers/aws", "providers/gcp", "providers/azure", "providers/static")
EMBEDDED = ("providers/emulator", "scheduler/embedded")
"""The clouds on this computer, which name what they embed."""
OWN_MACHINES = frozenset(
    {
        "scheduler/cli/join_command.py",
        "scheduler/cli/machines_app.py",
        "scheduler/cli/machines_commands.py",
        "scheduler/documents/machines_file.py",
    }
)
"""The commands for machines of one's own: they are about that one provider."""
WORDS = ("amazon", "aws", "azure", "boto", "boto3", "botocore", "ec2", "gce", "gcloud", "gcp", "google", "msrest")
SPELLINGS = "|".join(sorted({s for word in WORDS for s in (word, word.capitalize(), word.upper())}, reverse=True))
NAME = re.compile(rf"(?<![a-z])(?:{SPELLINGS})(?![a-z])")
STATIC = re.compile(r"""providers\.static|\bStatic[A-Z]|["']static["'/]""")
EXAMPLE = re.compile(r"`(?:aws|gcp|azure)`|(?:such as |of |Return )`?(?:aws|gcp|azure)/[-a-z0-9./_]+")
"""Texts may give ids as examples: a provider's in backticks, a region's or an offer's after `such as` and the like."""
PROTOBUF = "google.protobuf"
"""A message format, not a cloud."""


def searched() -> list[Path]:
    found = [
        path for folder in ("state", "scheduler", "inference", "providers") for path in (ROOT / folder).rglob("*.py")
    ]
    apart = (*CLOUD_FOLDERS, *EMBEDDED, "providers/registry.py")
    return sorted(path for path in found if not str(path.relative_to(ROOT)).startswith(apart))


def named(source: str) -> list[str]:
    """Return the lines of code, strings and comments that name a cloud."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in {tokenize.NAME, tokenize.STRING, tokenize.COMMENT}:
            continue
        is_text = token.type != tokenize.NAME and " " in token.string
        text = EXAMPLE.sub("", token.string) if is_text else token.string
        is_protobuf = PROTOBUF in token.line
        if NAME.search(text) and not is_protobuf:
            found.append(f"{token.start[0]}: {token.line.strip()}")
    return found


@pytest.mark.parametrize("path", searched(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_outside_a_clouds_folder_names_it(path: Path) -> None:
    source = path.read_text()

    assert named(source) == []
    if str(path.relative_to(ROOT)) not in OWN_MACHINES:
        assert [line for line in source.splitlines() if STATIC.search(line)] == []


def test_no_file_outside_a_clouds_folder_is_named_for_it() -> None:
    files = [
        str(path.relative_to(ROOT))
        for folder in ("state", "scheduler", "inference", "providers")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]

    assert [name for name in files if NAME.search(name) and not name.startswith((*CLOUD_FOLDERS, *EMBEDDED))] == []


@pytest.mark.parametrize(
    "line",
    [
        'if provider.name == "aws": ...',
        "from providers.gcp.machines import Gcp",
        "settings.azure",
        "class AzureThing: ...",
        "import boto3",
        'REGION = "aws/us-east-1"',
        "# EC2 answers otherwise",
    ],
)
def test_the_search_finds_names(line: str) -> None:
    assert named(f"{line}\n")


@pytest.mark.parametrize(
    "line", ['"""A region, such as `aws/us-east-1`."""', "flaws = draws", '"""A cloud, such as `gcp`."""']
)
def test_the_search_leaves_examples_alone(line: str) -> None:
    assert not named(f"{line}\n")


def test_every_cloud_has_its_folder_and_its_facts() -> None:
    assert {f"providers/{name}" for name in CLOUDS} == set(CLOUD_FOLDERS)
    for name, settings in CLOUDS.items():
        assert settings.profile.name == name
        assert all(region.id.startswith(f"{name}/") for region in settings.profile.regions)
        assert settings.profile.fault_answers


def test_the_clouds_that_are_used_are_those_with_settings() -> None:
    aws = AwsSettings(regions=("us-east-1",), images={"us-east-1": "ami-1"})

    assert ProvidersSettings(aws=aws).used == (aws,)
    assert ProvidersSettings().used == ()


def test_facts_of_clouds_import_no_sdk() -> None:
    sdks = ("azure", "boto3", "botocore", "google", "gpuhunt", "httpx")
    code = f"import sys, providers.registry; print([m for m in {sdks} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_every_cloud_is_built_from_its_settings_by_the_same_code(tmp_path: Path) -> None:
    site = StaticRegionSettings(register_url="http://127.0.0.1:9", jurisdiction="EU", latitude=52.5, longitude=13.4)
    settings = ProvidersSettings(
        aws=AwsSettings(regions=("us-east-1",), images={"us-east-1": "ami-1"}),
        gcp=GcpSettings(project="p", regions=("us-central1",), image="i"),
        azure=AzureSettings(
            subscription_id="a", resource_group="g", regions=("eastus",), image="/i", subnets={}, ssh_public_key="k"
        ),
        static=StaticSettings(regions={"berlin": site}, token_file=str(tmp_path / "token")),
    )

    built = build_providers(settings, None, lambda: "me", ManualClock(NOON))

    assert set(built) == set(CLOUDS)
    for cloud in settings.used:
        provider = built[cloud.profile.name]
        assert provider.regions == tuple(region_id(provider.name, name) for name in cloud.region_names)
        assert provider.boot_profile == cloud.profile.boot

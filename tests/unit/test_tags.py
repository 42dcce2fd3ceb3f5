"""Tags and labels that an organisation demands: each cloud's rules, and Skerry's own, which they never replace."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from providers.aws.settings import AwsSettings
from providers.azure.settings import AzureSettings
from providers.base import INSTANCE_TAG, OWNER_TAG, ROLE_TAG
from providers.gcp.settings import GcpSettings
from providers.settings import OWN_TAG_PREFIX, CloudSettings


def aws(tags: Mapping[str, str]) -> CloudSettings:
    return AwsSettings.model_validate({"regions": ["us-east-1"], "images": {"us-east-1": "ami-1"}, "tags": tags})


def azure(tags: Mapping[str, str]) -> CloudSettings:
    names = {"subscription_id": "s", "resource_group": "g", "image": "i", "ssh_public_key": "k"}
    return AzureSettings.model_validate(names | {"regions": ["eastus"], "subnets": {}, "tags": tags})


def gcp(labels: Mapping[str, str]) -> CloudSettings:
    return GcpSettings.model_validate({"project": "p", "regions": ["r"], "image": "i", "labels": labels})


def gcp_tags(tags: Mapping[str, str]) -> CloudSettings:
    given = {"project": "p", "regions": ["r"], "image": "i", "resource_manager_tags": tags}
    return GcpSettings.model_validate(given)


EVERY = [aws, azure, gcp]


@pytest.mark.parametrize(
    ("made", "tags"),
    [
        (aws, {"Cost Centre": "", "team/owner": "ml & research", "k" * 128: "v" * 256}),
        (azure, {"Cost Centre": "", "team": "a/b?", "k" * 512: "v" * 256}),
        (gcp, {"cost-centre_1": "", "équipe": "42", "k" * 63: "v" * 63}),
        (gcp_tags, {"tagKeys/333": "tagValues/444", "123/environment": "production", "my-project/team": "ml"}),
        (aws, {f"t{n}": "" for n in range(46)}),
        (gcp, {f"t{n}": "" for n in range(60)}),
    ],
)
def test_what_a_cloud_accepts_is_kept(made: Any, tags: dict[str, str]) -> None:
    assert made(tags).resource_tags == tags


@pytest.mark.parametrize(
    ("made", "tags", "why"),
    [
        (aws, {"": "x"}, "1 to 128"),
        (aws, {"k" * 129: "x"}, "1 to 128"),
        (aws, {"k": "v" * 257}, "256"),
        (aws, {"AWS:team": "x"}, "AWS's own"),
        (aws, {f"t{n}": "" for n in range(47)}, "46 are possible"),
        (azure, {"a?b": "x"}, "no [?]"),
        (azure, {"k" * 513: "x"}, "1 to 512"),
        (azure, {"k": "v" * 257}, "256"),
        (azure, {"MicrosoftTeam": "x"}, "Azure's own"),
        (azure, {"team": "a", "Team": "b"}, "case alone"),
        (gcp, {"Team": "ml"}, "lower-case"),
        (gcp, {"1team": "ml"}, "begins with"),
        (gcp, {"team": "ML"}, "lower-case"),
        (gcp, {"team": "a b"}, "alone"),
        (gcp, {"k" * 64: "x"}, "63"),
        (gcp, {"k": "é" * 64}, "63"),
        (gcp, {f"t{n}": "" for n in range(61)}, "60 are possible"),
        (gcp_tags, {"123/environment": "tagValues/444"}, "PARENT/KEY"),
        (gcp_tags, {"team": "ml"}, "PARENT/KEY"),
    ],
)
def test_what_a_cloud_refuses_is_refused_when_the_settings_are_loaded(
    made: Any, tags: dict[str, str], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        made(tags)


@pytest.mark.parametrize("made", EVERY)
@pytest.mark.parametrize("name", [OWNER_TAG, INSTANCE_TAG, ROLE_TAG, "skerry-anything"])
def test_none_can_replace_skerrys_own(made: Any, name: str) -> None:
    assert name.startswith(OWN_TAG_PREFIX)
    with pytest.raises(ValidationError, match="Skerry sets it itself"):
        made({name: "x"})


@pytest.mark.parametrize(("made", "name"), [(aws, "name"), (aws, "SKERRY-owner"), (azure, "Skerry-Owner")])
def test_nor_can_one_that_differs_in_case(made: Any, name: str) -> None:
    with pytest.raises(ValidationError, match="Skerry sets it itself"):
        made({name: "x"})

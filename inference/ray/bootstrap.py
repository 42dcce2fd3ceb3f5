"""The start-up script of a cell's head and of its workers. Pure.

It is the same on a real machine and in the embedded clouds. What differs stands in the environment: the
image (or the host) provides `ray`, and may set any of the names below. No secret stands in the script: the
token comes from the file named by RAY_AUTH_TOKEN_PATH, fetched from the cloud's own secret store with the
machine's identity where it is not there yet.

    SKERRY_RAY            the `ray` command; `ray`
    SKERRY_NODE_ADDRESS   address of this machine; its first private one
    SKERRY_RAY_ARGS       further arguments, such as pretended GPUs
    SKERRY_SECRET         name of the token in the secret store; `skerry-ray-token`
    SKERRY_METADATA       address of the machine's metadata service; its cloud's own

A worker also listens to its metadata service. Told there that it is taken away, it drains its own Ray node at once,
which needs nobody else: the replicas move, and whoever looks at the cell sees that the machine is leaving.
"""

import shlex
from typing import Final

from inference.ray.config import gpu_resource
from state.model.catalog import Machine
from state.model.inventory import Role
from state.model.plan import Launch

FETCH: Final[dict[str, str]] = {
    "aws": 'aws secretsmanager get-secret-value --secret-id "$SKERRY_SECRET" --query SecretString --output text',
    "gcp": 'gcloud secrets versions access latest --secret "$SKERRY_SECRET"',
    "azure": 'az login --identity >/dev/null && az keyvault secret show --vault-name "$SKERRY_VAULT" '
    '--name "$SKERRY_SECRET" --query value --output tsv',
}
"""How a machine reads the token with its own identity. Source: the clouds' command-line references."""

METADATA: Final[dict[str, str]] = {
    "aws": "http://169.254.169.254",
    "gcp": "http://metadata.google.internal",
    "azure": "http://169.254.169.254",
}
ANNOUNCED: Final[dict[str, str]] = {
    "aws": """token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \\
    "$SKERRY_METADATA/latest/api/token") && curl -sf -m 2 -o /dev/null \\
    -H "X-aws-ec2-metadata-token: $token" "$SKERRY_METADATA/latest/meta-data/spot/instance-action\"""",
    "gcp": """curl -sf -m 2 -H 'Metadata-Flavor: Google' \\
    "$SKERRY_METADATA/computeMetadata/v1/instance/preempted" | grep -q TRUE""",
    "azure": """curl -sf -m 2 -H 'Metadata: true' "$SKERRY_METADATA/metadata/scheduledevents?api-version=2020-07-01" \\
    | grep -Eq '"EventType": *"(Preempt|Terminate)"'""",
}
"""How a machine asks whether it is taken away; success means that it is.

Source: EC2 User Guide, "Spot Instance interruption notices"; Compute Engine documentation, "Preemption process"; Azure
documentation, "Scheduled Events for Linux VMs".
"""
NOTICE_S: Final[dict[str, int]] = {"aws": 110, "gcp": 25, "azure": 25}
"""How long replicas have to move: the clouds' notices, less what passes before one is read."""
FIND_NODE: Final = """\
import json, os, sys, urllib.request
ask = urllib.request.Request(sys.argv[1] + "/api/v0/nodes?limit=10000")
ask.add_header("Authorization", "Bearer " + open(os.environ["RAY_AUTH_TOKEN_PATH"]).read().strip())
directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
nodes = json.load(directly.open(ask, timeout=5))["data"]["result"]["result"]
mine = [n for n in nodes if n["labels"].get("instance") == os.environ["SKERRY_INSTANCE"] and n["state"] == "ALIVE"]
print(mine[0]["node_id"])
"""
WATCH: Final = """announced() {{ {announced}; }}
leave() {{
  node=$(python3 -c {find} {dashboard}) && "$SKERRY_RAY" drain-node --address {gcs} --node-id "$node" \\
    --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'its metadata service says that it is taken away' \\
    --deadline-remaining-seconds {seconds}
}}
watch() {{ until announced; do sleep 5; done; until leave; do sleep 2; done; }}
: "${{SKERRY_METADATA:={metadata}}}"
watch &
watcher=$!
"""

SCRIPT: Final = """#!/bin/bash
# Starts this machine's part of a Skerry cell, and starts it again whenever it ends.
set -u
umask 077
export SKERRY_REGION={region}
export SKERRY_INSTANCE={instance}
: "${{SKERRY_RAY:=ray}}" "${{SKERRY_RAY_ARGS:=}}" "${{SKERRY_SECRET:=skerry-ray-token}}"
: "${{SKERRY_NODE_ADDRESS:=$(hostname -I 2>/dev/null | cut -d' ' -f1)}}"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_TOKEN_PATH="${{RAY_AUTH_TOKEN_PATH:-/run/skerry/ray-token}}"
until [ -s "$RAY_AUTH_TOKEN_PATH" ]; do
  mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
  {{ {fetch}; }} > "$RAY_AUTH_TOKEN_PATH" || sleep 5
done
child= watcher=
{watch}stop() {{
  trap - TERM INT
  [ -n "$watcher" ] && kill "$watcher" 2>/dev/null
  [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
  exit 0
}}
trap stop TERM INT
while true; do
  # shellcheck disable=SC2086  the arguments are several words on purpose
  "$SKERRY_RAY" start --block --disable-usage-stats --node-ip-address "$SKERRY_NODE_ADDRESS" \\
    {role} --resources {resources} --labels {labels} $SKERRY_RAY_ARGS &
  child=$!
  wait "$child"
  sleep 5
done
"""


def startup_script(launch: Launch) -> str:
    """Return the script that makes a machine the head or a worker of its cell."""
    cell = launch.cell
    if launch.role is Role.HEAD:
        role = (
            f'--head --port {cell.gcs_port} --dashboard-host "$SKERRY_NODE_ADDRESS" '
            f"--dashboard-port {cell.dashboard_port} --num-gpus 0"
        )
    else:
        role = f"--address {shlex.quote(f'{cell.head_address}:{cell.gcs_port}')}"
    labels = ",".join(
        (
            f"instance={launch.instance_id}",
            f"region={launch.key.region.replace('/', '.')}",
            f"market={launch.key.market}",
            f"role={launch.role}",
        )
    )
    return SCRIPT.format(
        region=shlex.quote(launch.key.region),
        instance=shlex.quote(launch.instance_id),
        fetch=FETCH.get(launch.key.provider, "false"),
        role=role,
        resources=shlex.quote(_resources(launch.machine)),
        labels=shlex.quote(labels),
        watch=_watch(launch),
    )


def _watch(launch: Launch) -> str:
    """Return the part that listens to the metadata service; nothing for heads, and where there is no such service."""
    provider, cell = launch.key.provider, launch.cell
    if launch.role is Role.HEAD or provider not in ANNOUNCED:
        return ""
    return WATCH.format(
        announced=ANNOUNCED[provider],
        find=shlex.quote(FIND_NODE),
        dashboard=shlex.quote(f"http://{cell.head_address}:{cell.dashboard_port}"),
        gcs=shlex.quote(f"{cell.head_address}:{cell.gcs_port}"),
        seconds=NOTICE_S[provider],
        metadata=METADATA[provider],
    )


def _resources(machine: Machine) -> str:
    """Return the GPU model as Ray resources, under its name and the shorter ones that also mean it."""
    if machine.gpu is None:
        return "{}"
    names = {machine.gpu, machine.gpu.partition("-")[0]}
    return "{" + ", ".join(f'"{gpu_resource(name)}": 1' for name in sorted(names)) + "}"

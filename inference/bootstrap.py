"""The start-up script of a cell's head and of its workers. Pure.

It is the same on a real machine and in the embedded clouds. What differs stands in the environment: the
image (or the host) provides `ray`, and may set any of the names below. No secret stands in the script: the
token comes from the file named by RAY_AUTH_TOKEN_PATH, fetched from the cloud's own secret store with the
machine's identity where it is not there yet.

    SKERRY_RAY            the `ray` command; `ray`
    SKERRY_NODE_ADDRESS   address of this machine; its first private one
    SKERRY_RAY_ARGS       further arguments, such as pretended GPUs
    SKERRY_SECRET         name of the token in the secret store; `skerry-ray-token`
"""

import shlex
from typing import Final

from inference.config import gpu_resource
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
child=
stop() {{ trap - TERM INT; [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"; exit 0; }}
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
    )


def _resources(machine: Machine) -> str:
    """Return the GPU model as Ray resources, under its name and the shorter ones that also mean it."""
    if machine.gpu is None:
        return "{}"
    names = {machine.gpu, machine.gpu.partition("-")[0]}
    return "{" + ", ".join(f'"{gpu_resource(name)}": 1' for name in sorted(names)) + "}"

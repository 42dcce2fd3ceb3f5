"""The start-up script of a cell's head and of its workers. Pure.

It is the same on a real machine and in the embedded clouds. The cloud's own fragments come as a value, the
`BootProfile`. The image (or the host) provides `ray`, and may set any of the variables below. The script holds no
secret: it reads the token from the file named by RAY_AUTH_TOKEN_PATH, and fetches it from the cloud's secret store with
the machine's identity where the file is empty.

    SKERRY_RAY            the `ray` command; `ray`
    SKERRY_NODE_ADDRESS   address of this machine; its first private one
    SKERRY_RAY_ARGS       further arguments, such as pretended GPUs
    SKERRY_SECRET         name of the token in the secret store; `skerry-ray-token`
    SKERRY_METADATA       address of the machine's metadata service; its cloud's own

A worker also polls its metadata service, every five seconds. Once that announces that the machine is taken back, the
machine drains its own Ray node without help: its replicas move, and the cell's status shows the node as leaving.
"""

import shlex
from typing import Final

from inference.ray.config import gpu_resource
from state.model.boot import BootProfile, ReclaimWatch
from state.model.catalog import Machine
from state.model.inventory import Role
from state.model.plan import Launch

FIND_NODE: Final = """\
import json, os, sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/api/v0/nodes?limit=10000")
request.add_header("Authorization", "Bearer " + open(os.environ["RAY_AUTH_TOKEN_PATH"]).read().strip())
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
nodes = json.load(direct.open(request, timeout=5))["data"]["result"]["result"]
own = [n for n in nodes if n["labels"].get("instance") == os.environ["SKERRY_INSTANCE"] and n["state"] == "ALIVE"]
print(own[0]["node_id"])
"""
WATCH: Final = """reclaimed() {{ {check}; }}
leave() {{
  node=$(python3 -c {find} {dashboard}) && "$SKERRY_RAY" drain-node --address {gcs} --node-id "$node" \\
    --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'its metadata service announces a reclaim' \\
    --deadline-remaining-seconds {seconds}
}}
watch() {{ until reclaimed; do sleep 5; done; until leave; do sleep 2; done; }}
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


def startup_script(launch: Launch, boot: BootProfile) -> str:
    """Return the script that makes a machine the head or a worker of its cell.

    Args:
        launch: The machine, its role and its cell.
        boot: The fragments of its cloud.
    """
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
        fetch=boot.fetch,
        role=role,
        resources=shlex.quote(_resources(launch.machine)),
        labels=shlex.quote(labels),
        watch=_watch(launch, boot.reclaim),
    )


def _watch(launch: Launch, reclaim: ReclaimWatch | None) -> str:
    """Return the part that polls the metadata service; nothing for heads, and for clouds without such a service."""
    if launch.role is Role.HEAD or reclaim is None:
        return ""
    cell = launch.cell
    return WATCH.format(
        check=reclaim.check,
        find=shlex.quote(FIND_NODE),
        dashboard=shlex.quote(f"http://{cell.head_address}:{cell.dashboard_port}"),
        gcs=shlex.quote(f"{cell.head_address}:{cell.gcs_port}"),
        seconds=reclaim.notice_seconds,
        metadata=reclaim.metadata_url,
    )


def _resources(machine: Machine) -> str:
    """Return the GPU model as Ray resources, under its name and the shorter ones that also mean it."""
    if machine.gpu is None:
        return "{}"
    names = {machine.gpu, machine.gpu.partition("-")[0]}
    return "{" + ", ".join(f'"{gpu_resource(name)}": 1' for name in sorted(names)) + "}"

"""A routing table as HAProxy configuration, and HAProxy's counters as values. Pure.

HAProxy checks every proxy itself and sends a request that met a dead one elsewhere, so a lost cell leaves the rotation
without a decision of ours. Source: HAProxy 2.8 configuration manual.
"""

import csv
import hashlib
from collections.abc import Iterator
from io import StringIO
from typing import Final

from inference.gateway.base import BackendCounters, GatewayCounters
from state.model.ids import ApplicationName, RegionId
from state.model.serving import ApplicationRoute, RoutingTable

BACKEND: Final = "app_"
"""What the names of applications' backends begin with."""

TEMPLATE: Final = """# Written by Skerry; changes are overwritten.
global
    # As many connections as the system's limit on files allows, up to about half of this.
    fd-hard-limit 40000
    # A request is sent again only if it fits the buffer, and prompts are long.
    tune.bufsize 65536
    # A process whose table was replaced may finish its answers, which stream for minutes.
    hard-stop-after 15m
    stats socket {folder}/stats.sock mode 600 level admin
    log stdout format raw local0 warning

defaults
    mode http
    timeout connect 2s
    timeout client 300s
    timeout server 300s
    timeout queue 30s
    timeout check 2s
    timeout http-keep-alive 30s
    # A replaced process answers once more on an idle connection, and then closes it.
    option idle-close-on-response
    option redispatch 1
    retries 3
    # Inference has no side effects, so a request that a dying cell swallowed may be sent again.
    retry-on conn-failure empty-response response-timeout 503
    default-server check inter 1s fastinter 300ms downinter 1s fall 2 rise 2
    # A cell that is only being drained finishes its answers; one that is cut off is noticed by keep-alive probes.
    option srvtcpka
    srvtcpka-idle 5s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3

frontend gateway
    bind {listen}
    option http-buffer-request
    http-request return status 200 content-type text/plain string ok if {{ path /-/healthz }}
{rules}
    default_backend none

backend none
    http-request return status 404 content-type text/plain string "no application has this path"
{backends}"""


def server_name(region: str, address: str) -> str:
    """Return a name that HAProxy takes, the same for the same proxy in every table."""
    return f"{region.replace('/', '.')}_{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def region_of_server(name: str) -> RegionId:
    """Return the region that a server's name was made from."""
    return RegionId(name.rpartition("_")[0].replace(".", "/", 1))


def backend_name(application: ApplicationName) -> str:
    """Return the name of an application's backend in HAProxy."""
    return f"{BACKEND}{application}"


def read_counters(text: str) -> GatewayCounters:
    """Return what HAProxy's answer to `show stat` counts.

    Source: HAProxy 2.8 management manual, "CSV format": wretr and wredis are retries and redispatches, stot sessions.
    """
    rows = [row for row in csv.DictReader(StringIO(text.removeprefix("# "))) if row["pxname"].startswith(BACKEND)]
    return GatewayCounters(
        backends=tuple(
            BackendCounters(
                application=ApplicationName(row["pxname"].removeprefix(BACKEND)),
                region=region_of_server(row["svname"]),
                is_up=row["status"].startswith("UP"),
                requests=int(row["stot"] or 0),
            )
            for row in rows
            if row["svname"] != "BACKEND"
        ),
        retries=sum(int(row["wretr"] or 0) + int(row["wredis"] or 0) for row in rows if row["svname"] == "BACKEND"),
    )


def render(table: RoutingTable, listen: str, folder: str) -> str:
    """Return the configuration that routes by *table*."""
    # The longest prefix first, so that /chat/v2 is not taken for /chat.
    routes = sorted(table.routes, key=lambda route: (-len(route.prefix), route.application))
    rules = "\n".join(f"    use_backend {backend_name(route.application)} if {_condition(route)}" for route in routes)
    backends = "".join("\n" + "\n".join(_backend(route)) + "\n" for route in routes)
    return TEMPLATE.format(folder=folder, listen=listen, rules=rules, backends=backends)


def _condition(route: ApplicationRoute) -> str:
    prefix = route.prefix.rstrip("/")
    return f"{{ path {prefix} }} || {{ path_beg {prefix}/ }}" if prefix else "{ path_beg / }"


def _backend(route: ApplicationRoute) -> Iterator[str]:
    yield f"backend {backend_name(route.application)}"
    yield "    balance random(2)"
    yield "    option httpchk GET /-/healthz"
    yield "    http-check expect status 200"
    for backend in route.backends:
        name = server_name(backend.region, backend.address)
        yield f"    server {name} {backend.address} weight {backend.weight}"
        yield f"    http-response set-header x-skerry-region {backend.region} if {{ srv_name {name} }}"

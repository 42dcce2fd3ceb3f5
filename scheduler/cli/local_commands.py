"""The `local` commands: up, down, status."""

import sys
from pathlib import Path
from typing import Any

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.cli.render import progress
from scheduler.documents.settings_file import load_settings, settings_file
from scheduler.embedded.demo import EXAMPLE
from scheduler.embedded.local import Control, Local, LocalError


def up(apps: tuple[Path, ...], output: Output) -> None:
    """Start the embedded clouds."""
    local = Local()
    try:
        settings = local.up(apps or (EXAMPLE.parent,), progress=lambda step: say(progress.local(step)))
    except LocalError as error:
        local.down()
        raise fail(Exit.NOT_NOW, str(error)) from error
    except OSError:
        local.down()
        raise
    started = {"settings": str(settings_file()), "gateway": settings.gateway.listen, "regions": sorted(settings.cells)}
    if output is Output.JSON:
        answer_json(started)
    else:
        sys.stdout.write(f"Embedded clouds started: {', '.join(started['regions'])}\n")
        sys.stdout.write(f"Gateway: http://{settings.gateway.listen}. Stop everything with `skerry local down`.\n")


def down(output: Output) -> None:
    """End the embedded clouds."""
    left = Local().down(progress=lambda step: say(progress.local(step)))
    if output is Output.JSON:
        answer_json({"sessions_left": list(left)})
    if left:
        sessions = ", ".join(map(str, left))
        raise fail(Exit.FAILED, f"{len(left)} process sessions did not end: {sessions}; run `skerry local down` again")
    if output is Output.TEXT:
        sys.stdout.write("Embedded clouds stopped; no process is left.\n")


def status(output: Output) -> None:
    """Print whether the embedded clouds run, their machines, and their outages."""
    local = Local()
    settings = load_settings()
    running = bool(local.log.sessions()) and settings.embedded is not None
    shown: dict[str, Any] = {"running": running, "processes": local.processes(), "machines": []}
    shown |= {"unreachable": [], "failed_zones": []}
    if running and settings.embedded is not None:
        shown |= Control(settings.embedded).status()
    if output is Output.JSON:
        answer_json(shown)
        return
    sys.stdout.write(f"{'running' if running else 'not running'}, {shown['processes']} processes\n")
    for machine in shown["machines"]:
        where = f"{machine['region']}/{machine['zone']}"
        sys.stdout.write(f"{machine['name']}  {where}  {machine['type']}  {machine['address']}\n")
    for region in shown["unreachable"]:
        sys.stdout.write(f"region {region}: unreachable\n")
    for zone in shown["failed_zones"]:
        sys.stdout.write(f"zone {zone}: failed\n")

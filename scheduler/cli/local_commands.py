"""local up, down, status."""

import sys
from pathlib import Path
from typing import Any

from scheduler.cli.exits import Exit, Output, answer_json, fail, say
from scheduler.documents.settings_file import load_settings, settings_file
from scheduler.embedded.demo import EXAMPLE
from scheduler.embedded.local import Control, Local, LocalError


def up(apps: tuple[Path, ...], output: Output) -> None:
    """Start the embedded clouds."""
    local = Local()
    try:
        settings = local.up(apps or (EXAMPLE.parent,), progress=say)
    except LocalError as error:
        local.down()
        raise fail(Exit.NOT_NOW, str(error)) from error
    facts = {"settings": str(settings_file()), "gateway": settings.gateway.listen, "regions": sorted(settings.cells)}
    if output is Output.JSON:
        answer_json(facts)
    else:
        sys.stdout.write(f"The embedded clouds run: {', '.join(facts['regions'])}.\n")
        sys.stdout.write(f"Requests go to http://{settings.gateway.listen}. `skerry local down` ends everything.\n")


def down(output: Output) -> None:
    """End the embedded clouds."""
    left = Local().down(progress=say)
    if output is Output.JSON:
        answer_json({"sessions_left": list(left)})
    if left:
        raise fail(Exit.FAILED, f"{len(left)} process sessions would not end: {', '.join(map(str, left))}")
    if output is Output.TEXT:
        sys.stdout.write("Nothing is left running.\n")


def status(output: Output) -> None:
    """Show whether the embedded clouds run."""
    local = Local()
    settings = load_settings()
    running = bool(local.log.sessions()) and settings.embedded is not None
    facts: dict[str, Any] = {"running": running, "processes": local.processes(), "machines": [], "silent": []}
    if running and settings.embedded is not None:
        facts |= Control(settings.embedded).status()
    if output is Output.JSON:
        answer_json(facts)
        return
    sys.stdout.write(f"{'running' if running else 'not running'}, {facts['processes']} processes\n")
    for machine in facts["machines"]:
        where = f"{machine['region']}/{machine['zone']}"
        sys.stdout.write(f"{machine['name']}  {where}  {machine['type']}  {machine['address']}\n")
    for region in facts["silent"]:
        sys.stdout.write(f"{region} is lost\n")

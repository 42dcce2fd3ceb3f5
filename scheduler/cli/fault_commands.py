"""The `local fault` commands: inject faults into the embedded clouds."""

import json
import sys
from collections.abc import Callable
from typing import Any

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.documents.settings_file import load_settings
from scheduler.embedded.local import Control, LocalError


def inject(action: str, body: dict[str, Any], output: Output) -> None:
    """Send an action to the control API, and print its response."""
    _show(_call(lambda control: control.inject(action, body)), output)


def list_faults(output: Output) -> None:
    """Print the faults in force."""
    response = _call(Control.faults)
    if output is Output.JSON:
        answer_json(response)
        return
    for rule in response["faults"]:
        fields = ", ".join(f"{name} {value}" for name, value in rule.items() if value not in {None, "", 0})
        sys.stdout.write(f"{fields}\n")
    rest = {name: value for name, value in response.items() if name != "faults" and value}
    sys.stdout.write(f"{len(response['faults'])} faults in force; {json.dumps(rest)}\n")


def clear(output: Output) -> None:
    """Remove all faults, and print their number."""
    _show(_call(Control.clear_faults), output)


def _call(request: Callable[[Control], dict[str, Any]]) -> dict[str, Any]:
    settings = load_settings()
    if settings.embedded is None:
        raise fail(Exit.NOT_NOW, "faults need the embedded clouds: start them with `skerry local up`")
    try:
        return request(Control(settings.embedded))
    except LocalError as error:
        raise fail(Exit.BAD_INPUT, str(error)) from error


def _show(response: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        answer_json(response)
        return
    sys.stdout.write(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in response.items()) + "\n")

"""The `local fault` commands: inject faults into the embedded clouds."""

import sys
from collections.abc import Callable
from typing import Any, Final

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import words
from scheduler.documents.settings_file import load_settings
from scheduler.embedded.local import Control, LocalError

LISTS: Final = ("lag_seconds", "page", "duplicates")
"""Faults of the lists of machines, in the response of the control API."""


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
        sys.stdout.write(f"{named_values(rule)}\n")
    lists = named_values({name: response.get(name) for name in LISTS})
    sys.stdout.write(f"{words.counted(len(response['faults']), 'fault')} of calls in force\n")
    sys.stdout.write(f"lists: {lists or 'as usual'}\n")
    sys.stdout.write(f"next boots: {named_values(response['boots']) or 'as usual'}\n")


def named_values(fields: dict[str, Any]) -> str:
    """Return fields in one line, without those that are empty: `kind error, chance 0.5`."""
    shown = {name.replace("_", " "): "yes" if value is True else value for name, value in fields.items() if value}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


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

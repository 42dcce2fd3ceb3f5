"""local fault …: let the embedded clouds go wrong on purpose."""

import json
import sys
from typing import Any

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.documents.settings_file import load_settings
from scheduler.embedded.local import Control, LocalError


def tell(action: str, asked: dict[str, Any], output: Output) -> None:
    """Ask the embedded clouds for something, and show what they say."""
    _show(_call(action, asked), output)


def listed(output: Output) -> None:
    """Show the faults in force."""
    facts = _call("faults", None)
    if output is Output.JSON:
        answer_json(facts)
        return
    for rule in facts["faults"]:
        said = ", ".join(f"{name} {value}" for name, value in rule.items() if value not in {None, "", 0})
        sys.stdout.write(f"{said}\n")
    rest = {name: value for name, value in facts.items() if name != "faults" and value}
    sys.stdout.write(f"{len(facts['faults'])} faults in force; {json.dumps(rest)}\n")


def clear(output: Output) -> None:
    """End all faults."""
    _show(_control().clear(), output)


def _control() -> Control:
    settings = load_settings()
    if settings.embedded is None:
        raise fail(Exit.NOT_NOW, "faults are for the embedded clouds; `skerry local up` starts them")
    return Control(settings.embedded)


def _call(action: str, asked: dict[str, Any] | None) -> dict[str, Any]:
    try:
        return _control().ask(action, asked)
    except LocalError as error:
        raise fail(Exit.BAD_INPUT, str(error)) from error


def _show(facts: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        answer_json(facts)
        return
    sys.stdout.write(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()) + "\n")

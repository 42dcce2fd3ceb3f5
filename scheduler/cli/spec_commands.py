"""The `validate` and `schema` commands, which need no cloud."""

import json
import sys
from pathlib import Path

from scheduler.cli.exits import Output, answer_json, say
from scheduler.cli.render import spec as render
from scheduler.documents.settings_file import load_settings
from scheduler.documents.spec_file import load_fleet
from scheduler.documents.spec_forms import spec_schema


def validate(path: Path, output: Output, *, show: bool = False) -> None:
    """Check a fleet's files, and show the resolved spec where asked for.

    Raises:
        DocumentError: Something is wrong; every problem of all files is named.
    """
    fleet = load_fleet(path, load_settings().own_regions)
    spec = fleet.wanted.spec
    applications = [str(name) for name, _ in spec.named()]
    if output is Output.JSON:
        answer = {"valid": True, "fleet": spec.fleet, "applications": applications}
        answer |= {"warnings": [render.warning_json(warning) for warning in fleet.warnings]}
        answer_json(
            answer | ({"resolved": render.resolved(fleet), "origins": render.origins_json(fleet)} if show else {})
        )
        return
    for warning in fleet.warnings:
        say(render.warning_text(warning))
    if show:
        sys.stdout.write(render.resolved_yaml(fleet))
    else:
        sys.stdout.write(f"{path}: valid; fleet {spec.fleet}, {render.names_text(applications)}\n")


def schema() -> None:
    """Print the JSON Schema."""
    sys.stdout.write(json.dumps(spec_schema(), indent=2, sort_keys=True) + "\n")

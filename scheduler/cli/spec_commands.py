"""validate, schema: what needs no cloud."""

import json
import sys
from pathlib import Path

from scheduler.cli.exits import Output, answer_json
from scheduler.documents.settings_file import load_settings
from scheduler.documents.spec_file import load_wanted
from state.model.spec import CapacitySpec


def validate(path: Path, output: Output) -> None:
    """Check a spec; what is wrong is raised as a DocumentError."""
    wanted = load_wanted(path, load_settings().own_regions)
    applications = [name for name, _ in wanted.spec.named()]
    if output is Output.JSON:
        answer_json({"valid": True, "fleet": wanted.spec.fleet, "applications": applications})
    else:
        sys.stdout.write(f"{path}: valid; fleet {wanted.spec.fleet}, applications {', '.join(applications)}\n")


def spec_schema() -> dict[str, object]:
    """Return the JSON Schema of the capacity spec."""
    schema = CapacitySpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Skerry capacity spec"}


def schema() -> None:
    """Print the JSON Schema."""
    sys.stdout.write(json.dumps(spec_schema(), indent=2, sort_keys=True) + "\n")

"""Files of a fleet, written for a test."""

import json
from pathlib import Path
from typing import Any

import pytest

from scheduler.documents.spec_file import load_fleet
from scheduler.documents.yaml_document import DocumentError
from state.model.catalog import Region

EXAMPLES = Path(__file__).parents[1] / "examples"

FLEET = """apiVersion: skerry/v1
kind: Fleet
name: shop
budget: {max_usd_per_hour: 40}
"""


def serve_config(*names: str) -> str:
    """Return a Serve config with an application of each name, whose deployment is Chat."""
    entries = [
        {"name": n, "route_prefix": f"/{n}", "import_path": "chat_app:app", "deployments": [{"name": "Chat"}]}
        for n in names
    ]
    return json.dumps({"applications": entries})


def application_document(name: str, *lines: str, config: str = "serve.yaml") -> str:
    """Return a document of one application, with more lines at its end."""
    head = f"apiVersion: skerry/v1\nkind: Application\nname: {name}\n"
    body = f"serve: {{config: {config}, application: {name}, deployment: Chat}}\n"
    return head + body + "".join(f"{line}\n" for line in (lines or ("demand: {replicas: 2}", "shapes: [{gpu: L4}]")))


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files by their path below *folder*, and return the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def problems_of(path: Path, own_regions: tuple[Region, ...] = ()) -> list[str]:
    """Return what is wrong with a fleet, its folder left out of the names of files."""
    with pytest.raises(DocumentError) as caught:
        load_fleet(path, own_regions)
    folder = path if path.is_dir() else path.parent
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def as_yaml(value: Any) -> str:
    """Return a value as YAML without anchors."""
    return json.dumps(value, ensure_ascii=False) + "\n"

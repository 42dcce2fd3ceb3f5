"""docs/reference/spec.md, written from the models: `make docs`."""

import sys
from typing import Any, Final

from scheduler.cli.spec_commands import spec_schema

HEAD: Final = """# The capacity spec

Written from the models by `make docs`; `skerry schema` prints the JSON Schema, and `skerry validate FILE`
checks a file and what it refers to. `examples/chat/capacity.yaml` is a whole example.

A spec is one YAML document of at most 64 KiB. Aliases, duplicate keys, tags and unknown fields are refused.
Every problem is named at once, with its line.

Demand, floors and the certificate count in one unit per application: requests per second where the demand is
given so, else replicas. A GPU name means its variants too: `A100` is either memory size, `H100` also the NVL.
"""


def reference() -> str:
    """Return the page."""
    schema = spec_schema()
    definitions: dict[str, Any] = schema["$defs"]  # type: ignore[assignment]
    parts = [HEAD, *_section("CapacitySpec", schema, definitions)]
    for name in _order(schema, definitions):
        parts += _section(name, definitions[name], definitions)
    return "\n".join(parts) + "\n"


def _order(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    """Return the models in the order in which a reader meets them; enumerations stand in the tables."""
    found: list[str] = []

    def visit(part: dict[str, Any]) -> None:
        for field in part.get("properties", {}).values():
            for name in _references(field):
                if name not in found and "properties" in definitions[name]:
                    found.append(name)
                    visit(definitions[name])

    visit(schema)
    return found


def _references(field: Any) -> list[str]:  # noqa: ANN401  JSON Schema
    if isinstance(field, dict):
        own = [field["$ref"].rpartition("/")[2]] if "$ref" in field else []
        return own + [name for value in field.values() for name in _references(value)]
    return [name for item in field for name in _references(item)] if isinstance(field, list) else []


def _section(name: str, part: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    lines = [f"\n## {name}\n", part.get("description", "").splitlines()[0], ""]
    lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for field, facts in part["properties"].items():
        default = "needed" if field in part.get("required", []) else _default(facts)
        meaning = (facts.get("description") or _meaning(facts, definitions)).replace("|", "\\|")
        lines.append(f"| `{field}` | {_type(facts, definitions)} | {default} | {meaning} |")
    return lines


def _default(facts: dict[str, Any]) -> str:
    value = facts.get("default")
    if value is None or value in ([], {}) or isinstance(value, dict):
        return "none" if value is None else "its defaults" if isinstance(value, dict) and value else "empty"
    return f"`{value}`"


def _meaning(facts: dict[str, Any], definitions: dict[str, Any]) -> str:
    names = _references(facts)
    return str(definitions[names[0]].get("description", "")).splitlines()[0] if names else ""


def _type(facts: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "anyOf" in facts:
        return " or ".join(_type(option, definitions) for option in facts["anyOf"] if option.get("type") != "null")
    if "$ref" in facts:
        return _named_type(facts["$ref"].rpartition("/")[2], definitions)
    if facts.get("type") == "array":
        return f"list of {_type(facts['items'], definitions)}"
    if facts.get("type") == "object":
        return f"mapping of names to {_type(facts['additionalProperties'], definitions)}"
    return f"`{facts['const']}`" if "const" in facts else str(facts.get("type", "")) + _bounds(facts)


def _named_type(name: str, definitions: dict[str, Any]) -> str:
    if "enum" in definitions[name]:
        return ", ".join(f"`{value}`" for value in definitions[name]["enum"])
    return f"[{name}](#{name.lower()})"


def _bounds(facts: dict[str, Any]) -> str:
    low, above = facts.get("minimum"), facts.get("exclusiveMinimum")
    high = facts.get("maximum", facts.get("exclusiveMaximum"))
    words = [f"above {above:,.10g}" if above is not None else f"from {low:,.10g}" if low is not None else ""]
    words.append(f"to {high:,.10g}" if high is not None else "")
    text = " ".join(word for word in words if word)
    return f", {text}" if text else ""


if __name__ == "__main__":
    sys.stdout.write(reference())

"""docs/reference/spec.md, written from the models: `make docs`."""

import sys
from typing import Any, Final

from scheduler.documents.spec_forms import HEAD_FIELDS, PARTIAL, spec_schema

HEAD: Final = """# The capacity spec

Written from the models by `make docs`; `skerry schema` prints the JSON Schema, and `skerry validate PATH`
checks a spec and what it refers to. `examples/chat/capacity.yaml` and `examples/fleet/` are whole examples.

A spec describes one fleet. It is a file or a folder, and may be written in two ways:

- one document that names the `fleet` and holds its `applications` ([SingleDocument](#singledocument));
- one document of `kind: Fleet` ([FleetDocument](#fleetdocument)) and any number of `kind: Application`
  ([ApplicationDocument](#applicationdocument)), in one file with `---` between them or in several files.

The two may be mixed: Application documents may stand beside either head.

**Folders.** All `*.yaml` and `*.yml` files of the folder and its subfolders are read; names that begin with a dot are
not, and linked folders are not followed. A document belongs to the spec if its `apiVersion` begins with `skerry/`.
Files without such a document, such as Ray Serve configs, are ignored; `skerry validate` warns of those that no
application refers to. A document without `apiVersion` is refused if its `kind` is Fleet or Application, or if it has
a `fleet`: its author forgot the line.

**Limits.** 8 MiB for all files that hold spec documents together, 10,000 applications, 8 MiB for a Serve config.
Aliases, duplicate keys, tags, nesting over 32 deep and unknown fields are refused. Every problem of all files is named
at once, with its file and line.

**Defaults.** `defaults` of the fleet holds fields of an application. It is merged below each application field by
field: mappings merge, lists and values of the application replace. `null` in an application leaves a default out, so
that the built-in value counts. `skerry validate --show PATH` prints the result, and where each value comes from.

**Paths.** `serve.config` is relative to the file that names it; one that `defaults` names, to the fleet's file.

**GPU names.** A GPU that no cloud sells is refused. Where the settings describe machines of your own, it is a warning,
since they may have it.

Demand, floors and the certificate count in one unit per application: requests per second where the demand is
given so, else replicas. A GPU name means its variants too: `A100` is either memory size, `H100` also the NVL."""


def reference() -> str:
    """Return the page."""
    definitions: dict[str, Any] = spec_schema()["$defs"]
    parts = [HEAD]
    for name in _order(definitions):
        parts += _section(name, definitions[name], definitions)
    return "\n".join(parts) + "\n"


FORMS: Final = ("SingleDocument", "FleetDocument", "ApplicationDocument")


def _order(definitions: dict[str, Any]) -> list[str]:
    """Return the models in the order in which a reader meets them; enumerations stand in the tables."""
    found: list[str] = list(FORMS)

    def visit(part: dict[str, Any]) -> None:
        for field in part.get("properties", {}).values():
            for name in _references(field):
                if name not in found and "properties" in definitions[name]:
                    found.append(name)
                    visit(definitions[name])

    for form in FORMS:
        visit(definitions[form])
    return found


def _references(field: Any) -> list[str]:  # noqa: ANN401  JSON Schema
    if isinstance(field, dict):
        own = [_referenced(field)] if "$ref" in field else []
        return own + [name for value in field.values() for name in _references(value)]
    return [name for item in field for name in _references(item)] if isinstance(field, list) else []


def _referenced(field: dict[str, Any]) -> str:
    """Return the model that a field refers to; one whose fields may all be left out is shown as the whole one."""
    name = str(field["$ref"]).rpartition("/")[2]
    return name.removesuffix(PARTIAL)


def _section(name: str, part: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    lines = [f"\n## {name}\n", part.get("description", "").splitlines()[0], ""]
    lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    shown = HEAD_FIELDS if name == "ApplicationDocument" else tuple(part["properties"])
    for field in shown:
        facts = part["properties"][field]
        default = "needed" if field in part.get("required", []) else _default(facts)
        meaning = (facts.get("description") or _meaning(facts, definitions)).replace("|", "\\|")
        lines.append(f"| `{field}` | {_type(facts, definitions)} | {default} | {meaning} |")
    if len(shown) < len(part["properties"]):
        lines.append("\nBeside them, every field of [Application](#application).")
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
        return _named_type(_referenced(facts), definitions)
    if facts.get("type") == "array":
        return f"list of {_type(facts['items'], definitions)}"
    if facts.get("type") == "object":
        return f"mapping of names to {_type(_values(facts), definitions)}"
    return f"`{facts['const']}`" if "const" in facts else str(facts.get("type", "")) + _bounds(facts)


def _values(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the type of a mapping's values; names with a pattern have theirs beside the pattern."""
    patterned: dict[str, Any] = facts.get("patternProperties", {})
    return next(iter(patterned.values()), facts.get("additionalProperties", {}))


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

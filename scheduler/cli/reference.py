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
given so, else replicas. A GPU name means its variants too: `A100` is either memory size, `H100` also the NVL.

**Figures.** Capacity counts in whole thousandths of that unit. A share is read to a millionth. A least share of a
demand (`survive.share`, `survive_spot_loss`, `on_demand_floor`, `shares.min`, `replacement_credit`) is rounded up to
a whole thousandth. A largest share (`max_share`, `shares.max`) of the capacity is rounded down, and one replica of
the largest shape is allowed on top.

**Order of the rules.** Providers, regions, jurisdictions, latency, markets, stock, quotas, the budget, and one shape
of an application in a region hold always. All else gives way where not everything can be had, the last in this list
first and each as little as needed:

1. demand, of higher priorities first;
2. `survive`, `market.survive_spot_loss` and `market.on_demand_floor`;
3. `regions.floors` and `regions.shares.min`;
4. `regions.min`;
5. `regions.max_share` and `regions.shares.max`.

So no demand goes unserved for the redundancy of another application. An application without any replica misses all
that must remain of it, credit apart. Within a level higher priorities come first,
what is missed counts in replicas of the largest shape, and of an application's rules in a level the worst miss
counts. What is not kept is reported as unmet demand or as a violation, with both figures, what would keep it, and why
that cannot be had: how many offers each cause excludes.

**Fit.** A part of a GPU lies in one GPU. So a machine holds, of a shape with a part, GPUs times the parts that one
GPU holds (one of 0.6, three of 0.3), else its GPUs divided by `count`, rounded down; and no more than its vCPUs and
memory allow. A machine holds replicas of one such number, as many as it says, or replicas of several. Then each takes
a place: the machine is divided into the largest of 1, o, 2o, 4o and so on (1,024 at most) that is not above its
number, where o is the odd part of the machine's number of GPUs. Places divide one another, so whatever adds up fits.
It gives up some mixes: 0.6 and 0.4 of a GPU do not share one, nor 5 and 3 of 8 GPUs. A replica over several machines
has them alone.

**Credit.** After a loss an application counts on `replacement_credit` of its demand at most, and on what must remain.
It counts on on-demand machines that a cloud reports in stock outside the lost domain and that the placement leaves,
each filled with the shape that carries most. Applications with a credit share what is left of each offer evenly,
rounded down to machines."""


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

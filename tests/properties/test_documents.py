"""One fleet has one meaning, however its documents are laid out; any text is a fleet or a DocumentError."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.cli.render.spec import resolved_yaml
from scheduler.documents.assemble import assemble
from scheduler.documents.origins import merge
from scheduler.documents.spec_file import load_fleet, load_wanted
from scheduler.documents.yaml_document import LOADER, DocumentError, Location, parse_document, parse_documents
from tests.fleet_files import as_yaml, serve_config, write

HEAD = {"apiVersion": "skerry/v1", "budget": {"max_usd_per_hour": 100}}
NAMES = ("a", "b-1", "c")

SHARES = st.sampled_from((0, 0.25, 0.5, 1))
TEXTS = st.text("abc-_.: #'\"é", min_size=1, max_size=6).map(lambda text: f"x{text}x").filter(str.isprintable)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "owner": st.sampled_from(("team-a", "b@c", "1/2")),
    "labels": st.dictionaries(
        st.sampled_from(("tier", "a.b/c", "no", "true")), st.sampled_from(("", "1", "no", "gold"))
    ),
    "priority": st.integers(0, 1000),
    "demand": st.sampled_from(({"replicas": 2}, {"replicas": 30})),
    "shapes": st.lists(
        st.fixed_dictionaries({"gpu": st.sampled_from(("L4", "T4", "H100"))}, optional={"cpus": st.integers(0, 64)}),
        min_size=1,
        max_size=2,
    ),
    "market": st.fixed_dictionaries(
        {}, optional={"spot": st.sampled_from(("never", "allowed")), "on_demand_floor": SHARES}
    ),
    "regions": st.fixed_dictionaries(
        {}, optional={"jurisdictions": st.just(["EU"]), "min": st.integers(1, 3), "floors": st.just({"US": 1})}
    ),
    "survive": st.fixed_dictionaries(
        {}, optional={"any": st.sampled_from(("none", "zone")), "replacement_credit": SHARES}
    ),
}
APPLICATION = st.fixed_dictionaries({}, optional=FIELDS)
NEEDED = {"demand": {"replicas": 1}, "shapes": [{"gpu": "L4"}]}


def body(name: str, fields: dict[str, Any], defaults: dict[str, Any], config: str) -> dict[str, Any]:
    needed = {field: value for field, value in NEEDED.items() if field not in defaults}
    return {**needed, **fields, "serve": {"config": config, "application": name, "deployment": "Chat"}}


def document(name: str, content: dict[str, Any]) -> str:
    return as_yaml({"apiVersion": "skerry/v1", "kind": "Application", "name": name, **content})


@given(st.dictionaries(st.sampled_from(NAMES), APPLICATION, min_size=1), APPLICATION, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_fleet_means_the_same_in_one_document_in_several_and_in_a_folder(
    applications: dict[str, dict[str, Any]], defaults: dict[str, Any], random: Any
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), {"one/serve.yaml": serve_config(*NAMES), "folder/serve.yaml": serve_config(*NAMES)})
        inline = {n: body(n, fields, defaults, "serve.yaml") for n, fields in applications.items()}
        head = {**HEAD, "defaults": defaults}
        one = as_yaml({**head, "fleet": "x", "applications": inline})
        fleet = as_yaml({**head, "kind": "Fleet", "name": "x"})
        documents = [fleet, *(document(n, content) for n, content in inline.items())]
        random.shuffle(documents)
        write(root, {"one/one.yaml": one, "one/several.yaml": "---\n".join(documents), "folder/m.yaml": fleet})
        for n, fields in applications.items():
            write(root, {f"folder/{n}/x.yaml": document(n, body(n, fields, defaults, "../serve.yaml"))})

        single = load_fleet(root / "one" / "one.yaml")
        (root / "one" / "shown.yaml").write_text(resolved_yaml(single))

        assert load_wanted(root / "one" / "several.yaml") == single.wanted
        assert load_wanted(root / "folder") == single.wanted
        assert load_wanted(root / "one" / "shown.yaml") == single.wanted


LEAVES = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), LEAVES | inner, max_size=3),
    max_leaves=12,
)


def flat(tree: Any, at: Location = ()) -> dict[Location, Any]:
    if not isinstance(tree, dict):
        return {at: tree}
    return {where: leaf for key, inner in tree.items() for where, leaf in flat(inner, (*at, key)).items()}


def is_at_or_below(location: Location, other: Location) -> bool:
    return location[: len(other)] == other


def mappings(tree: Any, at: Location = ()) -> set[Location]:
    if not isinstance(tree, dict):
        return set()
    return {at}.union(*(mappings(inner, (*at, key)) for key, inner in tree.items()))


@given(TREES, TREES)
@settings(max_examples=500, deadline=None)
def test_a_leaf_is_a_default_exactly_where_the_application_gives_nothing_that_replaces_it(own: Any, base: Any) -> None:
    mine, theirs = flat(own), flat(base)
    expected = {
        location: leaf
        for location, leaf in theirs.items()
        if not any(is_at_or_below(location, other) for other in mine) and location not in mappings(own)
    }
    inherited = set(expected)
    given_by_base = set(theirs) | mappings(base)
    expected |= {at: leaf for at, leaf in mine.items() if leaf is not None or at not in given_by_base}

    documents = [parse_document(json.dumps(tree), "f") for tree in (own, base)]
    content, lines = merge(own, documents[0].lines, base, documents[1].lines)

    assert flat(content) == expected
    assert inherited_leaves(content, lines) == inherited


def inherited_leaves(content: Any, lines: Any, at: Location = ()) -> set[Location]:
    if not isinstance(content, dict):
        return set()
    found: set[Location] = set()
    for key, value in content.items():
        part = lines[1][key]
        if hasattr(part, "lines"):
            found |= set(flat(value, (*at, key)))
        else:
            found |= inherited_leaves(value, part, (*at, key))
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
WORDS = ("apiVersion: skerry/v1", "kind: Fleet", "kind: Application", "name: a", "defaults:", "applications:", "---")
SPECS = st.dictionaries(
    st.sampled_from(("kind", "name", "fleet", "defaults", "applications", "serve", "demand", "labels")),
    JSON | st.sampled_from(("Fleet", "Application", "a")) | st.dictionaries(st.sampled_from(("a", "demand")), JSON),
)


@given(st.lists(SPECS.map(lambda content: {"apiVersion": "skerry/v1", **content}), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_documents_are_a_fleet_or_have_problems(contents: list[dict[str, Any]]) -> None:
    text = "---\n".join(map(as_yaml, contents))
    try:
        documents = parse_documents(text, "f")
    except DocumentError:
        return

    assembly = assemble(documents, "f")

    assert assembly.problems or (assembly.head is not None and assembly.applications)


LINES = st.sampled_from(WORDS) | st.text("ab: -?[]{},&*!|>'\"%@`#~0.\t\\", max_size=12)


@given(st.lists(st.tuples(st.integers(0, 3), LINES), max_size=8))
@settings(max_examples=500, deadline=None)
@example([(0, "? a"), (0, "? b")])
@pytest.mark.parametrize("loader", [yaml.SafeLoader, LOADER])
def test_any_lines_are_documents_or_a_document_error(loader: type[Any], lines: list[tuple[int, str]]) -> None:
    text = "".join(f"{'  ' * depth}{line}\n" for depth, line in lines)
    with suppress(DocumentError):
        assemble(parse_documents(text, "f", loader), "f")


@given(st.lists(JSON, min_size=1, max_size=3), st.booleans(), st.sampled_from((None, '"', "'", "|", ">")))
@settings(max_examples=300, deadline=None)
def test_both_parsers_read_the_same_values_at_the_same_lines(contents: list[Any], flow: Any, style: Any) -> None:
    text = yaml.safe_dump_all(contents, default_flow_style=flow, default_style=style, allow_unicode=True)

    read: list[Any] = []
    for loader in (yaml.SafeLoader, LOADER):
        try:
            read.append(parse_documents(text, "f", loader))
        except DocumentError as error:
            read.append([(problem.line, problem.field) for problem in error.problems])

    assert read[0] == read[1]

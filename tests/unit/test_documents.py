import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scheduler.documents.files import read_document
from scheduler.documents.spec_file import load_wanted
from scheduler.documents.validation import validated
from scheduler.documents.yaml_document import DEPTH_MAX, LOADER, DocumentError, parse_document, parse_documents
from state.model.spec import CapacitySpec

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat" / "capacity.yaml"


def problems(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        validated(parse_document(text, "f.yaml"), CapacitySpec)
    return [str(problem) for problem in caught.value.problems]


def test_names_every_problem_at_once_with_its_line_its_field_and_a_remedy() -> None:
    text = """apiVersion: skerry/v1
fleet: Bad Name
budget: {max_usd_per_hour: -1}
applications:
  chat:
    serve: {config: serve.yaml, application: chat, deployment: Chat}
    demand: {replicas: 2, requests_per_second: 5}
    shapes:
      - {gpu: L4, cout: 1}
    market: {spot: sometimes}
"""

    found = problems(text)

    assert [line.partition(" ")[0] for line in found] == [
        "f.yaml:2:",
        "f.yaml:3:",
        "f.yaml:7:",
        "f.yaml:9:",
        "f.yaml:10:",
    ]
    assert "applications.chat.shapes[0].cout: is not a field of this document; did you mean count?" in found[3]
    assert "exactly one of replicas and requests_per_second" in found[2]
    assert "use one of 'never', 'allowed' or 'preferred'" in found[4]


def test_what_is_missing_is_named_where_it_should_stand() -> None:
    assert "f.yaml:1: fleet: is missing; add it" in problems("apiVersion: skerry/v1\napplications: {}\n")


def test_demand_in_requests_needs_measured_shapes() -> None:
    text = EXAMPLE.read_text().replace("{gpu: T4, requests_per_second: 5}", "{gpu: T4}")

    assert any("shape 1 needs its measured requests_per_second" in line for line in problems(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: is given twice; first in line 1"),
        ("a: &x 1\nb: *x\n", "f.yaml:2: aliases are not allowed"),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "the tag tag:yaml.org,2002:python/object/apply:os.system is not",
        ),
        ("a: !thing 1\n", "the tag !thing is not allowed"),
        ("[" * 2000, "nested over 32 deep"),
        ("? " * 600, "nested over 32 deep"),
        ("a: " + "9" * 5000, "the number has too many digits; write a shorter one"),
        ("a: 1\nb: x\0y\n", "f.yaml:2: has the control character U+0000, which YAML does not allow; remove it"),
        ("a: 1\nb: x\x07y\n", "f.yaml:2: has the control character U+0007, which YAML does not allow; remove it"),
        ("a: 1e999\n", "the number is too large; write a smaller one"),
        ("a: [1, 2\n", "expected ',' or ']'"),
        ("", "is empty"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
        ("? [1, 2]\n: 3\n", "a key must be plain text"),
        ("- a\n", "f.yaml:1: a list is not a mapping; write a mapping, one `name: value` a line"),
    ],
)
def test_refuses_what_is_not_safe_or_not_yaml(text: str, expected: str) -> None:
    assert expected in "\n".join(problems(text))


@pytest.mark.parametrize("loader", [yaml.SafeLoader, LOADER])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("b: 1\na: &x 1\nc: *x\n", 3),
        ("a:\n  !!python/object/apply:os.system ['true']\n", 2),
        ("a: 1\nb: !!str 5\n", 2),
        ("a: !!map {}\n", 1),
        ("a: 1\n!!str b: 1\n", 2),
        ("\n[" * (DEPTH_MAX + 1), DEPTH_MAX + 2),
        ("a: 1\n? {b: *c}\n: 2\n", 2),
        ("? {b: 1,\n   c: *c}\n: 2\n", 2),
        ("a: 1\nb: 1\na: {c: *d}\n", 3),
        ("a: 1\n- b\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: \u0007\n", 1),
    ],
)
def test_both_parsers_refuse_the_same_at_the_same_line(loader: type[Any], text: str, line: int) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_documents(text, "f.yaml", loader)

    assert caught.value.problems[0].line == line


@pytest.mark.parametrize("loader", [yaml.SafeLoader, LOADER])
def test_guesses_nothing_from_looks(loader: type[Any]) -> None:
    text = 'a: 12:30:45\nb: 2026-01-01\nc: "1"\nd: yes\ne: 1.5\nf: ~\ng: \u0661\nh: |\n  1\n1: -2\n"x": 1e3\n'

    [document] = parse_documents(text, "f", loader)

    assert document.content == {
        "a": "12:30:45",
        "b": "2026-01-01",
        "c": "1",
        "d": "yes",
        "e": 1.5,
        "f": None,
        "g": "\u0661",
        "h": "1\n",
        "1": -2,
        "x": 1000.0,
    }
    assert [document.line((key,)) for key in document.content] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]


def test_documents_keep_their_lines_and_empty_ones_are_left_out() -> None:
    text = "---\n# nothing\n---\na: 1\n---\n- b\n- c: 2\n---\n"

    documents = parse_documents(text, "f")

    assert [document.content for document in documents] == [{"a": 1}, ["b", {"c": 2}]]
    assert [documents[0].line(("a",)), documents[1].line((1, "c")), documents[1].line((0, "x"))] == [4, 7, 6]


def test_refuses_a_file_that_is_too_large_or_not_there(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("a: " + "x" * 70_000)

    with pytest.raises(DocumentError, match="65536 at most"):
        read_document(large)
    with pytest.raises(DocumentError, match="No such file"):
        read_document(tmp_path / "none.yaml")


@given(st.text(max_size=300))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_document_or_a_document_error(text: str) -> None:
    with suppress(DocumentError):
        validated(parse_document(text, "f"), CapacitySpec)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda c: st.dictionaries(st.text(max_size=8), c)))
@settings(max_examples=200, deadline=None)
def test_any_json_is_a_document_or_a_document_error(value: object) -> None:
    with suppress(DocumentError):
        validated(parse_document(json.dumps(value), "f"), CapacitySpec)


def spec_with(tmp_path: Path, old: str, new: str) -> Path:
    (tmp_path / "serve.yaml").write_text((EXAMPLE.parent / "serve.yaml").read_text())
    text = EXAMPLE.read_text()
    assert old in text
    path = tmp_path / "capacity.yaml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("config: serve.yaml", "config: none.yaml", "none.yaml is not a file"),
        ("application: chat", "application: talk", "has no application 'talk'; it has chat"),
        ("deployment: Chat", "deployment: Talk", "configures no deployment 'Talk'; it has Chat"),
        ("[US, EU]", "[US, Mars]", "no region is in jurisdiction 'Mars'"),
        ("min: 2", "min: 2\n      floors: {aws/nowhere-1: 1}", "is neither a jurisdiction nor a region"),
        ("fleet: chat", "fleet: chat\nproviders: {deny: [ibm]}", "no provider 'ibm'"),
        ("fleet: chat", "fleet: chat\nregions: {allow: [aws/us-east-9]}", "no region 'aws/us-east-9'"),
    ],
)
def test_what_a_spec_refers_to_must_exist(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_wanted(spec_with(tmp_path, old, new))

    assert expected in str(caught.value)


def test_two_applications_may_not_share_a_prefix(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    chat = text[text.index("  chat:\n") :]
    path = spec_with(tmp_path, "applications:\n", "applications:\n" + chat.replace("  chat:", "  talk:", 1))

    with pytest.raises(DocumentError, match="has the route_prefix /chat of chat"):
        load_wanted(path)


def test_the_example_is_whole() -> None:
    wanted = load_wanted(EXAMPLE)

    assert [name for name, _ in wanted.spec.named()] == ["chat"]
    assert '"import_path":"chat_app:app"' in wanted.serve_application(wanted.spec.named()[0][0])


@pytest.mark.parametrize("name", ["chat\n", "Chat", "-a", "a" * 41, ""])
def test_an_application_needs_a_name_that_every_part_accepts(tmp_path: Path, name: str) -> None:
    content = parse_document(EXAMPLE.read_text(), "f").content
    content["applications"] = {name: content["applications"]["chat"]}
    path = tmp_path / "capacity.yaml"
    path.write_text(json.dumps(content))
    (tmp_path / "serve.yaml").write_text((EXAMPLE.parent / "serve.yaml").read_text())

    with pytest.raises(ValidationError, match="must be lower-case letters"):
        CapacitySpec.model_validate(content)
    with pytest.raises(DocumentError, match="does not look right; use lower-case letters"):
        load_wanted(path)

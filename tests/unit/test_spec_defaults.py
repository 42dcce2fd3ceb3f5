"""Defaults of a fleet: what they give, how they are shown, and whose fault a wrong value is."""

from pathlib import Path

import pytest

from scheduler.cli.render.spec import origins_json, resolved_yaml, warning_json, warning_text
from scheduler.documents.origins import Origin, OriginKind
from scheduler.documents.spec_file import load_fleet, load_wanted
from scheduler.documents.spec_warnings import SpecWarning, WarningKind
from tests.fleet_files import EXAMPLES, FLEET, application_document, problems_of, serve_config, write

DEFAULTS = """defaults:
  owner: platform
  priority: 50
  labels: {tier: gold, environment: production}
  demand: {replicas: 2}
  shapes:
    - {gpu: L4, cpus: 4}
  latency: {max_ms: 50, clients: [{near: aws/us-east-1}]}
"""


def fleet_in(folder: Path, *lines: str, defaults: str = DEFAULTS) -> Path:
    files = {"fleet.yaml": FLEET + defaults, "serve.yaml": serve_config("a")}
    return write(folder, files | {"a.yaml": application_document("a", *(lines or ("labels: {}",)))})


def test_mappings_merge_and_lists_replace(tmp_path: Path) -> None:
    fleet_in(tmp_path, "labels: {tier: silver}", "shapes: [{gpu: T4}]", "latency: {max_ms: 80}")

    [(_, application)] = load_wanted(tmp_path).spec.named()

    assert application.labels == {"tier": "silver", "environment": "production"}
    assert [(shape.gpu, shape.cpus) for shape in application.shapes] == [("T4", 1.0)]
    assert application.latency is not None
    assert (application.latency.max_ms, len(application.latency.clients)) == (80, 1)
    assert (application.owner, application.priority, application.demand.replicas) == ("platform", 50, 2)


def test_null_leaves_a_default_out(tmp_path: Path) -> None:
    fleet_in(
        tmp_path,
        "demand: {replicas: null, requests_per_second: 4}",
        "priority: null",
        "labels: {tier: null}",
        "latency: null",
        "shapes: [{gpu: T4, requests_per_second: 2}]",
    )

    fleet = load_fleet(tmp_path)
    [(_, application)] = fleet.wanted.spec.named()

    assert application.demand.requests_per_second == 4
    assert (application.priority, application.latency) == (100, None)
    assert application.labels == {"environment": "production"}
    assert fleet.origin(("applications", "a", "priority")) == Origin(OriginKind.BUILT_IN)


def test_a_rule_broken_by_a_default_is_explained(tmp_path: Path) -> None:
    fleet_in(tmp_path, "demand: {requests_per_second: 4}", "shapes: [{gpu: T4, requests_per_second: 2}]")

    [problem] = problems_of(tmp_path)
    assert problem.startswith("a.yaml:5: demand: give exactly one of replicas and requests_per_second; ")
    assert problem.endswith("replicas comes from the fleet's defaults: write replicas: null to leave it out")


def test_a_wrong_default_is_named_once_where_it_stands_however_many_inherit_it(tmp_path: Path) -> None:
    wrong = "defaults:\n  priority: high\n  shapes: [{gpu: L44}]\n  market:\n    spott: never\n"
    documents = [FLEET + wrong, *(application_document(name, "demand: {replicas: 1}") for name in "abc")]
    write(tmp_path, {"fleet.yaml": "---\n".join(documents), "serve.yaml": serve_config("a", "b", "c")})

    found = problems_of(tmp_path / "fleet.yaml")

    assert [problem.partition("; ")[0] for problem in found] == [
        "fleet.yaml:6: defaults.priority: 'high' is not a whole number",
        "fleet.yaml:7: defaults.shapes[0].gpu: unknown GPU 'L44'",
        "fleet.yaml:9: defaults.market.spott: is not a field of this document",
    ]


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ("defaults: 5\n", "fleet.yaml:5: defaults: 5 is not a mapping; write a mapping"),
        ("defaults: {name: a}\n", "fleet.yaml:5: defaults.name: is not a field of this document"),
        ("defaults: {priority: 5000}\n", "fleet.yaml:5: defaults.priority: 5000 is too large; write 1000 or less"),
        ("defaults: {shapes: [{gpu: L4, count: 1.5}]}\n", "fleet.yaml:5: defaults.shapes[0].count: 1.5 GPUs: beyond"),
    ],
)
def test_defaults_are_checked_even_where_no_application_inherits_them(
    tmp_path: Path, defaults: str, expected: str
) -> None:
    own = ("demand: {replicas: 1}", "shapes: [{gpu: T4}]", "priority: 1")
    fleet_in(tmp_path, *own, defaults=defaults)

    assert [problem for problem in problems_of(tmp_path) if problem.startswith(expected)]


def test_applications_inside_the_head_inherit_too(tmp_path: Path) -> None:
    inline = "applications:\n  a:\n    serve: {config: serve.yaml, application: a, deployment: Chat}\n"
    single = FLEET.replace("kind: Fleet\nname: shop", "fleet: shop") + DEFAULTS + inline
    write(tmp_path, {"single.yaml": single, "kind.yaml": FLEET + DEFAULTS + inline, "serve.yaml": serve_config("a")})

    assert load_wanted(tmp_path / "single.yaml") == load_wanted(tmp_path / "kind.yaml")
    assert load_wanted(tmp_path / "single.yaml").spec.applications["a"].owner == "platform"


def test_the_resolved_fleet_shows_where_each_value_comes_from(tmp_path: Path) -> None:
    fleet_in(tmp_path, "labels: {tier: silver}")

    text = resolved_yaml(load_fleet(tmp_path)).replace(f"{tmp_path}/", "")

    lines = [line.split() for line in text.splitlines()]
    for line in (
        "fleet: shop # own, fleet.yaml:3",
        "max_usd_per_hour: 40.0 # own, fleet.yaml:4",
        "owner: platform # defaults, fleet.yaml:6",
        "tier: silver # own, a.yaml:5",
        "environment: production # defaults, fleet.yaml:8",
        "config: serve.yaml # own, a.yaml:4",
        "- gpu: L4 # defaults, fleet.yaml:11",
        "count: 1.0 # built-in",
        "- near: aws/us-east-1 # defaults, fleet.yaml:12",
        "spot: never # built-in",
    ):
        assert line.split() in lines, line


def test_the_resolved_fleet_is_a_spec_of_the_same_fleet(tmp_path: Path) -> None:
    fleet = load_fleet(EXAMPLES / "fleet")
    for name in ("assistant", "search"):
        write(tmp_path, {f"{name}/serve.yaml": (EXAMPLES / "fleet" / name / "serve.yaml").read_text()})
    (tmp_path / "resolved.yaml").write_text(resolved_yaml(fleet))

    assert load_wanted(tmp_path / "resolved.yaml") == fleet.wanted


def test_origins_are_listed_by_path_in_json(tmp_path: Path) -> None:
    origins = origins_json(load_fleet(fleet_in(tmp_path)))

    file = str(tmp_path / "fleet.yaml")
    assert origins["applications.a.shapes[0].cpus"] == {"from": "defaults", "file": file, "line": 11}
    assert origins["applications.a.market.spot"] == {"from": "built-in", "file": None, "line": None}


@pytest.mark.parametrize(
    ("warning", "expected"),
    [
        (
            SpecWarning(WarningKind.AUTOSCALING_IGNORED, "s.yaml", 8, "a", "Chat"),
            "s.yaml:8: warning: a: autoscaling of deployment Chat is not used: replica counts come from",
        ),
        (SpecWarning(WarningKind.FILE_IGNORED, "x.yaml", 1), "x.yaml:1: warning: ignored: it holds no document with"),
        (
            SpecWarning(WarningKind.GPU_UNKNOWN, "a.yaml", 7, "a", "L44", ("L4", "L40S")),
            "a.yaml:7: warning: a: no cloud sells the GPU 'L44', so that only your own machines can serve it; did you",
        ),
    ],
)
def test_a_warning_in_words_has_its_place_and_what_to_do(warning: SpecWarning, expected: str) -> None:
    assert warning_text(warning).startswith(expected)
    assert warning_json(warning)["message"] in warning_text(warning)
    assert warning_json(warning)["kind"] == warning.kind.value

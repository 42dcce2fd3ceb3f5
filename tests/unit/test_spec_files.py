"""A fleet in one file, in several documents, and in a folder."""

from pathlib import Path

import jsonschema
import pytest

from scheduler.documents import assemble, serve_files, spec_sources
from scheduler.documents.spec_file import load_fleet, load_wanted
from scheduler.documents.spec_forms import spec_schema
from scheduler.documents.spec_warnings import SpecWarning, WarningKind, autoscaled_deployments
from state.model.catalog import Region
from state.model.ids import RegionId
from state.model.spec import APPLICATIONS_MAX
from tests.fleet_files import EXAMPLES, FLEET, application_document, problems_of, serve_config, write

OWN = (Region(RegionId("static/berlin"), "EU", 52.5, 13.4),)


def test_documents_of_one_file_make_one_fleet(tmp_path: Path) -> None:
    text = "---\n".join([FLEET, application_document("a"), application_document("b", "owner: team-b", *BODY), ""])
    write(tmp_path, {"fleet.yaml": text, "serve.yaml": serve_config("a", "b")})

    spec = load_wanted(tmp_path / "fleet.yaml").spec

    assert spec.fleet == "shop"
    assert {name: application.owner for name, application in spec.named()} == {"a": None, "b": "team-b"}


BODY = ("demand: {replicas: 1}", "shapes: [{gpu: L4}]")


def test_a_folder_is_read_with_its_subfolders_but_nothing_hidden(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "fleet.yml": FLEET,
            "teams/a/app.yaml": application_document("a"),
            "teams/a/serve.yaml": serve_config("a"),
            ".git/app.yaml": application_document("hidden"),
            ".draft.yaml": application_document("draft"),
            "notes.txt": application_document("text"),
        },
    )

    fleet = load_fleet(tmp_path)

    assert list(fleet.wanted.spec.applications) == ["a"]
    assert fleet.warnings == ()


def test_a_serve_config_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "fleet.yaml": FLEET + "defaults: {serve: {config: shared.yaml}}\n",
            "shared.yaml": serve_config("b"),
            "teams/a.yaml": application_document("a"),
            "teams/serve.yaml": serve_config("a"),
            "teams/b.yaml": application_document("b").replace("config: serve.yaml, ", ""),
        },
    )

    spec = load_wanted(tmp_path).spec

    configs = {str(name): application.serve.config for name, application in spec.named()}
    assert configs == {"a": "teams/serve.yaml", "b": "shared.yaml"}


def test_files_that_are_no_spec_are_ignored_with_a_warning_unless_an_application_refers_to_them(tmp_path: Path) -> None:
    foreign = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: x}\n"
    write(
        tmp_path,
        {
            "fleet.yaml": FLEET,
            "a.yaml": application_document("a"),
            "serve.yaml": serve_config("a"),
            "argo.yaml": foreign,
            "compose.yaml": "x: &a 1\ny: *a\n",
        },
    )

    warnings = load_fleet(tmp_path).warnings

    assert [(w.kind, Path(w.file).name) for w in warnings] == [
        (WarningKind.FILE_IGNORED, "argo.yaml"),
        (WarningKind.FILE_IGNORED, "compose.yaml"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (application_document("b").replace("apiVersion: skerry/v1\n", ""), "b.yaml:1: apiVersion: is missing; add it"),
        (
            application_document("b").replace("skerry/v1", "skerry/v2"),
            "b.yaml:1: apiVersion: 'skerry/v2' is not known; write 'skerry/v1'",
        ),
        (application_document("b") + "---\na: 1\n", "b.yaml:8: is not a document of a capacity spec"),
        (application_document("b").replace("kind: A", "kind: a"), "b.yaml:2: kind: 'application' is not known; use"),
        (application_document("b").replace("kind: Application\n", ""), "b.yaml:1: kind: is missing; use Fleet or"),
        (application_document("Bad_Name"), "b.yaml:3: name: 'Bad_Name' does not look right"),
        (
            application_document("b") + "nmae: b\n",
            "b.yaml:7: nmae: is not a field of this document; did you mean name?",
        ),
        (application_document("b") + "owner: [x]\n", "b.yaml:7: owner: a list is not text; write text"),
        (application_document("b") + "labels: {-a: b}\n", "b.yaml:7: labels.-a: '-a' does not look right"),
        (application_document("b") + "labels: {a: b c}\n", "b.yaml:7: labels.a: 'b c' does not look right"),
        (application_document("b") + 'labels: {a: "b\\n"}\n', "b.yaml:7: labels.a: 'b\\n' does not look right"),
        (application_document("b") + f"labels: {{{'x' * 254}/a: b}}\n", "b.yaml:7: labels: the prefix of a label has"),
        (application_document("b") + f"labels: {{a: {'x' * 64}}}\n", "b.yaml:7: labels.a: 'xxx"),
        ("apiVersion: skerry/v1\nkind: *x\n", "b.yaml:2: aliases are not allowed"),
        (FLEET, "b.yaml:1: defines a second fleet; the first is at "),
        (application_document("a"), "b.yaml:3: name: the application 'a' is defined already at a.yaml:3; rename one"),
    ],
)
def test_what_is_wrong_in_one_file_of_many_has_its_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    files = {"a.yaml": application_document("a"), "b.yaml": text, "serve.yaml": serve_config("a", "b")}
    write(tmp_path, files | {"a-fleet.yaml": FLEET})

    assert [problem for problem in problems_of(tmp_path) if problem.startswith(expected)]


def test_labels_of_kubernetes_are_labels(tmp_path: Path) -> None:
    labels = 'labels: {app.kubernetes.io/name: x, a.b_c-D: "", tier: 1a.b-c_D}'
    write(
        tmp_path, {"f.yaml": FLEET, "a.yaml": application_document("a", labels, *BODY), "serve.yaml": serve_config("a")}
    )

    [(_, application)] = load_wanted(tmp_path).spec.named()

    assert application.labels == {"app.kubernetes.io/name": "x", "a.b_c-D": "", "tier": "1a.b-c_D"}


def test_every_problem_of_every_file_is_named_at_once_by_file_and_line(tmp_path: Path) -> None:
    serve = '{"applications": [{"name": "d"}]}'
    write(
        tmp_path,
        {
            "fleet.yaml": FLEET + "providers: {allow: [ibm]}\ndefaults: {priority: 9999}\n",
            "a.yaml": application_document("a", "demand: {replicas: 0}", "shapes: [{gpu: L4}, {gpu: L44}]"),
            "b.yaml": "apiVersion: skerry/v1\nname: [",
            "c.yaml": application_document("c", "demand: {replicas: 1}", "shapes: [{gpu: L4}, {gpu: L44}]"),
            "d.yaml": application_document("d", *BODY, "regions: {floors: {Mars: 1}}", config="d-serve.yaml"),
            "d-serve.yaml": serve,
            "e.yaml": application_document("e", *BODY, "priority: 1"),
        },
    )

    found = problems_of(tmp_path)

    assert [problem.partition(": ")[0] for problem in found] == [
        "a.yaml:4",
        "a.yaml:5",
        "a.yaml:6",
        "b.yaml:3",
        "c.yaml:4",
        "c.yaml:6",
        "d-serve.yaml:1",
        "d.yaml:7",
        "e.yaml:4",
        "fleet.yaml:5",
        "fleet.yaml:6",
    ]


def test_a_mistake_of_an_application_hides_no_wrong_reference_of_it(tmp_path: Path) -> None:
    wrong = (
        "demand: {replicas: 0}",
        "shapes: [{gpu: T44, count: 0}, 3, {gpu: 5}]",
        "regions: {jurisdictions: [Mars, 7], floors: {Mars: x}, min: 0}",
        "latency: {clients: [{near: aws/mars}, {near: Mars}]}",
    )
    head = FLEET.replace("budget", "bugdet") + "regions: {deny: [aws/moon, 5], allow: 3}\nproviders: 1\n"
    serve = "apiVersion: skerry/v1\nkind: Application\nserve: {config: none.yaml}\nname: Bad_\n"
    write(
        tmp_path,
        {
            "fleet.yaml": head,
            "a.yaml": application_document("a", *wrong).replace("deployment: Chat", "deployment: Talk"),
            "b.yaml": serve,
            "serve.yaml": serve_config("a"),
        },
    )

    found = problems_of(tmp_path)

    for expected in (
        "a.yaml:4: serve.deployment: serve.yaml configures no deployment 'Talk'; it has Chat",
        "a.yaml:5: demand.replicas: 0 is too small; write 1 or more",
        "a.yaml:6: shapes[0].gpu: unknown GPU 'T44'; did you mean T4 or T4G?",
        "a.yaml:6: shapes[0].count: 0 is too small; write a number above 0",
        "a.yaml:6: shapes[2].gpu: 5 is not text; write text; quote it if it looks like a number",
        "a.yaml:7: regions.jurisdictions[0]: no region is in jurisdiction 'Mars'; use some of ",
        "a.yaml:7: regions.floors.Mars: 'Mars' is neither a jurisdiction nor a region nor a provider; ",
        "a.yaml:8: latency.clients[0].near: there is no region 'aws/mars'; ",
        "b.yaml:3: serve.config: none.yaml is not a file; ",
        "b.yaml:4: name: 'Bad_' does not look right; ",
        "fleet.yaml:4: bugdet: is not a field of this document; did you mean budget?",
        "fleet.yaml:5: regions.deny[0]: there is no region 'aws/moon'; write provider/region",
    ):
        assert [problem for problem in found if problem.startswith(expected)], expected
    assert len(found) == len({problem.partition("; ")[0] for problem in found})
    assert not [problem for problem in found if "clients[1]" in problem and "there is no region" in problem]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("apiVersion: skerry/v1\nname: [", "did not find expected"),
        (FLEET.replace("Fleet", "fleet") + "defaults: {demand: {replicas: 1}}\n", "fleet.yaml:2: kind: 'fleet' is not"),
        (FLEET + "defaults: 5\n", "fleet.yaml:5: defaults: 5 is not a mapping"),
    ],
)
def test_what_the_defaults_may_give_is_not_reported_as_missing_where_they_cannot_be_read(
    tmp_path: Path, wrong: str, expected: str
) -> None:
    body = ("shapes: [{gpu: L44, count: 0}]",)
    write(tmp_path, {"fleet.yaml": wrong, "a.yaml": application_document("a", *body), "serve.yaml": serve_config("a")})

    found = problems_of(tmp_path)

    assert [problem.partition(": ")[0] for problem in found] == ["a.yaml:5", "a.yaml:5", found[2].partition(": ")[0]]
    assert expected in found[2]


def test_a_kind_or_a_text_that_is_wrong_hides_nothing_of_its_document(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "fleet.yaml": FLEET,
            "a.yaml": application_document("a", *BODY, "priority: !x 5", "owner: a", "owner: b", "weights_gib: -1"),
            "b.yaml": application_document("b", "shapes: [{gpu: L44}]", "demand: 3").replace("kind: A", "kind: a"),
            "serve.yaml": serve_config("a", "b"),
        },
    )

    assert [problem.partition(";")[0] for problem in problems_of(tmp_path)] == [
        "a.yaml:7: priority: the tag !x is not allowed",
        "a.yaml:9: owner: is given twice",
        "a.yaml:10: weights_gib: -1 is too small",
        "b.yaml:2: kind: 'application' is not known",
        "b.yaml:5: shapes[0].gpu: unknown GPU 'L44'",
        "b.yaml:6: demand: 3 is not a mapping",
    ]


def test_a_serve_config_may_configure_every_application_of_the_largest_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"application-{n}" for n in range(APPLICATIONS_MAX)]
    document = application_document(names[-1])
    write(tmp_path, {"f.yaml": FLEET, "a.yaml": document, "serve.yaml": serve_config(*names)})
    assert load_wanted(tmp_path).serve_applications

    write(tmp_path, {"a.yaml": document.replace("application: app", "application: app1")})
    assert problems_of(tmp_path)[0].endswith("; use one of the 10000 that it has")
    monkeypatch.setattr(serve_files, "SERVE_SIZE_MAX", 1000)
    assert "bytes, 1000 at most; split it" in problems_of(tmp_path)[0]


def test_a_fleet_needs_its_head_and_an_application(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": application_document("a"), "serve.yaml": serve_config("a")})
    (tmp_path / "empty").mkdir()
    alone = write(tmp_path / "alone", {"fleet.yaml": FLEET})

    assert problems_of(tmp_path / "a.yaml") == [
        f"{tmp_path}/a.yaml:1: no document is of kind: Fleet; add one with the fleet's name and its budget".replace(
            f"{tmp_path}/", ""
        )
    ]
    assert "no file in this folder is a capacity spec" in problems_of(tmp_path / "empty")[0]
    assert problems_of(alone) == [
        "fleet.yaml:1: applications: the fleet has no application; add one here, or a document of kind: Application"
    ]


def test_the_files_of_a_folder_have_one_limit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.yaml": application_document("a"), "fleet.yaml": FLEET, "serve.yaml": serve_config("a")}
    write(tmp_path, files | {"huge.yaml": "x: " + "y" * 200})
    size = len(files["a.yaml"]) + len(FLEET)
    monkeypatch.setattr(spec_sources, "FLEET_SIZE_MAX", size)
    load_wanted(tmp_path)

    monkeypatch.setattr(spec_sources, "FLEET_SIZE_MAX", size - 1)

    assert f"hold over {size - 1} bytes together; split the fleet" in problems_of(tmp_path)[0]


def test_the_number_of_applications_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [FLEET, application_document("a"), application_document("b")]
    write(tmp_path, {"fleet.yaml": "---\n".join(documents), "serve.yaml": serve_config("a", "b")})
    monkeypatch.setattr(assemble, "APPLICATIONS_MAX", 2)
    load_wanted(tmp_path / "fleet.yaml")

    monkeypatch.setattr(assemble, "APPLICATIONS_MAX", 1)

    assert problems_of(tmp_path / "fleet.yaml") == ["fleet.yaml:1: 2 applications, 1 at most; split the fleet"]


def test_the_schema_asks_of_an_application_what_no_defaults_can_give() -> None:
    application = {"serve": {"config": "s", "application": "a", "deployment": "D"}, "shapes": [{"gpu": "L4"}]}
    single = {"apiVersion": "skerry/v1", "fleet": "x", "budget": {"max_usd_per_hour": 1}}
    single |= {"applications": {"a": application}}
    schema = jsonschema.Draft202012Validator(spec_schema())

    assert [error.message for error in schema.iter_errors(single)] == ["'demand' is a required property"]
    assert schema.is_valid(single | {"defaults": {"demand": {"replicas": 1}}})
    assert schema.is_valid({"apiVersion": "skerry/v1", "kind": "Application", "name": "a", **application})
    assert not schema.is_valid(single | {"kind": "Fleet"})
    assert not schema.is_valid(single | {"kind": "Flete"})


def test_an_unknown_gpu_is_an_error_with_the_names_that_are_near_it(tmp_path: Path) -> None:
    body = ("demand: {replicas: 1}", "shapes:", "  - {gpu: L44}", "  - {gpu: a100}", "  - {gpu: Fancy9000}")
    write(tmp_path, {"f.yaml": FLEET, "a.yaml": application_document("a", *body), "serve.yaml": serve_config("a")})

    found = problems_of(tmp_path)

    assert found[0] == "a.yaml:7: shapes[0].gpu: unknown GPU 'L44'; did you mean L4 or L40S?"
    assert found[1].startswith("a.yaml:9: shapes[2].gpu: unknown GPU 'Fancy9000'; use one of A10, A100-40GB,")
    assert len(found) == 2
    assert [(w.kind, w.line, w.application, w.subject) for w in load_fleet(tmp_path, OWN).warnings] == [
        (WarningKind.GPU_UNKNOWN, 7, "a", "L44"),
        (WarningKind.GPU_UNKNOWN, 9, "a", "Fancy9000"),
    ]


def test_places_of_floors_and_shares_must_exist(tmp_path: Path) -> None:
    rules = "regions: {floors: {aws: 1, EU: 1}, shares: {gcp/us-central1: {max: 0.5}, gcp/nowhere: {max: 0.5}}}"
    write(
        tmp_path, {"f.yaml": FLEET, "a.yaml": application_document("a", *BODY, rules), "serve.yaml": serve_config("a")}
    )

    [problem] = problems_of(tmp_path)

    assert problem.startswith("a.yaml:7: regions.shares.gcp/nowhere: 'gcp/nowhere' is neither a jurisdiction nor")


AUTOSCALED = """applications:
  - name: a
    import_path: x:y
    deployments:
      - name: Router
        autoscaling_config: {max_replicas: 3}
      - name: Chat
        autoscaling_config:
          max_replicas: 5
  - name: b
    route_prefix: /b
    import_path: x:y
    deployments:
      - {name: Chat, num_replicas: auto}
  - name: c
    route_prefix: /c
    import_path: x:y
    deployments:
      - {name: Chat, num_replicas: 2, autoscaling_config: null}
"""


def test_autoscaling_of_a_placed_deployment_is_warned_of_with_its_line(tmp_path: Path) -> None:
    documents = [FLEET, *(application_document(name) for name in "abc")]
    write(tmp_path, {"fleet.yaml": "---\n".join(documents), "serve.yaml": AUTOSCALED})

    fleet = load_fleet(tmp_path / "fleet.yaml")

    file = str(tmp_path / "serve.yaml")
    assert fleet.warnings == (
        SpecWarning(WarningKind.AUTOSCALING_IGNORED, file, 8, "a", "Chat"),
        SpecWarning(WarningKind.AUTOSCALING_IGNORED, file, 14, "b", "Chat"),
    )
    assert fleet.wanted.autoscaling_lines == (("a", 8), ("b", 14))
    found = [autoscaled_deployments(text) for _, text in fleet.wanted.serve_applications]
    assert found == [("Router", "Chat"), ("Chat",), ()]


@pytest.mark.parametrize("deployments", ["5", "null", "[x]", "[{num_replicas: 1}]"])
def test_a_serve_config_whose_deployments_are_no_list_is_refused(tmp_path: Path, deployments: str) -> None:
    serve = f"applications:\n  - name: a\n    import_path: x:y\n    deployments: {deployments}\n"
    write(tmp_path, {"f.yaml": FLEET, "a.yaml": application_document("a"), "serve.yaml": serve})

    assert problems_of(tmp_path) == [
        "serve.yaml:4: applications[0].deployments: must be a list; write `- name: NAME` for each"
    ]


def test_the_example_of_a_folder_is_whole() -> None:
    fleet = load_fleet(EXAMPLES / "fleet")

    owners = {str(name): application.owner for name, application in fleet.wanted.spec.named()}
    assert owners == {"assistant": "team-assistant", "search": "team-search"}
    assert fleet.warnings == ()

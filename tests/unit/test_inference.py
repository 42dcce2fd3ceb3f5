import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.base import Placed
from inference.gateway.config import region_of_server, render, server_name
from inference.ray.bootstrap import startup_script
from inference.ray.cell import read_status
from inference.ray.config import Difference, application_config, canonical, cell_config, difference
from providers.gpus import same_gpu
from providers.registry import CLOUDS
from state.model.boot import BootProfile
from state.model.ids import ApplicationName, InstanceId, ProviderName, RegionId
from state.model.inventory import Role
from state.model.plan import Launch, Serve
from state.model.serving import ApplicationRoute, ApplicationShare, Backend, KeptApplication, RoutingTable
from state.model.settings import CellSettings
from state.model.units import Usd
from tests.builders import a_key, a_machine, a_region, a_spec, application

CELL = CellSettings(a_region(), "10.0.0.1")
ENTRY = {
    "name": "theirs",
    "route_prefix": "/chat",
    "import_path": "chat:app",
    "deployments": [
        {"name": "Ingress", "num_replicas": 3},
        {
            "name": "Chat",
            "autoscaling_config": {"min_replicas": 1},
            "ray_actor_options": {"num_gpus": 9, "resources": {"disk": 1}},
        },
    ],
}


def a_launch(role: Role = Role.WORKER, **changes: object) -> Launch:
    launch = Launch(InstanceId("sk-1"), a_key(), a_machine("A100-80GB", 8), role, Usd.of(1), CELL, None)
    return replace(launch, **changes)  # type: ignore[arg-type]


def a_share(replicas: int = 4) -> ApplicationShare:
    spec = a_spec(chat=application(shapes=[{"gpu": "H100", "count": 2, "cpus": 3, "memory_gib": 10}]))
    app = spec.applications["chat"]
    return ApplicationShare(ApplicationName("chat"), "Chat", json.dumps(ENTRY), app.shapes[0], replicas)


def test_sets_the_placed_deployment_and_leaves_the_rest_as_the_user_wrote_it() -> None:
    config = application_config(a_share())

    assert config["name"] == "chat"
    assert config["deployments"][0] == {"name": "Ingress", "num_replicas": 3}
    assert config["deployments"][1] == {
        "name": "Chat",
        "autoscaling_config": None,
        "num_replicas": 4,
        "ray_actor_options": {
            "num_gpus": 2,
            "num_cpus": 3,
            "memory": 10 * 1024**3,
            "resources": {"disk": 1, "gpu_H100": 0.001},
        },
    }


def test_another_count_changes_the_count_alone() -> None:
    four, five = application_config(a_share(4)), application_config(a_share(5))

    five["deployments"][1]["num_replicas"] = 4
    assert four == five


def test_what_serve_fills_in_is_no_difference_and_counts_restart_nothing() -> None:
    deployed = json.loads(json.dumps(application_config(a_share())))
    deployed["deployments"][1]["ray_actor_options"]["num_gpus"] = 2.0
    deployed["deployments"][1]["max_ongoing_requests"] = 5
    del deployed["deployments"][1]["autoscaling_config"]

    assert difference(a_share(), canonical(deployed)) is Difference.NONE
    assert difference(a_share(5), canonical(deployed)) is Difference.COUNT


def test_other_resources_restart_replicas_and_another_gpu_moves_them() -> None:
    share = a_share()
    more_cpus = replace(share, shape=share.shape.model_copy(update={"cpus": 4}))
    other_gpu = replace(share, shape=share.shape.model_copy(update={"gpu": "A100"}))
    deployed = canonical(application_config(share))

    assert difference(more_cpus, deployed) is Difference.RESTART
    assert difference(other_gpu, deployed) is Difference.MOVE


def test_what_the_code_scales_is_switched_off_too() -> None:
    plain = replace(a_share(), serve_application=json.dumps({"import_path": "chat:app"}))

    [deployment] = application_config(plain)["deployments"]
    assert deployment["autoscaling_config"] is None
    assert deployment["num_replicas"] == 4


def test_a_cells_configuration_is_the_same_whatever_the_order_and_keeps_what_stays() -> None:
    other = replace(a_share(1), application=ApplicationName("other"))
    kept = KeptApplication(ApplicationName("a"), canonical({"name": "a", "import_path": "a:app"}))

    one = cell_config(CELL, Serve(a_region(), (a_share(), other), (kept,)))

    assert one == cell_config(CELL, Serve(a_region(), (other, a_share()), (kept,)))
    document = json.loads(one)
    assert document["proxy_location"] == "EveryNode"
    assert [application["name"] for application in document["applications"]] == ["a", "chat", "other"]
    assert document["applications"][0] == {"name": "a", "import_path": "a:app"}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("provider", sorted(CLOUDS))
def test_start_up_scripts_are_shell_and_hold_no_secret(role: Role, provider: ProviderName, tmp_path: Path) -> None:
    script = tmp_path / "start.sh"
    script.write_text(startup_script(a_launch(role, key=a_key(f"{provider}/somewhere")), CLOUDS[provider].profile.boot))

    assert subprocess.run(["/bin/bash", "-n", str(script)], check=False, capture_output=True).returncode == 0
    text = script.read_text()
    assert "RAY_AUTH_MODE=token" in text
    assert "RAY_AUTH_TOKEN_PATH" in text
    assert "RAY_AUTH_TOKEN=" not in text
    assert len(text) < 16_384, "EC2 takes no more"


@given(st.text(min_size=1, max_size=40).filter(lambda text: "\x00" not in text))
@settings(max_examples=50, deadline=None)
def test_no_name_can_run_anything_in_a_start_up_script(name: str) -> None:
    script = startup_script(a_launch(instance_id=InstanceId(name)), BootProfile())
    assignment = script[script.index("export SKERRY_INSTANCE=") : script.index(': "${SKERRY_RAY:=')]

    shell = subprocess.run(
        ["/bin/bash", "-c", assignment + '\nprintf %s "$SKERRY_INSTANCE"'], capture_output=True, check=True
    )
    assert shell.stdout.decode() == name


def test_workers_join_their_head_and_say_what_they_are() -> None:
    script = startup_script(a_launch(), BootProfile())

    assert "--address 10.0.0.1:6379" in script
    assert '"gpu_A100": 1, "gpu_A100-80GB": 1' in script
    assert "instance=sk-1,region=aws.us-east-1,market=on_demand,role=worker" in script


@pytest.mark.parametrize(
    ("wanted", "offered", "same"),
    [("H100", "H100", True), ("H100", "H100-NVL", True), ("A100-80GB", "A100-40GB", False), ("L4", "L40S", False)],
)
def test_a_gpu_name_means_its_variants_and_nothing_else(wanted: str, offered: str, same: bool) -> None:  # noqa: FBT001
    assert same_gpu(wanted, offered) is same


def a_table(*prefixes: str) -> RoutingTable:
    backends = (Backend(RegionId("aws/us-east-1"), "10.0.0.1:8000", 256),)
    routes = (ApplicationRoute(ApplicationName(p.strip("/") or "root"), p, backends) for p in prefixes)
    return RoutingTable(tuple(routes))


def test_longer_prefixes_are_tried_first_and_end_at_a_slash() -> None:
    config = render(a_table("/", "/chat", "/chat/v2"), "127.0.0.1:80", "/run")
    rules = [line.strip() for line in config.splitlines() if "use_backend" in line]

    assert rules == [
        "use_backend app_chat/v2 if { path /chat/v2 } || { path_beg /chat/v2/ }",
        "use_backend app_chat if { path /chat } || { path_beg /chat/ }",
        "use_backend app_root if { path_beg / }",
    ]


def test_a_server_is_named_after_its_region() -> None:
    assert region_of_server(server_name("aws/us-east-1", "10.0.0.1:8000")) == "aws/us-east-1"


SERVE = {
    "applications": {
        "chat": {
            "status": "RUNNING",
            "message": "",
            "deployed_app_config": {"name": "chat", "deployments": []},
            "deployments": {
                "Chat": {
                    "target_num_replicas": 3,
                    "deployment_config": {"ray_actor_options": {"num_gpus": 1.0}},
                    "replicas": [
                        {"state": "RUNNING", "node_id": "n2"},
                        {"state": "RUNNING", "node_id": "n2"},
                        {"state": "STARTING", "node_id": "n3"},
                    ],
                },
                "Ingress": {"target_num_replicas": 1, "deployment_config": {}, "replicas": []},
            },
        },
        "talk": {"status": "DEPLOYING", "deployed_app_config": None, "deployments": {}},
    },
    "target_groups": [
        {"protocol": "HTTP", "targets": [{"ip": "10.0.0.2", "port": 8000}, {"ip": "10.0.0.1", "port": 8000}]},
        {"protocol": "gRPC", "targets": [{"ip": "10.0.0.1", "port": 9000}]},
    ],
}
NODES = {
    "data": {
        "result": {
            "result": [
                {"state": "ALIVE", "node_id": "n1", "node_ip": "10.0.0.1", "is_head_node": True, "labels": None},
                {
                    "state": "ALIVE",
                    "node_id": "n2",
                    "node_ip": "10.0.0.2",
                    "is_head_node": False,
                    "labels": {"instance": "sk-1"},
                },
                {"state": "DEAD", "node_id": "n3", "node_ip": "10.0.0.3", "is_head_node": False, "labels": {}},
            ]
        }
    }
}


def test_reads_what_ray_reports() -> None:
    status = read_status(a_region(), SERVE, NODES, (Placed("chat", "Chat"),))

    chat = status.application(ApplicationName("chat"))
    assert chat is not None
    assert (chat.replicas_target, chat.replicas_ready) == (3, 2)
    assert [(n.instance_id, n.replicas, n.is_head) for n in status.nodes] == [("", 0, True), ("sk-1", 2, False)]
    assert status.proxies == ("10.0.0.1:8000", "10.0.0.2:8000")


def test_an_empty_answer_while_serve_rebuilds_is_not_zero_replicas() -> None:
    status = read_status(a_region(), SERVE, NODES, ())

    talk = status.application(ApplicationName("talk"))
    assert talk is not None
    assert talk.replicas_target is None


def test_an_application_that_is_not_wanted_any_more_is_counted_by_its_gpus() -> None:
    chat = read_status(a_region(), SERVE, NODES, ()).application(ApplicationName("chat"))

    assert chat is not None
    assert chat.replicas_ready == 2


@pytest.mark.parametrize(
    ("running", "moving", "target", "ready"), [(2, 2, 4, 4), (3, 2, 4, 4), (4, 1, 4, 4), (0, 1, 1, 1), (3, 1, 2, 3)]
)
def test_a_replica_on_a_node_that_is_drained_serves_until_its_replacement_runs(
    running: int, moving: int, target: int, ready: int
) -> None:
    states = ["RUNNING"] * running + ["PENDING_MIGRATION"] * moving + ["STARTING", "STOPPING"]
    found = [{"state": state, "node_id": f"n-{state}"} for state in states]
    deployment = {"target_num_replicas": target, "replicas": found}
    serve = {"applications": {"chat": {"status": "DEPLOYING", "deployments": {"Chat": deployment}}}}
    nodes = [
        {"state": "ALIVE", "node_id": f"n-{state}", "node_ip": "10.0.0.1", "is_head_node": False}
        for state in ("PENDING_MIGRATION", "STARTING")
    ]
    listed = {"data": {"result": {"result": nodes}}}

    status = read_status(a_region(), serve, listed, (Placed("chat", "Chat"),))

    assert [a.replicas_ready for a in status.applications] == [ready]
    assert [n.replicas for n in status.nodes] == [moving, 0], "so the machine is not taken for empty"


def test_canonical_json_is_the_same_for_equal_values() -> None:
    assert canonical({"b": 1, "a": [1.0]}) == '{"a":[1.0],"b":1}'

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from providers.emulator.host import Boot, Host
from providers.processes import SessionLog, end_session, kill_session, members, start_session
from state.clock import SystemClock
from tests.builders import a_region

CLOCK = SystemClock()
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)


def until(condition: object, patience: timedelta = timedelta(seconds=60)) -> bool:
    deadline = CLOCK.now() + patience
    while CLOCK.now() < deadline:
        if condition():  # type: ignore[operator]
            return True
        CLOCK.sleep(timedelta(milliseconds=50))
    return False


def start(tmp_path: Path, code: str) -> subprocess.Popen[bytes]:
    process = start_session([sys.executable, "-c", code], os.environ, tmp_path / "log")
    assert until(lambda: "up" in (tmp_path / "log").read_text())
    return process


def test_a_session_is_found_after_a_crash_of_whoever_started_it_and_ended(tmp_path: Path) -> None:
    process = start(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    SessionLog(tmp_path / "sessions").add(process.pid)

    found = SessionLog(tmp_path / "sessions").sessions()

    assert found == (process.pid,)
    assert end_session(process.pid, timedelta(seconds=5), CLOCK)
    process.wait()
    assert SessionLog(tmp_path / "sessions").sessions() == ()


def test_a_session_that_will_not_end_is_ended_by_force(tmp_path: Path) -> None:
    process = start(tmp_path, STUBBORN)

    assert end_session(process.pid, timedelta(milliseconds=200), CLOCK)
    assert process.wait() == -signal.SIGKILL


def test_children_that_outlive_their_leader_are_found_and_ended(tmp_path: Path) -> None:
    child = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    code = f"import subprocess, sys; subprocess.Popen({child}); print('up', flush=True)"
    process = start(tmp_path, code)
    log = SessionLog(tmp_path / "sessions")
    (tmp_path / "sessions").write_text(json.dumps({"sid": process.pid, "created": CLOCK.now().timestamp(), "boot": 0}))
    process.wait()

    assert log.sessions() == (process.pid,)
    assert kill_session(process.pid, CLOCK)
    assert members(process.pid) == ()


def test_a_process_that_got_an_old_number_is_not_ours(tmp_path: Path) -> None:
    process = start(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    record = {"sid": process.pid, "created": CLOCK.now().timestamp() - 3600, "boot": 0}
    (tmp_path / "sessions").write_text(json.dumps(record) + "\nnot json\n")

    assert SessionLog(tmp_path / "sessions").sessions() == ()
    assert kill_session(process.pid, CLOCK)
    process.wait()


def test_the_host_runs_the_script_with_what_a_machine_would_be_given(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-of-the-cell")
    host = Host(tmp_path / "h", (Path("/apps"),), token, CLOCK)
    variables = '"$SKERRY_NODE_ADDRESS" "$RAY_AUTH_TOKEN_PATH" "$SKERRY_RAY_ARGS" "$PYTHONPATH"'
    script = f'#!/bin/bash\nenv > "$HOME/env"\nprintf "%s|%s|%s|%s" {variables} > "$HOME/out"\nsleep 60\n'
    boot = Boot("sk-00000001", a_region(), script, "127.10.0.7", 4, 8, 16)

    host.boot(boot)
    host.boot(boot)
    out = tmp_path / "h" / "00000001" / "out"
    assert until(lambda: out.exists() and out.read_text().count("|") == 3)

    address, token_path, arguments, path = out.read_text().split("|")
    assert (address, token_path) == ("127.10.0.7", str(token))
    assert "--num-gpus=8" in arguments
    assert "/apps" in path
    assert "secret-of-the-cell" not in (out.parent / "env").read_text()
    host.end(boot.name)
    assert until(lambda: host.has_ended(boot.name))
    host.close()


def test_the_host_loses_a_region_at_once(tmp_path: Path) -> None:
    host = Host(tmp_path / "h", (), tmp_path / "token", CLOCK)
    host.boot(Boot("sk-00000001", a_region(), "sleep 60", "127.10.0.7", 1, 0, 1))
    host.boot(Boot("sk-00000002", a_region("gcp/x"), "sleep 60", "127.11.0.7", 1, 0, 1))

    assert host.kill_region(a_region()) == ("sk-00000001",)
    assert host.has_ended("sk-00000001")
    assert not host.has_ended("sk-00000002")
    host.close()
    assert SessionLog(tmp_path / "h" / "sessions.jsonl").sessions() == ()

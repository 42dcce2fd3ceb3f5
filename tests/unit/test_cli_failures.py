"""What a command reports where files, the database or its own output fail: one line, no traceback, an exit code."""

import os
import socket
import sqlite3
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import typer

from scheduler.cli import session
from scheduler.cli.exits import Exit, errors_as_exits
from scheduler.cli.main import main
from tests.cli_in_process import ROOT, Ran, skerry
from tests.cli_process import EXAMPLE, command, environment
from tests.cli_process import skerry as skerry_process

NOWHERE = "/dev/null/home"
"""No folder can be made there, not even by root."""
PASSWORD = "hunter2"


def is_one_line(ran: Ran) -> bool:
    return ran.err.count("\n") == 1 and ran.err.startswith("skerry: ") and ran.out == ""


def with_database(home: Path, url: str, *arguments: str) -> Ran:
    """Run a command on another database; the settings name it as the environment would."""
    (home / "settings.yaml").write_text(f"database_url: '{url}'\n")
    return skerry(home, *arguments)


def damaged(home: Path, statement: str) -> None:
    """Change a database behind the store's back."""
    assert skerry(home, "events").code == 0
    with sqlite3.connect(home / "skerry.db") as database:
        database.execute(statement)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "is not a URL"),
        (f"mysql://me:{PASSWORD}@db/x", "mysql://me:***@db/x: mysql is not supported"),
        (f"postgresql+other://me:{PASSWORD}@db/x", "the driver postgresql+other is not supported"),
        ("sqlite://", "names no file"),
        ("postgresql://me@db:port/x", "is not a URL"),
    ],
)
def test_a_url_of_no_database_is_bad_input(tmp_path: Path, url: str, problem: str) -> None:
    ran = with_database(tmp_path, url, "events")

    assert (ran.code, is_one_line(ran)) == (2, True), ran
    assert problem in ran.err
    assert "set SKERRY_DATABASE_URL to sqlite:///PATH or postgresql://" in ran.err
    assert PASSWORD not in ran.err


def test_the_url_of_the_environment_is_checked_too(tmp_path: Path) -> None:
    ran = skerry_process(tmp_path, "events", SKERRY_DATABASE_URL="nonsense")

    assert (ran.code, is_one_line(ran)) == (2, True), ran


def test_a_database_that_does_not_answer_is_not_possible_now(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

        ran = with_database(tmp_path, f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/x?application_name=a", "events")

    assert (ran.code, is_one_line(ran)) == (3, True), ran
    assert f"the database postgresql://me:***@127.0.0.1:{port}/x cannot be used" in ran.err
    assert PASSWORD not in ran.err


def test_a_folder_in_place_of_the_database_is_not_possible_now(tmp_path: Path) -> None:
    (tmp_path / "skerry.db").mkdir()

    ran = skerry(tmp_path, "events")

    assert (ran.code, is_one_line(ran)) == (3, True), ran
    assert f"the database {tmp_path}/skerry.db cannot be used: unable to open database file; check" in ran.err


def test_bytes_that_are_no_database_are_reported(tmp_path: Path) -> None:
    (tmp_path / "skerry.db").write_bytes(bytes(range(256)) * 16)

    ran = skerry(tmp_path, "events")

    assert (ran.code, is_one_line(ran)) == (1, True), ran
    assert f"the database {tmp_path}/skerry.db cannot be read: file is not a database; restore it" in ran.err


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        ("INSERT INTO event (at, actor, kind, subject, body) VALUES ('2026-01-01', '', 'tick', '', '{}')", ("events",)),
        ("INSERT INTO event (at, actor, kind, subject, body) VALUES ('x', '', 'spec_applied', '', '{')", ("events",)),
        ("INSERT INTO drill (id, state, started_at, body) VALUES ('d', 'running', '', '{}')", ("drill", "list")),
        ("INSERT INTO snapshot (id, kind, taken_at, body) VALUES ('s', 'acted', '', x'00')", ("snapshot", "show", "s")),
        ("INSERT INTO last_tick (name, at, digest, snapshot, plan) VALUES ('last', '', '', '', '')", ("snapshot",)),
        ("DROP TABLE event", ("events",)),
        ("DELETE FROM alembic_version", ("events",)),
    ],
)
def test_rows_that_cannot_be_read_are_reported(tmp_path: Path, statement: str, arguments: tuple[str, ...]) -> None:
    damaged(tmp_path, statement)
    arguments = ("snapshot", "save", str(tmp_path / "s.json")) if arguments == ("snapshot",) else arguments

    ran = skerry(tmp_path, *arguments)

    assert (ran.code, is_one_line(ran)) == (1, True), ran
    assert f"the database {tmp_path}/skerry.db cannot be read: " in ran.err


def test_a_database_of_a_newer_version_asks_for_an_upgrade(tmp_path: Path) -> None:
    damaged(tmp_path, "UPDATE alembic_version SET version_num = 'later'")

    ran = skerry(tmp_path, "events")

    assert (ran.code, is_one_line(ran)) == (1, True), ran
    assert ran.err.endswith(f"the database {tmp_path}/skerry.db is of a newer version: upgrade Skerry\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("local", "up"),
        ("demo",),
        ("events",),
        ("doctor",),
        ("machines", "serve"),
        ("join", "http://127.0.0.1:9", "--token", "t" * 32),
    ],
)
def test_a_home_that_cannot_be_made_is_bad_input(arguments: tuple[str, ...]) -> None:
    ran = skerry(Path(NOWHERE), *arguments)

    assert ran.code == 2, ran
    last = ran.err.splitlines()[-1]
    assert last.startswith("skerry: /dev/null"), ran
    assert last.endswith("; set SKERRY_HOME to a folder that can be written")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("arguments", [("schema",), ("validate", str(EXAMPLE)), ("--help",)])
def test_an_answer_that_cannot_be_written_is_a_failure(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            command(*arguments),
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (ran.returncode, ran.stderr) == (1, "skerry: cannot write: No space left on device\n")


def test_a_reader_that_has_left_is_no_error_to_report(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        command("schema"), cwd=ROOT, env=environment(tmp_path), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)

    assert ran.stderr == b""


@pytest.mark.parametrize("name", ["spec", "settings", "latencies", "prices", "snapshot"])
def test_a_pipe_in_place_of_a_document_is_refused(tmp_path: Path, name: str) -> None:
    pipe, settings = tmp_path / "pipe", tmp_path / "settings.yaml"
    os.mkfifo(pipe)
    arguments = {
        "spec": ("validate", str(pipe)),
        "settings": ("events",),
        "snapshot": ("plan", "--snapshot", str(pipe)),
    }.get(name, ("status", "--refresh"))
    if name == "settings":
        pipe.rename(settings)
        pipe = settings
    elif name in {"latencies", "prices"}:
        field = "latency_table" if name == "latencies" else "negotiated_prices"
        settings.write_text(f"{field}: {pipe}\ncells: {{aws/us-east-1: {{head_address: 10.0.0.4}}}}\n")

    ran = skerry(tmp_path, *arguments)

    assert (ran.code, ran.err) == (2, f"{pipe}:1: is not a regular file; check the path\n")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("option", ["short", "long"])
def test_a_join_token_that_cannot_be_one_is_refused_without_repeating_it(tmp_path: Path, option: str) -> None:
    token = "x" if option == "short" else PASSWORD * 100

    ran = skerry(tmp_path, "join", "http://127.0.0.1:9", "--token", token)

    assert (ran.code, is_one_line(ran)) == (2, True), ran
    assert "32 to 256 are needed; `skerry machines token` issues one" in ran.err
    assert "pydantic" not in ran.err
    assert PASSWORD not in ran.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--name", "No Name"), "--name: 'No Name' does not look right; use lower-case letters"),
        (("--vcpus", "100000"), "--vcpus: 100000 is too large; write 4096 or less"),
    ],
)
def test_options_of_join_are_reported_by_their_names(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    ran = skerry(tmp_path, "join", "http://127.0.0.1:9", "--token", "t" * 32, *arguments)

    assert "pydantic" not in ran.err
    assert is_one_line(ran), ran
    assert problem in ran.err


class Terminal(StringIO):
    """Standard input of a terminal, at which what `readline` does is what a person does."""

    def __init__(self, error: type[BaseException] | None) -> None:
        super().__init__("")
        self.error = error

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int | None = -1, /) -> str:  # type: ignore[override]
        if self.error is not None:
            raise self.error
        return ""


def ask(error: type[BaseException] | None, asks_names: bool, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: FBT001
    """Ask at a terminal, and return what is shown; what the question raises is left to the caller."""
    monkeypatch.setattr(sys, "stdin", Terminal(error))
    err = StringIO()
    with redirect_stderr(err), errors_as_exits():
        try:
            if asks_names:
                session.confirm_names([("chat", "remove it")], refusal="")
            else:
                session.confirm("Apply these changes?", yes=False)
        except (typer.Exit, KeyboardInterrupt) as ended:
            return f"{type(ended).__name__} {getattr(ended, 'exit_code', '')}: {err.getvalue()}"
    return "answered"


@pytest.mark.parametrize("asks_names", [False, True])
def test_the_end_of_input_at_a_question_changes_nothing(monkeypatch: pytest.MonkeyPatch, *, asks_names: bool) -> None:
    shown = ask(None, asks_names, monkeypatch)

    assert shown.startswith(f"Exit {Exit.FAILED}: ")
    assert shown.endswith("\nskerry: nothing was changed\n")
    assert "Aborted" not in shown


@pytest.mark.parametrize("asks_names", [False, True])
def test_an_interruption_at_a_question_is_one(monkeypatch: pytest.MonkeyPatch, *, asks_names: bool) -> None:
    shown = ask(KeyboardInterrupt, asks_names, monkeypatch)

    assert shown.startswith("KeyboardInterrupt ")
    assert "Aborted" not in shown


class Interrupted(StringIO):
    """Standard output at which a person interrupts the command."""

    def write(self, _text: str, /) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize("arguments", [("schema",), ("validate", str(EXAMPLE))])
def test_an_interrupted_command_reports_that_and_exits_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SKERRY_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["skerry", *arguments])
    err = StringIO()

    with redirect_stdout(Interrupted()), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main()

    assert (ended.value.code, err.getvalue()) == (130, "skerry: interrupted\n")


def test_an_interruption_while_modules_are_loaded_is_reported() -> None:
    interrupting = (
        "import sys\n"
        "from scheduler.cli.start import main\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "main()\n"
    )

    ran = subprocess.run([sys.executable, "-c", interrupting], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (130, "skerry: interrupted\n")

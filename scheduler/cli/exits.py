"""Exit codes, and how errors become them.

0  done
1  failed
2  bad input: the spec, the settings or the arguments are wrong
3  not possible now: no capacity, no daemon, another process at work
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import typer


class Exit(IntEnum):
    """What a command's exit code means."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    NOT_NOW = 3
    INTERRUPTED = 130


class Output(StrEnum):
    """How a command answers on standard output."""

    TEXT = "text"
    JSON = "json"


def say(text: str) -> None:
    """Write a message to standard error, which never mixes with a command's answer."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def answer_json(value: Any) -> None:  # noqa: ANN401  whatever JSON can hold
    """Answer with one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def fail(code: Exit, message: str) -> typer.Exit:
    """Report what is wrong, and return what to raise."""
    say(f"skerry: {message}")
    return typer.Exit(code)


@contextmanager
def errors_as_exits() -> Iterator[None]:
    """Turn the errors that a command may meet into messages and exit codes."""
    from inference.errors import InferenceError
    from scheduler.check import UnsafePlanError
    from scheduler.cli.render import words
    from scheduler.daemon.converge import DeployFailedError
    from scheduler.documents.yaml_document import DocumentError
    from state.store import StoreError

    try:
        yield
    except DocumentError as error:
        for problem in error.problems:
            say(str(problem))
        raise typer.Exit(Exit.BAD_INPUT) from error
    except UnsafePlanError as error:
        broken = "; ".join(words.finding(finding) for finding in error.findings)
        raise fail(Exit.FAILED, f"the plan breaks a rule, so nothing was done: {broken}") from error
    except StoreError as error:
        raise _store_failed(error) from error
    except DeployFailedError as error:
        raise fail(Exit.FAILED, f"{words.deploy_failed(error.blocked)}; what ran before runs on") from error
    except InferenceError as error:
        raise fail(Exit.FAILED, str(error)) from error
    except OSError as error:
        raise _file_failed(error) from error


def _store_failed(error: Exception) -> typer.Exit:
    """Return what to raise for an error of the store; those of the database itself have their remedy."""
    from state.store import StoreUnreachableError, StoreUnreadableError, StoreUrlError

    codes: dict[type[Exception], Exit] = {
        StoreUrlError: Exit.BAD_INPUT,
        StoreUnreadableError: Exit.FAILED,
        StoreUnreachableError: Exit.NOT_NOW,
    }
    code = codes.get(type(error))
    return fail(Exit.NOT_NOW, f"{error}; try again") if code is None else fail(code, str(error))


def _file_failed(error: OSError) -> Exception:
    """Return what to raise for a file or folder that cannot be used; any other error of the system as it is."""
    from scheduler.documents.settings_file import home_folder

    if error.filename is None or isinstance(error, BrokenPipeError):
        return error
    path, home = Path(os.fsdecode(error.filename)).absolute(), home_folder()
    if path.is_relative_to(home) or home.is_relative_to(path):
        remedy = "set SKERRY_HOME to a folder that can be written"
        return fail(Exit.BAD_INPUT, f"{path}: {error.strerror}; {remedy}")
    return fail(Exit.FAILED, f"{path}: {error.strerror}")

"""Exit codes, and how errors become them.

0  done
1  failed
2  bad input: the spec, the settings or the arguments are wrong
3  not possible now: no capacity, no daemon, another process at work
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
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
        raise fail(Exit.NOT_NOW, f"{error}; try again") from error
    except DeployFailedError as error:
        raise fail(Exit.FAILED, f"{words.deploy_failed(error.blocked)}; what ran before runs on") from error
    except InferenceError as error:
        raise fail(Exit.FAILED, str(error)) from error
    except KeyboardInterrupt as error:
        raise fail(Exit.INTERRUPTED, "interrupted") from error

"""Commands of `skerry` for tests: what they answer, and how they exit."""

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from scheduler.cli.main import main

ROOT = Path(__file__).parents[1]


@dataclass
class Ran:
    code: int
    out: str
    err: str

    def json(self) -> object:
        return json.loads(self.out)

    def facts(self) -> dict[str, object]:
        found = self.json()
        assert isinstance(found, dict), self
        return found


def skerry(home: Path, *arguments: str) -> Ran:
    """Run a command in this process: a process of its own would load the clouds' SDKs each time."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("SKERRY_")]:
            patch.delenv(name)
        patch.setenv("SKERRY_HOME", str(home))
        patch.setattr(sys, "argv", ["skerry", *arguments])
        patch.setattr(sys, "stdin", StringIO())
        patch.chdir(ROOT)
        with pytest.raises(SystemExit) as ended:
            main()
    return Ran(int(ended.value.code or 0), out.getvalue(), err.getvalue())

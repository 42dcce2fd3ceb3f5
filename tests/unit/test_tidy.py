"""The limits of style, so that they cannot be argued away."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 60
FILE_LINES = 400
SOURCE = sorted(
    path
    for folder in ("state", "providers", "inference", "scheduler", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_exception_from_the_rules_has_its_code(path: Path) -> None:
    for line in path.read_text().splitlines():
        assert not re.search(r"#\s*noqa\s*$", line), line
        assert not re.search(r"#\s*type:\s*ignore\s*$", line), line


def test_no_module_is_named_after_nothing() -> None:
    names = {path.stem for path in SOURCE}

    assert not names & {"utils", "helpers", "manager", "managers", "common", "misc", "data"}


def tracked() -> list[Path]:
    listed = subprocess.run(
        [shutil.which("git") or "git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so no list has what is part of the project")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def test_nothing_names_a_package_registry() -> None:
    pattern = re.compile(r"--(extra-)?index-url|registry\s*=\s*\"https?://|pypi\.org|registry\.npmjs")
    here = Path(__file__)

    assert [p for p in tracked() if p != here and p.suffix != ".png" and pattern.search(p.read_text())] == []


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["emulator"]]
    dev = (ROOT / "requirements" / "dev.in").read_text().split()
    reasons = (ROOT / "docs" / "reference" / "dependencies.md").read_text()

    names = {re.split(r"[\[><=]", requirement)[0] for requirement in (*wanted, *dev)}
    assert sorted(name for name in names if f"`{name}`" not in reasons) == []

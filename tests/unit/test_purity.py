"""Pure modules decide and render: importing them changes nothing on disk."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PURE: Final = (
    "scheduler/solve",
    "scheduler/explain",
    "scheduler/plan",
    "scheduler/check",
    "scheduler/region_policy.py",
    "scheduler/shortages.py",
    "scheduler/weather.py",
    "scheduler/observe/health.py",
    "scheduler/observe/inventory.py",
    "scheduler/observe/membership.py",
    "scheduler/observe/signals.py",
    "scheduler/observe/untagged.py",
    "scheduler/drills/computed.py",
    "scheduler/cli/render",
    "inference/ray/config.py",
    "inference/ray/bootstrap.py",
    "inference/gateway/config.py",
    "state/model",
    "state/store/rules.py",
    "state/store/observed.py",
)
PROGRAM: Final = """
import importlib
import os
import sys

writes = []
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
           "shutil.copyfile", "shutil.move", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp"}


def hook(event, args):
    if event == "open":
        path, mode, flags = args
        is_write = bool(set(mode or "") & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if is_write and str(path) != os.devnull:
            writes.append(f"open {path}")
    elif event in CHANGES:
        writes.append(f"{event} {args[0]}")


sys.addaudithook(hook)
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join(writes))
"""


def modules() -> list[str]:
    """Every pure module, by its dotted name."""
    files = [f for place in PURE for f in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in sorted(files)]
    return [name.removesuffix(".__init__") for name in names]


def written(*names: str) -> list[str]:
    """What a process writes that imports modules and does nothing else."""
    ran = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, *names], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True,
        check=True, timeout=300,
    )  # fmt: skip
    return ran.stdout.split("\n")[:-1] if ran.stdout.strip() else []


def test_importing_pure_modules_writes_nothing() -> None:
    names = modules()

    assert "scheduler.solve.search.jit" in names and len(names) > 60
    assert written(*names) == []


def test_what_a_module_writes_at_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "impure.py").write_text("import pathlib\npathlib.Path(__file__).with_suffix('.out').write_text('')\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"

    ran = subprocess.run(
        [sys.executable, "-B", "-c", program, "impure"], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.strip() == f"open {tmp_path / 'impure.out'}"

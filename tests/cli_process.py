"""The `skerry` command as a process, in a home of its own."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import yaml

from scheduler.documents.spec_file import load_wanted
from scheduler.embedded.local import ReactionTimes, provider_settings
from scheduler.simulation.world import World
from state.store.sql import SqlStore
from tests.builders import an_offer
from tests.cli_in_process import ROOT, Ran
from tests.conformance.clouds import Clouds, embedded_clouds

EXAMPLE = ROOT / "examples" / "chat" / "capacity.yaml"
TIMEOUT_S = 240


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SKERRY_", "GPUHUNT_"))}
    return kept | {"SKERRY_HOME": str(home)} | more


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "scheduler.cli.main", *arguments]


def skerry(home: Path, *arguments: str, **more: str) -> Ran:
    """Run the command without a terminal; *more* are environment variables."""
    ran = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def at_a_terminal(home: Path, answers: dict[str, str], *arguments: str) -> Ran:
    """Run the command at a terminal, and type each answer once its question is shown; standard error is in `out`."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(home), stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    shown, left = "", dict(answers)
    while select.select([controller], [], [], TIMEOUT_S)[0]:
        try:
            shown += os.read(controller, 4096).decode(errors="replace")
        except OSError:  # the process has closed its end
            break
        for question in [question for question in left if question in shown]:
            os.write(controller, f"{left.pop(question)}\n".encode())
    os.close(controller)
    return Ran(process.wait(TIMEOUT_S), shown, "")


@contextmanager
def embedded_home(folder: Path) -> Iterator[Clouds]:
    """Prepare a home whose clouds answer, and whose machines only pretend to run."""
    with embedded_clouds(folder / "clouds", "sk-any") as clouds:
        scene = tuple(clouds.embedded.backend.regions.values())
        settings = {
            "providers": provider_settings(clouds.addresses, scene, ReactionTimes().cloud_timeout),
            "cells": {region.id: {"head_address": region.head_address} for region in scene},
            "price_catalog": str(ROOT / "providers" / "emulator" / "catalog"),
            "embedded": {
                "control": clouds.addresses["control"],
                "control_token_file": clouds.addresses["control_token_file"],
                "host_folder": str(folder / "host"),
            },
        }
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
        yield clouds


def home_beside(home: Path, folder: Path) -> Path:
    """Return another home with the settings of *home* and a store of its own."""
    folder.mkdir()
    (folder / "settings.yaml").write_text((home / "settings.yaml").read_text())
    return folder


def store_of(home: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{home}/skerry.db")


def simulated_fleet(home: Path) -> World:
    """Run the chat example on simulated clouds until it has converged, with the store of *home*."""
    offers = (an_offer("aws/us-east-1", "0.8"), an_offer("gcp/us-central1", "0.7"), an_offer("azure/eastus", "0.9"))
    world = World(*offers, store=store_of(home))
    world.store.want(load_wanted(EXAMPLE), "test", world.clock.now())
    world.clock.sleep(timedelta(seconds=1))
    world.converge()
    return world


def other_spec(folder: Path, *changes: tuple[str, str]) -> Path:
    """Return a spec file with the chat example, with each text that is given first replaced by the second."""
    folder.mkdir(exist_ok=True)
    (folder / "serve.yaml").write_text((EXAMPLE.parent / "serve.yaml").read_text())
    text = EXAMPLE.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "capacity.yaml").write_text(text)
    return folder / "capacity.yaml"

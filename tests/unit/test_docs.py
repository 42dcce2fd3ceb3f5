"""The documentation: links lead somewhere, commands exist, and figures are those of the code."""

import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core
import yaml

from providers.reservations import LAST_SALE
from scheduler.cli.main import app
from scheduler.documents.settings_file import HealthModel, LimitsModel, Settings
from scheduler.documents.spec_file import load_wanted
from scheduler.shortages import BREAKER_MAX
from state.model.health import HealthThresholds
from state.model.settings import PROOF, TICK, CostModel, Limits, ShortagePolicy, Thresholds
from state.store import SNAPSHOTS_KEPT
from tests.unit.test_tidy import ROOT, tracked

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
END_OF_COMMAND = {"|", ";", "&&", ">", "&", "#", "..."}


def prose_of(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page.read_text())


def links_of(page: Path) -> Iterator[str]:
    for link in LINK.findall(prose_of(page)):
        if not re.match(r"[a-z]+:", link):
            yield link


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def target_of(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


def code_of(page: Path) -> Iterator[str]:
    """Yield each line of a page's code blocks and each piece of inline code, with continued lines joined."""
    for block in FENCE.findall(page.read_text()):
        yield from block.replace("\\\n", " ").splitlines()[1:-1]
    yield from (code.replace("\\|", " ") for code in INLINE.findall(prose_of(page)))


def commands_of(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each `skerry` command line of a page."""
    for code in code_of(page):
        found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*skerry (.+)", code)
        if found is None:
            continue
        words = shlex.split(found[1], comments=True)
        end = next((n for n, word in enumerate(words) if word in END_OF_COMMAND), len(words))
        yield [word.rstrip(";") for word in words[:end]]


def mistake_in(arguments: list[str]) -> str | None:
    """Return what is wrong with a command line, or None."""
    command = typer.main.get_command(app)
    for word in arguments:
        if word.startswith("-"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            if word.partition("=")[0] not in known | {"--help"}:
                return f"{command.name} has no option {word}"
        elif isinstance(command, typer.core.TyperGroup):
            if word not in command.commands:
                return f"{command.name} has no command {word}"
            command = command.commands[word]
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links_of(page):
        target, anchor = target_of(page, link), link.partition("#")[2]
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_line_parses(page: Path) -> None:
    for arguments in commands_of(page):
        assert mistake_in(arguments) is None, shlex.join(arguments)


@pytest.mark.parametrize(
    "line", ["fly", "plan --wings", "local fault fly", "drill region aws/us-east-1 --made simulate"]
)
def test_a_command_line_that_does_not_exist_is_found(line: str) -> None:
    assert mistake_in(line.split()) is not None


def test_the_pages_have_command_lines() -> None:
    assert len([arguments for page in PAGES for arguments in commands_of(page)]) > 50


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        found[1] for page in PAGES for code in code_of(page) if (found := re.match(r"(?:\$ )?make ([a-z-]+)", code))
    }

    assert named <= targets


@pytest.mark.parametrize("folder", ["docs", "docs/adr"])
def test_the_index_of_a_folder_links_every_page_below(folder: str) -> None:
    index = ROOT / folder / "README.md"
    listed = {target_of(index, link) for link in links_of(index)} | {index}
    indexes = {path.parent for path in ROOT.glob("docs/*/README.md")} - {index.parent}
    below = {p for p in PAGES if p.is_relative_to(index.parent) and not any(p.is_relative_to(i) for i in indexes)}

    assert below <= listed


def test_paths_of_pages_in_code_and_text_exist() -> None:
    named = re.compile(r"\bdocs/[\w./-]+\.(?:md|svg)\b")
    texts = [path for path in tracked() if path.suffix in {".md", ".py", ".toml", ".yaml"} or path.name == "Makefile"]
    missing = {
        (str(path.relative_to(ROOT)), found)
        for path in texts
        for found in named.findall(path.read_text())
        if not (ROOT / found).exists()
    }

    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:scheduler|providers|inference|state|tests|examples)/[\w./*-]+)`", prose_of(page))
    placeholder = "providers/yours/"

    assert [path for path in named if path != placeholder and not list(ROOT.glob(path.rstrip("/")))] == []


def yaml_of(page: Path) -> Iterator[dict[str, Any]]:
    """Yield each YAML block of a page that is a mapping."""
    for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        content = yaml.safe_load(block)
        if isinstance(content, dict):
            yield content


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_spec_of_a_page_is_valid(page: Path, tmp_path: Path) -> None:
    documents = [content for content in yaml_of(page) if "apiVersion" in content]
    for number, content in enumerate(documents):
        write_with_serve_configs(tmp_path / f"{number}.yaml", content)

    assert not documents or load_wanted(tmp_path, ()).spec.applications


def write_with_serve_configs(path: Path, document: dict[str, Any]) -> None:
    """Write a document of a spec beside the Serve configs that it refers to."""
    path.write_text(yaml.safe_dump(document))
    applications = list(document.get("applications", {}).values())
    for application in applications or [document] * (document.get("kind") == "Application"):
        serve = application["serve"]
        deployments = [{"name": serve["deployment"]}]
        entry = {"name": serve["application"], "import_path": "app:app", "deployments": deployments}
        (path.parent / serve["config"]).write_text(yaml.safe_dump({"applications": [entry]}))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_settings_file_of_a_page_is_valid(page: Path) -> None:
    for content in yaml_of(page):
        if {"providers", "cells"} <= content.keys():
            Settings.model_validate({"home": "/", "database_url": "sqlite://"} | content)


def row(name: str) -> str:
    """Return the last cell of a row of the page of limits."""
    page = (ROOT / "docs" / "reference" / "limits.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    assert len(lines) == 1, name
    return lines[0].rstrip(" |").rpartition("| ")[2]


def minutes(length: timedelta) -> str:
    return f"{length.total_seconds() / 60:g} min"


def hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:g} h"


SHORTAGES, COSTS, LIMITS = ShortagePolicy(), CostModel(), Thresholds()
OF_NO_USE = "or at any time without having carried a replica"
LONGER = (
    f"{LIMITS.drain_loads:g} times the longest load of its region where that is more, "
    f"{minutes(LIMITS.maintenance_ahead)} at most"
)
DRAINED = f"{minutes(LIMITS.drain_min)} to {hours(LIMITS.drain_max)}"


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("machines that one plan starts", str(LimitsModel().launches_per_plan)),
        ("actions of one plan", str(Limits().actions_per_plan)),
        ("stock that is assumed where a cloud reports none", str(Limits().machines_per_offer)),
        ("offers that one solve considers", f"{Limits().offers_per_solve:,}"),
        ("a requested machine is unseen: gone", minutes(Thresholds().requested_max)),
        ("a running machine is missing from its region's list: gone", minutes(Thresholds().absent_max)),
        ("a machine has not joined its cell: replaced", minutes(Thresholds().join_max)),
        (
            "a machine that had joined is missing from its cell, which answers: replaced",
            minutes(Thresholds().rejoin_max),
        ),
        ("the same for all machines of a cell at once", minutes(Thresholds().join_max)),
        (
            "a drained machine's replicas move within",
            f"{LIMITS.drain_loads:g} times the longest load of its region, {DRAINED}",
        ),
        ("an impaired machine carries nothing: replaced", minutes(Thresholds().impaired_max)),
        ("an orphan is ended", f"when it is {minutes(Thresholds().orphan_age_min)} old"),
        ("replicas move before an announced end", f"{minutes(LIMITS.drain_ahead)} ahead; {LONGER}"),
        ("a machine is still listed after its end was asked for: reported", minutes(Thresholds().end_max)),
        (
            "a machine that is listed does not run yet, or is in an unknown state: replaced",
            minutes(Thresholds().start_max),
        ),
        (
            "offers refused as invalid within an hour that make their region short",
            f"{SHORTAGES.widen_after}",
        ),
        (
            "a worker is replaced before maintenance, and before its reservation or allowed time ends",
            f"{minutes(Thresholds().maintenance_ahead)} ahead",
        ),
        ("a reservation is sold last", f"{minutes(LAST_SALE)} before its end"),
        ("failing: SUSPECT", f"{HealthModel().suspect_after} s"),
        ("failing: DOWN", f"{HealthModel().down_after} s"),
        ("without failure: RECOVERING, and each further step", f"{HealthModel().recover_after} s"),
        ("share of traffic while RECOVERING", f"{', '.join(map(str, HealthThresholds().steps_percent))} %"),
        (
            "share of machines missing from the cell, several or all: the cell fails",
            f"{HealthThresholds().bad_share:.0%}".replace("%", " %"),
        ),
        (
            "share of replicas that are not ready: the cell is degraded",
            f"{HealthThresholds().bad_share:.0%}".replace("%", " %"),
        ),
        ("degraded without getting better: the cell fails", minutes(HealthThresholds().replicas_down_after)),
        ("pairs of application and offer group up to which all stay", f"{Limits().pairs_unpruned:,}"),
        (
            "pairs of one application beyond that, the cheapest",
            f"{Limits().pairs_per_place} in each region and market, {Limits().pairs_per_application} in all",
        ),
        ("least size of a cell's head", f"{Limits().head_vcpus} vCPUs, {Limits().head_memory_gib:g} GiB"),
        ("part of a deployment that Serve replaces at a time", f"one in {Limits().rolling_update_parts}"),
        ("first length", minutes(SHORTAGES.initial_backoff)),
        ("growth at each repeat", {2.0: "doubled"}[SHORTAGES.backoff_multiplier]),
        ("longest length", minutes(SHORTAGES.max_backoff)),
        ("by quota", f"at least {hours(SHORTAGES.quota_min)}"),
        ("jitter, derived from the scope", f"{SHORTAGES.jitter:.0%} more or less".replace("%", " %")),
        ("half-open: one machine at a time", f"for {hours(SHORTAGES.half_open)} after the end"),
        ("a later refusal starts at the first length", f"{hours(SHORTAGES.reset_after)} after the end"),
        (
            "a recommendation to leave a pool, or a doubted price, counts",
            f"for {minutes(SHORTAGES.recommendation_max)}",
        ),
        (
            "a machine ended early",
            f"within {minutes(SHORTAGES.early_end_max)} of its request, {OF_NO_USE}",
        ),
        ("such machines of an offer in a row that open its breaker", f"{SHORTAGES.breaker_after}"),
        (
            "an offer's breaker stays open after the last",
            f"for {hours(SHORTAGES.breaker_for)}, doubled by each further one, up to {hours(BREAKER_MAX)}",
        ),
        (
            "such machines of a region within an hour that open its breaker",
            f"{SHORTAGES.region_losses_max}",
        ),
        ("cost of a machine that does not exist yet", f"{COSTS.move_share:.0%} more".replace("%", " %")),
        (
            "the same beyond the surest machine's doubt, while demand waits",
            f"{COSTS.urgent_stockout_share:g} times the hourly price",
        ),
        ("demand waits for stock after a refusal", f"for {minutes(SHORTAGES.urgent_for)}"),
        ("cost of a launch that is refused", f"{COSTS.stockout_share:.0%} of the hourly price".replace("%", " %")),
        ("cost of an interruption of a spot machine", f"{COSTS.interruption_hours:g} machine-hours"),
        ("interruptions where a cloud reports none", f"one in {1 / COSTS.interruptions_per_hour:g} h"),
        ("weights that a moved replica loads", f"${COSTS.egress_usd_per_gib:g} per GiB"),
        ("a move pays back within", f"{COSTS.payback_hours:g} h"),
        ("a saving lasts before machines move for it", f"{COSTS.hold_hours * 60:g} min at least"),
        ("a machine lives before it is moved for its price", f"{COSTS.machine_hours_min:g} h at least"),
        ("a machine runs beside its replacement", f"{COSTS.overlap_hours * 60:g} min"),
        ("demand of a priority class, against the next lower one", f"{COSTS.priority_factor:g} times"),
        (
            "solved exactly at once",
            f"{TICK.exact_applications} applications and {TICK.exact_pairs} pairs of shape and offer group",
        ),
        ("fleets for which `--exact` tries a proof", f"{PROOF.proof_applications} applications"),
        (
            "nodes of the exact program, for 100 pairs; fewer for larger ones",
            f"{TICK.exact_nodes:,} in a tick; {PROOF.exact_nodes:,} with `--exact`",
        ),
        (
            "relative gap at which it stops",
            f"{TICK.gap:.2%} in a tick; {PROOF.gap:.0%} with `--exact`".replace("%", " %"),
        ),
        ("snapshots kept, of ticks that acted and of refused plans", f"{SNAPSHOTS_KEPT} each"),
    ],
)
def test_limits_are_those_of_the_code(name: str, figure: str) -> None:
    assert row(name) == figure

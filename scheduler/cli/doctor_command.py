"""doctor."""

import sys
from dataclasses import asdict

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.daemon.logs import configure_logs
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import load_settings
from scheduler.service.doctor import Level, diagnose
from state.clock import SystemClock

MARKS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.ERROR: "ERROR  "}


def run(output: Output) -> None:
    """Look at everything, and say what is wrong."""
    configure_logs(quiet=True)
    settings = load_settings()
    ports = open_ports(settings)
    try:
        findings = diagnose(settings, ports.providers, ports.store.installation(), SystemClock())
    finally:
        ports.store.close()
    errors = sum(finding.level is Level.ERROR for finding in findings)
    if output is Output.JSON:
        answer_json({"healthy": not errors, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            todo = f"\n         {finding.todo}" if finding.todo else ""
            sys.stdout.write(f"{MARKS[finding.level]}  {finding.subject}: {finding.what}{todo}\n")
    if errors:
        raise fail(Exit.FAILED, f"{errors} errors")

"""The `doctor` command: diagnoses with their remedies."""

import sys

from scheduler.cli.exits import Exit, Output, answer_json, fail
from scheduler.cli.render import words
from scheduler.cli.render.doctor import diagnosis_json, lines
from scheduler.cli.session import are_embedded_clouds_down
from scheduler.daemon.logs import configure_logs
from scheduler.daemon.wiring import open_ports
from scheduler.documents.settings_file import load_settings
from scheduler.service.diagnosis import DiagnosisLevel
from scheduler.service.doctor import diagnose
from state.clock import SystemClock


def run(output: Output) -> None:
    """Check everything, and report what is wrong."""
    configure_logs(quiet=True)
    settings = load_settings()
    ports = open_ports(settings)
    try:
        owner, is_down = ports.store.installation(), are_embedded_clouds_down()
        found = diagnose(settings, ports.providers, owner, SystemClock(), are_embedded_down=is_down)
    finally:
        ports.store.close()
    errors = sum(diagnosis.level is DiagnosisLevel.ERROR for diagnosis in found)
    if output is Output.JSON:
        answer_json({"healthy": not errors, "diagnoses": [diagnosis_json(diagnosis) for diagnosis in found]})
    else:
        for diagnosis in found:
            sys.stdout.write("\n".join(lines(diagnosis)) + "\n")
    if errors:
        raise fail(Exit.FAILED, words.counted(errors, "error"))

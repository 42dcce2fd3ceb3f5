"""Logs: one line a tick, one a call that changes something; JSON unless standard error is a terminal. No secrets."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

SECRETS: Final = frozenset({"authorization", "password", "secret", "token", "startup_script", "user_data"})

TICK: Final = "tick"
TICK_FAILED: Final = "tick_failed"
PLAN_REFUSED: Final = "plan_refused"
NOTICES_FAILED: Final = "notices_failed"
LEASE_HELD: Final = "lease_held_by_another"
OBSERVER_ISOLATED: Final = "observer_isolated"
DAEMON_STARTED: Final = "daemon_started"
DAEMON_STOPPED: Final = "daemon_stopped"


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:  # noqa: ANN401
    return {key: "(secret)" if key.lower() in SECRETS else value for key, value in event.items()}


def _silence_libraries() -> None:
    """Keep the log lines and warnings of libraries off the terminal: what matters of them is an error of ours too."""
    logging.basicConfig(handlers=[logging.NullHandler()])  # with no handler at all, Python prints to standard error
    logging.captureWarnings(capture=True)


def configure_logs(*, quiet: bool = False, as_json: bool = False) -> None:
    """Send logs to standard error.

    Args:
        quiet: Only errors: for commands that show their own progress.
        as_json: Also on a terminal.
    """
    _silence_libraries()
    level = logging.ERROR if quiet else logging.INFO
    is_terminal = sys.stderr.isatty() and not as_json
    renderer: Any = structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )

"""Use cases: explain a placement, why a place is not used, and what a change of the spec would change."""

from scheduler.explain import Explanation, explain
from scheduler.explain.what_if import WhatIf, what_if
from scheduler.explain.why_not import WhyNot, why_not
from scheduler.tick import decide
from state.model.ids import ApplicationName
from state.model.snapshot import Snapshot


class NoSpecError(Exception):
    """No spec is in force, so nothing can be explained: apply one first."""


class UnknownApplicationError(Exception):
    """The spec in force has no such application."""

    def __init__(self, application: str, known: tuple[ApplicationName, ...]) -> None:
        """Keep the name, and those that the spec has."""
        super().__init__(application, known)
        self.application, self.known = application, known


def explain_application(snapshot: Snapshot, application: str) -> Explanation:
    """Return why an application is placed where a decision on *snapshot* places it. Pure.

    Raises:
        NoSpecError, UnknownApplicationError: There is nothing to explain.
        UnsafePlanError: The plan breaks a rule.
    """
    name = _known(snapshot, application)
    return explain(snapshot, decide(snapshot).placement, name)


def explain_why_not(snapshot: Snapshot, application: str, place: str) -> WhyNot:
    """Return why an application does not use a provider, a region or an offer. Pure.

    Raises:
        NoSpecError, UnknownApplicationError: There is nothing to explain.
    """
    return why_not(snapshot, _known(snapshot, application), place)


def explain_what_if(snapshot: Snapshot, application: str, change: str) -> WhatIf:
    """Return what `path=value` would change in the spec of an application's fleet. Pure.

    Raises:
        NoSpecError, UnknownApplicationError: There is nothing to explain.
        NoSuchFieldError: The path names no field, or the value does not fit it.
    """
    _known(snapshot, application)
    return what_if(snapshot, change)


def _known(snapshot: Snapshot, application: str) -> ApplicationName:
    if snapshot.wanted is None:
        raise NoSpecError
    names = tuple(name for name, _ in snapshot.wanted.spec.named())
    if application not in names:
        raise UnknownApplicationError(application, names)
    return ApplicationName(application)

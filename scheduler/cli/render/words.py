"""Typed reasons to sentences: the one place where they become words. Pure."""

from datetime import datetime
from typing import Final, assert_never

from state.model.catalog import (
    CatalogueSource,
    ChoiceKind,
    Doubt,
    DoubtKind,
    OfferChoice,
    Price,
    PriceBasis,
    Shortage,
    ShortageKind,
)
from state.model.health import HealthReason
from state.model.history import (
    ActionAttempted,
    DrillChanged,
    Event,
    HealthChanged,
    InstanceChanged,
    NoticeReceived,
    PlanCommitted,
    PlanRefused,
    SpecApplied,
    SpecWithdrawn,
)
from state.model.inventory import Notice, NoticeKind, TerminationReason
from state.model.placement import RefusalCause, Unit
from state.model.plan import (
    Action,
    Blocked,
    BlockedReason,
    Drain,
    Finding,
    Launch,
    PendingMove,
    PlanRule,
    Route,
    Serve,
    Terminate,
)
from state.model.units import MILLI, Usd

CAUSES: Final[dict[RefusalCause, str]] = {
    RefusalCause.PROVIDER_NOT_ALLOWED: "provider not allowed",
    RefusalCause.REGION_NOT_ALLOWED: "region not allowed",
    RefusalCause.REGION_NOT_SET_UP: "region not set up",
    RefusalCause.REGION_DOWN: "region down or recovering",
    RefusalCause.NO_HEAD_MACHINE: "no machine for the cell's head",
    RefusalCause.RESERVATION_NOT_IN_FORCE: "reservation not in force",
    RefusalCause.STOCK_OUT: "out of stock",
    RefusalCause.QUOTA_REFUSED: "refused by quota lately",
    RefusalCause.DENIED: "permission denied",
    RefusalCause.INVALID_REQUEST: "request refused as invalid",
    RefusalCause.NEVER_READY: "machine never became ready",
    RefusalCause.ENDED_EARLY: "machine ended early",
    RefusalCause.THROTTLED: "launches throttled",
    RefusalCause.LAUNCHES_FAIL: "machines lost soon after launch, breaker open",
    RefusalCause.PRICE_DOUBTED: "price doubted",
    RefusalCause.RECLAIM_RISK: "reclaim risk",
    RefusalCause.JURISDICTION: "jurisdiction",
    RefusalCause.LATENCY_EXPECTED: "latency above max_ms",
    RefusalCause.LATENCY_WORST: "latency above worst_ms",
    RefusalCause.SPOT_NOT_ALLOWED: "spot not allowed",
    RefusalCause.ZONE_UNKNOWN: "zone unknown",
    RefusalCause.NO_SHAPE_FITS: "no shape fits the machine",
    RefusalCause.PRUNED: "dearer than the offers that one solve considers",
    RefusalCause.QUOTA: "quota",
    RefusalCause.BUDGET: "budget",
}

PRICE_SOURCES: Final[dict[CatalogueSource, str]] = {
    CatalogueSource.PUBLISHED: "gpuhunt's published catalogue",
    CatalogueSource.PACKAGED: "the dated catalogue of this package (gpuhunt's published one is not reachable)",
}

SHORTAGES: Final[dict[ShortageKind, str]] = {
    ShortageKind.STOCK_OUT: "out of stock",
    ShortageKind.QUOTA: "over quota",
    ShortageKind.DENIED: "permission denied",
    ShortageKind.INVALID_REQUEST: "request refused as invalid",
    ShortageKind.NEVER_READY: "its machine never became ready",
    ShortageKind.ENDED_EARLY: "its machine ended early",
    ShortageKind.THROTTLED: "launches throttled",
    ShortageKind.LAUNCHES_FAIL: "machines lost soon after launch, breaker open",
    ShortageKind.PRICE_DOUBTED: "price doubted",
    ShortageKind.RECLAIM_RISK: "its cloud recommends to leave it",
}

HEALTH: Final[dict[HealthReason, str]] = {
    HealthReason.HEAD_SILENT: "the cell's head does not answer",
    HealthReason.REPLICAS_NOT_READY: "too few replicas are ready",
    HealthReason.MACHINES_ABSENT: "too many of its machines are not in the cell",
    HealthReason.PROXIES_SILENT: "no proxy of the cell takes requests",
    HealthReason.API_SILENT: "the cloud's API does not answer",
    HealthReason.ANSWERS_AGAIN: "answers again",
    HealthReason.CLEAN_AGAIN: "clean again",
    HealthReason.STAYED_CLEAN: "stayed clean",
    HealthReason.OBSERVER_ISOLATED: "every region looks down at once, so the fault is here and nothing is concluded",
    HealthReason.DRILL: "lost in a drill",
}

ENDS: Final[dict[TerminationReason, str]] = {
    TerminationReason.FLEET_DESTROYED: "fleet destroyed",
    TerminationReason.NOT_PLACED: "not in the placement",
    TerminationReason.NEVER_STARTED: "never started",
    TerminationReason.NEVER_JOINED: "never joined its cell",
    TerminationReason.LEFT_CELL: "runs, and its cell answers without it",
    TerminationReason.GPUS_MISSING: "joined its cell without all GPUs",
    TerminationReason.IMPAIRED: "impaired, and carries no replica",
    TerminationReason.NOTICE: "its end is announced",
    TerminationReason.ENDED_BY_PROVIDER: "ended by its cloud",
    TerminationReason.LAUNCH_REFUSED: "launch refused",
    TerminationReason.NEVER_SEEN: "requested and never listed",
    TerminationReason.NOT_LISTED: "not listed any more",
    TerminationReason.ORPHAN: "carries our tag, and the store has no record of it",
}

BLOCKED: Final[dict[BlockedReason, str]] = {
    BlockedReason.REGION_LEFT_ALONE: "its region is unreachable or suspect",
    BlockedReason.LAUNCH_LIMIT: "limits.launches_per_plan is reached",
    BlockedReason.MAX_SURGE: "disruption.max_surge is reached",
    BlockedReason.WORKER_FIRST: "its head is launched once a first worker is accepted",
    BlockedReason.HEAD_ADDRESS_IN_USE: "the old head has not ended, and the new one needs its address",
    BlockedReason.BUDGET: "the budget has no room until another machine has ended",
    BlockedReason.STARTING: "starting",
    BlockedReason.ENDING: "ending",
    BlockedReason.END_OVERDUE: "its end was asked for {message} ago, and its cloud still lists it; end it there",
    BlockedReason.CELL_HAS_WORKERS: "its cell still has workers",
    BlockedReason.NOT_CARRIED_ELSEWHERE: "other regions do not carry {application} yet",
    BlockedReason.NOT_ALL_JOINED: "not every machine of its cell has joined",
    BlockedReason.CELL_CHANGING: "what its cell serves is being changed",
    BlockedReason.REPLICAS_ABOVE_TARGET: "{application} has {replicas} in its cell, and {target} are planned",
    BlockedReason.APPLICATION_NOT_STABLE: "{application} is {state} in its cell",
    BlockedReason.REPLICAS_MOVING: "its replicas move away",
    BlockedReason.OTHERS_MOVING: "replicas of {application} on other machines move first",
    BlockedReason.SERVES_UNTIL_REPLACED: "it serves until another machine has started",
    BlockedReason.ORPHAN_WATCHED: "orphan {message}: observed before it is ended",
    BlockedReason.CELL_SILENT: "the cell does not answer yet",
    BlockedReason.DEPLOYING: "{application} {state}, {ready} of {target} replicas ready",
    BlockedReason.REPLACEMENT_NOT_READY: "{application} keeps its replicas until new ones can be ready",
    BlockedReason.STILL_ROUTED: "{application} leaves once its requests go elsewhere",
}

RULES: Final[dict[PlanRule, str]] = {
    PlanRule.UNKNOWN_REPLICA: "replicas of an application or a shape that the spec lacks",
    PlanRule.ACTIONS_PER_PLAN: "more actions than one plan may have",
    PlanRule.LAUNCHES_PER_PLAN: "more launches than one plan may have",
    PlanRule.DOUBLE_LAUNCH: "machine launched twice",
    PlanRule.UNRECORDED_LAUNCH: "launch without a matching record",
    PlanRule.EXCESS_LAUNCH: "more machines launched than are placed",
    PlanRule.PRICE: "launch without a price, or below the listed one",
    PlanRule.BUDGET: "above the budget",
    PlanRule.MAX_SURGE: "more machines start at once than max_surge allows",
    PlanRule.UNREACHABLE_REGION: "action in an unreachable region",
    PlanRule.FOREIGN_MACHINE: "end of a machine that is not ours, or is not recorded as ending",
    PlanRule.RECOVERING_REGION: "end of a machine in a region that is suspect or recovering",
    PlanRule.QUOTA: "more machines than the quota has",
    PlanRule.RESERVATION: "more machines than the reservation has",
    PlanRule.PACKING: "replicas do not fit on their machines",
    PlanRule.ALLOWED: "machines in a place that the spec does not allow",
    PlanRule.JURISDICTION: "replicas outside their jurisdictions",
    PlanRule.LATENCY: "replicas too far from their clients",
    PlanRule.SPOT: "replicas on spot machines, which are not allowed",
    PlanRule.REPORTED_VIOLATION: "a rule is not kept, and the placement does not report it",
    PlanRule.CERTIFICATE: "certificate line missing or wrong",
    PlanRule.CREDIT: "certificate credits more than the spec or the stock allows",
    PlanRule.MIN_READY: "too few replicas stay ready",
    PlanRule.SERVING_MACHINE: "end of a machine that carries replicas",
    PlanRule.ROUTES: "all routes removed",
}


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 offer`, `12 offers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def amount(milli: int, unit: Unit) -> str:
    """Return a figure with its unit: `16 requests/s`."""
    return f"{milli / MILLI:g} {unit}"


def choice(value: OfferChoice | None) -> str:
    """Return why an offer was chosen."""
    if value is None:
        return ""
    if value.kind is ChoiceKind.HEAD:
        return "cheapest on-demand machine fit for a head"
    if value.kind is ChoiceKind.FIXED or value.usd_per_unit is None:
        return "exists in a region that is left alone"
    kept = ", exists already" if value.kind is ChoiceKind.EXISTING else ""
    return f"${value.usd_per_unit.dollars:.3f} per unit of demand and hour, rank {value.rank} of {value.ranked}{kept}"


def notice(value: Notice) -> str:
    """Return what is announced for a machine."""
    subject = _announced(value)
    detail = f": {subject}" if subject else ""
    if value.kind is NoticeKind.REBALANCE:
        return f"its cloud recommends to leave it{detail}"
    when = "at any moment" if value.at is None else f"at {value.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{value.kind} announced, {when}{detail}"


def _announced(value: Notice) -> str:
    """Return what a notice is about, in a sentence where its kind has one."""
    match value.kind:
        case NoticeKind.EXPIRY:
            return f"its reservation {value.detail} ends" if value.detail else "its allowed time ends"
        case NoticeKind.LEAVING:
            return "its node is being drained"
        case NoticeKind.DRAIN:
            return f"{value.detail} is being drained" if value.detail else ""
        case _:
            return value.detail


def termination(reason: TerminationReason | None, message: str = "", announced: Notice | None = None) -> str:
    """Return why a machine ends or ended."""
    if announced is not None:
        return notice(announced)
    if reason is None:
        return message
    return f"{ENDS[reason]}: {message}" if message else ENDS[reason]


def action(value: Action) -> str:
    """Return why an action is taken, or what it changes."""
    match value:
        case Launch():
            return "requested before, with an unknown outcome" if value.is_repeat else choice(value.choice)
        case Terminate():
            return termination(value.reason, value.message, value.notice)
        case Drain():
            minutes = max(1, round(value.within.total_seconds() / 60))
            return f"{termination(value.reason, announced=value.notice)}, within {counted(minutes, 'minute')}"
        case Serve():
            parts = (
                f"{c.application} x {c.replicas}" if c.replicas else f"remove {c.application}" for c in value.changes
            )
            return ", ".join(parts)
        case Route():
            added = f"requests to {', '.join(value.added)}" if value.added else ""
            removed = f"no requests to {', '.join(value.removed)}" if value.removed else ""
            return "; ".join(filter(None, (removed, added))) or "shares follow ready replicas"
        case _:
            assert_never(value)


def blocked(value: Blocked) -> str:
    """Return what is not done yet, and why."""
    text = BLOCKED[value.reason].format(
        application=value.application,
        ready=value.ready,
        replicas="" if value.ready is None else counted(value.ready, "replica"),
        target=value.target,
        state="" if value.state is None else value.state.replace("_", " "),
        message=value.message,
    )
    if value.reason is BlockedReason.DEPLOYING and value.message:
        text = f"{text}: {value.message}"
    if value.notice is not None:
        text = f"{text} ({notice(value.notice)})"
    if value.instance_id is None:
        subject = str(value.key) if value.key is not None else str(value.region or "")
        what = "launch blocked: " if value.key is not None else ""
        return f"{subject}: {what}{text}"
    what = f"{value.action} blocked: " if value.action is not None else ""
    return f"{value.instance_id} ({value.key}): {what}{text}"


def deploy_failed(value: Blocked) -> str:
    """Return that an application cannot run, with what its cell reports."""
    return f"{value.region}: {value.application}: {value.state}: {value.message}"


DOUBTS: Final[dict[DoubtKind, str]] = {
    DoubtKind.BELOW_PEERS: "far below its peers'",
    DoubtKind.ABOVE_PEERS: "far above its peers'",
    DoubtKind.ABOVE_ON_DEMAND: "above on-demand's",
}


def doubt(value: Doubt) -> str:
    """Return why a price is doubted."""
    where = "" if value.kind is DoubtKind.ABOVE_ON_DEMAND else f" in {counted(value.peers, 'region')}"
    return f"{value.per_gpu}, {DOUBTS[value.kind]} {value.usual}{where}"


def price_source(price: Price) -> str:
    """Return where a price comes from, and what is wrong with it."""
    kept = " (kept: no newer answer)" if price.basis is PriceBasis.KEPT else ""
    return f"{price.source}{kept}" + (f"; doubted: {doubt(price.doubt)}" if price.doubt is not None else "")


def shortage(value: Shortage, now: datetime) -> str:
    """Return what is short, why and for how long."""
    minutes = max(0, round((value.until - now).total_seconds() / 60))
    details = "; ".join(filter(None, (value.message, "" if value.doubt is None else doubt(value.doubt))))
    message = f" ({details})" if details else ""
    return f"{value.scope}: {SHORTAGES[value.kind]}{message}, for {counted(minutes, 'minute')} more"


def pending_move(value: PendingMove) -> str:
    """Return a move for price that waits."""
    machines = counted(value.count, "machine")
    return f"{machines} of {value.key} until {value.until:%H:%M} UTC: the move saves {value.saves}/h if that lasts"


def health(reason: HealthReason | None, ready: int = 0, expected: int = 0) -> str:
    """Return why a region has its state."""
    if reason is None:
        return ""
    if reason is HealthReason.REPLICAS_NOT_READY:
        return f"{ready} of {expected} replicas are ready"
    if reason is HealthReason.MACHINES_ABSENT:
        return f"{ready} of {expected} machines are in the cell"
    return HEALTH[reason]


def finding(value: Finding) -> str:
    """Return a rule that a plan breaks."""
    subject = ", ".join(filter(None, (value.application, value.subject)))
    figures = ""
    if value.actual is not None:
        actual, limit = value.actual, value.allowed
        if value.rule in {PlanRule.BUDGET, PlanRule.PRICE}:
            figures = f": {Usd(actual)}/h" + ("" if limit is None else f", {Usd(limit)}/h allowed")
        else:
            figures = f": {actual}" + ("" if limit is None else f", {limit} allowed")
    return f"{RULES[value.rule]}{f' ({subject})' if subject else ''}{figures}"


def refusal(value: Event) -> str:
    """Return when a tick's plan was refused, and what it breaks."""
    return f"the plan of {value.at:%Y-%m-%d %H:%M:%S} UTC was refused, so nothing was done: {event(value)}"


def event(value: Event) -> str:  # noqa: PLR0911  one sentence a kind
    """Return what happened, without its subject."""
    what = value.what
    match what:
        case SpecApplied():
            return f"version {what.version} applied"
        case SpecWithdrawn():
            return f"version {what.version}: fleet destroyed"
        case PlanCommitted():
            return f"{what.actions} actions, {what.per_hour}/h"
        case PlanRefused():
            return "; ".join(map(finding, what.findings))
        case ActionAttempted():
            return f"{what.action} {what.outcome}" + (f": {what.message}" if what.message else "")
        case InstanceChanged():
            why = termination(what.reason, what.message, what.notice)
            return f"{what.status}: {what.key}" + (f": {why}" if why else "")
        case HealthChanged():
            why = health(what.reason, what.ready, what.expected)
            return f"{what.state}" + (f": {why}" if why else "")
        case NoticeReceived():
            return notice(what.notice)
        case DrillChanged():
            return f"{what.drill} {what.mode} {what.state}"
        case _:
            assert_never(what)

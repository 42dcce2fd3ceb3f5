"""The certificate: for each loss that the spec names, what is left, against what must be."""

from scheduler.solve.program import fate_domains, is_in, required_milli
from state.model.ids import ApplicationName
from state.model.plan import Placement, Survival
from state.model.spec import Application, CapacitySpec


def certificate(spec: CapacitySpec, placement: Placement) -> tuple[Survival, ...]:
    """Return one line per application and fate domain, from the placement alone."""
    return tuple(line for name, application in spec.named() for line in _lines(name, application, placement))


def _lines(name: ApplicationName, application: Application, placement: Placement) -> list[Survival]:
    regions = sorted({r.region for r in placement.replicas if r.application == name})
    total = placement.capacity_milli(name)
    return [
        Survival(
            application=name,
            kind=application.survive.any,
            domain=domain,
            remaining_milli=total - sum(placement.capacity_milli(name, region) for region in lost),
            required_milli=required_milli(application),
        )
        for domain, lost in fate_domains(application.survive.any, list(regions))
    ]


def breaches(spec: CapacitySpec, placement: Placement) -> tuple[str, ...]:
    """Return the rules that a placement does not keep, in words; demand without a place apart."""
    return tuple(text for name, application in spec.named() for text in _breaches(name, application, placement))


def _breaches(name: ApplicationName, application: Application, placement: Placement) -> list[str]:
    found = []
    regions = {r.region for r in placement.replicas if r.application == name}
    if len(regions) < application.regions.min:
        found.append(f"{name}: stands in {len(regions)} regions, not in {application.regions.min}")
    for line in _lines(name, application, placement):
        if line.remaining_milli < line.required_milli:
            short = (line.required_milli - line.remaining_milli) / 1000
            found.append(f"{name}: the loss of {line.domain} would leave {short:g} of the demand unserved")
    for place, floor in sorted(application.regions.floors.items()):
        inside = sum(placement.capacity_milli(name, region) for region in regions if is_in(region, place))
        if inside < round(floor * 1000):
            found.append(f"{name}: {place} carries {inside / 1000:g}, not {floor:g}")
    return found

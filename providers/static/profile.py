"""The facts about machines of one's own that shared code uses. Pure."""

from typing import Final

from providers.faults import FaultKind
from providers.profile import CloudProfile
from state.model.boot import BootProfile
from state.model.ids import ProviderName

PROFILE: Final = CloudProfile(
    name=ProviderName("static"),
    boot=BootProfile(),
    has_price_catalogue=False,
    is_cached=False,
    fault_answers={
        FaultKind.ERROR: (500, "InternalServerError"),
        FaultKind.THROTTLE: (429, "TooManyRequests"),
        FaultKind.DENIED: (401, "Unauthorized"),
        FaultKind.SHORTAGE: (409, "NoFreeMachine"),
        FaultKind.INVALID: (422, "UnprocessableEntity"),
    },
    head_advice="let one join with --head",
)

"""Use case: what launches and machines of the last days say of each pool."""

from datetime import datetime

from scheduler.weather import PoolForecast, Weather
from state.model.settings import CostModel
from state.store import Store


def read_weather(store: Store, costs: CostModel, now: datetime) -> tuple[PoolForecast, ...]:
    """Return what is expected of each pool that something is known of, worst first. No cloud is called."""
    known = store.load()
    found = Weather(known.weather, known.instances, now).forecasts(costs.interruptions_per_hour)
    return tuple(sorted(found, key=lambda f: (-f.launch_failure, -(f.interruptions_per_hour or 0.0), f.key)))

"""What is expected of pools, as a table and as JSON. Pure."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from scheduler.cli.render.text import table
from scheduler.weather import PoolForecast


def forecasts_table(forecasts: Iterable[PoolForecast]) -> Table:
    """Return forecasts as a table; figures rest on launches and hours of which older ones count less."""
    shown = table(
        "Weather", "pool", "launch fails", "launches", "time to start", "interruptions per hour", "spot hours"
    )
    for forecast in forecasts:
        start, rate = forecast.time_to_start, forecast.interruptions_per_hour
        shown.add_row(
            str(forecast.key),
            f"{forecast.launch_failure:.0%}",
            f"{forecast.launches:.1f}",
            "-" if start is None else f"{start.total_seconds():.0f} s",
            "-" if rate is None else f"{rate:.3f}",
            "-" if rate is None else f"{forecast.spot_hours:.1f}",
        )
    return shown


def forecast_json(forecast: PoolForecast) -> dict[str, Any]:
    """Return a forecast."""
    start = forecast.time_to_start
    return {
        "pool": str(forecast.key),
        "launch_failure": round(forecast.launch_failure, 4),
        "launches": round(forecast.launches, 2),
        "start_seconds": None if start is None else round(start.total_seconds(), 1),
        "interruptions_per_hour": None
        if forecast.interruptions_per_hour is None
        else round(forecast.interruptions_per_hour, 5),
        "spot_hours": round(forecast.spot_hours, 2),
    }

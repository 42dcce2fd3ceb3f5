"""The `weather` command."""

import sys

from scheduler.cli.exits import Output, answer_json
from scheduler.cli.render import weather as render
from scheduler.cli.session import console
from scheduler.daemon.wiring import open_store
from scheduler.documents.settings_file import load_settings
from scheduler.service.weather import read_weather
from state.clock import SystemClock


def weather(output: Output, *, limit: int) -> None:
    """Show what launches and machines of the last days say of each pool."""
    settings = load_settings()
    forecasts = read_weather(open_store(settings), settings.cost_model, SystemClock().now())
    if output is Output.JSON:
        answer_json([render.forecast_json(forecast) for forecast in forecasts[:limit]])
    elif forecasts:
        console().print(render.forecasts_table(forecasts[:limit]))
    else:
        sys.stdout.write("Nothing is known yet: no launch and no machine of the last days came out.\n")

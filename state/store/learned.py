"""Weather in the database: read, and learned with each change of a machine, in its transaction."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select

from state.model.history import Outcome
from state.model.inventory import Instance
from state.model.weather import FORGOTTEN_AFTER, PoolWeather
from state.store import rows as r
from state.store.observed import weather_after
from state.store.tables import WeatherRow


def known_weather(session: Session) -> tuple[PoolWeather, ...]:
    """Return what is known of each pool, in order."""
    pools = (r.WEATHER.validate_json(row.body) for row in session.exec(select(WeatherRow)))
    return tuple(sorted(pools, key=lambda pool: pool.key))


def learn(session: Session, old: Instance, new: Instance, now: datetime, outcome: Outcome | None) -> None:
    """Record what a change of a machine teaches of its pool, and forget pools of which nothing is heard any more."""
    row = session.get(WeatherRow, str(new.key))
    learned = weather_after(None if row is None else r.WEATHER.validate_json(row.body), old, new, now, outcome)
    if learned is not None:
        session.merge(r.weather_row(learned))
        session.exec(delete(WeatherRow).where(col(WeatherRow.at) < r.stamp(now - FORGOTTEN_AFTER)))

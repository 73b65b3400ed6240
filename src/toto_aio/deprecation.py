"""Since when a method is deprecated, and how its responses say so."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import NamedTuple


class Deprecation(NamedTuple):
    """Since when a method is deprecated, and when it will end if that is known, both in UTC."""

    since: datetime
    sunset: datetime | None = None

    def headers(self) -> dict[str, str]:
        """The headers of its responses (RFC 9745, RFC 8594)."""
        sent = {"Deprecation": f"@{int(self.since.timestamp())}"}
        if self.sunset is not None:
            from email.utils import format_datetime  # few methods need it

            sent["Sunset"] = format_datetime(self.sunset, usegmt=True)
        return sent


def read_deprecation(since: date | str, sunset: date | str | None) -> Deprecation:
    """A deprecation, as an author writes it. Raises ``TypeError`` and ``ValueError``."""
    found = Deprecation(_moment("since", since), None if sunset is None else _moment("sunset", sunset))
    if found.sunset is not None and found.sunset < found.since:
        raise ValueError("deprecated: sunset is before since")
    return found


def _moment(name: str, given: date | str) -> datetime:
    moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    if not isinstance(moment, date):
        raise TypeError(f"deprecated: {name}: write a date such as '2027-01-31', not {given!r}")
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if moment.tzinfo is None:
        if moment.time() != time():
            raise ValueError(f"deprecated: {name}: write the time zone too, as in '2027-01-31T12:00+00:00'")
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)

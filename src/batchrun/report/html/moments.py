"""Moments for people, in the time of this machine and in UTC."""

from datetime import UTC, datetime, tzinfo

from batchrun.report.html.markup import Markup, element, join

__all__ = ["moment", "offset_s"]


def moment(at: float, zone: tzinfo | None = None) -> Markup:
    """Write a moment.

    Args:
        at: Seconds since the epoch.
        zone: The local time; None: this machine's.
    """
    utc = datetime.fromtimestamp(at, UTC).replace(microsecond=0)
    local = utc.astimezone(zone)
    written = element("time", _words(local), datetime=local.isoformat())
    if not local.utcoffset():
        return written
    return join([written, element("span", _words(utc), class_="also")], " ")


def offset_s(at: float, zone: tzinfo | None = None) -> int:
    """Return how far local time was ahead of UTC at a moment, in seconds."""
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    return round(offset.total_seconds()) if offset else 0


def _words(moment: datetime) -> str:
    offset = f"{moment:%z}"
    zone = f"{offset[:3]}:{offset[3:5]}" if moment.utcoffset() else "UTC"
    return f"{moment:%Y-%m-%d %H:%M:%S} {zone}"

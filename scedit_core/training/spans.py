"""Spans of time, in words."""


def minutes(seconds: float) -> str:
    """A span of time in seconds, minutes or hours, such as '12 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

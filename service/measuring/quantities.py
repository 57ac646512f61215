"""Quantities as people read them: rates, bytes, times."""


def amount(value: float) -> str:
    """Return a number of events a second; what costs nothing has no speed that would say anything."""
    if value > 1e6:
        return "> 1 million"
    return f"{value:,.0f}" if value < 1000 else f"{round(value, -1 if value < 10_000 else -2):,.0f}"


def memory(value: int | None) -> str:
    """Return bytes as mebibytes."""
    return "–" if value is None else f"{value / 2**20:,.0f} MiB"


def duration(seconds: float) -> str:
    """Return a time."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def milliseconds(seconds: float) -> str:
    """Return a short time: two or three digits."""
    value = 1000 * seconds
    if value >= 10_000:
        return f"{seconds:,.0f} s"
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"

"""Quantities as people read them: rates, bytes, times."""


def amount(value: float) -> str:
    """Return a number of events a second; what costs nothing has no speed that would say anything."""
    return "> 1 million" if value > 1e6 else rate(value)


def rate(value: float) -> str:
    """Return a number of events a second, to three digits."""
    if value >= 1e6:
        return f"{value / 1e6:,.3g}M"
    return f"{value:,.0f}" if value < 1000 else f"{round(value, -1 if value < 10_000 else -2):,.0f}"


def short(value: float) -> str:
    """Return a number as an axis has it: thousands and millions by their letter."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


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

"""Dead letters as an operator reads them, and as a program does."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from consumers.dead_letters import KeptLetter

STATES = {"none": "new", "begun": "unknown", "done": "redriven"}
"""What the file says of sending a letter again → what the command line says."""

_DETAIL = 70


def as_lines(letters: Sequence[KeptLetter]) -> list[str]:
    """Return a table of letters, one a line."""
    rows = [("LETTER", "PLACE", "REFUSED", "STATE", "REASON", "DETAIL")]
    for kept in letters:
        letter = kept.letter
        place, when = str(letter.place), _when(letter.refused_at)
        rows.append((str(kept.id), place, when, STATES[kept.redrive], letter.reason, _short(letter.detail)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]


def as_record(kept: KeptLetter) -> dict[str, Any]:
    """Return what is known of a letter but for what it carries, as JSON has it; times are Unix seconds."""
    letter = kept.letter
    return {
        "letter": kept.id,
        "place": str(letter.place),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "index": letter.index,
        "reason": letter.reason,
        "detail": letter.detail,
        "refused_at": letter.refused_at / 1000 or None,
        "timestamp": letter.timestamp / 1000,
        "bytes": len(letter.value or b""),
        "state": STATES[kept.redrive],
        "redriven_at": None if kept.redrive_at is None else kept.redrive_at / 1000,
        "forwarding": kept.forwarding,
        "forwarded_at": None if kept.sent is None else kept.sent / 1000,
    }


def as_whole_record(kept: KeptLetter) -> dict[str, Any]:
    """Return all that is known of a letter; bytes that are no UTF-8 are under ``…_base64``."""
    letter = kept.letter
    headers = [{"name": name, **_bytes("value", value)} for name, value in letter.headers]
    return as_record(kept) | {"headers": headers, **_bytes("key", letter.key), **_bytes("value", letter.value)}


def as_text(kept: KeptLetter) -> str:
    """Return all that is known of a letter, to be read; bytes that are no UTF-8 are escaped."""
    letter = kept.letter
    lines = [
        f"letter     {kept.id}",
        f"place      {letter.place} (topic/partition/offset/index)",
        f"reason     {letter.reason}: {letter.detail}",
        f"refused    {_when(letter.refused_at)}",
        f"in the log {_when(letter.timestamp)}",
        f"state      {STATES[kept.redrive]}" + (f" {_when(kept.redrive_at)}" if kept.redrive_at else ""),
        f"forwarding {kept.forwarding}" + (f" {_when(kept.sent)}" if kept.sent else ""),
        f"key        {'none' if letter.key is None else _readable(letter.key)}",
        *(f"header     {name}: {_readable(value)}" for name, value in letter.headers),
        f"value      {len(letter.value or b'')} bytes",
        _readable(letter.value or b""),
    ]
    return "\n".join(lines)


def when(seconds: float) -> str:
    """Return a time, given in seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00") + "Z"


def _when(milliseconds: int) -> str:
    return when(milliseconds / 1000) if milliseconds else "unknown"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL else line[: _DETAIL - 1] + "…"


def _readable(value: bytes) -> str:
    """Return bytes as text in which nothing moves a terminal's cursor."""
    text = value.decode(errors="backslashreplace")
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}

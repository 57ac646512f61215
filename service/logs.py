"""Logs for operators: readable lines on a terminal, one JSON object a line anywhere else; always on stderr.

Two roads lead here: structlog, which ``service`` uses, and the standard library's logging, which ``consumers``,
``models`` and the libraries use. Both come out in one form. What is logged is what an operator wants to know; nothing
is logged for each event or request.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.processors import TimeStamper
from structlog.types import EventDict, Processor, WrappedLogger

_TOO_CHATTY = {
    "uvicorn": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "asyncio": logging.WARNING,
}
"""Libraries whose everyday news nobody needs."""


def configure_logs(*, verbose: bool = False, stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Set up logging for this process; a second call replaces the first.

    Parameters
    ----------
    verbose
        Whether debug messages are wanted, and warnings of the libraries.
    stream
        Where to write; None for stderr.
    as_json
        Whether to write JSON lines; None to do so unless `stream` is a terminal.
    """
    target = stream or sys.stderr
    level = logging.DEBUG if verbose else logging.INFO
    json_lines = not target.isatty() if as_json is None else as_json
    shared = _shared_processors(json_lines)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Loggers are made when modules are imported, which may be before this call or before a second one.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(_formatter(shared, json_lines))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, quiet in _TOO_CHATTY.items():
        logging.getLogger(name).setLevel(level if verbose else quiet)


def _shared_processors(as_json: bool) -> list[Processor]:
    """Return what is added to every line, whichever road it came by."""
    # A person at a terminal knows the day, and the zone.
    clock = TimeStamper(fmt="iso", utc=True) if as_json else TimeStamper(fmt="%H:%M:%S", utc=False)
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_logger_name,
        clock,
    ]


def _formatter(shared: list[Processor], as_json: bool) -> logging.Formatter:
    """Return what makes a line of an entry."""
    rendering: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        # One entry must stay one line, so a traceback becomes a field.
        rendering += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        rendering.append(
            structlog.dev.ConsoleRenderer(pad_event_to=24, exception_formatter=structlog.dev.plain_traceback)
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()], processors=rendering
    )


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    """Name the part of the program that speaks."""
    record = event.get("_record")
    event["logger"] = record.name if record is not None else getattr(logger, "name", "headrace")
    return event

"""What operators read: one form for all that is logged, a line each."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.logs import configure_logs


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's, so other tests must find it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the entries of a log in JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_where_no_person_looks() -> None:
    """A log collector could not take entries apart."""
    stream = io.StringIO()
    configure_logs(stream=stream)
    structlog.get_logger("headrace.trainer").info("checkpoint written", version=3)
    (entry,) = lines(stream)
    assert (entry["event"], entry["version"], entry["level"]) == ("checkpoint written", 3, "info")
    assert entry["logger"] == "headrace.trainer"
    assert entry["timestamp"].endswith("Z")


def test_both_roads_come_out_in_one_form() -> None:
    """What `consumers` and the libraries log would not be JSON, or would be missing."""
    stream = io.StringIO()
    configure_logs(stream=stream)
    logging.getLogger("consumers.kafka_commits").warning("commit failed: %s", "timeout", extra={"topic": "events"})
    (entry,) = lines(stream)
    assert (entry["event"], entry["level"], entry["topic"]) == ("commit failed: timeout", "warning", "events")
    assert entry["logger"] == "consumers.kafka_commits"


def test_a_traceback_stays_in_its_line() -> None:
    """One error would become twenty entries."""
    stream = io.StringIO()
    configure_logs(stream=stream)
    try:
        json.loads("of two\nlines")
    except ValueError as error:
        structlog.get_logger("a").error("failed", exc_info=error)
        logging.getLogger("b").exception("failed")
    assert len(lines(stream)) == 2
    for entry in lines(stream):
        assert "JSONDecodeError" in entry["exception"]


def test_readable_lines_on_a_terminal() -> None:
    """A person would have to read JSON."""
    stream = Terminal()
    configure_logs(stream=stream)
    structlog.get_logger("headrace").warning("died; starting again", half="train")
    (line,) = stream.getvalue().splitlines()
    assert "died; starting again" in line
    assert not line.startswith("{")


def test_no_news_of_single_requests() -> None:
    """The log would fill with a line for each request of a client."""
    stream = io.StringIO()
    configure_logs(stream=stream)
    logging.getLogger("httpx").info("HTTP Request: GET /health/ready")
    structlog.get_logger("headrace").debug("detail")
    assert lines(stream) == []
    configure_logs(stream=stream, verbose=True)
    structlog.get_logger("headrace").debug("detail")
    assert len(lines(stream)) == 1


def test_what_json_cannot_carry_is_told_in_words() -> None:
    """An entry with a path in it would be lost in an error of logging itself."""
    stream = io.StringIO()
    configure_logs(stream=stream)
    structlog.get_logger("headrace").info("reading", source=object)
    assert lines(stream)[0]["source"] == "<class 'object'>"

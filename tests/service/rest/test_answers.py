"""Idempotency keys: a retry gets the same answer and does nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import RequestInvalid, StorageFailed
from service.rest.answers import Answers


class Clock:
    """Unix seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(tmp_path: Path, clock: Clock) -> Iterator[Answers]:
    made = Answers(tmp_path / "answers.sqlite", pending_seconds=60, now=clock)
    yield made
    made.close()


def refuse() -> bytes:
    raise AssertionError("it was done again")


def test_a_retry_gets_the_same_answer_and_does_nothing(answers: Answers, tmp_path: Path, clock: Clock) -> None:
    """Without it, a client that retries after a timeout doubles its events; another process must know the key too."""
    assert answers.once("default", "k", b"body", lambda: b"first") == b"first"
    assert answers.once("default", "k", b"body", refuse) == b"first"
    sibling = Answers(tmp_path / "answers.sqlite", pending_seconds=60, now=clock)
    assert sibling.once("default", "k", b"body", refuse) == b"first"
    sibling.close()


def test_keys_belong_to_a_model(answers: Answers) -> None:
    """Without it, two models' clients that number their requests lose each other's events."""
    answers.once("default", "k", b"body", lambda: b"first")
    assert answers.once("other", "k", b"body", lambda: b"second") == b"second"


def test_a_key_with_another_body_is_refused(answers: Answers) -> None:
    """Without it, a client's mistake loses events behind a success."""
    answers.once("default", "k", b"body", lambda: b"first")
    with pytest.raises(RequestInvalid) as refused:
        answers.once("default", "k", b"other", refuse)
    assert (refused.value.status, refused.value.field) == (422, "Idempotency-Key")


def test_a_failure_is_not_remembered(answers: Answers) -> None:
    """Without it, a retry after a broker's outage is answered with the outage for a day."""
    with pytest.raises(AssertionError):
        answers.once("default", "k", b"body", refuse)
    assert answers.once("default", "k", b"body", lambda: b"now") == b"now"


def test_two_at_once_are_one(answers: Answers) -> None:
    """Without it, a client that retries too early doubles its events in Kafka."""
    entered, leave = threading.Event(), threading.Event()

    def slow() -> bytes:
        entered.set()
        leave.wait(10)
        return b"slow"

    first = threading.Thread(target=lambda: answers.once("default", "k", b"body", slow))
    first.start()
    entered.wait(10)
    with pytest.raises(RequestInvalid) as refused:
        answers.once("default", "k", b"body", refuse)
    leave.set()
    first.join()
    assert (refused.value.status, refused.value.retry_after) == (409, 1.0)
    assert answers.once("default", "k", b"body", refuse) == b"slow"


def test_a_dead_request_frees_its_key(answers: Answers, clock: Clock) -> None:
    """Without it, a client whose server was killed is told to wait for ever."""
    assert answers._reserve("default", "k", b"") is None
    clock.now += 61
    assert answers.once("default", "k", b"body", lambda: b"again") == b"again"


def test_where_the_log_knows_keys_nobody_waits(tmp_path: Path) -> None:
    """Without it, a client of a killed server waits although its retry could not do harm."""
    answers = Answers(tmp_path / "answers.sqlite", pending_seconds=0)
    assert answers._reserve("default", "k", b"") is None
    assert answers.once("default", "k", b"body", lambda: b"at once") == b"at once"
    answers.close()


def test_answers_are_forgotten_after_a_day(answers: Answers, clock: Clock) -> None:
    """Without it, the file grows for ever."""
    answers.once("default", "k", b"body", lambda: b"first")
    clock.now += 25 * 3600
    answers.once("default", "other", b"body", lambda: b"other")
    assert answers._database.execute("SELECT count(*) FROM answers").fetchone() == (1,)


def test_a_file_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    """Without it, a full disk is a traceback instead of a 503."""
    (tmp_path / "answers.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageFailed, match=r"answers\.sqlite"):
        Answers(tmp_path / "answers.sqlite", pending_seconds=60)

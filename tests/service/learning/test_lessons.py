"""A lesson in the journal: the very words come back, and what is no lesson is refused."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.checks_data import examples
from models.distillation import heard
from models.examples import Examples, Task
from models.learner import Predictions
from service.errors import JournalInvalid
from service.learning.lessons import decode_lesson, encode_lesson

SAID = {
    "classes": Predictions(
        ("late", 1, 2**70, False),
        np.random.default_rng(0).dirichlet(np.ones(4), 5).astype(np.float32),
    ),
    "numbers": Predictions(values=np.array([0.1, -1e300, 5e-324, 3.0, 0.0])),
}


def taught(name: str) -> Examples:
    """Return rows with what a teacher says of them."""
    return replace(examples(Task.BINARY, 5), taught=heard(SAID[name], 0.3))


@pytest.mark.parametrize("name", SAID)
def test_the_very_words_come_back(name: str) -> None:
    """If this fails, a restart learns something else than was said."""
    given = taught(name).taught
    found = decode_lesson(encode_lesson(taught(name)), 5)
    assert given is not None
    assert found is not None
    assert (found.weight, found.classes) == (given.weight, given.classes)
    assert list(map(type, found.classes)) == list(map(type, given.classes))
    for one, other in ((found.chosen, given.chosen), (found.shares, given.shares), (found.values, given.values)):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def test_nothing_said_is_nothing() -> None:
    """If this fails, every update of every model costs room for a lesson that nobody gave."""
    assert encode_lesson(None) == encode_lesson(examples(Task.BINARY, 5)) == b""
    assert decode_lesson(b"", 5) is None


@pytest.mark.parametrize("name", SAID)
def test_a_lesson_of_other_rows_is_refused(name: str) -> None:
    """If this fails, rows are learned with what was said of others."""
    data = encode_lesson(taught(name))
    for broken, rows in (
        (data, 4),
        (data[:-9], 5),
        (b"\x01", 5),
        (msgspec.msgpack.encode([0.5, 0, "[]", b"", b"", b""]), 5),
    ):
        with pytest.raises(JournalInvalid, match="what a teacher said of"):
            decode_lesson(broken, rows)
    if name == "classes":
        fields = msgspec.msgpack.decode(data)
        with pytest.raises(JournalInvalid, match="of others"):
            decode_lesson(msgspec.msgpack.encode([*fields[:2], '["late"]', *fields[3:]]), 5)

"""The task is read off the first labels in log order; then labels keep to it."""

from collections.abc import Sequence
from typing import Any

import pytest

from consumers.source import Position
from consumers.testing import ManualClock
from models.examples import Label, Task
from service.decoding.decisions import ENOUGH_LABELS, Decisions
from service.decoding.tasks import TaskGate
from service.events import DecodedEvents, EventDecoder
from tests.support.events import ENVELOPE, records


def chunk(*labels: Any) -> DecodedEvents:
    """Return decoded events with these labels; their feature tells them apart."""
    events = ({"features": {"n": number}, "label": label} for number, label in enumerate(labels))
    return EventDecoder(ENVELOPE, {}).decode(records(*events))


def typed(labels: Sequence[Label]) -> list[tuple[type, Label]]:
    """Return labels with their types, for 1 == True == 1.0."""
    return [(type(label), label) for label in labels]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["late"], Task.MULTICLASS),
        ([True], Task.MULTICLASS),
        ([1, "x"], Task.MULTICLASS),
        ([0.5], Task.REGRESSION),
        ([1, 0.5, "x"], Task.REGRESSION),
        ([1, 2, 3], Task.REGRESSION),
        ([1.0, 2, 3.0], Task.REGRESSION),
        ([1, 2] * (ENOUGH_LABELS // 2), Task.BINARY),
        ([1, 1.0, 2.0, 2] * (ENOUGH_LABELS // 4) + [3], Task.BINARY),
        ([1] * ENOUGH_LABELS, Task.BINARY),
        ([7] * ENOUGH_LABELS, Task.REGRESSION),
        ([7] * (ENOUGH_LABELS - 1), None),
        ([1, 2], None),
    ],
)
def test_the_first_labels_settle_the_task(labels: list[Any], task: Task | None) -> None:
    """Fails when the contract's rule is not kept, or what is settled depends on how the log is cut into chunks."""
    settled: list[Task] = []
    # The clock stands still: on a busy machine more than the longest wait may pass between two labels.
    whole = TaskGate(None, on_settled=settled.append, clock=lambda: 0.0)
    released = whole.offer(chunk(*labels))
    assert whole.task == task
    assert settled == ([task] if task else [])
    assert len(released) == (1 if task else 0)
    cut = TaskGate(None, clock=lambda: 0.0)
    for label in labels:
        cut.offer(chunk(label))
    assert cut.task == task


@pytest.mark.parametrize(
    ("labels", "task"),
    [([5, 7], Task.BINARY), ([1], Task.BINARY), ([0], Task.BINARY), ([-1], Task.BINARY), ([5], Task.REGRESSION)],
)
def test_time_settles_what_labels_leave_open(labels: list[int], task: Task) -> None:
    """Fails when a slow stream is held back for ever, or settled before its time."""
    clock = ManualClock()
    gate = TaskGate(None, clock=clock)
    assert gate.offer(chunk(*labels)) == []
    clock.advance(0.99)
    assert (gate.poll(), gate.task) == ([], None)
    clock.advance(0.02)
    released = gate.poll()
    assert gate.task == task
    assert [len(each.examples) for each in released] == [len(labels)]
    assert gate.poll() == []


def test_time_settles_before_newer_labels_are_looked_at() -> None:
    """Fails when labels that came after the bound change what was settled by it."""
    clock = ManualClock()
    gate = TaskGate(None, clock=clock)
    gate.offer(chunk(0, 1))
    clock.advance(1.5)
    released = gate.offer(chunk("x"))
    assert gate.task is Task.BINARY
    assert [list(each.examples.labels) for each in released] == [[0, 1], []]


def test_chunks_keep_their_order_while_held() -> None:
    """Fails when a chunk without labels overtakes one that is held, so that positions run ahead."""
    gate = TaskGate(None)
    first, second, third = chunk(1), chunk(None), chunk("x")
    assert gate.offer(chunk(None))[0].unlabelled == 1
    assert gate.offer(first) == []
    assert gate.offer(second) == []
    assert [each.unlabelled for each in gate.offer(third)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("task", "given", "passed", "refused"),
    [
        (Task.MULTICLASS, ["a", 1, 1.0, True], ["a", 1, 1, True], []),
        (Task.MULTICLASS, [1, "1", True, "true", 2.5, "2"], [1, True, "2"], [1, 3, 4]),
        (Task.MULTICLASS, ["1", 1, 1.0], ["1"], [1, 2]),
        (Task.MULTICLASS, [1e300], [], [0]),
        (Task.BINARY, [0.0, 1, 2, 1.0, "0", True], [0, 1, 1], [2, 4, 5]),
        (Task.BINARY, ["n", "y", "n"], ["n", "y", "n"], []),
        (Task.BINARY, [True, False, 1], [True, False], [2]),
        (Task.REGRESSION, [1, 2.5, "x", True], [1.0, 2.5], [2, 3]),
        (Task.REGRESSION, [1, 2], [1.0, 2.0], []),
    ],
)
def test_labels_become_canonical_or_dead_letters(
    task: Task, given: list[Any], passed: list[Any], refused: list[int]
) -> None:
    """Fails when two spellings of a class are two classes, or a label that contradicts the task is learned."""
    gate = TaskGate(task)
    for _ in range(2):
        (decoded,) = gate.offer(chunk(*given))
        assert typed(decoded.examples.labels) == typed(passed)
        assert [(each.offset, each.reason) for each in decoded.rejected] == [(offset, "label") for offset in refused]
        kept = [n for n in range(len(given)) if n not in refused]
        assert decoded.examples.features.numbers[:, :1].ravel().tolist() == kept
        assert decoded.track.next_offsets.tolist() == [n + 1 for n in kept]
        assert decoded.positions == {0: Position(len(given), 0)}
        assert decoded.events == len(given)


def test_a_refused_row_at_the_end_of_a_message_does_not_hold_it_up() -> None:
    """Fails when the offset of a message is not passed because its last event was refused for its label."""
    events = [{"features": {"a": n}, "label": label} for n, label in enumerate([0, 1, 2])]
    (decoded,) = TaskGate(Task.BINARY).offer(EventDecoder(ENVELOPE, {}).decode(records(events)))
    assert decoded.track.next_offsets.tolist() == [0, 1]
    assert decoded.track.next_events.tolist() == [1, 0]
    assert decoded.rejected[0].index == 2
    assert decoded.rejected[0].value == b'{"features": {"a": 2}, "label": 2}'


def test_a_refused_row_leaves_no_feature_behind() -> None:
    """Fails when the learner meets a feature that only a refused event had."""
    events = [{"features": {"a": 1}, "label": 1}, {"features": {"b": 1}, "label": "x"}]
    (decoded,) = TaskGate(Task.REGRESSION).offer(EventDecoder(ENVELOPE, {}).decode(records(*events)))
    assert [key.name for key in decoded.examples.features.keys] == ["a"]


def test_classes_known_before_a_restart_are_kept_to() -> None:
    """Fails when a restart lets a third class in, or one that JSON confuses with a known one."""
    first = TaskGate(Task.BINARY)
    first.offer(chunk("a", "b"))
    assert first.classes == ("a", "b")
    second = TaskGate(Task.BINARY, first.classes)
    (decoded,) = second.offer(chunk("c", "b"))
    assert list(decoded.examples.labels) == ["b"]


def test_a_gate_that_knows_all_classes_decides_the_same_in_any_order() -> None:
    """Fails when a replay, in which partitions come in another order, accepts a label that was refused."""
    met: list[Label] = []
    TaskGate(Task.MULTICLASS, on_class=met.append).offer(chunk(1, "1", "a"))
    assert typed(met) == typed([1, "a"])
    (decoded,) = TaskGate(Task.MULTICLASS, met).offer(chunk("1", "a", 1))
    assert typed(decoded.examples.labels) == typed(["a", 1])


def test_observations_pass_between_labels() -> None:
    """Fails when a label is gated in another row's place, or what has no label is refused or takes one."""
    decoder = EventDecoder(ENVELOPE, {}, observations=True)
    labels = [None, "a", None, 1, "b", "c", None]
    events = (
        {"features": {"n": number}} | ({} if label is None else {"label": label}) for number, label in enumerate(labels)
    )
    gate = TaskGate(Task.BINARY)
    (passed,) = gate.offer(decoder.decode(records(*events)))
    assert list(passed.examples.labels) == [None, "a", None, 1, None]
    assert passed.examples.labelled is not None
    assert passed.examples.labelled.tolist() == [False, True, False, True, False]
    assert passed.examples.features.numbers[:, 0].tolist() == [0, 1, 2, 3, 6]
    assert [each.offset for each in passed.rejected] == [4, 5]
    assert gate.classes == ("a", 1)
    numbers = TaskGate(Task.REGRESSION)
    (passed,) = numbers.offer(decoder.decode(records({"features": {"n": 1}}, {"features": {"n": 2}, "label": 3})))
    assert typed(passed.examples.labels) == [(type(None), None), (float, 3.0)]


def test_observations_wait_for_no_task() -> None:
    """Fails when what was observed is held back, for hours and without bound, until the first label has come."""
    decoder = EventDecoder(ENVELOPE, {}, joined=True)
    observed, labelled = ({"id": 1, "features": {"n": 1}}, {"id": 1, "label": 7})
    gate = TaskGate(None)
    (passed,) = gate.offer(decoder.decode(records(observed)))
    assert (len(passed.examples), gate.task) == (1, None)
    assert gate.offer(decoder.decode(records(labelled, observed))) == []
    (held,) = gate.offer(decoder.decode(records({"id": 2, "label": "x"})))[:1]
    assert held.examples.labels == [7, None]


def test_gates_of_several_readers_agree() -> None:
    """Fails when two readers take labels that look alike for two classes, or settle on two tasks."""
    decisions = Decisions(None, ())
    first, second = (TaskGate(None, authority=decisions) for _ in range(2))
    assert [len(each.examples) for each in first.offer(chunk("1", "a"))] == [2]
    assert second.task is None
    (decoded,) = second.offer(chunk(1, "b"))
    assert (decoded.examples.labels, [each.index for each in decoded.rejected]) == (["b"], [0])
    assert decisions.task is first.task is second.task is Task.MULTICLASS
    (decoded,) = first.offer(chunk("b", "c"))
    assert decoded.examples.labels == ["b", "c"]
    assert first.classes == decisions.classes == ("1", "a", "b", "c")


def test_a_binary_task_of_several_readers_has_two_classes() -> None:
    """Fails when each of two readers has two classes of its own."""
    decisions = Decisions(Task.BINARY, ("x",))
    first, second = (TaskGate(Task.BINARY, ("x",), authority=decisions) for _ in range(2))
    assert first.offer(chunk("y"))[0].examples.labels == ["y"]
    (decoded,) = second.offer(chunk("z", "y"))
    assert decoded.examples.labels == ["y"]
    assert "beside" in decoded.rejected[0].detail


def test_waiting_settles_it_for_all_readers() -> None:
    """Fails when a reader that waited in vain decides otherwise than the others."""
    decisions = Decisions(None, ())
    clock = ManualClock()
    first, second = (TaskGate(None, clock=clock, authority=decisions) for _ in range(2))
    assert first.offer(chunk(7)) == second.offer(chunk(8)) == []
    clock.advance(1.0)
    assert [each.examples.labels for each in first.poll() + second.poll()] == [[7], [8]]
    assert first.task is second.task is Task.BINARY

"""A file as learners see it: the events of a service, in blocks, and what is wrong with the file told first."""

from pathlib import Path

import pytest

from models.examples import Examples, Task
from service.errors import StreamFileInvalid
from service.measuring.stream import StreamOrder, blocks, cut, survey
from service.replaying.replay_events import Roles
from tests.support.learning import stream


def order(tmp_path: Path, content: str, name: str = "a.csv", **more: object) -> StreamOrder:
    """Return an order for a file of this content, whose label is y."""
    (tmp_path / name).write_text(content)
    return StreamOrder(tmp_path / name, more.pop("roles", Roles("y")), **more)  # type: ignore[arg-type] # as given


def test_rows_come_in_blocks_in_their_order() -> None:
    """Rows would be lost, doubled or predicted at another delay than the one asked for."""
    for sizes in ([10], [1] * 10, [3, 4, 3], [5, 0, 5]):
        given = stream(Task.REGRESSION, 10, 0)
        chunks = [given.slice(sum(sizes[:place]), sum(sizes[: place + 1])) for place in range(len(sizes))]
        found = list(cut(chunks, 4))
        assert [len(block) for block in found] == [4, 4, 2]
        assert Examples.concatenate(found).labels == given.labels


@pytest.mark.parametrize(
    ("labels", "task"),
    [("01", Task.BINARY), ("ab", Task.MULTICLASS), ("012", Task.REGRESSION), (("1.5", "2"), Task.REGRESSION)],
)
def test_the_task_is_read_off_the_labels_as_in_the_service(tmp_path: Path, labels: str, task: Task) -> None:
    """A comparison would be of another task than the service then learns; so few labels settle it at the end only."""
    rows = "".join(f"{number},{label}\n" for number, label in enumerate(labels * 3))
    asked = order(tmp_path, f"x,y\n{rows}")
    found = survey(asked)
    assert (found.task, found.rows) == (task, 3 * len(labels))
    (block,) = blocks(asked, 1000)
    assert len(block) == found.rows
    assert [key.name for key in block.features.keys] == ["x"]


def test_the_task_can_be_said(tmp_path: Path) -> None:
    """Classes that are called by numbers could not be compared on."""
    found = survey(order(tmp_path, "x,y\n1,5\n2,6\n3,7\n", task=Task.MULTICLASS))
    assert (found.task, found.rows) == (Task.MULTICLASS, 3)


def test_what_is_left_out_is_counted_and_the_first_told(tmp_path: Path) -> None:
    """A stream would be compared on fewer rows than it has, and nobody would know."""
    asked = order(tmp_path, "x,y\n1,5.5\n2,\n3,red\n4,6.5\n5,blue\n", task=Task.REGRESSION)
    found = survey(asked)
    assert (found.rows, found.unlabelled, dict(found.refused)) == (2, 1, {"label": 2})
    assert found.first.startswith("row 3: ")
    assert [block.labels for block in blocks(asked, 1)] == [[5.5], [6.5]]


def test_only_so_many_rows(tmp_path: Path) -> None:
    """A first look at a large file would take as long as all of it."""
    asked = order(tmp_path, "x,y\n" + "1,a\n2,b\n" * 1000, limit=7)
    assert survey(asked).rows == 7
    assert [len(block) for block in blocks(asked, 4)] == [4, 3]


def test_ids_are_no_features_and_events_may_come_as_they_are(tmp_path: Path) -> None:
    """A learner would learn rows by heart by their ids, or events of the service's own could not be compared on."""
    table = order(tmp_path, "key,x,y\na1,1,p\na2,2,q\n", roles=Roles("y", "key"))
    events = '{"id": "a1", "features": {"x": 1}, "label": "p"}\n{"id": "a2", "features": {"x": 2}, "label": "q"}\n'
    envelopes = order(tmp_path, events, "b.ndjson", roles=Roles(None))
    for asked in (table, envelopes):
        (block,) = blocks(asked, 10)
        assert ([key.name for key in block.features.keys], block.labels) == (["x"], ["p", "q"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x,y\n", "has no row with a label that could be learned; it is empty"),
        ("x,y\n1,\n2,\n", "; 2 have none"),
        ("x,z\n1,2\n", "there is no column 'y' for --label"),
        ("x,y\n1,2,3\n", "line 2 has 3 values"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_is_learned(tmp_path: Path, content: str, told: str) -> None:
    """Somebody would wait for minutes to be told that a column is called otherwise."""
    with pytest.raises(StreamFileInvalid) as refused:
        survey(order(tmp_path, content))
    assert told in str(refused.value)

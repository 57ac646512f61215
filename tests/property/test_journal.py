"""The journal under any sequence of appends, rotations, prunings, crashes and former owners that go on writing."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consumers.source import Position
from consumers.track import Run
from service.journal import Decision, Entry, Journal, JournalTail, Update, read_journal


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


class Trainers(RuleBasedStateMachine):
    """Trainers that own one model in turn, beside a plain list of what really happened."""

    @initialize()
    def start(self) -> None:
        # Nobody appends while another reads here, so half a frame need not be waited for.
        self._impatient = mock.patch("service.durability.journal_reading._SETTLE", 0.0)
        self._impatient.start()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.owners: list[Journal] = []
        self.checkpoints = {-1: 0}  # version → how many entries came before
        self.history: list[Entry] = []
        self.stale: list[Journal] = []
        self.published = 0
        self.kill()

    @rule()
    def kill(self) -> None:
        """A trainer is killed or frozen; the next reads and goes on."""
        assert not self.read(max(self.checkpoints)).tail_lost
        self.begin()

    def read(self, version: int) -> JournalTail:
        """Read what follows a checkpoint, and see that it is what did."""
        tail = read_journal(self.folder, version)
        expected = self.history[self.checkpoints[version] :]
        repeated = list(tail.entries[: len(tail.entries) - len(expected)])
        assert list(tail.entries[len(repeated) :]) == expected
        # Decisions at the very version of the checkpoint may come again.
        assert all(isinstance(entry, Decision) and entry.version == version for entry in repeated)
        return tail

    def begin(self) -> None:
        tail = self.read(max(self.checkpoints))
        self.stale.extend(self.owners[-1:])
        self.version = tail.resume_version
        assert self.version >= self.published
        self.owners.append(Journal(self.folder, len(self.owners) + 1, self.version, tail))

    @rule(torn=st.binary(min_size=1, max_size=20))
    def kill_in_the_middle(self, torn: bytes) -> None:
        """A trainer dies while it appends."""
        with max(self.folder.glob(f"{len(self.owners):06d}-*.journal")).open("ab") as file:
            file.write(torn)
        assert self.read(max(self.checkpoints)).tail_lost
        self.begin()

    @rule(rows=st.integers(0, 100))
    def update(self, rows: int) -> None:
        self.version += 1
        self.published = max(self.published, self.version)
        self.append(Update(self.version, "microbatch", [Run(0, rows)], {0: Position(len(self.history))}))

    @rule()
    def decide(self) -> None:
        self.append(Decision("fallback", self.version, {"number": len(self.history)}))

    def append(self, entry: Entry) -> None:
        self.owners[-1].append(entry)
        self.history.append(entry)

    @rule()
    def checkpoint(self) -> None:
        self.owners[-1].rotate(self.version)
        self.checkpoints[self.version] = len(self.history)

    @precondition(lambda self: len(self.checkpoints) > 2)
    @rule()
    def prune(self) -> None:
        for version in sorted(self.checkpoints)[:-2]:
            del self.checkpoints[version]
        self.owners[-1].prune(min(self.checkpoints))

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def former_owner_goes_on(self, data: st.DataObject) -> None:
        journal = data.draw(st.sampled_from(self.stale), "former owner")
        journal.append(Update(data.draw(st.integers(1, 50)), "stale", [], {}))
        journal.sync()

    @invariant()
    def every_checkpoint_can_be_continued(self) -> None:
        for version in self.checkpoints:
            self.read(version)

    def teardown(self) -> None:
        self._impatient.stop()
        self._temporary.cleanup()


TestTrainers = Trainers.TestCase
TestTrainers.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_any_cut_leaves_a_beginning(data: st.DataObject, count: int) -> None:
    """A crash at some unlucky byte would yield an entry that was never appended, or reuse a version."""
    with folder() as path:
        entries = written(path, count)
        file = next(path.glob("*.journal"))
        content = file.read_bytes()
        cut = data.draw(st.integers(0, len(content) - 1))
        file.write_bytes(content[:cut])
        tail = read_journal(path, -1)
        assert list(tail.entries) == entries[: len(tail.entries)]
        assert tail.resume_version >= count or not tail.tail_lost


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_any_flipped_bit_is_noticed(data: st.DataObject, count: int) -> None:
    """An entry that was altered on disk would be replayed as it is."""
    with folder() as path:
        entries = written(path, count)
        file = next(path.glob("*.journal"))
        content = bytearray(file.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(content)
        tail = read_journal(path, -1)
        assert list(tail.entries) == entries[: len(tail.entries)]
        assert len(tail.entries) < count
        assert tail.tail_lost
        assert tail.resume_version >= count


def written(path: Path, count: int) -> list[Entry]:
    """Append `count` updates and return them."""
    journal = Journal(path, 1, 0, read_journal(path, -1))
    entries: list[Entry] = [Update(v, "microbatch", [Run(0, v)], {0: Position(v)}) for v in range(1, count + 1)]
    for entry in entries:
        journal.append(entry)
    return entries

"""Where a campaign takes place: its folders, its settings, and its varieties.

``sizes``: one partition, microbatches bounded by their size alone, so that the parameters are those of a run that
nothing disturbed.
``timeouts``: several partitions and microbatches that end by time, so that the journal's boundaries count.
``taught``: the same, and some events have no label: another model, whose trainer is killed too, says what it would be.
``challenged``: as with ``sizes``, and a challenger learns beside, answers some of the requests, and is promoted.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from consumers.log import LogReader, LogSource
from consumers.source import Position, Positions, StoredRecord
from service.config import Settings

Variety = Literal["sizes", "timeouts", "taught", "challenged"]

MAX_SIZE = 32
LEASE_SECONDS = 0.6
MODEL, TEACHER = "default", "old"


CONTEST = {"promote": "when-significant", "begin_after": 64, "hold_events": 320, "answers": {"able": 0.5}}
"""Under which the challenger is promoted within some hundred events, and the former champion then answers nobody."""


@dataclass(frozen=True)
class Place:
    """Folders and settings of a campaign."""

    folder: Path
    variety: Variety

    @property
    def sized(self) -> bool:
        """Whether microbatches are bounded by their size alone."""
        return self.variety in ("sizes", "challenged")

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return 1 if self.sized else 3

    @property
    def logs(self) -> list[Path]:
        """The file of each partition's log."""
        names = ["events"] if self.partitions == 1 else [f"events-{each}" for each in range(self.partitions)]
        return [self.folder / "data" / "log" / f"{name}.sqlite" for name in names]

    @property
    def model(self) -> Path:
        """Everything durable of the model."""
        return self.folder / "data" / "models" / MODEL

    @property
    def publication(self) -> Path:
        """What servers would map."""
        return self.folder / "publish" / MODEL

    @property
    def model_status(self) -> Path:
        """What the trainer reports."""
        return self.publication / "status.json"

    @property
    def kills(self) -> Path:
        """One line for each kill at a point, written just before it."""
        return self.folder / "kills.txt"

    @property
    def versions(self) -> Path:
        """One line for each version that the watcher saw: its number and a digest of what was served."""
        return self.folder / "versions.txt"

    @property
    def updates(self) -> Path:
        """One line of JSON for each journaled update."""
        return self.folder / "updates.jsonl"

    def settings(self, *, every_seconds: float = 0.2, processes: int = 0) -> Settings:
        """Return a trainer's settings."""
        sizes = self.sized
        learner: dict[str, Any] = {"kind": "mlp", "device": "cpu", "network": {"hidden": [16]}}
        usual: dict[str, Any] = {"task": "multiclass", "learner": learner}
        teaching = {TEACHER: usual} if self.variety == "taught" else {}
        taught = {"task": "multiclass", "teacher": {"model": TEACHER}} if self.variety == "taught" else {}
        if self.variety == "challenged":
            usual |= {"learner": learner | {"learning_rate": 1e-9}, "challengers": {"able": {"learner": learner}}}
            usual["contest"] = CONTEST
        microbatch = {"max_size": MAX_SIZE, "max_delay_ms": 3_600_000 if sizes else 4, "max_bytes": 1 << 30}
        return Settings.model_validate(
            {
                "data_dir": self.folder / "data",
                "publish_dir": self.folder / "publish",
                "models": {
                    MODEL: {
                        **(usual if self.variety == "challenged" else taught | {"learner": learner}),
                        "microbatch": microbatch | {"adaptive": False},
                        # Enough that what was journaled can be read after each cycle, before it is pruned.
                        "checkpoint": {"every_seconds": every_seconds, "keep": 4 if sizes else 40},
                    },
                    **teaching,
                },
                "train": {"lease_seconds": LEASE_SECONDS, "niceness": 0},
                "ingest": {"processes": processes},
            }
        )

    def source(self) -> "PartitionedSource":
        """Return the topic as trainers read it."""
        return PartitionedSource(self.logs)


class PartitionedSource:
    """Several embedded logs as the partitions of one topic, without a broker. See :class:`consumers.source.Source`."""

    topic = "events"

    def __init__(self, logs: Sequence[Path]) -> None:
        self._logs = logs

    def open(self, positions: Positions, identity: str = "") -> "PartitionedReader":
        """Return a reader of all partitions."""
        reader = PartitionedReader(self._logs, positions)
        assert identity in ("", reader.identity), "the campaign's logs are never replaced"
        return reader


class PartitionedReader:
    """Takes from one partition after the other. See :class:`consumers.source.Reader`."""

    def __init__(self, logs: Sequence[Path], positions: Positions) -> None:
        self._readers: list[LogReader] = []
        for partition, path in enumerate(logs):
            start = {0: positions[partition]} if partition in positions else dict[int, Position]()
            self._readers.append(LogSource(path).open(start))
        self._turn = 0

    @property
    def identity(self) -> str:
        """Of all logs together."""
        return "/".join(reader.identity for reader in self._readers)

    def poll(self, max_records: int, timeout: float) -> Sequence[StoredRecord]:
        """Return what the next partition that has something has."""
        give_up = time.monotonic() + timeout
        while True:
            for _ in self._readers:
                self._turn = (self._turn + 1) % len(self._readers)
                found = self._readers[self._turn].poll(max_records, 0.0)
                if found:
                    return [record._replace(partition=self._turn) for record in found]
            if time.monotonic() >= give_up:
                return []
            time.sleep(0.001)

    def commit(self, positions: Positions) -> None:
        """Do nothing."""

    def ends(self) -> Mapping[int, int]:
        """Return where each partition ends."""
        return {partition: reader.ends()[0] for partition, reader in enumerate(self._readers)}

    def close(self) -> None:
        """Close all logs."""
        for reader in self._readers:
            reader.close()

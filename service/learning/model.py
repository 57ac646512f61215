"""One model as its trainer holds it: its settings, its folders, its place in the log, and how its parts are built."""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from consumers.dead_letters import DeadLetters
from consumers.errors import ConsumerError
from consumers.log import LogRetention
from consumers.microbatch import MicroBatcher
from consumers.source import Position, Positions, Source
from models.errors import DeviceFailed
from models.examples import Examples, Joint, Task
from models.influence import KeyShares
from models.learner import Json, Learner
from service.checkpoints import CheckpointStore
from service.config import ModelSettings, Settings
from service.decoding.tasks import TaskGate
from service.durability.lease import Lease, Unowned
from service.durability.manifest import decode_manifest
from service.errors import ConfigurationInvalid, RegistryUnavailable
from service.joining.join import Join
from service.learning.dedup import DedupWindow
from service.learning.learner_files import digests_of
from service.learning.screen import Screen
from service.learning.teaching import Teacher
from service.monitoring.status import ErrorStatus
from service.publication import Publisher
from service.reading.ingest import Ingest, IngestLoop, Start
from service.reading.ingest_programs import ProcessIngest
from service.reading.ingest_thread import ThreadIngest
from service.reading.read_back import read_back
from service.reading.reading_messages import Job
from service.reading.reading_program import ReadingPrograms
from service.reading.refusals import make_refusals
from service.restart.rebatching import Chained
from service.restart.recovery import Recovery
from service.restart.relearning import Relearning
from service.wiring import ModelPaths, log_path, make_decoder

MakeLearner = Callable[[Task], Learner]

_READ_AHEAD = 8
"""Microbatches that may wait, decoded, for the learner: enough to smooth a slow step, little enough to stay fresh."""

_SHAPES_NO_UPDATE = {
    "topic", "task", "microbatch", "fallback", "checkpoint", "canary", "dead_letters", "warm_start", "remember"
}  # fmt: skip
"""Settings that may change without anything being learned in another way; one that is not named here may not."""


@dataclass(slots=True)
class Model:
    """What a trainer needs of its model.

    Attributes
    ----------
    name, identity
        What it is called, and what tells it from another one that had its name.
    settings, service
        Its settings, and those of the whole service.
    paths
        Its folders.
    source
        The topic that it learns from.
    lease, store, journal, publisher, dead_letters
        Ownership, and what only the owner may write.
    make_learner, make_stand_in
        Build the configured learner, and the one for when the device fails.
    programs
        Where the program that reads and decodes comes from; None: a thread of the trainer reads.
    teacher
        Whom its learner learns from beside labels.
    memory_bound
        Events in a microbatch that the device has room for, at most; None as long as any configured number fits.
    notices
        The last things that an operator should know, newest last.
    """

    name: str
    identity: str
    settings: ModelSettings
    service: Settings
    paths: ModelPaths
    source: Source
    lease: Lease | Unowned
    store: CheckpointStore
    publisher: Publisher
    dead_letters: DeadLetters
    make_learner: MakeLearner
    make_stand_in: MakeLearner
    programs: ReadingPrograms | None = None
    teacher: Teacher | None = None
    notices: deque[ErrorStatus] = field(default_factory=lambda: deque(maxlen=10))
    memory_bound: int | None = None

    def notice(self, message: str) -> None:
        """Keep `message` for the model's state."""
        self.notices.append(ErrorStatus(at=time.time(), message=message))

    @property
    def configured_task(self) -> Task | None:
        """The task that the configuration names; None for auto."""
        return None if self.settings.task == "auto" else Task(self.settings.task)

    @property
    def max_size(self) -> int:
        """Events in a microbatch, at most, as long as there is no large backlog."""
        return self._within_memory(self.settings.microbatch.max_size)

    @property
    def largest_size(self) -> int:
        """Events in a microbatch, at most, whatever waits."""
        return self._within_memory(self.settings.microbatch.largest)

    def _within_memory(self, size: int) -> int:
        return size if self.memory_bound is None else min(size, self.memory_bound)

    def build_learner(self, task: Task) -> Learner:
        """Build the configured learner.

        Raises
        ------
        DeviceFailed
            The device does not answer, or a fire drill says so.
        """
        self.check_drill()
        return self.make_learner(task)

    def check_drill(self) -> None:
        """Raise :class:`~models.errors.DeviceFailed` while a fire drill is on (see docs/operations.md)."""
        if self.paths.drill.exists():
            raise DeviceFailed(f"fire drill: {self.paths.drill} exists; remove it to have the device back")

    def recovery(self) -> Recovery:
        """Return what recovers this model."""
        return Recovery(
            self.store,
            self.paths.journal,
            self.configured_task,
            Relearning(
                self.store, self.build_learner, self.open_ingest, self.make_batcher, self.make_screen, self.teacher
            ),
            self.recipe(),
        )

    def recipe(self) -> str:
        """Return a digest of what shapes an update: with other settings, the same events give other parameters.

        So they do with another network in the file that the settings name, or with other weights.
        """
        shaping = self.settings.model_dump(
            mode="json", exclude={**dict.fromkeys(_SHAPES_NO_UPDATE, True), "contest": {"answers", "slowest"}}
        )
        shaping |= digests_of(*self.settings.contenders.values())
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]

    def make_screen(self) -> Screen:
        """Return what joins labels, and keeps from a learner what it should not learn; it has met nothing yet."""
        window, influence = self.settings.events.dedup_window, self.settings.influence
        return Screen(
            DedupWindow(window) if window else None,
            None if influence.key_share is None else KeyShares(influence.key_share, influence.window),
            self._make_join(),
        )

    def _make_join(self) -> Join | None:
        join = self.settings.join
        if not join.enabled:
            return None
        taught = self.teacher is not None
        default = join.default_for(self.settings.task)
        weight = join.sample if self.settings.task == "regression" else 1
        return Join(join, self.paths.waiting, default=default, default_weight=weight, taught=taught)

    def open_ingest(self, start: Start) -> Ingest:
        """Begin to read and decode.

        Raises
        ------
        ConfigurationInvalid
            The label of what waited in vain cannot be one of the classes.
        """
        start = self._with_default(start)
        if self.programs is not None:
            return ProcessIngest(Job(self.service, self.name, start), self.notice, self.programs.take)
        bounds = self.settings.microbatch
        decoder = make_decoder(self.service, self.name, start.positions)
        gate = TaskGate(start.task, start.classes, most_classes=self.settings.events.max_classes)
        refusals = make_refusals(self.service, self.name, self.dead_letters, self.source.topic)
        delay = bounds.max_delay_ms / 1000
        return ThreadIngest(
            lambda outlet: IngestLoop(
                self.source, start, decoder, gate, refusals=refusals, outlet=outlet, max_delay=delay
            ),
            start,
            max_rows=max(bounds.max_size * _READ_AHEAD, 2 * bounds.largest, 4096),
            max_bytes=bounds.max_bytes * _READ_AHEAD,
            notice=self.notice,
        )

    def _with_default(self, start: Start) -> Start:
        """Return `start` with the class that it means if no label comes: nobody may ever send it."""
        default = self.settings.join.default_for(self.settings.task)
        known = [(type(label), label) for label in start.classes]  # for 1 is true, in Python
        if default is None or self.settings.task == "regression" or (type(default), default) in known:
            return start
        if self.settings.task == "binary" and len(start.classes) > 1:
            raise ConfigurationInvalid(
                f"models.{self.name}.join.default: {default!r} would be a third class beside "
                f"{' and '.join(map(repr, start.classes))}, and the task is binary"
            )
        return replace(start, classes=(*start.classes, default))

    def read_back(self, positions: Positions, task: Task | None) -> list[Examples]:
        """Return the last labelled events before `positions`, for a stand-in; fewer where no more can be had."""
        try:
            pieces = read_back(
                self.source,
                positions,
                make_decoder(self.service, self.name, {}, labelled_only=True),
                TaskGate(task, (), most_classes=self.settings.events.max_classes),
                self.settings.fallback.replay_events,
            )
        except (ConsumerError, RegistryUnavailable) as error:
            self.notice(f"the last events could not be read back, so the stand-in starts from nothing: {error}")
            return []
        screen = self.make_screen()
        return [screen.passed(piece) for piece in pieces]

    def learner_options(self) -> Json:
        """Return the learner's settings as a checkpoint carries them."""
        return asdict(self.settings.learner)

    def forget(self) -> None:
        """Let the embedded log forget what is past its retention and no kept checkpoint needs."""
        kept = self.store.recent()
        if self.service.source.kind != "log" or not kept:
            return
        # The same topic may have other readers: the floor is kept in the log even where this one never deletes.
        days, size = self.service.log.retention_days, self.service.log.retention_bytes
        floor = min(decode_manifest(each.path).positions.get(0, Position(0)).offset for each in kept)
        retention = LogRetention(
            log_path(self.service, self.settings.topic),
            reader=self.name,
            max_age=None if days is None else days * 86_400,
            max_bytes=size,
        )
        try:
            retention.prune(floor)
        finally:
            retention.close()

    def close(self) -> None:
        """Let files go."""
        self.dead_letters.close()
        if self.teacher is not None:
            self.teacher.close()

    def make_batcher(self, feed: Chained[Examples], positions: Positions) -> MicroBatcher[Examples]:
        """Return a microbatcher with the configured bounds."""
        bounds = self.settings.microbatch
        return MicroBatcher(
            feed,
            max_size=self.max_size,
            max_delay=bounds.max_delay_ms / 1000,
            max_bytes=bounds.max_bytes,
            start=positions,
            joint=Joint,
        )

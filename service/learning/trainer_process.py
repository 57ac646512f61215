"""``headrace train``: the process around a trainer. Claims the model, recovers it, learns until it is told to stop.

A second one on the same directory stands by, everything imported, and goes on where the first one ended.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable

import structlog

from consumers.dead_letters import DeadLetters
from consumers.errors import ConsumerError
from consumers.source import Source
from models.errors import DeviceFailed, ModelError
from models.examples import Task
from models.learner import Learner, LearnerOptions
from models.registry import create_contest, create_learner, prepare
from service.checkpoints import CheckpointStore
from service.config import Settings
from service.durability.claiming import claim, claimed
from service.durability.lease import Lease, Unowned
from service.durability.model_identity import known_identity, own_identity
from service.errors import ConfigurationInvalid, OwnershipLost, ServiceError, StorageFailed
from service.journal import Journal
from service.learning.model import Model
from service.learning.teaching import make_teacher
from service.learning.yielding import yield_processors
from service.monitoring.failing import note_failure
from service.publication import Publisher
from service.reading.reading_program import ReadingPrograms
from service.reading.steady_memory import keep_memory_at_hand
from service.repair.device_loss import LOST_AGAIN, is_lost_again
from service.restart.beginning import begin
from service.restart.history_file import HistoryOrder
from service.restart.starting_over import finish_starting_over
from service.roster.following import Following
from service.settings.join import as_thinned
from service.trainer import Trainer
from service.wiring import make_source, model_paths, open_dead_letters

_log = structlog.get_logger("headrace.trainer")


def run_spare(settings: Settings) -> int:
    """Import everything, then train the model whose name comes on stdin; return the exit status."""
    programs = prepare_trainer(settings)
    name = sys.stdin.readline().strip()
    if not name:
        programs.close()
        return 0
    return run_trainer(settings, name, programs)


def run_trainer(
    settings: Settings,
    name: str,
    programs: ReadingPrograms | None = None,
    history: HistoryOrder | None = None,
) -> int:
    """Train the model `name` until SIGTERM or SIGINT; return the exit status.

    Parameters
    ----------
    settings, name
        What to train, and how.
    programs
        Of a process that has imported everything; None: do that first.
    history
        A file that it learns before anything else, if it has learned nothing yet.

    Raises
    ------
    ServiceError, ConsumerError, ModelError
        It cannot go on; the message says what to do.
    """
    following = Following(settings, name)
    if not following.exists():
        raise ConfigurationInvalid(f"there is no model {name!r}; there is {', '.join(settings.models)}")
    stop = threading.Event()
    running: list[Trainer] = []

    def stop_trainer() -> None:
        for trainer in running:
            trainer.stop()

    def end(signal_number: int, frame: object) -> None:
        del signal_number, frame
        stop.set()
        stop_trainer()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    programs = programs or prepare_trainer(settings)
    _log.info("everything is imported", model=name)
    try:
        with following.looking(stop_trainer):
            while not stop.is_set():
                lease = claim(settings, name, stop, lambda reason: _log.info(reason, model=name))
                if lease is None:
                    break
                try:
                    current = following.owned()
                    if current is None:
                        _log.info("the model was removed", model=name)
                        break
                    _own(open_model(current, name, lease, programs), stop, running, history)
                except OwnershipLost as error:
                    _log.warning("ownership lost; standing by", error=str(error))
                except (ServiceError, ConsumerError, ModelError) as error:
                    paths = model_paths(settings, name)
                    note_failure(paths.status, name, lease.epoch, known_identity(paths.root), error)
                    raise
                finally:
                    running.clear()
                    lease.release()
                if settings.ingest.processes and not stop.is_set():
                    programs.prepare()
    finally:
        programs.close()
    return 0


def begin_only(settings: Settings, name: str, history: HistoryOrder | None) -> None:
    """Have the model `name` begin, where it has not yet, and leave it to others to train it.

    Raises
    ------
    ModelOwned
        A trainer owns it.
    ServiceError, ConsumerError, ModelError
        It cannot begin with that; nothing has changed.
    """
    prepare_learning()
    with claimed(settings, name) as lease:
        model = open_model(settings, name, lease)
        try:
            begin(model, history, lambda: False)
        finally:
            model.close()


def prepare_trainer(settings: Settings) -> ReadingPrograms:
    """Import everything before it is urgent, here and in a reading program, and leave some cores to others."""
    keep_memory_at_hand()
    programs = ReadingPrograms()
    if settings.ingest.processes:
        programs.prepare()
    prepare_learning()
    gc.collect()
    gc.freeze()
    return programs


def prepare_learning() -> None:
    """Import everything, and leave some cores to others. The same everywhere: other threads add up in other orders."""
    prepare(threads=max(1, (os.cpu_count() or 2) // 2))


def _own(model: Model, stop: threading.Event, running: list[Trainer], history: HistoryOrder | None = None) -> None:
    """Have the model begin where it has not yet, recover it, and train it while it is ours."""
    try:
        if not begin(model, history, stop.is_set):
            return
        trainer = start_trainer(model)
        running.append(trainer)
        if stop.is_set():
            trainer.stop()
        yield_processors(model.service.train.niceness)
        trainer.run()
    except StorageFailed:
        # What a successor has cleared away cannot be written: then it is no matter of space.
        model.lease.check()
        raise
    finally:
        model.close()


def open_model(
    settings: Settings,
    name: str,
    lease: Lease | Unowned,
    programs: ReadingPrograms | None = None,
    *,
    source: Source | None = None,
    dead_letters: DeadLetters | None = None,
    make_learner: Callable[[Task], Learner] | None = None,
) -> Model:
    """Put the model `name` together.

    Parameters
    ----------
    settings, name, lease
        Which model, and the claim to it.
    programs
        Where the program that reads and decodes comes from, if one is configured; None: a thread reads.
    source, dead_letters, make_learner
        In the place of those that the configuration names.

    Raises
    ------
    StorageFailed, DurabilityLost, SourceUnavailable, LogUnreadable
    """
    paths = model_paths(settings, name)
    chosen = settings.models[name]
    event_clip, drift = chosen.influence.event_clip, chosen.drift.options()
    if isinstance(lease, Lease):
        finish_starting_over(paths)
        identity = own_identity(paths.root)
    else:
        identity = known_identity(paths.root)

    def make(options: LearnerOptions, task: Task) -> Learner:
        return create_learner(options, task, event_clip, drift, paths.root)

    return Model(
        name=name,
        identity=identity,
        settings=chosen,
        service=settings,
        paths=paths,
        source=source or make_source(settings, name),
        lease=lease,
        store=CheckpointStore(paths.checkpoints, chosen.checkpoint.keep),
        publisher=Publisher(paths.publication, lease.epoch, of_model=identity),
        dead_letters=dead_letters or open_dead_letters(settings, name),
        programs=programs if settings.ingest.processes else None,
        teacher=make_teacher(settings, name),
        make_learner=make_learner
        or (lambda task: create_contest(chosen.contenders, chosen.contest.rules(), task, make)),
        make_stand_in=lambda task: create_learner(stand_in_options(chosen.learner), task, event_clip, drift),
    )


def stand_in_options(options: LearnerOptions) -> LearnerOptions:
    """Return what the online learner is built from when it stands in: what was chosen for a network is not for it."""
    return as_thinned(LearnerOptions(kind="online", window=options.window, seed=options.seed), options)


def start_trainer(model: Model) -> Trainer:
    """Recover `model` and return its trainer, ready to run.

    Raises
    ------
    ConsumerError, ServiceError, ModelError
    """
    recovery = model.recovery()
    try:
        recovered = recovery.run()
    except DeviceFailed as error:
        _log.warning("the device does not answer", error=str(error))
        recovered = recovery.run_without_device(error)
    if recovered.device_error is None and is_lost_again(recovered.tail.entries):
        recovered.lane.close()
        recovered = recovery.run_without_device(LOST_AGAIN)
    if model.teacher is not None:
        try:
            model.teacher.check(recovered.noted)
        except ConfigurationInvalid:
            recovered.lane.close()
            raise
    journal = Journal(model.paths.journal, model.lease.epoch, recovered.version, recovered.tail)
    return Trainer(model, recovered, journal)

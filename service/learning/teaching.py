"""Asks another model of this service what it would say of a microbatch: the teacher of ``models.NAME.teacher``.

On the path it stands before the learner, in each lane (``lane.py``). It is asked as a server asks (``predictor.py``):
over mapped memory, and where nothing is published its newest checkpoint answers. It shares nothing with that model's
trainer, which may come and go. Where there is no answer to be had, none is waited for.
"""

import threading
from collections.abc import Sequence

import structlog

from models.distillation import heard
from models.examples import Features, Label, Task
from models.learner import Predictions
from models.taught import Taught
from service.config import Settings
from service.decoding.labels import ClassLabels
from service.durability.model_identity import known_identity
from service.errors import ConfigurationInvalid
from service.monitoring.status import TeacherStatus
from service.predictor import ServingModel
from service.restart.noted import Noted
from service.settings.teacher import TeacherSettings
from service.wiring import model_paths

_LOOK_EVERY = 1.0
"""Seconds between two looks for what the teacher has published, or kept."""

_log = structlog.get_logger("headrace.teacher")


class Teacher:
    """Answers what the teacher says. Threads may share it.

    Parameters
    ----------
    settings
        Whom to ask, and how much that counts.
    serving
        The teacher's newest parameters.
    """

    def __init__(self, settings: TeacherSettings, serving: ServingModel) -> None:
        self._settings = settings
        self._serving = serving
        self._version: int | None = None
        self._problem = ""
        self._fitting: tuple[object, ...] = ()
        self._lock = threading.Lock()  # of looking for the first time
        self._stop = threading.Event()
        self._looking: threading.Thread | None = None

    def ask(self, features: Features, task: Task, classes: Sequence[Label]) -> Taught | None:
        """Return what the teacher says of some rows; None where it says nothing that can be used.

        Parameters
        ----------
        features
            As the student has them.
        task, classes
            The student's: what contradicts them is not used.
        """
        self._look()
        version, said, problem = None, None, ""
        try:
            served, predictions = self._serving.predict(features)
            version = served.version
            problem = self._contradiction(predictions, task, classes) if version else "it has not learned anything yet"
            if not problem:
                said = heard(predictions, self._settings.weight, self._settings.temperature)
                problem = "" if said is not None else "its answers are no numbers"
        # Whatever is wrong with a teacher, the student goes on.
        except Exception as error:  # noqa: BLE001
            problem = str(error) or repr(error)
        self._note(version, problem)
        return said

    def check(self, noted: Noted) -> None:
        """Refuse a teacher that predicts something else than what is noted of the student's stream, if it is told yet.

        Raises
        ------
        ConfigurationInvalid
        """
        self._look()
        try:
            served, predictions = self._serving.predict(Features.empty(1))
        except Exception:  # noqa: BLE001 - that it cannot be asked now is no fault of the configuration
            return
        assert noted.task is not None, "a model that has a teacher is configured with a task"  # noqa: S101
        problem = self._contradiction(predictions, noted.task, noted.classes) if served.version else ""
        if problem:
            raise ConfigurationInvalid(
                f"teacher.model: {self._settings.model!r} cannot teach this model: {problem}; name another one, or none"
            )

    def status(self, taught: int, untaught: int) -> TeacherStatus:
        """Return what operators are told, with the counts of the served learner."""
        return TeacherStatus(
            model=self._settings.model, version=self._version, taught=taught, untaught=untaught, problem=self._problem
        )

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._looking is not None:
            self._looking.join()

    def _contradiction(self, predictions: Predictions, task: Task, classes: Sequence[Label]) -> str:
        """Return why answers are of no use to the student; empty where they are."""
        numbers = predictions.values is not None
        if numbers != (task is Task.REGRESSION):
            return f"it predicts {'numbers' if numbers else 'classes'}, and the task is {task}"
        pair = (predictions.classes, tuple(classes), tuple(map(type, classes)))
        if numbers or pair == self._fitting:
            return ""
        _, problems = ClassLabels(binary=task is Task.BINARY, known=classes).canonical(predictions.classes)
        if problems:
            return f"it has other classes: {next(iter(problems.values())).detail}"
        if classes and predictions.classes and set(predictions.classes).isdisjoint(classes):
            return f"it has none of the classes, of which the first is {str(classes[0])[:50]!r}"
        self._fitting = pair
        return ""

    def _note(self, version: int | None, problem: str) -> None:
        """Keep what is to be told, and log it where it is new."""
        self._version = version
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            _log.warning("the teacher says nothing; learning goes on", teacher=self._settings.model, reason=problem)
        else:
            _log.info("the teacher is heard", teacher=self._settings.model, version=version)

    def _look(self) -> None:
        """Have somebody look for the teacher's parameters; the first time here, for else the first rows go untaught."""
        if self._looking is not None:
            return
        with self._lock:
            if self._looking is None:
                self._refresh()
                self._looking = threading.Thread(target=self._look_again, name="teacher", daemon=True)
                self._looking.start()

    def _look_again(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):
            self._refresh()

    def _refresh(self) -> None:
        try:
            self._serving.refresh()
        except Exception as error:  # noqa: BLE001 - as in asking
            _log.error("the teacher's parameters cannot be looked for", reason=str(error))


def make_teacher(settings: Settings, name: str) -> Teacher | None:
    """Return what asks the teacher of the model `name`; None where it has none."""
    chosen = settings.models[name].teacher
    if chosen is None:
        return None
    paths = model_paths(settings, chosen.model)
    learner = "online" if settings.models[chosen.model].learner.kind == "online" else "microbatch"
    return Teacher(
        chosen, ServingModel(paths.publication, paths.checkpoints, learner, lambda: known_identity(paths.root))
    )

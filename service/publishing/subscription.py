"""Subscribing: the servers' side of the handing over. Nothing is written and no lock is shared with the trainer.

Whatever is computed over the mapped arrays is validated afterwards: if the trainer has begun to write the slot since,
the result is thrown away and computed again, from the steady slot and, should that be overtaken too, from a private
copy. See :mod:`service.publishing.publication_layout`.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from models.learner import Array, Json
from service.errors import PublicationMissing
from service.publishing.fence import fence
from service.publishing.publication_layout import (
    WORD_CURRENT,
    WORD_GENERATION,
    WORD_HEADER,
    WORD_STEADY,
    MappedFile,
    Slot,
    files_newest_first,
)

Result = TypeVar("Result")

_LOOK = 1.0  # seconds between two looks for a file that nobody announced
_WARY = 1.0  # seconds for which the steady slot comes first after the newest one was overtaken
_PATIENCE = 5.0  # seconds after which a private copy must have been had
_PAUSE = 0.001  # seconds between two tries at it
_CATCH_UP = 0.2  # seconds, at most, that the steady version is waited for where a newer one was served already

_log = structlog.get_logger("headrace.serve")

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class View:
    """One version of the parameters, as a computation sees it.

    Attributes
    ----------
    spec
        The learner's description; the same object for all views of one layout.
    arrays
        The arrays, read-only and not copied: a result must not refer to them. While a computation runs they may be
        overwritten; it then runs again.
    header
        What was published with them: ``model``, ``version``, ``learner``, ``published_at``, ``restored_from``. Not to
        be modified.
    generation
        Changes with every version in this place.
    cache
        For the computation's own use, such as a predictor over `arrays`: it lives as long as these arrays have the
        place that they have. What is derived from the arrays' content must be kept with the `generation` it is of.
    """

    spec: Json
    arrays: Mapping[str, Array]
    header: Json
    generation: int
    cache: dict[str, Any]


@dataclass(slots=True)
class _Place:
    """A slot as one subscription sees it."""

    slot: Slot
    cache: dict[str, Any] = field(default_factory=dict)
    header: tuple[int, Json] = (0, {})

    def read(self, spec: Json, compute: Callable[[View], Result]) -> tuple[Json, Result] | None:
        """Return the header and what `compute` returned; None where the slot was overtaken."""
        words = self.slot.words
        generation = words[WORD_GENERATION]
        if generation == 0 or generation % 2:
            return None
        fence()
        try:
            header = self._header(generation)
            result = compute(View(spec, self.slot.arrays, header, generation, self.cache))
        except Exception:  # half an update may make any computation fail; a whole one may not
            if words[WORD_GENERATION] == generation:
                raise
            return None
        fence()
        return (header, result) if words[WORD_GENERATION] == generation else None

    def _header(self, generation: int) -> Json:
        known, header = self.header
        if known != generation:
            header = _decode(self.slot.header[: self.slot.words[WORD_HEADER]])
            self.header = (generation, header)
        return header


class _Attachment:
    """A mapped file and what is kept for it."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.spec: Json = json.loads(file.description.spec)
        self.places = [_Place(slot) for slot in file.slots]
        self.copy: View | None = None
        self.copy_index = -1
        self.lock = threading.Lock()  # of the copy
        self.wary_until = 0.0
        self.served = 0  # highest version

    def place(self, word: int) -> _Place:
        """Return the place that a word names: of the newest version, or of one that stays for a while."""
        return self.places[self.file.words[word]]

    def steady_version(self) -> int:
        """Return the version in the steady place; 0 where it is being overtaken."""
        answer = self.place(WORD_STEADY).read(self.spec, lambda view: int(view.header.get("version", 0)))
        return 0 if answer is None else answer[1]

    def read_or_copy(self, word: int, compute: Callable[[View], Result]) -> tuple[Json, Result] | None:
        """Compute over the place that a word names, and where that is overtaken over a copy of it; None without one."""
        answer = self.place(word).read(self.spec, compute)
        if answer is None and (view := self._copied(word)) is not None:
            answer = view.header, compute(view)
        return answer

    def _copied(self, word: int) -> View | None:
        """Return a copy of the version in the place that a word names; None where it was overtaken."""
        with self.lock:
            index = self.file.words[word]
            generation = self.places[index].slot.words[WORD_GENERATION]
            if self.copy is None or (self.copy_index, self.copy.generation) != (index, generation):
                copied = self.places[index].read(self.spec, _copy)
                self.copy, self.copy_index = (None if copied is None else copied[1]), index
            return self.copy


class Subscription:
    """Reads one model's newest parameters. May be shared by threads.

    Parameters
    ----------
    folder
        The model's folder for publications; it need not exist yet, and may be mounted read-only.
    clock
        Monotonic seconds.
    of_model
        Returns the identity of the model whose publications count; by default all do.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        of_model: Callable[[], str] | None = None,
    ) -> None:
        self._folder = folder
        self._of_model = of_model
        self._clock = clock
        self._lock = threading.Lock()
        self._attachment: _Attachment | None = None
        self._look_at = 0.0
        self._distrusted = ""

    def read(self, compute: Callable[[View], Result]) -> tuple[Json, Result]:
        """Return what `compute` makes of one version of the parameters, and that version's header.

        Parameters
        ----------
        compute
            Called with a view, again where the first one was overtaken; it must not keep the view or its arrays.
            What it raises over a whole version is raised here.

        Raises
        ------
        PublicationMissing
            Nothing is published.
        """
        attachment = self._current()
        answer = None
        if self._clock() >= attachment.wary_until:
            # Twice: a process that had to wait for a processor is overtaken once, a slow computation again.
            for _ in range(2):
                answer = answer or attachment.place(WORD_CURRENT).read(attachment.spec, compute)
        if answer is None:
            answer = self._read_overtaken(attachment, compute)
        attachment.served = max(attachment.served, answer[0].get("version", 0))
        return answer

    def header(self) -> Json:
        """Return the newest version's header.

        Raises
        ------
        PublicationMissing
            Nothing is published.
        """
        return self.read(lambda _: None)[0]

    def refresh(self) -> bool:
        """Look for a newer file now; return whether anything is published."""
        with self._lock:
            self._attach()
        return self._attachment is not None

    def _current(self) -> _Attachment:
        """Return what to read from. Cheap: two words and the clock."""
        attachment = self._attachment
        if attachment is None or attachment.file.superseded or self._clock() >= self._look_at:
            with self._lock:
                attachment = self._attach()
        if attachment is None:
            raise PublicationMissing(f"nothing is published in {self._folder}; start the trainer (headrace train)")
        return attachment

    def _attach(self) -> _Attachment | None:
        """Attach to the newest file that nobody has superseded; where there is none, stay with what there is.

        Of a model that is no more nothing stays, though: another one has its name.
        """
        wanted = None if self._of_model is None else self._of_model()
        if self._attachment is not None and not _is_of(self._attachment.file, wanted):
            self._attachment = None
        attached = self._attachment
        for path in files_newest_first(self._folder):
            if attached is not None and not attached.file.superseded and attached.file.is_at(path):
                break
            file = self._open(path)
            if file is not None and not file.superseded and _is_of(file, wanted):
                self._attachment = _Attachment(file)
                break
        self._look_at = self._clock() + _LOOK
        return self._attachment

    def _open(self, path: Path) -> MappedFile | None:
        """Map a file; one that cannot be trusted counts as none, and the operator hears of it once."""
        try:
            return MappedFile.open(path)
        except PublicationMissing as error:
            if str(error) != self._distrusted:
                _log.error("a publication is not trusted", reason=str(error))
            self._distrusted = str(error)
            return None

    def _read_overtaken(self, attachment: _Attachment, compute: Callable[[View], Result]) -> tuple[Json, Result]:
        """Compute where the newest version was overtaken: over the steady one, or over a private copy.

        The steady version may be older than what was served before, and nobody should see a version go back. Mostly a
        newer one comes soon; where none does, because the trainer has died or is starved, the newest version stays
        long enough to be copied.
        """
        started = self._clock()
        awaited = started
        if started >= attachment.wary_until:
            attachment.wary_until = started + _WARY
            awaited += _CATCH_UP
        while True:
            now = self._clock()
            answer = None
            # At last an older version is better than none.
            if attachment.steady_version() >= attachment.served or now >= started + _PATIENCE:
                answer = attachment.read_or_copy(WORD_STEADY, compute)
            elif now >= awaited:
                answer = attachment.read_or_copy(WORD_CURRENT, compute)
            if answer is not None:
                return answer
            if now >= started + _PATIENCE:
                raise PublicationMissing(f"what is published in {self._folder} changes faster than it can be copied")
            time.sleep(_PAUSE)


def _is_of(file: MappedFile, model: str | None) -> bool:
    return model is None or file.description.of_model == model


def _copy(view: View) -> View:
    """Return a view over copies of the arrays."""
    arrays = {name: array.copy() for name, array in view.arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return View(view.spec, arrays, view.header, view.generation, {})

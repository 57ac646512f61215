"""Checkpoints: everything that a model is, durable and all of one moment.

A checkpoint is a manifest, ``manifest-<version>-<epoch>.json``, over segments that never change
(:mod:`service.durability.segments`); segments that are there already are not written again, but for every few
checkpoints, which write all of theirs, so that no file carries all that are kept. Every file is written beside its
place, synced and renamed, the manifest last: a crash at any step leaves the checkpoint before it. A manifest carries
its own checksum and those of its segments; where one does not hold, the checkpoint before it is taken.

Ordered by version alone, and safely so: a trainer captures a checkpoint only of versions for which it was still the
owner, and what a former owner captured then, its successor has reproduced under the same version.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from consumers.source import Positions
from models.learner import Array, Json, LearnerState
from service.durability.files import Files
from service.durability.manifest import Manifest, decode_manifest, encode_manifest
from service.durability.pins import Pins
from service.durability.segments import Segment, SegmentStore
from service.errors import CheckpointInvalid, SchemaUnknown

_log = structlog.get_logger("headrace.checkpoints")
_NAME = re.compile(r"manifest-(\d{12,})-(\d{6,})\.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a model is.

    Attributes
    ----------
    version, epoch
        Of the parameters, and of the owner who captured it.
    positions
        For every partition seen, the next event to take.
    learner
        The learner's state.
    service
        What the trainer keeps beside it: counters and the like.
    created
        When it was captured, in seconds since the epoch.
    others
        Further learners by name, such as the online one while it stands in.
    """

    version: int
    epoch: int
    positions: Positions
    learner: LearnerState
    service: Json
    created: float
    others: Mapping[str, LearnerState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint as it lies on disk.

    Attributes
    ----------
    version, epoch, created
        As in :class:`Checkpoint`; `created` is 0 where the manifest cannot be read.
    path
        Of the manifest.
    size
        Bytes of its segments, those included that it shares with others.
    names
        That were given to it: while it has one it stays.
    """

    version: int
    epoch: int
    created: float
    path: Path
    size: int
    names: tuple[str, ...] = ()


class CheckpointStore:
    """Writes checkpoints, keeps the newest few and those that have a name, and finds the newest that is whole.

    Parameters
    ----------
    folder
        Where they are; made at the first one.
    keep
        How many stay.
    files
        The steps of writing; tests make them fail.
    on_problem
        Told, in one line, of each checkpoint that cannot be used; logs it by default.

    Attributes
    ----------
    pins
        Names that were given to checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 5,
        files: Files | None = None,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = folder
        self._keep = keep
        self._files = files or Files()
        # Any `keep` in a row, if more than one, are of two series at least.
        self._series_length = (keep + 1) // 2
        self._saved = 0
        self._segments = SegmentStore(folder / "segments", self._files)
        self.pins = Pins(folder / "pins", self._files)
        self._on_problem = on_problem or (lambda problem: _log.error("a checkpoint cannot be used", problem=problem))

    def save(self, checkpoint: Checkpoint) -> CheckpointInfo:
        """Write `checkpoint`, durable when this returns, then remove the oldest beyond those that are kept.

        Raises
        ------
        CheckpointInvalid
            An array's type cannot be kept.
        StorageFailed
            It could not be written; those before it are intact.
        DurabilityLost
            It cannot be known what was written; the process must end.
        """
        learners = {"": checkpoint.learner, **checkpoint.others}
        series = self._saved // self._series_length
        segments = {
            name: {key: self._segments.save(arrays, checkpoint.epoch, series) for key, arrays in _grouped(state.arrays)}
            for name, state in learners.items()
        }
        manifest = Manifest(
            checkpoint.version,
            checkpoint.epoch,
            checkpoint.created,
            checkpoint.positions,
            checkpoint.service,
            {name: state.meta for name, state in learners.items()},
            segments,
        )
        path = self._folder / f"manifest-{checkpoint.version:012d}-{checkpoint.epoch:06d}.json"
        self._files.make_folder(self._folder)
        self._files.write(path, [encode_manifest(manifest)])
        self._saved += 1
        self._prune(checkpoint.epoch)
        return _info(path, manifest)

    def load(self, info: CheckpointInfo | None = None) -> Checkpoint | None:
        """Return one checkpoint, or the newest that is whole.

        Parameters
        ----------
        info
            Which one; by default the newest, and where that is broken the one before it, and so on.

        Returns
        -------
        Checkpoint or None
            None where there is none at all.

        Raises
        ------
        CheckpointInvalid
            The one asked for cannot be used, or none of those that are there.
        SchemaUnknown
            The one asked for, or the newest that is not broken, is another program version's.
        """
        if info is not None:
            return self._load(info.path)
        paths = self._paths()
        for path in paths:
            try:
                return self._load(path)
            except SchemaUnknown:
                raise
            except CheckpointInvalid as error:
                self._on_problem(str(error))
        if paths:
            raise CheckpointInvalid(
                f"none of the {len(paths)} checkpoints in {self._folder} can be used: restore the folder from a "
                "backup, or move the model's folder away to begin anew"
            )
        return None

    def list(self) -> Sequence[CheckpointInfo]:
        """Return the checkpoints whose manifests can be read, newest first; their segments are not looked at."""
        found, names = [], self._names()
        for path in self._paths():
            with contextlib.suppress(CheckpointInvalid):
                info = _info(path, decode_manifest(path))
                found.append(replace(info, names=names.get(info.version, ())))
        return found

    def recent(self) -> Sequence[CheckpointInfo]:
        """Return the newest few, which a restart may begin with: what journal and log must lead on from."""
        return self.list()[: self._keep]

    def verify(self) -> Sequence[tuple[CheckpointInfo, str | None]]:
        """Read every checkpoint in full; return each, newest first, with what is wrong with it (None: nothing).

        A name that keeps nothing is a checkpoint that is missing.
        """
        names = self._names()
        found = [self._verify(path) for path in self._paths()]
        lost = names.keys() - {info.version for info, _ in found}
        return [
            *((replace(info, names=names.get(info.version, ())), problem) for info, problem in found),
            *(self._missing(version, names[version]) for version in sorted(lost, reverse=True)),
        ]

    def _names(self) -> Mapping[int, tuple[str, ...]]:
        """Return version → names; none where they cannot be read."""
        names: dict[int, tuple[str, ...]] = {}
        try:
            for pin in self.pins.list():
                names[pin.version] = (*names.get(pin.version, ()), pin.name)
        except CheckpointInvalid as error:
            self._on_problem(str(error))
        return names

    def _missing(self, version: int, names: tuple[str, ...]) -> tuple[CheckpointInfo, str]:
        info = CheckpointInfo(version, -1, 0.0, self._folder, 0, names)
        return info, f"the checkpoint that is called {' and '.join(names)} is not there"

    def _verify(self, path: Path) -> tuple[CheckpointInfo, str | None]:
        info = CheckpointInfo(*_version_and_epoch(path), 0.0, path, 0)
        try:
            manifest = decode_manifest(path)
            info = _info(path, manifest)
            for segment in manifest.all_segments():
                self._segments.load(segment)
        except CheckpointInvalid as error:
            return info, str(error)
        return info, None

    def _load(self, path: Path) -> Checkpoint:
        manifest = decode_manifest(path)
        states = {
            name: LearnerState(meta, dict(self._arrays(manifest.segments[name])))
            for name, meta in manifest.learners.items()
        }
        return Checkpoint(
            manifest.version,
            manifest.epoch,
            manifest.positions,
            states.pop(""),
            manifest.service,
            manifest.created,
            states,
        )

    def _arrays(self, segments: Mapping[str, Segment]) -> Iterator[tuple[str, Array]]:
        for key, segment in segments.items():
            for name, array in self._segments.load(segment).items():
                yield (f"{key}/{name}" if key else name), array

    def _paths(self) -> Sequence[Path]:
        """Return the manifests' paths, newest first."""
        return sorted(
            (path for path in self._folder.glob("manifest-*.json") if _NAME.fullmatch(path.name)),
            key=_version_and_epoch,
            reverse=True,
        )

    def _unfinished(self, epoch: int) -> Iterator[Path]:
        """Yield what crashes left of manifests; those of a later owner are none of this one's business."""
        for path in self._folder.glob("manifest-*.tmp"):
            if _version_and_epoch(path.with_suffix(""))[1] <= epoch:
                yield path

    def _prune(self, epoch: int) -> None:
        """Keep the newest few that can be read, those with a name, and what they need.

        Broken ones among them stay to be looked at. Where a name cannot be read nothing goes: it might be meant.
        """
        kept: dict[Path, Manifest] = {}
        surplus = []
        try:
            pinned = {pin.version for pin in self.pins.list()}
        except CheckpointInvalid as error:
            self._on_problem(str(error))
            return
        recent = 0
        for path in self._paths():
            named = _version_and_epoch(path)[0] in pinned
            if recent == self._keep and not named:
                surplus.append(path)
                continue
            with contextlib.suppress(CheckpointInvalid):
                kept[path] = decode_manifest(path)
                recent += recent < self._keep
        for path in [*surplus, *self._unfinished(epoch)]:
            self._files.remove(path)
        if surplus:
            self._files.sync_folder(self._folder)
        self._segments.clear({s.path for manifest in kept.values() for s in manifest.all_segments()}, epoch)


def _grouped(arrays: Mapping[str, Array]) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """Yield the arrays of each segment, by the part of their names before the first slash."""
    groups: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        key, slash, rest = name.partition("/")
        groups.setdefault(key if slash else "", {})[rest if slash else name] = array
    yield from groups.items()


def _version_and_epoch(path: Path) -> tuple[int, int]:
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2])) if match else (-1, -1)


def _info(path: Path, manifest: Manifest) -> CheckpointInfo:
    size = sum(segment.size for segment in manifest.all_segments())
    return CheckpointInfo(manifest.version, manifest.epoch, manifest.created, path, size)

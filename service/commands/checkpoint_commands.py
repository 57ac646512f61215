"""What ``headrace checkpoints list``, ``verify`` and ``restore`` do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.checkpoints import Checkpoint, CheckpointInfo, CheckpointStore
from service.commands.command_answers import Answer, model_of
from service.commands.dead_letter_texts import when
from service.config import Settings
from service.errors import CheckpointInvalid
from service.operating.checkpoint_records import checkpoint_records
from service.operating.ordering import checkpoint_of
from service.wiring import model_paths

_COLUMNS = ("VERSION", "EPOCH", "CREATED", "MIB", "CANARY", "FROM", "NAMES", "EVENTS", "POSITIONS")


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one checkpoint.

    Attributes
    ----------
    info
        Which one.
    problem
        What is wrong with its files; None: nothing.
    base
        Version of the one that it was made again of; None where it was not.
    outcome, detail, events
        See :class:`service.restart.remaking.Remade`; the outcome is None where that was not asked for.
    """

    info: CheckpointInfo
    problem: str | None
    base: int | None = None
    outcome: str | None = None
    detail: str = ""
    events: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against it."""
        return self.problem is None and self.outcome != "differs"

    def as_line(self) -> str:
        """Return it for people."""
        names = "".join(f"{name}  " for name in self.info.names)
        start = f"{self.info.version:>9}  {names}"
        if self.problem is not None:
            return f"{start}DAMAGED  {self.problem}"
        if self.outcome is None:
            return f"{start}ok       all files are what was written"
        of = "" if self.base is None else f"made again of {self.base}, {self.events} events: "
        said = {"same": "ok       ", "differs": "DIFFERS  ", "impossible": "unknown  "}[self.outcome]
        return f"{start}{said}{of}{self.detail or 'the same, bit for bit'}"

    def as_record(self) -> Mapping[str, Any]:
        """Return it for programs."""
        replay = {"outcome": self.outcome, "base": self.base, "detail": self.detail, "events": self.events}
        return {
            "version": self.info.version,
            "epoch": self.info.epoch,
            "names": self.info.names,
            "problem": self.problem,
            "replay": replay if self.outcome is not None else None,
            "ok": self.is_good,
        }


def list_command(settings: Settings, model: str | None) -> Answer:
    """Return the checkpoints that are kept, newest first.

    Raises
    ------
    ConfigurationInvalid
        There is no such model.
    """
    name = model_of(settings, model)
    records = checkpoint_records(_store(settings, name))
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for each in records:
        positions = " ".join(f"{partition}:{offset}" for partition, (offset, _) in each["positions"].items())
        size = f"{each['bytes'] / 2**20:.1f}"
        columns = (each["version"], each["epoch"], when(each["written_at"]), size, each["canary"] or "-")
        origin = "-" if each["restored_from"] is None else str(each["restored_from"])
        names = " ".join(each["names"]) or "-"
        rows.append((*map(str, columns), origin, names, str(each["events_learned"]), positions))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]
    text = "\n".join(lines) if records else f"no checkpoints of {name} in {settings.data_dir}"
    return Answer(text, {"model": name, "checkpoints": records})


def verify_command(
    settings: Settings, model: str | None, replay: int, tell: Callable[[str], None] = lambda _line: None
) -> Answer:
    """Read the checkpoints in full, and make the last `replay` of them again; tell of each, newest first.

    Raises
    ------
    ConfigurationInvalid
        There is no such model.
    ServiceError, ConsumerError
        The model cannot be opened.
    """
    name = model_of(settings, model)
    store = _store(settings, name)
    found = [Verified(info, problem) for info, problem in store.verify()]
    for place, each in enumerate(found):
        if place < replay and each.problem is None:
            found[place] = _remade(settings, name, store, each, found[place + 1 :])
        tell(found[place].as_line())
    good = all(each.is_good for each in found)
    data = {"model": name, "ok": good, "checkpoints": [each.as_record() for each in found]}
    if not found:
        return Answer(f"no checkpoints of {name} in {settings.data_dir}", data)
    return Answer("ok" if good else f"not all is well with the checkpoints of {name}", data)


def restore_command(settings: Settings, model: str | None, which: str, *, with_positions: bool) -> Answer:
    """Make the learner of an earlier checkpoint the newest one.

    Raises
    ------
    ConfigurationInvalid
        There is no such model.
    ServiceError, ConsumerError, ModelError
        See :func:`service.restart.restoring.restore`.
    """
    from service.restart.restoring import restore

    name = model_of(settings, model)
    new, version = restore(settings, name, checkpoint_of(which), with_positions=with_positions)
    went = "what came after is learned again" if with_positions else "nothing is learned again"
    text = f"version {new} of {name} is version {version} again; {went} when its trainer starts"
    return Answer(text, {"model": name, "version": new, "restored_from": version, "with_positions": with_positions})


def _remade(
    settings: Settings, name: str, store: CheckpointStore, target: Verified, older: Sequence[Verified]
) -> Verified:
    """Make one checkpoint again of the newest whole one before it."""
    from service.learning.trainer_process import prepare_learning
    from service.restart.remaking import model_to_read, remake

    info = target.info
    base = next((each.info for each in older if each.problem is None and each.info.version < info.version), None)
    if base is None:
        return Verified(info, None, None, "impossible", "no whole checkpoint before it is kept to begin with")
    prepare_learning()
    try:
        # A trainer that goes on may have removed them by now.
        pair = _load(store, base), _load(store, info)
    except CheckpointInvalid as error:
        return Verified(info, None, base.version, "impossible", str(error))
    with model_to_read(settings, name) as model:
        made = remake(model, *pair)
    return Verified(info, None, base.version, made.outcome, made.detail, made.events)


def _load(store: CheckpointStore, info: CheckpointInfo) -> Checkpoint:
    checkpoint = store.load(info)
    assert checkpoint is not None, "one that is asked for by name is there"  # noqa: S101
    return checkpoint


def _store(settings: Settings, name: str) -> CheckpointStore:
    return CheckpointStore(model_paths(settings, name).checkpoints, on_problem=lambda _problem: None)

"""What ``headrace dead-letters redrive`` does: sends letters again, once each, and says which it cannot tell of."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from consumers.dead_letter_redrives import REDRIVEN_HEADER, Redrive
from consumers.dead_letters import DeadLetters, Filter
from consumers.errors import AppendFailed
from service.commands.command_answers import Answer, model_of
from service.commands.dead_letter_commands import check_reason, letters_of
from service.config import Settings
from service.errors import ConfigurationInvalid, RedriveRunning
from service.wiring import make_sink, model_paths

_AT_ONCE = 50
"""Letters an append: so many are of unknown fate when it is interrupted."""


def redrive_command(
    settings: Settings,
    model: str | None,
    reason: str | None,
    letters: Sequence[int] | None,
    limit: int | None,
    *,
    again: bool,
) -> Answer:
    """Send the letters that are meant to their topic again.

    Raises
    ------
    ConfigurationInvalid
        There is no such model or letter, or never was such a reason.
    RedriveRunning
        Another one is at it.
    AppendFailed
        The topic did not say that it has them; the message says what is known of them.
    SourceUnavailable, TopicMissing, LogUnreadable
    """
    name = model_of(settings, model)
    with letters_of(settings, name) as table:
        if table is None:
            return _answer(settings, name, 0, [], asked=letters)
        check_reason(reason, table.counts(), name)
        wanted = Filter(reason, ids=letters)
        _check_letters(table, letters, name)
        with _alone(settings, name):
            sent = _redrive(settings, name, table, wanted, limit, again=again)
            unknown = table.find_ids(wanted._replace(redrive="begun"))
    return _answer(settings, name, sent, unknown, asked=letters)


def _redrive(
    settings: Settings, model: str, table: DeadLetters, wanted: Filter, limit: int | None, *, again: bool
) -> int:
    """Send what is wanted; return how many letters."""
    sink = make_sink(settings, model)
    redrive = Redrive(table.redrives, sink, remembers_keys=settings.source.kind == "log")
    try:
        sent = redrive.repair(table.find(wanted._replace(redrive="begun")))
        ids = table.find_ids(wanted._replace(redrive="none"))
        if again:
            ids = sorted([*ids, *table.find_ids(wanted._replace(redrive="begun"))])
        ids = ids[:limit]
        for start in range(0, len(ids), _AT_ONCE):
            sent += redrive.run(ids[start : start + _AT_ONCE], again=again)
    except AppendFailed as error:
        unknown = len(table.find_ids(Filter(redrive="begun")))
        rest = "Run it again: none is sent twice" if redrive.remembers_keys else _about_unknown(unknown, model)
        raise AppendFailed(f"{error}. {rest}") from error
    finally:
        sink.close()
    return sent


@contextmanager
def _alone(settings: Settings, model: str) -> Iterator[None]:
    """Keep other redrives of this model out: what one of them is sending looks like an interrupted one to the other."""
    path = model_paths(settings, model).dead_letters.with_suffix(".redrive")
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RedriveRunning(
                f"dead letters of {model} are being sent again already: wait for that to end"
            ) from None
        yield


def _check_letters(table: DeadLetters, letters: Sequence[int] | None, model: str) -> None:
    if letters is None:
        return
    missing = sorted(set(letters) - set(table.find_ids(Filter(ids=letters))))
    if missing:
        raise ConfigurationInvalid(f"--letter {missing[0]}: there is no such dead letter of {model} (any more)")


def _answer(
    settings: Settings, model: str, sent: int, unknown: Sequence[int], *, asked: Sequence[int] | None
) -> Answer:
    topic = settings.models[model].topic
    lines = [f"{sent:,} dead letters of {model} were sent to {topic} again" if sent else "nothing was sent again"]
    if asked and not sent and not unknown:
        lines = ["nothing was sent again: what you asked for was sent before"]
    if unknown:
        lines.append(_about_unknown(len(unknown), model))
    return Answer("\n".join(lines), {"model": model, "topic": topic, "redriven": sent, "unknown": list(unknown)})


def _about_unknown(count: int, model: str) -> str:
    return (
        f"of {count:,} letters nobody knows whether they were sent: a redrive was interrupted. See which: "
        f"headrace dead-letters list --model {model} --state unknown; those that were sent are in the topic with a "
        f"header {REDRIVEN_HEADER}. To send them all the same, and perhaps have them learned twice: "
        f"headrace dead-letters redrive --model {model} --again"
    )

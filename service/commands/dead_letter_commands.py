"""What ``headrace dead-letters list``, ``show`` and ``resume`` do; ``redrive`` is in ``dead_letter_redriving.py``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from consumers.dead_letter_pause import Pause
from consumers.dead_letters import DeadLetters, Filter, KeptLetter, Place
from service.commands.command_answers import Answer, model_of
from service.commands.dead_letter_texts import STATES, as_lines, as_record, as_text, as_whole_record, when
from service.config import Settings
from service.errors import ConfigurationInvalid
from service.wiring import model_paths, open_dead_letters


def list_command(settings: Settings, model: str | None, reason: str | None, state: str | None, limit: int) -> Answer:
    """Return the newest letters, how many there ever were, and whether learning pauses because of them.

    Raises
    ------
    ConfigurationInvalid
        There is no such model, or never was such a reason.
    SourceUnavailable, LogUnreadable
    """
    name = model_of(settings, model)
    with letters_of(settings, name) as table:
        if table is None:
            nothing = f"no dead letters of {name} in {settings.data_dir}"
            return Answer(nothing, {"model": name, "letters": [], "counts": {}, "unsent": 0, "paused": None})
        counts, unsent, pause = table.counts(), table.outbox.unsent(), table.pauses.current()
        check_reason(reason, counts, name)
        found = table.find(Filter(reason, _state_in_file(state)), limit, newest=True)
    data = {
        "model": name,
        "letters": [as_record(each) for each in found],
        "counts": counts,
        "unsent": unsent,
        "paused": None if pause is None else {"reason": pause.reason, "detail": pause.detail, "since": pause.since},
    }
    return Answer("\n".join([*_overview(name, counts, unsent, pause), *(as_lines(found) if found else [])]), data)


def show_command(settings: Settings, model: str | None, letter: str) -> Answer:
    """Return one letter whole.

    Raises
    ------
    ConfigurationInvalid
        There is no such model or letter.
    SourceUnavailable, LogUnreadable
    """
    name = model_of(settings, model)
    with letters_of(settings, name) as table:
        found = None if table is None else _find(table, letter)
    if found is None:
        raise ConfigurationInvalid(
            f"there is no dead letter {letter} of {name} (any more): `headrace dead-letters list --model {name}` shows "
            "which there are"
        )
    return Answer(as_text(found), as_whole_record(found))


def resume_command(settings: Settings, model: str | None) -> Answer:
    """End the pause.

    Raises
    ------
    ConfigurationInvalid
        There is no such model.
    AppendFailed, SourceUnavailable, LogUnreadable
    """
    name = model_of(settings, model)
    with letters_of(settings, name) as table:
        ended = None if table is None else table.pauses.end()
    if ended is None:
        return Answer(f"{name} was not paused", {"model": name, "resumed": False})
    text = f"{name} goes on; it was paused since {when(ended.since)}"
    return Answer(text, {"model": name, "resumed": True, "reason": ended.reason, "since": ended.since})


@contextmanager
def letters_of(settings: Settings, model: str) -> Iterator[DeadLetters | None]:
    """Yield the dead letters of `model`; None where it never had any."""
    if not model_paths(settings, model).dead_letters.exists():
        yield None
        return
    table = open_dead_letters(settings, model)
    try:
        yield table
    finally:
        table.close()


def check_reason(reason: str | None, counts: Mapping[str, int], model: str) -> None:
    """Raise ConfigurationInvalid where no letter ever had `reason`: it is a slip of the pen."""
    if reason is not None and counts and reason not in counts:
        raise ConfigurationInvalid(
            f"--reason {reason}: no event of {model} was ever refused for that; reasons so far: {', '.join(counts)}"
        )


def _state_in_file(state: str | None) -> str | None:
    return {said: kept for kept, said in STATES.items()}[state] if state is not None else None


def _find(table: DeadLetters, letter: str) -> KeptLetter | None:
    """Return the letter of a number or a place."""
    if letter.isascii() and letter.isdigit() and len(letter) < 19:
        found = table.find(Filter(ids=[int(letter)]))
        return found[0] if found else None
    topic, *rest = letter.rsplit("/", 3)
    if len(rest) != 3 or not all(each.isascii() and each.isdigit() and len(each) < 19 for each in rest):
        raise ConfigurationInvalid(
            f"{letter!r} names no dead letter: give its number, such as 7, or its place, such as events/0/41/0"
        )
    partition, offset, event = map(int, rest)
    return table.at(Place(topic, partition, offset, event))


def _overview(model: str, counts: Mapping[str, int], unsent: int, pause: Pause | None) -> list[str]:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items(), key=lambda each: -each[1]))
    lines = [
        f"{sum(counts.values()):,} events of {model} could not be used so far" + (f": {reasons}" if counts else "")
    ]
    if unsent:
        lines.append(f"{unsent:,} of them wait to be forwarded to their topic")
    if pause is not None:
        lines.append(f"paused since {when(pause.since)}: {pause.detail}")
    return lines

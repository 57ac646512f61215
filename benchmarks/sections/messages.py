"""Messages of many events: NDJSON and Arrow, learned by `mlp` and `linear`, beside the hand-written loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.ingest import Window, end_to_end, kafka_settings
from benchmarks.loops.running import run
from benchmarks.loops.table import RIVER
from benchmarks.measured import Measured, Series, costs
from benchmarks.report import Result
from benchmarks.sections.json_events import shares
from benchmarks.topics import ARROW, NDJSON, ROWS, around, arrow_messages, ndjson_messages, temporary_topic

POOL = 200
"""Different messages, which go round: 100,000 events."""


@dataclass(frozen=True)
class Format:
    """One format of messages.

    Attributes
    ----------
    name, content_type, messages
        What it is called, in a table and in a header; and what makes so many messages of it.
    times
        How many times the main topic's events it is given: enough for some seconds.
    bars
        Learner → how many times the hand-written loop it is to be as fast as; None where it is only reported.
    """

    name: str
    content_type: str
    messages: Callable[[int], Iterator[bytes]]
    times: int
    bars: dict[str, float | None]


FORMATS = (
    Format("NDJSON", NDJSON, ndjson_messages, 2, {"mlp": 12.0}),
    Format("Arrow", ARROW, arrow_messages, 4, {"mlp": 20.0, "linear": 40.0}),
)


def measure(address: str, topic: str, folder: Path, events: int, rounds: int) -> list[Result]:
    """Measure format by format, the loop before and after each round."""
    loop = partial(run, "river", address, topic, *shares(events))
    results: list[Result] = []
    for form in FORMATS:
        count = events * form.times
        learn = partial(end_to_end, kafka=kafka_settings(address), window=Window(*shares(count)))
        with temporary_topic(address, around(form.messages(POOL), count // ROWS), form.content_type) as filled:
            results += _in_turn(form, loop, partial(_learn, learn, filled, folder / form.name), rounds)
    return results


def _learn(learn: Callable[..., Measured], topic: str, folder: Path, kind: str, turn: int) -> Measured:
    return learn(folder / f"{kind}-{turn}", {"topic": topic, "learner": {"kind": kind}})


def _in_turn(
    form: Format, loop: Callable[[], Measured], learn: Callable[[str, int], Measured], rounds: int
) -> list[Result]:
    base = Series(RIVER.title)
    ours = {kind: Series(f"Headrace, {form.name}, `{kind}`") for kind in form.bars}
    base.take(loop)
    for turn in range(rounds):
        for kind, series in ours.items():
            series.take(partial(learn, kind, turn))
        base.take(loop)
    return [
        base.rate,
        *(series.rate for series in ours.values()),
        *(
            series.over(base, f"{form.name}, `{kind}`, over the hand-written loop", form.bars[kind])
            for kind, series in ours.items()
        ),
        *costs(*ours.values()),
    ]

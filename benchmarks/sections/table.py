"""Which sections there are, in the order in which they run, and what each is about."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.report import Result

Measure = Callable[[str, str, Path, int, int], list[Result]]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the benchmark that may be run alone.

    Attributes
    ----------
    title, about
        Its heading, and what a reader must know before the figures.
    module
        Which has ``measure``.
    """

    title: str
    about: str
    module: str

    @property
    def measure(self) -> Measure:
        """What measures it; imported now, so that one that cannot be imported costs no other."""
        measure: Measure = import_module(self.module).measure
        return measure


SECTIONS = {
    "json": Section(
        "One JSON event a message",
        "Ten numbers and a category, about 190 bytes. End to end is fetch, decode, test, train, journal and publish, "
        "with `learner.kind: mlp` (64×2) and everything else at its default.",
        "benchmarks.sections.json_events",
    ),
    "peers": Section(
        "The same topic with other libraries",
        "Each written as its own documentation suggests, one event at a time: predict, then learn.",
        "benchmarks.sections.peers",
    ),
    "auto": Section(
        "The same topic with `learner.kind: auto`",
        "All of the topic waits, so that effort gives way to the backlog. The score is the model's own, before it "
        "learned each event, over the whole of a second topic; beside it that of a trainer at full effort, in "
        "microbatches of 128, on the same.",
        "benchmarks.sections.backlog",
    ),
    "messages": Section(
        "Messages of 500 events",
        "The same events as NDJSON and as Arrow IPC, beside the hand-written loop on one JSON event a message.",
        "benchmarks.sections.messages",
    ),
    "avro": Section(
        "Avro",
        "The same events in Confluent's wire format, one a message, the schema from a registry.",
        "benchmarks.sections.avro",
    ),
    "memory": Section(
        "After many events",
        "Resident memory of trainer and reading program together, and their processor time an event, early and late "
        "in one topic.",
        "benchmarks.sections.memory",
    ),
    "wide": Section(
        "A thousand features",
        "JSON events of 1,000 numbers, about 16 kB each.",
        "benchmarks.sections.wide",
    ),
    "categories": Section(
        "A million categories",
        "Ten numbers, a city, and a user: a million distinct ones, each met before any is met again.",
        "benchmarks.sections.categories",
    ),
    "freshness": Section(
        "Freshness",
        "From an event's timestamp in the log until servers answer from parameters that learned from it.",
        "benchmarks.freshness",
    ),
    "serving": Section(
        "Predictions",
        "Broker, trainer, server and client share the cores of the machine.",
        "benchmarks.serving",
    ),
}

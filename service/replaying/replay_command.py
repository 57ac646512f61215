"""What ``headrace replay`` does: a file, a target, a progress bar, a result."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from service.config import Settings, client_key
from service.errors import ConfigurationInvalid
from service.monitoring.live_state import LiveState, describe, headline
from service.replaying.message_forms import Format, check_arrow
from service.replaying.progress import StreamProgress
from service.replaying.replay import Progress, replay
from service.replaying.replay_events import Roles, as_json, events_of
from service.replaying.replay_http import HttpTarget
from service.replaying.replay_targets import SinkTarget, Target
from service.replaying.stream_files import StreamFile, open_stream_file
from service.roster.roster import load_with_added

KAFKA = "kafka"


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What is to be replayed; the options of the command, which explains them."""

    file: Path
    roles: Roles
    to: str
    topic: str | None
    model: str
    rate: float | None
    limit: int | None
    batch: int
    form: Format | None
    per_message: int | None
    wait: bool
    config: Path | None
    api_key_file: Path | None = None


def run_replay(order: ReplayOrder, *, as_json: bool) -> int:
    """Replay the file and print the result; return the exit status: 1 where not one event was accepted.

    Raises
    ------
    ServiceError, ConsumerError
    """
    file = open_stream_file(order.file)
    key = client_key(order.api_key_file)
    target, url = _target(order, key)
    try:
        with LiveState(url, order.model, key) as live:
            done = _send(order, file, target, live)
        state = live.state
    finally:
        target.close()
    result = result_of(str(order.file), done, state)
    print(json.dumps(result) if as_json else _in_words(result, state, order.to), flush=True)
    return 0 if done.delivered.accepted or not done.sent else 1


def result_of(name: str, done: Progress, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a program may want to know of a replay."""
    return {
        "stream": name,
        "events": done.sent,
        "accepted": done.delivered.accepted,
        "rejected": sum(done.delivered.rejected.values()),
        "rejected_by_reason": done.delivered.rejected,
        "seconds": round(done.seconds, 3),
        "events_per_second": round(done.rate, 1),
        "task": state.get("task"),
        "scores": headline(state) or None,
    }


def shower(
    progress: StreamProgress, live: LiveState, fraction: Callable[[Progress], float]
) -> Callable[[Progress], None]:
    """Return what shows a replay's progress."""
    return lambda done: progress.show(fraction(done), done.sent, done.rate, describe(live.state))


def _send(order: ReplayOrder, file: StreamFile, target: Target, live: LiveState) -> Progress:
    before = live.consumed

    def fraction(done: Progress) -> float:
        return max(file.fraction(), done.sent / order.limit if order.limit else 0.0)

    events = (as_json(event) for event in islice(events_of(file, order.roles), order.limit))
    with StreamProgress(f"replaying {order.file.name}") as progress:
        unit = per_message(order) if order.to == KAFKA else 1
        show = shower(progress, live, fraction)
        done = replay(events, target, show, batch=order.batch, unit=unit, rate=order.rate)
        if order.wait:
            live.wait_for(
                before + done.delivered.accepted,
                lambda state: progress.show(1.0, done.sent, done.rate, f"being learned; {describe(state)}"),
            )
    return done


def _target(order: ReplayOrder, key: str | None) -> tuple[Target, str]:
    """Return where the events go, and the address of the server that knows the score."""
    if order.to != KAFKA:
        return _server(order, key), order.to
    settings = load_with_added(order.config)
    return _topic(order, settings), settings.serve.address()


def per_message(order: ReplayOrder) -> int:
    """Return how many events a Kafka message is to hold.

    Raises
    ------
    ConfigurationInvalid
    """
    if order.form == "avro":
        if order.per_message not in (None, 1):
            raise ConfigurationInvalid(
                f"--events-per-message {order.per_message}: a message in Avro holds one event; messages of many are "
                "json, ndjson and arrow"
            )
        return 1
    if order.per_message is not None:
        return order.per_message
    return 1 if order.form in (None, "json") else order.batch


def _server(order: ReplayOrder, key: str | None) -> Target:
    if not order.to.startswith(("http://", "https://")):
        raise ConfigurationInvalid(
            f"--to {order.to}: must be the address of a server, such as http://127.0.0.1:8000, or kafka"
        )
    if order.topic is not None:
        raise ConfigurationInvalid("--topic is for --to kafka; a server knows the topic of its model (--model)")
    if order.per_message is not None:
        raise ConfigurationInvalid("--events-per-message is for --to kafka; a server is sent --batch events at once")
    if order.form == "avro":
        raise ConfigurationInvalid("--format avro is for --to kafka; a server takes json, ndjson and arrow")
    if order.form == "arrow":
        check_arrow()
    target = HttpTarget(order.to, order.model, order.form or "ndjson", key=key)
    try:
        target.check()
    except BaseException:
        target.close()
        raise
    return target


def _topic(order: ReplayOrder, settings: Settings) -> Target:
    from consumers.kafka import KafkaSink  # noqa: PLC0415  # takes a moment, and is seldom needed
    from service.wiring import kafka_options  # noqa: PLC0415  # as above

    model = settings.models.get(order.model)
    if model is None and order.topic is None:
        raise ConfigurationInvalid(
            f"--model {order.model}: there is no such model; the configuration has {', '.join(settings.models)}"
        )
    if model is not None and model.events.format != "envelope":
        raise ConfigurationInvalid(
            f"models.{order.model}.events.format is {model.events.format!r}, but a replay sends events in the envelope "
            "format, which that model would not understand"
        )
    topic = order.topic or (model.topic if model is not None else "")
    several, write_avro = per_message(order), None
    if order.form == "avro":
        write_avro = _avro_writer(settings, topic)
    elif order.form == "arrow":
        check_arrow()
    return SinkTarget(KafkaSink(kafka_options(settings), topic), order.form or "json", several, write_avro)


def _avro_writer(settings: Settings, topic: str) -> Callable[[bytes], bytes]:
    if settings.schema_registry.url is None:
        raise ConfigurationInvalid(
            "--format avro needs a schema registry: set schema_registry.url, or HEADRACE_SCHEMA_REGISTRY__URL"
        )
    from service.replaying.avro_messages import avro_writer  # noqa: PLC0415  # fastavro is optional

    return avro_writer(settings.schema_registry, topic)


def _in_words(result: Mapping[str, Any], state: Mapping[str, Any], to: str) -> str:
    lines = [
        f"{result['accepted']:,} events in {result['seconds']:.1f} s ({result['events_per_second']:,.0f}/s) to {to}"
    ]
    if result["rejected"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in result["rejected_by_reason"].items())
        lines.append(f"{result['rejected']:,} were refused: {reasons}")
    if result["scores"]:
        lines.append(f"predicted before they were learned: {describe(state)}")
    return "\n".join(lines)

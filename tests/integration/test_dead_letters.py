"""Dead letters end to end: to a real Kafka topic whatever dies meanwhile, and from a pause back to learning."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from consumers.dead_letters import Filter
from consumers.kafka import KafkaOptions, KafkaSource
from consumers.log import LogSink
from consumers.source import NewRecord, Record
from models.examples import Task
from service.config import KafkaSettings, ModelSettings, Settings, SourceSettings
from service.reading.ingest import Start
from service.reading.ingest_programs import ProcessIngest
from service.reading.reading_messages import Job
from service.wiring import log_path, open_dead_letters
from tests.support.broker import Broker, create_topic
from tests.support.processes import Installation, installation, total_learned
from tests.support.topics import read
from tests.support.training import events

BAD = b'{"features": {"x": 1.0}, "label": [%d]}'
"""Its label is a list; each of them is another message."""


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def produce(address: str, values: list[bytes]) -> None:
    with KafkaProducer(bootstrap_servers=address, acks="all") as producer:
        for number, value in enumerate(values):
            producer.send("events", value, key=b"k%d" % number, headers=[("n", b"%d" % number)], partition=number % 2)


def forwarded(address: str) -> list[Record]:
    """Return what the topic of dead letters holds."""
    reader = KafkaSource(KafkaOptions(bootstrap_servers=address), "events.dead-letters").open({})
    try:
        return read(reader, 100_000, timeout=2.0)
    finally:
        reader.close()


def test_letters_reach_their_topic_whatever_dies_meanwhile(tmp_path: Path, own_broker: Broker) -> None:
    """If this fails, a crash or an outage loses letters, doubles them beyond recognition, or stops the stream."""
    create_topic(own_broker.address, "events", 2)
    wide = [f'{{"features": {{"v": {[0.123456789] * 1000}}}, "label": "a{n % 2}"}}'.encode() for n in range(2000)]
    values = [BAD % n if n % 10 == 0 else value for n, value in enumerate(wide)]
    produce(own_broker.address, values)
    settings = Settings(
        data_dir=tmp_path / "data",
        publish_dir=tmp_path / "publish",
        source=SourceSettings(kind="kafka"),
        kafka=KafkaSettings(bootstrap_servers=own_broker.address, connect_timeout=2, delivery_timeout=2),
        models={"default": ModelSettings()},
    )
    table = open_dead_letters(settings, "default")
    notices: list[str] = []
    # Task and classes are known: it would wait for the answer to a question about them.
    start = Start({}, Task.MULTICLASS, ("a0", "a1"))
    ingest = ProcessIngest(Job(settings, "default", start), notices.append)
    try:
        # Nobody takes a chunk, so the program comes to stand still where letters are kept and their offsets not passed.
        wait_until_steady(lambda: sum(table.counts().values()))
        assert 0 < sum(table.counts().values()) < 200
        os.kill(ingest.processes[0], signal.SIGKILL)
        rows = take(ingest, 1800)
        assert rows == 1800
        wait_for(lambda: sum(table.counts().values()) == 200 and table.outbox.unsent() == 0)
        found = {each.letter.value for each in table.find()}
        assert found == {BAD % n for n in range(0, 2000, 10)}
        check_copies(forwarded(own_broker.address), [BAD % n for n in range(0, 2000, 10)])

        own_broker.stop()
        table.add([replace(table.find(limit=1)[0].letter, partition=0, offset=10**6, index=0)])
        wait_for(lambda: take(ingest, 1, 0.1) == 0 and any("none is lost" in notice for notice in notices))
        assert table.outbox.unsent() == 1
        own_broker.start()
        produce(own_broker.address, events(10))
        assert take(ingest, 10) == 10
        wait_for(lambda: table.outbox.unsent() == 0)
        assert b"events/0/1000000/0" in {dict(each.headers)["headrace-id"] for each in forwarded(own_broker.address)}
    finally:
        ingest.close()
        table.close()


def wait_until_steady(value: Callable[[], int]) -> None:
    """Wait until `value` is more than nothing and has not changed for a while."""
    last, since = 0, time.monotonic()
    until = since + 60
    while last == 0 or time.monotonic() - since < 1.5:
        assert time.monotonic() < until, "it did not come to stand still"
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.05)


def take(ingest: ProcessIngest, rows: int, seconds: float = 60.0) -> int:
    """Take chunks until there were `rows` usable events, or time is up; return how many there were."""
    until = time.monotonic() + seconds
    taken = 0
    while taken < rows and time.monotonic() < until:
        decoded = ingest.take(0.1)
        taken += len(decoded.chunk) if decoded is not None else 0
    return taken


def check_copies(copies: list[Record], expected: list[bytes]) -> None:
    """Check that each letter is there, as it was sent, and that those that came twice say so."""
    by_id: dict[bytes, set[tuple[bytes | None, bytes | None]]] = {}
    for copy in copies:
        headers = dict(copy.headers)
        by_id.setdefault(headers["headrace-id"], set()).add((copy.key, copy.value))
        number = int(headers["n"])
        assert (copy.key, copy.value) == (b"k%d" % number, BAD % number)
        assert headers["headrace-reason"] == b"label"
        assert headers["headrace-id"].decode() == "/".join(
            headers[f"headrace-{part}"].decode() for part in ("topic", "partition", "offset", "index")
        )
    assert all(len(found) == 1 for found in by_id.values())
    assert sorted(value or b"" for found in by_id.values() for _, value in found) == sorted(expected)


def headrace(place: Installation, *arguments: str) -> dict[str, Any]:
    """Run ``headrace dead-letters ARGUMENTS --json`` as an operator does; return its answer."""
    command = [sys.executable, "-m", "service.cli", "dead-letters", *arguments, "--config", str(place.config), "--json"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def flat(event: bytes) -> bytes:
    """Return an event as a producer sends it who knows nothing of Headrace."""
    parts = json.loads(event)
    return json.dumps(parts["features"] | {"label": parts["label"]}).encode()


def test_from_a_pause_back_to_learning(tmp_path: Path) -> None:
    """If this fails, a wrong setting eats a topic, or what was refused is lost or learned twice in the end."""
    model = {
        "learner": {"kind": "linear", "device": "cpu"},
        "dead_letters": {"pause_window": 200},
        "events": {"format": "envelope"},
        "checkpoint": {"every_seconds": 1},
    }
    with installation(tmp_path, model) as place:
        settings = Settings(data_dir=place.data_dir)
        sink = LogSink(log_path(settings, "events"))
        sink.append([NewRecord(flat(value)) for value in events(3000)])
        sink.close()
        place.start("serve")
        process = place.start("train")
        state = place.wait_for(lambda state: state["state"] == "paused" and state["lag"].get("0", 0) > 0)
        refused = state["dead_letters"]["not_an_event"]
        assert 200 <= refused < 3000
        assert state["paused"]["reason"] == "dead_letters"
        assert "headrace dead-letters resume --model default" in state["paused"]["detail"]
        assert place.metric('headrace_paused{model="default",reason="dead_letters"}') == 1
        assert any(state["paused"]["detail"] == error["message"] for error in state["errors"])
        assert "learning of default is paused" in place.log("train")

        # No checkpoint holds a position yet: what was refused is read again, under settings that could use it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed = state["trainer"]["pid"]
        place.config.write_text(
            place.config.read_text().replace("format: envelope", "format: flat\n      label: label")
        )
        place.start("train", name="again")
        place.wait_for(lambda state: state["state"] == "paused" and state["trainer"]["pid"] != killed)
        assert headrace(place, "redrive")["redriven"] == refused
        assert headrace(place, "redrive")["redriven"] == 0
        assert total_learned(place.state()) == 0
        assert headrace(place, "resume")["resumed"] is True
        place.wait_until_learned(3000)
        state = place.wait_for(lambda state: state["state"] == "idle" and sum(state["lag"].values()) == 0)
        assert total_learned(state) == 3000
        assert state["dead_letters"] == {"not_an_event": refused}
        assert state["paused"] is None
        assert place.metric('headrace_paused{model="default",reason="dead_letters"}') == 0
    table = open_dead_letters(settings, "default")
    assert len(table.find_ids(Filter(redrive="done"))) == refused
    table.close()

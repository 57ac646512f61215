"""``headrace demo``: starts the service, streams a real data set through it over HTTP, and says what came of it.

Everything goes the way that a user's own events would go: HTTP → log → trainer → publication → server.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from service.config import load_settings
from service.errors import DemoFailed
from service.monitoring.live_state import LiveState, describe
from service.replaying.demo_service import DemoService, demo_service, free_port
from service.replaying.demo_stream import DemoStream, open_demo_stream
from service.replaying.progress import StreamProgress
from service.replaying.replay import Progress, replay
from service.replaying.replay_command import result_of, shower
from service.replaying.replay_http import HttpTarget

_BATCH = 500

_JSON_HEADER = "-H 'content-type: application/json'"

_EVENT = {"features": {"price": 3.2, "city": "Oslo"}, "label": "late"}
"""For the hints, where the stream has no event to show."""


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """What is to be shown; the options of the command, which explains them."""

    stream: str
    label: str | None
    leave: bool
    data_dir: Path | None
    as_json: bool


def run_demo(order: DemoOrder) -> int:
    """Show the service at work; return the exit status.

    Raises
    ------
    ServiceError, ModelError
    """
    stream = open_demo_stream(order.stream, order.label)
    wanted = load_settings(None).serve.port
    port = free_port(wanted)
    # A program that reads the result wants nothing else on stdout.
    console = Console(stderr=order.as_json, highlight=False, soft_wrap=True)
    with _folder(order.data_dir) as folder, demo_service(folder, port, stream.task) as service:
        console.print(f"[bold]{stream.name}[/bold]: {stream.description}")
        if port != wanted:
            console.print(f"port {wanted} is taken, so the service listens on {port}")
        console.print(f"starting the service on {service.url} (its log: {service.log})")
        result, sample = _show(stream, service, console)
        console.print(_hints(service.url, sample))
        if order.as_json:
            print(json.dumps(result), flush=True)
        if not order.leave:
            _stay(service, console)
        console.print("ending the service")
    return 0


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Yield a folder that starts empty: `kept`, or one that is deleted in the end.

    Raises
    ------
    DemoFailed
        Something is in it already: a demo neither deletes it nor learns on from it.
    """
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="headrace-demo-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
        return
    kept.mkdir(parents=True, exist_ok=True)
    if any(kept.iterdir()):
        raise DemoFailed(f"--data-dir {kept}: is not empty, and a demo starts fresh; name another folder")
    yield kept.absolute()


def _show(stream: DemoStream, service: DemoService, console: Console) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Stream everything and wait until it is learned; return the result, and an event to ask about."""
    _wait(service, console)
    sample: list[bytes] = []

    def remembered() -> Iterator[bytes]:
        for event in stream.events:
            sample[:] = [event]
            yield event

    with LiveState(service.url) as live, StreamProgress("learning") as progress:
        done = _stream(remembered(), stream, service, live, progress)
        state = live.state
    result = result_of(stream.name, done, state) | {
        "events_learned": state.get("events_learned"),
        "model_version": state.get("model_version"),
        "learner": state.get("learner"),
        "address": service.url,
    }
    console.print(_outcome(result, state))
    return result, json.loads(sample[0]) if sample else _EVENT


def _wait(service: DemoService, console: Console) -> None:
    if not console.is_terminal:
        service.wait_until_ready(lambda _: None)
        return
    with console.status("importing PyTorch takes a few seconds") as status:
        service.wait_until_ready(
            lambda waited: status.update(f"importing PyTorch takes a few seconds ({waited:.0f} s)")
        )


def _stream(
    events: Iterator[bytes], stream: DemoStream, service: DemoService, live: LiveState, progress: StreamProgress
) -> Progress:
    """Send the events and wait until they are learned; the time of both counts."""
    target = HttpTarget(service.url, sleep=service.sleep)
    began = time.monotonic()
    try:
        done = replay(events, target, shower(progress, live, stream.fraction), batch=_BATCH)
        live.wait_for(
            done.delivered.accepted,
            lambda state: progress.show(1.0, done.sent, done.rate, f"the last are being learned; {describe(state)}"),
        )
    finally:
        target.close()
    return replace(done, seconds=time.monotonic() - began)


def _outcome(result: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    lines = [
        (
            f"\n[bold]{result['events_learned']:,} events learned[/bold] in {result['seconds']:.1f} s "
            f"({result['events_per_second']:,.0f} events/s), each predicted before it was learned:"
        ),
        f"  [bold green]{describe(state)}[/bold green]",
    ]
    if result["rejected"]:
        lines.append(f"  {result['rejected']:,} were refused: {result['rejected_by_reason']}")
    return "\n".join(lines)


def _hints(url: str, event: Mapping[str, Any]) -> str:
    """Return addresses to look at, and lines to paste into a shell."""
    features = json.dumps({"features": event.get("features", {})}).replace("'", "'\\''")
    labelled = json.dumps({name: event[name] for name in ("features", "label") if name in event}).replace("'", "'\\''")
    return f"""
Look:  {url}/docs                 the API, to be tried out
       {url}/metrics              what Prometheus scrapes
       {url}/v1/models/default    the model's state
Ask:   curl -s {url}/predict {_JSON_HEADER} -d '{features}'
Teach: curl -s {url}/events {_JSON_HEADER} -d '{labelled}'
       {Path(sys.argv[0]).name} replay FILE --label COLUMN --to {url}
""".replace("[", r"\[")


def _stay(service: DemoService, console: Console) -> None:
    """Stay up until Ctrl-C or SIGTERM, which end a demo well."""
    console.print("It stays up and goes on learning until Ctrl-C.")
    try:
        while True:
            service.sleep(0.5)
    except KeyboardInterrupt:
        return

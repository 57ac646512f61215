"""Refusals by the hundreds a second: those of a flood wait, in bounds, and nobody else's."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.api import create_app
from service.config import LimitsSettings, SecuritySettings
from service.security import judge, limits_tarpit
from service.security.keys_file import add_key
from service.security.limits_tarpit import LONGEST, QUICK_OF_ALL, QUICK_OF_ONE, SHORTEST, Tarpit
from tests.support.serving import serving_here, serving_settings

EVENT = {"features": {"price": 1}}
OFTEN = 10 * int(QUICK_OF_ALL)


class Clock:
    """Time that passes where somebody sleeps: at once, or when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.held: asyncio.Event | None = None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Note the pause, and wait as long as `held` is not set."""
        self.pauses.append(seconds)
        if self.held is not None:
            await self.held.wait()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tarpit(clock: Clock) -> Tarpit:
    return Tarpit(clock.sleep, clock)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have an event loop run `story`."""
    asyncio.run(story())


def test_a_few_refusals_come_at_once(tarpit: Tarpit, clock: Clock) -> None:
    """Whoever asked once too often, or forgot the key, would wait for being told."""

    async def story() -> None:
        for _ in range(int(QUICK_OF_ONE)):
            assert await tarpit.hold("bob")
        assert clock.pauses == []
        clock.now = 10
        assert await tarpit.hold("bob")
        assert clock.pauses == []

    run(story)


def test_a_flood_waits_and_does_not_make_others_wait(tarpit: Tarpit, clock: Clock) -> None:
    """Refusing one client would take the whole server's time; or its flood would slow everybody's refusals."""

    async def story() -> None:
        for _ in range(OFTEN):
            assert await tarpit.hold("greedy")
        assert len(clock.pauses) == OFTEN - QUICK_OF_ONE
        assert tarpit.floods("greedy")
        assert not tarpit.floods("modest")
        before = len(clock.pauses)
        assert await tarpit.hold("modest")
        assert len(clock.pauses) == before
        clock.now = 1
        assert not tarpit.floods("greedy")

    run(story)
    assert all(SHORTEST <= pause <= LONGEST for pause in clock.pauses)
    # What was refused together does not come back together: a tenth of them in a tenth of the time.
    width = (LONGEST - SHORTEST) / 10
    early = sum(pause < SHORTEST + width for pause in clock.pauses)
    assert early == pytest.approx(len(clock.pauses) / 10, rel=0.02)


def test_a_flood_from_everywhere_waits_too(tarpit: Tarpit, clock: Clock) -> None:
    """As many addresses as there are refusals would make the pause useless."""

    async def story() -> None:
        for number in range(OFTEN):
            assert await tarpit.hold(f"10.0.{number // 256}.{number % 256}")

    run(story)
    assert len(clock.pauses) == OFTEN - QUICK_OF_ALL


def test_so_many_wait_and_no_more(tarpit: Tarpit, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals that wait would fill the memory; or places among them would be lost with those who went away."""
    monkeypatch.setattr(limits_tarpit, "MOST_WAITING", 3)

    async def story() -> None:
        clock.held = asyncio.Event()
        for _ in range(int(QUICK_OF_ONE)):
            await tarpit.hold("greedy")
        waiting = [asyncio.create_task(tarpit.hold("greedy")) for _ in range(3)]
        await asyncio.sleep(0)
        assert not await tarpit.hold("greedy")
        waiting[0].cancel()
        await asyncio.gather(*waiting[:1], return_exceptions=True)
        waiting[0] = asyncio.create_task(tarpit.hold("greedy"))
        await asyncio.sleep(0)
        assert not await tarpit.hold("greedy")
        clock.held.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await tarpit.hold("greedy")

    run(story)


def test_who_is_held_up_holds_nobody_else_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that waits would keep a place, or the event loop, from those who are let in."""
    file = tmp_path / "keys.txt"
    greedy, modest = ({"X-API-Key": add_key(file, name, ["predict"])} for name in ("greedy", "modest"))
    begun, end = threading.Event(), threading.Event()

    async def sleep(_: float) -> None:
        begun.set()
        await asyncio.to_thread(end.wait, 60)

    monkeypatch.setattr(limits_tarpit, "QUICK_OF_ONE", 1.0)
    monkeypatch.setattr(limits_tarpit, "MOST_WAITING", 1)
    monkeypatch.setattr(judge, "Tarpit", lambda: Tarpit(sleep, clock=lambda: 0.0))
    # One request in a hundred seconds.
    security = SecuritySettings(api_keys_file=file, requests_per_second=0.01)
    settings = serving_settings(tmp_path).model_copy(update={"security": security})
    app = create_app(settings)
    with serving_here(settings, app) as client, ThreadPoolExecutor(1) as pool:
        quick = [client.post("/predict", json=EVENT, headers=greedy) for _ in range(2)]
        waiting = pool.submit(client.post, "/predict", json=EVENT, headers=greedy)
        try:
            assert begun.wait(30)
            quick += [client.post("/predict", json=EVENT, headers=modest) for _ in range(2)]
            quick += [client.post("/predict", json=EVENT, headers=greedy)]
            assert client.get("/health/ready").status_code == 200
            assert not any(lane._taken for lane in app.state.context.admission.lanes.values())
            assert not waiting.done()
        finally:
            end.set()
        late = waiting.result()
    assert [answer.status_code for answer in [*quick, late]] == [200, 429, 200, 429, 429, 429]
    # One may wait at a time; another one of it is sent away for good.
    assert [answer.headers.get("connection") for answer in [*quick, late]] == [*[None] * 4, "close", None]


def test_a_flooder_keeps_few_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is let in beside it would wait for most of what it asks."""
    monkeypatch.setattr(limits_tarpit, "QUICK_OF_ONE", 1.0)
    monkeypatch.setattr(judge, "Tarpit", lambda: Tarpit(clock=lambda: 0.0))
    file = tmp_path / "keys.txt"
    keys = {name: {"X-API-Key": add_key(file, name, ["predict"])} for name in ("greedy", "modest")}
    settings = serving_settings(tmp_path).model_copy(
        update={"security": SecuritySettings(api_keys_file=file), "limits": LimitsSettings(max_concurrent=8)}
    )
    app = create_app(settings)
    places = app.state.context.admission.lanes["predict"]
    with serving_here(settings, app) as client, contextlib.ExitStack() as held:

        def statuses() -> list[int]:
            return [client.post("/predict", json=EVENT, headers=keys[name]).status_code for name in keys]

        held.enter_context(places.one("greedy"))
        held.enter_context(places.one("modest"))
        assert statuses() == [200, 200]
        assert client.get("/checkpoints", headers=keys["greedy"]).status_code == 403
        assert statuses() == [503, 200]

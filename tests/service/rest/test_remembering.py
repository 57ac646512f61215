"""What is to be remembered is durable before anybody is told so, and those who ask together share one append."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from consumers.errors import AppendFailed, RecordTooLarge, SourceUnavailable
from consumers.source import NewRecord, Sink
from service.errors import RequestInvalid
from service.rest.remembering import Remembering


class SlowSink:
    """A log that takes its time: it appends when it is let, and notes what came together."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.failing: list[Exception | None] = []
        self.let = threading.Semaphore(0)

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        """Append, or fail as told."""
        assert idempotency_key is None
        self.let.acquire()
        values = [each.value for each in records]
        self.calls.append(values)
        if b"huge" in values:
            raise RecordTooLarge("too large a record")
        error = self.failing.pop(0) if self.failing else None
        if error is not None:
            raise error
        return True

    def close(self) -> None:
        """Do nothing."""


def records(*values: bytes) -> list[NewRecord]:
    """Return records of these values."""
    return [NewRecord(value) for value in values]


async def settled(tasks: Sequence["asyncio.Task[None]"]) -> list[BaseException | None]:
    """Return what went wrong with each task."""
    return [
        None if each is None else each
        for each in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    ]


def test_who_asks_together_shares_an_append_and_nobody_is_told_before() -> None:
    """A disk would have to be waited for once for each of a hundred requests; or an answer be given that is lost."""

    async def run() -> None:
        sink = SlowSink()
        remembering = Remembering(lambda: sink)
        first = [asyncio.create_task(remembering.remember(records(b"%d" % n))) for n in range(3)]
        await asyncio.sleep(0.05)
        later = [asyncio.create_task(remembering.remember(records(b"%d" % n, b"more"))) for n in range(3, 5)]
        await asyncio.sleep(0.05)
        assert not any(each.done() for each in (*first, *later))
        sink.let.release()
        assert await settled(first) == [None] * 3
        await asyncio.sleep(0.05)
        assert not any(each.done() for each in later)
        sink.let.release()
        assert await settled(later) == [None] * 2
        assert sink.calls == [[b"0", b"1", b"2"], [b"3", b"more", b"4", b"more"]]
        remembering.close()

    asyncio.run(run())


def test_only_those_are_refused_whose_records_were_not_acknowledged() -> None:
    """A broker that takes most of what is sent would fail every request; or one that failed would pass for durable."""

    async def run() -> None:
        sink = SlowSink()
        remembering = Remembering(lambda: sink)
        partly, down, huge = AppendFailed("not all", failed=[2]), SourceUnavailable("down"), b"huge"
        sink.failing = [partly, down]
        for _ in range(9):
            sink.let.release()
        some = [
            asyncio.create_task(remembering.remember(records(*values))) for values in ([b"a"], [b"b", b"c"], [b"d"])
        ]
        assert await settled(some) == [None, partly, None]
        assert await settled([asyncio.create_task(remembering.remember(records(b"e")))]) == [down]
        mixed = [asyncio.create_task(remembering.remember(records(value))) for value in (b"f", huge, b"g")]
        found = await settled(mixed)
        assert [found[0], found[2]] == [None, None]
        assert isinstance(found[1], RequestInvalid)
        assert found[1].status == 413
        assert sink.calls[2:] == [[b"f", huge, b"g"], [b"f"], [huge], [b"g"]]
        remembering.close()

    asyncio.run(run())


def test_a_log_that_cannot_be_opened_fails_those_who_ask_and_is_tried_again() -> None:
    """One failure would leave every later request waiting for ever."""

    async def run() -> None:
        sink = SlowSink()
        tries: list[int] = []

        def make() -> Sink:
            tries.append(1)
            if len(tries) == 1:
                raise SourceUnavailable("not yet")
            return sink

        remembering = Remembering(make)
        with pytest.raises(SourceUnavailable, match="not yet"):
            await asyncio.wait_for(remembering.remember(records(b"a")), 20)
        sink.let.release()
        await asyncio.wait_for(remembering.remember(records(b"b")), 20)
        assert sink.calls == [[b"b"]]
        remembering.close()

    asyncio.run(run())


def test_one_who_is_gone_does_not_hold_up_the_others() -> None:
    """A client that hangs up would leave all that wait with it without an answer."""

    async def run() -> None:
        sink = SlowSink()
        remembering = Remembering(lambda: sink)
        tasks = [asyncio.create_task(remembering.remember(records(b"%d" % n))) for n in range(2)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        sink.let.release()
        assert isinstance((await settled(tasks))[0], asyncio.CancelledError)
        assert (await settled(tasks))[1] is None
        remembering.close()

    asyncio.run(run())


def test_nobody_waits_for_ever_when_a_model_is_taken_away() -> None:
    """Requests that were under way when a model was removed would never be answered."""

    async def run() -> None:
        sink = SlowSink()
        remembering = Remembering(lambda: sink)
        first = asyncio.create_task(remembering.remember(records(b"a")))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(remembering.remember(records(b"b")))
        await asyncio.sleep(0.05)
        sink.let.release()
        remembering.close()
        third = asyncio.create_task(remembering.remember(records(b"c")))
        found = await settled([first, second, third])
        assert found[0] is None
        assert isinstance(found[1], SourceUnavailable)
        assert isinstance(found[2], SourceUnavailable)
        assert sink.calls == [[b"a"]]

    asyncio.run(run())

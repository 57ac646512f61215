"""Predictions that are remembered, on their way into the log: durable before they are answered.

On the path it stands between a prediction and its answer. Whoever has an answer has its observation in the log,
whatever is killed afterwards; without that, a label would come to nothing, and the score be that of what happened to be
kept. So where the log cannot be written, the answer is a 503 and not a prediction: who would rather have one that is
forgotten asks with ``"remember": false``.

One append is under way at a time; whatever is to be remembered meanwhile goes into the next one together. So a disk's
or a broker's time to acknowledge is paid once by all who wait, and nobody waits for two of them but one.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from consumers.errors import AppendFailed, RecordTooLarge, SourceUnavailable
from consumers.source import NewRecord, Sink
from service.errors import RequestInvalid

Settle = Callable[[Exception | None], None]
"""Told once records are durable, or why they are not; it must not raise."""


class _Waiting(NamedTuple):
    records: Sequence[NewRecord]
    settle: Settle


class Remembering:
    """Appends what is to be remembered of one model. Belongs to the event loop.

    Parameters
    ----------
    sink
        Returns where a model's events go; may wait, and raise what :meth:`consumers.source.Sink.append` does.
    """

    def __init__(self, sink: Callable[[], Sink]) -> None:
        self._sink = sink
        self._waiting: list[_Waiting] = []
        self._appending = self._closed = False
        self._thread: ThreadPoolExecutor | None = None

    async def remember(self, records: Sequence[NewRecord]) -> None:
        """Return once `records` are durable.

        Raises
        ------
        ConsumerError
            They are not known to be.
        RequestInvalid
            413: they never will be.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(error: Exception | None) -> None:
            if done.done():
                return  # whoever waited is gone
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self.keep(records, settle)
        await done

    def keep(self, records: Sequence[NewRecord], settle: Settle) -> None:
        """Have `settle` called once `records` are durable, or cannot be made so; not before this returns."""
        if not self._waiting and not self._appending:
            # Those that are answered within one turn of the event loop go together.
            asyncio.get_running_loop().call_soon(self._begin)
        self._waiting.append(_Waiting(records, settle))

    def close(self) -> None:
        """Wait for what is under way; whoever still waits is told that it is over."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._closed:
            self._appending = False
            for each in waiting:
                each.settle(SourceUnavailable("the model is not served here any more: ask again"))
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "remembering")
        self._appending = True
        loop = asyncio.get_running_loop()
        appended = loop.run_in_executor(self._thread, self._append, waiting)
        appended.add_done_callback(lambda done: self._finish(waiting, done))

    def _finish(self, waiting: Sequence[_Waiting], done: "asyncio.Future[list[Exception | None]]") -> None:
        if self._waiting:
            self._begin()
        else:
            self._appending = False
        broken = done.exception() if not done.cancelled() else AppendFailed("the server stopped while it was appending")
        errors = [broken] * len(waiting) if broken is not None else done.result()
        for each, error in zip(waiting, errors, strict=True):
            each.settle(error if error is None or isinstance(error, Exception) else AppendFailed(str(error)))

    def _append(self, waiting: Sequence[_Waiting]) -> list[Exception | None]:
        """Append for all who wait; return for each what went wrong. Runs in a thread."""
        try:
            self._sink().append([record for each in waiting for record in each.records])
        except RecordTooLarge as error:
            if len(waiting) == 1:
                return [RequestInvalid(f'{error}; or ask with "remember": false', 413)]
            # One of them is to blame, and the others must not suffer for it.
            return [found for each in waiting for found in self._append([each])]
        except AppendFailed as error:
            return _shared_out(waiting, error)
        # Whatever it is, those who wait must hear of it; the routes know what to make of it.
        except Exception as error:  # noqa: BLE001
            return [error] * len(waiting)
        return [None] * len(waiting)


def _shared_out(waiting: Sequence[_Waiting], error: AppendFailed) -> list[Exception | None]:
    """Return the error to those of whose records one was not acknowledged: a broker may have taken the others."""
    if error.failed is None:
        return [error] * len(waiting)
    failed, found, start = frozenset(error.failed), list[Exception | None](), 0
    for each in waiting:
        stop = start + len(each.records)
        found.append(None if failed.isdisjoint(range(start, stop)) else error)
        start = stop
    return found

"""What a broker says before it hangs up is taken, however late the client comes to read it."""

import socket

import pytest
from kafka.future import Future
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from consumers import kafka_last_words
from consumers.kafka_last_words import hear

END = "lost: KafkaConnectionError: socket disconnected"


class Protocol:
    """What a transport of kafka-python hands on to: it notes what happens, in order."""

    _sensors = None

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.answered = Future()
        self.lost = Future()

    def data_received(self, data: bytes) -> None:
        """Answer whoever waits."""
        self.seen.append(f"received {data.decode()}")
        self.answered.success(data)

    def connection_lost(self, error: BaseException | None) -> None:
        """Note the end."""
        self.seen.append(f"lost: {error}")
        self.lost.success(None)

    async def wait(self) -> None:
        """Act on the answer, as a connection does that waits for it."""
        await self.answered
        self.seen.append("acted")


def seen_of(*answers: bytes) -> list[str]:
    """Return what becomes of `answers`, and of the end right behind them, where all of it is read at once."""
    net, protocol = NetworkSelector(), Protocol()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    for answer in answers:
        theirs.sendall(answer)
    theirs.close()
    transport = KafkaTCPTransport(net, ours)
    transport.set_protocol(protocol)
    waiting = net.call_soon(protocol.wait)
    transport.resume_reading()
    net.poll(timeout_ms=10_000, future=protocol.lost)
    net.cancel(waiting)
    net.close()
    return protocol.seen


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_is_read_together_with_the_end_is_acted_upon_first(times: int) -> None:
    """Else, on a busy machine, an operator with a wrong password is told that the broker cannot be reached."""
    for _ in range(times):
        hear()
    assert seen_of(b"wrong ", b"password") == ["received wrong password", "acted", END]


def test_an_end_without_an_answer_is_the_end() -> None:
    """Else a connection that broke is waited for until its requests run out of time."""
    hear()
    assert seen_of() == [END]


def test_the_client_still_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the client has learned to listen, and ``kafka_last_words.py`` is not needed any more."""
    monkeypatch.setattr(KafkaTCPTransport, "_sock_recv", kafka_last_words._DEAF[KafkaTCPTransport])
    assert seen_of(b"wrong password") == [END]

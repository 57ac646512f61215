"""What a broker says just before it hangs up: its client drops it where both are read at once.

On the path it stands inside the client, under its connections. A broker answers a wrong password, or a mechanism that
it does not take, and closes the connection right behind that answer. kafka-python 3.0.12 reads until nothing is left,
and where the end is among what it read, it reports the end and forgets the answer: whoever waits learns that the
connection broke, never why. The busier the machine, the oftener.
"""

from collections.abc import Callable
from typing import Any

from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport


def hear() -> None:
    """Have the client take what came before the end of a connection, in this process; may be called again."""
    for transport, receive in _DEAF.items():
        transport._sock_recv = _hearing(receive)


def _hearing(receive: Callable[[Any], tuple[bytes, Any]]) -> Callable[[Any], tuple[bytes, Any]]:
    """Return what takes the place of a transport's own method, which is `receive`."""

    def received(transport: Any) -> tuple[bytes, Any]:
        content, end = receive(transport)
        if not content or end is None or transport._net._closed:
            return content, end
        # A call that is scheduled comes behind those that are ready, and so behind what waits for this answer.
        transport._net.call_later(0, lambda: transport.abort(end))
        return content, None

    return received


_DEAF: dict[Any, Callable[[Any], tuple[bytes, Any]]] = {
    transport: transport._sock_recv for transport in (KafkaTCPTransport, KafkaSSLTransport)
}

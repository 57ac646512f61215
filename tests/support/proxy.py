"""A cable between two programs that can be pulled: TCP through a proxy that stops carrying anything when told to."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable

_AT_ONCE = 65_536


class Proxy:
    """Listens on a port of the loopback interface and carries bytes to and from an address.

    Attributes
    ----------
    address
        ``host:port`` where it listens.
    target
        ``host:port`` that it carries to; to be set before the first client comes.
    """

    def __init__(self, target: str = "") -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connected = threading.Event()
        self._connected.set()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Carry nothing from now on: no bytes, no ends, no new connections that lead anywhere."""
        self._connected.clear()

    def mend(self) -> None:
        """Carry again. What was open before is reset, as it is after a while without a cable."""
        self._connected.set()

    def close(self) -> None:
        """Let everything go."""
        self._closed = True
        self._connected.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed:
                client, _ = self._listener.accept()
                self._start(self._carry, client)

    def _carry(self, client: socket.socket) -> None:
        """Carry one connection until either side ends it, or the cable was pulled while it was open."""
        self._connected.wait()
        host, port = self.target.split(":")
        with client, contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as server:
            other = {client: server, server: client}
            with selectors.DefaultSelector() as selector:
                for each in other:
                    selector.register(each, selectors.EVENT_READ, each)
                while self._connected.is_set() and not self._closed:
                    for key, _ in selector.select(0.05):
                        data = key.data.recv(_AT_ONCE)
                        if not data or not self._connected.is_set():
                            break
                        other[key.data].sendall(data)
                    else:
                        continue
                    break
            # Neither side hears of a cable that was pulled before it is there again.
            self._connected.wait()

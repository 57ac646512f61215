"""Runs the REST API: one port, one process or several, TLS where it is wanted, and an end that drops no request.

At SIGTERM or Ctrl-C a process first says that it is not ready, so that a balancer stops sending; a moment later it
closes its port, answers what it has taken, and ends. Several processes share one socket that their parent opened.
"""

import asyncio
import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import threading
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from service.config import Settings, is_loopback
from service.errors import ConfigurationInvalid
from service.logs import configure_logs
from service.rest.short_protocol import ShortProtocol
from service.security.keys_file import read_keys
from service.security.tls import TlsContext

_DRAIN_SHARE = 0.05
_DRAIN_LONGEST = 1.0
"""How long a process that is told to stop still takes requests while saying that it is not ready: in seconds, and as a
share of ``shutdown_seconds``."""

_CLOSING_SECONDS = 2.0
"""Part of ``shutdown_seconds`` that is kept for closing files and ending processes."""

_WORKER_SILENT_SECONDS = 60
"""A worker that gives no sign of life for so long is replaced; importing everything takes seconds on a busy machine."""

_log = structlog.get_logger("headrace.serve")


@dataclass(frozen=True, slots=True)
class Application:
    """Makes the application in the process that is to serve it; may be pickled.

    Attributes
    ----------
    settings
        The configuration.
    drain_seconds
        How long to take requests after a signal to stop.
    """

    settings: Settings
    drain_seconds: float

    def __call__(self) -> FastAPI:
        """Return the application; called by the server once it has taken over the signals."""
        # Imported only here, so that the parent of several workers stays small.
        from service.api import create_app  # noqa: PLC0415

        parent = multiprocessing.parent_process()
        if parent is not None:
            configure_logs()
            _end_with(parent)
        app = create_app(self.settings)
        _stop_slowly(app, self.drain_seconds)
        return app


def run_server(settings: Settings) -> int:
    """Serve until told to stop; return the exit status.

    Raises
    ------
    ConfigurationInvalid
        The port cannot be had, or certificate or keys cannot be used.
    """
    _check_security(settings)
    _allow_many_connections()
    listening = _listen(settings.serve.host, settings.serve.port)
    _empty_counts(settings)
    config = _config(settings)
    address = settings.serve.address(*listening.getsockname()[:2])
    _log.info("serving", address=address, models=sorted(settings.models), workers=settings.serve.workers)
    try:
        if settings.serve.workers == 1:
            return _run_here(config, listening)
        Multiprocess(config, [listening]).run()
        return 0
    finally:
        _empty_counts(settings)
        _log.info("stopped serving")


def _run_here(config: uvicorn.Config, listening: socket.socket) -> int:
    """Serve in this process."""
    server = uvicorn.Server(config)
    # The server raises the signal that ended it once more, for the handlers of before; for us it is dealt with then.
    before = {number: signal.signal(number, _ignored) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run([listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if server.started else 1


def _config(settings: Settings) -> uvicorn.Config:
    drain = min(_DRAIN_LONGEST, settings.shutdown_seconds * _DRAIN_SHARE)
    return uvicorn.Config(
        Application(settings, drain),
        factory=True,
        ws="none",
        workers=settings.serve.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        http=ShortProtocol,
        timeout_keep_alive=settings.limits.keep_alive_seconds,
        proxy_headers=bool(settings.serve.trusted_proxies),
        forwarded_allow_ips=list(settings.serve.trusted_proxies),
        ssl_context_factory=TlsContext(settings.serve) if settings.serve.uses_tls else None,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds - drain - _CLOSING_SECONDS)),
        timeout_worker_healthcheck=_WORKER_SILENT_SECONDS,
    )


def _check_security(settings: Settings) -> None:
    """Find out now whether certificate and keys can be used: later on, each worker would fail by itself.

    Raises
    ------
    ConfigurationInvalid
    """
    serve, keys_file = settings.serve, settings.security.api_keys_file
    if serve.uses_tls:
        TlsContext(serve)()
    if keys_file is not None:
        read_keys(keys_file)
        if not serve.uses_tls and not is_loopback(serve.host):
            _log.warning(
                "keys travel readable: set serve.tls_certfile and serve.tls_keyfile, or put something before the "
                "server that speaks TLS"
            )


def _allow_many_connections() -> None:
    """Take as many open files as the system gives: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationInvalid(
            f"serve.port: cannot listen on {host}:{port} ({error.strerror or error}); stop what listens there, or set "
            "serve.host and serve.port to what is free"
        ) from error


def _empty_counts(settings: Settings) -> None:
    """Forget what a server has counted: the next one begins anew."""
    from service.rest.serving_context import counts_folder  # noqa: PLC0415 - see Application

    shutil.rmtree(counts_folder(settings), ignore_errors=True)


def _stop_slowly(app: FastAPI, seconds: float) -> None:
    """Have signals to stop take effect `seconds` after readiness is withdrawn; a second one at once."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        stop = signal.getsignal(number)
        if not callable(stop):
            continue

        def begin(number: int, frame: FrameType | None, stop: signal.Handlers | object = stop) -> None:
            assert callable(stop)  # noqa: S101 - seen above
            delay = 0.0 if app.state.context.draining else seconds
            app.state.context.draining = True
            loop.call_soon_threadsafe(loop.call_later, delay, stop, number, frame)

        signal.signal(number, begin)


def _end_with(parent: BaseProcess) -> None:
    """Have this process stop when `parent` is gone, however it went: else it would keep the port for ever."""

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _ignored(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""

"""Keeping web pages out of a server that asks nobody for a key because only this machine can reach it.

A page on the Internet that somebody here looks at may send requests to 127.0.0.1, or have its own name mean 127.0.0.1
(DNS rebinding), and so teach the model or read what it knows. A browser says where a page came from (``Origin``) and by
which name it reached the server (``Host``); programs send no ``Origin``.
"""

from collections.abc import Iterable
from functools import lru_cache

from service.config import is_loopback


def foreign(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return what is wrong with a request to a server for this machine alone; None where nothing is."""
    host = origin = None
    for name, value in headers:
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
    if host is not None and not _is_here(host):
        return (
            "this server is for its own machine alone, and was called by another name; say security.allow_anonymous: "
            "true, or have it ask for keys (security.api_keys_file), where that is meant to be"
        )
    if origin is not None and (host is None or origin.partition(b"://")[2] != host):
        return "a web page from elsewhere may not call this server; have it ask for keys (security.api_keys_file)"
    return None


@lru_cache(64)
def _is_here(host: bytes) -> bool:
    """Whether a ``Host`` header names this machine; with or without a port."""
    text = host.decode("latin-1").lower()
    return is_loopback(text.partition("]")[0].lstrip("[") if text.startswith("[") else text.partition(":")[0])

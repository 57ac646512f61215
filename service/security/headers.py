"""Headers that every answer carries, so that a browser makes nothing of it that it is not.

An answer of an interface for programs is never a page: nothing may be loaded for it, nobody may frame it, no cache may
keep it, and its type is what it says. The page at ``/docs`` allows itself what it needs.
"""

_POLICY = b"content-security-policy"

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_USUAL = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_WITH_POLICY = (*_USUAL, (_POLICY, API_POLICY.encode()))
_TLS_ONLY = ((b"strict-transport-security", b"max-age=31536000"),)
"""For a year. Only under TLS: elsewhere a browser must not heed it."""

Headers = list[tuple[bytes, bytes]]


def add_security_headers(headers: Headers, *, tls: bool) -> Headers:
    """Return an answer's headers with those of every answer among them; a policy of its own is kept."""
    known = any(name == _POLICY for name, _ in headers)
    return [*headers, *(_USUAL if known else _WITH_POLICY), *(_TLS_ONLY if tls else ())]

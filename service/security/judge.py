"""Whether a request may go on: who calls, whether they may, how often, and whether there is room.

On the path it stands before routing and before anything is made of a body: ``gate.py`` asks it for requests that go to
the application, ``service/rest/short_way.py`` for predictions that are answered where their bytes arrive. Both get the
same judgement, for there is one judge a process. ``access.py`` has the table of what a route needs; the keys are those
of ``keys.py``.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple

from starlette.types import Scope

from service.config import Settings, is_loopback
from service.rest.problems import nothing_there
from service.security.access import Access, Lane, methods_at
from service.security.keys import KeyRing
from service.security.keys_file import ApiKey
from service.security.limits_admission import RETRY_AFTER, Admission
from service.security.limits_connection import CROWDED
from service.security.limits_rate import RateLimit, caller_at
from service.security.limits_tarpit import Tarpit
from service.security.origin import foreign

CALLER = "headrace.caller"
"""Where in a request's scope the name of its key stands; nowhere where no keys are asked for."""

PLACE = "headrace.place"
"""Where the place stands that a request holds for as long as it takes."""

_BEARER = 'Bearer realm="headrace"'
_BROWSER = 'Bearer realm="headrace", Basic realm="Any name, and an API key of Headrace as the password"'


class Refusal(NamedTuple):
    """Why a request goes no further."""

    status: int
    detail: str
    retry_after: float | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def closing(self) -> "Refusal":
        """Return the same with the end of the connection."""
        return self._replace(headers=(*self.headers, ("connection", "close")))


class Judge:
    """Judges requests. Belongs to the event loop.

    Parameters
    ----------
    settings
        The whole configuration.
    keys
        The keys that open it; None where nobody is asked for one.
    admission
        What this process has taken on.

    Attributes
    ----------
    tarpit
        Holds up refusals where there are many.
    """

    def __init__(self, settings: Settings, keys: KeyRing | None, admission: Admission) -> None:
        security = settings.security
        self.tarpit = Tarpit()
        self._keys = keys
        self._rate = RateLimit(security.requests_per_second) if security.requests_per_second else None
        self._lanes = admission.lanes
        # Without keys this machine's own users are trusted, but not the web pages that they happen to look at.
        self._only_local = keys is None and not security.allow_anonymous and is_loopback(settings.serve.host)

    def judge(self, scope: Scope) -> Refusal | None:
        """Return why a request may not go on; None where it may. It then counts as one of its caller's."""
        methods = methods_at(scope["path"])
        access = methods.get(scope["method"])
        lane: Lane = "other" if access is None else access.lane
        if access is not None and access.public:
            return None
        if CROWDED in scope:
            return Refusal(503, "there are too many connections; come again", RETRY_AFTER, (("connection", "close"),))
        if self._keys is None:
            refusal = self._judge_stranger(scope)
        else:
            refusal = self._judge_key(self._keys, scope, access, methods)
        if refusal is None and self._is_full(lane, scope):
            return Refusal(503, "as much is being answered as can be at once; ask again", RETRY_AFTER)
        if lane == "other":
            # Nothing of a body is read for it, so its place is taken here; other routes take theirs after the body.
            scope[PLACE] = self._lanes[lane].one(scope.get(CALLER))
        return refusal

    def _is_full(self, lane: Lane, scope: Scope) -> bool:
        key = scope.get(CALLER)
        floods = key is not None and self.tarpit.floods(caller_of(scope))
        return self._lanes[lane].full_for(key, floods=floods)

    def _judge_stranger(self, scope: Scope) -> Refusal | None:
        if self._only_local:
            problem = foreign(scope["headers"])
            if problem is not None:
                return Refusal(403, problem)
        return self._count(_address_of(scope)) if self._rate is not None else None

    def _judge_key(
        self, keys: KeyRing, scope: Scope, access: Access | None, methods: Mapping[str, Access]
    ) -> Refusal | None:
        presented = _presented(scope, access)
        key = keys.find(presented) if presented else None
        if key is None:
            return self._count(_address_of(scope)) or _unknown_caller(bool(presented), access)
        scope[CALLER] = key.name
        refusal = self._count(caller_of(scope))
        if refusal is not None:
            return refusal
        if access is None:
            # Denied by default: a route that nobody put into the table is never reached, whatever the key.
            if not methods:
                return Refusal(404, nothing_there(scope["path"]))
            return Refusal(405, "Method Not Allowed", headers=(("allow", ", ".join(sorted(methods))),))
        return None if key.roles & access.roles else _lacking(key, access)

    def _count(self, caller: str) -> Refusal | None:
        """Return the refusal where `caller` asks too often."""
        wait = self._rate.wait(caller) if self._rate is not None else 0.0
        return Refusal(429, "you ask more often than security.requests_per_second allows", wait) if wait else None


def _unknown_caller(presented: bool, access: Access | None) -> Refusal:
    challenge = _BROWSER if access is not None and access.browser else _BEARER
    detail = (
        "the key that was sent is none that opens this API"
        if presented
        else "this needs an API key: send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"
    )
    return Refusal(401, detail, headers=(("www-authenticate", challenge),))


def _lacking(key: ApiKey, access: Access) -> Refusal:
    wanted = " or ".join(sorted(access.roles))
    return Refusal(403, f"the key {key.name} has no role that opens this; it needs {wanted}")


def caller_of(scope: Scope) -> str:
    """Return who asks: a key where a valid one was shown, else an address."""
    key = scope.get(CALLER)
    return _address_of(scope) if key is None else f"key {key}"


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return caller_at(client[0]) if client else "unknown"


def _presented(scope: Scope, access: Access | None) -> bytes:
    """Return the key that a request carries; empty where it carries none."""
    found = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                return bytes(rest.strip())
            if scheme.lower() == b"basic" and access is not None and access.browser:
                return _password(rest.strip())
        elif name == b"x-api-key":
            found = value.strip()
    return found


def _password(credentials: bytes) -> bytes:
    """Return the password of ``Authorization: Basic``; empty where there is none."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""

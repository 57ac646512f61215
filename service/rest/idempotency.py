"""``Idempotency-Key``: the header that makes a retry safe, as each call that takes it reads and documents it."""

from starlette.requests import Request

from service.errors import RequestInvalid
from service.rest.answers import MAX_KEY_LENGTH
from service.security.judge import CALLER

_KEY = "Idempotency-Key"


def key_of(request: Request) -> str | None:
    """Return the ``Idempotency-Key``, told apart from those of other clients: none may read another one's answers.

    Raises
    ------
    RequestInvalid
        422 where it is too long, or empty.
    """
    key = request.headers.get(_KEY)
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        raise RequestInvalid(f"must have 1 to {MAX_KEY_LENGTH} characters", 422, _KEY)
    caller = request.scope.get(CALLER)
    # No header holds a line break, so nobody can name a key of another's.
    return key if caller is None else f"{caller}\n{key}"


KEY_PARAMETER = {
    "name": _KEY,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    "description": "Makes a retry safe: the same key and body get the same answer, and are done once.",
}

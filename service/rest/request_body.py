"""Reading a request's body: bounded while it arrives, of a content type that is taken, and decoded with blame.

On the path it is the first thing that a route with a body does.
"""

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn, TypeVar

import msgspec
from starlette.requests import Request

from service.errors import RequestInvalid
from service.security.limits_admission import Budget

Decoded = TypeVar("Decoded")

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_SMALL = 65_536
"""Bytes; as many of these as there may be connections take no more memory than a few large ones."""

_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


async def read_body(request: Request, limit: int, held: Budget) -> bytes:
    """Return the body; its weight is taken from `held`, and whoever gets the body gives it back.

    Only what has come is taken, not what is announced: else somebody who sends nothing could keep everybody out.

    Raises
    ------
    RequestInvalid
        413 as soon as more than `limit` bytes are announced or have come; 415 for a compressed body; 503 while other
        requests hold too much.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestInvalid(f"a body in content-encoding {encoding} is not taken; send it as it is", 415)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal():
        _check_size(int(announced), limit)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            _check_size(size + len(part), limit)
            held.take(weight_of(size + len(part)) - weight_of(size), weight_of(size))
            size += len(part)
            parts.append(part)
    except BaseException:
        held.give_back(weight_of(size))
        raise
    return parts[0] if len(parts) == 1 else b"".join(parts)


def weight_of(size: int) -> int:
    """Return what a body of `size` bytes counts for: small ones nothing, so that large ones never keep them out."""
    return size if size > _SMALL else 0


def content_type_of(request: Request, taken: Collection[str], default: str = "application/json") -> str:
    """Return the body's content type without its parameters; `default` where none is given.

    Raises
    ------
    RequestInvalid
        415 where it is none of `taken`.
    """
    header = request.headers.get("content-type")
    if header is None:
        return default
    found = header.partition(";")[0].strip().lower()
    if found not in taken:
        raise RequestInvalid(f"content-type {found} is not taken here; send {' or '.join(taken)}", 415)
    return found


def decode_json(body: bytes, decoder: msgspec.json.Decoder[Decoded]) -> Decoded:
    """Return `body` as the type of `decoder`.

    Raises
    ------
    RequestInvalid
        400 where it is not JSON; 422, with the field, where it is JSON of another shape.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        if "[...]" in str(error):
            return _decode_slowly(body, decoder)
        raise _wrong_shape(body, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestInvalid(f"the body is not JSON: {error}", 400) from error
    except RecursionError as error:
        raise RequestInvalid("the body is nested too deeply", 400) from error


def _decode_slowly(body: bytes, decoder: msgspec.json.Decoder[Decoded]) -> Decoded:
    """Decode numbers that are out of range (``1e999``) as infinities: then the check of features names the culprit."""
    try:
        return msgspec.convert(_strictly(body), decoder.type)
    except msgspec.ValidationError as error:
        raise _wrong_shape(body, error) from error
    except (ValueError, RecursionError) as error:
        raise RequestInvalid(f"the body is not JSON: {error}", 400) from error


def _strictly(body: bytes) -> Any:
    """Decode JSON and nothing else: the library's own idea of it is wider.

    Raises
    ------
    ValueError
        Other encodings than UTF-8, halves of surrogate pairs, which no answer could repeat, NaN and Infinity.
    """
    decoded = json.loads(body.decode(), parse_constant=_refuse_constant)
    json.dumps(decoded, ensure_ascii=False).encode()
    return decoded


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _wrong_shape(body: bytes, error: msgspec.ValidationError) -> RequestInvalid:
    try:
        _strictly(body)
    except (ValueError, RecursionError) as malformed:  # the typed decoder may stop before it gets there
        return RequestInvalid(f"the body is not JSON: {malformed}", 400)
    found = _WHERE.match(str(error))
    what, field = (found["what"], found["path"] or "") if found else (str(error), "")
    missing = _MISSING.search(what)
    if missing:
        field = f"{field}.{missing['name']}" if field else missing["name"]
    return RequestInvalid(what, 422, field)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RequestInvalid(f"the body is larger than {limit} bytes (serve.max_body_bytes); send it in parts", 413)

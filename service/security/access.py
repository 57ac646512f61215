"""Which role opens which route: one table. What is not in it is refused as soon as there are keys.

On the path it stands before routing: ``gate.py`` asks it what a request's path and method need. A new route
needs a line here; ``tests/service/security/test_access.py`` fails without one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from service.security.keys_file import ROLES, Role

DEFAULT_MODEL = "default"
"""The model that is meant where a path names none."""

Lane = Literal["predict", "ingest", "other", "probe"]
"""What waits together under load: one kind of request must not keep another one out. Probes never wait."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a route needs.

    Attributes
    ----------
    roles
        A key with any of them opens it.
    lane
        With which requests it shares a bound.
    public
        Whether it is open to everybody.
    browser
        Whether people open it in a browser, which can send a key only as a password.
    """

    roles: frozenset[Role]
    lane: Lane = "other"
    public: bool = False
    browser: bool = False


_PUBLIC = Access(frozenset(), "probe", public=True)
_PREDICT = Access(frozenset({"predict"}), "predict")
_INGEST = Access(frozenset({"ingest"}), "ingest")
_OPERATE = Access(frozenset({"operate"}))
_ANY_KEY = Access(frozenset(ROLES))
"""What is only looked at: whoever predicts or sends events may see how the model does, and Prometheus may scrape."""
_PAGE = Access(frozenset(ROLES), browser=True)

TABLE: Mapping[tuple[str, str], Access] = {
    ("GET", "/health/live"): _PUBLIC,
    ("GET", "/health/ready"): _PUBLIC,
    ("GET", "/v2/health/live"): _PUBLIC,
    ("GET", "/v2/health/ready"): _PUBLIC,
    ("POST", "/predict"): _PREDICT,
    ("POST", "/v1/models/{model}/predict"): _PREDICT,
    ("POST", "/v2/models/{model}/infer"): _PREDICT,
    ("GET", "/v2"): _ANY_KEY,
    ("GET", "/v2/models/{model}"): _ANY_KEY,
    ("GET", "/v2/models/{model}/ready"): _ANY_KEY,
    ("POST", "/events"): _INGEST,
    ("POST", "/v1/models/{model}/events"): _INGEST,
    ("GET", "/v1/models"): _ANY_KEY,
    ("GET", "/v1/models/{model}"): _ANY_KEY,
    ("PUT", "/v1/models/{model}"): _OPERATE,
    ("DELETE", "/v1/models/{model}"): _OPERATE,
    ("GET", "/v1/models/{model}/settings"): _OPERATE,
    ("GET", "/checkpoints"): _OPERATE,
    ("GET", "/v1/models/{model}/checkpoints"): _OPERATE,
    ("PUT", "/checkpoints/{name}"): _OPERATE,
    ("PUT", "/v1/models/{model}/checkpoints/{name}"): _OPERATE,
    ("DELETE", "/checkpoints/{name}"): _OPERATE,
    ("DELETE", "/v1/models/{model}/checkpoints/{name}"): _OPERATE,
    ("POST", "/rollback"): _OPERATE,
    ("POST", "/v1/models/{model}/rollback"): _OPERATE,
    ("POST", "/pause"): _OPERATE,
    ("POST", "/v1/models/{model}/pause"): _OPERATE,
    ("POST", "/resume"): _OPERATE,
    ("POST", "/v1/models/{model}/resume"): _OPERATE,
    ("POST", "/challengers/{challenger}/promote"): _OPERATE,
    ("POST", "/v1/models/{model}/challengers/{challenger}/promote"): _OPERATE,
    ("GET", "/export"): _OPERATE,
    ("GET", "/v1/models/{model}/export"): _OPERATE,
    ("GET", "/commands"): _OPERATE,
    ("GET", "/v1/models/{model}/commands"): _OPERATE,
    ("GET", "/commands/{number}"): _OPERATE,
    ("GET", "/v1/models/{model}/commands/{number}"): _OPERATE,
    ("GET", "/metrics"): _ANY_KEY,
    ("GET", "/"): _PAGE,
    ("GET", "/docs"): _PAGE,
    ("GET", "/docs/page.css"): _PAGE,
    ("GET", "/docs/page.js"): _PAGE,
    ("GET", "/openapi.json"): _PAGE,
    ("HEAD", "/openapi.json"): _PAGE,
}
"""Method and path, as routes are registered → what they need."""

_BEHIND = {"checkpoints": "{name}", "commands": "{number}", "challengers": "{challenger}"}
"""What comes before a parameter in a path → that parameter."""

_METHODS: dict[str, dict[str, Access]] = {}
for (_method, _path), _access in TABLE.items():
    _METHODS.setdefault(_path, {})[_method] = _access


def methods_at(path: str) -> Mapping[str, Access]:
    """Return the methods that a request's path may be called with, and what they need; empty for an unknown path."""
    found = _METHODS.get(path)
    if found is not None:
        return found
    # The parameters of a path are a model's name, after /v1/models or /v2/models, and what comes behind some words.
    parts = path.split("/")
    if len(parts) >= 4 and parts[2] == "models":
        parts[3] = "{model}"
    found = _METHODS.get("/".join(parts))
    if found is None:
        named = (_BEHIND.get(before, part) if part else part for before, part in zip(["", *parts], parts, strict=False))
        found = _METHODS.get("/".join(named))
    return found or {}


def model_at(path: str) -> str:
    """Return the model that a request's path names; the default one where it names none."""
    parts = path.split("/", 4)
    return parts[3] if len(parts) >= 4 and parts[2] == "models" else DEFAULT_MODEL

"""What the OpenAPI description says of the gate: how a key is sent, and what is answered in place of a route."""

from typing import Any

from service.rest.problems import problems
from service.security.access import TABLE

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: KEY`"},
}


def secure_openapi(document: dict[str, Any], *, keys: bool) -> None:
    """Add to `document`, in place, what the gate answers; and that a key is needed, where there are `keys`."""
    document["components"]["securitySchemes"] = _SCHEMES
    refusals = {str(status): answer for status, answer in problems(401, 403, 429, 503).items()}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            access = TABLE.get((method.upper(), path))
            if access is not None and access.public:
                continue
            operation["responses"] = refusals | operation["responses"]
            if keys and access is not None:
                operation["security"] = [{"bearer": []}, {"api_key": []}]
                operation["description"] = _with_roles(operation.get("description", ""), access.roles)


def _with_roles(description: str, roles: frozenset[str]) -> str:
    needed = f"Needs a key with the role {' or '.join(f'`{role}`' for role in sorted(roles))}."
    return f"{description}\n\n{needed}" if description else needed

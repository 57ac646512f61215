"""The table of routes and roles: complete, and what is not in it stays shut."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Route

from service.api import create_app
from service.config import SecuritySettings, Settings
from service.security.access import TABLE, methods_at
from service.security.keys_file import ROLES, Role, add_key
from tests.support.serving import serving_here, serving_settings

BODIES = {"POST": {"features": {"price": 1}}}


def keyed(tmp_path: Path) -> Settings:
    """Return settings with a file of keys: one for each role, named after it, and one with all."""
    settings = serving_settings(tmp_path)
    security = SecuritySettings(api_keys_file=tmp_path / "keys.txt")
    return settings.model_copy(update={"security": security})


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, str]]:
    settings = keyed(tmp_path_factory.mktemp("keyed"))
    path = settings.security.api_keys_file
    assert path is not None
    return settings, {name: add_key(path, name, roles) for name, roles in _ROLES.items()}


_ROLES: dict[str, list[Role]] = {role: [role] for role in ROLES} | {"all": list(ROLES)}


@pytest.fixture(scope="module")
def client(keys: tuple[Settings, dict[str, str]]) -> Iterator[httpx.Client]:
    with serving_here(keys[0]) as made:
        yield made


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Return method and path of each route."""
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        assert isinstance(route, APIRoute | Route), f"what is open at {route}?"
        found |= {(method, route.path) for method in route.methods or ()}
    return found


def test_every_route_is_in_the_table_and_no_other(keys: tuple[Settings, dict[str, str]]) -> None:
    """A new route would be refused to everybody as soon as there are keys; or the table would promise what is gone."""
    assert routes_of(create_app(keys[0])) == set(TABLE)


def test_a_route_that_nobody_put_into_the_table_is_refused(keys: tuple[Settings, dict[str, str]]) -> None:
    """A route that was forgotten would be open to everybody."""
    settings, known = keys
    app = create_app(settings)
    for path in ("/new", "/v1/models/{model}/new"):
        app.router.add_api_route(path, lambda: Response("secret"), methods=["GET"])
    app.router.add_api_route("/predict", lambda: Response("secret"), methods=["DELETE"])
    headers = {"authorization": f"Bearer {known['all']}"}
    with serving_here(settings, app) as client:
        for path in ("/new", "/v1/models/default/new"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=headers).status_code == 404
        answer = client.delete("/predict", headers=headers)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(("method", "path"), sorted(TABLE))
def test_a_route_opens_to_its_roles_alone(
    client: httpx.Client, keys: tuple[Settings, dict[str, str]], method: str, path: str
) -> None:
    """Somebody who may only send events could ask, operate, or the other way round."""
    access = TABLE[method, path]
    address = path.replace("{model}", "default")

    def status(headers: dict[str, str]) -> int:
        return client.request(method, address, json=BODIES.get(method), headers=headers).status_code

    nobody = status({})
    assert (nobody in (200, 503)) if access.public else nobody == 401
    for role in ROLES:
        for header in ({"authorization": f"bearer  {keys[1][role]}"}, {"X-API-Key": keys[1][role]}):
            found = status(header)
            if access.public or role in access.roles:
                assert found in (200, 202, 307, 400, 404, 409, 422, 503), (role, found)
            else:
                assert found == 403, role


@pytest.mark.parametrize(
    "path",
    [
        "/predict/",
        "//predict",
        "/predict%0A",
        "/PREDICT",
        "/v1/models/a%2Fb/predict",
        "/health/live/x",
        "/docs/../events",
    ],
)
def test_an_address_that_is_written_otherwise_is_refused(client: httpx.Client, path: str) -> None:
    """The table would be asked for one route, and another one answer."""
    assert client.post(path, json=BODIES["POST"]).status_code in (401, 404)


def test_what_a_path_needs_is_that_of_its_route() -> None:
    """A model's name could make one route look like another."""
    assert methods_at("/v1/models/x/events").keys() == {"POST"}
    assert methods_at("/v1/models/x").keys() == {"GET", "PUT", "DELETE"}
    assert methods_at("/v2/models/events/infer").keys() == {"POST"}
    for nothing in ("/v1/models/x/events/y", "/v3/models/x", "/v1/models/{model}/x", "", "/v1/model/x/events"):
        assert methods_at(nothing) == {}


def test_without_keys_nobody_is_asked(tmp_path: Path) -> None:
    """A service for one machine would need keys before its first prediction."""
    with serving_here(serving_settings(tmp_path)) as client:
        assert client.post("/predict", json=BODIES["POST"]).status_code == 200
        assert client.get("/nothing").status_code == 404
        assert client.delete("/predict").status_code == 405

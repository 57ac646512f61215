"""What the API's description promises, held to a real service: every call, every answer, good and bad requests."""

from pathlib import Path

from tests.fuzz.api import explore, guarded_service, teach


def test_the_api_is_as_it_is_described(tmp_path: Path) -> None:
    """Fails when any request makes a 500 or an answer that the description does not have, or gets in without a key."""
    with guarded_service(tmp_path) as (service, key):
        untaught = explore(service, key, seed=1, examples=1)
        assert untaught.passed, untaught.output
        teach(service)
        taught = explore(service, key, seed=2, examples=3)
        assert taught.passed, taught.output
        assert service.log("up").count("a request failed in a way that it must not") == 0

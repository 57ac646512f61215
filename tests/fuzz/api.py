"""The whole API under schemathesis: a real service, with keys, before it has learned anything and after.

Run as a program it does so for as long as it is told: ``python -m tests.fuzz.api --seconds 60``. ``schemathesis.toml``
holds what is exempt, and why.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from service.security.keys_file import add_key
from tests.support.processes import Installation, installation

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
MODELS = {"default": {"learner": {"kind": "linear"}}, "numbers": {"task": "regression", "learner": {"kind": "linear"}}}


class Outcome(NamedTuple):
    """What schemathesis found: how many cases it tried, whether all were well, and what it said."""

    cases: int
    passed: bool
    output: str


@contextmanager
def guarded_service(folder: Path) -> Iterator[tuple[Installation, str]]:
    """Yield a service that lets in only who has a key, and a key with every role."""
    keys = folder / "keys.txt"
    key = add_key(keys, "fuzzer", ["predict", "ingest", "operate"])
    with installation(folder, models=MODELS, security={"api_keys_file": str(keys)}) as service:
        service.http.headers["Authorization"] = f"Bearer {key}"
        service.start("up")
        service.wait_until_ready()
        yield service, key


def teach(service: Installation) -> None:
    """Have both models learn something, though calls may have paused them."""
    for model in MODELS:
        service.http.post(f"/v1/models/{model}/resume").raise_for_status()
    rows = [{"id": f"e{n}", "features": {"price": n % 7, "city": "Oslo" if n % 2 else "Rome"}} for n in range(200)]
    service.http.post("/events", json=[row | {"label": "late"} for row in rows]).raise_for_status()
    service.http.post("/events", json=[row | {"label": "on-time"} for row in rows]).raise_for_status()
    numbers = [row | {"label": 1.5 * n} for n, row in enumerate(rows)]
    service.http.post("/v1/models/numbers/events", json=numbers).raise_for_status()
    service.wait_until_learned(400)


def explore(service: Installation, key: str, *, seed: int, examples: int, seconds: int | None = None) -> Outcome:
    """Try all phases and all checks.

    Parameters
    ----------
    service, key
        What to ask, and as whom.
    seed
        Of everything that is drawn.
    examples
        Cases of each call and phase, at most.
    seconds
        How long to go on beyond that; None for no longer.
    """
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    command = [sys.executable, "-c", program, "--config-file", str(CONFIGURATION), "run"]
    command += [f"http://127.0.0.1:{service.port}/openapi.json", "--checks", "all", "--mode", "all"]
    command += ["--seed", str(seed), "--max-examples", str(examples), "--continue-on-failure", "--no-color"]
    command += ["--header", f"Authorization: Bearer {key}", "--request-timeout", "30"]
    command += [] if seconds is None else ["--max-time", str(seconds)]
    ran = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    counted = re.search(r"(\d+) generated", ran.stdout)
    cases = int(counted[1]) if counted else 0
    return Outcome(cases, ran.returncode == 0 and cases > 0, ran.stdout + ran.stderr)


def main() -> None:
    """Explore before and after learning; end with status 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="before learning, and again after (60)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder, guarded_service(Path(folder)) as (service, key):
        for when in ("before learning", "after learning"):
            if when == "after learning":
                teach(service)
            found = explore(service, key, seed=arguments.seed, examples=1000, seconds=arguments.seconds)
            failed = failed or not found.passed
            print(f"API {when}: {found.cases} cases, {'0 failures' if found.passed else 'FAILURES'}", flush=True)
            if not found.passed:
                print(found.output[-8000:], flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

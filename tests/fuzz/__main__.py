"""Coverage-guided fuzzing of every decoder, in turn, then of the whole API: ``make fuzz ARGS="--seconds 60"``.

Each target runs in a process of its own, because what is looked for may end it. What was found interesting is kept in
a corpus outside of the repository, so that the next run goes on from there.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

MEMORY = 3072
"""MB that a target's process may take."""

API = "api"
"""Not a decoder but all of them, and everything around them: see ``api.py``."""

SLOW = 20
"""Seconds that one input may take."""

LONGEST = 4096
"""Bytes of an input; what is large by itself is in ``bombs.py``."""


def main() -> None:
    """Fuzz; end with status 1 where anything was found."""
    arguments = _arguments()
    failed = []
    chosen = arguments.targets or [*TARGETS, API]
    for name in [each for each in chosen if each != API]:
        corpus = arguments.corpus / name
        corpus.mkdir(parents=True, exist_ok=True)
        cases, crash = _fuzz(name, corpus, arguments.seconds, arguments.seed)
        print(f"{name}: {cases} cases in {arguments.seconds} s, {'1 failure' if crash else '0 failures'}", flush=True)
        if crash:
            failed.append(name)
            print(crash, flush=True)
    print(f"corpus: {arguments.corpus}")
    if API in chosen:
        command = [sys.executable, "-m", "tests.fuzz.api", "--seconds", str(arguments.seconds)]
        failed += [API] * (subprocess.run(command, check=False).returncode != 0)
    sys.exit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}, {API}; all without")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices; 0 takes another one each time")
    default = Path.home() / ".cache" / "headrace-fuzz"
    parser.add_argument("--corpus", type=Path, default=default, help=f"folder of what is kept ({default})")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - {*TARGETS, API}
    if unknown:
        parser.error(f"no target is named {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}, {API}")
    return arguments


def _fuzz(name: str, corpus: Path, seconds: int, seed: int) -> tuple[int, str]:
    """Return how many cases were tried, and what was found; empty where nothing was."""
    with tempfile.TemporaryDirectory() as seeds:
        for number, content in enumerate(TARGETS[name].seeds):
            (Path(seeds) / f"seed-{number}").write_bytes(content)
        options = {
            "max_total_time": seconds,
            "max_len": LONGEST,
            "timeout": SLOW,
            "rss_limit_mb": MEMORY,
            "print_final_stats": 1,
            "verbosity": 0,
            "artifact_prefix": f"{corpus}/../failure-{name}-",
            "seed": seed,
        }
        command = [sys.executable, "-m", "tests.fuzz.instrumented", name, str(corpus), seeds]
        command += [f"-{option}={value}" for option, value in options.items()]
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    output = ran.stdout + ran.stderr
    counted = re.search(r"number_of_executed_units:\s*(\d+)", output)
    told = "\n".join(line for line in output.splitlines() if not line.startswith(("INFO:", "WARNING:")))
    return int(counted[1]) if counted else 0, "" if ran.returncode == 0 and counted else told[-6000:]


if __name__ == "__main__":
    main()

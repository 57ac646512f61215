"""``make test-faults``: a thousand kill cycles, both varieties, and the result kept as JSON and Markdown.

The campaign itself is in ``tests/integration/faults/``; 43 of its cycles are in ``make test``.
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.report import add_results_option, machine
from tests.integration.faults.cycles import RANDOM
from tests.integration.faults.points import EVERY

REPOSITORY = Path(__file__).parents[1]

SHARE_OF_SIZES, SHARE_OF_TAUGHT, SHARE_OF_CHALLENGED = 0.6, 0.1, 0.1
"""Of the cycles: one partition and microbatches bounded by size alone; a teacher; a challenger. The rest: partitions,
timeouts."""


def main() -> int:
    """Run the campaigns and keep their result; the status is 1 where anything was lost, doubled or altered."""
    parser = argparse.ArgumentParser(
        prog="make test-faults", description="Kills trainers and compares what comes of it."
    )
    parser.add_argument("--cycles", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a campaign; drawn where none is given")
    add_results_option(parser)
    asked = parser.parse_args()
    seed = int.from_bytes(os.urandom(3), "big") if asked.seed is None else asked.seed
    sizes, taught, challenged = (
        round(asked.cycles * share) for share in (SHARE_OF_SIZES, SHARE_OF_TAUGHT, SHARE_OF_CHALLENGED)
    )
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="headrace-faults-") as folder:
        rest = asked.cycles - sizes - taught - challenged
        shares = (("sizes", sizes), ("taught", taught), ("challenged", challenged), ("timeouts", rest))
        found = [_run(Path(folder) / variety, variety, count, seed) for variety, count in shares if count]
    print(_keep(found, seed, asked.results))
    return int(any(each["problems"] for each in found))


def _run(folder: Path, variety: str, cycles: int, seed: int) -> dict[str, Any]:
    """Run one campaign; how it gets on is told on stderr."""
    command = [sys.executable, "-m", "tests.integration.faults.campaign", str(folder), variety]
    command += ["--cycles", str(cycles), "--seed", str(seed)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    if not ended.stdout:
        raise SystemExit(f"the campaign {variety} ended with status {ended.returncode} and no result")
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def _keep(found: list[dict[str, Any]], seed: int, folder: Path) -> str:
    """Write ``faults-DATE.json`` and ``.md``; return the latter's text."""
    now = dt.datetime.now(dt.UTC)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"faults-{now:%Y-%m-%d}"
    content = {"measured_at": now.isoformat(timespec="seconds"), "seed": seed, "campaigns": found}
    stem.with_suffix(".json").write_text(json.dumps(content | {"machine": asdict(machine())}, indent=1) + "\n")
    text = _markdown(found, seed, now)
    stem.with_suffix(".md").write_text(text)
    return text


def _markdown(found: list[dict[str, Any]], seed: int, now: dt.datetime) -> str:
    where = machine()
    kills: Counter[str] = Counter()
    for each in found:
        kills.update(each["kills"])
    lines = [
        f"# Kill cycles of {now:%Y-%m-%d}",
        "",
        f"{where.processor}, {where.cores} cores, {where.system}, Python {where.python}; seed {seed}.",
        "Trainers are killed with SIGKILL while a producer goes on; an independent program then learns the same log",
        "undisturbed.",
        "",
        "| variety | cycles | events | updates | versions seen served | dead letters | seconds | problems |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for each in found:
        figures = [each.get(name, "") for name in ("events", "updates", "versions_seen", "dead_letters", "seconds")]
        problems = "; ".join(each["problems"])[:300].replace("\n", " ") or "none"
        row = [each["variety"], each["cycles"], *figures, problems]
        lines.append(f"| {' | '.join(map(str, row))} |")
    clean = not any(each["problems"] for each in found)
    verdict = (
        "0 events lost, 0 learned twice (count and checksum are the log's), every array of the learner equal bit for "
        "bit, every version that was seen had the parameters of the undisturbed run, and none came after a later one."
    )
    lines += ["", verdict if clean else "**Not clean: see the problems.**", ""]
    lines += ["| killed at | times |", "| --- | ---: |"]
    lines += [f"| {point} | {count} |" for point, count in sorted(kills.items())]
    missing = sorted(point for point in EVERY if not kills[point])
    lines += ["", f"{len(kills.keys() & EVERY)} of {len(EVERY)} points were met, beside kills {RANDOM}."]
    if missing:
        lines += ["", f"Not met this time: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

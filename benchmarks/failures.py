"""Every failure that is promised to be survived, with its tests and what came of them: the table of the operators, run.

``make test-faults`` runs it before the kill cycles. Each test is in ``make test`` too; here its result is kept.
"""

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.report import add_results_option, machine
from tests.support.failures import ROOT, named_in, rows

_KINDS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def main() -> int:
    """Run the tests and keep the table; the status is 1 where one did not pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failures", description=__doc__.partition("\n")[0])
    add_results_option(parser)
    asked = parser.parse_args()
    nodes = sorted({f"{path}::{name}" for cells in rows().values() for path, name in named_in(cells)})
    results = _run(nodes)
    text = _table(results)
    asked.results.mkdir(parents=True, exist_ok=True)
    (asked.results / f"failures-{dt.datetime.now(dt.UTC):%Y-%m-%d}.md").write_text(text)
    print(text)
    return int(any(set(results.get(node, ["not run"])) - {"passed", "skipped"} for node in nodes))


def _run(nodes: Sequence[str]) -> Mapping[str, list[str]]:
    """Return test → the results of its cases."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-o", "junit_family=xunit1", f"--junit-xml={report}"]
        everything = os.environ | {"HEADRACE_TEST_SLOW": "1"}  # what takes a minute is part of the table
        subprocess.run([sys.executable, "-m", "pytest", *options, *nodes], cwd=ROOT, env=everything, check=False)
        found: defaultdict[str, list[str]] = defaultdict(list)
        for case in ET.parse(report).iter("testcase"):  # what pytest has just written
            node = f"{case.get('file')}::{str(case.get('name')).partition('[')[0]}"
            found[node].append(next((_KINDS[part.tag] for part in case if part.tag in _KINDS), "passed"))
    return found


def _table(results: Mapping[str, list[str]]) -> str:
    where = machine()
    lines = [
        f"# Failures and their tests, {dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "",
        f"{where.processor}, {where.cores} cores, {where.system}, Python {where.python}.",
        "What is seen, and what is done about it: [operations](../../docs/operations.md#failures).",
        "",
        "| what happens | test | result |",
        "| --- | --- | --- |",
    ]
    for what, cells in rows().items():
        for path, name in named_in(cells):
            lines.append(f"| {what} | `{path}::{name}` | {_summary(results.get(f'{path}::{name}', []))} |")
    return "\n".join(lines) + "\n"


def _summary(cases: Sequence[str]) -> str:
    """Return how many cases of a test ended how."""
    counts = {kind: cases.count(kind) for kind in ("passed", "skipped", "failed")}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "not run"


if __name__ == "__main__":
    sys.exit(main())

"""``make bench``: runs every measurement against one real broker and keeps the result as JSON and Markdown.

These machines are small and shared, so single figures mean little: what is compared is measured turn by turn in one
run, and what is claimed is the ratio.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import freshness, ingest, serving
from benchmarks.report import Result, keep, machine
from benchmarks.topics import filled_topic
from tests.support.broker import Broker

SECTIONS = {"ingest": ingest.measure, "freshness": freshness.measure, "serving": serving.measure}

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the sections that are asked for and keep their results; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Headrace on this machine.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--events", type=int, default=600_000, help="events in the topic that is read (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each measurement (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results (%(default)s)")
    asked = parser.parse_args()
    unknown = set(asked.sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    broker = Broker()
    broker.start()
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
            topic = filled_topic(broker.address, asked.events)
            results: list[Result] = []
            for name in asked.sections or SECTIONS:
                print(f"measuring {name} …", flush=True)
                results += SECTIONS[name](broker.address, topic, Path(folder) / name, asked.events, asked.rounds)
    finally:
        broker.remove()
    print(keep(results, machine(), asked.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())

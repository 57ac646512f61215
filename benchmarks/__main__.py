"""``make bench``: runs every section against one real broker and keeps the result as JSON, Markdown and plots.

These machines are small and shared, so single figures mean little: what is compared is measured turn by turn in one
run, and what is claimed is the ratio.
"""

import argparse
import contextlib
import datetime as dt
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from benchmarks import page, plots
from benchmarks.page import Chapter
from benchmarks.report import Result, add_results_option, machine
from benchmarks.sections.table import SECTIONS
from benchmarks.topics import filled_topic
from tests.support.broker import Broker, BrokerMissing


def main() -> int:
    """Run the sections that are asked for and keep their results; the status is 1 where a section failed."""
    asked = _arguments()
    # So that everything that was started is ended, whatever ends this program.
    signal.signal(signal.SIGTERM, _ended)
    try:
        with _broker(asked.broker) as address, tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
            chapters, text = _measured(address, Path(folder), asked)
    except BrokerMissing as missing:
        print(f"There is no broker to measure with: {missing}", file=sys.stderr)
        return 1
    print(text)
    return int(any(chapter.failure for chapter in chapters))


@contextlib.contextmanager
def _broker(named: str | None) -> Iterator[str]:
    """Yield the address of the broker that was named, or of one that is started and removed."""
    if named:
        yield named
        return
    broker = Broker()
    try:
        broker.start()
        yield broker.address
    finally:
        broker.remove()


def _measured(address: str, folder: Path, asked: argparse.Namespace) -> tuple[list[Chapter], str]:
    """Return what the sections found, and the page; both are kept after each section, for the next may be stopped."""
    topic = filled_topic(address, asked.events)
    chapters: list[Chapter] = []
    text = ""
    for name in asked.sections or SECTIONS:
        chapters.append(_chapter(name, address, topic, folder / name, asked))
        text, stem = page.keep(chapters, machine(), asked.results)
        try:
            plots.draw(page.load(stem.with_suffix(".json")), stem)
        except ModuleNotFoundError as error:
            print(f"No plots were drawn: {error}. Install headrace[plot].", file=sys.stderr)
        except Exception:  # noqa: BLE001 - a plot is not to cost the sections that are still to come
            traceback.print_exc()
    return chapters, text


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Headrace on this machine.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--events", type=int, default=1_500_000, help="events in the main topic (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each measurement (%(default)s)")
    parser.add_argument("--broker", metavar="HOST:PORT", help="one that runs already; otherwise one is started")
    add_results_option(parser)
    asked = parser.parse_args()
    unknown = set(asked.sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return asked


def _chapter(name: str, address: str, topic: str, folder: Path, asked: argparse.Namespace) -> Chapter:
    """Measure one section; what goes wrong in it is its result, and the others go on."""
    print(f"{time.strftime('%H:%M:%S')} measuring {name} …", file=sys.stderr, flush=True)
    load, began, at = os.getloadavg()[0], time.monotonic(), dt.datetime.now(dt.UTC)
    results: list[Result] = []
    failure = ""
    try:
        results = SECTIONS[name].measure(address, topic, folder, asked.events, asked.rounds)
    except Exception as error:  # noqa: BLE001 - the broker and all other sections are not to go with it
        traceback.print_exc()
        failure = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return Chapter(name, at.isoformat(timespec="seconds"), time.monotonic() - began, load, results, failure)


def _ended(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())

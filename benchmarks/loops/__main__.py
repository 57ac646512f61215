"""``python -m benchmarks.loops NAME ADDRESS TOPIC WARM_UP EVENTS SECONDS``: run one loop, print what it measured.

The result is the last line of the output, as JSON: libraries print what they like before it.
"""

import json
import sys
from importlib import import_module
from importlib.metadata import version

from benchmarks.loops.meter import Meter
from benchmarks.loops.table import LOOPS


def main() -> None:
    """Run the loop that the command line names, in the environment that it is run in."""
    name, address, topic, warm_up, events, seconds = sys.argv[1:]
    loop = LOOPS[name]
    meter = Meter(int(warm_up), int(events), float(seconds))
    import_module(loop.module).run(address, topic, meter)
    versions = {package: version(package) for package in loop.packages}
    print(json.dumps(meter.result() | {"versions": versions}), flush=True)


if __name__ == "__main__":
    main()

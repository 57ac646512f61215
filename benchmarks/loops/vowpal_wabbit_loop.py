"""Vowpal Wabbit fed by kafka-python: each event becomes a line of its format, is predicted and learned."""

import json

import vowpalwabbit

from benchmarks.loops.meter import Meter
from benchmarks.loops.polling import polls

_LABELS = {"yes": 1, "no": -1}


def run(address: str, topic: str, meter: Meter) -> None:
    """Poll, decode, predict, learn, with Vowpal Wabbit's defaults for two classes."""
    workspace = vowpalwabbit.Workspace(quiet=True, loss_function="logistic", link="logistic")
    for found in polls(address, topic):
        for record in found:
            event = json.loads(record.value)
            cells = " ".join(
                f"{name}={value}" if isinstance(value, str) else f"{name}:{value}"
                for name, value in event["features"].items()
            )
            example = workspace.example(f"{_LABELS[event['label']]} | {cells}")
            workspace.predict(example)
            workspace.learn(example)
            workspace.finish_example(example)
        if not meter.add(len(found)):
            return

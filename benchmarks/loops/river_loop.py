"""The loop that one writes in an afternoon: kafka-python, json.loads, River, one event at a time."""

import json

from benchmarks.loops.meter import Meter
from benchmarks.loops.polling import polls
from benchmarks.loops.river_pipeline import pipeline


def run(address: str, topic: str, meter: Meter) -> None:
    """Poll, decode, predict, learn."""
    model = pipeline()
    for found in polls(address, topic):
        for record in found:
            event = json.loads(record.value)
            model.predict_proba_one(event["features"])
            model.learn_one(event["features"], event["label"] == "yes")
        if not meter.add(len(found)):
            return

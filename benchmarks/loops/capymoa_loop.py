"""CapyMOA (MOA, in Java) fed by kafka-python: its Hoeffding tree, one instance at a time.

It must be told classes and the values of categories beforehand.
"""

import json

import numpy as np
from capymoa.classifier import HoeffdingTree
from capymoa.core import LabeledInstance
from capymoa.stream import Schema

from benchmarks.loops.meter import Meter
from benchmarks.loops.polling import polls

_NUMBERS = [f"n{index}" for index in range(10)]
_CITIES = {f"city-{number}": number for number in range(50)}
_LABELS = {"no": 0, "yes": 1}


def run(address: str, topic: str, meter: Meter) -> None:
    """Poll, decode, predict, learn."""
    nominal = {"city": list(_CITIES), "label": list(_LABELS)}
    schema = Schema.from_custom([*_NUMBERS, "city", "label"], "label", nominal)
    learner = HoeffdingTree(schema)
    for found in polls(address, topic):
        for record in found:
            event = json.loads(record.value)
            features = event["features"]
            row = [*(features[name] for name in _NUMBERS), _CITIES[features["city"]]]
            instance = LabeledInstance.from_array(schema, np.array(row, np.float64), _LABELS[event["label"]])
            learner.predict(instance)
            learner.train(instance)
        if not meter.add(len(found)):
            return

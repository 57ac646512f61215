"""deep-river fed by kafka-python: a network of 64×2 behind River's pipeline, one event at a time."""

import json
from typing import Any

import torch
from deep_river.classification import Classifier

from benchmarks.loops.meter import Meter
from benchmarks.loops.polling import polls
from benchmarks.loops.river_pipeline import numbers_and_categories
from benchmarks.peers.deep_river_peers import network


def run(address: str, topic: str, meter: Meter) -> None:
    """Poll, decode, predict, learn; columns are added to the network as categories appear."""
    torch.manual_seed(0)
    model: Any = numbers_and_categories() | Classifier(
        module=network(11, 2), loss_fn="cross_entropy", optimizer_fn="adam", lr=1e-3, is_feature_incremental=True
    )
    for found in polls(address, topic):
        for record in found:
            event = json.loads(record.value)
            model.predict_proba_one(event["features"])
            model.learn_one(event["features"], event["label"] == "yes")
        if not meter.add(len(found)):
            return

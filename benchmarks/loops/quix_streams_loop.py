"""Quix Streams around River: an application that reads JSON as its documentation has it, and learns in an update."""

import uuid
from typing import Any

from quixstreams import Application

from benchmarks.loops.meter import Meter
from benchmarks.loops.river_pipeline import pipeline


def run(address: str, topic: str, meter: Meter) -> None:
    """Run the application until there is enough."""
    model = pipeline()
    # A group of its own, so that a second run begins at the beginning again.
    application = Application(
        broker_address=address, consumer_group=f"bench-{uuid.uuid4().hex[:8]}", auto_offset_reset="earliest"
    )
    events = application.topic(topic, value_deserializer="json")

    def learn(event: dict[str, Any]) -> None:
        model.predict_proba_one(event["features"])
        model.learn_one(event["features"], event["label"] == "yes")
        if not meter.add(1):
            application.stop()

    application.dataframe(events).update(learn)
    application.run()

"""FastAPI with pydantic, as its documentation has it: a model of the request, a model of the response, a function.

A coroutine, which FastAPI calls directly; a plain function would be called in a thread, and be slower.
"""

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving_peers.network import NUMBERS, Classifier


class Features(BaseModel):
    """What is known of a row."""

    n0: float
    n1: float
    n2: float
    n3: float
    n4: float
    n5: float
    n6: float
    n7: float
    n8: float
    n9: float
    city: str


class Instance(BaseModel):
    """One row."""

    features: Features


class Instances(BaseModel):
    """Several rows."""

    instances: list[Instance]


class Prediction(BaseModel):
    """What is answered for a row."""

    label: str
    probabilities: dict[str, float]


class Answer(BaseModel):
    """The whole answer."""

    model_version: int
    predictions: list[Prediction]


app = FastAPI()
classifier = Classifier()


@app.post("/predict")
async def predict(asked: Instance) -> Answer:
    """Predict for one row."""
    return _answer([asked.features])


@app.post("/predict_many")
async def predict_many(asked: Instances) -> Answer:
    """Predict for several."""
    return _answer([each.features for each in asked.instances])


def _answer(rows: list[Features]) -> Answer:
    numbers = [[getattr(row, name) for name in NUMBERS] for row in rows]
    found = classifier.predict(numbers, [row.city for row in rows])
    return Answer(model_version=1, predictions=[Prediction(**each) for each in found])

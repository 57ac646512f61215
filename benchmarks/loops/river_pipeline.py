"""River's pipeline for the topic, as one writes it in an afternoon; for those loops that learn with it."""

from typing import Any

from river import compose, linear_model, preprocessing


def numbers_and_categories() -> Any:
    """Return numbers standardised beside categories one-hot."""
    numbers: Any = compose.SelectType(float) | preprocessing.StandardScaler()
    categories: Any = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return numbers + categories


def pipeline() -> Any:
    """Return that before a logistic regression."""
    return numbers_and_categories() | linear_model.LogisticRegression()

"""Predictions that come with reasons: ``"explain": true``.

On the path it stands beside the usual way of a large prediction, in a thread: an explanation asks the model once more
for each feature of each row. So their number is bounded, and counted as that of rows is.
"""

from collections.abc import Sequence

from consumers.source import NewRecord
from models.explanation import Explanation
from models.explanation_variants import count_features
from service.decoding.columns import features_from_rows
from service.errors import RequestInvalid
from service.rest.observations import raw_features
from service.rest.prediction_answers import Reasons, answer_rows, encode_answer
from service.rest.prediction_requests import Asked, blaming
from service.rest.served_model import ServedModel
from service.rest.serving_context import Context

IN_REQUEST = "explain"
"""Where a request asks for it."""


def answer_explained(
    context: Context, model: ServedModel, asked: Asked, body: bytes
) -> tuple[bytes, int, Sequence[NewRecord]]:
    """Return the encoded answer, how many predictions are in it, and what is to be remembered of it.

    Raises
    ------
    RequestInvalid
        422 where more is to be explained than one request may have; 503 while other requests hold too many rows.
    """
    remembered = asked.to_remember(model.settings.remember)
    with blaming(asked.path):
        features = features_from_rows(asked.rows, model.settings.events)
    count, most = count_features(features), context.settings.limits.max_explained
    if count > most:
        raise RequestInvalid(
            f"the rows have {count} features to be explained; ask for at most {most} (limits.max_explained) at once",
            422,
            IN_REQUEST,
        )
    # Each row is asked as it is and without any feature, and then without each of its features.
    with context.holding_rows(2 * len(asked.rows) + count, model):
        served, predictions, explanations = model.serving.explain(features, model.keys_of(asked.rows, asked.ids))
        made = answer_rows(predictions, asked.ids)
        for row, explanation in zip(made, explanations, strict=False):  # there is none where nothing was learned
            row.explanation = _reasons(explanation)
        records = model.observations(asked, raw_features(body), served, made) if remembered else []
    return encode_answer(model.name, served, made), len(made), records


def _reasons(explanation: Explanation) -> Reasons:
    return Reasons(
        dict(explanation.contributions),
        explanation.baseline,
        explanation.output,
        explanation.scale,
        explanation.method,
    )

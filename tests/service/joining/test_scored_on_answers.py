"""The score is that of the answers that clients really got: recomputed from what they wrote down, it is the same."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from service.config import Settings
from service.monitoring.status import Status
from service.wiring import make_source
from tests.support.serving import serving_here
from tests.support.training import Running, learned, open_model, running, settings

WARM, ASKED = 96, 150


@contextmanager
def service(chosen: Settings) -> Iterator[tuple[httpx.Client, Running]]:
    """Run a trainer and a server on the embedded log."""
    with ExitStack() as stack:
        run = stack.enter_context(running(open_model(chosen, make_source(chosen, "default"))))
        yield stack.enter_context(serving_here(chosen)), run


def rows_of(count: int, task: str) -> list[tuple[dict[str, Any], Any]]:
    """Return features and labels."""
    random = np.random.default_rng(5)
    found: list[tuple[dict[str, Any], Any]] = []
    for x, y, noise in random.normal(size=(count, 3)).tolist():
        total = x - y + noise
        found.append(({"x": x, "y": y}, 10 + 3 * total if task == "regression" else bool(total > 0)))
    return found


def send(client: httpx.Client, events: list[dict[str, Any]]) -> None:
    """Send events; all of them are taken."""
    body = b"\n".join(map(msgspec.json.encode, events))
    answer = client.post("/events", content=body, headers={"Content-Type": "application/x-ndjson"}).json()
    assert answer == {"accepted": len(events), "rejected": []}


def asked_and_told(client: httpx.Client, run: Running, rows: list[tuple[dict[str, Any], Any]]) -> dict[int, Any]:
    """Ask in groups, by whatever way; labels come some groups later, latest first; return what was answered."""
    answered: dict[int, Any] = {}
    groups = np.array_split(np.arange(len(rows)), 10)
    for turn, group in enumerate([*groups, *([None] * 3)]):
        for row in [] if group is None else group.tolist():
            asked = {"features": rows[row][0], "id": row}
            headers = {"TE": "trailers"} if row % 3 == 0 else {}
            if row % 5 == 0:
                asked = {"instances": [{"features": {"x": 0.0}}, asked]}
            answered[row] = client.post("/predict", json=asked, headers=headers).json()
        told = groups[turn - 3] if turn >= 3 else np.empty(0, np.intp)
        if len(told):
            send(client, [{"id": row, "label": rows[row][1]} for row in reversed(told.tolist())])
            run.wait_for(learned(WARM + 1 + int(told[0])))
    return answered


def test_the_score_is_that_of_the_answers_that_clients_got(tmp_path: Path) -> None:
    """Whoever looks at the score would learn how good the model would be by now, and not how good its answers were."""
    scores, answered, rows = scored(tmp_path, "binary")
    given = [answered[row]["predictions"][-1]["probabilities"] for row in range(ASKED)]
    likely = np.array([each["true"] for each in given], np.float32).astype(np.float64)
    happened = np.array([label for _, label in rows[WARM:]])
    right = np.array([answered[row]["predictions"][-1]["label"] for row in range(ASKED)]) == happened
    of_label = np.where(happened, likely, np.array([each["false"] for each in given], np.float32).astype(np.float64))
    assert scores["accuracy"] == pytest.approx(right.mean(), rel=1e-12)
    assert scores["log_loss"] == pytest.approx(-np.log(of_label.clip(1e-6)).mean(), rel=1e-12)
    above, below = likely[happened][:, None], likely[~happened]
    area = ((above > below) + 0.5 * (above == below)).mean()
    assert scores["roc_auc"] == pytest.approx(area, rel=1e-12)
    assert 0.6 < scores["accuracy"] < 1
    versions = {answered[row]["model_version"] for row in range(ASKED)}
    assert len(versions) > 5
    assert scores["answer_age"] > 0


def test_so_is_that_of_numbers(tmp_path: Path) -> None:
    """Errors would be those of what was learned meanwhile."""
    scores, answered, rows = scored(tmp_path, "regression")
    values = np.array([answered[row]["predictions"][-1]["value"] for row in range(ASKED)])
    errors = values - np.array([label for _, label in rows[WARM:]])
    assert scores["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-12)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()), rel=1e-12)


def scored(folder: Path, task: str) -> tuple[dict[str, float], dict[int, Any], list[tuple[dict[str, Any], Any]]]:
    """Return the scores of the answers, the answers by id, and the rows: the first of them came with their labels."""
    chosen = settings(
        folder,
        task=task,
        remember="log",
        learner={"kind": "linear", "device": "cpu", "window": ASKED},
    )
    rows = rows_of(WARM + ASKED, task)
    with service(chosen) as (client, run):
        send(client, [{"features": features, "label": label} for features, label in rows[:WARM]])
        run.wait_for(learned(WARM))
        while client.get("/v1/models/default").json()["served"]["model_version"] == 0:
            time.sleep(0.01)
        answered = asked_and_told(client, run, rows[WARM:])
        status = run.wait_for(lambda each: counted(each) == WARM + ASKED)
    with running(open_model(chosen, make_source(chosen, "default"))) as run:
        again = run.wait_for(lambda each: counted(each) == WARM + ASKED)
        assert again.scores == status.scores
        assert again.reliability == status.reliability
    window = {name: value for name, value in status.scores["window"].items() if value is not None}
    assert window["coverage"] == 1
    assert window["count"] == ASKED
    assert status.scores["stream"]["coverage"] == pytest.approx(ASKED / (status.scores["stream"]["scored"] or 1))
    return window, answered, rows


def counted(status: Status) -> float:
    """Return how many rows are in the scores."""
    return status.scores.get("stream", {}).get("count") or 0

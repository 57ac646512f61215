"""Comparisons made by hand, and one file to compare on."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.examples import Task
from service.comparing.comparison import Comparison, Result, rank
from service.comparing.learner_names import parse_entrants
from service.comparing.outcome import Outcome

ROWS = 1000


def outcome(scores: Sequence[float], key: str = "accuracy", rows: int = ROWS, **more: float) -> Outcome:
    """Return an outcome whose curve has these scores, evenly spread over the rows; the last is the score of all."""
    points: list[float | None] = [rows * (place + 1) / len(scores) for place in range(len(scores))]
    curve: dict[str, list[float | None]] = {"rows": points, key: list(scores), f"recent_{key}": list(scores)}
    return Outcome(rows, {key: scores[-1], **more}, curve, 2.0, 1.0, 5 * 2**20)


def comparison(outcomes: Mapping[str, Outcome], task: Task = Task.BINARY, stream: str = "a stream.csv") -> Comparison:
    """Return a comparison of learners by name."""
    results = [Result(parse_entrants(name)[0], done) for name, done in outcomes.items()]
    return Comparison(stream, "y", task, ROWS, 64, 0, {}, rank(results, task))


def easy_file(folder: Path, rows: int = 600) -> Path:
    """Return a CSV file whose label, y, follows from its columns a and b."""
    drawn = random.Random(0)
    path = folder / "easy.csv"
    with path.open("w") as file:
        file.write("a,b,y\n")
        for _ in range(rows):
            a, b = drawn.gauss(0, 1), drawn.choice("pq")
            file.write(f"{a:.4f},{b},{'yes' if a + (b == 'p') > 0.5 else 'no'}\n")
    return path

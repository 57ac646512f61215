"""What came out: the order of learners, what programs and people are told."""

import json
from dataclasses import replace

import pytest

from models.examples import Task
from service.comparing.comparison import Comparison
from service.comparing.outcome import Outcome
from service.comparing.words import conclusion, notes
from service.measuring.measures import number
from service.measuring.quantities import amount, duration
from tests.support.comparing import comparison, outcome


def names(found: Comparison) -> list[str]:
    """Return the learners in their order."""
    return [result.entrant.name for result in found.results]


def test_the_best_comes_first_and_those_that_were_stopped_after_those_that_were_not() -> None:
    """A learner that was stopped early, on easy rows, would be shown as the best."""
    found = comparison(
        {
            "mlp": outcome([0.7]),
            "auto@1": outcome([0.99], rows=100),
            "fm": Outcome(error="no"),
            "auto": outcome([0.8]),
            "batch": outcome([0.95], rows=300),
        }
    )
    assert names(found) == ["auto", "mlp", "batch", "auto@1", "fm"]
    assert [result.entrant.name for result in found.ranked] == ["auto", "mlp", "batch", "auto@1"]


def test_lower_errors_are_better() -> None:
    """The worst regressor would come first."""
    found = comparison(
        {name: outcome([error], "mae") for name, error in (("mlp", 3.0), ("auto", 1.0), ("fm", 1e11))},
        Task.REGRESSION,
    )
    assert names(found) == ["auto", "mlp", "fm"]


def test_the_json_is_what_the_contract_says() -> None:
    """A program that reads the result would break."""
    found = comparison(
        {
            "auto@256": outcome([0.5, 0.8], scored=936.0, log_loss=0.4, roc_auc=0.9, balanced_accuracy=0.7),
            "no-change": outcome([0.6], log_loss=5.0, rows=500),
            "mlp": Outcome(error="said so"),
        }
    ).as_json()
    assert json.loads(json.dumps(found)) == found
    assert {key: found[key] for key in ("stream", "rows", "delay", "task", "label")} == {
        "stream": "a stream.csv",
        "rows": 1000,
        "delay": 64,
        "task": "binary",
        "label": "y",
    }
    first, second, third = found["results"]
    assert first == {
        "learner": "auto@256",
        "way": "microbatch",
        "microbatch": 256,
        "rows": 1000,
        "partial": False,
        "scored": 936,
        "accuracy": 0.8,
        "log_loss": 0.4,
        "balanced_accuracy": 0.7,
        "roc_auc": 0.9,
        "events_per_second": 1000.0,
        "seconds": 2.0,
        "memory_bytes": 5 * 2**20,
        "curve": {"rows": [500, 1000], "accuracy": [0.5, 0.8], "recent_accuracy": [0.5, 0.8]},
    }
    # Who answers one class as certain gives no probabilities.
    assert (second["partial"], second["log_loss"], second["microbatch"]) == (True, None, 64)
    assert third == {"learner": "mlp", "way": "microbatch", "error": "said so"}


def test_what_it_comes_to_is_told() -> None:
    """A person would have to read the table to know what to choose, or would take a partial score for a whole one."""
    found = comparison(
        {
            "auto": outcome([0.5, 0.6, 0.7, 0.8]),
            "mlp@256": outcome([0.75]),
            "batch": outcome([0.7]),
            "majority": outcome([0.55]),
            "auto@1": outcome([0.9], rows=500),
            "fm": Outcome(error="its process was ended by SIGKILL"),
        }
    )
    assert conclusion(found) == (
        "auto predicted best: 80.0% of all rows right; batch training came to 70.0%, "
        "the best baseline (majority) came to 55.0%."
    )
    assert notes(found) == [
        "fm could not be tested: its process was ended by SIGKILL",
        (
            "auto@1 was stopped after 500 of 1,000 rows: its scores are over those; give --seconds 0 to see it to the "
            "end (as far as that, auto came to 0.600)"
        ),
    ]
    assert conclusion(comparison({"auto": outcome([0.9], rows=10)})) == "No learner got through the stream."


def test_a_stream_of_one_block_compares_nothing() -> None:
    """Somebody would choose by scores that chance made, before anything was learned."""
    short = replace(comparison({"auto": outcome([0.8])}), delay=1000)
    assert conclusion(short).startswith("Nothing can be compared")
    assert conclusion(short).endswith("give a smaller --delay.")


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [("accuracy", 0.80149, "0.801"), ("log_loss", None, "–"), ("mae", 12345.6, "12,346"), ("mae", 1.98765, "1.988")],
)
def test_numbers_are_written_for_people(key: str, value: float | None, shown: str) -> None:
    """A table would be full of digits that say nothing."""
    measures = (*comparison({}).measures, *comparison({}, Task.REGRESSION).measures)
    assert number(value, next(measure for measure in measures if measure.key == key)) == shown


def test_runaway_errors_speeds_and_times_are_written_for_people() -> None:
    """An error of 10^11 would take the whole width, and a baseline's speed would look like an achievement."""
    mae = comparison({}, Task.REGRESSION).measures[0]
    assert number(1.234e11, mae) == "1.234e+11"
    assert (amount(87.4), amount(1234.0), amount(12345.0), amount(4e7)) == ("87", "1,230", "12,300", "> 1 million")
    assert (duration(3.21), duration(61.4)) == ("3.2 s", "1 min 1 s")

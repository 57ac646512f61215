"""The learners of the project itself, by their kinds, with nothing but defaults."""

from benchmarks.learning.streams import Stream
from models.examples import Examples, Features
from models.learner import LearnerOptions, Predictions
from models.registry import create_learner, prepare
from service.reading.steady_memory import keep_memory_at_hand


class Headrace:
    """A learner of the registry; see :class:`benchmarks.peers.competitor.Competitor`."""

    answers_while_learning = True

    def __init__(self, kind: str, stream: Stream, seed: int) -> None:
        prepare(threads=1)
        keep_memory_at_hand()  # as a trainer does
        self._learner = create_learner(LearnerOptions(kind=kind, seed=seed, device="cpu"), stream.task)

    def predict(self, features: Features) -> Predictions:
        """Answer as a server would now."""
        return self._learner.try_out(features).predictions

    def learn(self, examples: Examples) -> None:
        """Score by itself, and learn."""
        self._learner.learn(examples)

    @property
    def scores(self) -> dict[str, float]:
        """What the learner says of itself."""
        return dict(self._learner.status().scores["stream"])


def create(name: str, stream: Stream, seed: int) -> Headrace:
    """Return the learner of a kind."""
    return Headrace(name, stream, seed)

"""Who is compared: names, the environment that each family runs in, and what each can learn. Imports no peer."""

from dataclasses import dataclass
from pathlib import Path

from models.examples import Task

ROOT = Path(__file__).parents[2]
CLASSES = frozenset({Task.BINARY, Task.MULTICLASS})
NUMBERS = frozenset({Task.REGRESSION})
ALL = CLASSES | NUMBERS


@dataclass(frozen=True, slots=True)
class Family:
    """Those that share a library.

    Attributes
    ----------
    module
        Which has ``create``.
    environment
        Folder of the virtual environment, relative to the repository.
    packages
        Whose versions are kept with each result.
    reads_dates
        Whether it takes a column of dates as it is; for the others it becomes numbers (``rows.py``).
    """

    module: str
    environment: str
    packages: tuple[str, ...]
    reads_dates: bool = False

    @property
    def python(self) -> Path:
        """The interpreter; it is absent where the environment could not be made."""
        return ROOT / self.environment / "bin" / "python"


FAMILIES = {
    "headrace": Family("benchmarks.peers.headrace_peers", ".venv", ("headrace", "torch"), reads_dates=True),
    "river": Family("benchmarks.peers.river_peers", ".venv", ("river",)),
    "capymoa": Family("benchmarks.peers.capymoa_peers", ".venv-peers", ("capymoa",)),
    "vowpal-wabbit": Family("benchmarks.peers.vowpal_wabbit_peers", ".venv-peers", ("vowpalwabbit",)),
    "deep-river": Family("benchmarks.peers.deep_river_peers", ".venv-deep-river", ("deep-river", "river", "torch")),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What one of them can learn.

    Attributes
    ----------
    tasks
        Which kinds of streams.
    text
        Whether it can do something with a column of text.
    random
        Whether a seed changes anything.
    """

    tasks: frozenset[Task] = ALL
    text: bool = False
    random: bool = True

    def fits(self, task: Task, *, text: bool) -> bool:
        """Return whether it can learn such a stream."""
        return task in self.tasks and (self.text or not text)


OURS = ("auto", "leaves", "rls", "knn", "linear", "mlp", "fm")
ENTRIES: dict[str, Entry] = {
    **{f"headrace/{kind}": Entry(text=True) for kind in OURS},
    "headrace/bayes": Entry(CLASSES, text=True, random=False),
    "headrace/online": Entry(text=True, random=False),
    "river/arf-10": Entry(),
    "capymoa/arf-100": Entry(),
    "capymoa/srp-100": Entry(CLASSES),
    "capymoa/leveraging-bagging-100": Entry(CLASSES),
    "capymoa/arf-10": Entry(),
    "river/srp-10": Entry(),
    "river/leveraging-bagging-10": Entry(CLASSES),
    "river/hoeffding-adaptive-tree": Entry(),
    "river/amf-10": Entry(),
    "river/knn": Entry(random=False),
    "river/linear": Entry(text=True, random=False),
    "river/naive-bayes": Entry(CLASSES, text=True, random=False),
    "river/no-change": Entry(text=True, random=False),
    "river/prior": Entry(text=True, random=False),
    "vowpal-wabbit/linear": Entry(text=True, random=False),
    "deep-river/mlp": Entry(text=True),
}
"""In the order in which they are run: the most telling first."""


def family_of(learner: str) -> Family:
    """Return the family of a learner by its name."""
    return FAMILIES[learner.partition("/")[0]]

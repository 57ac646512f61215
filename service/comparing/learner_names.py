"""What ``--learners`` takes: names of learners and baselines, each perhaps with the size of its microbatches.

Light, because ``--help`` lists the names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.errors import ConfigurationInvalid
from service.measuring.learner_check import LARGEST, check_learner, is_size
from service.settings.learner_kinds import KINDS

Way = Literal["microbatch", "batch", "online", "baseline"]
"""How a learner comes to know what it knows."""

WAYS: dict[str, Way] = {
    **dict.fromkeys(KINDS, "microbatch"),
    "batch": "batch",
    "online": "online",
    "majority": "baseline",
    "mean": "baseline",
    "no-change": "baseline",
}
"""Every name → how it learns. A network of the user's own has no name here, and learns in microbatches."""

DEFAULT = ("majority", "mean", "no-change", "auto", "online", "batch", "auto@1024", "auto@256", "auto@1")
"""What is compared where nobody says what, in the order in which time is given to them: first one of each way to learn,
so that all of these are seen to the end on a busy machine too; baselines that do not fit the task are left out."""

NAMES = ", ".join(WAYS)


@dataclass(frozen=True, slots=True)
class Entrant:
    """A learner that is to be compared.

    Attributes
    ----------
    name
        As it was asked for: ``mlp``, or ``mlp@256``.
    kind
        Its name alone, or a network of the user's own.
    size
        Rows of its microbatches; None: as many as the delay.
    key
        Name of the feature whose values have small models of their own; empty for none.
    """

    name: str
    kind: str
    size: int | None = None
    key: str = ""

    @property
    def way(self) -> Way:
        """How it learns; microbatches of one row are online learning."""
        way = WAYS.get(self.kind, "microbatch")
        return "online" if way == "microbatch" and self.size == 1 else way


def parse_entrants(names: str | None) -> list[Entrant]:
    """Return what a list of names, divided by commas, asks for; the usual ones for None.

    Raises
    ------
    ConfigurationInvalid
        The message names the learner and what there is.
    """
    given = [name.strip() for name in names.split(",")] if names is not None else list(DEFAULT)
    entrants = list(dict.fromkeys(_parse(name) for name in given if name))
    if not entrants:
        raise ConfigurationInvalid(f"--learners {names!r}: names no learner; there are {NAMES}")
    return entrants


def with_key(entrants: Sequence[Entrant], key: str | None) -> list[Entrant]:
    """Return learners, and beside each that can have small models for the values of a feature one that has them."""
    found = []
    for each in entrants:
        found.append(each)
        if key and WAYS.get(each.kind) not in ("batch", "online", "baseline"):
            found.append(replace(each, name=f"{each.name}+{key}", key=key))
    return found


def _parse(name: str) -> Entrant:
    kind, at, size = name.rpartition("@") if "@" in name else (name, "", "")
    check_learner(kind, WAYS, f"--learners {name}")
    if not at:
        return Entrant(name, kind)
    if not is_size(size):
        raise ConfigurationInvalid(
            f"--learners {name}: {size!r} is no size of a microbatch; write a number of rows from 1 to {LARGEST:,}, "
            f"such as {kind}@256"
        )
    if WAYS.get(kind) in ("baseline", "online"):
        raise ConfigurationInvalid(f"--learners {name}: {kind} learns one row at a time; write {kind}")
    return Entrant(name, kind, int(size))


def fitting(entrants: Sequence[Entrant], known: Sequence[str], *, chosen: bool, task: str) -> list[Entrant]:
    """Return those that know the task.

    Parameters
    ----------
    entrants
        Those asked for.
    known
        Names of the baselines that know the task.
    chosen
        Whether somebody asked for them by name; then one that does not fit is refused.
    task
        In words.

    Raises
    ------
    ConfigurationInvalid
    """
    wrong = [each.kind for each in entrants if each.way == "baseline" and each.kind not in known]
    if wrong and chosen:
        raise ConfigurationInvalid(
            f"--learners {wrong[0]}: does not know the task, which is {task}; its baselines are {', '.join(known)}"
        )
    return [each for each in entrants if each.kind not in wrong]

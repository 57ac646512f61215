"""The table of experts: a name of the configuration → what answers and learns.

The one place where they are named. Networks, which are experts through ``network_expert.py``, have a table of their own
in ``networks.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from models.baseline_experts import LastExpert, PriorExpert
from models.bayes import NaiveBayes
from models.errors import LearnerOptionsInvalid
from models.examples import Task
from models.expert import Expert
from models.knn import NearestNeighbours
from models.learner import LearnerOptions
from models.leaves import LeavesExpert
from models.mixture import Mixture
from models.network_expert import NetworkExpert
from models.networks import create_network
from models.recall import RecallExpert
from models.rls import RecursiveLeastSquares

Make = Callable[[LearnerOptions, Task, torch.device, float | None], Expert]

MEMBERS = ("leaves", "rls", "knn", "mlp", "linear", "bayes", "recall", "last", "prior")
"""The experts of a mixture, where the configuration names none; ``bayes`` is for classes, ``recall`` for numbers."""


def _last(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:  # noqa: ARG001 - it has no options
    """Return what answers the last label."""
    return LastExpert(device, numeric=task is Task.REGRESSION)


def _prior(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:  # noqa: ARG001 - it has no options
    """Return what answers the average label."""
    return PriorExpert()


def _mixture(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:
    """Return a mixture, each of whose members has the other options too."""
    default = [kind for kind in MEMBERS if kind != ("bayes" if task is Task.REGRESSION else "recall")]

    def members(experts: Sequence[str | Mapping[str, Any]] = default) -> dict[str, Expert]:
        made = {_name(own.kind): own for own in (_member(options, each) for each in experts)}
        if len(made) < len(experts):
            raise LearnerOptionsInvalid(f"network.experts: of {list(experts)} two have one name; give them others")
        return {name: create_expert(own, task, device, event_clip) for name, own in made.items()}

    return Mixture(members(**options.network), task, options.loss, device)


def _member(options: LearnerOptions, given: str | Mapping[str, Any]) -> LearnerOptions:
    """Return the options of one expert of a mixture: a kind, or ``{kind: …}`` with further arguments of its own."""
    own = {"kind": given} if isinstance(given, str) else dict(given)
    kind = own.pop("kind", None)
    if not isinstance(kind, str):
        raise LearnerOptionsInvalid(f"network.experts: {given!r} is no kind, nor a mapping that has one under `kind`")
    return replace(options, kind=kind, network=own)


def _name(kind: str) -> str:
    """Return what an expert is called: a user's own network by its class; names of tensors are made of it."""
    return kind.rpartition(":")[2]


def _rls(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:  # noqa: ARG001 - it takes no gradients
    """Return recursive least squares."""
    return RecursiveLeastSquares(task, options.loss, device, options.seed, **options.network)


def _bayes(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:  # noqa: ARG001 - it has no options
    """Return naive Bayes."""
    return NaiveBayes(task, device)


def _recall(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:  # noqa: ARG001 - it has no options
    """Return what answers one of the encoder's estimates."""
    return RecallExpert(device, numeric=task is Task.REGRESSION)


def _leaves(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:
    """Return a linear model over the leaves of random trees."""
    return LeavesExpert(options, task, device, event_clip, **options.network)


def _knn(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None) -> Expert:  # noqa: ARG001 - it takes no gradients
    """Return nearest neighbours."""
    return NearestNeighbours(task, options.loss, device, **options.network)


EXPERTS: dict[str, Make] = {
    "leaves": _leaves,
    "last": _last,
    "prior": _prior,
    "recall": _recall,
    "rls": _rls,
    "knn": _knn,
    "bayes": _bayes,
    "auto": _mixture,
}
"""Kind → what makes it of options, task, device and the bound on one event; every other kind is a network."""


def create_expert(options: LearnerOptions, task: Task, device: torch.device, event_clip: float | None = None) -> Expert:
    """Return a new expert: ``options.kind`` says which, ``options.network`` its further arguments.

    Raises
    ------
    LearnerOptionsInvalid
        No expert has this name, or it does not take these options.
    NetworkInvalid
        A user's own network cannot be loaded or does not keep the contract.
    """
    if options.kind not in EXPERTS:
        network = create_network(options.kind, options.network)
        return NetworkExpert(network, options, task, device, event_clip)
    try:
        return EXPERTS[options.kind](options, task, device, event_clip)
    except TypeError as error:
        given = dict(options.network)
        raise LearnerOptionsInvalid(f"network: {given} does not fit the kind {options.kind!r}: {error}") from error

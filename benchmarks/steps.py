"""``python -m benchmarks.steps``: microseconds a gradient step, by network and by rows, beside plain eager PyTorch.

Beside each other, on tensors that are there: a loop as PyTorch's tutorials have it (``nn.Sequential``, autograd, Adam)
and the step that networks take here, with one learning rate and with the default of three at once. Of the three, the
loop would be three loops. Then what a whole call of ``learn`` takes, which also encodes, answers, scores, watches for
drift, and replays rows: at full effort and at the lowest. On the CPU with one thread, in processor
time; on CUDA, where there is one, by the clock on the wall.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.report import Result, add_results_option, finish, ratio
from models.devices import wait_for_device
from models.drift_options import DriftOptions
from models.effort import FULL, LEVELS, Effort
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.gradient_step import Rows, Step
from models.guard import Guard
from models.learner import LearnerOptions
from models.losses import create_loss
from models.network_expert import PASSES_END, NetworkExpert
from models.network_rates import several_rates
from models.networks import create_network
from models.optimizers import create_optimizer
from models.parameters import Parameters
from models.torch_learner import TorchLearner

SIZES = (64, 1024, 16_384)
NUMBERS, CITIES = 10, 50
INPUTS = 80  # what ten numbers and a category make with their statistics
RATE = 3e-3
SECONDS = 1.0  # that one figure is measured for, in each round,
LEAST = 3  # and at least so many times
WARM = 3
HEAVY = 10**11  # parameters × rows, each three times, beyond which a CPU takes minutes for a call of learn


class Chosen(NamedTuple):
    """A network to be measured.

    Attributes
    ----------
    name
        For people.
    kind, options
        As in a configuration.
    hidden
        Its layers.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    hidden: tuple[int, ...]


def _mlp(units: int, layers: int) -> Chosen:
    """Return a network of equal layers."""
    hidden = (units,) * layers
    return Chosen(f"MLP {units}×{layers}", "mlp", {"hidden": hidden}, hidden)


NETWORKS = (Chosen("linear", "linear", {}, ()), _mlp(64, 2), _mlp(1024, 4))


def main() -> int:
    """Measure and keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description="Microseconds a gradient step.")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows of a step (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each figure (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="on the CPU (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    results: list[Result] = []
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        for chosen in NETWORKS:
            for size in asked.sizes:
                results += _measure(chosen, size, torch.device(device), asked.rounds)
    return finish(results, asked.results, "steps")


def _measure(chosen: Chosen, size: int, device: torch.device, rounds: int) -> list[Result]:
    """Return the figures of one network and size."""
    where = f"{chosen.name}, {size:,} rows, {device.type}"
    rows = _tensors(size, device)
    steps = {"eager PyTorch": eager(chosen, rows, device), "step": ours(chosen, rows, device, [RATE])}
    steps["step, three rates"] = ours(chosen, rows, device, several_rates(RATE))
    found = {name: _timed(f"{where}: {name}", take, rounds, device) for name, take in steps.items()}
    faster = ratio(f"{where}: eager PyTorch over step", found["eager PyTorch"], found["step"])
    results = [*found.values(), faster]
    if device.type == "cpu" and size * sum(np.square(chosen.hidden)) * 9 > HEAVY:
        return results
    for name, effort in (("learn", FULL), ("learn, lowest effort", LEVELS[-1])):
        results.append(_timed(f"{where}: {name}", whole(chosen, size, device, effort), rounds, device))
    return results


def _timed(name: str, take: Callable[[], None], rounds: int, device: torch.device) -> Result:
    """Return how many microseconds one call takes, the median of those of each round."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for _ in range(WARM):
        take()
    values = []
    for _ in range(rounds):
        times: list[float] = []
        while len(times) < LEAST or sum(times) < SECONDS:
            wait_for_device()
            began = clock()
            take()
            wait_for_device()
            times.append(clock() - began)
        values.append(statistics.median(times) * 1e6)
    return Result(name, "µs", values)


def _tensors(size: int, device: torch.device) -> Rows:
    """Return rows of two classes that a linear model can learn."""
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn((size, INPUTS), generator=generator)
    targets = (dense @ torch.randn(INPUTS, generator=generator) > 0).long()
    weights = torch.full((size,), 1 / size)
    return Rows(dense.to(device), targets.to(device), weights.to(device), None, 1 / size)


def eager(chosen: Chosen, rows: Rows, device: torch.device) -> Callable[[], None]:
    """Return a step of a loop in plain PyTorch."""
    layers: list[nn.Module] = []
    inputs = INPUTS
    for units in chosen.hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        inputs = units
    network = nn.Sequential(*layers, nn.Linear(inputs, 1)).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    loss, targets = nn.BCEWithLogitsLoss(), rows.targets.float().unsqueeze(1)

    def take() -> None:
        optimizer.zero_grad()
        found: Tensor = loss(network(rows.dense), targets)
        found.backward()  # type: ignore[no-untyped-call]  # PyTorch left its types out
        optimizer.step()

    return take


def ours(chosen: Chosen, rows: Rows, device: torch.device, rates: list[float]) -> Callable[[], None]:
    """Return a step as :class:`models.network_expert.NetworkExpert` takes it, of as many copies as there are rates."""
    options = LearnerOptions(kind=chosen.kind, optimizer="adam", device=str(device))
    network = create_network(chosen.kind, chosen.options)
    optimizer = create_optimizer("adam", options)
    step = Step(network, create_loss("auto", Task.BINARY), optimizer, 1.0, options.gradient_clip, 0)
    parameters, guard = Parameters(network, optimizer.memories, device, len(rates)), Guard(device, rates)
    network.see(range(NUMBERS), device)
    parameters.grow(network.shapes(INPUTS, 1), torch.Generator().manual_seed(0))
    offsets, number = torch.zeros(1, device=device), iter(range(1, sys.maxsize))

    @torch.no_grad()
    def take() -> None:
        step.take(rows, offsets, parameters, guard, next(number))

    return take


def whole(chosen: Chosen, size: int, device: torch.device, effort: Effort) -> Callable[[], None]:
    """Return a call of a learner's ``learn``, past the first rows, over which it goes several times."""
    options = LearnerOptions(kind=chosen.kind, device=str(device), network=chosen.options)
    learner = TorchLearner(options, Task.BINARY, drift=DriftOptions(react="none"))
    examples = _events(size)
    learner.learn(examples, LEVELS[-1])
    if isinstance(learner.expert, NetworkExpert):
        learner.expert.passed = PASSES_END

    def take() -> None:
        learner.learn(examples, effort)

    return take


def _events(size: int) -> Examples:
    """Return events of ten numbers and a category."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(size, NUMBERS))
    labels = ["yes" if above else "no" for above in (numbers @ random.normal(size=NUMBERS) > 0).tolist()]
    cities: list[str | None] = [f"city-{number}" for number in random.integers(CITIES, size=size).tolist()]
    keys = tuple(FeatureKey(f"n{place}", Kind.NUMBER) for place in range(NUMBERS))
    features = Features(size, keys, numbers, {"city": cities})
    return Examples(features, labels, np.ones(size, np.float32), np.full(size, np.nan))


if __name__ == "__main__":
    sys.exit(main())

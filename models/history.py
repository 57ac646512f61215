"""A history learned before a stream: once in its order as any stream, and by networks again, in epochs.

In the first pass every row is answered before it is learned, in microbatches: so scores, how experts are mixed, and
statistics of the target are what they would be if the stream had begun earlier. A second such pass would spoil all of
them, for then each row's own label is in what answers it. So further epochs are gradient steps of a network alone, over
rows as they were encoded when they were new. The mixture (``auto``) makes one pass: its networks replay the recent past
anyway, its other experts count or solve, and how it mixes them is told by answers to new rows only.

The newest rows are held out meanwhile, to tell how many epochs were best, which is often one (as in early stopping:
Prechelt, 1998). They are learned last and in order, after each epoch as if it were the last one: so what epochs are
judged by is answers to new rows at the delay of a microbatch, and the stream goes on where they end.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from models.answer_scores import loss_over
from models.examples import Examples
from models.learner import Learner
from models.network_expert import NetworkExpert
from models.replay import Replay
from models.torch_learner import TorchLearner

EPOCHS = 5
"""Passes of a network over a history, at most; the first one included."""

HELD_OUT = 0.1  # share of the rows, the newest, that tell whether an epoch was of use,
MOST_HELD_OUT = 10_000  # and how many of them at most
MOST_KEPT = 1 << 16  # rows that further epochs go through, the newest before those: bounded like all memory


class Step(NamedTuple):
    """How far a history is learned.

    Attributes
    ----------
    share
        Of the work that is done, 0 to 1.
    rows
        Learned so far, each counted once.
    """

    share: float
    rows: int


def learn_history(learner: Learner, blocks: Iterable[Examples], rows: int, epochs: int = EPOCHS) -> Iterator[Step]:
    """Learn a history; yield after each piece of the work.

    Parameters
    ----------
    learner
        That learns; it may know something already.
    blocks
        Microbatches, in order.
    rows
        How many there are in all of them.
    epochs
        How often a network goes through them, at most.

    Raises
    ------
    DeviceFailed
    """
    network = _network(learner) if epochs > 1 else None
    if network is None or not isinstance(learner, TorchLearner):
        done = 0
        for block in blocks:
            learner.learn(block)
            done += len(block)
            yield Step(done / rows, done)
        return
    last = rows - min(int(rows * HELD_OUT), MOST_HELD_OUT)
    done, held_out = 0, list[Examples]()
    network.keep_past(min(last, MOST_KEPT))
    for block in blocks:
        if done >= last:
            held_out.append(block)
            continue
        learner.learn(block)
        done += len(block)
        yield Step(done / (rows * epochs), done)
    past, network.past = network.past, None
    if past is not None and held_out:
        for epoch in _epochs(learner, network, past, held_out, epochs):
            yield Step(epoch / epochs, done)
        done += sum(map(len, held_out))
    yield Step(1.0, done)


def _epochs(
    learner: TorchLearner, network: NetworkExpert, past: Replay, held_out: Sequence[Examples], epochs: int
) -> Iterator[int]:
    """Learn what is held out after each epoch as if it were the last one, and stay with the best."""
    best, least = None, math.inf
    for epoch in range(1, epochs + 1):
        before = learner.state()
        loss = loss_over(learner, held_out, learner.learn)
        if best is None or loss < least:
            best, least = learner.state(), loss
        yield epoch
        if epoch < epochs:
            learner.restore(before)
            network.rehearse(past, learner.model.prior())
    if best is not None:
        learner.restore(best)


def _network(learner: Learner) -> NetworkExpert | None:
    """Return the network of a learner that is one; None for any other."""
    expert = learner.expert if isinstance(learner, TorchLearner) else None
    return expert if isinstance(expert, NetworkExpert) else None

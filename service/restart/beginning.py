"""What a new model begins with where it need not begin at nothing: another model's learner, a file of history, or both.

It is learned before anything is read from the log, and becomes the model's first checkpoint, durable before the first
event is learned. From there on everything is as ever: whoever owns the model next finds that checkpoint, and learns
nothing of it twice. Before it is written there is nothing, and a crash begins again.
"""

from collections.abc import Callable

import structlog

from service.learning.model import Model
from service.restart.first_checkpoint import journal_of_new, keep
from service.restart.history_file import HistoryOrder, learn_file
from service.restart.warm_start import warm_started

_log = structlog.get_logger("headrace.beginning")


def begin(model: Model, history: HistoryOrder | None, stopped: Callable[[], bool]) -> bool:
    """Have `model`, where it has learned nothing yet, begin with what it is configured and asked to begin with.

    Returns whether it has begun, so that it may learn what comes next; False where `stopped` said to give up.

    Parameters
    ----------
    model
        Owned by this process.
    history
        The file that it learns first; None for none.
    stopped
        Whether to give up, and leave the model as it is.

    Raises
    ------
    ConfigurationInvalid, StreamFileInvalid
        It cannot begin with that; nothing has changed.
    ModelError, CheckpointInvalid, OwnershipLost, StorageFailed, DurabilityLost
    """
    path = model.settings.warm_start
    if path is None and history is None:
        return True
    tail = journal_of_new(model)
    if tail is None:
        passed = {} if history is None else {"history": str(history.file)}
        _log.info("the model has begun already, and goes on from there", model=model.name, **passed)
        return True
    known = None if path is None else warm_started(model, path)
    if history is not None:
        known = learn_file(model, history, known, stopped)
    if known is not None:
        keep(model, known, tail)
    return known is not None

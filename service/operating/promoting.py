"""Making a challenger the champion because somebody says so; what is published then is the challenger's, at once.

The former champion becomes a challenger, so that it can be promoted back. What happens by itself is no command, and is
in ``models/contest.py``.
"""

import structlog

from models.contesting import Contesting
from models.learner import Json
from service.errors import RequestInvalid
from service.operating.command_table import Command
from service.operating.desk import Desk
from service.operating.operated import obeying
from service.restart.contest_steps import PROMOTE

_log = structlog.get_logger("headrace.operating")


def obey_promotion(desk: Desk, command: Command) -> Json:
    """Make the challenger that a command names the champion.

    Raises
    ------
    RequestInvalid
        There is no such challenger, or nobody can be promoted now.
    """
    training, name = desk.training, str(command.data["challenger"])
    if training.standing_in:
        raise RequestInvalid("the device is out of order and the online learner stands in: try again later", 409)
    learner = training.lane.learner
    if not isinstance(learner, Contesting):
        why = "has learned nothing yet" if learner is None else "has no challengers: configure some"
        raise RequestInvalid(f"the model {why}", 409)
    refused = learner.why_not(name)
    if refused:
        raise RequestInvalid(refused, 409 if "put out" in refused else 404, "challenger")
    before = learner.champion
    outcome = {"champion": name, "former": before, "changed": name != before}
    if name == before:
        return {"status": 200, "model_version": training.versions.current, **outcome}
    learner.promote(name)
    data = obeying(command, {"challenger": name}, outcome)
    try:
        decision = training.versions.decided(training.learner, PROMOTE, data)
    except BaseException:
        learner.promote(before)
        raise
    _log.warning("a challenger was promoted", champion=name, former=before, version=decision.version)
    desk.model.notice(f"{command.caller} made the challenger {name} champion, as version {decision.version}")
    return desk.done(decision)

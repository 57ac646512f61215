"""How a champion and its challengers stand: what the state and the metrics tell of a contest."""

from typing import TYPE_CHECKING, Any

from models.contest_contender import Contender
from models.contest_rules import FIRST
from models.learner import LearnerStatus

if TYPE_CHECKING:
    from models.contest import Contest


def report(contest: "Contest", champions: LearnerStatus) -> dict[str, Any]:
    """Return how the contenders stand, as JSON; their scores wait for the device.

    Parameters
    ----------
    contest
        Whose.
    champions
        What the champion's learner says of itself.
    """
    scores = {contest.champion: champions.scores}
    for challenger, learner in list(contest.challengers()):
        status = contest.guarded(challenger, learner.status)
        scores[challenger.name] = {} if status is None else status.scores
    shares = {arm.name: arm.share for arm in contest.arms()}
    shares[contest.champion] = 1 - sum(shares.values())
    found: dict[str, Any] = {}
    for each in contest.contenders.values():
        found[each.name] = {
            "role": _role(contest, each),
            "kind": each.options.kind,
            "events": each.rows,
            "scores": {scope: dict(known) for scope, known in scores.get(each.name, {}).items()},
            "seconds_per_event": each.pace.per_event(),
            "out": each.out,
            "share": shares.get(each.name, 0.0),
            "test": None if each.pair is None else each.pair.report(contest.level_of(each), contest.seconds),
        }
    return {
        "champion": contest.champion,
        "configured": FIRST,
        "promotions": contest.promotions,
        "put_out": contest.put_outs,
        "contenders": found,
    }


def _role(contest: "Contest", contender: Contender) -> str:
    if contender.name == contest.champion:
        return "champion"
    return "out" if contender.learner is None else "challenger"

"""What a contest is, as JSON and arrays for a checkpoint, and back again, bit for bit; also among other contenders.

The state is the champion's own with more beside it, under names of their own: so a learner that has no challengers any
more goes on from it, and one that gets some goes on from what it was alone. Who is who is told by name and by what each
is built from: a challenger that is new begins with nothing, one that is gone is dropped.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from models.contest_contender import Contender
from models.contest_rules import FIRST
from models.contesting import KEY, MARK, alone, goes_on
from models.errors import StateMismatch
from models.learner import Array, Json, LearnerOptions, LearnerState

if TYPE_CHECKING:
    from models.contest import Contest

SCHEMA = 1


def save(contest: "Contest") -> LearnerState:
    """Return the state of all of them."""
    champion = contest.answering.state()
    arrays: dict[str, Array] = dict(champion.arrays)
    contenders: dict[str, Any] = {}
    for each in contest.contenders.values():
        found: dict[str, Any] = {"options": each.options_json(), "rows": each.rows, "tests": each.tests}
        if each.name != contest.champion and each.learner is not None:
            own = contest.guarded(each, each.learner.state)
            if own is not None and each.pair is not None:
                found["state"] = own.meta
                found["pair"], sums = each.pair.state()
                arrays |= _marked(each.name, own.arrays)
                arrays |= _marked(each.name, {f"{KEY}/{name}": array for name, array in sums.items()})
        contenders[each.name] = {**found, "out": each.out}
    meta = {
        "schema": SCHEMA,
        "champion": contest.champion,
        "seconds": contest.seconds,
        "microbatches": contest.microbatches,
        "promotions": contest.promotions,
        "put_outs": contest.put_outs,
        "contenders": contenders,
    }
    return LearnerState({**champion.meta, KEY: meta}, arrays)


def load(contest: "Contest", state: LearnerState) -> None:
    """Make a contest what `state` was taken from, as far as its contenders are the same.

    Raises
    ------
    StateMismatch
        The champion of then is none of these, or it is another learner: nothing was changed.
    """
    saved = state.meta.get(KEY)
    if saved is not None and saved["schema"] != SCHEMA:
        raise StateMismatch(f"a contest of schema version {saved['schema']} cannot be read: take an older checkpoint")
    champion = FIRST if saved is None else _champion_of_now(contest, saved)
    learner = contest.make(contest.contenders[champion].options)
    learner.restore(alone(state))
    contest.champion, contest.put_outs = champion, 0
    contenders = {} if saved is None else saved["contenders"]
    if saved is not None:
        contest.seconds, contest.microbatches = saved["seconds"], saved["microbatches"]
        contest.promotions, contest.put_outs = saved["promotions"], saved["put_outs"]
    for each in contest.contenders.values():
        known = contenders.get(each.name, {})
        each.rows, each.tests, each.out, each.pair = 0, known.get("tests", 0), "", None
        if each.name == champion:
            before = contenders.get(saved["champion"], {}) if saved is not None else {}
            each.learner, each.rows = learner, before.get("rows", contest.rules.begin_after)
        elif _same(known.get("options"), each.options_json()) and known.get("out"):
            each.put_out(known["out"])
        else:
            _restore(contest, each, known, state)


def _restore(contest: "Contest", challenger: Contender, known: Json, state: LearnerState) -> None:
    """Have a challenger go on where it was; one that is new, or built from something else, begins with nothing."""
    learner = contest.make(challenger.options)
    parts = _of(challenger.name, state.arrays)
    went_on = _same(known.get("options"), challenger.options_json()) and "state" in known
    if went_on:
        own = {name: array for name, array in parts.items() if not name.startswith(f"{KEY}/")}
        try:
            learner.restore(LearnerState(known["state"], own))
        except StateMismatch:
            learner, went_on = contest.make(challenger.options), False
    challenger.learner = learner
    # A test is of two: with another champion than then there is another one.
    if went_on and state.meta[KEY]["champion"] == contest.champion:
        challenger.rows = known["rows"]
        challenger.pair = contest.pair_for(challenger)
        sums = {name.removeprefix(f"{KEY}/"): each for name, each in parts.items() if name.startswith(f"{KEY}/")}
        challenger.pair.restore(known["pair"], sums)
        return
    challenger.rows = known["rows"] if went_on else 0
    contest.begin_test(challenger)


def _champion_of_now(contest: "Contest", saved: Json) -> str:
    """Return who of these is the champion of then: whoever is built from the very same, best by the same name."""
    champion: str = saved["champion"]
    options = saved["contenders"][champion]["options"]
    alike = [name for name, each in contest.contenders.items() if _same(options, each.options_json())]
    if champion in alike or (not alike and champion in contest.contenders):
        return champion
    if not alike:
        raise StateMismatch(goes_on(champion))
    return alike[0]


def _same(saved: Json | None, options: Json) -> bool:
    """Return whether options that were saved are these; one that they lack had its default when they were."""
    if saved is None:
        return False
    whole = {**asdict(LearnerOptions()), **saved}
    # As JSON, in which checkpoints keep them.
    return json.dumps(whole, sort_keys=True) == json.dumps(options, sort_keys=True)


def _marked(name: str, arrays: Any) -> dict[str, Array]:
    """Return arrays with a challenger's name in their segments'."""
    found: dict[str, Array] = {}
    for each, array in arrays.items():
        segment, _, rest = each.partition("/")
        found[f"{segment}{MARK}{name}/{rest}"] = array
    return found


def _of(name: str, arrays: Any) -> dict[str, Array]:
    """Return a challenger's arrays as its learner called them."""
    found: dict[str, Array] = {}
    for each, array in arrays.items():
        segment, _, rest = each.partition("/")
        if segment.endswith(f"{MARK}{name}"):
            found[f"{segment.removesuffix(f'{MARK}{name}')}/{rest}"] = array
    return found

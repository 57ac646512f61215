"""What every learner must keep to: small checks, shipped so that whoever writes a learner can run them too.

::

    for check in yield_checks(lambda: create_learner(options, task)):
        check()

Each raises AssertionError saying what is wrong. The factory makes a new learner of the same options each time. The
checks themselves are in ``checks_learning.py``, ``checks_state.py`` and ``checks_effort.py``, the data they use in
``checks_data.py``.
"""

from collections.abc import Callable, Iterator
from functools import partial

from models import checks_effort, checks_learning, checks_state
from models.checks_expect import Factory

CHECKS: tuple[Callable[[Factory], None], ...] = tuple(
    check
    for module in (checks_learning, checks_state, checks_effort)
    for name, check in vars(module).items()
    if name.startswith("check_")
)


def yield_checks(factory: Factory) -> Iterator[partial[None]]:
    """Yield each check, ready to be called; ``check.func.__name__`` is its name."""
    for check in CHECKS:
        yield partial(check, factory)

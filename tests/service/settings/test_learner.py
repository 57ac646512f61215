"""The names of learners that the configuration checks are those that can be built."""

from models.experts import EXPERTS
from models.losses import LOSSES
from models.networks import NETWORKS
from models.optimizers import OPTIMIZERS
from models.registry import LEARNERS
from service.settings import learner as config_learner
from service.settings.learner_kinds import KINDS


def test_every_kind_of_learner_can_be_configured() -> None:
    """A network would be in the registry but could not be chosen, or the other way round."""
    of_use_in_a_mixture = {"last", "prior", "bayes", "recall"}
    assert set(KINDS) == {*LEARNERS, *NETWORKS, *EXPERTS} - of_use_in_a_mixture


def test_every_loss_can_be_configured() -> None:
    """A loss would be in its table but could not be chosen, or fit a task that the check does not know."""
    assert set(config_learner.LOSSES) == {"auto", *LOSSES}
    for task, names in config_learner.LOSSES_OF.items():
        assert set(names) == {"auto", *(name for name, loss in LOSSES.items() if task in loss.tasks)}


def test_every_optimizer_can_be_configured() -> None:
    """An optimizer would be in its table but could not be chosen."""
    assert set(config_learner.OPTIMIZERS) == {"auto", *OPTIMIZERS}

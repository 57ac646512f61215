"""The section ``models.NAME.drift``: how drift is noticed in a model's errors, and what follows."""

from models.drift_options import Detector, DriftOptions, Reaction
from service.settings.section import Section

_DEFAULTS = DriftOptions()


class DriftSettings(Section):
    """See :class:`models.drift_options.DriftOptions`, and "The stream drifts" in ``docs/operations.md``."""

    detector: Detector = _DEFAULTS.detector
    react: Reaction = _DEFAULTS.react

    def options(self) -> DriftOptions:
        """Return them as a learner takes them."""
        return DriftOptions(self.detector, self.react)

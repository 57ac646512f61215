"""The section ``models.NAME.canary``: how a model is looked at before it is published."""

from typing import Annotated

from pydantic import Field

from service.settings.section import Section


class CanarySettings(Section):
    """How bad parameters are found before anybody is answered from them; see :mod:`service.repair.canary`.

    Attributes
    ----------
    enabled
        Whether they are looked for at all.
    every_updates
        Updates from one look to the next.
    window
        The last labelled events, on which the parameters are compared with those of the last good checkpoint.
    share
        Of the time of learning that looking may take; looks come less often where that would be exceeded. None for no
        such bound.
    worse_by
        How many times their loss may be that of the checkpoint's on the same events.
    """

    enabled: bool = True
    every_updates: Annotated[int, Field(ge=1)] = 32
    window: Annotated[int, Field(ge=16, le=100_000)] = 512
    share: Annotated[float, Field(gt=0, le=1)] | None = 0.03
    worse_by: Annotated[float, Field(ge=1)] = 3.0

"""The setting ``models.NAME.remember``: whether predictions that are asked with an id are kept, to be scored later."""

from typing import Literal

from service.settings.event_options import EventOptions
from service.settings.join import JoinSettings

Remember = Literal["none", "log"]
"""``log``: each is appended, with the features that it was answered from, to the topic that the model learns from."""


def check_remember(remember: Remember, events: EventOptions, join: JoinSettings) -> None:
    """Refuse to remember what could not be read back, or what nobody would make anything of.

    Raises
    ------
    ValueError
    """
    if remember == "none":
        return
    if not join.enabled:
        raise ValueError("remember: log writes observations for the label join: set join.enabled to true")
    if events.format == "envelope":
        return
    missing = [name for name in ("id", "prediction") if getattr(events, name) is None]
    if missing:
        raise ValueError(
            f"remember: log writes observations as flat events: set events.{' and events.'.join(missing)}, the paths "
            "of the id and of what was answered, such as `prediction: _answered`"
        )

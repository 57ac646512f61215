"""How the commands end, where somebody else acts on it: the supervisor, or whatever runs containers."""

USAGE = 2
"""Wrong usage or settings: starting again cannot help."""

DEVICE_LOST = 75
"""The accelerator is lost to this process, and another one may use it: to be started again at once."""

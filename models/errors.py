"""Everything that can go wrong between examples and parameters.

::

    ModelError                    root: catch this one to catch them all
    ├── LearnerOptionsInvalid     a setting that no learner can be built from; the message names key and remedy
    ├── NetworkInvalid            a user's own network cannot be loaded, or does not keep the network contract
    ├── StateMismatch             a saved state belongs to another learner, task or schema version
    └── DeviceFailed              the accelerator is gone or broken; learning goes on elsewhere
        ├── DeviceOutOfMemory     a microbatch does not fit; a smaller one may
        └── DeviceLost            this process can use the accelerator no more; another process may
"""


class ModelError(Exception):
    """Root of all errors that ``models`` raises; its message says what to do."""


class LearnerOptionsInvalid(ModelError):
    """A learner cannot be built from these options."""


class NetworkInvalid(ModelError):
    """A user's network cannot be loaded or does not keep the contract that ``networks.py`` states."""


class StateMismatch(ModelError):
    """A saved state belongs to another kind of learner, another task, or an unknown schema version."""


class DeviceFailed(ModelError):
    """The accelerator failed: parameters on it are to be taken for lost."""


class DeviceOutOfMemory(DeviceFailed):
    """A microbatch, or a chunk of it, did not fit into the device's memory."""


class DeviceLost(DeviceFailed):
    """The accelerator's context is beyond use: all that this process does with it fails from now on."""

"""Everything that can go wrong where events meet models.

::

    ServiceError                  root: catch this one to catch them all
    ├── ConfigurationInvalid      a wrong setting; names the key, the value and what would be right
    │   └── KeysInvalid           ... or a file of API keys that cannot be used
    ├── PackagesShadowed          `consumers` or `models` were imported from somewhere else
    ├── CheckpointInvalid         a checkpoint is missing, truncated or altered
    │   └── SchemaUnknown         ... or of a schema version that this program does not read
    ├── ExportInvalid             a file is no export, or none that can be read
    ├── JournalInvalid            the journal contradicts the checkpoint or the log
    ├── OwnershipLost             another trainer took this model over; this one must stop writing at once
    ├── StorageFailed             a file could not be written now; what was there before is intact
    ├── DurabilityLost            an fsync failed: what was written cannot be relied on; the process must end
    ├── ModelOwned                a trainer owns the model, and what is asked for must wait until it has ended
    ├── PublicationMissing        nothing is published yet, or not any more
    ├── StreamFileInvalid         a file of rows to be replayed cannot be read, or lacks a column
    ├── DeliveryFailed            replayed events do not arrive; the message says why and what to do
    ├── DemoFailed                the demonstration's own service did not start, or did not learn
    ├── RegistryUnavailable       the schema registry does not answer; whoever reads waits, and nothing is dropped
    ├── RedriveRunning            dead letters are being sent again already, by another command
    └── RequestInvalid            a request that cannot be used; becomes problem+json
"""


class ServiceError(Exception):
    """Root of all errors that ``service`` raises; its message says what to do."""


class ConfigurationInvalid(ServiceError):
    """A setting is wrong; the message names the key, the value and what would be right."""


class KeysInvalid(ConfigurationInvalid):
    """A file of API keys that cannot be used, or a change to it that cannot be made."""


class PackagesShadowed(ServiceError):
    """`consumers` or `models` are not the packages beside `service`."""


class CheckpointInvalid(ServiceError):
    """A checkpoint is missing, truncated or altered."""


class SchemaUnknown(CheckpointInvalid):
    """A checkpoint has a schema version that this program does not read; an older one must not replace it."""


class ExportInvalid(ServiceError):
    """A file is no export, or one that this version of Headrace does not read."""


class JournalInvalid(ServiceError):
    """The journal contradicts the checkpoint or the log."""


class OwnershipLost(ServiceError):
    """Another trainer owns this model now; this one must not publish, journal or checkpoint any more."""


class StorageFailed(ServiceError, OSError):
    """A file could not be written now (no space, no permission); what was there before is intact."""


class DurabilityLost(ServiceError):
    """An fsync failed, so what the kernel holds and what the disk holds may differ; this process must end."""


class ModelOwned(ServiceError):
    """A trainer owns the model; the message says what to do first."""


class PublicationMissing(ServiceError):
    """No parameters are published (yet)."""


class StreamFileInvalid(ServiceError):
    """A file of rows cannot be read, or has no such column."""


class DeliveryFailed(ServiceError):
    """Events of a replay were not taken where they were sent."""


class DemoFailed(ServiceError):
    """The service that a demonstration started did not do what it should."""


class RequestInvalid(ServiceError):
    """A request that cannot be used.

    Parameters
    ----------
    message
        What is wrong, for a person.
    status
        HTTP status: 400 malformed, 404 unknown, 413 too large, 422 not usable, 503 not now.
    field
        Path of the field that is wrong, such as ``instances[3].features.price``; empty where none is to blame.
    retry_after
        Seconds, for the ``Retry-After`` header of a 503 or 429.
    """

    def __init__(self, message: str, status: int = 400, field: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.retry_after = retry_after


class RegistryUnavailable(ServiceError):
    """The schema registry cannot say now what it knows of a schema.

    Parameters
    ----------
    message
        What was tried, and what the operator can check.
    retry_after
        Seconds after which asking again makes sense.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RedriveRunning(ServiceError):
    """Dead letters of this model are being sent again by another command."""

"""Everything that can go wrong between a log and a microbatch.

::

    ConsumerError                 root: catch this one to catch them all
    ├── SourceUnavailable         the broker or the log file cannot be reached now; trying again may help
    ├── TopicMissing              the topic does not exist; somebody must create it
    ├── PositionLost              the log no longer holds a position that was asked for
    ├── LogReplaced               the log behind the name is not the one that the positions are of
    ├── CodecMissing              a record is compressed in a way that this installation cannot read
    ├── LogUnreadable             what the log holds is damaged, is no log, or comes from a newer version
    ├── AppendFailed              records could not be made durable: all of a call, or those that it names
    │   └── RecordTooLarge        ... and never will be: the topic does not take a record of that size
    └── DiskUnreliable            an fsync failed: what was written cannot be relied on; the process must end
"""

from collections.abc import Sequence


class ConsumerError(Exception):
    """Root of all errors that ``consumers`` raises; its message says what to do."""


class SourceUnavailable(ConsumerError):
    """The broker or the log cannot be reached now.

    Parameters
    ----------
    message
        What was tried, and what the operator can check.
    retry_after
        Seconds after which trying again makes sense.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TopicMissing(ConsumerError):
    """The topic does not exist; Headrace never creates topics on a broker by reading them."""


class PositionLost(ConsumerError):
    """The log no longer (or not yet) holds a position that was asked for: a decision for the operator."""


class LogReplaced(ConsumerError):
    """The topic or file was deleted and made again: positions in the old one mean nothing in it."""


class CodecMissing(ConsumerError):
    """A record is compressed with a codec that is not installed. Fatal: skipping would lose events."""


class LogUnreadable(ConsumerError):
    """What the log holds is damaged, is no log, or was written by a newer version. Trying again does not help."""


class AppendFailed(ConsumerError):
    """Records could not be made durable.

    Parameters
    ----------
    message
        What was tried, and what the operator can check.
    failed
        Where they are in what was to be appended, if all others are durable; None where none is known to be.
    """

    def __init__(self, message: str, failed: Sequence[int] | None = None) -> None:
        super().__init__(message)
        self.failed = failed


class RecordTooLarge(AppendFailed):
    """A record is larger than its topic takes; trying again does not help. The others may have been appended."""


class DiskUnreliable(ConsumerError):
    """The disk did not keep what it was told to. Never tried again: it might then say that all is well."""

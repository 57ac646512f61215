"""What ``--learner``, ``--sizes`` and ``--devices`` take: lists, checked. Light: ``--help`` needs it."""

import re
from collections.abc import Sequence

from service.errors import ConfigurationInvalid
from service.measuring.learner_check import LARGEST, check_learner, is_size
from service.settings.learner_kinds import KINDS

SIZES = "1,16,64,256,1024,4096,16384"
"""Sizes that are swept where nobody says which: each about four times as large as the one before."""

_HOST_ONLY = ("online",)
"""Learners that never use an accelerator."""


def parse_learners(text: str) -> list[str]:
    """Return the kinds of learners in a list.

    Raises
    ------
    ConfigurationInvalid
    """
    kinds = _parts(text, "--learner", "auto")
    for kind in kinds:
        check_learner(kind, KINDS, f"--learner {text}")
    return kinds


def parse_sizes(text: str) -> list[int]:
    """Return the sizes in a list, the smallest first.

    Raises
    ------
    ConfigurationInvalid
    """
    parts = _parts(text, "--sizes", SIZES)
    for part in parts:
        if not is_size(part):
            raise ConfigurationInvalid(
                f"--sizes {text}: {part!r} is no size of a microbatch; write numbers of events from 1 to {LARGEST:,}, "
                "such as 64,256,1024"
            )
    return sorted({int(part) for part in parts})


def parse_devices(text: str | None) -> list[str] | None:
    """Return the devices in a list; None, and ``auto``, stand for all kinds that there are here, and give None.

    Raises
    ------
    ConfigurationInvalid
    """
    if text is None or text == "auto":
        return None
    devices = _parts(text, "--devices", "cpu,cuda")
    for device in devices:
        if re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
            raise ConfigurationInvalid(
                f"--devices {text}: there is no device {device!r}; write cpu, cuda, cuda:N for the card number N, or "
                "auto for all kinds that this machine has"
            )
    return devices


def fitting_sizes(sizes: Sequence[int], rows: int) -> list[int]:
    """Return the sizes of which a file of so many rows holds at least two microbatches.

    Raises
    ------
    ConfigurationInvalid
        It holds two of none of them.
    """
    fitting = [size for size in sizes if 2 * size <= rows]
    if not fitting:
        raise ConfigurationInvalid(
            f"--sizes {','.join(map(str, sizes))}: the file has {rows:,} usable rows, and a size needs at least twice "
            f"as many as itself, for the first microbatch is predicted by nobody; give sizes up to {rows // 2:,}, or a "
            "longer file"
        )
    return fitting


def can_use(learner: str, device: str) -> bool:
    """Return whether a learner runs on a device."""
    return device == "cpu" or learner not in _HOST_ONLY


def _parts(text: str, option: str, example: str) -> list[str]:
    parts = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise ConfigurationInvalid(f"{option} {text!r}: names nothing; write {option} {example}")
    return parts

"""What the options that are lists take."""

from collections.abc import Callable

import pytest

from service.errors import ConfigurationInvalid
from service.settings.learner_kinds import KINDS
from service.sweeping.lists import (
    SIZES,
    can_use,
    fitting_sizes,
    parse_devices,
    parse_learners,
    parse_sizes,
)


def test_lists_are_read() -> None:
    """Something else would be swept than was asked for."""
    assert parse_learners("mlp, auto,mlp,own/net.py:Net") == ["mlp", "auto", "own/net.py:Net"]
    assert parse_sizes("256,16, 64,16") == [16, 64, 256]
    assert parse_sizes(SIZES) == [1, 16, 64, 256, 1024, 4096, 16384]
    assert parse_devices("cpu,cuda:1") == ["cpu", "cuda:1"]
    assert parse_devices(None) is parse_devices("auto") is None


def test_every_learner_of_the_configuration_can_be_swept() -> None:
    """A learner could be configured, but nobody could find its size."""
    assert parse_learners(",".join(KINDS)) == list(KINDS)


@pytest.mark.parametrize(
    ("parse", "text", "told"),
    [
        (parse_learners, "autp", "--learner autp: there is no learner 'autp'; did you mean auto?"),
        (parse_learners, ",", "names nothing; write --learner auto"),
        (parse_sizes, "64,many", "'many' is no size of a microbatch; write numbers of events from 1 to 1,000,000"),
        (parse_sizes, "0", "'0' is no size"),
        (parse_sizes, "1.5", "'1.5' is no size"),
        (parse_sizes, "", "names nothing"),
        (parse_devices, "gpu", "--devices gpu: there is no device 'gpu'; write cpu, cuda, cuda:N"),
        (parse_devices, "cpu,", ""),
    ],
)
def test_wrong_lists_are_told(parse: Callable[[str], object], text: str, told: str) -> None:
    """Somebody who mistypes would not learn what there is."""
    if not told:
        assert parse(text)
        return
    with pytest.raises(ConfigurationInvalid) as refused:
        parse(text)
    assert told in str(refused.value)


def test_sizes_that_the_file_is_too_short_for_are_left_out() -> None:
    """A size would be shown with the score of rows that nobody predicted."""
    assert fitting_sizes([1, 16, 64, 256], 128) == [1, 16, 64]
    with pytest.raises(ConfigurationInvalid, match=r"the file has 100 usable rows.*give sizes up to 50"):
        fitting_sizes([64, 256], 100)


def test_river_is_not_swept_on_an_accelerator() -> None:
    """The same cell would be measured twice, once under a wrong name."""
    assert can_use("online", "cpu")
    assert not can_use("online", "cuda")
    assert can_use("auto", "cuda:1")

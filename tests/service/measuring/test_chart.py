"""What all charts share: axes, places for names, and colours."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.comparing import chart as comparing
from service.measuring.axes import linear_axis, logarithmic_axis
from service.measuring.chart import Axis, Colours
from service.sweeping import charts as sweeping

SIZES = [1, 16, 64, 256, 1024, 4096, 16384]


def whole(value: float) -> str:
    """Write a mark."""
    return f"{value:g}"


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=9))
def test_every_value_is_within_its_axis_and_every_mark_too(values: list[float]) -> None:
    """A dot would lie beside the chart, or a mark on another chart."""
    for axis in (linear_axis(values, whole), logarithmic_axis(values, whole)):
        assert axis.low < axis.high
        assert all(0 <= axis.place(value) <= 1 for value in values)
        assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value, _ in axis.marks)


def test_equal_factors_are_equally_long() -> None:
    """A size four times as large would look like no change, or like a great one."""
    axis = logarithmic_axis(SIZES, whole, SIZES, "events")
    assert [text for _, text in axis.marks] == ["1", "16", "64", "256", "1024", "4096", "16384"]
    places = [axis.place(size) for size in SIZES[1:]]
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert axis.place(0) < 0  # off the axis, and no error


def test_marks_are_round_and_far_enough_apart_to_be_read() -> None:
    """Marks would be written over each other, or a value could not be read off the axis."""
    assert [value for value, _ in logarithmic_axis([3, 4e6], whole).marks] == [10, 100, 1e3, 1e4, 1e5, 1e6]
    assert [text for _, text in logarithmic_axis([20, 70], whole).marks] == ["20", "50"]
    near = logarithmic_axis([1, 1000, 1001, 1002], whole, [1, 1000, 1001, 1002])
    assert [text for _, text in near.marks] == ["1", "1000"]


def test_noise_does_not_look_like_much() -> None:
    """Throughputs that differ by a percent would fill the chart."""
    axis = logarithmic_axis([1000, 1010], whole)
    assert axis.high / axis.low >= 2
    assert 0.4 < axis.place(1005) < 0.6


def test_shares_end_at_nothing_and_at_all() -> None:
    """A chart would show accuracies above 100 %, or memory below nothing."""
    axis = linear_axis([0.5, 0.99], whole, most=1.0)
    assert axis.high == 1.0
    assert linear_axis([0.0, 5.0], whole).low == 0.0
    assert isinstance(linear_axis([0.0], whole), Axis)


@pytest.mark.parametrize("colours", [comparing.COLOURS, sweeping.COLOURS])
def test_colours_can_be_seen_on_their_ground(colours: Colours) -> None:
    """Lines and names would be too faint for many people, on a light or on a dark screen (WCAG 2.2, 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        darker, lighter = sorted((luminance(one), luminance(other)))
        return (lighter + 0.05) / (darker + 0.05)

    for light, dark in colours.values():
        assert contrast(light, "#ffffff") >= 4.5
        assert contrast(dark, "#0d1117") >= 4.5

"""Options are checked when they are made."""

import pytest

from tercet.decoding.options import DecodeOptions
from tercet.errors import OptionError


@pytest.mark.parametrize(
    ("given", "ids"),
    [("-1", (-1,)), ("", ()), (None, ()), ("1, 2", (1, 2)), ([3, -1], (3, -1)), ((), ())],
)
def test_suppress_tokens_may_be_a_text_a_list_or_nothing(given, ids):
    assert ids == DecodeOptions(suppress_tokens=given).suppressed_ids


@pytest.mark.parametrize(
    ("seconds", "index"), [(1.0, 50), (0.0, 0), (0.5, 25), (0.3, 15), (None, None)]
)
def test_the_latest_first_timestamp_counts_steps_of_20_ms(seconds, index):
    assert index == DecodeOptions(max_initial_timestamp=seconds).max_initial_index


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("task", "sing"),
        ("suppress_tokens", "a,b"),
        ("suppress_tokens", [None]),
        ("suppress_tokens", 5),
        ("suppress_tokens", [-2]),
        ("max_initial_timestamp", -0.1),
        ("max_initial_timestamp", 30.1),
        ("max_initial_timestamp", float("nan")),
        ("max_initial_timestamp", "1"),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
    ],
)
def test_a_value_out_of_range_is_named_and_refused(option, value):
    with pytest.raises(OptionError, match=f"{option} is ") as caught:
        DecodeOptions(**{option: value})
    assert "\n" not in str(caught.value)
    assert "give" in str(caught.value) or "only -1" in str(caught.value)

"""The date of a cell against the original's, and the texts that times come in."""

import numpy as np
import pytest

from copgen_jax.data.majortom.dates import mean_date, parse_time, time_in_name


def test_one_time_is_enough():
    time = parse_time("2020-02-29 23:59:59")
    assert mean_date([time], []) == mean_date([], [time]) == np.datetime64("2020-02-29")
    assert np.isnat(mean_date([], []))
    assert mean_date([], []).dtype == "datetime64[D]"


@pytest.mark.parametrize(
    "text",
    [
        "2023-06-10 07:46:21",
        "2023-06-10T07:46:21.000000000",
        "2023-06-10T07:46:21Z",
        "2023-06-10 09:46:21+02:00",
        "20230610T074621",
        " 2023-06-10 07:46:21.000",
    ],
)
def test_texts_of_one_time(text):
    assert parse_time(text) == np.datetime64("2023-06-10T07:46:21")


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-01"])
def test_what_is_no_time(text):
    assert np.isnat(parse_time(text))


def test_times_in_product_names():
    name = "S2B_MSIL2A_20200223T143719_N0500_R096_T18HYB_20230924T154855"
    assert time_in_name(name) == np.datetime64("2020-02-23T14:37:19")
    assert np.isnat(time_in_name("id"))

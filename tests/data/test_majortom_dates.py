"""The date of a cell against the original's, and the texts that times come in."""

import golden_vectors
import numpy as np
import pytest

from copgen_jax import units
from copgen_jax.data.majortom.dates import days_between, mean_date, parse_time, time_in_name


def published():
    for path in golden_vectors.present("prepost/mean_timestamps.json"):
        for row in golden_vectors.load_json(path)["rows"]:
            yield pytest.param(row, id=row["cell"])


@pytest.mark.parametrize("row", list(published()))
def test_dates_as_published(row):
    s1, s2 = ([parse_time(text) for text in row[key]] for key in ("s1", "s2"))
    np.testing.assert_allclose(units.date_to_network(mean_date(s1, s2)), row["net"], atol=1e-6)
    assert days_between(s1[0], s2[0]) == row["abs_diff_days"]


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

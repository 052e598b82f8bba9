import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.errors import InputError
from copgen_jax.rasters.given.source import from_array
from copgen_jax.rasters.given.whenwhere import auto_date, read_date, read_location

YEARS = {"min_value": datetime.date(1950, 1, 1), "max_value": datetime.date(2050, 12, 31)}


@given(st.dates(**YEARS))
def test_every_way_to_give_a_day_is_that_day(day):
    stamp = datetime.datetime(day.year, day.month, day.day, 23, 59, 59)
    ways = (day, day.isoformat(), stamp, stamp.isoformat() + "Z", np.datetime64(day), np.datetime64(stamp, "ns"))
    assert {read_date(way) for way in ways} == {np.datetime64(day, "D")}


@given(st.datetimes(datetime.datetime(1951, 1, 1), datetime.datetime(2050, 1, 1)), st.integers(-14, 14))
def test_the_day_is_the_one_in_greenwich(time, hours):
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    local = time.replace(tzinfo=datetime.UTC).astimezone(zone)
    assert read_date(local) == read_date(local.isoformat()) == np.datetime64(time.date(), "D")


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_locations_come_back(latitude, longitude):
    for way in ((latitude, longitude), f"{latitude!r},{longitude!r}", f" {latitude!r} , {longitude!r} "):
        np.testing.assert_array_equal(read_location(way), (latitude, longitude))


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text):
    for read in (read_date, read_location):
        try:
            found = read(text)
        except InputError:
            continue
        assert np.asarray(found).dtype.kind in "Mf"


def tagged(**tags):
    source = from_array(np.zeros((4, 4)), where="a.tif")
    source.tags.update(tags)  # type: ignore[attr-defined]
    return [source]


@pytest.mark.parametrize(
    ("sources", "day"),
    [
        ({"S2L2A": tagged(datetime="2020-04-08T14:37:29.000000000")}, "2020-04-08"),
        ({"S2L1C": tagged(tifftag_datetime="2020:04:08 14:37:29")}, "2020-04-08"),
        ({"S1RTC": tagged(datetime="2020-04-11T23:43:09"), "LULC": tagged(datetime="2020-04-08")}, "2020-04-11"),
        ({"S1RTC": tagged(datetime="2020-04-11T00:00:00"), "S2L2A": tagged(datetime="2020-04-08")}, "2020-04-09"),
        ({"S1RTC": tagged(id="S1A_IW_GRDH_1SDV_20200411T234309_20200411T234334_0320_3B")}, "2020-04-11"),
        ({"LULC": tagged(datetime="soon", time="2020-04-08")}, "2020-04-08"),
    ],
)
def test_dates_that_rasters_state(sources, day):
    assert str(auto_date(sources)[0]) == day


@pytest.mark.parametrize("sources", [{}, {"DEM": tagged(datetime="2020-04-08")}, {"S1RTC": tagged(datetime="soon")}])
def test_rasters_that_state_no_date(sources):
    with pytest.raises(InputError, match="give a date"):
        auto_date(sources)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.modalities import BETA, COPGEN
from copgen_jax.rasters.outputs.pixelformat import COLOUR, REFLECTANCE, pixel_format, statistic_format


@given(st.lists(st.floats(-3.27, 3.27), min_size=1))
def test_reflectance_comes_back_within_half_a_number_with_its_sign(values):
    values = np.asarray(values, np.float32)
    numbers = REFLECTANCE.to_numbers(values)
    assert numbers.dtype == np.int16
    back = REFLECTANCE.to_physical(numbers)
    np.testing.assert_allclose(back, values, atol=0.5e-4 + 4e-7, rtol=0)
    assert ((np.sign(back) == np.sign(values)) | (np.abs(values) <= 0.51e-4)).all()


@given(st.lists(st.integers(-32767, 32767), min_size=1))
def test_numbers_of_reflectance_come_back_exactly(numbers):
    numbers = np.asarray(numbers, np.int16)
    np.testing.assert_array_equal(REFLECTANCE.to_numbers(REFLECTANCE.to_physical(numbers)), numbers)


@given(st.floats(allow_nan=False, width=32))
def test_no_reflectance_becomes_nodata(value):
    assert REFLECTANCE.to_numbers(np.asarray([value], np.float32))[0] != REFLECTANCE.nodata


def test_missing_reflectance_is_nodata():
    assert REFLECTANCE.to_numbers(np.asarray([np.nan], np.float32))[0] == REFLECTANCE.nodata
    assert np.isnan(REFLECTANCE.to_physical(np.asarray([REFLECTANCE.nodata], np.int16)))[0]


def test_colours_are_rounded_bytes():
    np.testing.assert_array_equal(
        COLOUR.to_numbers(np.asarray([-3.0, 0.4, 254.6, 300.0], np.float32)), [0, 0, 255, 255]
    )


@pytest.mark.parametrize("modality", [*COPGEN.images, *BETA.images], ids=lambda m: m.name)
def test_nodata_never_is_a_class_or_a_value(modality):
    format = pixel_format(modality)
    if modality.codes and format.nodata in modality.codes:
        assert dict(zip(modality.codes, modality.classes, strict=True))[format.nodata] == "no data"
    assert statistic_format(modality).dtype == "float32"

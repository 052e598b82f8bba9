"""Conversions that are inverse to each other, what survives them, and what is refused."""

import datetime

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from copgen_jax import units
from copgen_jax.modalities import BETA, COPGEN

IMAGES = [*COPGEN.images, BETA["DEM"]]


def physical_values(modality, rng, shape=(2, 5, 7)):
    """Random values inside the range that survives the round trip."""
    shape = (*shape, len(modality.bands))
    match modality.encoding:
        case "classes":
            return rng.choice(np.asarray(modality.codes), shape)
        case "reflectance":
            return rng.uniform(-2000, 20000, shape).astype(np.float32)
        case "power":
            return 10 ** rng.uniform(-5, 3, shape).astype(np.float32)
        case "height":
            return rng.uniform(0.01, 8800, shape).astype(np.float32)
        case _:
            return rng.integers(0, 256, shape)


@pytest.mark.parametrize("modality", IMAGES, ids=lambda m: f"{m.name}-{m.encoding}")
def test_there_and_back(modality):
    physical = physical_values(modality, np.random.default_rng(0))
    network = units.to_network(modality, physical)
    assert network.shape == (*physical.shape[:-1], modality.channels)
    back = units.to_physical(modality, network)
    assert back.shape == physical.shape
    np.testing.assert_allclose(back, physical, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("modality", IMAGES, ids=lambda m: f"{m.name}-{m.encoding}")
def test_traced_equals_numpy(modality):
    physical = physical_values(modality, np.random.default_rng(1))
    network = units.to_network(modality, physical)
    traced = jax.jit(lambda x: units.to_network(modality, x))(jnp.asarray(physical))
    np.testing.assert_allclose(traced, network, rtol=1e-5, atol=1e-6)
    back = jax.jit(lambda x: units.to_physical(modality, x))(jnp.asarray(network))
    np.testing.assert_allclose(back, units.to_physical(modality, network), rtol=2e-4)


@pytest.mark.parametrize("modality", IMAGES, ids=lambda m: f"{m.name}-{m.encoding}")
def test_bands_are_on_the_last_axis(modality):
    with pytest.raises(ValueError, match="on the last axis"):
        units.to_network(modality, np.zeros((4, 4, len(modality.bands) + 1)))
    with pytest.raises(ValueError, match="on the last axis"):
        units.to_physical(modality, np.zeros((4, 4, modality.channels + 1), np.float32))


@pytest.mark.parametrize("name", ["S2L2A_10m", "S1RTC", "DEM"])
def test_missing_values_stay_missing(name):
    modality = COPGEN[name]
    missing = np.full((1, 1, len(modality.bands)), np.nan, np.float32)
    assert np.isnan(units.to_network(modality, missing)).all()
    assert np.isnan(units.to_physical(modality, missing)).all()


@pytest.mark.parametrize("name", ["LULC", "cloud_mask"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_what_is_no_class_becomes_the_first(name, dtype):
    modality = COPGEN[name]
    strange = np.asarray([c for c in range(256) if c not in modality.codes], dtype).reshape(1, -1, 1)
    network = units.to_network(modality, strange)
    assert (network[..., 0] == 1).all()
    assert (network[..., 1:] == -1).all()


def test_equal_channels_give_the_first_class():
    modality = COPGEN["LULC"]
    assert (units.to_physical(modality, np.zeros((3, 3, 10), np.float32)) == modality.codes[0]).all()


def test_published_power_range():
    ends = np.asarray([-9.0, 9.0], np.float32).reshape(1, 1, 2)
    np.testing.assert_allclose(units.to_physical(COPGEN["S1RTC"], ends).ravel(), [2.638e-6, 10533.68], rtol=2e-4)


def test_published_height_range():
    ends = np.asarray([-9.0, 9.0], np.float32).reshape(2, 1, 1)
    np.testing.assert_allclose(units.to_physical(COPGEN["DEM"], ends).ravel(), [6.0e-6, 8847.47], rtol=2e-3)


dn_values = arrays(np.uint16, 20, elements=st.integers(0, 65535))
offsets = st.sampled_from([0.0, 1000.0, -1000.0, 37.0])


@given(dn_values, offsets)
def test_offset_is_undone(dn, offset):
    reflectance = units.dn_to_reflectance(dn, offset=offset)
    assert (np.isnan(reflectance) == (dn == 0)).all()
    back = units.reflectance_to_dn(reflectance, offset=offset)
    np.testing.assert_allclose(back[dn != 0], dn[dn != 0], atol=0.01)


@given(dn_values, offsets, offsets)
def test_conventions_agree_on_reflectance(dn, offset, to_offset):
    shifted = units.shift_dn(dn, offset=offset, to_offset=to_offset)
    valid = dn != 0
    assert (shifted[~valid] == 0).all()
    before = units.dn_to_reflectance(dn[valid], offset=offset)
    after = units.dn_to_reflectance(shifted[valid], offset=to_offset, nodata=None)
    np.testing.assert_allclose(after, before, atol=2e-6)


def test_dark_pixels_keep_negative_reflectance():
    assert units.dn_to_reflectance(np.asarray([900], np.uint16), offset=1000)[0] == np.float32(-0.01)


def test_generated_zero_is_a_value():
    np.testing.assert_allclose(units.dn_to_reflectance(np.zeros(1), offset=1000, nodata=None), [-0.1], rtol=1e-6)


def test_decibels():
    np.testing.assert_allclose(units.decibel_to_power(np.asarray([-20.0, 0.0, 10.0])), [0.01, 1.0, 10.0], rtol=1e-6)
    np.testing.assert_allclose(units.power_to_decibel(np.asarray([0.01, 1.0, 10.0])), [-20.0, 0.0, 10.0], atol=1e-5)


def test_indices_to_codes():
    modality = COPGEN["LULC"]
    indices = np.arange(modality.channels, dtype=np.uint8)
    assert tuple(units.indices_to_codes(modality, indices)) == modality.codes


@given(st.floats(-89.9, 89.9), st.floats(-180, 179.99))
def test_places_there_and_back(latitude, longitude):
    vector = units.to_network(COPGEN["location"], [latitude, longitude])
    np.testing.assert_allclose(np.linalg.norm(vector), 1.0, rtol=1e-6)
    back = units.to_physical(COPGEN["location"], vector)
    np.testing.assert_allclose(back[0], latitude, atol=0.02)
    assert abs((back[1] - longitude + 180) % 360 - 180) < 0.02


@given(st.dates(datetime.date(1950, 1, 1), datetime.date(2050, 12, 31)))
def test_dates_there_and_back(date):
    vector = units.to_network(COPGEN["timestamp"], date)
    assert vector.shape == (3,)
    assert units.to_physical(COPGEN["timestamp"], vector) == np.datetime64(date)


def test_an_unknown_date_stays_unknown():
    vector = units.date_to_network(np.asarray(["NaT", "2020-01-01"], "datetime64[D]"))
    assert np.isnan(vector[0]).all()
    assert np.isnat(units.date_to_physical(vector)[0])
    assert units.date_to_physical(vector)[1] == np.datetime64("2020-01-01")


def test_the_last_of_december_is_a_full_turn():
    np.testing.assert_allclose(units.date_to_network(["2019-12-31", "2020-12-31"])[:, :2], [[0, 1], [0, 1]], atol=1e-6)


def test_time_of_day_is_cut_off_before_the_epoch_too():
    np.testing.assert_array_equal(
        units.date_to_network(np.datetime64("1969-12-31T23:59:59")), units.date_to_network("1969-12-31")
    )

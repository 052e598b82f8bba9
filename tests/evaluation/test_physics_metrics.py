"""Physical plausibility: closed forms on scenes whose answer is known."""

import numpy as np
import pytest

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics import physics, power_spectrum, speckle


def test_indices_and_angles():
    red, infrared = np.array([0.05, 0.3, 0.0, -0.1]), np.array([0.45, 0.3, 0.0, 0.05])
    np.testing.assert_allclose(physics.ndvi(red, infrared), [0.8, 0, np.nan, np.nan])
    np.testing.assert_allclose(physics.ndwi(red, infrared), [-0.8, 0, np.nan, np.nan])
    assert np.isnan(physics.ndvi(np.array(-0.1), np.array(0.1001)))  # else 2001 enters a mean
    a = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    b = np.array([[0.0, 3.0, 1.0], [2.0, 3.0, 1.0]])
    np.testing.assert_allclose(physics.spectral_angle(a, b), [90, 0, np.nan], atol=1e-5)
    np.testing.assert_allclose(physics.spectral_angle(a, 5 * b), physics.spectral_angle(a, b), atol=1e-5)
    with pytest.raises(InputError, match="same bands"):
        physics.spectral_angle(a, b[:1])


def test_the_offset_biases_the_vegetation_index_as_explained():
    clean, offset = physics.ndvi(np.array(0.03), np.array(0.4)), physics.ndvi(np.array(0.13), np.array(0.5))
    assert offset / clean == pytest.approx(2 / 3, abs=0.03)


def test_values_by_class():
    classes = np.array([[1, 1], [2, 5]])
    values = np.array([[[1.0, 3.0], [7.0, np.nan]], [[5.0, 7.0], [7.0, 2.0]]])
    got = physics.by_class(values, classes)
    assert got[1] == physics.ClassValues(mean=4.0, std=np.sqrt(5), pixels=4, missing=0)
    assert (got[5].mean, got[5].pixels, got[5].missing) == (2.0, 1, 1)
    empty = physics.by_class(values, classes, [9])[9]
    assert np.isnan(empty.mean)
    assert empty.pixels == 0
    with pytest.raises(InputError, match="one grid"):
        physics.by_class(values, classes[:1])


def test_path_radiance_over_clear_dark_land():
    red, cover, clouds = np.full((4, 4), 0.03), np.full((4, 4), 2), np.zeros((4, 4), int)
    red[0], cover[1], clouds[2] = 0.3, physics.WATER, 1
    where = physics.clear_dark_land(red, cover, clouds)
    assert where.sum() == 4
    assert where[3].all()
    l2a = np.full((2, 4, 4), 0.03)
    l1c = l2a + 0.04
    l1c[0, 3, 0] = 0.01
    got = physics.path_radiance(l1c, l2a, where)
    assert got.median == pytest.approx(0.04)
    assert (got.negative, got.pixels) == (1 / 8, 8)
    assert np.isnan(physics.path_radiance(l1c, l2a, np.zeros((4, 4), bool)).median)


def test_b10_is_dark_under_a_clear_sky():
    b10 = np.full((3, 4, 4), 0.002)
    b10[0, 0, 0], b10[1, 3, 3], b10[2, 3, 2] = 0.1, np.nan, physics.CIRRUS
    got = physics.cirrus_when_clear(b10)
    assert (got.median, got.bright, got.pixels) == (0.002, 1 / 47, 47)
    clouds = np.zeros((24, 24), int)
    clouds[0, 0] = 3  # one fine pixel makes the whole coarse one cloudy
    clear = physics.wholly(clouds == physics.CLEAR, (4, 4), "clouds")
    assert clear.sum() == 15
    got = physics.cirrus_when_clear(b10, clear)
    assert (got.bright, got.pixels) == (0.0, 3 * 15 - 1)
    assert physics.cirrus_when_clear(b10 + 0.1, clear).bright == 1.0  # an offset left in
    nothing = physics.cirrus_when_clear(b10, np.zeros((4, 4), bool))
    assert np.isnan(nothing.bright)
    assert nothing.pixels == 0
    with pytest.raises(InputError, match="does not divide into 5 x 5"):
        physics.wholly(clouds == 0, (5, 5), "clouds")


def test_slope():
    y, x = np.mgrid[:8, :8] * 30.0
    np.testing.assert_allclose(physics.slope_degrees(0.6 * x + 0.8 * y, 30.0), 45)
    water = np.full((24, 24), physics.WATER)
    assert physics.slope_over_water(0.6 * x + 0.8 * y, water) == physics.WaterSlope(
        median=pytest.approx(45), steep=1.0, pixels=36
    )
    water[:12] = 2
    got = physics.slope_over_water(np.where(y < 120, 100.0, 0.0), water)
    assert (got.median, got.steep, got.pixels) == (0.0, 0.0, 2 * 6)
    assert np.isnan(physics.slope_over_water(y, np.zeros((24, 24))).median)
    with pytest.raises(InputError, match="does not divide"):
        physics.slope_over_water(y, np.zeros((25, 25)))


@pytest.mark.parametrize("looks", [1, 4, 16])
def test_equivalent_looks_of_gamma_speckle(looks):
    rng = np.random.default_rng(looks)
    power = 0.07 * rng.gamma(looks, 1 / looks, (2, 192, 192))
    got = speckle.equivalent_looks(power)
    assert got.blocks == 2 * 24 * 24
    assert got.median == pytest.approx(looks, rel=0.1)
    assert speckle.equivalent_looks(0.25 * power).median == pytest.approx(got.median)


def test_looks_of_mixed_blocks_broken_pixels_and_decibels():
    rng = np.random.default_rng(0)
    power = rng.gamma(4, 0.25, (16, 16))
    cover = np.zeros((16, 16), int)
    cover[0, 0] = 1
    assert speckle.equivalent_looks(power, cover).blocks == 3
    power[15, 15] = np.nan
    assert speckle.equivalent_looks(power, cover).blocks == 2
    assert speckle.equivalent_looks(np.ones((8, 8))).median == np.inf
    with pytest.raises(InputError, match="linear power, not dB"):
        speckle.equivalent_looks(-10 + power)
    assert speckle.polarisation_ratio_db(np.full(4, 0.1), np.full(4, 0.01)) == pytest.approx(10)
    assert np.isnan(speckle.polarisation_ratio_db(np.full(4, -0.1), np.full(4, 0.01)))


def test_white_noise_has_a_flat_spectrum_of_its_variance():
    noise = 3 * np.random.default_rng(0).standard_normal((40, 64, 64))
    spectrum = power_spectrum.radial_spectrum(noise, 10.0)
    assert spectrum.frequency[-1] == pytest.approx(1 / 20)
    np.testing.assert_allclose(spectrum.power.mean(axis=0)[4:], 9, rtol=0.12)


def test_a_wave_has_its_power_at_its_frequency():
    x = np.arange(96)
    wave = np.sin(2 * np.pi * x / 8)[None].repeat(96, axis=0)
    spectrum = power_spectrum.radial_spectrum(wave, 10.0)
    assert spectrum.frequency[spectrum.power.argmax()] == pytest.approx(1 / 80)


def test_smoothing_is_seen_and_sharpness_is_not_punished():
    rng = np.random.default_rng(1)
    real, other = rng.standard_normal((2, 12, 64, 64))
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    cut = np.fft.ifft2(np.fft.fft2(other) * (k < 1 / 8)).real
    spectra = [power_spectrum.radial_spectrum(image, 10.0) for image in (real, other, cut)]
    same, blurred = power_spectrum.smoothing(spectra[1], spectra[0]), power_spectrum.smoothing(spectra[2], spectra[0])
    assert same.fine == pytest.approx(1, abs=0.05)
    assert same.resolved == pytest.approx(20)
    assert blurred.fine < 0.01
    assert blurred.resolved == pytest.approx(80, rel=0.2)
    flat = power_spectrum.radial_spectrum(np.ones((1, 64, 64)), 10.0)
    assert np.isnan(power_spectrum.smoothing(spectra[0], flat).fine)
    with pytest.raises(InputError, match="do not compare"):
        power_spectrum.smoothing(power_spectrum.radial_spectrum(real, 20.0), spectra[0])
    with pytest.raises(InputError, match="square"):
        power_spectrum.radial_spectrum(real[:, :32], 10.0)

"""The world keeps the rules it states: sun, water, clouds, atmosphere, speckle, grids, places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from scipy.stats import gamma

from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.data.world import OFFSET, World, atmosphere, clouds, optics, radar
from copgen_jax.data.world.climate import climate_at, growth, season
from copgen_jax.data.world.noise import (
    Stream,
    Window,
    block_mean,
    choose,
    enlarge,
    hashed,
    key_of,
    product,
    soften,
    uniform,
)
from copgen_jax.data.world.places import cell_ground, centre_of, from_utm, to_utm, zone_of
from copgen_jax.data.world.sun import overpass, overpass_sun, sun_position
from copgen_jax.modalities import DEMO

WORLD = World(11, DEMO)


@pytest.fixture(scope="module")
def patches():
    return [WORLD.patch(i) for i in range(40)]


def window(pixels=96, row=0, column=0):
    return Window("0U_0R", cell_ground(0.05, 0.05), row, column, pixels)


def stream(name="test", **place):
    return Stream(key_of(name), window(**place))


def reflectance(patch, modality, band):
    m = WORLD.modalities[modality]
    return (patch[modality][..., m.bands.index(band)].astype(np.float32) - OFFSET) / 10000


@pytest.mark.parametrize(
    ("time", "latitude", "longitude", "zenith", "azimuth"),
    [
        # Reda & Andreas 2004 (NREL/TP-560-34302), the worked example of the solar position algorithm
        ("2003-10-17T19:30:30", 39.742476, -105.1786, 50.11162, 194.34024),
        # solstice and equinox geometry: declination is +-23.437 and 0 at these instants, by definition
        ("2024-06-20T20:51:00", 90.0, 0.0, 90 - 23.437, None),
        ("2024-12-21T09:21:00", -90.0, 0.0, 90 - 23.437, None),
        ("2024-03-20T03:06:00", 90.0, 0.0, 90.0, None),
    ],
)
def test_sun_position(time, latitude, longitude, zenith, azimuth):
    found = sun_position(latitude, longitude, np.datetime64(time))
    assert found[0] == pytest.approx(zenith, abs=0.03)
    if azimuth is not None:
        assert found[1] == pytest.approx(azimuth, abs=0.03)


def test_overpass_is_at_half_past_ten_of_mean_solar_time():
    assert overpass(0.0, np.datetime64("2021-05-01")) == np.datetime64("2021-05-01T10:30")
    assert overpass(90.0, np.datetime64("2021-05-01")) == np.datetime64("2021-05-01T04:30")
    zenith, azimuth = overpass_sun(45.0, 10.0, np.datetime64("2021-06-21"))
    assert 20 < zenith < 40
    assert 100 < azimuth < 160


def test_dates_have_daylight(patches):
    for patch in patches:
        assert overpass_sun(*patch["location"], patch["timestamp"])[0] < 80


def test_seasons_are_opposite_on_the_hemispheres():
    july, january = np.datetime64("2021-07-15"), np.datetime64("2021-01-15")
    assert abs((season(50, july) - season(-50, january) + 0.5) % 1 - 0.5) < 0.01
    for latitude, summer, winter in ((55.0, july, january), (-55.0, january, july)):
        climate = climate_at(latitude, 10.0)
        assert growth(climate, season(latitude, summer), 100) > 3 * growth(climate, season(latitude, winter), 100)


def test_water_is_flat(patches):
    water = land = 0
    for patch in patches:
        wet = block_mean((patch["LULC"][..., 0] == 1).astype(np.float32), 3) == 1
        height = patch["DEM"][..., 0]
        both = wet[:, 1:] & wet[:, :-1]
        steps = np.abs(np.diff(height, axis=1))
        assert (steps[both] == 0).all()
        water += both.sum()
        land += (~both).any() and (steps[~both] > 0).mean() > 0.5
    assert water > 1000
    assert land > 10


def test_height_is_not_below_the_sea(patches):
    assert min(patch["DEM"].min() for patch in patches) >= 0


def test_the_cirrus_band_is_dark_where_clear_and_sees_thin_cloud():
    clear, thin = [], []
    for i in range(60):
        patch = WORLD.patch(i)
        masks = [block_mean((patch["cloud_mask"][..., 0] == code).astype(np.float32), 6) for code in (0, 2)]
        cirrus = reflectance(patch, "S2L1C_60m", "B10")
        clear.append(cirrus[masks[0] == 1])
        thin.append(cirrus[masks[1] == 1])
    assert np.concatenate(clear).max() < 0.012
    assert np.median(np.concatenate(clear)) < 0.004
    assert np.concatenate(thin).mean() > 2 * np.concatenate(clear).mean()


def test_the_atmosphere_adds_blue_light_over_clear_dark_land(patches):
    seen = 0
    for patch in patches:
        dark = (patch["cloud_mask"][..., 0] == 0) & (reflectance(patch, "S2L2A_10m", "B04") < 0.08)
        dark &= patch["LULC"][..., 0] != 1
        added = reflectance(patch, "S2L1C_10m", "B02") - reflectance(patch, "S2L2A_10m", "B02")
        assert (added[dark] >= 0).all()
        seen += dark.sum()
    assert seen > 10000


def test_atmosphere_has_the_limits_of_physics():
    air = atmosphere.Air(0.1, 2.0, 0.0)
    path = [atmosphere.optics(b, air, 40.0, 0.0).path for b in ("B01", "B02", "B03", "B04", "B08", "B12")]
    assert path == sorted(path, reverse=True)
    # molecular optical depth at sea level (Bodhaine et al. 1999): 0.2361 at 0.443 um, 0.0439 at 0.665 um
    for band, depth in (("B01", 0.2361), ("B04", 0.0439)):
        clean = atmosphere.optics(band, atmosphere.Air(1e-9, 2.0, 0.0), 0.0, 0.0)
        assert clean.path == pytest.approx(1.5 * (1 - np.exp(-2 * depth)) / 8 * (1 + 0.8 * depth), rel=0.03)
    damp = atmosphere.optics("B09", atmosphere.Air(0.1, 4.0, 0.0), 40.0, 0.0)
    assert damp.gas < atmosphere.optics("B09", air, 40.0, 0.0).gas
    o = atmosphere.optics("B02", air, 40.0, 0.0)
    dark, bright = atmosphere.to_top(np.asarray([0.0, 0.9], np.float32), o)
    assert dark == pytest.approx(o.gas * o.path, rel=1e-5)
    assert bright < 1.0


def test_bands_of_one_scene_agree_on_all_grids():
    world, drawn = World(11, DEMO), {}

    def keep(variable, draw):
        def kept(*arguments):
            drawn[variable] = draw(*arguments)
            return drawn[variable]

        return kept

    for variable in world.causes.variables:
        if variable.name in ("scene", "air"):
            object.__setattr__(variable, "draw", keep(variable.name, variable.draw))
    world.patch(2)
    scene, air = drawn["scene"], drawn["air"]
    fine, middle, coarse = (
        optics.surface_reflectance(scene, air, 40.0, ("B04", "B11"), resolution) for resolution in (10, 20, 60)
    )
    np.testing.assert_allclose(block_mean(middle, 3), coarse, rtol=1e-4)
    np.testing.assert_allclose(fine.mean((1, 2)), middle.mean((1, 2)), rtol=1e-5)
    assert np.corrcoef(block_mean(fine, 2)[0].ravel(), middle[0].ravel())[0, 1] > 0.97


def test_slopes_that_face_the_sun_are_brighter():
    rise = np.broadcast_to(np.arange(32)[None, :] * 10.0, (32, 32)).astype(np.float32)
    east, west = (optics.illumination(rise, 50.0, azimuth, 96) for azimuth in (90.0, 270.0))
    assert east.mean() < 1 < west.mean()
    np.testing.assert_allclose(optics.illumination(np.zeros((32, 32), np.float32), 50.0, 90.0, 96), 1.0, rtol=1e-6)


def test_shadows_are_clouds_displaced_away_from_the_sun():
    sky = clouds.Sky(cover=0.2, veil=0.0, size=800.0, height=500.0)
    # the sun in the east at 45 degrees: shadows fall 500 m, 50 pixels, to the west
    mask = clouds.draw_mask(stream(pixels=192), sky, 45.0, 90.0)
    thick = mask == clouds.THICK
    expected = thick[:, 50:] & ~np.isin(mask[:, :-50], (clouds.THICK, clouds.THIN))
    assert thick.any()
    np.testing.assert_array_equal(mask[:, :-50] == clouds.SHADOW, expected)


def test_clouds_are_bright_and_shadows_dark():
    found = {}
    for patch in map(WORLD.patch, range(150)):
        mask, red = patch["cloud_mask"][..., 0], reflectance(patch, "S2L2A_10m", "B08")
        land = patch["LULC"][..., 0] != 1
        if red[land].size and np.median(red[land]) < 0.5:
            for code in (0, 1, 3):
                found.setdefault(code, []).append(red[land & (mask == code)])
    clear, thick, shadow = (np.concatenate(found[code]).mean() for code in (0, 1, 3))
    assert shadow < 0.75 * clear < clear < 0.75 * thick


def test_speckle_has_the_stated_looks():
    speckle = radar.speckle(stream(), (600, 600))
    assert speckle.mean() == pytest.approx(1, abs=0.01)
    for band in (0, 1):
        power = speckle[..., band].astype(np.float64)
        assert power.mean() ** 2 / power.var() == pytest.approx(radar.LOOKS, rel=0.04)
        quantiles = (0.02, 0.05, 0.25, 0.5, 0.75, 0.95, 0.98)
        ideal = gamma(radar.LOOKS, scale=1 / radar.LOOKS).ppf(quantiles)
        np.testing.assert_allclose(np.quantile(power, quantiles), ideal, rtol=0.02)
    assert abs(np.corrcoef(speckle[..., 0].ravel(), speckle[..., 1].ravel())[0, 1]) < 0.02


def test_looks_of_homogeneous_water_in_a_patch():
    found = []
    for patch in map(WORLD.patch, range(120)):
        water = patch["LULC"][..., 0] == 1
        if water.mean() > 0.999:
            power = patch["S1RTC"][..., 0].astype(np.float64)
            found.append(power.mean() ** 2 / power.var())
    assert len(found) >= 2
    # texture of the sea takes some looks away
    assert 0.7 * radar.LOOKS < np.median(found) < 1.1 * radar.LOOKS


def test_cross_polarisation_is_weaker(patches):
    assert all(p["S1RTC"][..., 1].mean() < 0.6 * p["S1RTC"][..., 0].mean() for p in patches)


@settings(deadline=None, max_examples=60)
@given(st.floats(-79, 83), st.floats(-179.99, 179.99))
def test_projection_equals_proj(latitude, longitude):
    zone = zone_of(longitude)
    code = (32700 if latitude < 0 else 32600) + zone
    expected = Transformer.from_crs("EPSG:4326", code, always_xy=True).transform(longitude, latitude)
    np.testing.assert_allclose(to_utm(latitude, longitude, zone), expected, atol=2e-3)
    back = from_utm(*expected, zone, south=latitude < 0)
    assert back[0] == pytest.approx(latitude, abs=1e-7)
    assert (back[1] - longitude + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_places_are_georeferenced_north_and_south(patches):
    hemispheres = set()
    for patch in patches:
        assert patch["location"] == pytest.approx(patch.ground.centre, abs=1e-6)
        assert patch.ground.extent == 960.0
        hemispheres.add(patch.ground.crs[:8])
        latitude, longitude = cell_named(patch.cell).centre
        assert abs(patch["location"][0] - latitude) < 0.08
        assert abs(patch["location"][1] - longitude) * np.cos(np.radians(latitude)) < 0.09
        assert patch.ground.left % 60 == patch.ground.top % 60 == 0
    assert hemispheres == {"EPSG:326", "EPSG:327"}


def test_a_cell_ground_is_centred_on_the_cell():
    latitude, longitude = cell_named("433D_629L").centre
    ground = cell_ground(latitude, longitude)
    assert ground.extent == 10680.0
    assert centre_of(ground) == pytest.approx((latitude, longitude), abs=6e-4)
    assert centre_of(ground) == pytest.approx(ground.centre, abs=1e-7)


@pytest.mark.parametrize("wavelength", [30.0, 200.0, 2500.0])
def test_fields_are_standard_smooth_and_seamless(wavelength):
    field = stream(pixels=1068).field("a", (wavelength,))
    if wavelength < 1000:
        assert field.mean() == pytest.approx(0, abs=0.1)
        assert field.std() == pytest.approx(1, abs=0.1)
    part = stream(pixels=96, row=300, column=60).field("a", (wavelength,))
    np.testing.assert_allclose(part, field[300:396, 60:156], atol=1e-5)
    margin = stream(pixels=96, row=300, column=60).field("a", (wavelength,), margin=3)
    np.testing.assert_allclose(margin[3:-3, 3:-3], part, atol=1e-5)
    shifted = stream(pixels=96, row=300, column=60).field("a", (wavelength,), shift=(70.0, -40.0))
    np.testing.assert_allclose(shifted, field[307:403, 56:152], atol=1e-5)


def test_fields_follow_their_purpose_and_coarse_grids():
    fine = stream(pixels=192)
    assert abs(np.corrcoef(fine.field("a", (60,)).ravel(), fine.field("b", (60,)).ravel())[0, 1]) < 0.1
    coarse = fine.field("a", (600,), step=3)
    np.testing.assert_allclose(coarse, fine.field("a", (600,))[1::3, 1::3], atol=1e-5)


def test_hashes_are_uniform_and_independent():
    x = np.arange(400)
    values = uniform(hashed(12345, x[:, None], x[None, :]))
    assert np.histogram(values, 16, (0, 1))[0] == pytest.approx(10000, rel=0.05)
    for shift in ((1, 0), (0, 1), (1, 1), (7, 3)):
        a = values[shift[0] :, shift[1] :].ravel()
        b = values[: 400 - shift[0], : 400 - shift[1]].ravel()
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert (hashed(12345, x) != hashed(12346, x)).all()


def test_warped_noise_is_the_hash_at_lattice_points():
    own = stream(pixels=96)
    y, x = (axis.ravel() for axis in np.meshgrid(np.arange(5.0), np.arange(3.0), indexing="ij"))
    expected = uniform(hashed(key_of(own.key, "warped", "a"), y, x)) - 0.5
    np.testing.assert_allclose(own.field_at("a", 100.0, y * 100, x * 100), expected * 12**0.5 * 1.45, atol=1e-6)


def test_choosing_by_bits_is_where():
    rng = np.random.default_rng(0)
    yes, no = rng.normal(size=(2, 40, 30)).astype(np.float32)
    mask = rng.random((40, 30)) < 0.5
    for one, other in ((yes, no), (yes, 0.45), (0.1, no), (0.1, 0.3)):
        chosen = choose(mask, one, other)
        assert chosen.dtype == np.float32
        np.testing.assert_array_equal(chosen, np.where(mask, np.float32(one), np.float32(other)))


def test_small_linear_operators():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 12, 12)).astype(np.float32)
    np.testing.assert_allclose(block_mean(image, 3), image.reshape(2, 4, 3, 4, 3).mean((2, 4)), rtol=1e-5, atol=1e-6)
    assert soften(image, 0.2).sum() == pytest.approx(image.sum(), abs=1e-4)
    left, right = (rng.normal(size=(192, 192)).astype(np.float32) for _ in range(2))
    for columns in (192, 130, 60):
        by_columns = np.asfortranarray(right[:, :columns])
        np.testing.assert_allclose(product(left, by_columns), left @ by_columns, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            product(left[:, :columns], right[:columns]), left[:, :columns] @ right[:columns], rtol=1e-4, atol=1e-4
        )
    ramp = np.broadcast_to(np.arange(6, dtype=np.float32) * 3 - 2, (6, 6))
    np.testing.assert_allclose(enlarge(ramp, 3, 12)[0], np.arange(12), atol=1e-5)

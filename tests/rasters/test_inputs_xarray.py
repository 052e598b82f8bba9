"""xarray objects, Zarr stores, and our own outputs given back."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS
from raster_scenes import CORNER, UTM, channel_last, scene

from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN
from copgen_jax.rasters.given.reading import read_given
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs
from copgen_jax.rasters.samples import build_samples

SCENE = scene()
GROUND = Ground(crs=UTM, left=CORNER[0], top=CORNER[1], extent=1920.0)


def labelled(name, array=None, *, crs=UTM, pixel=None, corner=CORNER, bands=True, **attrs):
    """A DataArray as rioxarray opens one."""
    array = SCENE[name] if array is None else array
    pixel = pixel or COPGEN[name].resolution
    coords = {
        "x": corner[0] + pixel * (np.arange(array.shape[-1]) + 0.5),
        "y": corner[1] - pixel * (np.arange(array.shape[-2]) + 0.5),
    }
    if bands:
        coords["band"] = list(COPGEN[name].bands)
    if crs:
        coords["spatial_ref"] = ((), 0, {"crs_wkt": CRS.from_user_input(crs).to_wkt()})
    return xr.DataArray(array, dims=("band", "y", "x"), coords=coords, attrs=attrs)


def refused(words, given, **options):
    with pytest.raises(InputError, match=words) as error:
        read_given(given, COPGEN, s2_offset=1000, **options).check()
    assert "\n" not in str(error.value)


def test_data_arrays_of_modalities():
    (place,) = read_given({name: labelled(name) for name in SCENE}, COPGEN, s2_offset=1000)
    for name, array in SCENE.items():
        np.testing.assert_array_equal(place.values[name], channel_last(array))
    assert place.ground == GROUND


def test_axes_in_any_order_and_southward_or_northward():
    array = labelled("S2L2A_10m")
    for given in (
        array.transpose("y", "x", "band"),
        array.isel(y=slice(None, None, -1)),
        array.rename(x="easting", y="northing"),
        array.expand_dims("member"),
        array.isel(band=[3, 2, 1, 0]),
    ):
        (place,) = read_given({"S2L2A": given}, COPGEN, s2_offset=1000)
        np.testing.assert_array_equal(place.values["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]))
        assert place.ground == GROUND


def test_a_dataset_of_bands_and_one_of_a_single_variable():
    array = labelled("S2L2A_10m")
    of_bands = array.to_dataset(dim="band")
    of_one = array.to_dataset(name="reflectance")
    for given in (of_bands, of_one):
        (place,) = read_given({"S2L2A": given}, COPGEN, s2_offset=1000)
        np.testing.assert_array_equal(place.values["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]))


def test_band_names_in_long_name_and_crs_in_an_attribute():
    array = labelled("S2L2A_10m", bands=False, crs=None, long_name=("B04", "B03", "B02", "B08"), crs_text="")
    array.attrs["crs"] = UTM
    (place,) = read_given({"S2L2A": array}, COPGEN, s2_offset=1000)
    np.testing.assert_array_equal(place.values["S2L2A_10m"], channel_last(SCENE["S2L2A_10m"]))
    assert place.ground == GROUND


def test_a_plain_data_array_is_like_an_array():
    (place,) = read_given({"DEM": xr.DataArray(SCENE["DEM"][0], dims=("y", "x"))}, COPGEN)
    np.testing.assert_array_equal(place.values["DEM"], channel_last(SCENE["DEM"]))
    assert place.ground is None


def test_attributes_say_scale_fill_value_and_unit():
    pixels = SCENE["S2L2A_10m"].astype(np.int32)
    pixels[:, 5, 5] = -1
    array = labelled("S2L2A_10m", pixels, scale_factor=1e-4, add_offset=-0.1, _FillValue=-1)
    (place,) = read_given({"S2L2A": array}, COPGEN)
    assert place.offsets == {"S2L2A": 1000}
    inner = place.values["S2L2A_10m"][6:]
    np.testing.assert_allclose(inner, channel_last(SCENE["S2L2A_10m"])[6:], rtol=1e-6)
    (place,) = read_given({"S1RTC": labelled("S1RTC", 10 * np.log10(SCENE["S1RTC"]), units="dB")}, COPGEN)
    np.testing.assert_allclose(place.values["S1RTC"], channel_last(SCENE["S1RTC"]), rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (xr.DataArray(np.zeros((3, 192, 192)), dims=("member", "y", "x")), "has 3 of dimension member"),
        (xr.DataArray(np.zeros((192, 192)), dims=("lat", "lon")), "degrees"),
        (xr.DataArray(np.zeros((192, 192)), dims=("a", "b")), r"expected \(band, y, x\)"),
        (xr.DataArray(np.zeros((2, 2, 192, 192)), dims=("a", "b", "y", "x")), r"expected \(band, y, x\)"),
        (xr.Dataset({"a": ((), 1.0)}), "without a raster variable"),
        (labelled("LULC", crs="EPSG:4326", pixel=1e-4), "degrees"),
        (labelled("LULC", pixel=20), "expected 10 m pixels, got 20 m"),
        (labelled("LULC").assign_coords(x=np.arange(192.0) ** 2), "evenly spaced"),
        (labelled("LULC").astype(str), "real numbers"),
    ],
)
def test_xarray_objects_that_are_refused(given, words):
    refused(words, {"LULC": given}, units={"LULC": "code"})


def test_corners_of_arrays_and_files_are_compared():
    moved = labelled("DEM", corner=(CORNER[0] + 60, CORNER[1]))
    refused("different ground", {"LULC": labelled("LULC"), "DEM": moved})


def test_only_the_window_is_computed(tmp_path):
    big = scene(384)["LULC"]
    labelled("LULC", big, bands=False).to_dataset(name="LULC").to_zarr(
        tmp_path / "a.zarr", zarr_format=3, consolidated=False
    )
    (place,) = read_given({"LULC": tmp_path / "a.zarr"}, COPGEN, window=(186, 12))
    np.testing.assert_array_equal(place.values["LULC"], channel_last(big[:, 186:378, 12:204]))


def test_what_is_no_zarr_store(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    refused("it has no rasters", {"LULC": tmp_path / "a.zarr"})
    (tmp_path / "a.zarr" / "zarr.json").write_text("no json")
    refused("cannot be opened as a Zarr group", {"LULC": tmp_path / "a.zarr"})
    labelled("LULC", bands=False).to_dataset(name="a").assign(b=labelled("LULC", bands=False)).to_zarr(
        tmp_path / "b.zarr", consolidated=False
    )
    refused("holds no LULC", {"LULC": tmp_path / "b.zarr"})
    refused("plain local path", {"LULC": "s3://bucket/a.zarr"})


@pytest.mark.parametrize("kind", ["cog", "zarr", "memory"])
def test_what_we_write_can_be_given_back(tmp_path, kind):
    names = ("DEM", "LULC", "S1RTC", "S2L2A_10m", "S2L2A_20m")
    physical = {}
    for name in names:
        values = channel_last(SCENE[name])[None]
        physical[name] = (values.astype(np.float32) - 1000) / 10000 if name.startswith("S2") else values
    chosen = COPGEN.subset(names)
    samples = build_samples(physical, modalities=chosen, ground=GROUND, members=[0], provenance={"seed": 0})
    if kind == "memory":
        given = dict(samples)
    else:
        options = OutputOptions(cog=kind == "cog", zarr=kind == "zarr", pictures=False, statistics=False)
        with open_outputs(
            tmp_path, place="here", modalities=chosen, ground=GROUND, provenance={"seed": 0}, options=options
        ) as outputs:
            outputs.write(samples)
            paths = outputs.paths
        given = {name: paths.member(name, 0) if kind == "cog" else paths.samples for name in names}
    (place,) = read_given(given, COPGEN)
    assert place.ground == GROUND
    dn = place.in_convention(COPGEN, s2_offset=1000)
    for name in names:
        tolerance = 1e-2 if name.startswith("S2") else 0.0
        np.testing.assert_allclose(dn[name], channel_last(SCENE[name]), atol=tolerance)

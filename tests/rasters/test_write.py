import dataclasses
import json

import numpy as np
import pytest
import rasterio
import xarray as xr
from drawn_samples import GROUNDS, PROVENANCE, draw_samples

from copgen_jax.errors import InputError
from copgen_jax.modalities import BETA, DEMO
from copgen_jax.rasters.outputs import write
from copgen_jax.rasters.outputs.imagefile import read_image
from copgen_jax.rasters.outputs.layout import layout, place_name
from copgen_jax.rasters.outputs.pixelformat import REFLECTANCE
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs

FEW = DEMO.subset(["location", "DEM", "LULC", "S2L2A_60m", "timestamp"])
PLAIN = OutputOptions(statistics=False, pictures=False)
BOTH = dataclasses.replace(PLAIN, zarr=True, latents=True)
ZARR = dataclasses.replace(PLAIN, cog=False, zarr=True)


def place(modalities=FEW, ground=GROUNDS["zone 33 north"], **more):
    return {
        "place": "somewhere",
        "modalities": modalities,
        "ground": ground,
        "provenance": PROVENANCE,
        "options": PLAIN,
        **more,
    }


def latents_of(samples):
    return {m.name: np.full((len(samples.members), *m.latent_shape), 0.5, np.float32) for m in samples.modalities}


def write_all(out, samples, **more):
    with open_outputs(out, **place(samples.modalities, samples.ground, **more)) as outputs:
        outputs.write(samples, latents_of(samples) if outputs.options.latents else None)


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS.keys())
def test_pixels_lie_exactly_on_the_ground(tmp_path, ground):
    write_all(tmp_path, draw_samples(ground=ground, members=[0]))
    for modality in DEMO.images:
        with rasterio.open(layout(tmp_path, "somewhere").member(modality.name, 0)) as dataset:
            assert dataset.crs == rasterio.CRS.from_user_input(ground.crs)
            assert tuple(dataset.bounds) == (
                ground.left,
                ground.top - ground.extent,
                ground.left + ground.extent,
                ground.top,
            )
            assert dataset.res == (modality.resolution, modality.resolution)


def test_files_say_what_they_hold(tmp_path):
    write_all(tmp_path, draw_samples(members=[12], time=np.datetime64("2023-06-10")))
    paths = layout(tmp_path, "somewhere")
    for modality in DEMO.images:
        with rasterio.open(paths.member(modality.name, 12)) as dataset:
            structure = dataset.tags(ns="IMAGE_STRUCTURE")
            assert structure["LAYOUT"] == "COG"
            assert dataset.profile["tiled"]
            assert structure["COMPRESSION"] == "DEFLATE"
            assert dataset.descriptions == modality.bands
            tags = dataset.tags()
            assert tags["synthetic"] == "true"
            assert tags["member"] == "12"
            assert tags["seed"] == "7"
            assert tags["model_hash"] == "0123abcd"
            assert json.loads(tags["conditions"]) == {"DEM": "dem.tif"}
            assert tags["datetime"] == "2023-06-10"
            assert dataset.nodata is not None
    with rasterio.open(paths.member("S2L2A_10m", 12)) as dataset:
        assert dataset.dtypes[0] == "int16"
        assert dataset.scales == (1e-4,) * 4
        assert dataset.offsets == (0.0,) * 4
        assert dataset.tags()["units"] == "reflectance"
        assert dataset.tags()["dn_offset"] == "0"
        assert [band.name for band in dataset.colorinterp[:3]] == ["red", "green", "blue"]
    with rasterio.open(paths.member("DEM", 12)) as dataset:
        assert dataset.units == ("m",)


def test_classes_have_colours_and_names(tmp_path):
    write_all(tmp_path, draw_samples(members=[0]))
    path = layout(tmp_path, "somewhere").member("LULC", 0)
    with rasterio.open(path) as dataset:
        assert dataset.colormap(1)[1] == (65, 155, 223, 255)
        assert dataset.colormap(1)[11] == (227, 226, 195, 255)
        assert dataset.tags()["class_7"] == "built area"
    sidecar = path.with_name(path.name + ".aux.xml").read_text()
    names = [line.split(">")[1].split("<")[0] for line in sidecar.splitlines() if "<Category>" in line]
    assert names[4] == "flooded vegetation"
    assert names[3] == ""
    assert len(names) == 12


def test_values_come_back(tmp_path):
    samples = draw_samples(members=[0, 1])
    write_all(tmp_path, samples)
    for modality in DEMO.images:
        for member in samples.members:
            back = read_image(layout(tmp_path, "somewhere").member(modality.name, member), modality)
            expected = samples[modality.name].sel(member=member).values
            if modality.encoding == "reflectance":
                assert expected.min() < 0
                np.testing.assert_allclose(back, expected, atol=0.5001e-4, rtol=0)
                np.testing.assert_array_equal(np.rint(back * 1e4), np.rint(expected.astype(np.float64) / 1e-4))
            else:
                np.testing.assert_array_equal(back, expected)


def test_reflectance_is_clipped_to_its_numbers_and_missing_stays_missing():
    values = np.asarray([-9.0, -3.2767, -0.1, 0.0, 0.00005001, 3.2767, 9.0, np.nan], np.float32)
    numbers = REFLECTANCE.to_numbers(values)
    np.testing.assert_array_equal(numbers, [-32767, -32767, -1000, 0, 1, 32767, 32767, -32768])
    back = REFLECTANCE.to_physical(numbers)
    assert np.isnan(back[-1])
    np.testing.assert_array_equal(REFLECTANCE.to_numbers(back), numbers)


def test_without_ground_there_is_no_crs(tmp_path):
    write_all(tmp_path, draw_samples(BETA, ground=None, members=[0]))
    with rasterio.open(layout(tmp_path, "somewhere").member("S2L2A", 0)) as dataset:
        assert dataset.crs is None
        assert dataset.dtypes == ("uint8",) * 3


@pytest.mark.filterwarnings("error")
def test_xarray_opens_the_store_without_this_package(tmp_path):
    samples = draw_samples(members=[4, 2], time=np.datetime64("2023-06-10"))
    write_all(tmp_path, samples, options=BOTH)
    path = layout(tmp_path, "somewhere").samples
    tree = xr.open_datatree(path, engine="zarr")
    for name, expected in samples.items():
        array = tree[f"{name}/{name}"]
        assert array.dims == expected.dims
        if name == "timestamp":
            np.testing.assert_array_equal(array.values, expected.values.astype(array.dtype))
        else:
            np.testing.assert_array_equal(array.values, expected.values)
        np.testing.assert_array_equal(array.member.values, [4, 2])
        assert array.attrs["synthetic"] == "true"
        assert array.time.values == np.datetime64("2023-06-10")
    image = xr.open_zarr(path, group="S2L2A_10m")["S2L2A_10m"]
    assert image.dtype == np.float32
    assert image.attrs["grid_mapping"] == "spatial_ref"
    assert image.sel(band="B08", member=2).shape == (96, 96)
    np.testing.assert_array_equal(image.x.values, samples["S2L2A_10m"].x.values)
    assert image.spatial_ref.attrs["GeoTransform"] == samples["S2L2A_10m"].spatial_ref.attrs["GeoTransform"]
    latents = xr.open_zarr(layout(tmp_path, "somewhere").latents, group="DEM")["DEM"]
    assert latents.dims == ("member", "y", "x", "channel")
    assert latents.dtype == np.float32


def test_store_is_zarr_3_with_a_chunk_per_member(tmp_path):
    write_all(tmp_path, draw_samples(FEW), options=BOTH)
    metadata = json.loads((layout(tmp_path, "somewhere").samples / "DEM" / "DEM" / "zarr.json").read_text())
    assert metadata["zarr_format"] == 3
    assert metadata["dimension_names"] == ["member", "band", "y", "x"]
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, 1, 32, 32]


def test_chunks_written_in_turn_equal_one_chunk(tmp_path):
    samples = draw_samples(FEW, members=[0, 1, 2])
    write_all(tmp_path / "whole", samples, options=BOTH)
    with open_outputs(tmp_path / "parts", **place(options=BOTH)) as outputs:
        for members in ([0], [1, 2]):
            chunk = samples.select(members)
            outputs.write(chunk, latents_of(chunk))
        assert outputs.complete == {0, 1, 2}
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    for name in files(tmp_path / "whole"):
        if name.endswith((".tif", ".geojson")):
            assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    whole, parts = (xr.open_datatree(layout(tmp_path / w, "somewhere").samples) for w in ("whole", "parts"))
    assert whole.identical(parts)


def test_record_says_where_and_when(tmp_path):
    samples = draw_samples(FEW, members=[0, 1])
    write_all(tmp_path, samples)
    record = json.loads(layout(tmp_path, "somewhere").record.read_text())
    assert record["type"] == "FeatureCollection"
    assert record["copgen"]["seed"] == 7
    feature = record["features"][1]
    latitude, longitude = samples["location"].values[1]
    assert feature["geometry"]["coordinates"] == [longitude, latitude]
    assert feature["properties"]["timestamp"] == str(samples["timestamp"].values[1].astype("datetime64[D]"))


@pytest.mark.parametrize("options", [PLAIN, ZARR, BOTH], ids=["COG", "Zarr", "both"])
def test_resume_knows_what_is_missing(tmp_path, options):
    samples = draw_samples(FEW, members=[0, 1, 2, 3])

    def write_members(outputs, members):
        chunk = samples.select(members)
        outputs.write(chunk, latents_of(chunk) if options.latents else None)

    def interrupted():
        with open_outputs(tmp_path, **place(options=options)) as outputs:
            write_members(outputs, [0, 1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    paths = layout(tmp_path, "somewhere")
    assert not paths.samples.exists()
    with open_outputs(tmp_path, **place(options=options), resume=True) as outputs:
        assert outputs.complete == {0, 1}
        write_members(outputs, [1, 2])
    with open_outputs(tmp_path, **place(options=options), resume=True) as outputs:
        assert outputs.complete == {0, 1, 2}
        write_members(outputs, [3])
        assert outputs.complete == {0, 1, 2, 3}
        np.testing.assert_allclose(
            outputs.stored().read("S2L2A_60m", 2, slice(3, 5)), samples["S2L2A_60m"].values[2][:, 3:5], atol=0.6e-4
        )
    if options.zarr:
        np.testing.assert_array_equal(xr.open_zarr(paths.samples, group="DEM")["DEM"].values, samples["DEM"].values)


def test_a_lost_file_makes_its_member_incomplete(tmp_path):
    write_all(tmp_path, draw_samples(FEW, members=[0, 1]))
    layout(tmp_path, "somewhere").member("LULC", 1).unlink()
    with open_outputs(tmp_path, **place(), resume=True) as outputs:
        assert outputs.complete == {0}


def test_resume_refuses_another_run(tmp_path):
    write_all(tmp_path, draw_samples(FEW))
    with (
        pytest.raises(InputError, match="seed 7, this run has 8"),
        open_outputs(tmp_path, **{**place(), "provenance": {**PROVENANCE, "seed": 8}}, resume=True),
    ):
        pass


def test_existing_outputs_are_kept_unless_told(tmp_path):
    write_all(tmp_path, draw_samples(FEW, members=[0, 1]))
    before = files(tmp_path)
    with pytest.raises(InputError, match="--overwrite or --resume"), open_outputs(tmp_path, **place()):
        pass
    with pytest.raises(RuntimeError), open_outputs(tmp_path, **place(), overwrite=True):
        raise RuntimeError("before the first chunk")
    assert files(tmp_path) == before
    write_all(tmp_path, draw_samples(FEW, members=[5]), overwrite=True)
    assert not layout(tmp_path, "somewhere").member("DEM", 0).exists()
    assert layout(tmp_path, "somewhere").member("DEM", 5).exists()


@pytest.mark.parametrize("name", ["thesis.txt", "members.geojson"])
@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}], ids=["plain", "overwrite", "resume"])
def test_a_folder_of_something_else_is_never_touched(tmp_path, name, how):
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "somewhere" / name).write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match="no outputs of this program"), open_outputs(tmp_path, **place(), **how):
        pass
    assert files(tmp_path) == [f"somewhere/{name}"]


def test_a_damaged_record_is_said_to_be_damaged(tmp_path):
    write_all(tmp_path, draw_samples(FEW, members=[0]))
    record = layout(tmp_path, "somewhere").record
    record.write_text(record.read_text().replace('"features"', '"creatures"'))
    with pytest.raises(InputError, match="damaged"), open_outputs(tmp_path, **place(), resume=True):
        pass


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b", "x" * 200])
def test_place_names_never_leave_the_directory(tmp_path, name):
    with pytest.raises(InputError, match="cannot be the name of a folder"):
        layout(tmp_path, name)


def test_places_without_a_name_get_one_from_their_corner():
    assert place_name(GROUNDS["zone 1, next to the date line"]) == "EPSG32601_166021.5_7000000"
    assert place_name(None) == "place"


def test_nothing_is_left_under_final_names_when_interrupted(tmp_path, monkeypatch):
    """The second file fails: what is there is whole, the member does not count, and resuming completes it."""
    samples = draw_samples(FEW, members=[0])
    written = []

    def fail_second(path, *arguments):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_image(path, *arguments)

    write_image = write.write_image
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_image", fail_second)
        with pytest.raises(KeyboardInterrupt):
            write_all(tmp_path, samples, options=BOTH)
    paths = layout(tmp_path, "somewhere")
    assert not paths.samples.exists()
    assert [name for name in files(tmp_path) if name.endswith(".tif")] == [str(written[0].relative_to(tmp_path))]
    with open_outputs(tmp_path, **place(options=BOTH), resume=True) as outputs:
        assert outputs.complete == set()
        outputs.write(samples, latents_of(samples))
    assert paths.samples.exists()

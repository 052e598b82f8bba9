"""Cells read from folders and from parquet files: the same observation, cut where the original cuts."""

import dataclasses

import majortom_files as files
import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copgen_jax import units
from copgen_jax.data.majortom import Limits, archives, central_patch, cut, open_data, read_all, report, tally
from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, DEMO, TINY
from copgen_jax.rasters.ground import Ground

FEW = COPGEN.subset(["location", "DEM", "S1RTC", "S2L2A_60m", "LULC", "timestamp"])
"""All ways of being kept that differ, in few bytes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("extracted")
    files.write_cell(root)
    files.write_cell(root, files.OTHER, FEW)
    return root


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    root = tmp_path_factory.mktemp("parquet")
    files.write_parquet(root, [files.OTHER, files.CELL])
    files.write_cell(root, modalities=COPGEN.subset(["LULC"]))
    return root


def test_a_whole_cell(folder):
    source = open_data(folder)
    assert source.names == tuple(sorted([files.CELL, files.OTHER]))
    observation = source.read(files.CELL)
    assert observation.issues == ()
    assert observation.cell == cell_named(files.CELL)
    assert observation.rasters.keys() == {m.name for m in COPGEN.images}
    assert observation.s2_offsets == {"S2L2A": 1000, "S2L1C": 1000}
    assert observation.date == np.datetime64("2020-02-25")
    for modality in COPGEN.images:
        side = round(10680 / modality.resolution)
        expected = np.stack([files.pixels(modality, band, side) for band in modality.bands], axis=-1)
        np.testing.assert_array_equal(observation.rasters[modality.name], expected)


def test_parquet_and_folders_hold_the_same(folder, parquet):
    extracted, packed = (open_data(root).read(files.CELL) for root in (folder, parquet))
    assert packed.issues == ()
    assert dataclasses.replace(packed, rasters={}) == dataclasses.replace(extracted, rasters={})
    for name, raster in extracted.rasters.items():
        np.testing.assert_array_equal(packed.rasters[name], raster)


def test_parquet_without_metadata(tmp_path, parquet):
    files.write_parquet(tmp_path, [files.OTHER, files.CELL], TINY, metadata=False)
    source = open_data(tmp_path, modalities=TINY)
    assert source.names == open_data(parquet).names
    assert source.read(files.CELL).date == np.datetime64("2020-02-23")


@pytest.mark.parametrize("modalities", [COPGEN, DEMO], ids=["published", "demo"])
def test_all_modalities_of_a_patch_lie_on_its_ground(folder, modalities):
    observation = open_data(folder, modalities=modalities).read(files.CELL)
    patches = list(cut(observation, modalities))
    assert len(patches) == {192: 36, 96: 144}[modalities["LULC"].pixels]
    whole = observation.ground
    for patch in (patches[0], patches[7], patches[-1], central_patch(observation, modalities)):
        for name in ("DEM", "S2L2A_10m", "S2L2A_20m", "S2L1C_60m"):
            resolution = modalities[name].resolution
            row, column = (patch.images[name][0, 0, [0, -1]] - 1) * resolution
            column = 0 if name == "DEM" else column
            assert patch.ground.top == whole.top - row
            assert name == "DEM" or patch.ground.left == whole.left + column
        assert patch.ground.extent == modalities["DEM"].extent
    last = patches[-1].ground
    assert last.left + last.extent == whole.left + whole.extent
    assert last.top - last.extent == whole.top - whole.extent


def test_places_are_the_grids_and_pixels_their_own(folder):
    observation = open_data(folder).read(files.CELL)
    places = cell_named(files.CELL).patch_places(6).reshape(-1, 2)
    patches = list(cut(observation, COPGEN))
    np.testing.assert_allclose([patch.place for patch in patches], places)
    apart = np.abs(np.asarray([patch.ground.centre for patch in patches]) - places)
    assert 0.001 < apart.max() < 0.02
    centre = central_patch(observation, COPGEN)
    assert centre.place == cell_named(files.CELL).centre
    assert np.abs(np.subtract(centre.ground.centre, centre.place)).max() < 0.001
    assert centre.name == files.CELL


def test_network_values(folder):
    patch = next(cut(open_data(folder).read(files.CELL), COPGEN))
    network = patch.network_values(COPGEN, s2_offset=0)
    assert network.keys() == set(COPGEN.names)
    for modality in COPGEN:
        assert network[modality.name].dtype == np.float32
        assert network[modality.name].shape == (modality.image_shape if modality.is_image else (3,))
    dn = units.to_physical(COPGEN["S2L2A_10m"], network["S2L2A_10m"])
    np.testing.assert_allclose(dn, patch.images["S2L2A_10m"].astype(np.float32) - 1000, atol=1e-2)
    np.testing.assert_array_equal(network["timestamp"], units.date_to_network("2020-02-25"))


def test_a_cell_that_lacks_products_keeps_the_others(folder):
    observation = open_data(folder).read(files.OTHER)
    assert observation.rasters.keys() == {"DEM", "S1RTC", "S2L2A_60m", "LULC"}
    assert tally(observation.issues) == {"missing": 3}


def test_reading_ahead_keeps_the_order(folder):
    source = open_data(folder, modalities=FEW)
    names = [*source.names, *source.names[::-1]]
    assert [observation.name for observation in read_all(source, names, threads=3)] == names


def test_the_latest_year_counts_and_unknown_land_cover_is_left_out(tmp_path):
    def unknown(modality, band, side):
        values = files.pixels(modality, band, side)
        values[:192, :192].flat[:1843] = 0
        values[:192, 192:384].flat[: 192 * 192] = 0
        values[192:384, :192].flat[:1844] = 0
        return values

    land_cover = COPGEN.subset(["LULC", "DEM"])
    files.write_cell(tmp_path, modalities=land_cover, year=2019)
    files.write_cell(tmp_path, modalities=land_cover.subset(["LULC"]), year=2022, values=unknown)
    observation = open_data(tmp_path, modalities=land_cover).read(files.CELL)
    patches = list(cut(observation, land_cover))
    assert [patch.index for patch in patches if "LULC" not in patch.images] == [1, 6]
    assert [issue.kind for patch in patches for issue in patch.issues] == ["no data"] * 2
    assert all("DEM" in patch.images for patch in patches)


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    def holes(modality, band, side):
        values = files.pixels(modality, band, side)
        values[200, 0] = np.nan
        return values

    radar = COPGEN.subset(["S1RTC"])
    files.write_cell(tmp_path, modalities=radar, values=holes)
    patches = list(cut(open_data(tmp_path, modalities=radar).read(files.CELL), radar))
    assert [patch.index for patch in patches if not patch.images] == [6]


def damaged(root):
    (files.cell_directory(root, files.CELL, "S2L2A") / "B09.tif").write_bytes(b"II*\0 and then nothing")
    (files.cell_directory(root, files.CELL, "DEM") / "DEM.tif").unlink()
    (files.cell_directory(root, files.CELL, "LULC") / f"{files.CELL}_2021.tif").write_bytes(b"<VRTDataset/>")
    radar = files.cell_directory(root, files.CELL, "S1RTC") / "vh.tif"
    radar.write_bytes(radar.read_bytes()[:5000])


def test_broken_files_are_told_and_skipped(tmp_path):
    files.write_cell(tmp_path, files.OTHER, FEW)
    files.write_cell(tmp_path, files.CELL, FEW)
    damaged(tmp_path)
    source = open_data(tmp_path, modalities=FEW)
    observations = list(read_all(source))
    bad, good = sorted(observations, key=lambda o: len(o.rasters))
    assert good.name == files.OTHER
    assert len(good.rasters) == 4
    assert bad.rasters == {}
    assert bad.ground is None
    assert tally(bad.issues) == {"broken": 3, "missing": 1}
    lines = report(issue for observation in observations for issue in observation.issues)
    assert [line.split(":")[0] for line in lines] == ["broken", "missing"]
    assert all(patch.images == {} for patch in cut(bad, FEW))


def test_programs_in_disguise_are_refused(tmp_path):
    """A VRT can read any other file: refused, whatever its name says."""
    files.write_cell(tmp_path, modalities=FEW)
    target = files.cell_directory(tmp_path, files.CELL, "DEM") / "DEM.tif"
    target.write_text("<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand/></VRTDataset>")
    (issue,) = open_data(tmp_path, modalities=FEW).read(files.CELL).issues
    assert issue.kind == "broken"
    assert "not a GeoTIFF" in issue.reason


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_absurd_sizes_are_refused_before_a_pixel_is_read(tmp_path, monkeypatch):
    files.write_cell(tmp_path, modalities=FEW)
    claims = {"height": 200_000, "width": 200_000, "tiled": True, "sparse_ok": True, "bigtiff": "yes"}
    path = files.cell_directory(tmp_path, files.CELL, "S1RTC") / "vv.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="float32", crs="EPSG:32718", **claims):
        pass
    observation = open_data(tmp_path, modalities=FEW).read(files.CELL)
    (issue,) = (issue for issue in observation.issues if issue.where == "S1RTC")
    assert "200000 x 200000 px, expected the 1068 x 1068 px" in issue.reason
    files.write_parquet(tmp_path / "packed", [files.CELL], TINY.subset(["DEM"]))
    monkeypatch.setattr(archives, "LARGEST_OBSERVATION", 1000)
    (issue,) = open_data(tmp_path / "packed", modalities=TINY.subset(["DEM"])).read(files.CELL).issues[:1]
    assert issue.kind == "broken"
    assert "takes" in issue.reason


def test_what_an_interrupted_program_left_is_not_read(tmp_path):
    files.write_cell(tmp_path, modalities=TINY.subset(["DEM"]))
    directory = files.cell_directory(tmp_path, files.CELL, "DEM")
    directory.rename(directory.with_name(".partial-id"))
    (issue, *_) = open_data(tmp_path, modalities=TINY.subset(["DEM"])).read(files.CELL).issues
    assert "holds no product" in issue.reason


@pytest.mark.parametrize("options", [{"shift": 120.0}, {"crs": "EPSG:32719"}])
def test_radar_on_other_ground_is_left_out(tmp_path, options):
    files.write_cell(tmp_path, modalities=FEW.subset(["DEM", "S2L2A"]))
    files.write_cell(tmp_path, modalities=FEW.subset(["S1RTC"]), **options)
    observation = open_data(tmp_path, modalities=FEW.subset(["DEM", "S2L2A", "S1RTC"])).read(files.CELL)
    assert observation.rasters.keys() == {"DEM", "S2L2A_60m"}
    assert tally(observation.issues) == {"other ground": 1}


def test_a_cell_that_lies_elsewhere_is_told_and_kept(tmp_path):
    files.write_cell(tmp_path, modalities=FEW, shift=50_000.0)
    observation = open_data(tmp_path, modalities=FEW).read(files.CELL)
    assert tally(observation.issues) == {"other ground": 1}
    assert len(observation.rasters) == 4


def test_patches_without_any_value_are_left_out(tmp_path):
    def swath(modality, band, side):
        values = files.pixels(modality, band, side)
        values[: side // 5] = 0
        return values

    modalities = COPGEN.subset(["S2L2A_60m", "S1RTC", "DEM"])
    files.write_cell(tmp_path, modalities=modalities, values=swath)
    patches = list(cut(open_data(tmp_path, modalities=modalities).read(files.CELL), modalities))
    assert [patch.index for patch in patches if patch.images.keys() == {"DEM"}] == list(range(6))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_cell_without_georeference_is_read(tmp_path):
    modalities = TINY.subset(["location", "DEM"])
    path = files.cell_directory(tmp_path, files.CELL, "DEM")
    path.mkdir(parents=True)
    values = files.pixels(COPGEN["DEM"], "DEM", 356)
    data = files.geotiff(values, crs=None, left=0, top=0, resolution=1)
    (path / "DEM.tif").write_bytes(data)
    observation = open_data(tmp_path, modalities=modalities).read(files.CELL)
    assert observation.ground is None
    assert tally(observation.issues) == {"no georeference": 1, "no date": 1}
    patch = next(cut(observation, modalities))
    assert patch.ground is None
    assert patch.network_values(modalities, s2_offset=0).keys() == {"location", "DEM"}


def test_several_products_of_a_cell(tmp_path):
    modalities = TINY.subset(["S2L2A", "timestamp"])
    files.write_cell(tmp_path, modalities=COPGEN.subset(["S2L2A_60m"]))
    directory = files.cell_directory(tmp_path, files.CELL, "S2L2A")
    later = files.S2L2A_ID.replace("20200223", "20210223")
    (directory.parent / later).mkdir()
    for path in directory.iterdir():
        (directory.parent / later / path.name).write_bytes(path.read_bytes())
    observation = open_data(tmp_path, modalities=modalities).read(files.CELL)
    assert observation.date == np.datetime64("2020-02-23")
    assert tally(observation.issues) == {"several products": 1}
    rows = [
        {"grid_cell": files.CELL, "product_id": later, "timestamp": "2021-02-23 14:37:19"},
        {"grid_cell": files.CELL, "product_id": files.S2L2A_ID, "timestamp": "2020-02-23 14:37:19"},
    ]
    files.write_metadata(tmp_path, "Core-S2L2A", rows)
    source = open_data(tmp_path, modalities=modalities)
    assert tally(source.issues) == {"several products": 1}
    assert source.read(files.CELL).date == np.datetime64("2021-02-23")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20),
    kept=st.floats(0.1, 1),
)
def test_damage_is_never_fatal(tmp_path, flips, kept):
    """Flipped bytes and a lost end of a parquet file: every cell still comes out, whole or with an issue."""
    modalities = TINY.subset(["DEM"])
    source_file = tmp_path / "good" / "Core-DEM" / "images" / "part_00001.parquet"
    if not source_file.exists():
        files.write_parquet(tmp_path / "good", [files.CELL, files.OTHER], modalities)
        files.write_parquet(tmp_path / "bad", [files.CELL, files.OTHER], modalities)
    damaged = bytearray(source_file.read_bytes())
    for where, what in flips:
        damaged[int(where * len(damaged))] ^= what
    source = open_data(tmp_path / "bad", modalities=modalities)
    target = tmp_path / "bad" / "Core-DEM" / "images" / "part_00001.parquet"
    whole = target.read_bytes()
    target.write_bytes(damaged[: int(kept * len(damaged))])
    try:
        for observation in read_all(source):
            assert observation.rasters or observation.issues
    finally:
        target.write_bytes(whole)


def test_names_that_are_no_cells_are_told(tmp_path):
    files.write_cell(tmp_path, modalities=FEW)
    (tmp_path / "Core-DEM" / "433D" / "433D_9999L" / "id").mkdir(parents=True)
    source = open_data(tmp_path, modalities=FEW)
    assert source.names == (files.CELL,)
    assert tally(source.issues) == {"unknown cell": 1}


def test_partial_download_of_parquet(tmp_path):
    modalities = TINY.subset(["DEM"])
    files.write_parquet(tmp_path, [files.CELL], modalities)
    rows = [
        {"grid_cell": files.OTHER, "parquet_url": "https://example.org/part_00002.parquet", "parquet_row": 0},
        {"grid_cell": files.CELL, "parquet_url": "https://example.org/part_00001.parquet", "parquet_row": 0},
    ]
    files.write_metadata(tmp_path, "Core-DEM", rows)
    source = open_data(tmp_path, modalities=modalities)
    assert source.names == (files.CELL,)
    assert tally(source.issues) == {"missing": 1}
    assert "1 of 2" in report(source.issues)[0]


def test_metadata_that_points_to_the_wrong_row(tmp_path):
    modalities = TINY.subset(["DEM"])
    files.write_parquet(tmp_path, [files.CELL, files.OTHER], modalities)
    url = "https://example.org/part_00001.parquet"
    rows = [
        {"grid_cell": files.CELL, "parquet_url": url, "parquet_row": 1},
        {"grid_cell": files.OTHER, "parquet_url": url, "parquet_row": 7},
    ]
    files.write_metadata(tmp_path, "Core-DEM", rows)
    source = open_data(tmp_path, modalities=modalities)
    reasons = [source.read(name).issues[0].reason for name in (files.CELL, files.OTHER)]
    assert f"holds {files.OTHER}, expected {files.CELL} alone" in reasons[0]
    assert "has 2 row groups, the metadata names 7" in reasons[1]


def test_urls_of_the_metadata_are_never_followed(tmp_path):
    modalities = TINY.subset(["DEM"])
    files.write_parquet(tmp_path / "elsewhere", [files.CELL], modalities)
    files.write_parquet(tmp_path / "data", [files.OTHER], modalities)
    elsewhere = tmp_path / "elsewhere" / "Core-DEM" / "images" / "part_00001.parquet"
    elsewhere.rename(elsewhere.with_name("other.parquet"))
    rows = [
        {"grid_cell": files.CELL, "parquet_url": str(elsewhere.with_name("other.parquet")), "parquet_row": 0},
        {"grid_cell": files.OTHER, "parquet_url": "part_00001.parquet", "parquet_row": 0},
    ]
    files.write_metadata(tmp_path / "data", "Core-DEM", rows)
    assert open_data(tmp_path / "data", modalities=modalities).names == (files.OTHER,)


@pytest.mark.parametrize("layout", ["folders", "parquet"])
def test_cells_beyond_limits_are_left_out_and_counted(tmp_path, layout):
    modalities = TINY.subset(["DEM", "S2L2A_60m"])
    write = files.write_parquet if layout == "parquet" else lambda root, cells, kinds: [
        files.write_cell(root, cell, kinds) for cell in cells
    ]  # fmt: skip
    write(tmp_path, [files.CELL, files.OTHER], modalities)
    place = {"parquet_url": "part_00001.parquet", "timestamp": "2020-02-23 14:37:19", "nodata": 0.0}
    name = files.PRODUCT_IDS["Core-S2L2A"]
    rows = [
        {"grid_cell": files.CELL, "product_id": "cloudier", "parquet_row": 7, "cloud_cover": 80.0, **place},
        {"grid_cell": files.CELL, "product_id": name, "parquet_row": 0, "cloud_cover": 9.0, **place},
        {"grid_cell": files.OTHER, "product_id": "cloudy", "parquet_row": 1, "cloud_cover": 30.0, **place},
    ]
    files.write_metadata(tmp_path, "Core-S2L2A", rows)
    source = open_data(tmp_path, modalities=modalities, limits=Limits(cloud_cover=10, nodata=0))
    assert source.names == (files.CELL,)
    assert [(i.place, i.kind, i.reason) for i in source.issues if i.kind == "beyond limits"] == [
        (files.OTHER, "beyond limits", "cloud_cover is 30, above 10")
    ]
    assert set(source.read(files.CELL).rasters) == {"DEM", "S2L2A_60m"}
    assert open_data(tmp_path, modalities=modalities, limits=Limits(cloud_cover=30)).names == tuple(
        sorted([files.CELL, files.OTHER])
    )
    with pytest.raises(InputError, match=r"no cell within the limits.*cloud_cover is 30, above 1"):
        open_data(tmp_path, modalities=modalities, limits=Limits(cloud_cover=1))
    with pytest.raises(InputError, match=r"no metadata.* states cloud_cover"):
        open_data(tmp_path, modalities=TINY.subset(["DEM"]), limits=Limits(cloud_cover=1))


class TestRefused:
    """Input that is wrong as a whole: one sentence."""

    def test_no_such_layout(self, tmp_path):
        with pytest.raises(InputError, match="neither a Major TOM directory"):
            open_data(tmp_path)

    def test_not_a_directory(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="is not a directory"):
            open_data(tmp_path / "file")

    @pytest.mark.parametrize("path", ["/vsicurl/http://example.org/data", "https://example.org/data", "s3://bucket"])
    def test_network(self, path):
        with pytest.raises(InputError, match="not a plain local path"):
            open_data(path)

    def test_no_cells(self, tmp_path):
        (tmp_path / "Core-DEM").mkdir()
        with pytest.raises(InputError, match="holds no Major TOM cells"):
            open_data(tmp_path, modalities=TINY)

    def test_truncated_metadata(self, tmp_path):
        files.write_parquet(tmp_path, [files.CELL], TINY.subset(["DEM"]))
        path = tmp_path / "Core-DEM" / "metadata.parquet"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match="is truncated, damaged or no parquet file"):
            open_data(tmp_path, modalities=TINY)

    def test_all_parquet_truncated(self, tmp_path):
        files.write_parquet(tmp_path, [files.CELL], TINY.subset(["DEM"]), metadata=False)
        path = tmp_path / "Core-DEM" / "images" / "part_00001.parquet"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match=r"holds no Major TOM cells.*truncated, damaged or no parquet file"):
            open_data(tmp_path, modalities=TINY.subset(["DEM"]))

    @pytest.mark.parametrize("options", [{"side": 352}, {"shift": 500.0}, {"crs": "EPSG:32719"}])
    def test_mixed_grids(self, tmp_path, options):
        files.write_cell(tmp_path, modalities=FEW.subset(["S2L2A"]))
        files.write_cell(tmp_path, modalities=FEW.subset(["DEM"]), **options)
        with pytest.raises(InputError, match="mixes grids or has another one"):
            open_data(tmp_path, modalities=FEW)

    def test_thumbnails_have_no_ground(self, folder):
        modalities = COPGEN.replace("DEM", resolution=None)
        with pytest.raises(InputError, match="no resolution in metres"):
            open_data(folder, modalities=modalities)


class TestOffsets:
    """Where the Sentinel-2 offset comes from."""

    S2 = COPGEN.subset(["S2L2A_60m"])

    def write(self, root, product_id, **profile):
        directory = files.cell_directory(root, files.CELL, "S2L2A").parent / product_id
        directory.mkdir(parents=True)
        for name, data in files.cell_files(files.CELL, self.S2["S2L2A_60m"]).items():
            (directory / f"{name}.tif").write_bytes(data)
        return directory

    @pytest.mark.parametrize(("baseline", "offset"), [("N0214", 0), ("N0301", 0), ("N0400", 1000), ("N0510", 1000)])
    def test_baseline(self, tmp_path, baseline, offset):
        self.write(tmp_path, files.S2L2A_ID.replace("N0500", baseline))
        assert open_data(tmp_path, modalities=self.S2).read(files.CELL).s2_offsets == {"S2L2A": offset}

    def test_unknown(self, tmp_path):
        self.write(tmp_path, files.S2L2A_ID.replace("N0500", "N9999"))
        with pytest.raises(InputError, match="--s2-offset S2L2A=1000 or --s2-offset S2L2A=0"):
            open_data(tmp_path, modalities=self.S2)

    @pytest.mark.parametrize(
        "stated", [37, {"S2L2A": 37}, {"S2L2A": 0, files.CELL: 37}, {files.CELL: 0, f"{files.CELL}/S2L2A": 37}]
    )
    def test_stated(self, tmp_path, stated):
        self.write(tmp_path, files.S2L2A_ID)
        source = open_data(tmp_path, modalities=self.S2, s2_offset=stated)
        assert source.read(files.CELL).s2_offsets == {"S2L2A": 37}

    def test_stated_of_nothing(self, tmp_path):
        self.write(tmp_path, files.S2L2A_ID)
        with pytest.raises(InputError, match="did you mean S2L2A"):
            open_data(tmp_path, modalities=self.S2, s2_offset={"S2L2": 0})

    def test_tags_of_the_raster(self, tmp_path):
        directory = self.write(tmp_path, files.S2L2A_ID)
        for path in directory.iterdir():
            with rasterio.open(path, "r+") as dataset:
                dataset.scales, dataset.offsets = (1e-4,), (-0.02,)
        assert open_data(tmp_path, modalities=self.S2).read(files.CELL).s2_offsets == {"S2L2A": 200}


def test_ground_is_where_the_files_say(folder):
    ground = open_data(folder).read(files.CELL).ground
    assert isinstance(ground, Ground)
    assert np.abs(np.subtract(ground.centre, cell_named(files.CELL).centre)).max() < 0.001

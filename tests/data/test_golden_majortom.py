"""Places, cuts, filters and dates of Major TOM cells against the original's."""

import golden_vectors
import majortom_files as files
import numpy as np
import pytest

from copgen_jax import units
from copgen_jax.data.majortom import cut, cutting, open_data
from copgen_jax.data.majortom.dates import days_between, mean_date, parse_time
from copgen_jax.data.majortom.grid import cell_named
from copgen_jax.modalities import COPGEN

PATCHES = [golden_vectors.load_json(path) for path in golden_vectors.present("prepost/patches.json")]


def golden_cells():
    for path in golden_vectors.present("prepost/grid.npz"):
        vectors = dict(np.load(golden_vectors.ROOT / path))
        for i, name in enumerate(vectors["cells"]):
            yield pytest.param({k: v[i] for k, v in vectors.items()}, id=str(name))


def degrees_apart(a, b):
    difference = np.abs(np.asarray(a, np.float64) - b)
    difference[..., 1] = np.abs((difference[..., 1] + 180.0) % 360.0 - 180.0)
    return difference.max()


@pytest.mark.parametrize("vectors", list(golden_cells()))
def test_places_as_published(vectors):
    cell = cell_named(str(vectors["cells"]))
    assert cell.columns == vectors["row_n_cols"]
    np.testing.assert_allclose(cell.south, vectors["row_lat_bottom"], atol=1e-9)
    np.testing.assert_allclose(cell.west, vectors["lon_left"], atol=1e-9)
    side = len(vectors["patch_latlon"])
    places = cell.patch_places(side)
    assert degrees_apart(cell.centre, vectors["cell_latlon"]) < 1e-5
    assert degrees_apart(places, vectors["patch_latlon"]) < 1e-5
    np.testing.assert_allclose(units.position_to_network(cell.centre), vectors["cell_xyz"], atol=1e-6)
    np.testing.assert_allclose(units.position_to_network(places), vectors["patch_xyz"], atol=1e-6)


def published_offsets():
    for patches in PATCHES:
        for case in patches["cases"]:
            if case["satellite"] != "S1RTC" and "keys" in case:
                name = f"{case['satellite']}-{case['bands'][0]}-{case['raster_side']}"
                yield pytest.param(case, patches["patches_per_side"], id=name)


@pytest.mark.parametrize(("case", "per_side"), list(published_offsets()))
def test_offsets_as_published(case, per_side):
    offsets = cutting.patch_offsets(case["raster_side"], case["patch"])
    assert len(offsets) == per_side
    assert [top for top in offsets for _ in offsets] == case["top"]
    assert list(offsets) * per_side == case["left"]
    cell = case["keys"][0].removesuffix("_patch_0")
    assert [cutting.patch_key(cell, i) for i in range(per_side**2)] == case["keys"]


@pytest.mark.parametrize("patches", PATCHES)
def test_central_windows_as_published(patches):
    for resolution, offset in patches["center_crop_offset"].items():
        metres = int(resolution.removesuffix("m"))
        assert cutting.central_offset(cutting.CELL_EXTENT // metres, 1920 // metres) == offset


def published_cuts():
    for patches in PATCHES:
        for case in patches["cases"]:
            bands = {band.upper() if band in ("vv", "vh") else band for band in case["bands"]}
            products = (case["satellite"], *case["bands"])
            (modality,) = (m for m in COPGEN.images if set(m.bands) == bands and m.product in products)
            yield pytest.param(modality, case, id=f"{modality.name}-{case['raster_side']}")


@pytest.mark.parametrize(("modality", "case"), list(published_cuts()))
def test_patches_start_where_the_original_cuts(tmp_path, modality, case):
    """Rasters of every published size, with row and column in their values, cut as in the original's own run."""
    changes = {"encoding": "height", "codes": (), "classes": (), "pixels": case["patch"]}
    modalities = COPGEN.subset([modality.name]).replace(modality.name, **changes)

    def numbers(_, band, side):
        rows, columns = np.mgrid[:side, :side]
        return (rows * 2048 + columns + 1).astype(np.float32)

    cell = case["keys"][0].partition("_patch_")[0] if "keys" in case else files.CELL
    files.write_cell(tmp_path, cell, modalities, side=case["raster_side"], values=numbers)
    observation = open_data(tmp_path, modalities=modalities).read(cell)
    patches = [patch for patch in cut(observation, modalities) if patch.images]
    if "keys" not in case:
        assert patches == []
        assert [issue.kind for issue in observation.issues if issue.where == modality.name] == ["wrong size"]
        return
    assert [patch.name for patch in patches] == case["keys"]
    first = [int(patch.images[modality.name][0, 0, 0]) - 1 for patch in patches]
    assert [divmod(value, 2048) for value in first] == list(zip(case["top"], case["left"], strict=True))
    assert {patch.images[modality.name].shape[:2] for patch in patches} == {(case["patch"], case["patch"])}


@pytest.mark.parametrize("rule", [rule for patches in PATCHES for rule in patches["lulc_zero_filter"]])
def test_unknown_land_cover_as_published(tmp_path, rule):
    def unknown(modality, band, side):
        values = files.pixels(modality, band, side)
        window = values[:192, :192].copy()
        window.flat[: rule["zero_pixels"]] = 0
        values[:192, :192] = window
        return values

    land_cover = COPGEN.subset(["LULC"])
    assert rule["of"] == COPGEN["LULC"].pixels ** 2
    files.write_cell(tmp_path, modalities=land_cover, values=unknown)
    patch = next(cut(open_data(tmp_path, modalities=land_cover).read(files.CELL), land_cover))
    assert ("LULC" in patch.images) == rule["kept"]


def published_dates():
    for path in golden_vectors.present("prepost/mean_timestamps.json"):
        for row in golden_vectors.load_json(path)["rows"]:
            yield pytest.param(row, id=row["cell"])


@pytest.mark.parametrize("row", list(published_dates()))
def test_dates_as_published(row):
    s1, s2 = ([parse_time(text) for text in row[key]] for key in ("s1", "s2"))
    np.testing.assert_allclose(units.date_to_network(mean_date(s1, s2)), row["net"], atol=1e-6)
    assert days_between(s1[0], s2[0]) == row["abs_diff_days"]

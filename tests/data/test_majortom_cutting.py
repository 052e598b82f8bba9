"""Offsets, keys and central windows against the original's reader."""

import golden_vectors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.data.majortom import cutting
from copgen_jax.modalities import COPGEN, DEMO

PATCHES = [golden_vectors.load_json(path) for path in golden_vectors.present("prepost/patches.json")]


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


@pytest.mark.parametrize("modalities", [COPGEN, DEMO], ids=["published", "demo"])
def test_all_grids_are_cut_on_the_same_ground(modalities):
    def metres(modality):
        pixels = round(cutting.CELL_EXTENT / modality.resolution)
        offsets = (*cutting.patch_offsets(pixels, modality.pixels), cutting.central_offset(pixels, modality.pixels))
        return [offset * modality.resolution for offset in offsets]

    assert len({tuple(metres(modality)) for modality in modalities.images}) == 1


@given(st.integers(1, 500), st.integers(1, 500))
def test_patches_cover_the_raster(pixels, patch):
    patch = min(patch, pixels)
    covered = {pixel for start in cutting.patch_offsets(pixels, patch) for pixel in range(start, start + patch)}
    assert covered == set(range(pixels))
    starts = cutting.whole_offsets(pixels, patch)
    assert len(starts) == pixels // patch
    assert all(start + patch <= pixels for start in starts)

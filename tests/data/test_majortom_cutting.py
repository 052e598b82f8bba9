"""Offsets, keys and central windows against the original's reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copgen_jax.data.majortom import cutting
from copgen_jax.modalities import COPGEN, DEMO


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

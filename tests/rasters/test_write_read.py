"""What was written is read back as an input: the same units, offset, ground and values."""

import numpy as np
import pytest
import xarray as xr
from drawn_samples import GROUNDS, draw_samples

from copgen_jax.modalities import DEMO
from copgen_jax.rasters.given.reading import read_given
from copgen_jax.rasters.outputs.layout import layout
from copgen_jax.rasters.outputs.write import OutputOptions, open_outputs

IMAGES = DEMO.subset([modality.name for modality in DEMO.images])
CONDITIONS = {"S2L1C": "S2A_MSIL1C_20230610T103031_N0509_R108_T32TQM_20230610T141301.SAFE/stack.tif"}


@pytest.fixture(scope="module", params=["zone 17 south", "zone 60, across the date line"])
def written(request, tmp_path_factory):
    samples = draw_samples(IMAGES, ground=GROUNDS[request.param], members=[3], time=np.datetime64("2023-06-10"))
    land_cover = samples["LULC"].values
    land_cover[land_cover == 0] = 1
    out = tmp_path_factory.mktemp("out")
    with open_outputs(
        out,
        place="somewhere",
        modalities=IMAGES,
        ground=GROUNDS[request.param],
        provenance={"model_hash": "0123abcd", "conditions": CONDITIONS},
        options=OutputOptions(zarr=True, statistics=False, pictures=False),
    ) as outputs:
        outputs.write(samples)
    return samples, layout(out, "somewhere")


def check(found, samples, *, exact):
    assert len(found) == 1
    place = found[0]
    assert place.ground == samples.ground
    assert place.offsets == {"S2L1C": 0, "S2L2A": 0}
    for modality in IMAGES:
        values = np.moveaxis(place.values[modality.name], -1, 0)
        expected = samples[modality.name].values[0]
        if modality.encoding == "reflectance":
            np.testing.assert_allclose(values, expected * 1e4, atol=0.01 if exact else 0.51)
        else:
            np.testing.assert_array_equal(values, expected)


def test_files_are_inputs(written):
    samples, paths = written
    given = {}
    for modality in IMAGES:
        given.setdefault(modality.product, []).append(str(paths.member(modality.name, 3)))
    check(read_given(given, DEMO), samples, exact=False)


def test_arrays_of_the_store_are_inputs(written):
    samples, paths = written
    tree = xr.open_datatree(paths.samples, engine="zarr")
    given = {}
    for modality in IMAGES:
        given.setdefault(modality.product, []).append(tree[f"{modality.name}/{modality.name}"].isel(member=0))
    check(read_given(given, DEMO), samples, exact=True)


def test_samples_are_inputs(written):
    samples, _ = written
    given = {}
    for modality in IMAGES:
        given.setdefault(modality.product, []).append(samples[modality.name].sel(member=3))
    check(read_given(given, DEMO), samples, exact=True)

"""Units against the vectors made by running the original's preprocessing and postprocessing."""

import golden_vectors
import jax
import numpy as np
import pytest

from copgen_jax import units
from copgen_jax.modalities import COPGEN

BY_KEY = {m.published_key: m for m in COPGEN}
TOLERANCES = {
    "reflectance": {"rtol": 1e-5, "atol": 2e-3},
    "power": {"rtol": 2e-4, "atol": 0.0},
    "height": {"rtol": 2e-4, "atol": 2e-6},
    "classes": {"rtol": 0.0, "atol": 0.0},
}
"""Of physical values, as the README states them."""


def archives(name):
    return [dict(np.load(golden_vectors.ROOT / path)) for path in golden_vectors.present(f"prepost/{name}.npz")]


def image_cases(array):
    return [
        pytest.param(BY_KEY[key.split("|")[0]], vectors, id=key)
        for vectors in archives("images")
        for key in vectors
        if key.split("|")[1] == array
    ]


def last(array):
    """Channel-first to channel-last."""
    return np.moveaxis(array, -3, -1)


def of(vectors, modality, array):
    return last(vectors[f"{modality.published_key}|{array}"])


KINDS = pytest.mark.parametrize("kind", [np.asarray, jax.numpy.asarray], ids=["numpy", "jax"])


@KINDS
@pytest.mark.parametrize(("modality", "vectors"), image_cases("net"))
def test_physical_to_network(modality, vectors, kind):
    network = units.to_network(modality, kind(of(vectors, modality, "raw")))
    assert network.dtype == np.float32
    np.testing.assert_allclose(network, of(vectors, modality, "net"), rtol=1e-5, atol=1e-6)


@KINDS
@pytest.mark.parametrize(("modality", "vectors"), image_cases("phys"))
def test_network_to_physical(modality, vectors, kind):
    physical = units.to_physical(modality, kind(of(vectors, modality, "gen")))
    np.testing.assert_allclose(physical, of(vectors, modality, "phys"), **TOLERANCES[modality.encoding])


@pytest.mark.parametrize(("modality", "vectors"), image_cases("roundtrip"))
def test_round_trip(modality, vectors):
    network = units.to_network(modality, of(vectors, modality, "raw"))
    expected = of(vectors, modality, "roundtrip")
    np.testing.assert_allclose(units.to_physical(modality, network), expected, **TOLERANCES[modality.encoding])


def scalar_cases(*arrays):
    return [pytest.param(vectors, id="scalars") for vectors in archives("scalars") if all(a in vectors for a in arrays)]


@pytest.mark.parametrize("vectors", scalar_cases("latlon_deg"))
def test_places_to_network(vectors):
    degrees = vectors["latlon_deg"]
    np.testing.assert_allclose(units.position_to_network(degrees), vectors["latlon_net"][:, 0, 0], atol=1e-6)
    single = units.position_to_network(degrees.astype(np.float32))
    np.testing.assert_allclose(single, vectors["latlon_net_from_f32"][:, 0, 0], atol=1e-6)


def assert_same_places(degrees, expected, z):
    tolerance = np.where(np.abs(z) > 0.99, 2e-2, 1e-3)
    assert np.all(np.abs(degrees[..., 0] - expected[..., 0]) < tolerance)
    turn = (degrees[..., 1] - expected[..., 1] + 180.0) % 360.0 - 180.0
    assert np.all(np.abs(turn) < 1e-3)


@pytest.mark.parametrize("vectors", scalar_cases("xyz_gen", "xyz_phys_latlon_deg"))
def test_vectors_to_places(vectors):
    xyz = vectors["xyz_gen"][:, 0, 0]
    assert_same_places(units.position_to_physical(xyz), vectors["xyz_phys_latlon_deg"][:, 0, 0], xyz[:, 2])


@pytest.mark.parametrize("vectors", scalar_cases("latlon_roundtrip"))
def test_places_round_trip(vectors):
    xyz = units.position_to_network(vectors["latlon_deg"])
    assert_same_places(units.position_to_physical(xyz), vectors["latlon_roundtrip"][:, 0, 0], xyz[:, 2])


def dates_of(numbers, order):
    """datetime64[D] of integer columns in the order "ymd" or "dmy"."""
    columns = dict(zip(order, np.moveaxis(numbers.reshape(-1, 3), -1, 0), strict=True))
    texts = [f"{y:04d}-{m:02d}-{d:02d}" for y, m, d in zip(columns["y"], columns["m"], columns["d"], strict=True)]
    return np.asarray(texts, "datetime64[D]")


@pytest.mark.parametrize("vectors", scalar_cases("dates_ymd"))
def test_dates_to_network(vectors):
    dates = dates_of(vectors["dates_ymd"], "ymd")
    np.testing.assert_allclose(units.date_to_network(dates), vectors["date_net"][:, 0, 0], atol=1e-6)
    back = units.date_to_physical(vectors["date_net"][:, 0, 0])
    np.testing.assert_array_equal(back, dates_of(vectors["date_roundtrip_dmy"], "dmy"))


@pytest.mark.parametrize("vectors", scalar_cases("unix_ts"))
def test_time_stamps_to_network(vectors):
    stamps = np.floor(vectors["unix_ts"]).astype("datetime64[s]")
    np.testing.assert_allclose(units.date_to_network(stamps), vectors["unix_ts_net_utc"][:, 0, 0], atol=1e-6)


@pytest.mark.parametrize("vectors", scalar_cases("date_gen"))
def test_vectors_to_dates(vectors):
    dates = units.date_to_physical(vectors["date_gen"][:, 0, 0])
    np.testing.assert_array_equal(dates, dates_of(vectors["date_phys_dmy"], "dmy"))

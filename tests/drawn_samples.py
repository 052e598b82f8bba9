"""Samples with made-up values, for tests of what is written from them."""

from collections.abc import Sequence

import numpy as np

from copgen_jax.modalities import DEMO, ModalitySet
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.samples import Samples, build_samples

PROVENANCE = {"model_hash": "0123abcd", "seed": 7, "conditions": {"DEM": "dem.tif"}, "guidance_scale": 1.5}

GROUNDS = {
    "zone 33 north": Ground("EPSG:32633", 600_000.0, 4_500_000.0, 960.0),
    "zone 17 south": Ground("EPSG:32717", 499_980.0, 9_700_020.0, 960.0),
    "zone 60, across the date line": Ground("EPSG:32760", 832_500.0, 8_000_000.0, 960.0),
    "zone 1, next to the date line": Ground("EPSG:32601", 166_021.5, 7_000_000.0, 960.0),
}


def draw_arrays(modalities: ModalitySet, members: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
    """Physical arrays; each member's values depend on its number alone."""
    rows = [
        {
            modality.name: _draw(modality, np.random.default_rng((seed, member, i)))
            for i, modality in enumerate(modalities)
        }
        for member in members
    ]
    return {modality.name: np.stack([row[modality.name] for row in rows]) for modality in modalities}


def draw_samples(
    modalities: ModalitySet = DEMO,
    *,
    ground: Ground | None = GROUNDS["zone 33 north"],
    members: Sequence[int] = (0, 1, 2),
    seed: int = 0,
    **more,
) -> Samples:
    return build_samples(
        draw_arrays(modalities, members, seed),
        modalities=modalities,
        ground=ground,
        members=members,
        provenance=PROVENANCE,
        **more,
    )


def _draw(modality, random: np.random.Generator) -> np.ndarray:
    if modality.encoding == "position":
        return np.asarray([random.uniform(-80, 80), random.uniform(-180, 180)])
    if modality.encoding == "date":
        return np.datetime64("2020-01-01") + random.integers(0, 1000)
    shape = (modality.pixels, modality.pixels, len(modality.bands))
    if modality.encoding == "classes":
        return random.choice(np.asarray(modality.codes, np.int32), shape)
    scale = {"reflectance": 0.3, "power": 0.1, "height": 500.0, "colour": 200.0}[modality.encoding]
    values = random.normal(0.5 * scale, 0.3 * scale, shape)
    return (values if modality.encoding == "reflectance" else np.abs(values)).astype(np.float32)

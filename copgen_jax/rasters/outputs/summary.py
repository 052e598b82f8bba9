"""Statistics over the members of a place as files: a COG per modality and statistic, and `summary.json`."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.files import file_aside
from copgen_jax.modalities import Modality
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.cog import Raster, write_cog
from copgen_jax.rasters.outputs.imagefile import placed
from copgen_jax.rasters.outputs.pixelformat import pixel_format, statistic_format
from copgen_jax.rasters.pictures.classcolours import class_colours


def write_statistic(
    path: Path,
    values: np.ndarray,
    statistic: str,
    modality: Modality,
    ground: Ground | None,
    *,
    members: int,
    tags: Mapping[str, str],
) -> None:
    """Write one statistic (band, y, x) over `members` members of a modality as a COG.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    is_code = statistic == "mode"
    classes = dict(zip(modality.codes, modality.classes, strict=True)) if is_code else None
    format = pixel_format(modality) if is_code else statistic_format(modality)
    about = {"modality": modality.name, "product": modality.product, "statistic": statistic, "members": str(members)}
    raster = Raster(
        values=values,
        bands=modality.classes if statistic == "probability" else modality.bands,
        colours=class_colours(modality) if classes else None,
        classes=classes,
        **placed(modality, ground, format, {**tags, **about}),
    )
    write_cog(path, raster)


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the statistics of places and dates as JSON; what is undefined becomes null.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    with file_aside(path) as aside:
        aside.write_text(json.dumps(_finite(summary), indent=1) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

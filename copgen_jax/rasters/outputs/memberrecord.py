"""Which members of a place are complete, as GeoJSON: where and when each was drawn, and how all of them were.

A feature per member; its geometry is the drawn location (null where none was wanted), so that the file opens as a layer
of points. Rewritten whole, aside and renamed, after every chunk.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError
from copgen_jax.files import file_aside
from copgen_jax.rasters.samples import Samples

_KEY = "copgen"


def is_record(path: Path) -> bool:
    """Whether there is a record of this program at `path`, so that the directory may be replaced."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and isinstance(record.get(_KEY), dict)


def read_record(path: Path, description: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Features by member number; none where there is no file.

    Raises:
        InputError: not such a file, or its members were drawn otherwise than `description` says.
    """
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        before = record[_KEY]
        features = {int(feature["properties"]["member"]): feature for feature in record["features"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no record of this program or damaged; choose another place") from error
    now = json.loads(json.dumps(description))
    different = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if different:
        key = different[0]
        raise InputError(
            f"{path.parent} was drawn with {key} {before.get(key)!r}, this run has {now.get(key)!r}; "
            "choose another place or pass --overwrite"
        )
    return features


def write_record(path: Path, features: Mapping[int, Mapping[str, Any]], description: Mapping[str, Any]) -> None:
    """Replace the record.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    record = {
        "type": "FeatureCollection",
        _KEY: dict(description),
        "features": [features[member] for member in sorted(features)],
    }
    with file_aside(path) as aside:
        aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def feature(samples: Samples, member: int) -> dict[str, Any]:
    """What the record keeps of one member."""
    properties: dict[str, Any] = {"member": member, "synthetic": True}
    geometry = None
    for modality in samples.modalities.vectors:
        values = samples[modality.name].sel(member=member).values
        if modality.encoding == "date":
            properties[modality.name] = str(values.astype("datetime64[D]"))
        else:
            latitude, longitude = (float(value) for value in values)
            properties |= {"latitude": latitude, "longitude": longitude}
            geometry = {"type": "Point", "coordinates": [longitude, latitude]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}

"""What is made of a place's members once they are there: statistics, pictures and the STAC item."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copgen_jax.files import file_aside
from copgen_jax.modalities import ModalitySet
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.layout import Layout
from copgen_jax.rasters.outputs.stac import RasterFile, stac_item
from copgen_jax.rasters.outputs.statistics import Members, date_statistics, image_statistics, place_statistics
from copgen_jax.rasters.outputs.summary import write_statistic, write_summary
from copgen_jax.rasters.pictures.canvas import save_png
from copgen_jax.rasters.pictures.quicklook import Row, contact_sheet, image_quicklook, spread_quicklook
from copgen_jax.rasters.pictures.rendering import height_range
from copgen_jax.rasters.samples import Samples

SHOWN = 4
"""Members on the contact sheet and in single pictures."""

Statistics = Mapping[str, Mapping[str, np.ndarray]]
"""By modality and statistic."""


def write_overview(
    source: Members,
    paths: Layout,
    *,
    modalities: ModalitySet,
    ground: Ground | None,
    attributes: Mapping[str, Any],
    features: Sequence[Mapping[str, Any]],
    given: Samples | None,
    quantiles: Sequence[float] | None,
    pictures: bool,
) -> None:
    """Write everything that is derived from complete members.

    Args:
        source: the members.
        paths: where files go.
        modalities: those of the members.
        ground: where the place lies.
        attributes: provenance, flat.
        features: the members' GeoJSON features: drawn places and dates.
        given: what the samples were conditioned on.
        quantiles: those of the statistics; None for no statistics files.
        pictures: whether pictures are drawn.

    Raises:
        InputError: the disk is full, or the place cannot be written to.
    """
    tags = {key: str(value) for key, value in attributes.items()}
    statistics: dict[str, dict[str, np.ndarray]] = {}
    if len(source.members) > 1 and (quantiles is not None or pictures):
        statistics = {m.name: image_statistics(source, m, quantiles=quantiles or ()) for m in modalities.images}
    if statistics and quantiles is not None:
        for modality in modalities.images:
            for name, values in statistics[modality.name].items():
                path = paths.statistic(modality.name, name)
                write_statistic(path, values, name, modality, ground, members=len(source.members), tags=tags)
        vectors = _vector_statistics(modalities, features)
        if vectors:
            write_summary(paths.summary, {"members": len(source.members), **vectors})
    if pictures:
        _draw(source, paths.quicklooks, paths.directory.name, modalities, statistics, given, tags)
    _write_item(source, paths, modalities, ground, attributes, features, given, statistics)


def _vector_statistics(modalities: ModalitySet, features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for modality in modalities.vectors:
        drawn = [feature["properties"] for feature in features]
        if modality.encoding == "date":
            found[modality.name] = date_statistics(np.asarray([d[modality.name] for d in drawn], "datetime64[D]"))
        else:
            found[modality.name] = place_statistics(np.asarray([(d["latitude"], d["longitude"]) for d in drawn]))
    return found


def _draw(
    source: Members,
    folder: Path,
    place: str,
    modalities: ModalitySet,
    statistics: Statistics,
    given: Samples | None,
    tags: Mapping[str, str],
) -> None:
    """Single pictures of the first members, of mean and spread, and the contact sheet."""
    rows = []
    origin = _origin(tags)
    for modality in modalities.images:
        members = {member: source.read(modality.name, member) for member in source.members[:SHOWN]}
        found = dict(statistics.get(modality.name, {}))
        rows.append(Row(modality=modality, members=members, statistics=found))
        heights = height_range(np.stack(list(members.values()))) if modality.encoding == "height" else None
        images = {f"member_{member:03d}": (f"member {member}", values) for member, values in members.items()}
        if found:
            centre = "mode" if modality.encoding == "classes" else "mean"
            images[centre] = (f"{centre} of {len(source.members)} members", found[centre])
            spread = spread_quicklook(found, modality, footer=origin)
            save_png(folder / f"{modality.name}_spread.png", spread, tags)
        for name, (caption, values) in images.items():
            image = image_quicklook(values, modality, caption=caption, footer=origin, heights=heights)
            save_png(folder / f"{modality.name}_{name}.png", image, tags)
    shown = {m: given.read(m.name, given.members[0]) for m in given.modalities.images} if given else {}
    if rows or shown:
        count = len(source.members)
        heading = f"{place}: {count} synthetic member{'s' * (count > 1)}"
        sheet = contact_sheet(rows, given=shown, heading=heading, notes=[*_given_vectors(given), origin])
        save_png(folder / "contact_sheet.png", sheet, tags)


def _origin(tags: Mapping[str, str]) -> str:
    """One sentence for the foot of every picture."""
    shown = ("drawn_by", "model_hash", "seed", "conditions")
    parts = [f"{key.replace('_', ' ')} {tags[key][:160]}" for key in shown if key in tags]
    return ", ".join(["Synthetic data, not an observation", *parts])


def _given_vectors(given: Samples | None) -> list[str]:
    """Given place and date, in words."""
    if given is None:
        return []
    parts = []
    for modality in given.modalities.vectors:
        value = given[modality.name].values[0]
        if modality.encoding == "date":
            parts.append(f"date {value.astype('datetime64[D]')}")
        else:
            parts.append(f"location {value[0]:.4f}, {value[1]:.4f}")
    return [f"Given: {', '.join(parts)}"] if parts else []


def _write_item(
    source: Members,
    paths: Layout,
    modalities: ModalitySet,
    ground: Ground | None,
    attributes: Mapping[str, Any],
    features: Sequence[Mapping[str, Any]],
    given: Samples | None,
    statistics: Statistics,
) -> None:
    rasters = {}
    for modality in modalities.images:
        files = {paths.member(modality.name, member): None for member in source.members}
        files |= {paths.statistic(modality.name, name): name for name in statistics.get(modality.name, {})}
        for path, statistic in files.items():
            if path.exists():
                rasters[path.stem] = RasterFile(path.relative_to(paths.directory).as_posix(), modality, statistic)
    dates, meaning = _dates(modalities, features, given)
    item = stac_item(
        paths.directory.name,
        ground=ground,
        modalities=modalities,
        rasters=rasters,
        others=_other_assets(paths),
        properties={**attributes, "members": len(source.members), "dates": meaning},
        dates=dates,
    )
    with file_aside(paths.item) as aside:
        aside.write_text(json.dumps(item, indent=1) + "\n", encoding="utf-8")


def _dates(
    modalities: ModalitySet, features: Sequence[Mapping[str, Any]], given: Samples | None
) -> tuple[tuple[str, str], str]:
    """First and last day for the item, and what they are."""
    for modality in modalities.vectors:
        if modality.encoding == "date":
            days = sorted(feature["properties"][modality.name] for feature in features)
            return (days[0], days[-1]), "drawn"
    dated = [m for m in given.modalities.vectors if m.encoding == "date"] if given else []
    if given and dated:
        day = str(given[dated[0].name].values[0].astype("datetime64[D]"))
        return (day, day), "given"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (today, today), "day of the run; the samples have no date"


def _other_assets(paths: Layout) -> dict[str, dict[str, Any]]:
    known = {
        "members": (paths.record, "application/geo+json", ["metadata"], "members: place, date and provenance"),
        "summary": (paths.summary, "application/json", ["metadata"], "statistics of drawn places and dates"),
        "quicklook": (paths.quicklooks / "contact_sheet.png", "image/png", ["overview"], "contact sheet"),
    }
    return {
        key: {
            "href": path.relative_to(paths.directory).as_posix(),
            "type": kind,
            "roles": roles,
            "title": text,
        }
        for key, (path, kind, roles, text) in known.items()
        if path.exists()
    }

"""What a generator returns: the samples of one place, as labelled arrays on their own grids.

Dimensions are (member, band, y, x) for images, (member, coordinate) for the location and (member,) for the date. Values
are physical: reflectance with the DN offset removed, linear gamma0 power, metres, class codes, degrees, dates.
Coordinates follow the CF conventions: pixel centres x and y, and a scalar `spatial_ref` with the CRS and GeoTransform.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from copgen_jax.errors import suggestion
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.rasters.ground import Ground
from copgen_jax.rasters.outputs.pixelformat import long_name, pixel_format

GRID_MAPPING = "spatial_ref"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Samples(Mapping[str, xr.DataArray]):
    """Members of one place: a mapping {modality name: DataArray}."""

    arrays: Mapping[str, xr.DataArray]
    modalities: ModalitySet
    """The modalities of `arrays`, in network order."""
    ground: Ground | None
    """Where the place is; None where the inputs carried no georeference."""
    provenance: Mapping[str, Any]
    """How the samples were drawn: model hash, conditions, seed, ..."""

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.arrays:
            raise KeyError(f"no samples of {name!r}: {suggestion(name, self.arrays)}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in self.items())
        return f"Samples({len(self.members)} members at {self.place_id}: {shapes})"

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Numbers of the members, in the order of the arrays."""
        first = next(iter(self.arrays.values()))
        return tuple(int(member) for member in first.coords["member"].values)

    @property
    def place_id(self) -> str:
        """Name of the place: CRS and corner, or that it is unknown."""
        return self.ground.place_id if self.ground else "an unknown place"

    def select(self, members: Sequence[int]) -> "Samples":
        """The same samples with only these member numbers, in this order."""
        arrays = {name: array.sel(member=list(members)) for name, array in self.items()}
        return dataclasses.replace(self, arrays=arrays)

    def read(self, name: str, member: int, rows: slice = slice(None)) -> np.ndarray:
        """Values (band, y, x) of one member of an image modality, or only its rows `rows`."""
        return self[name].values[self.members.index(member), :, rows]

    def to_datatree(self) -> xr.DataTree:
        """One node per modality (three grids do not fit one Dataset), each with one variable of the same name."""
        nodes = {name: array.to_dataset(name=name) for name, array in self.items()}
        root = xr.Dataset(attrs=attributes_of(self.provenance))
        return xr.DataTree.from_dict({"/": root, **nodes})


def build_samples(
    arrays: Mapping[str, Any],
    *,
    modalities: ModalitySet,
    ground: Ground | None,
    members: Sequence[int],
    provenance: Mapping[str, Any],
    time: np.datetime64 | None = None,
    synthetic: bool = True,
) -> Samples:
    """Label physical arrays with coordinates, units, place and provenance.

    Args:
        arrays: by modality name: images (member, H, W, C) with one channel per band (class codes: one channel),
            location (member, 2) as latitude and longitude in degrees, timestamp (member,) dates. Any subset.
        modalities: the model's set; names, bands and resolutions come from it.
        ground: where the square lies; None gives pixel coordinates and no CRS.
        members: the members' numbers, one per row.
        provenance: plain data on how the samples were drawn: `model_hash`, `conditions`, `seed`, whatever else is
            worth keeping. It becomes attributes and file tags; what is not a scalar is written as JSON.
        time: the date of the place where it was given; becomes a scalar coordinate.
        synthetic: False only for observations (given images shown beside samples).
    """
    unknown = sorted(set(arrays) - set(modalities.names))
    if unknown:
        raise ValueError(f"{unknown[0]} is not among the modalities {', '.join(modalities.names)}")
    chosen = ModalitySet(tuple(m for m in modalities if m.name in arrays))
    attributes = {"synthetic": "true" if synthetic else "false", **attributes_of(provenance)}
    labelled = {}
    for modality in chosen:
        values = np.asarray(arrays[modality.name])
        if len(values) != len(members):
            raise ValueError(f"{modality.name} has {len(values)} members, expected {len(members)}")
        array = _label_image(values, modality, ground) if modality.is_image else _label_vector(values, modality)
        array = array.assign_coords(member=np.asarray(members, np.int64))
        if time is not None:
            array = array.assign_coords(time=time.astype("datetime64[D]").astype("datetime64[s]"))
        array.attrs = {"long_name": long_name(modality), **array.attrs, "product": modality.product, **attributes}
        labelled[modality.name] = array
    return Samples(arrays=labelled, modalities=chosen, ground=ground, provenance=dict(provenance))


def concatenate(chunks: Sequence[Samples]) -> Samples:
    """Chunks of members of one place as one; the first says what all share."""
    first = chunks[0]
    arrays = {
        name: xr.concat([chunk[name] for chunk in chunks], dim="member", coords="minimal", compat="override")
        for name in first
    }
    return dataclasses.replace(first, arrays=arrays)


def attributes_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance as flat attributes: strings and numbers stay, booleans and whatever is nested become JSON."""
    plain = (str, int, float)
    return {
        key: value if isinstance(value, plain) and not isinstance(value, bool) else json.dumps(value, sort_keys=True)
        for key, value in provenance.items()
        if value is not None
    }


def resolution_of(modality: Modality, ground: Ground) -> float:
    """Pixel size in metres of a modality on this ground."""
    if modality.pixels is None:
        raise TypeError(f"{modality.name} is a vector and has no pixels")
    return ground.extent / modality.pixels


def _label_image(values: np.ndarray, modality: Modality, ground: Ground | None) -> xr.DataArray:
    """(member, H, W, C) physical values as (member, band, y, x)."""
    dtype = np.uint8 if modality.encoding == "classes" else np.float32
    _, height, width, bands = values.shape
    if (height, width) != (modality.pixels, modality.pixels) or bands != len(modality.bands):
        raise ValueError(
            f"{modality.name} has {height} x {width} pixels and {bands} bands; expected {modality.pixels} x "
            f"{modality.pixels} and {len(modality.bands)}"
        )
    coords: dict[str, Any] = {"band": np.asarray(modality.bands)}
    if ground is None:
        coords |= {"y": np.arange(height) + 0.5, "x": np.arange(width) + 0.5}
    else:
        x, y = ground.coordinates(resolution_of(modality, ground))
        for axis, centres in (("y", y), ("x", x)):
            names = {"units": "m", "standard_name": f"projection_{axis}_coordinate", "axis": axis.upper()}
            coords[axis] = (axis, centres, names)
        coords[GRID_MAPPING] = ((), np.int64(0), _grid_mapping(modality, ground))
    array = xr.DataArray(
        np.ascontiguousarray(np.moveaxis(values, -1, 1), dtype), dims=("member", "band", "y", "x"), coords=coords
    )
    if ground is not None:
        array.attrs["grid_mapping"] = GRID_MAPPING
    units = pixel_format(modality).units
    if units:
        array.attrs["units"] = units
    if modality.codes:
        array.attrs["units"] = "code"
        array.attrs["flag_values"] = list(modality.codes)
        array.attrs["flag_meanings"] = " ".join(name.replace(" ", "_") for name in modality.classes)
    return array


def _grid_mapping(modality: Modality, ground: Ground) -> dict[str, Any]:
    """CF attributes of the CRS, and the GeoTransform as GDAL and rioxarray read it."""
    from pyproj import CRS

    transform = ground.transform(resolution_of(modality, ground))
    attributes = CRS.from_user_input(ground.crs).to_cf()
    attributes["spatial_ref"] = attributes["crs_wkt"]
    attributes["GeoTransform"] = " ".join(repr(float(number)) for number in transform.to_gdal())
    return attributes


def _label_vector(values: np.ndarray, modality: Modality) -> xr.DataArray:
    """Location (member, 2) in degrees, or dates (member,)."""
    if modality.encoding == "date":
        days = values.astype("datetime64[D]").astype("datetime64[s]")
        return xr.DataArray(days, dims=("member",))
    return xr.DataArray(
        values.astype(np.float64),
        dims=("member", "coordinate"),
        coords={"coordinate": np.asarray(["latitude", "longitude"])},
        attrs={"units": "degree"},
    )

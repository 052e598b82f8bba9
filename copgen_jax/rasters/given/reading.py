"""What users give, as the model takes it: every patch on every native grid, in known units, placed on the ground.

    objects --bands--> sources with named bands --alignment--> patches --stated, sentinel2--> units --nodata--> arrays

Planning looks at headers, units and corners and refuses what does not fit; pixels are read patch by patch. Everything
that was assumed or changed on the way is noted in words.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet
from copgen_jax.rasters.given.alignment import Lattice, settle_lattice, settle_pixels
from copgen_jax.rasters.given.bands import Band, assign, gather
from copgen_jax.rasters.given.patch import Image, classes_in, darkest_in, read_image
from copgen_jax.rasters.given.sentinel2 import offsets_by_product, settle_offset
from copgen_jax.rasters.given.source import Source
from copgen_jax.rasters.given.stated import Unit, check_units, settle_classes, settle_unit
from copgen_jax.rasters.given.whenwhere import auto_date, read_date, read_location
from copgen_jax.rasters.ground import Ground

AUTO = "auto"
"""Location or timestamp from what the rasters say."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GivenPlace:
    """One patch of what was given."""

    place_id: str
    """From which random keys are derived: CRS and corner, the caller's name, or the patch's number."""
    ground: Ground | None
    values: Mapping[str, np.ndarray]
    """By modality name, in network order: float32 (H, W, bands) DN with the offset they have, linear power or metres;
    int32 (H, W, 1) class codes; float64 (2,) latitude and longitude in degrees; datetime64[D] () a date."""
    offsets: Mapping[str, int]
    """DN of zero reflectance, by Sentinel-2 product."""
    notes: tuple[str, ...]
    """How the values came to be what they are, in words."""

    def in_convention(self, modalities: ModalitySet, *, s2_offset: int) -> dict[str, np.ndarray]:
        """The values with Sentinel-2 DNs in a model's own offset convention: what `units.to_network` takes.

        No pixel without data is left here, so every DN is shifted.
        """
        return {
            name: dn_to_convention(value, offset=self.offsets[modalities[name].product], to_offset=s2_offset)
            if modalities[name].encoding == "reflectance"
            else value
            for name, value in self.values.items()
        }


def as_given(values: Mapping[str, Any], modalities: ModalitySet) -> dict[str, np.ndarray]:
    """Those of a patch's true values that belong to these modalities, in the types that `GivenPlace` promises."""
    kinds = {"classes": np.int32, "position": np.float64, "date": "datetime64[D]"}
    return {
        m.name: np.asarray(values[m.name]).astype(kinds.get(m.encoding, np.float32))
        for m in modalities
        if m.name in values
    }


def dn_to_convention(dn: np.ndarray, *, offset: int, to_offset: int) -> np.ndarray:
    """Valid DNs (any shape) of one offset convention in another, float32; negative reflectance is kept."""
    return dn.astype(np.float32) + np.float32(to_offset - offset)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GivenPlaces(Sequence[GivenPlace]):
    """All patches of what was given, each read when it is asked for."""

    modalities: ModalitySet
    """The model's set."""
    given: tuple[str, ...]
    """Names of the given modalities, in network order."""
    windows: tuple[tuple[int, int], ...]
    """Row and column of each patch in pixels of the finest grid."""
    grounds: tuple[Ground | None, ...]
    place_ids: tuple[str, ...]
    offsets: Mapping[str, int]
    """DN of zero reflectance, by Sentinel-2 product."""
    notes: tuple[str, ...]
    """What holds for every patch, in words; a patch's own notes come on top."""
    lattice: Lattice | None
    """Where patches may start; None where no raster is given."""
    images: tuple[Image, ...]
    """What is read of each patch."""
    location: Any
    """(2,) degrees for every patch, "auto" for each patch's centre, or None."""
    date: np.datetime64 | None

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, index: int) -> GivenPlace: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[GivenPlace]: ...
    def __getitem__(self, index: int | slice) -> GivenPlace | Sequence[GivenPlace]:
        """Read a patch.

        Raises:
            InputError: its pixels are damaged, have no data in over 5 %, or cannot be in their stated unit.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        ground = self.grounds[index]
        values: dict[str, np.ndarray] = {}
        notes: list[str] = []
        for image in self.images:
            assert self.lattice is not None
            values[image.modality.name], found = read_image(image, self.lattice, self.windows[index])
            notes.extend(found)
        if self.location is not None:
            values["location"] = _location_of(self.location, ground)
        if self.date is not None:
            values["timestamp"] = np.asarray(self.date, "datetime64[D]")
        return GivenPlace(
            place_id=self.place_ids[index],
            ground=ground,
            values={name: values[name] for name in self.given},
            offsets=self.offsets,
            notes=(*self.notes, *notes),
        )

    def __iter__(self) -> Iterator[GivenPlace]:
        return (self[i] for i in range(len(self)))

    def check(self) -> None:
        """Read every patch once and keep none: refuses now what would be refused later.

        Raises:
            InputError: as reading a patch.
        """
        for _ in self:
            pass


def read_given(
    given: Mapping[str, Any],
    modalities: ModalitySet,
    *,
    units: Mapping[str, str] | None = None,
    s2_offset: Any = None,
    window: Any = None,
    name: str | None = None,
) -> GivenPlaces:
    """Plan the reading of what a user gives of one place (or of many patches of one raster).

    Args:
        given: by product (`S2L2A`) or single modality (`S2L2A_10m`), what `bands.gather` takes; for `location`
            a (latitude, longitude) or "auto", for `timestamp` a date or "auto". May be empty.
        modalities: the model's set; it says grids, bands and the size of a patch.
        units: by product or modality, where they differ from the defaults (DN, linear, m, cloud codes) and the tags:
            {"S1RTC": "dB", "LULC": "index", "S2L2A": "reflectance"}.
        s2_offset: DN of zero reflectance by Sentinel-2 product, or one number for all.
        window: row and column of the patch's upper left pixel at 10 m, multiples of 6; "all" for every patch; None for
            the first.
        name: the place's name, from which random keys are derived; by default its ground.

    Raises:
        InputError: whatever does not fit; see the modules this goes through.
    """
    stated = check_units(units or {}, modalities)
    offsets = offsets_by_product(s2_offset, dict.fromkeys(m.product for m in modalities if m.encoding == "reflectance"))
    bands, notes = _gather_all(given, modalities)
    bands, assumed = settle_pixels(bands, modalities) if bands else ({}, [])
    notes += assumed
    lattice, corner, windows = None, None, [(0, 0)]
    if bands:
        lattice, corner, assumed = settle_lattice(bands, modalities)
        notes += assumed
        windows = _choose_windows(lattice, window)
    elif window is not None:
        raise InputError("a window is asked for, but no raster is given")
    grounds = [lattice.ground_of(at, corner) if lattice else None for at in windows]
    images: tuple[Image, ...] = ()
    settled: dict[str, int] = {}
    if lattice:
        images, settled, assumed = _plan_images(bands, modalities, stated, offsets, lattice, windows)
        notes += assumed
    location, date, assumed = _when_and_where(given, bands, modalities, grounds)
    present = [*bands, *(["location"] if location is not None else []), *(["timestamp"] if date is not None else [])]
    return GivenPlaces(
        modalities=modalities,
        given=tuple(n for n in modalities.names if n in present),
        windows=tuple(windows),
        grounds=tuple(grounds),
        place_ids=tuple(_place_ids(grounds, name)),
        offsets=settled,
        notes=tuple(notes + assumed),
        lattice=lattice,
        images=images,
        location=location,
        date=date,
    )


def _gather_all(given: Mapping[str, Any], modalities: ModalitySet) -> tuple[dict[str, list[Band]], list[str]]:
    """Bands of every given image modality, in channel order, and what was assumed."""
    bands: dict[str, list[Band]] = {}
    notes: list[str] = []
    for word, value in given.items():
        chosen = [modalities[name] for name in modalities.resolve([word])]
        if not any(m.is_image for m in chosen):
            continue
        product = chosen[0].product
        sources = gather(value, product=word, modalities=chosen)
        found, assumed = assign(sources, product=product, modalities=chosen, given_as=word)
        twice = [name for name in found if name in bands]
        if twice:
            raise InputError(f"{twice[0]} is given twice, once by {word}; give it once")
        bands |= found
        notes += assumed
    return {name: bands[name] for name in modalities.names if name in bands}, notes


def _choose_windows(lattice: Lattice, window: Any) -> list[tuple[int, int]]:
    if window is None:
        return [lattice.start]
    if isinstance(window, str):
        if window != "all":
            raise InputError(f"window is {window!r}; expected a row and a column at 10 m, or all")
        return lattice.windows()
    whole = [isinstance(at, int | np.integer) and not isinstance(at, bool) for at in window]
    if len(whole) != 2 or not all(whole):
        raise InputError(f"window is {window!r}; expected a row and a column at 10 m, or all")
    row, column = window
    return [lattice.check((int(row), int(column)))]


def _plan_images(
    bands: Mapping[str, Sequence[Band]],
    modalities: ModalitySet,
    stated: Mapping[str, str],
    offsets: Mapping[str, int],
    lattice: Lattice,
    windows: Sequence[tuple[int, int]],
) -> tuple[tuple[Image, ...], dict[str, int], list[str]]:
    """Unit and DN offset of every image, the offsets by product, and where both come from."""
    units: dict[str, Unit] = {}
    notes: list[str] = []
    for name, found in bands.items():
        unit = settle_unit(modalities[name], [band.source for band in found], stated)
        if unit is None:
            values = classes_in(modalities[name], found[0], lattice, windows)
            unit = settle_classes(modalities[name], values, found[0].source.where)
        units[name] = unit
        notes.append(f"{name}: unit {unit.name} ({unit.origin})")
    settled: dict[str, int] = {}
    reflectances = [name for name in bands if modalities[name].encoding == "reflectance"]
    for product in dict.fromkeys(modalities[name].product for name in reflectances):
        names = [name for name in reflectances if modalities[name].product == product]
        kinds = {units[name].name for name in names}
        if len(kinds) > 1:
            raise InputError(f"{product} is DN in some bands and reflectance in others; state one with units")
        found = [band for name in names for band in bands[name]]
        settled[product], origin = settle_offset(
            product,
            [(s, tuple(b.index for b in found if b.source is s)) for s in dict.fromkeys(b.source for b in found)],
            stated=offsets.get(product),
            reflectance=kinds == {"reflectance"},
            darkest=lambda found=found: darkest_in(found, lattice, windows[0]),
        )
        notes.append(f"{product}: DN of zero reflectance {settled[product]} ({origin})")
    images = tuple(
        Image(modality=modalities[name], bands=found, unit=units[name], offset=settled.get(modalities[name].product, 0))
        for name, found in bands.items()
    )
    return images, settled, notes


def _when_and_where(
    given: Mapping[str, Any],
    bands: Mapping[str, Sequence[Band]],
    modalities: ModalitySet,
    grounds: Sequence[Ground | None],
) -> tuple[Any, np.datetime64 | None, list[str]]:
    """The location (degrees, or "auto" for each patch's own), the date, and where they come from."""
    location, date, notes = None, None, []
    for word, value in given.items():
        modality = modalities[modalities.resolve([word])[0]]
        auto = isinstance(value, str) and value.strip().lower() == AUTO
        if modality.encoding == "position":
            if not auto and len(grounds) > 1:
                raise InputError(f"one location is given for {len(grounds)} patches; say location=auto")
            if auto and any(ground is None for ground in grounds):
                raise InputError(
                    "location is auto, but no given raster has a georeference; give latitude and longitude"
                )
            location = AUTO if auto else read_location(value)
            notes.append(f"location: {'centre of each patch, from the georeference' if auto else 'given by value'}")
        if modality.encoding == "date":
            date, origin = auto_date(_by_product(bands, modalities)) if auto else (read_date(value), "given by value")
            notes.append(f"timestamp: {date}, {origin}")
    return location, date, notes


def _by_product(bands: Mapping[str, Sequence[Band]], modalities: ModalitySet) -> dict[str, list[Source]]:
    sources: dict[str, list[Source]] = {}
    for name, found in bands.items():
        sources.setdefault(modalities[name].product, []).extend(band.source for band in found)
    return sources


def _location_of(location: Any, ground: Ground | None) -> np.ndarray:
    if isinstance(location, str):
        assert ground is not None
        return np.asarray(ground.centre, np.float64)
    return location


def _place_ids(grounds: Sequence[Ground | None], name: str | None) -> Iterator[str]:
    for i, ground in enumerate(grounds):
        if name is not None:
            yield name if len(grounds) == 1 else f"{name}_patch_{i}"
        else:
            yield ground.place_id if ground else str(i)

"""In which unit values are, who says so, and whether the values can be what they are said to be.

Defaults: Sentinel-2 DN, linear gamma0 power, metres, cloud codes. A tag of the file goes before the default, the user
before both. Land cover has no default: class codes and class indices look alike. What comes out is always DN, linear
power, metres and class codes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from copgen_jax import units as conversions
from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.rasters.given.source import Source

UNITS: Mapping[str, tuple[str, ...]] = {
    "reflectance": ("DN", "reflectance"),
    "power": ("linear", "dB"),
    "height": ("m",),
    "classes": ("code", "index"),
}
"""Units per encoding, the default first."""

_OTHER_WORDS = {
    "digital number": "DN",
    "digital numbers": "DN",
    "counts": "DN",
    "power": "linear",
    "gamma0": "linear",
    "linear power": "linear",
    "decibel": "dB",
    "decibels": "dB",
    "metre": "m",
    "metres": "m",
    "meter": "m",
    "meters": "m",
    "codes": "code",
    "indices": "index",
    "indexes": "index",
}
_UNIT_TAGS = ("units", "unit")
NO_DEM = (-32768.0, -32767.0, -9999.0)
"""Heights that mean no data whether or not the file says so."""


class Unit(NamedTuple):
    """A unit and who says so."""

    name: str
    origin: str
    """For the record: "stated by the user", "tag units=dB", "default"."""


def check_units(units: Mapping[str, str], modalities: ModalitySet) -> dict[str, str]:
    """The user's units as {modality name: unit}, in this package's spelling.

    Raises:
        InputError: an unknown product or modality, or a unit that it cannot have.
    """
    chosen = {}
    for word, unit in units.items():
        for name in modalities.resolve([word]):
            possible = UNITS.get(modalities[name].encoding, ())
            found = _unit_in(str(unit), possible)
            if found is None:
                options = suggestion(str(unit), possible) if possible else "it has none"
                raise InputError(f"unknown unit {unit!r} for {word}: {options}")
            chosen[name] = found
    return chosen


def settle_unit(modality: Modality, sources: Sequence[Source], stated: Mapping[str, str]) -> Unit | None:
    """The unit of a modality's values; None for land cover, whose values must tell (`settle_classes`).

    Raises:
        InputError: two sources whose tags differ.
    """
    if modality.name in stated:
        return Unit(stated[modality.name], "stated by the user")
    possible = UNITS.get(modality.encoding, ("colour",))
    tagged = {source.where: _tagged(source, modality.encoding, possible) for source in sources}
    if len(set(tagged.values())) > 1:
        sides = ", ".join(f"{unit.name if unit else 'none'} in {where}" for where, unit in tagged.items())
        raise InputError(f"{modality.name} has tags of different units ({sides}); state one with units")
    unit = next(iter(tagged.values()), None)
    if unit is None and modality.encoding == "classes" and not _contiguous(modality):
        return None
    return unit or Unit(possible[0], "default")


def settle_classes(modality: Modality, values: np.ndarray, where: str) -> Unit:
    """Codes, if the values cannot be indices.

    Args:
        modality: whose codes count.
        values: every class value that occurs.
        where: for messages.

    Raises:
        InputError: the values are valid as both or are no codes.
    """
    how = f"state it with units={{'{modality.product}': 'code'}} or 'index' (--units {modality.product}=index)"
    indices = np.isin(values, np.arange(len(modality.codes)))
    strange = _strange(modality, values)
    if strange.size and indices.all():
        raise InputError(
            f"{modality.name} in {where} holds {strange[0]:g}, which is no {modality.product} code; if these are class "
            f"indices 0..{len(modality.codes) - 1}, {how}"
        )
    if strange.size:
        raise InputError(_no_code(modality, strange[0], where))
    if indices.all():
        found = ", ".join(f"{value:g}" for value in values)
        raise InputError(f"{modality.name} in {where} holds {found}: valid both as class codes and as indices; {how}")
    return Unit("code", "only class codes have these values")


def no_data(modality: Modality, unit: str, numbers: np.ndarray, source: Source, band: int) -> np.ndarray:
    """Where numbers mean no data by the product's own rules, beyond NaN and the file's nodata value.

    DN 0 (unless the file states another nodata value or holds reflectance); power that is not positive; the three
    heights that stand for nothing.
    """
    if modality.encoding == "reflectance" and unit == "DN":
        return numbers == 0
    if modality.encoding == "power" and unit == "linear":
        scale, offset = source.scaling(band)
        return numbers * scale + offset <= 0
    if modality.encoding == "height":
        return np.isin(numbers, NO_DEM)
    return np.zeros(numbers.shape, bool)


def convert(modality: Modality, unit: str, numbers: np.ndarray, source: Source, band: int) -> np.ndarray:
    """Stored numbers as DN (with the offset they have), linear power, metres or class codes; same shape, float64.

    Scale and offset tags are applied, but for the offset of reflectance, which is the DN offset. Class values must have
    been checked.
    """
    scale, offset = source.scaling(band)
    match modality.encoding:
        case "reflectance" if unit == "reflectance" or scale != 1.0:
            return numbers * (scale * conversions.REFLECTANCE_SCALE)
        case "power" if unit == "dB":
            return np.power(10.0, (numbers * scale + offset) / 10.0)
        case "classes" if unit == "index":
            return np.asarray(modality.codes, np.float64)[numbers.astype(np.int64)]
        case "power" | "height":
            return numbers * scale + offset
        case _:
            return numbers


def check_values(
    modality: Modality, unit: str, numbers: np.ndarray, source: Source, band: int, *, dn_offset: int
) -> None:
    """Refuse valid stored `numbers` that cannot be what they are stated to be.

    Raises:
        InputError: says what was stated, what is there, and what it may be.
    """
    if not numbers.size:
        return
    scale, offset = source.scaling(band)
    values = numbers * scale + offset
    low, high = float(values.min()), float(values.max())
    where = f"{modality.name} in {source.where}"
    match modality.encoding, unit:
        case "classes", _:
            _check_classes(modality, unit, np.unique(numbers), where)
        case "power", "linear" if np.mean(values < 0) > 0.05:
            raise InputError(
                f"{where} is stated as linear power but {np.mean(values < 0):.0%} of it is negative (least {low:g}); "
                f"if it is in decibels, say units={{'{modality.product}': 'dB'}} (--units {modality.product}=dB)"
            )
        case "power", "linear" if np.median(values) > 100.0:
            raise InputError(
                f"{where} is stated as linear power but its median is {np.median(values):g}; expected gamma0"
            )
        case "power", "dB" if low > 0 or high > 80 or low < -120:
            raise InputError(
                f"{where} is stated as dB but lies between {low:g} and {high:g}; if it is linear power, say "
                f"units={{'{modality.product}': 'linear'}} (--units {modality.product}=linear)"
            )
        case "height", _ if low < -1000 or high > 9500:
            raise InputError(
                f"{where} lies between {low:g} and {high:g} m; expected heights on Earth, with no data marked as such"
            )
        case "reflectance", _:
            _check_reflectance(modality, unit, convert(modality, unit, numbers, source, band), where, dn_offset)


def _check_classes(modality: Modality, unit: str, values: np.ndarray, where: str) -> None:
    if unit == "index":
        outside = values[~np.isin(values, np.arange(len(modality.codes)))]
        if outside.size:
            raise InputError(f"{where} holds {outside[0]:g}; expected class indices 0 to {len(modality.codes) - 1}")
        return
    strange = _strange(modality, values)
    if strange.size:
        raise InputError(_no_code(modality, strange[0], where))


def _check_reflectance(modality: Modality, unit: str, dn: np.ndarray, where: str, dn_offset: int) -> None:
    product = modality.product
    if unit == "DN" and np.abs(dn).max() <= 2:
        raise InputError(
            f"{where} is stated as DN but lies between {dn.min():g} and {dn.max():g}; if it is reflectance, say "
            f"units={{'{product}': 'reflectance'}} (--units {product}=reflectance)"
        )
    reflectance = (dn - dn_offset) / conversions.REFLECTANCE_SCALE
    if np.mean(reflectance > 3.0) > 0.001 or reflectance.max() > 7.0:
        raise InputError(
            f"{where} is stated as {unit} but reaches a reflectance of {reflectance.max():g}; expected at most about "
            f"2, so state the unit it has (--units {product}=DN or {product}=reflectance)"
        )
    if np.mean(reflectance < -0.03) > 0.5 or reflectance.min() < -3.3:
        raise InputError(
            f"{where} has negative reflectance in {np.mean(reflectance < 0):.0%} of its pixels with the DN offset "
            f"{dn_offset}; state the offset it has (--s2-offset {product}=0)"
        )


def _strange(modality: Modality, values: np.ndarray) -> np.ndarray:
    return values[~np.isin(values, modality.codes)]


def _no_code(modality: Modality, value: float, where: str) -> str:
    known = ", ".join(map(str, modality.codes))
    where = where if where.startswith(modality.name) else f"{modality.name} in {where}"
    return f"{where} holds {value:g}, which is no {modality.product} code; expected {known}"


def _contiguous(modality: Modality) -> bool:
    return modality.codes == tuple(range(len(modality.codes)))


def _tagged(source: Source, encoding: str, possible: Sequence[str]) -> Unit | None:
    for tag in _UNIT_TAGS:
        word = source.tags.get(tag)
        if word is None:
            continue
        unit = _unit_in(word, possible)
        if word.strip() == "1" and not source.integer:
            unit = {"reflectance": "reflectance", "power": "linear"}.get(encoding)
        if unit:
            return Unit(unit, f"tag {tag}={word}")
    return None


def _unit_in(word: str, possible: Sequence[str]) -> str | None:
    word = word.strip().lower()
    word = _OTHER_WORDS.get(word, word)
    return next((unit for unit in possible if unit.lower() == word.lower()), None)

"""Which DN means zero reflectance in a Sentinel-2 product.

Since processing baseline 04.00, DN = 10000 reflectance + 1000, for L1C and L2A alike. Products of all sensing dates are
being reprocessed, and archives differ in whether they have taken the offset out again, so neither the date nor the
values decide. What decides, if all agree: scale and offset tags, the processing baseline in the tags, the product's
name in the tags or the path. What the user states goes before all of them. DN 0 is no data and never shifted.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from copgen_jax.errors import InputError, suggestion
from copgen_jax.rasters.given.source import Source
from copgen_jax.units import REFLECTANCE_SCALE

BASELINE_OFFSET = 1000
"""DN of zero reflectance from processing baseline 04.00 on."""

_PRODUCT = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_\d{8}T\d{6}_N(\d{4})_R\d{3}_")
_OFFSET_TAGS = ("s2_offset", "dn_offset")
_BASELINE_TAGS = ("processing_baseline", "s2:processing_baseline", "processingbaseline", "baseline")


def offset_of_baseline(baseline: str) -> int | None:
    """DN offset of a processing baseline such as "05.09", "0509" or "N0509"; None for one that says nothing (99.99)."""
    match = re.fullmatch(r"\s*N?(\d{1,2})\.?(\d{2}|\d)\s*", baseline, re.IGNORECASE)
    if not match or int(match[1]) >= 99:
        return None
    return BASELINE_OFFSET if int(match[1]) >= 4 else 0


def offset_statements(source: Source, bands: Iterable[int]) -> list[tuple[int, str]]:
    """(offset, who says so) for everything about these bands that states their offset."""
    found = _tag_statements(source, bands)
    for tag in _BASELINE_TAGS:
        value = offset_of_baseline(source.tags.get(tag, ""))
        if value is not None:
            found.append((value, f"processing baseline {source.tags[tag]}"))
    for match in _PRODUCT.finditer(" ".join((*source.tags.values(), source.where))):
        value = offset_of_baseline(match[1])
        if value is not None:
            found.append((value, f"product name {match[0].rstrip('_')}"))
    return list(dict.fromkeys(found))


def _tag_statements(source: Source, bands: Iterable[int]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for tag in _OFFSET_TAGS:
        if re.fullmatch(r"\s*-?\d+(\.0*)?\s*", source.tags.get(tag, "")):
            found.append((int(float(source.tags[tag])), f"tag {tag}={source.tags[tag]}"))
    for scale, offset in sorted({source.scaling(band) for band in bands}):
        if (scale, offset) != (1.0, 0.0):
            found.append((round(-offset * REFLECTANCE_SCALE), f"band scale {scale:g} and offset {offset:g}"))
    return found


def settle_offset(
    product: str,
    sources: Iterable[tuple[Source, tuple[int, ...]]],
    *,
    stated: int | None,
    reflectance: bool,
    darkest: Callable[[], float],
) -> tuple[int, str]:
    """The DN offset of a product's sources and, in words, where it comes from.

    Args:
        product: S2L1C or S2L2A.
        sources: each with the indices of the bands that are read.
        stated: what the user says; goes before everything else.
        reflectance: whether the values are stated to be reflectance. Its zero is 0 unless its own tags say otherwise; a
            baseline tells of DNs only.
        darkest: smallest valid DN, asked for the hint of the error only.

    Raises:
        InputError: nothing states it, or two statements differ.
    """
    if stated is not None:
        return stated, "stated by the user"
    statements = [
        (source.where, (_tag_statements if reflectance else offset_statements)(source, bands))
        for source, bands in sources
    ]
    if reflectance and not any(found for _, found in statements):
        return 0, "reflectance has no offset"
    how = f"s2_offset={{'{product}': 1000}} or --s2-offset {product}=1000 (0 where it was removed or never added)"
    silent = [where for where, found in statements if not found]
    spoken = [(where, *statement) for where, found in statements for statement in found]
    if not spoken:
        least = darkest()
        hint = f"; its darkest value {least:g} suggests {BASELINE_OFFSET}" if least >= 0.9 * BASELINE_OFFSET else ""
        raise InputError(
            f"{product} in {silent[0]} does not say whether its DNs carry the offset of processing baseline 04.00; "
            f"state it with {how}{hint}"
        )
    where, offset, origin = spoken[0]
    if silent:
        raise InputError(
            f"{product}: {where} has the DN offset {offset} by its {origin}, but {silent[0]} says nothing; "
            f"state it for both with {how}"
        )
    for other_where, other, other_origin in spoken:
        if other != offset:
            raise InputError(
                f"{product} has two DN offsets: {offset} by the {origin} of {where}, {other} by the {other_origin} of "
                f"{other_where}; state the right one with {how}"
            )
    return offset, origin


def offsets_by_product(s2_offset: Mapping[str, int] | int | None, products: Iterable[str]) -> dict[str, int]:
    """The user's statement as {product: offset}; one number holds for all Sentinel-2 products.

    Raises:
        InputError: a product that is not Sentinel-2, or something that is no offset.
    """
    products = tuple(products)
    if s2_offset is None:
        return {}
    if not isinstance(s2_offset, Mapping):
        s2_offset = dict.fromkeys(products, s2_offset)
    for product, offset in s2_offset.items():
        if product not in products:
            raise InputError(f"s2_offset names {product!r}: {suggestion(product, products)}")
        whole = isinstance(offset, int | float | np.integer | np.floating) and float(offset).is_integer()
        if isinstance(offset, bool) or not whole or abs(offset) > 10000:
            raise InputError(f"s2_offset of {product} is {offset!r}; expected 1000, or 0 where there is none")
    return {product: int(offset) for product, offset in s2_offset.items()}

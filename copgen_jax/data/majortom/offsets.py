"""The Sentinel-2 offset: which DN means zero reflectance.

Since processing baseline 04.00, DNs are 10000 x reflectance + 1000. Neither the date nor the values tell: products were
reprocessed. It is known from what the user states, else from scale and offset tags of the raster, else from the
baseline in the product's name (`..._N0500_...`); else it is not known and nothing is assumed.
"""

import re
from collections.abc import Collection, Mapping

from copgen_jax.errors import InputError, suggestion
from copgen_jax.rasters.given.sentinel2 import offset_of_baseline

StatedOffsets = Mapping[str, int]
"""What the user states: offset per product (`S2L2A`), per place (`433D_629L_3_1`) or per both (`433D_629L_3_1/S2L2A`);
the most special statement counts."""

_BASELINE = re.compile(r"_N(\d{4})(?:_|$)")


def check_stated(stated: StatedOffsets, places: Collection[str], products: Collection[str]) -> None:
    """Refuse statements about nothing.

    Raises:
        InputError: a key that is neither a product, a place nor both.
    """
    for key in stated:
        place, _, product = key.rpartition("/")
        if key not in products and key not in places and not (place in places and product in products):
            known = suggestion(key, products)
            raise InputError(f"s2_offset names {key!r}, which is no place here and no Sentinel-2 product: {known}")


def stated_offset(stated: StatedOffsets, place: str, product: str) -> int | None:
    """The offset the user states for a product at a place, or None."""
    for key in (f"{place}/{product}", place, product):
        if key in stated:
            return stated[key]
    return None


def baseline_offset(product_id: str) -> int | None:
    """The offset that a product's name implies by its processing baseline, or None (no baseline, or N9999)."""
    match = _BASELINE.search(product_id)
    return offset_of_baseline(match[1]) if match else None


def tagged_offset(scale: float, offset: float) -> int | None:
    """The offset that a band's scale and offset tags (reflectance = scale x DN + offset) imply, or None."""
    return None if scale == 1.0 or scale == 0.0 else round(-offset / scale)


def unknown_offset(product: str, where: str) -> InputError:
    """The error that says how to state an offset."""
    return InputError(
        f"{where} does not say whether its Sentinel-2 numbers carry the offset of 1000 of newer processing: state it "
        f"with --s2-offset {product}=1000 or --s2-offset {product}=0"
    )

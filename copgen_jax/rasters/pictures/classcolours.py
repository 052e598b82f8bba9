"""Colours and names of the class codes, for colour tables, pictures and legends."""

from collections.abc import Mapping
from types import MappingProxyType

from copgen_jax.modalities import CLOUD_CLASSES, LULC_CLASSES, Modality

Colour = tuple[int, int, int]

LAND_COVER_COLOURS: Mapping[int, Colour] = MappingProxyType(
    {
        0: (0, 0, 0),
        1: (65, 155, 223),
        2: (57, 125, 73),
        4: (122, 135, 198),
        5: (228, 150, 53),
        7: (196, 40, 27),
        8: (165, 155, 143),
        9: (168, 235, 255),
        10: (97, 97, 97),
        11: (227, 226, 195),
    }
)
"""ESRI's colours of its ten-metre land cover."""

CLOUD_COLOURS: Mapping[int, Colour] = MappingProxyType(
    {0: (70, 120, 80), 1: (255, 255, 255), 2: (170, 200, 225), 3: (60, 55, 85)}
)

_TABLES = ((LULC_CLASSES, LAND_COVER_COLOURS), (CLOUD_CLASSES, CLOUD_COLOURS))
_OTHERS: tuple[Colour, ...] = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
)


def class_colours(modality: Modality) -> dict[int, Colour]:
    """Colour of each of a modality's class codes; sets other than the published two get distinct colours in turn."""
    names = dict(zip(modality.codes, modality.classes, strict=True))
    for known, colours in _TABLES:
        if all(known.get(code) == name for code, name in names.items()):
            return {code: colours[code] for code in names}
    return {code: _OTHERS[i % len(_OTHERS)] for i, code in enumerate(names)}

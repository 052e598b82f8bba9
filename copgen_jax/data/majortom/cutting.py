"""Where the patches of a cell lie in its rasters.

A cell is 10.68 km of pixels: 1068 at 10 m, 534, 178, and 356 of the 30 m terrain. Nothing is resampled, every band is
cut on its own grid. Patches stand side by side from the north-west, row by row; the last row and column are pushed back
to end at the edge, where they overlap their neighbours. Patches of 192 px at 10 m make 6 x 6, of 96 px 12 x 12; the
offsets in metres are the same on all grids. Patch n of a cell is named `<cell>_patch_<n>`.
"""

CELL_EXTENT = 10_680
"""Side of a cell's rasters in metres."""


def patches_per_side(pixels: int, patch: int) -> int:
    """Patches of `patch` pixels that cover a side of `pixels`."""
    return -(-pixels // patch)


def patch_offsets(pixels: int, patch: int) -> tuple[int, ...]:
    """First pixels, along a side of `pixels`, of the patches of `patch` pixels; the last one ends at the edge."""
    return tuple(min(i * patch, pixels - patch) for i in range(patches_per_side(pixels, patch)))


def whole_offsets(pixels: int, patch: int) -> tuple[int, ...]:
    """First pixels of the patches that fit side by side from 0, without overlap; what is left over is not used."""
    return tuple(range(0, pixels - patch + 1, patch))


def central_offset(pixels: int, window: int) -> int:
    """First pixel of the central window: of a raster that is too long, or the one patch given to the generator."""
    return (pixels - window) // 2


def patch_key(cell: str, index: int) -> str:
    """`<cell>_patch_<index>`, the name of a patch, index counted row by row."""
    return f"{cell}_patch_{index}"

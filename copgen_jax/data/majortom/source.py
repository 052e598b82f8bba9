"""One way to read real data, whatever its layout: names of places, and an observation of each."""

import collections
import concurrent.futures
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from copgen_jax.data.majortom.cells import PRODUCT_FOLDERS, MajorTom
from copgen_jax.data.majortom.metadata import Limits
from copgen_jax.data.majortom.observation import Issue, Observation
from copgen_jax.data.majortom.offsets import check_stated
from copgen_jax.data.majortom.tiles import Tiles, is_tiles
from copgen_jax.errors import InputError
from copgen_jax.modalities import COPGEN, ModalitySet
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.read import local_path


class Source(Protocol):
    """Observations of many places. Reading is safe from several threads and never stops at a broken file."""

    names: tuple[str, ...]
    """Cells or tiles, sorted."""
    modalities: ModalitySet
    issues: list[Issue]
    """What was wrong with the listing; an observation has its own."""

    def read(self, name: str) -> Observation:
        """One place, with whatever of it can be read."""
        ...


def open_data(
    path: str | Path,
    *,
    modalities: ModalitySet = COPGEN,
    s2_offset: int | Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> Source:
    """The observations in a directory of Major TOM cells (extracted or parquet) or of aligned tiles.

    Args:
        path: holds `Core-S2L2A`, `Core-DEM`, ..., or `S2L2A`, `DEM`, ... with a file per tile.
        modalities: those to read.
        s2_offset: the DN of zero reflectance, where tags and product names do not say it or say it wrongly: one number,
            or numbers by product (`S2L2A`), place (`433D_629L_3_1`) or both (`433D_629L_3_1/S2L2A`), and `all` for the
            rest.
        limits: cells whose metadata go beyond them are left out.

    Raises:
        InputError: neither layout, no cells, damaged metadata, rasters on another grid, an unknown offset, limits
            where there are no metadata.
    """
    root = local_path(path)
    if not root.is_dir():
        raise InputError(f"{path} is not a directory of Major TOM cells or aligned tiles")
    flat = [m.name for m in modalities.images if m.resolution is None]
    if flat:
        raise InputError(f"{flat[0]} has no resolution in metres: it cannot be cut from Major TOM cells")
    products = tuple(dict.fromkeys(m.product for m in modalities.images if m.encoding == "reflectance"))
    stated = dict(s2_offset) if isinstance(s2_offset, Mapping) else {} if s2_offset is None else {"all": s2_offset}
    if "all" in stated:
        stated = dict.fromkeys(products, stated.pop("all")) | stated
    if any((root / folder).is_dir() for folder in PRODUCT_FOLDERS.values()):
        source: Source = MajorTom(root, modalities, s2_offset=stated, limits=limits or Limits())
    elif limits and limits.columns:
        raise InputError(f"{path} has no metadata that state {limits.columns[0]}, so cells cannot be chosen by it")
    elif is_tiles(root):
        source = Tiles(root, modalities, s2_offset=stated)
    else:
        raise InputError(
            f"{path} is neither a Major TOM directory (with Core-S2L2A, Core-DEM, ...) nor one of aligned tiles "
            "(with S2L2A/<tile>.tif, ...)"
        )
    check_stated(stated, source.names, products)
    return source


def read_all(
    source: Source, names: Sequence[str] | None = None, *, threads: int = 2, track: Track = silently
) -> Iterator[Observation]:
    """The observations of the named places (all by default), in order, read ahead by some threads."""
    names = source.names if names is None else names
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque[concurrent.futures.Future[Observation]] = collections.deque()

        def observations() -> Iterator[Observation]:
            for name in names:
                waiting.append(pool.submit(source.read, name))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        try:
            yield from track(observations(), total=len(names), what="reading")
        finally:
            for future in waiting:
                future.cancel()

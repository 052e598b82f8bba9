"""Where the outputs of one place lie.

OUT/PLACE/
  members.geojson                       the complete members: where and when (if drawn), and how they were drawn
  S2L2A_10m/S2L2A_10m_member_000.tif    one COG per modality and member, on its own grid
  S2L2A_10m/S2L2A_10m_mean.tif          and _standard_deviation, _quantile_05, ...: statistics over members
  LULC/LULC_probability.tif             one band per class, and _mode.tif: for class codes
  samples.zarr                          all members as one Zarr v3 store
  latents.zarr                          the latents they were decoded from
  item.json                             STAC item of the place
  quicklooks/                           PNG pictures; contact_sheet.png shows all at once
"""

import dataclasses
import re
import zlib
from pathlib import Path

from copgen_jax.errors import InputError
from copgen_jax.rasters.ground import Ground

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Paths of one place's outputs."""

    directory: Path
    """OUT/PLACE."""

    @property
    def record(self) -> Path:
        """Which members are complete."""
        return self.directory / "members.geojson"

    @property
    def samples(self) -> Path:
        """Zarr store of the samples."""
        return self.directory / "samples.zarr"

    @property
    def latents(self) -> Path:
        """Zarr store of the latents."""
        return self.directory / "latents.zarr"

    @property
    def item(self) -> Path:
        """STAC item."""
        return self.directory / "item.json"

    @property
    def summary(self) -> Path:
        """Statistics of places and dates."""
        return self.directory / "summary.json"

    @property
    def quicklooks(self) -> Path:
        """Folder of pictures."""
        return self.directory / "quicklooks"

    def member(self, modality: str, member: int) -> Path:
        """COG of one modality of one member."""
        return self.directory / modality / f"{modality}_member_{member:03d}.tif"

    def statistic(self, modality: str, statistic: str) -> Path:
        """COG of one statistic over members."""
        return self.directory / modality / f"{modality}_{statistic}.tif"


def layout(out: str | Path, place: str) -> Layout:
    """The layout of `place` under `out`.

    Raises:
        InputError: the place's name cannot be the name of a folder.
    """
    if not _SAFE.fullmatch(place):
        raise InputError(
            f"place name {place!r} cannot be the name of a folder; use letters, digits, dots, hyphens and underscores"
        )
    return Layout(Path(out) / place)


def place_name(ground: Ground | None) -> str:
    """A folder name for a place without a name of its own, such as EPSG32633_600000_4500000."""
    if ground is None:
        return "place"
    crs = ground.crs if len(ground.crs) < 20 else f"CRS{zlib.crc32(ground.crs.encode()):08x}"
    corner = (f"{metres:.3f}".rstrip("0").rstrip(".") for metres in (ground.left, ground.top))
    return "_".join([re.sub(r"[^A-Za-z0-9.-]", "", crs), *corner])

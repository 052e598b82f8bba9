"""Subsets of a latent store for other programs: latents as they are, rasters decoded from them, and an index.

OUT/index.parquet                      GeoParquet: what is where, a row per patch
OUT/collection.json                    STAC collection of all of it
OUT/latents/                           a latent store of the chosen patches
OUT/rasters.zarr/<modality>            (patch, band, y, x), decoded, in physical units
OUT/<patch>/<modality>.tif, item.json  the same as COG with a STAC item, each on its own ground
"""

from copgen_jax.export.decoder import Decoder, load_decoder
from copgen_jax.export.run import Exported, export
from copgen_jax.export.selection import Chosen, choose

__all__ = ["Chosen", "Decoder", "Exported", "choose", "export", "load_decoder"]

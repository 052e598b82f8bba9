"""Real data as it is distributed: Major TOM cells in folders or parquet files, and aligned tiles.

source = open_data("data/majortom", modalities=COPGEN)
for observation in read_all(source):
    for patch in cut(observation, source.modalities):
        patch.network_values(source.modalities, s2_offset=config.s2_offset)
"""

from copgen_jax.data.majortom.grid import Cell, cell_at, cell_named
from copgen_jax.data.majortom.metadata import Limits
from copgen_jax.data.majortom.observation import (
    Issue,
    Observation,
    Patch,
    central_patch,
    cut,
    patches_along,
    report,
    tally,
)
from copgen_jax.data.majortom.source import Source, open_data, read_all
from copgen_jax.data.majortom.split import Split, split_from_list

__all__ = [
    "Cell",
    "Issue",
    "Limits",
    "Observation",
    "Patch",
    "Source",
    "Split",
    "cell_at",
    "cell_named",
    "central_patch",
    "cut",
    "open_data",
    "patches_along",
    "read_all",
    "report",
    "split_from_list",
    "tally",
]

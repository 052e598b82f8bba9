"""What is to be encoded, settled before a network is loaded: which cells, in which split, cut into which patches."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from copgen_jax.config import ModelConfig
from copgen_jax.data.latents import Description, Layout, patches_per_cell
from copgen_jax.data.latents.documents import Precision
from copgen_jax.data.majortom import Source, Split, patches_along
from copgen_jax.data.majortom.grid import is_cell_name
from copgen_jax.errors import InputError
from copgen_jax.modalities import ModalitySet

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One of several processes that share the work without talking to each other."""

    index: int = 0
    count: int = 1

    def __post_init__(self):
        if not 0 <= self.index < self.count:
            raise InputError(
                f"task {self.index}/{self.count} is none of {self.count} tasks, which are counted from 0: "
                f"0/{self.count} to {self.count - 1}/{self.count}"
            )

    def share(self, work: Sequence[T]) -> Sequence[T]:
        """Every `count`-th piece: tasks get equally many, or one less."""
        return work[self.index :: self.count]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """What is kept, and how."""

    split: Split = dataclasses.field(default_factory=Split)
    precision: Precision = "float16"
    packed: bool = False
    """Whether the packed twin is written."""
    intersection: bool = False
    """Only patches that have every modality, as the published model was trained; else every patch with any, and the
    presence mask says which."""
    synthetic: bool = False
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """The source, and the store that will be made of it."""

    source: Source
    images: ModalitySet
    """The image modalities that the model can encode and the source may have."""
    description: Description
    cells: Mapping[str, tuple[str, ...]]
    """By split, in the order of the store's rows; of aligned tiles, the tiles."""
    intersection: bool

    @property
    def layouts(self) -> dict[str, Layout]:
        """Rows and shards by split."""
        per_cell = self.description.patches_per_cell
        return {s: Layout(cells=len(names), patches_per_cell=per_cell) for s, names in self.cells.items()}

    @property
    def patches(self) -> int:
        """Rows of all splits, those that will turn out to be absent included."""
        return sum(layout.patches for layout in self.layouts.values())

    @property
    def bytes_at_most(self) -> int:
        """Size of the store before compression."""
        number = 2 if self.description.precision == "float16" else 4
        return self.patches * self.description.numbers * number * (1 + self.description.packed)


def make_plan(
    source: Source,
    config: ModelConfig,
    *,
    latent_space: str | None,
    latents_of_each: Mapping[str, str] = MappingProxyType({}),
    options: EncodeOptions | None = None,
) -> Plan:
    """Decide what will be in the store. Reads no pixels, but of one tile where the source is of aligned tiles.

    Args:
        source: opened with those of the model's modalities that are wanted.
        config: of the model whose autoencoders will encode.
        latent_space: the model's hash.
        latents_of_each: the same by modality, to be kept with the latents.
        options: what is kept.

    Raises:
        InputError: a model without autoencoders, or tiles smaller than a patch.
    """
    options = options or EncodeOptions()
    encodable = [m.name for m in source.modalities.images if m.name in config.autoencoders]
    if latent_space is None or not encodable:
        raise InputError("this model has no autoencoders of what is in the data; encoding needs them")
    images = config.modalities.subset(encodable)
    description = Description(
        modalities=config.modalities,
        latent_space=latent_space,
        latents_of_each=latents_of_each,
        patches_per_cell=_patches_per_cell(source, images),
        s2_offset=config.s2_offset,
        precision=options.precision,
        packed=options.packed,
        synthetic=options.synthetic,
        provenance=options.provenance,
    )
    cells: dict[str, list[str]] = {}
    for name in source.names:
        cells.setdefault(options.split.of(name), []).append(name)
    return Plan(
        source=source,
        images=images,
        description=description,
        cells={split: tuple(cells[split]) for split in sorted(cells, reverse=True)},
        intersection=options.intersection,
    )


def _patches_per_cell(source: Source, images: ModalitySet) -> int:
    if is_cell_name(source.names[0]):
        return patches_per_cell(images)
    for name in source.names:
        tile = source.read(name)
        if tile.rasters:
            count = patches_along(tile, images) ** 2
            if count:
                return count
            raise InputError(f"{name} is smaller than a patch of this model: there is nothing to cut from it")
    raise InputError("none of the tiles can be read")

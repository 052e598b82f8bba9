"""The modalities of a model, as data.

A *modality* is one input of the network with its own timestep: an image on its own grid, or a vector of three numbers
(place, date). A *product* is what a user names; `S2L2A` is three modalities, one per native resolution. The order of a
`ModalitySet` is the order of the network's tokens and of the published checkpoints (ASCII order of the published keys,
which is not the order that the original's configuration declares).
"""

import dataclasses
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal

import numpy as np

from copgen_jax.errors import InputError, suggestion

ABSENT, WANTED, GIVEN = 0, 1, 2
"""Role codes: fixed noise at time 1000, sampled along the trajectory, clean at time 0."""

Encoding = Literal["reflectance", "power", "height", "classes", "position", "date", "colour"]
"""How physical values become network values: see `copgen_jax.units`."""

Unasked = Literal["joint", "marginal"]
"""What becomes of a modality neither given nor wanted: sampled along and dropped, or absent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Modality:
    """One network input: its names, its grid, its latent and how its values are encoded."""

    name: str
    published_key: str
    """The original's key. It lists bands in another order than the channels: looked up, never parsed."""
    product: str
    encoding: Encoding
    bands: tuple[str, ...]
    """Band names in channel order; classes have one band (their code) and one channel per class."""
    pixels: int | None = None
    """Side of a patch in pixels; None for a vector."""
    resolution: float | None = None
    """Ground sampling distance in metres; None for a vector."""
    latent_channels: int = 8
    downsampling: int = 8
    """Pixels of the image per latent pixel, along a side."""
    scale_factor: float = 1.0
    """Multiplies a posterior sample so that latents have unit variance."""
    codes: tuple[int, ...] = ()
    """Class codes in channel order, for encoding "classes"."""
    classes: tuple[str, ...] = ()
    """Class names in channel order."""

    def __post_init__(self):
        if self.pixels is not None and self.pixels % (2 * self.downsampling):
            raise InputError(
                f"modality {self.name}: a patch of {self.pixels} px does not divide into tokens of "
                f"{2 * self.downsampling} px; use a multiple of that"
            )
        if (self.encoding == "classes") != bool(self.codes) or len(self.codes) != len(self.classes):
            raise InputError(
                f"modality {self.name}: {len(self.codes)} codes and {len(self.classes)} class names for encoding "
                f"{self.encoding}; classes need one name per code, other encodings none"
            )

    @property
    def is_image(self) -> bool:
        """Whether this is an image (with an autoencoder) rather than a vector of three numbers."""
        return self.pixels is not None

    @property
    def channels(self) -> int:
        """Channels of the network's image: one per class where values are classes, else one per band."""
        return len(self.codes) or len(self.bands)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one network image. Only images have one."""
        if self.pixels is None:
            raise TypeError(f"{self.name} is a vector, not an image")
        return self.pixels, self.pixels, self.channels

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(h, w, c) of one latent, or (3,) for a vector."""
        if self.pixels is None:
            return (len(self.bands),)
        side = self.pixels // self.downsampling
        return side, side, self.latent_channels

    @property
    def token_side(self) -> int:
        """Latent pixels along the side of a token; a vector has one token per number."""
        return 2 if self.is_image else 1

    @property
    def tokens(self) -> int:
        """Number of tokens of this modality in the backbone's sequence (its time token not counted)."""
        if not self.is_image:
            return len(self.bands)
        h, w, _ = self.latent_shape
        return (h // self.token_side) * (w // self.token_side)

    @property
    def extent(self) -> float:
        """Side of a patch on the ground, in metres. Only images on a metric grid have one."""
        if self.pixels is None or self.resolution is None:
            raise TypeError(f"{self.name} has no ground extent")
        return self.pixels * self.resolution


@dataclasses.dataclass(frozen=True)
class ModalitySet:
    """Modalities in network order. Iterates over modalities, looks up by name."""

    modalities: tuple[Modality, ...]

    def __post_init__(self):
        if not self.modalities:
            raise InputError("a modality set needs at least one modality")
        for what, values in (("name", self.names), ("published key", [m.published_key for m in self])):
            duplicates = sorted({v for v in values if list(values).count(v) > 1})
            if duplicates:
                raise InputError(f"two modalities have the {what} {duplicates[0]}")

    def __iter__(self) -> Iterator[Modality]:
        return iter(self.modalities)

    def __len__(self) -> int:
        return len(self.modalities)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Modality:
        if name not in self._by_name:
            raise InputError(f"unknown modality {name!r}: {suggestion(name, self.names)}")
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Modality]:
        return {m.name: m for m in self.modalities}

    @property
    def names(self) -> tuple[str, ...]:
        """Modality names in network order."""
        return tuple(m.name for m in self.modalities)

    @property
    def images(self) -> tuple[Modality, ...]:
        """The modalities that have an autoencoder."""
        return tuple(m for m in self.modalities if m.is_image)

    @property
    def vectors(self) -> tuple[Modality, ...]:
        """The modalities that enter the backbone as they are: place and date."""
        return tuple(m for m in self.modalities if not m.is_image)

    @property
    def products(self) -> tuple[str, ...]:
        """The products of this set, in order of their first modality."""
        return tuple(dict.fromkeys(m.product for m in self.modalities))

    @property
    def tokens(self) -> int:
        """Length of the backbone's sequence: one time token per modality, then every modality's tokens."""
        return len(self) + sum(m.tokens for m in self)

    def of_product(self, product: str) -> tuple[Modality, ...]:
        """The modalities of a product, in network order."""
        found = tuple(m for m in self.modalities if m.product == product)
        if not found:
            raise InputError(f"unknown product {product!r}: {suggestion(product, self.products)}")
        return found

    def resolve(self, words: Iterable[str]) -> tuple[str, ...]:
        """Modality names, in network order and without repetition, of products or modality names."""
        chosen: set[str] = set()
        for word in words:
            members = [m.name for m in self if word in (m.name, m.product)]
            if not members:
                known = tuple(dict.fromkeys((*self.products, *self.names)))
                raise InputError(f"unknown product or modality {word!r}: {suggestion(word, known)}")
            chosen.update(members)
        return tuple(name for name in self.names if name in chosen)

    def subset(self, words: Iterable[str]) -> "ModalitySet":
        """The set of the named products or modalities, in network order."""
        return ModalitySet(tuple(self[name] for name in self.resolve(words)))

    def replace(self, name: str, **changes) -> "ModalitySet":
        """The same set with some fields of one modality changed."""
        self[name]
        return ModalitySet(tuple(dataclasses.replace(m, **changes) if m.name == name else m for m in self))

    def resized(self, pixels: int) -> "ModalitySet":
        """The same modalities on a smaller or larger ground patch of `pixels` at 10 m, a multiple of 96.

        Below 96 px the 60 m latents (8 x 8 pixels each) no longer divide into 2 x 2 tokens.
        """
        if pixels < 96 or pixels % 96:
            raise InputError(f"a patch of {pixels} px at 10 m does not fit all grids: use a multiple of 96")
        return ModalitySet(
            tuple(
                m if m.resolution is None else dataclasses.replace(m, pixels=round(pixels * 10 / m.resolution))
                for m in self
            )
        )

    def roles(self, given: Iterable[str], want: Iterable[str], *, unasked: Unasked = "joint") -> np.ndarray:
        """Role codes int32[M] in network order, from products or modality names.

        `unasked="joint"` samples what is neither given nor wanted along with the rest (the caller drops it), as the
        published protocols do; "marginal" marks it absent.

        Raises:
            InputError: an unknown word, one modality both given and wanted, nothing wanted, an unknown `unasked`.
        """
        given, want = self.resolve(given), self.resolve(want)
        both = [name for name in given if name in want]
        if both:
            raise InputError(f"{both[0]} is both given and wanted; ask for it or give it, not both")
        if not want:
            raise InputError(f"nothing is wanted; name at least one of {', '.join(self.products)}")
        if unasked not in ("joint", "marginal"):
            raise InputError(f"unasked is {unasked!r}: expected joint or marginal")
        rest = WANTED if unasked == "joint" else ABSENT
        codes = [GIVEN if name in given else WANTED if name in want else rest for name in self.names]
        return np.asarray(codes, np.int32)


LULC_CLASSES = {
    0: "no data",
    1: "water",
    2: "trees",
    4: "flooded vegetation",
    5: "crops",
    7: "built area",
    8: "bare ground",
    9: "snow and ice",
    10: "clouds",
    11: "rangeland",
}
"""ESRI land-cover codes and names, in channel order."""

CLOUD_CLASSES = {0: "clear", 1: "thick cloud", 2: "thin cloud", 3: "cloud shadow"}
"""Cloud-mask codes and names, in channel order."""


def _published() -> ModalitySet:
    """The twelve modalities of COP-GEN (reference: table of modalities; scale factors of the published VAEs)."""

    def image(name, key, product, encoding, bands, pixels, resolution, scale_factor, classes=None):
        return Modality(
            name=name,
            published_key=key,
            product=product,
            encoding=encoding,
            bands=tuple(bands.split()),
            pixels=pixels,
            resolution=resolution,
            scale_factor=scale_factor,
            codes=tuple(classes or ()),
            classes=tuple((classes or {}).values()),
        )

    def vector(name, key, encoding, bands):
        return Modality(name=name, published_key=key, product=name, encoding=encoding, bands=tuple(bands.split()))

    s2, ten, twenty = "reflectance", "B04 B03 B02 B08", "B05 B06 B07 B8A B11 B12"
    return ModalitySet(
        (
            vector("location", "3d_cartesian_lat_lon", "position", "x y z"),
            image("DEM", "DEM_DEM", "DEM", "height", "DEM", 64, 30.0, 0.404247),
            image("LULC", "LULC_LULC", "LULC", "classes", "LULC", 192, 10.0, 0.464794, LULC_CLASSES),
            image("S1RTC", "S1RTC_vh_vv", "S1RTC", "power", "VV VH", 192, 10.0, 0.633804),
            image("S2L1C_60m", "S2L1C_B01_B09_B10", "S2L1C", s2, "B01 B09 B10", 32, 60.0, 0.565812),
            image("S2L1C_10m", "S2L1C_B02_B03_B04_B08", "S2L1C", s2, ten, 192, 10.0, 0.772514),
            image("S2L1C_20m", "S2L1C_B05_B06_B07_B11_B12_B8A", "S2L1C", s2, twenty, 96, 20.0, 0.765817),
            image(
                "cloud_mask", "S2L1C_cloud_mask", "cloud_mask", "classes", "cloud_mask", 192, 10.0, 0.557045,
                CLOUD_CLASSES,
            ),
            image("S2L2A_60m", "S2L2A_B01_B09", "S2L2A", s2, "B01 B09", 32, 60.0, 0.571367),
            image("S2L2A_10m", "S2L2A_B02_B03_B04_B08", "S2L2A", s2, ten, 192, 10.0, 0.853416),
            image("S2L2A_20m", "S2L2A_B05_B06_B07_B11_B12_B8A", "S2L2A", s2, twenty, 96, 20.0, 0.567267),
            vector("timestamp", "mean_timestamps", "date", "sine cosine year"),
        )
    )  # fmt: skip


def _thumbnails() -> ModalitySet:
    """COP-GEN-Beta's four RGB thumbnails (3 x 256 x 256, latents 4 x 32 x 32 of the Stable-Diffusion VAE)."""
    return ModalitySet(
        tuple(
            Modality(
                name=product,
                published_key=product,
                product=product,
                encoding="colour",
                bands=("red", "green", "blue"),
                pixels=256,
                resolution=None,
                latent_channels=4,
                scale_factor=0.18215,
            )
            for product in ("DEM", "S1RTC", "S2L1C", "S2L2A")
        )
    )


COPGEN = _published()
"""The published twelve modalities: 1.92 km patches, 192 px at 10 m, 834 tokens."""

DEMO = COPGEN.resized(96)
"""The same twelve modalities on 0.96 km patches: what small machines train and the demo model uses."""

TINY = DEMO.subset(["location", "DEM", "S2L2A_60m", "timestamp"])
"""Four small modalities of three kinds, for tests and for configurations that train in seconds on a CPU."""

BETA = _thumbnails()
"""COP-GEN-Beta's four thumbnails."""

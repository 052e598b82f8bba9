"""Parameters with which a backbone knows from its first step on where its tokens lie, and what lies at the same place.

As published, a short run spends most of its steps on finding out which tokens show the same ground and on copying from
one to another. `placed_start` says so in the parameters that would learn it. The width is cut into waves of a token's
place in the patch, the same for all modalities; whose token it is; whose time token it is; how noisy the token is; its
own content; and what lies here: in every block the first head attends to tokens of the same place, to clean ones before
noisy ones, and adds their own content there. In the in-blocks the last head reads the token's own time. Nothing is
fixed: training goes on from there. (Trockman and Kolter 2023 start vision transformers in a like spirit.)
"""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.diffusion.schedule import NETWORK_TIME
from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.nn.backbone import MAX_PERIOD, Backbone
from copgen_jax.training.initialise import token_rows
from copgen_jax.types import Params

LONGEST, SHORTEST = 2.0, 1 / 3
"""Wavelengths of places, in sides of a patch."""
TIME_MARK = 4.0
"""What marks a time token, whose sinusoids fill the whole width; the mark of a modality is 1."""
BY_PLACE, BY_TIME = 1.4, 8.0
"""Scale of queries and keys of the head that attends by place; logarithm of the weight of the own time token."""
BY_NOISE = 5.0
"""Scale of queries and keys by noise."""
LATER = 0.4
"""Scale of queries and keys in all blocks but the first, whose tokens are about a third as large as normalised ones."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Which features of the width are for what."""

    width: int
    heads: int
    modalities: int

    @property
    def head(self) -> int:
        """How many features a head has."""
        return self.width // self.heads

    @property
    def place(self) -> slice:
        """Of the waves: a quarter."""
        return slice(0, self.width // 16 * 4)

    @property
    def whose(self) -> slice:
        """One for each modality: whose token."""
        return _after(self.place, self.modalities)

    @property
    def time(self) -> slice:
        """One for each modality: whose time token."""
        return _after(self.whose, self.modalities)

    @property
    def noise(self) -> slice:
        """One: how noisy the token is."""
        return _after(self.time, 1)

    @property
    def own(self) -> slice:
        """Of a token's own content: half of what is left, and no more than a head carries."""
        return _after(self.noise, min((self.width - self.noise.stop) // 2, self.head))

    @property
    def here(self) -> slice:
        """As many, of what other tokens of the place brought."""
        return _after(self.own, self.own.stop - self.own.start)


def _after(before: slice, size: int) -> slice:
    return slice(before.stop, before.stop + size)


def _size(features: slice) -> int:
    return features.stop - features.start


def layout_of(backbone: Backbone) -> Layout:
    """How the width of a backbone is cut.

    Raises:
        InputError: nothing is left for content.
    """
    modalities = len(backbone.modalities)
    layout = Layout(width=backbone.width, heads=backbone.heads, modalities=modalities)
    if _size(layout.own) < 1:
        raise InputError(
            f"a width of {backbone.width} is too small to mark {modalities} modalities and places; choose a larger one "
            "or the start published"
        )
    return layout


def placed_start(backbone: Backbone, params: Params, key: jax.Array) -> Params:
    """Freshly drawn parameters, with the position embedding, the modalities' embeddings, and attention set by place.

    Raises:
        InputError: the backbone is too narrow.
    """
    layout = layout_of(backbone)
    changed = dict(params)
    changed["position_embedding"] = params["position_embedding"] + marks(backbone.modalities, layout)
    for modality in backbone.modalities:
        name = f"embed_{modality.name}"
        changed[name] = jax.tree.map(lambda leaf: _only(leaf, layout.own), params[name])
    for name, for_block in zip(("in_blocks", "mid_block", "out_blocks"), jax.random.split(key, 3), strict=True):
        for_place, for_time = jax.random.split(for_block)
        heads = {0: _head_of_place(layout, for_place)}
        if name == "in_blocks" and layout.heads > 1:
            heads[layout.heads - 1] = _head_of_time(layout, for_time)
        later = {number: _of_normalised(head) for number, head in heads.items()}
        changed[name] = _with_heads(params[name], later, layout)
        if name == "in_blocks":
            first = _with_heads(jax.tree.map(lambda leaf: leaf[0], params[name]), heads, layout)
            changed[name] = jax.tree.map(lambda all_of, one: all_of.at[0].set(one), changed[name], first)
    return changed


def marks(modalities: ModalitySet, layout: Layout) -> np.ndarray:
    """Places, whose tokens and whose time tokens they are (tokens, width); no content."""
    found = np.zeros((modalities.tokens, layout.width), np.float32)
    for number, (name, rows) in enumerate(token_rows(modalities).items()):
        time, *tokens = rows
        if modalities[name].is_image:
            found[tokens, layout.place] = _of_tokens(modalities[name], _size(layout.place))
        found[rows, layout.whose.start + number] = 1.0
        found[time, layout.time.start + number] = TIME_MARK
    return found


def _head_of_place(layout: Layout, key: jax.Array) -> tuple[jax.Array, ...]:
    """Query, key, value and projection of a head that leads own content of the same place to what lies here."""
    for_place, for_content = jax.random.split(key)
    nothing = jnp.zeros((layout.width, layout.head))
    *waves, by_noise = _orthogonal(for_place, _size(layout.place) + 1, layout.head)
    by_place = nothing.at[layout.place].set(BY_PLACE * jnp.stack(waves))
    # Every token asks so, by the mark that says whose it is.
    asks = by_place.at[layout.whose].set(BY_NOISE * by_noise.reshape(1, -1))
    answers = by_place.at[layout.noise].set(-BY_NOISE * by_noise.reshape(1, -1))
    basis = _orthogonal(for_content, _size(layout.own), layout.head)
    return asks, answers, nothing.at[layout.own].set(basis), nothing.at[layout.here].set(basis).T


def _head_of_time(layout: Layout, key: jax.Array) -> tuple[jax.Array, ...]:
    """Likewise of a head that leads the sinusoids of the own time, which fill the width, to a token's own content.

    One of them grows from 0 to 1 with the time: it says how noisy the token is.
    """
    for_codes, for_sinusoids, for_content = jax.random.split(key, 3)
    nothing = jnp.zeros((layout.width, layout.head))
    codes = _orthogonal(for_codes, layout.modalities, layout.head)
    asks = nothing.at[layout.whose].set(BY_TIME / TIME_MARK * layout.head**0.5 * codes)
    answers = nothing.at[layout.time].set(codes)
    sinusoids = _orthogonal(for_sinusoids, layout.width, layout.head).at[:, 0].set(0.0)
    sinusoids = sinusoids.at[_rising_sine(layout.width), 0].set(1.0)
    back = nothing.at[layout.own].set(_orthogonal(for_content, _size(layout.own), layout.head)).T
    return asks, answers, sinusoids, back.at[0].set(0.0).at[0, layout.noise].set(1.0)


def _rising_sine(width: int) -> int:
    """The feature of the time embedding whose sine has a quarter of its period at network time 1000."""
    return width // 2 + round(width // 2 * math.log(2 * NETWORK_TIME / math.pi) / math.log(MAX_PERIOD))


def _with_heads(block: Params, heads: Mapping[int, tuple[jax.Array, ...]], layout: Layout) -> Params:
    """A block, or stacked ones, with the kernels of some heads replaced."""
    qkv, proj = block["qkv"]["kernel"], block["proj"]["kernel"]
    for number, (*kernels, back) in heads.items():
        for part, kernel in enumerate(kernels):
            first = part * layout.width + number * layout.head
            qkv = qkv.at[..., first : first + layout.head].set(kernel)
        proj = proj.at[..., number * layout.head : (number + 1) * layout.head, :].set(back)
    return {**block, "qkv": {"kernel": qkv}, "proj": {**block["proj"], "kernel": proj}}


def _of_normalised(head: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """A head with queries and keys for normalised tokens, on which logits of the first block's would be ten times."""
    asks, answers, values, back = head
    return LATER * asks, LATER * answers, values, back


def _only(leaf: jax.Array, features: slice) -> jax.Array:
    """The same with zeros in all other features."""
    return jnp.zeros_like(leaf).at[..., features].set(leaf[..., features])


def _orthogonal(key: jax.Array, rows: int, columns: int) -> jax.Array:
    """A corner of a random orthogonal matrix."""
    return jax.random.orthogonal(key, max(rows, columns))[:rows, :columns]


def _of_tokens(modality: Modality, features: int) -> np.ndarray:
    """Sines and cosines of the places of a modality's tokens, (tokens, features)."""
    side = modality.latent_shape[0] // modality.token_side
    centres = (np.arange(side) + 0.5) / side
    waves = np.geomspace(LONGEST, SHORTEST, features // 4)
    angles = 2 * np.pi * centres[:, None] / waves
    along = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    rows, columns = np.divmod(np.arange(modality.tokens), side)
    return np.concatenate([along[rows], along[columns]], axis=1).astype(np.float32)

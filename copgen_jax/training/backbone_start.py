"""Parameters with which a backbone knows from its first step on where its tokens lie, and what lies at the same place.

As published, a short run spends most of its steps on finding out which tokens show the same ground and on copying from
one to another: after 3,000 steps of the demo, an image still explained a third of its twin at the other processing
level, where a linear map explains 97 %. `placed_start` says so in the parameters that would learn it. The width is cut
in four: waves of a token's place in the patch, the same for all modalities; whose token it is; whose time token it is;
and the rest for content. In every block the first heads attend to tokens of the same place and add their content, and
the last head attends to the token's own time. Nothing is fixed: training goes on from there. (Trockman and Kolter 2023
start vision transformers in a like spirit.)
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.nn.backbone import Backbone
from copgen_jax.training.initialise import token_rows
from copgen_jax.types import Params

LONGEST, SHORTEST = 2.0, 1 / 3
"""Wavelengths of places, in sides of a patch."""
TIME_MARK = 4.0
"""What marks a time token, whose sinusoids fill the whole width; the mark of a modality is 1."""
BY_PLACE, BY_TIME = 2.5, 8.0
"""Scale of queries and keys of the heads that attend by place; logarithm of the weight of the own time token."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Which features of the width are for what, and which head for what."""

    place: int
    modalities: int
    width: int
    heads: int

    @property
    def first_time(self) -> int:
        """First of the features that say whose time token it is; those before, after places, say whose token."""
        return self.place + self.modalities

    @property
    def first_content(self) -> int:
        """First of the features of content, which are the rest."""
        return self.first_time + self.modalities

    @property
    def content(self) -> int:
        """Features of content."""
        return self.width - self.first_content

    @property
    def head(self) -> int:
        """Features of a head."""
        return self.width // self.heads

    @property
    def placed_heads(self) -> int:
        """As many as carry all content between them; one at least is left for time where there are several."""
        return max(1, min(self.heads - 1, -(-self.content // self.head)))


def layout_of(backbone: Backbone) -> Layout:
    """A third of the width for places, two features for each modality, the rest for content.

    Raises:
        InputError: nothing is left for content.
    """
    modalities = len(backbone.modalities)
    layout = Layout(place=backbone.width // 12 * 4, modalities=modalities, width=backbone.width, heads=backbone.heads)
    if layout.content < 1:
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
        changed[name] = jax.tree.map(lambda leaf: leaf.at[..., : layout.first_content].set(0.0), params[name])
    for name, for_block in zip(("in_blocks", "mid_block", "out_blocks"), jax.random.split(key, 3), strict=True):
        block = params[name]
        qkv, proj = _attention(block["qkv"]["kernel"], block["proj"]["kernel"], layout, for_block)
        changed[name] = {**block, "qkv": {"kernel": qkv}, "proj": {**block["proj"], "kernel": proj}}
    return changed


def marks(modalities: ModalitySet, layout: Layout) -> np.ndarray:
    """Places, whose tokens and whose time tokens they are (tokens, width); no content."""
    found = np.zeros((modalities.tokens, layout.width), np.float32)
    for number, (name, rows) in enumerate(token_rows(modalities).items()):
        time, *tokens = rows
        if modalities[name].is_image:
            found[tokens, : layout.place] = _of_tokens(modalities[name], layout.place)
        found[rows, layout.place + number] = 1.0
        found[time, layout.first_time + number] = TIME_MARK
    return found


def _attention(qkv: jax.Array, proj: jax.Array, layout: Layout, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Kernels of a block or of stacked ones, the heads by place and by time set.

    A head's values are content in an orthogonal basis, which the projection leads back: it adds the content of what it
    attends to. Heads by place share one basis. That of time takes values from the whole width, as sinusoids fill it.
    """
    for_place, for_content, for_time = jax.random.split(key, 3)
    width, head, placed = layout.width, layout.head, layout.placed_heads
    by_place = jnp.zeros((width, head)).at[: layout.place].set(BY_PLACE * _orthogonal(for_place, layout.place, head))
    basis = _orthogonal(for_content, layout.content, layout.content)
    for number in range(placed):
        share = basis[:, number * head : (number + 1) * head]
        values = jnp.zeros((width, head)).at[layout.first_content :, : share.shape[1]].set(share)
        qkv = _set_head(qkv, number, (by_place, by_place, values), layout)
        proj = proj.at[..., number * head : (number + 1) * head, :].set(values.T)
    if placed < layout.heads:
        last = layout.heads - 1
        codes = _orthogonal(for_time, layout.modalities, head)
        asks = (
            jnp.zeros((width, head)).at[layout.place : layout.first_time].set(BY_TIME / TIME_MARK * head**0.5 * codes)
        )
        answers = jnp.zeros((width, head)).at[layout.first_time : layout.first_content].set(codes)
        sinusoids = _orthogonal(for_time, width, head)
        qkv = _set_head(qkv, last, (asks, answers, sinusoids), layout)
        back = (
            jnp.zeros((head, width)).at[:, layout.first_content :].set(_orthogonal(for_content, head, layout.content))
        )
        proj = proj.at[..., last * head : (last + 1) * head, :].set(back)
    return qkv, proj


def _set_head(qkv: jax.Array, number: int, kernels: tuple[jax.Array, ...], layout: Layout) -> jax.Array:
    for part, kernel in enumerate(kernels):
        first = part * layout.width + number * layout.head
        qkv = qkv.at[..., first : first + layout.head].set(kernel)
    return qkv


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

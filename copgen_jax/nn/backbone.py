"""The diffusion transformer: a U-ViT over the tokens of all modalities at once.

Sequence: one time token per modality (sinusoidal embedding of its own timestep, used as it is), then each modality's
tokens (2 x 2 latent pixels, or one number of a vector), both in network order, plus one learned position embedding.
depth/2 in-blocks, a mid block, depth/2 out-blocks; an out-block first joins the output of its mirror in-block. Blocks
are post-norm. A final LayerNorm and one linear head per modality predict the noise (Bao et al. 2023, U-ViT; COP-GEN,
arXiv 2603.03239).

The in- and out-blocks run under `nn.scan`: compile time does not grow with depth. Their parameters are stacked on
axis 0. The out-blocks scan in reverse, because their skips arrive in the order of the in-blocks: entry i of both stacks
belongs to in-block i, so the published `out_blocks.0` is the last entry.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.nn.attention import Implementation, attention, queries_keys_values
from copgen_jax.nn.layers import KEPT, Dense, LayerNorm, fan_in_uniform, patchify, unpatchify
from copgen_jax.types import Array, Float, Latents, Timesteps

MAX_PERIOD = 10_000.0

Remat = Literal["none", "dots", "full"]
"""What a block keeps for its gradient: everything, the outputs of matrix products and of attention, or its input."""


def time_embedding(times: Float[Array, "*batch"], width: int) -> Float[Array, "*batch d"]:
    """[cos(t f_0), .., sin(t f_0), ..], f_k = 10000^(-k / (width/2)), of network times in [0, 1000].

    The frequencies round as the original's do: one unit in their last place is 6e-5 in the sine at t = 1000.
    """
    half = width // 2
    exponent = np.float32(-np.log(MAX_PERIOD)) * np.arange(half, dtype=np.float32) / np.float32(half)
    frequencies = np.exp(exponent.astype(np.float64)).astype(np.float32)
    angles = jnp.asarray(times, jnp.float32)[..., None] * frequencies.reshape((1,) * times.ndim + (half,))
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class Block(nn.Module):
    """x = LN(x + attention(x)); x = LN(x + MLP(x)); an out-block starts with x = LN(W [x, skip] + b).

    Has the signature of a scan body: returns the new x twice, as carry and as skip.
    """

    heads: int
    mlp_ratio: int
    joins_skip: bool
    dtype: Any
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "B N d"], skip: Float[Array, "B N d"] | None):
        """Returns (x, x)."""
        batch, tokens, width = x.shape
        if self.joins_skip:
            assert skip is not None
            with jax.named_scope("join"):
                joined = jnp.concatenate([x, skip], axis=-1)
                x = LayerNorm(name="norm_join")(Dense(width, self.dtype, name="join")(joined))
        with jax.named_scope("attention"):
            qkv = Dense(3 * width, self.dtype, use_bias=False, name="qkv")(x)
            qkv = qkv.reshape(batch, tokens, 3, self.heads, width // self.heads)
            heads = attention(*queries_keys_values(qkv), implementation=self.attention)
            attended = Dense(width, self.dtype, name="proj")(heads.reshape(batch, tokens, width))
            x = LayerNorm(name="norm_attention")(x + attended)
        with jax.named_scope("mlp"):
            hidden = Dense(self.mlp_ratio * width, self.dtype, name="mlp_in")(x)
            x = LayerNorm(name="norm_mlp")(x + Dense(width, self.dtype, after_gelu=True, name="mlp_out")(hidden))
        return x, x


class Backbone(nn.Module):
    """Predicts the noise of every modality from all latents and their timesteps.

    `backbone.apply({"params": p}, latents, timesteps)` with latents {name: (B, h, w, c) or (B, 3)} and network times
    {name: (B,)} in [0, 1000], both for every modality of the set, returns {name: like latents} in float32.
    """

    modalities: ModalitySet
    width: int = 1024
    depth: int = 20
    heads: int = 16
    mlp_ratio: int = 4
    dtype: Any = jnp.float32
    """Compute dtype of matrix products; parameters, statistics and softmax stay float32."""
    attention: Implementation = "plain"
    remat: Remat = "none"
    loop: bool = True
    """Whether blocks are a loop, or written out one after another: that copies nothing for the gradient, but compiles
    longer."""

    @property
    def loops(self) -> bool:
        """Whether blocks are a loop; rematerialised ones always are, or XLA would undo it."""
        return self.loop or self.remat != "none"

    @nn.compact
    def __call__(self, latents: Latents, timesteps: Timesteps) -> dict[str, Array]:
        """See the class."""
        self._check(latents, timesteps)
        with jax.named_scope("embed"):
            x = self._embed(latents, timesteps)
        self.sow("intermediates", "tokens_embedded", x)

        with jax.named_scope("in_blocks"):
            x, skips = self._stack("in_blocks", joins_skip=False, reverse=False)(x, None)
        self.sow("intermediates", "skips", skips)
        with jax.named_scope("mid_block"):
            x, _ = self._block_class()(**self._block_options(joins_skip=False), name="mid_block")(x, None)
        self.sow("intermediates", "middle", x)
        with jax.named_scope("out_blocks"):
            x, _ = self._stack("out_blocks", joins_skip=True, reverse=True)(x, skips)

        x = LayerNorm(name="norm")(x)
        self.sow("intermediates", "final_norm", x)
        with jax.named_scope("heads"):
            return self._heads(x)

    def _embed(self, latents: Latents, timesteps: Timesteps) -> Float[Array, "B N d"]:
        times = jnp.stack([jnp.asarray(timesteps[name], jnp.float32) for name in self.modalities.names], axis=1)
        sequence = [time_embedding(times, self.width).astype(self.dtype)]
        for modality in self.modalities:
            values = jnp.asarray(latents[modality.name], self.dtype)
            tokens = patchify(values, modality.token_side) if modality.is_image else values[..., None]
            initialise = fan_in_uniform(tokens.shape[-1])
            embed = nn.Dense(
                self.width,
                dtype=self.dtype,
                kernel_init=initialise,
                bias_init=initialise,
                name=f"embed_{modality.name}",
            )
            sequence.append(embed(tokens))
        position = self.param(
            "position_embedding", nn.initializers.normal(0.02), (self.modalities.tokens, self.width), jnp.float32
        )
        return jnp.concatenate(sequence, axis=1) + position.astype(self.dtype)[None]

    def _heads(self, x: Float[Array, "B N d"]) -> dict[str, Array]:
        predictions = {}
        ends = np.cumsum([len(self.modalities), *(m.tokens for m in self.modalities)])
        for modality, tokens in zip(self.modalities, jnp.split(x, ends[:-1], axis=1)[1:], strict=True):
            features = int(np.prod(modality.latent_shape)) // modality.tokens
            head = nn.Dense(
                features, dtype=self.dtype, kernel_init=nn.initializers.normal(0.02), name=f"head_{modality.name}"
            )
            values = head(tokens).astype(jnp.float32)
            predictions[modality.name] = self._untokenised(values, modality)
        return predictions

    @staticmethod
    def _untokenised(values: Float[Array, "B N p"], modality: Modality) -> Array:
        if not modality.is_image:
            return values[..., 0]
        height, width, channels = modality.latent_shape
        return unpatchify(values, (height, width, channels), modality.token_side)

    def _block_class(self) -> type[nn.Module]:
        policies = {"dots": jax.checkpoint_policies.save_only_these_names(KEPT), "full": None}
        if self.remat == "none":
            return Block
        if self.remat not in policies:
            raise InputError(f"remat is {self.remat!r}: expected none, dots or full")
        # Inside a scan the loop already keeps XLA from undoing the rematerialisation.
        return nn.remat(Block, prevent_cse=False, policy=policies[self.remat])

    def _block_options(self, *, joins_skip: bool) -> dict[str, Any]:
        return {
            "heads": self.heads,
            "mlp_ratio": self.mlp_ratio,
            "joins_skip": joins_skip,
            "dtype": self.dtype,
            "attention": self.attention,
        }

    def _stack(self, name: str, *, joins_skip: bool, reverse: bool) -> nn.Module:
        stack = nn.scan(
            self._block_class(),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.depth // 2,
            reverse=reverse,
            unroll=not self.loops,
        )
        return stack(**self._block_options(joins_skip=joins_skip), name=name)

    def _check(self, latents: Latents, timesteps: Timesteps) -> None:
        """Shapes are static: this costs nothing at run time."""
        for modality in self.modalities:
            name = modality.name
            for what, given in (("latents", latents), ("timesteps", timesteps)):
                if name not in given:
                    raise InputError(f"the backbone got no {what} of {name}; it needs all of {self.modalities.names}")
            if tuple(latents[name].shape[1:]) != modality.latent_shape:
                raise InputError(
                    f"latents of {name} have shape {tuple(latents[name].shape)}; expected (B, "
                    f"{', '.join(map(str, modality.latent_shape))})"
                )

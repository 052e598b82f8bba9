"""The diffusion transformer in PyTorch: see `copgen_jax/nn/backbone.py` for what it computes.

Sequence: a time token per modality, then each modality's tokens, plus one position embedding. Post-norm blocks; an
out-block first joins the output of its mirror in-block.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from copgen_jax.modalities import Modality, ModalitySet

AttentionForm = Literal["float32", "fused", "cudnn"]
"""`float32` writes the matrix of weights out, as the original does, outside of autocast; `fused` is PyTorch's own, and
so is `cudnn`, compiled for itself: which kernel runs is what the caller prefers when it is compiled."""


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, form: AttentionForm):
        super().__init__()
        self.heads, self.form = heads, form
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.form in ("fused", "cudnn"):
            mixed = functional.scaled_dot_product_attention(query, key, value)
        else:
            with torch.autocast(x.device.type, enabled=False):
                query, key, value = query.float(), key.float(), value.float()
                logits = (query @ key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
                mixed = logits.softmax(dim=-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Perceptron(nn.Module):
    def __init__(self, width: int, ratio: int):
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, ratio: int, form: AttentionForm, joins_skip: bool):
        super().__init__()
        if joins_skip:
            self.skip_linear = nn.Linear(2 * width, width)
            self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, form)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width, ratio)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is not None:
            x = self.norm1(self.skip_linear(torch.cat([x, skip], dim=-1)))
        x = self.norm2(x + self.attn(x))
        return self.norm3(x + self.mlp(x))


class TokenEmbedding(nn.Module):
    def __init__(self, modality: Modality, width: int):
        super().__init__()
        channels, side = (modality.latent_channels, modality.token_side) if modality.is_image else (1, 1)
        self.proj = nn.Conv2d(channels, width, kernel_size=side, stride=side)

    def forward(self, latent: Tensor) -> Tensor:
        return self.proj(latent).flatten(2).transpose(1, 2)


class TwinBackbone(nn.Module):
    """`twin(latents, times)`: {name: (B, c, h, w)}, vectors (B, 1, 1, 3), and (M, B) network times -> noise.

    Args:
        modalities: in network order.
        width, depth, heads, mlp_ratio: sizes.
        attention: see `AttentionForm`.
        checkpointing: recompute each block in the backward pass, as the original trains.
    """

    def __init__(
        self,
        modalities: ModalitySet,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: int = 4,
        attention: AttentionForm = "fused",
        checkpointing: bool = False,
    ):
        super().__init__()
        self.modalities, self.width, self.checkpointing = modalities, width, checkpointing
        self.pos_embed = nn.Parameter(torch.zeros(1, modalities.tokens, width))
        self.patch_embeds = nn.ModuleList([TokenEmbedding(m, width) for m in modalities])

        def stack(joins_skip: bool) -> nn.ModuleList:
            return nn.ModuleList([Block(width, heads, mlp_ratio, attention, joins_skip) for _ in range(depth // 2)])

        self.in_blocks = stack(joins_skip=False)
        self.mid_block = Block(width, heads, mlp_ratio, attention, joins_skip=False)
        self.out_blocks = stack(joins_skip=True)
        self.norm = nn.LayerNorm(width)
        self.decoder_preds = nn.ModuleList([nn.Linear(width, _features(m)) for m in modalities])

    def forward(self, latents: dict[str, Tensor], times: Tensor) -> dict[str, Tensor]:
        sequence = [time_embedding(times.T, self.width)]
        sequence += [embed(latents[name]) for embed, name in zip(self.patch_embeds, self.modalities.names, strict=True)]
        x = torch.cat([part.to(sequence[-1].dtype) for part in sequence], dim=1) + self.pos_embed
        skips = []
        for block in self.in_blocks:
            x = self._run(block, x)
            skips.append(x)
        x = self._run(self.mid_block, x)
        for block in self.out_blocks:
            x = self._run(block, x, skips.pop())
        x = self.norm(x)
        predictions, start = {}, len(self.modalities)
        for modality, head in zip(self.modalities, self.decoder_preds, strict=True):
            values = head(x[:, start : start + modality.tokens]).float()
            predictions[modality.name] = _untokenised(values, modality)
            start += modality.tokens
        return predictions

    def _run(self, block: nn.Module, *arguments: Tensor) -> Tensor:
        if self.checkpointing and self.training:
            return checkpoint(block, *arguments, use_reentrant=False)  # pyright: ignore
        return block(*arguments)


def time_embedding(times: Tensor, width: int) -> Tensor:
    """[cos(t f_0), .., sin(t f_0), ..] of times (...,) -> (..., width)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half, dtype=torch.float32, device=times.device) / half)
    angles = times.float()[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _features(modality: Modality) -> int:
    return modality.latent_channels * modality.token_side**2 if modality.is_image else 1


def _untokenised(values: Tensor, modality: Modality) -> Tensor:
    """(B, N, p), p = (row, column, channel) -> (B, c, h, w); vectors (B, 1, 1, 3)."""
    if not modality.is_image:
        return values.transpose(1, 2)[:, :, None]
    height, width, channels = modality.latent_shape
    side = modality.token_side
    grid = values.view(-1, height // side, width // side, side, side, channels)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, height, width)

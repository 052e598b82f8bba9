"""The KL autoencoder in PyTorch: see `copgen_jax/nn/autoencoder.py` for what it computes."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


def _norm(groups: int, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, channels: int, features: int, groups: int):
        super().__init__()
        self.norm1 = _norm(groups, channels)
        self.conv1 = nn.Conv2d(channels, features, 3, padding=1)
        self.norm2 = _norm(groups, features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(channels, features, 1) if channels != features else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class PixelAttention(nn.Module):
    def __init__(self, channels: int, groups: int, fused: bool):
        super().__init__()
        self.fused = fused
        self.norm = _norm(groups, channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        query, key, value = (f(normed).flatten(2).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.fused:
            mixed = functional.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        else:
            weights = torch.softmax(query @ key.transpose(1, 2) * query.shape[-1] ** -0.5, dim=-1)
            mixed = weights @ value
        return x + self.proj_out(mixed.transpose(1, 2).reshape(x.shape))


class Middle(nn.Module):
    def __init__(self, channels: int, groups: int, fused: bool):
        super().__init__()
        self.block_1 = Residual(channels, channels, groups)
        self.attn_1 = PixelAttention(channels, groups, fused)
        self.block_2 = Residual(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Shrink(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class Enlarge(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, widths: list[int], groups: int):
        super().__init__()
        self.block = nn.ModuleList([Residual(a, b, groups) for a, b in itertools.pairwise(widths)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return x


class TwinEncoder(nn.Module):
    def __init__(self, channels: int, widths: list[int], blocks: int, groups: int, moments: int, fused: bool):
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        before = widths[0]
        for i, width in enumerate(widths):
            level = Level([before, *[width] * blocks], groups)
            if i < len(widths) - 1:
                level.downsample = Shrink(width)
            self.down.append(level)
            before = width
        self.mid = Middle(before, groups, fused)
        self.norm_out = _norm(groups, before)
        self.conv_out = nn.Conv2d(before, moments, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
            if hasattr(level, "downsample"):
                x = level.downsample(x)  # pyright: ignore
        return self.conv_out(functional.silu(self.norm_out(self.mid(x))))


class TwinDecoder(nn.Module):
    def __init__(self, channels: int, widths: list[int], blocks: int, groups: int, latents: int, fused: bool):
        super().__init__()
        before = widths[-1]
        self.conv_in = nn.Conv2d(latents, before, 3, padding=1)
        self.mid = Middle(before, groups, fused)
        levels = []
        for i, width in reversed(list(enumerate(widths))):
            level = Level([before, *[width] * (blocks + 1)], groups)
            if i > 0:
                level.upsample = Enlarge(width)
            levels.append(level)
            before = width
        self.up = nn.ModuleList(levels[::-1])
        self.norm_out = _norm(groups, before)
        self.conv_out = nn.Conv2d(before, channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for i in reversed(range(len(self.up))):
            x = self.up[i](x)
            if i > 0:
                x = self.up[i].upsample(x)  # pyright: ignore
        return self.conv_out(functional.silu(self.norm_out(x)))


class TwinAutoencoder(nn.Module):
    """`encode`: images (B, C, H, W) -> moments (B, 2 c, h, w). `decode`: unscaled latents (B, c, h, w) -> images."""

    def __init__(
        self,
        *,
        channels: int,
        base_width: int,
        multipliers: tuple[int, ...],
        blocks: int,
        latent_channels: int,
        groups: int,
        fused_attention: bool = True,
    ):
        super().__init__()
        widths = [base_width * m for m in multipliers]
        moments = 2 * latent_channels
        self.encoder = TwinEncoder(channels, widths, blocks, groups, moments, fused_attention)
        self.decoder = TwinDecoder(channels, widths, blocks, groups, latent_channels, fused_attention)
        self.quant_conv = nn.Conv2d(moments, moments, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)

    def encode(self, images: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(images))

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latents))

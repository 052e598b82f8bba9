"""Clouds, their shadows, their mask, and what they do to light.

The mask (0 clear, 1 thick, 2 thin, 3 shadow) comes from a hidden cloud field, threshold by threshold; the shadow is the
same field seen displaced away from the sun by height x tan(zenith). Light then depends on the mask alone, plus fresh
texture: given date and mask, nothing else about the field matters, which keeps that conditional exact.
"""

import dataclasses

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.special import ndtri

from copgen_jax.data.world.noise import Stream, smoothstep

CLEAR, THICK, THIN, SHADOW = 0, 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Sky:
    """Hidden cloud field of an overpass."""

    cover: float
    """Share of the sky under thick cloud."""
    veil: float
    """Share under thin cloud."""
    size: float
    """Size of clouds in metres."""
    height: float
    """Metres above the ground."""


@dataclasses.dataclass(frozen=True)
class Light:
    """What clouds do to light, per 10 m pixel (H, W)."""

    opacity: np.ndarray
    """Share of the light from the ground that a cloud replaces by its own."""
    brightness: np.ndarray
    """Reflectance of the cloud in the visible."""
    direct: np.ndarray
    """Direct sunlight that reaches the ground, 1 where clear."""
    cirrus: float
    """Height of thin cloud, 0 (low) to 1 (above nearly all water vapour): what makes it bright in B10."""


def draw_sky(stream: Stream, cloudiness: float) -> Sky:
    """Half of the overpasses are clear where `cloudiness` is 0.5; scenes are chosen for little cloud."""
    rng = stream.scalars()
    cloudy, cover, veiled, veil, size, height = rng.random(6).tolist()
    return Sky(
        cover=float(0.7 * cover**2.2) if cloudy < cloudiness else 0.0,
        veil=float(0.6 * veil**1.5) if veiled < 0.4 * cloudiness else 0.0,
        size=float(350.0 * np.exp(2.3 * size)),
        height=float(500.0 + 2500.0 * height),
    )


def draw_mask(stream: Stream, sky: Sky, zenith: float, azimuth: float) -> np.ndarray:
    """Codes (H, W) uint8."""
    mask = np.zeros((stream.window.pixels,) * 2, np.uint8)
    if sky.cover > 0.004:
        waves = tuple(sky.size * f for f in (1.0, 0.42, 0.18, 0.08))
        weights = (1.0, 0.55, 0.3, 0.16)
        edge = float(-ndtri(sky.cover))
        field = stream.field("cloud", waves, weights)
        reach = sky.height * np.tan(np.radians(min(zenith, 75.0)))
        away = (np.cos(np.radians(azimuth)) * -reach, np.sin(np.radians(azimuth)) * reach)
        shaded = stream.field("cloud", waves, weights, shift=away) > edge
        mask[shaded] = SHADOW
        mask[field > edge - 0.22] = THIN
        mask[field > edge] = THICK
    if sky.veil > 0.004:
        veil = stream.field("veil", (5200, 1500, 420), (1.0, 0.5, 0.2)) > float(-ndtri(sky.veil))
        mask[veil & (mask != THICK)] = THIN
    return mask


def draw_light(stream: Stream, mask: np.ndarray) -> Light:
    """Opacity, brightness and shade for a mask; soft where classes meet."""
    rng = stream.scalars()
    depth, thickness, cirrus, white = rng.random(4).tolist()
    shape = mask.shape
    if not mask.any():
        zeros = np.zeros(shape, np.float32)
        return Light(zeros, zeros, np.ones(shape, np.float32), float(cirrus))
    texture = stream.field("billows", (700, 260, 100, 45), (1.0, 0.7, 0.45, 0.3))
    thick, shadow = (uniform_filter((mask == code).astype(np.float32), 5) for code in (THICK, SHADOW))
    core = uniform_filter(thick, 11)
    thin = uniform_filter((mask == THIN).astype(np.float32), 5)
    veil = np.clip(0.10 + 0.30 * thickness + 0.10 * texture, 0.03, 0.6) * thin
    body = smoothstep(thick, 0.05, 0.9) * np.clip(0.70 + 0.3 * core + 0.08 * texture, 0, 0.99)
    return Light(
        opacity=np.maximum(body, veil).astype(np.float32),
        brightness=np.clip(0.42 + 0.2 * white + 0.28 * core + 0.08 * texture, 0.3, 1.0).astype(np.float32),
        direct=(1 - np.clip((0.55 + 0.35 * depth) * shadow, 0, 1) - 0.25 * thickness * thin).astype(np.float32),
        cirrus=float(cirrus),
    )

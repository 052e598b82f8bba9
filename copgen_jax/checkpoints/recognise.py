"""What a checkpoint is a checkpoint of, from the shapes of its parameters.

Shapes tell everything but two numbers: into how many heads a width is cut, and how many groups a normalisation has. The
published sizes are known by heart; the groups of the published autoencoders are always 32.
"""

import re
from collections.abc import Mapping

import numpy as np

from copgen_jax.config import BASE, HUGE, LARGE, AutoencoderConfig, BackboneConfig
from copgen_jax.errors import InputError
from copgen_jax.modalities import BETA, COPGEN, DEMO, TINY, ModalitySet

_HEAD_WIDTH = 64
"""Of the base and huge backbone, and of most transformers."""
_PUBLISHED_HEADS = {(b.width, b.depth): b.heads for model in (BASE, LARGE, HUGE) if (b := model.backbone) is not None}


def recognise_backbone(state_dict: Mapping[str, np.ndarray], *, heads: int | None = None) -> BackboneConfig:
    """The size of a published backbone. `heads` None: as published for this width and depth, else 64 wide.

    Raises:
        InputError: these are not the parameters of a backbone, or the heads cannot be guessed.
    """
    position = _array(state_dict, "pos_embed", 3, "backbone")
    hidden = _array(state_dict, "mid_block.mlp.fc1.weight", 2, "backbone")
    width = position.shape[2]
    depth = sum(len(_numbers(state_dict, rf"{stack}_blocks\.(\d+)\.")) for stack in ("in", "out"))
    known = heads or _PUBLISHED_HEADS.get((width, depth))
    if known is None and width % _HEAD_WIDTH:
        raise InputError(
            f"a backbone {width} wide and {depth} deep is none of the published ones, and its number of heads is not "
            "in the file: state it with --heads N"
        )
    return BackboneConfig(
        width=width,
        depth=depth,
        heads=known or width // _HEAD_WIDTH,
        mlp_ratio=max(hidden.shape[0] // max(width, 1), 1),
    )


def recognise_modalities(state_dict: Mapping[str, np.ndarray]) -> ModalitySet:
    """The known modality set whose number of modalities and tokens a backbone has.

    Raises:
        InputError: it is none of the known sets.
    """
    tokens = _array(state_dict, "pos_embed", 3, "backbone").shape[1]
    count = len(_numbers(state_dict, r"patch_embeds\.(\d+)\."))
    for known in (COPGEN, DEMO, TINY, BETA):
        if (known.tokens, len(known)) == (tokens, count):
            return known
    raise InputError(
        f"a backbone of {count} modalities and {tokens} tokens belongs to no known modality set (the published one has "
        f"{len(COPGEN)} and {COPGEN.tokens}): say with --modalities which ones of the published it has"
    )


def recognise_autoencoder(state_dict: Mapping[str, np.ndarray]) -> AutoencoderConfig:
    """The size of a published autoencoder.

    Raises:
        InputError: these are not the parameters of an autoencoder.
    """
    base_width = _array(state_dict, "encoder.conv_in.weight", 4, "autoencoder").shape[0]
    levels = _numbers(state_dict, r"encoder\.down\.(\d+)\.")
    widths = [
        _array(state_dict, f"encoder.down.{level}.block.0.conv1.weight", 4, "autoencoder").shape[0]
        for level in range(len(levels))
    ]
    return AutoencoderConfig(
        base_width=base_width,
        multipliers=tuple(width // max(base_width, 1) for width in widths),
        blocks=len(_numbers(state_dict, r"encoder\.down\.0\.block\.(\d+)\.")),
    )


def _array(state_dict: Mapping[str, np.ndarray], name: str, ndim: int, what: str) -> np.ndarray:
    array = state_dict.get(name)
    if array is None or array.ndim != ndim:
        first = next(iter(state_dict), "nothing")
        raise InputError(
            f"these are not the parameters of an original {what}: {name!r} with {ndim} dimensions is "
            f"missing; the first of {len(state_dict)} is {first[:100]!r}"
        )
    return array


def _numbers(state_dict: Mapping[str, np.ndarray], pattern: str) -> set[str]:
    return {match[1] for name in state_dict if (match := re.match(pattern, name))}

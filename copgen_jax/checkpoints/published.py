"""Published parameter names and layouts <-> Flax trees, in both directions from one table.

The table is derived from the network itself: each Flax parameter belongs to one published name, or to one per layer
where layers are stacked. Between the two stand a transposition and a reshape:

    published array --transpose(axes)--> --reshape--> Flax array

PyTorch keeps Linear weights as (out, in) and convolutions as (out, in, row, column); Flax (in, out) and
(row, column, in, out). A backbone's token embedding is a convolution there and a Dense layer on (row, column, channel)
here. Its out-blocks scan in reverse: the published `out_blocks.0` is the last entry of the stack.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from copgen_jax.checkpoints.shapes import autoencoder_shapes, backbone_shapes, flatten, unflatten
from copgen_jax.checkpoints.torch_files import forget_pages
from copgen_jax.errors import InputError
from copgen_jax.nn.autoencoder import Autoencoder
from copgen_jax.nn.backbone import Backbone
from copgen_jax.types import Params

FLOATS = tuple(map(np.dtype, (np.float32, np.float16, ml_dtypes.bfloat16)))
"""Types that weights are stored in. All widen to float32 exactly."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Parameter:
    """One Flax parameter and where it stands in a published checkpoint."""

    path: tuple[str, ...]
    names: tuple[str, ...]
    """Published names: one, or one per layer of the stack in the stack's order."""
    stacked: bool
    shape: tuple[int, ...]
    """Flax shape of one layer."""
    published_shape: tuple[int, ...]
    axes: tuple[int, ...]

    def to_flax(self, array: np.ndarray) -> np.ndarray:
        """A published array in Flax's layout; a view where possible."""
        return array.transpose(self.axes).reshape(self.shape)

    def to_published(self, array: np.ndarray) -> np.ndarray:
        """Inverse of `to_flax`; a view."""
        between = [self.published_shape[axis] for axis in self.axes]
        return array.reshape(between).transpose(np.argsort(self.axes))


def backbone_params(
    state_dict: Mapping[str, np.ndarray], backbone: Backbone, *, dtype: np.dtype | None = FLOATS[0]
) -> Params:
    """The Flax tree of a published backbone: `backbone.apply({"params": tree}, ...)`.

    Args:
        state_dict: published names, as `read_torch` returns them.
        backbone: the network; its modality set says in which order the file should have them.
        dtype: of the tree; None keeps the file's (for storing: networks compute with float32 parameters).

    Raises:
        InputError: another order of the modalities, or a parameter missing, unexpected, of another shape or type.
    """
    check_backbone(state_dict, backbone)
    return _from_published(state_dict, _backbone_table(backbone), dtype)


def autoencoder_params(
    state_dict: Mapping[str, np.ndarray], autoencoder: Autoencoder, *, dtype: np.dtype | None = FLOATS[0]
) -> Params:
    """The Flax tree of a published autoencoder; as `backbone_params`."""
    check_autoencoder(state_dict, autoencoder)
    return _from_published(state_dict, _autoencoder_table(autoencoder), dtype)


def check_backbone(state_dict: Mapping[str, np.ndarray], backbone: Backbone) -> None:
    """Raise InputError where `backbone_params` would, without converting."""
    _check_order(state_dict, backbone)
    _check(state_dict, _backbone_table(backbone), "backbone")


def check_autoencoder(state_dict: Mapping[str, np.ndarray], autoencoder: Autoencoder) -> None:
    """Raise InputError where `autoencoder_params` would, without converting."""
    _check(state_dict, _autoencoder_table(autoencoder), "autoencoder")


def backbone_state_dict(params: Params, backbone: Backbone) -> dict[str, np.ndarray]:
    """Published names and layouts of a backbone's Flax tree: inverse of `backbone_params`. The arrays are views."""
    return _to_published(params, _backbone_table(backbone))


def autoencoder_state_dict(params: Params, autoencoder: Autoencoder) -> dict[str, np.ndarray]:
    """Published names and layouts of an autoencoder's Flax tree: inverse of `autoencoder_params`, as views."""
    return _to_published(params, _autoencoder_table(autoencoder))


_BLOCK_LAYERS = {
    "join": "skip_linear",
    "norm_join": "norm1",
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "norm_attention": "norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
    "norm_mlp": "norm3",
}
"""Layers of a backbone's block -> published."""
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
_STACKS = ("in_blocks", "out_blocks")


def _backbone_table(backbone: Backbone) -> list[_Parameter]:
    places = {modality.name: place for place, modality in enumerate(backbone.modalities)}
    table = []
    for path, shape in backbone_shapes(backbone).items():
        head, stacked = path[0], path[0] in _STACKS
        layer = shape[1:] if stacked else shape
        published, axes = _linear(layer)
        if head == "position_embedding":
            names, published, axes = ("pos_embed",), (1, *shape), (0, 1, 2)
        elif head.startswith("embed_"):
            modality = backbone.modalities[head.removeprefix("embed_")]
            names = (f"patch_embeds.{places[modality.name]}.proj.{_LEAVES[path[-1]]}",)
            if path[-1] == "kernel":
                side = modality.token_side
                published, axes = (shape[1], shape[0] // side**2, side, side), (2, 3, 1, 0)
        elif head.startswith("head_"):
            names = (f"decoder_preds.{places[head.removeprefix('head_')]}.{_LEAVES[path[-1]]}",)
        elif head == "norm":
            names = (f"norm.{_LEAVES[path[-1]]}",)
        else:
            names = tuple(f"{block}.{_BLOCK_LAYERS[path[1]]}.{_LEAVES[path[-1]]}" for block in _blocks(head, shape))
        table.append(
            _Parameter(path=path, names=names, stacked=stacked, shape=layer, published_shape=published, axes=axes)
        )
    return table


def _blocks(head: str, shape: tuple[int, ...]) -> list[str]:
    """Published names of the blocks of a stack, in the stack's order; `mid_block` is one."""
    if head not in _STACKS:
        return [head]
    numbers = range(shape[0]) if head == "in_blocks" else reversed(range(shape[0]))
    return [f"{head}.{i}" for i in numbers]


def _linear(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Published shape and axes of a Linear weight, or of a vector, from its Flax shape."""
    return shape[::-1], tuple(range(len(shape)))[::-1]


def _autoencoder_table(autoencoder: Autoencoder) -> list[_Parameter]:
    table = []
    for path, shape in autoencoder_shapes(autoencoder).items():
        published, axes = shape, (0,)
        if len(shape) == 4:
            published, axes = (shape[3], shape[2], shape[0], shape[1]), (2, 3, 1, 0)
        elif len(shape) == 2:
            published, axes = (shape[1], shape[0], 1, 1), (1, 0, 2, 3)
        name = ".".join((*map(_published_level, path[:-1]), _LEAVES[path[-1]]))
        table.append(
            _Parameter(path=path, names=(name,), stacked=False, shape=shape, published_shape=published, axes=axes)
        )
    return table


def _published_level(name: str) -> str:
    """`down_0_block_1` -> `down.0.block.1`, `up_1_upsample` -> `up.1.upsample.conv`, `mid_attn_1` -> `mid.attn_1`."""
    name = re.sub(r"^(down|up)_(\d+)_block_(\d+)$", r"\1.\2.block.\3", name)
    name = re.sub(r"^(down|up)_(\d+)_(downsample|upsample)$", r"\1.\2.\3.conv", name)
    return re.sub(r"^mid_", "mid.", name)


def _from_published(state_dict: Mapping[str, np.ndarray], table: list[_Parameter], dtype: np.dtype | None) -> Params:
    leaves = {}
    for parameter in table:
        layers = [state_dict[name] for name in parameter.names]
        kinds = {layer.dtype for layer in layers}
        kind = dtype or (kinds.pop() if len(kinds) == 1 else FLOATS[0])
        # One stack at a time, filled in place, source pages given back: the peak stays near the size of the tree.
        leaf = np.empty((len(layers), *parameter.shape) if parameter.stacked else parameter.shape, kind)
        for place, layer in zip(leaf if parameter.stacked else [leaf], layers, strict=True):
            place[...] = parameter.to_flax(layer)
            forget_pages(layer)
        leaves[parameter.path] = leaf
    return unflatten(leaves)


def _to_published(params: Params, table: list[_Parameter]) -> dict[str, np.ndarray]:
    leaves = flatten(params)
    state_dict = {}
    for parameter in table:
        leaf = np.asarray(leaves[parameter.path])
        for name, layer in zip(parameter.names, leaf if parameter.stacked else [leaf], strict=True):
            state_dict[name] = parameter.to_published(layer)
    return state_dict


def _check(state_dict: Mapping[str, np.ndarray], table: list[_Parameter], what: str) -> None:
    """Raise InputError naming the first parameter that does not fit, and how many more do not."""
    expected = {name: parameter.published_shape for parameter in table for name in parameter.names}
    missing = [f"{name!r} is missing" for name in expected if name not in state_dict]
    unexpected = [f"{name[:100]!r} is not one of its parameters" for name in state_dict if name not in expected]
    wrong = []
    for name, shape in expected.items():
        array = state_dict.get(name)
        if array is not None and array.shape != shape:
            wrong.append(f"{name!r} has shape {array.shape} instead of {shape}")
        elif array is not None and array.dtype not in FLOATS:
            wrong.append(f"{name!r} has type {array.dtype} instead of float32, float16 or bfloat16")
    problems = [*missing, *wrong, *unexpected]
    if problems:
        more = f", and {len(problems) - 1} more do not fit either" if len(problems) > 1 else ""
        counts = f"{len(missing)} missing, {len(wrong)} of another shape or type, {len(unexpected)} unexpected"
        raise InputError(f"these parameters are not those of the {what}: {problems[0]}{more} ({counts})")


def _check_order(state_dict: Mapping[str, np.ndarray], backbone: Backbone) -> None:
    """Vectors embed single numbers, images 2 x 2 pixels: the places of the vectors betray another order."""
    kernels = {}
    for name, array in state_dict.items():
        match = re.fullmatch(r"patch_embeds\.(\d{1,4})\.proj\.weight", name)
        if match and array.ndim == 4:
            kernels[int(match[1])] = array.shape[1:]
    found = [place for place in sorted(kernels) if math.prod(kernels[place]) == 1]
    expected = [place for place, modality in enumerate(backbone.modalities) if not modality.is_image]
    if len(kernels) == len(backbone.modalities) and found != expected:
        raise InputError(
            f"the file has its modalities in another order: vectors (location, timestamp) at places {found}, this "
            f"model has them at {expected}; checkpoints of the original follow the ASCII order of its keys, not the "
            "order that its configuration declares"
        )

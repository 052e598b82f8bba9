"""What a run will need: operations, memory and where the state can lie, by formula, before anything is computed.

With N tokens, width d, L = depth + 1 blocks and K = depth / 2 skips, a forward pass of the backbone multiplies and adds

    N d^2 (L (4 + 2 r) + 2 K) + 2 L N^2 d        (r the MLP's ratio; embeddings and heads are small beside it)

and each counts as two operations; a training step takes three times that (the recomputation of rematerialised blocks is
not counted: MFU is about useful work). Memory is what a device holds at the widest moment: its share of the state, and
what one micro-batch keeps for its gradient or, when that is gone, what the update takes.
"""

import dataclasses

import jax
import numpy as np

from copgen_jax.checkpoints.shapes import backbone_shapes
from copgen_jax.config import BackboneConfig
from copgen_jax.nn.backbone import Backbone

STATE_BYTES = 4 * 5
"""Per parameter, all float32: itself, its average, two moments, its gradient."""

_UPDATE_BYTES = 4 * 1.55
"""Per parameter, beside the state, while the optimiser makes its update: as compilers planned it, on a CPU. Gradients
and matrices of blocks that are no loop are there a second time, apart from their stacks."""
_BY_HEAD = 24
"""Planes: queries, keys, values, the output and their gradients, in the order of tokens, of heads, and copied."""

PEAK_TFLOPS = {
    # dense bfloat16, from the makers' data sheets; the first name that a device's kind contains
    "H200": 989.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10G": 70.0,
    "V100": 125.0,
    "TPU v6": 918.0,
    "TPU v5p": 459.0,
    "TPU v5": 197.0,
    "TPU v4": 275.0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one device, in bytes, and of the whole step, in operations."""

    parameters: int
    """Numbers in the backbone."""
    state: int
    """Share of parameters, average, moments and gradients."""
    activations: int
    """Of one micro-batch on one device."""
    update: int
    """What the optimiser's update takes, when the activations are gone."""
    flops_per_step: float

    @property
    def memory(self) -> int:
        """At the widest moment."""
        return self.state + max(self.activations, self.update)

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters; per device about {self.memory / 1e9:.2f} GB: state and gradients "
            f"{self.state / 1e9:.2f} GB, {(self.memory - self.state) / 1e9:.2f} GB while it works"
        )


def estimate_cost(
    backbone: Backbone, *, batch_size: int, accumulation: int, devices: int, fsdp: int, platform: str
) -> Cost:
    """The cost of a training step.

    Args:
        backbone: the network, with its compute type and what it keeps for gradients.
        batch_size: samples per update.
        accumulation: micro-batches.
        devices: that share the batch.
        fsdp: of these, how many share one copy of the state.
        platform: of the devices, as `jax.default_backend()` names it.
    """
    parameters = parameter_count(backbone)
    samples = -(-batch_size // (accumulation * devices))
    sums = 4 * parameters if accumulation > 1 else 0
    return Cost(
        parameters=parameters,
        state=(STATE_BYTES * parameters + sums) // fsdp,
        activations=samples * kept_per_sample(backbone, platform),
        update=int((_UPDATE_BYTES + (0 if backbone.loops else 8)) * parameters) // fsdp,
        flops_per_step=3 * batch_size * forward_flops(backbone, backbone.modalities.tokens),
    )


def parameter_count(backbone: Backbone) -> int:
    """Numbers in a backbone."""
    return sum(int(np.prod(shape)) for shape in backbone_shapes(backbone).values())


def forward_flops(sizes: BackboneConfig | Backbone, tokens: int) -> float:
    """Operations of one forward pass of one sample."""
    blocks, d = sizes.depth + 1, sizes.width
    linear = tokens * d**2 * (blocks * (4 + 2 * sizes.mlp_ratio) + sizes.depth)
    return 2.0 * (linear + 2 * blocks * tokens**2 * d)


def kept_per_sample(backbone: Backbone, platform: str) -> int:
    """Bytes that one sample takes when most is alive: what every block keeps for its gradient, and one block's work.

    Counted in planes of tokens x width. Without rematerialisation a block keeps its input, the queries, keys and values
    by head, attention's output by head and by token, the inputs of both norms and of the MLP, and the MLP's hidden
    layer; where a skip joins also the joined input (two planes) and its norm's. A loop keeps the input twice; blocks
    that are written out keep the activation, or what it is made of, for the gradient. Work is what
    rematerialisation computes again, gradients, those of all skips and three of the hidden layer among them, and
    attention's weights with their gradients: of all heads at once, of one on a CPU, of none in a fused kernel.
    """
    hidden, joins = backbone.mlp_ratio, backbone.depth // 2
    block, join = 9 + hidden, 3
    whole = block + (1 if backbone.loops else hidden)
    of_block, of_join = {"none": (whole, join), "dots": (7 + hidden, 2), "full": (1, 1)}[backbone.remat]
    kept = (backbone.depth + 1) * of_block + joins * of_join
    again = 0 if backbone.remat == "none" else block + join - of_block - of_join
    gradients = joins + 3 * hidden + _BY_HEAD
    tokens, itemsize = backbone.modalities.tokens, np.dtype(backbone.dtype).itemsize
    heads = 0 if backbone.attention == "cudnn" else 1 if platform == "cpu" else backbone.heads
    weights = heads * tokens**2 * (2 * 4 + 2 * itemsize)
    return (kept + again + gradients) * tokens * backbone.width * itemsize + weights


def peak_flops(tflops: float | None = None) -> float | None:
    """Of all devices together, per second: as stated, else from the maker's figure, else None."""
    kind = jax.devices()[0].device_kind
    if tflops is None:
        tflops = next((figure for name, figure in PEAK_TFLOPS.items() if name in kind), None)
    return None if tflops is None else tflops * 1e12 * jax.device_count()

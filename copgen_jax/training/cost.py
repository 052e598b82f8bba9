"""What a run will need: operations, memory and where the state can lie, by formula, before anything is computed.

With N tokens, width d, L = depth + 1 blocks and K = depth / 2 skips, a forward pass of the backbone multiplies and adds

    N d^2 (L (4 + 2 r) + 2 K) + 2 L N^2 d        (r the MLP's ratio; embeddings and heads are small beside it)

and each counts as two operations; a training step takes three times that (the recomputation of rematerialised blocks is
not counted: MFU is about useful work). Memory is what a device holds at the widest moment: its share of the state, and
what one micro-batch keeps for its gradient.
"""

import dataclasses

import jax
import numpy as np

from copgen_jax.checkpoints.shapes import backbone_shapes
from copgen_jax.config import BackboneConfig
from copgen_jax.nn.backbone import Backbone, Remat

STATE_BYTES = 4 * 5
"""Per parameter, all float32: itself, its average, two moments, its gradient."""

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
    flops_per_step: float

    @property
    def memory(self) -> int:
        """All of it."""
        return self.state + self.activations

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters; per device about {self.memory / 1e9:.2f} GB: state "
            f"{self.state / 1e9:.2f} GB, activations {self.activations / 1e9:.2f} GB"
        )


def estimate_cost(backbone: Backbone, *, batch_size: int, accumulation: int, devices: int, fsdp: int) -> Cost:
    """The cost of a training step.

    Args:
        backbone: the network, with its compute type and what it keeps for gradients.
        batch_size: samples per update.
        accumulation: micro-batches.
        devices: that share the batch.
        fsdp: of these, how many share one copy of the state.
    """
    parameters = parameter_count(backbone)
    samples = -(-batch_size // (accumulation * devices))
    sums = 4 * parameters if accumulation > 1 else 0
    sizes = BackboneConfig(
        width=backbone.width, depth=backbone.depth, heads=backbone.heads, mlp_ratio=backbone.mlp_ratio
    )
    return Cost(
        parameters=parameters,
        state=(STATE_BYTES * parameters + sums) // fsdp,
        activations=samples
        * kept_per_sample(sizes, backbone.modalities.tokens, np.dtype(backbone.dtype).itemsize, backbone.remat),
        flops_per_step=3 * batch_size * forward_flops(sizes, backbone.modalities.tokens),
    )


def parameter_count(backbone: Backbone) -> int:
    """Numbers in a backbone."""
    return sum(int(np.prod(shape)) for shape in backbone_shapes(backbone).values())


def forward_flops(sizes: BackboneConfig, tokens: int) -> float:
    """Operations of one forward pass of one sample."""
    blocks, d = sizes.depth + 1, sizes.width
    linear = tokens * d**2 * (blocks * (4 + 2 * sizes.mlp_ratio) + sizes.depth)
    return 2.0 * (linear + 2 * blocks * tokens**2 * d)


def kept_per_sample(sizes: BackboneConfig, tokens: int, itemsize: int, remat: Remat) -> int:
    """Bytes kept for the gradient of one sample.

    Every block keeps its input, every in-block its skip. Without rematerialisation a block also keeps its normalised
    and centred inputs in float32, the outputs of its matrix products, and attention's weights in float32 and in the
    compute type; else one block at a time does, while its gradient is taken.
    """
    plane = tokens * sizes.width
    inputs = (sizes.depth + 1 + sizes.depth // 2) * plane * itemsize
    products = (3 + 1 + sizes.mlp_ratio + 1) * plane * itemsize
    attention = sizes.heads * tokens**2 * (4 + itemsize)
    block = products + attention + 2 * 2 * plane * 4 + (sizes.mlp_ratio + 2) * plane * itemsize
    per_block = {"none": block, "dots": products, "full": 0}[remat]
    return int(inputs + (sizes.depth + 1) * per_block + (0 if remat == "none" else block))


def peak_flops(tflops: float | None = None) -> float | None:
    """Of all devices together, per second: as stated, else from the maker's figure, else None."""
    kind = jax.devices()[0].device_kind
    if tflops is None:
        tflops = next((figure for name, figure in PEAK_TFLOPS.items() if name in kind), None)
    return None if tflops is None else tflops * 1e12 * jax.device_count()

"""What the published sizes need, by formula: `python -m benchmarks.sizing > docs/sizing.md`.

Nothing here is measured; figures of throughput assume a stated share of the maker's peak.
"""

from copgen_jax.config import ModelConfig, preset
from copgen_jax.model import build_backbone
from copgen_jax.parallel import choose_fsdp
from copgen_jax.training.config import training_preset
from copgen_jax.training.cost import PEAK_TFLOPS, STATE_BYTES, estimate_cost, parameter_count

GPUS = {"A100": (40, 80), "H100": (80,), "H200": (141,), "L4": (24,)}
"""Memory in GB."""
MFU = 0.4
USABLE = 0.9
"""Of a device's memory."""
DEVICES = 8


def main() -> None:
    print("# What training needs\n")
    print(
        f"Computed by `python -m benchmarks.sizing` from the formulas in `copgen_jax/training/cost.py`; nothing on "
        f"this page is measured. Bfloat16 compute, {DEVICES} devices, 1,024 samples an update. Samples per second and "
        f"days assume {MFU:.0%} of the maker's peak and every block's input kept (remat full).\n"
    )
    print("## Memory of one device for the state, GB\n")
    print("| model | parameters | fsdp 1 | fsdp 2 | fsdp 4 | fsdp 8 |\n|---|---|---|---|---|---|")
    for name in ("base", "large", "huge"):
        count = parameter_count(build_backbone(preset(name)))
        shares = " | ".join(f"{STATE_BYTES * count / fsdp / 1e9:.1f}" for fsdp in (1, 2, 4, 8))
        print(f"| {name} | {count:,} | {shares} |")
    print("\n## Memory of one sample on a device, GB\n")
    print("| model | remat none | dots | full |\n|---|---|---|---|")
    for name in ("base", "large", "huge"):
        kept = (activations(preset(name), remat) / 1e9 for remat in ("none", "dots", "full"))
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in kept)} |")
    print(f"\n## {DEVICES} devices\n")
    print("| model | GPU | memory | fsdp | samples at a time on a device | samples/s | days for 500,000 updates |")
    print("|---|---|---|---|---|---|---|")
    for name in ("base", "large", "huge"):
        for gpu, memories in GPUS.items():
            for memory in memories:
                print(row(name, gpu, memory))


def activations(config: ModelConfig, remat: str) -> int:
    """Bytes of one sample."""
    backbone = build_backbone(config, dtype="bfloat16", remat=remat)  # pyright: ignore
    return estimate_cost(backbone, batch_size=1, accumulation=1, devices=1, fsdp=1, platform="cuda").activations


def row(name: str, gpu: str, memory: int) -> str:
    """The fewest shares with which the state leaves room, and the largest power of two of samples beside it."""
    training = training_preset(name)
    config = preset(name)
    backbone = build_backbone(config, dtype="bfloat16", remat="full")
    options = {"accumulation": 1, "devices": DEVICES, "fsdp": 1, "platform": "cuda"}
    cost = estimate_cost(backbone, batch_size=training.batch_size, **options)
    fsdp = choose_fsdp(cost.state, memory * 10**9, DEVICES)
    free = USABLE * memory * 1e9 - cost.state / fsdp
    samples = int(free // activations(config, "full"))
    fitting = 2 ** (samples.bit_length() - 1) if samples else 0
    rate = DEVICES * PEAK_TFLOPS[gpu] * 1e12 * MFU / (cost.flops_per_step / training.batch_size)
    days = training.habits.steps * training.batch_size / rate / 86400
    return f"| {name} | {gpu} | {memory} | {fsdp} | {fitting} | {rate:,.0f} | {days:,.1f} |"


if __name__ == "__main__":
    main()

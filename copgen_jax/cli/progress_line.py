"""One line about a training run's progress."""

from typing import Any


def progress_line(row: dict[str, Any], steps: int) -> str:
    """One row of figures for people."""
    left = (steps - row["step"]) * row["seconds_per_step"]
    parts = [
        f"step {row['step']:,}/{steps:,}",
        f"loss {row['loss']:.4g}",
        f"{row['samples_per_second']:.1f} samples/s",
        f"waits for data {row['data_wait']:.0%}",
    ]
    if "mfu" in row:
        parts.append(f"MFU {row['mfu']:.1%}")
    if row["skipped"]:
        parts.append(f"{row['skipped']} updates skipped")
    return "  ".join([*parts, f"{_duration(left)} left"])


def _duration(seconds: float) -> str:
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {int(seconds % 60):02d} s"

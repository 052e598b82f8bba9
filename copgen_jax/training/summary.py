"""What a run came to: `summary.json` and `curves.png` in its directory, from its own log."""

import json
from typing import Any

from copgen_jax.files import file_aside
from copgen_jax.training.run import RunDirectory


def summarise_run(run: RunDirectory) -> dict[str, Any]:
    """Write the summary and the plots; returns the summary."""
    rows = run.rows()
    events = run.events()
    summary: dict[str, Any] = {
        "steps": rows[-1]["step"] if rows else 0,
        "loss": rows[-1]["loss"] if rows else None,
        "skipped": sum(row["skipped"] for row in rows),
        "starts": sum(event["event"] == "started" for event in events),
        "checkpoints": [event["step"] for event in events if event["event"] == "save_finished"],
        "samples_per_second": _median([row["samples_per_second"] for row in rows]),
        "mfu": _median([row["mfu"] for row in rows if "mfu" in row]),
        "data_wait": _median([row["data_wait"] for row in rows]),
        "versions": dict(run.config.versions),
    }
    with file_aside(run.path / "summary.json") as aside:
        aside.write_text(json.dumps(summary, indent=1) + "\n")
    if rows:
        _plot(run, rows)
    return summary


def _plot(run: RunDirectory, rows: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(12, 7), layout="constrained")
    whole, modalities, times, speed = figure.subplots(2, 2).flat
    whole.plot(steps, [row["loss"] for row in rows], color="black")
    whole.set_title("loss")
    for name in rows[-1].get("modalities", {}):
        modalities.plot(steps, [row["modalities"][name] for row in rows], label=name)
    modalities.set_title("error by modality")
    modalities.legend(fontsize=7, ncols=2)
    bins = rows[-1].get("time_bins", [])
    if bins:
        edges = [1000 * (i + 0.5) / len(bins) for i in range(len(bins))]
        for row in (rows[0], rows[len(rows) // 2], rows[-1]):
            times.plot(edges, row["time_bins"], marker="o", label=f"step {row['step']:,}")
        times.legend(fontsize=7)
    times.set_title("error by network time")
    speed.plot(steps, [row["samples_per_second"] for row in rows], color="black")
    speed.set_title("samples per second")
    for axes in (whole, modalities, speed):
        axes.set_xlabel("step")
        axes.set_yscale("log")
    with file_aside(run.path / "curves.png") as aside:
        figure.savefig(aside, dpi=110, format="png")


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None

"""What a run came to: `summary.json` and `curves.png` in its directory, from its own log."""

import json
import math
from collections.abc import Iterable
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
    whole, parts, details, speed = figure.subplots(2, 2).flat
    whole.plot(steps, _numbers(row["loss"] for row in rows), color="black")
    whole.set_title("loss")
    speed.plot(steps, _numbers(row["samples_per_second"] for row in rows), color="black")
    speed.set_title("samples per second")
    if "modalities" in rows[-1]:
        _plot_modalities(parts, rows)
        _plot_times(details, rows)
    else:
        _plot_terms(parts, rows)
        _plot_held_out(details, [event for event in run.events() if event["event"] == "measured"])
    # The adversarial part of an autoencoder's loss may well be negative.
    whole.set_yscale("log" if min(_numbers(row["loss"] for row in rows)) > 0 else "symlog")
    speed.set_ylim(bottom=0)
    for axes in (whole, parts, speed):
        axes.set_xlabel("step")
    with file_aside(run.path / "curves.png") as aside:
        figure.savefig(aside, dpi=110, format="png")


def _plot_modalities(axes: Any, rows: list[dict[str, Any]]) -> None:
    for name in rows[-1]["modalities"]:
        values = _numbers(row["modalities"].get(name) for row in rows)
        axes.plot([row["step"] for row in rows], values, label=name)
    axes.set_title("error by modality")
    axes.set_yscale("log")
    axes.legend(fontsize=7, ncols=2)


def _plot_times(axes: Any, rows: list[dict[str, Any]]) -> None:
    """The first row's, a middle one's and the last one's errors over the network time."""
    bins = len(rows[-1]["time_bins"])
    middles = [1000 * (i + 0.5) / bins for i in range(bins)]
    for row in {row["step"]: row for row in (rows[0], rows[len(rows) // 2], rows[-1])}.values():
        axes.plot(middles, _numbers(row["time_bins"]), marker="o", label=f"step {row['step']:,}")
    axes.set_title("error by network time")
    axes.legend(fontsize=7)


def _plot_terms(axes: Any, rows: list[dict[str, Any]]) -> None:
    """What an autoencoder's loss is made of."""
    steps = [row["step"] for row in rows]
    for part, name in (("generator", "reconstruction"), ("generator", "adversarial"), ("discriminator", "total")):
        axes.plot(steps, _numbers(row[part][name] for row in rows), label=f"{part}: {name}")
    axes.set_title("terms of the losses")
    axes.legend(fontsize=7)


def _plot_held_out(axes: Any, measurements: list[dict[str, Any]]) -> None:
    """Held-out reconstructions: error per band, or share of pixels whose class is kept; dotted for block means."""
    steps = [event["step"] for event in measurements]
    if not steps:
        return
    last = measurements[-1]["held_out"]
    names = list(last.get("rmse", {"all classes": None}))
    for i, name in enumerate(names):
        of_each = [
            event["held_out"].get("rmse", {}).get(name, event["held_out"].get("accuracy")) for event in measurements
        ]
        for who, style in (("autoencoder", "-"), ("block_mean", ":")):
            label = name if who == "autoencoder" else None
            axes.plot(steps, _numbers(f[who] for f in of_each), style, color=f"C{i}", marker=".", label=label)
    axes.set_title(f"held out: {'RMSE, ' + last['unit'] if 'rmse' in last else 'accuracy'}; dotted: 8 x 8 blocks")
    axes.set_xlabel("step")
    axes.set_yscale("log" if "rmse" in last else "linear")
    axes.legend(fontsize=7)


def _numbers(values: Iterable[float | None]) -> list[float]:
    """None, which stands for what is not finite in the log, leaves a gap."""
    return [math.nan if value is None else value for value in values]


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None

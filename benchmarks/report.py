"""The page of results: `RESULTS.md` and its plots, from the JSON files of real runs and from nothing else."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import BENCHMARKS, SPEED
from copgen_jax.files import file_aside

PAGE = Path(__file__).parent / "RESULTS.md"
COLOURS = {"JAX": "#1b6ca8", "PyTorch original": "#c05a2b", "PyTorch": "#8a8a8a"}


def write(results: Path, page: Path = PAGE) -> None:
    """Write the page beside the results' directory, and the plots beside the page."""
    records = _read(results)
    lines = ["# Results", ""]
    lines += [
        "Written by `python -m benchmarks report` from `results/*.json`; nothing here is typed. How to run the "
        "benchmarks and how to read them: [README.md](README.md).",
        "",
    ]
    lines += _measured_and_not(records)
    plots = page.parent / "plots"
    for (name, machine), record in records.items():
        heading = _heading(name, machine)
        lines += ["", f"## {heading}", "", f"**{record['title']}**", "", _circumstances(record), ""]
        lines += _table(record["rows"])
        lines += ["", *(f"- {note}" for note in record["notes"])]
        draw = {"backbone": _draw_roofline, "gpu": _draw_roofline, "scaling": _draw_scaling}.get(name)
        if draw:
            plots.mkdir(exist_ok=True)
            plot = heading.lower().replace(" ", "-") + ".png"
            draw(record, plots / plot)
            lines += ["", f"![{record['title']}](plots/{plot})"]
    with file_aside(page) as aside:
        aside.write_text("\n".join(lines) + "\n")
    print(f"written to {page}", file=sys.stderr)


def _read(results: Path) -> dict[tuple[str, str], Any]:
    """{(benchmark, machine): record}; the machine stands between its name and .json: nothing, gpu or another CPU."""
    records = {}
    for name in BENCHMARKS:
        for file in [results / f"{name}.json", *sorted(results.glob(f"{name}.*.json"))]:
            if file.exists():
                records[name, file.stem.partition(".")[2]] = json.loads(file.read_text())
    return records


def _heading(name: str, machine: str) -> str:
    return name + (f" on {'a GPU' if machine == 'gpu' else machine}" if machine else "")


def _measured_and_not(records: dict[tuple[str, str], Any]) -> list[str]:
    """Which benchmarks ran on which kind of device."""
    machines = ["", *sorted({machine for _, machine in records} - {"", "gpu"}), "gpu"]
    heads = ["CPU", *(f"CPU, {machine}" for machine in machines[1:-1]), "GPU"]
    lines = [f"| benchmark | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name in BENCHMARKS:
        said = []
        for machine in machines:
            record, place = records.get((name, machine)), _heading(name, machine).lower().replace(" ", "-")
            under_load = "" if record is None or _quiet(record) else ", under load"
            said.append(f"[{record['date']}](#{place}){under_load}" if record else "not measured")
        lines.append(f"| {name} | {' | '.join(said)} |")
    left = [name for name in SPEED if not any((name, machine) in records for machine in machines)]
    if left:
        lines += ["", f"Not measured yet: {', '.join(left)}."]
    return lines


def _quiet(record: dict[str, Any]) -> bool:
    return record.get("load", {}).get("quiet", True)


def _circumstances(record: dict[str, Any]) -> str:
    device, load = record["device"], record.get("load")
    said = f"{record['date']}, {record.get('processor', device['kind'])}, {record['cpus']} processors"
    if "threads" in record:
        said += f", {record['threads']} used"
    if device["platform"] != "cpu":
        said += f", {device['count']} x {device['kind']}"
    said += "; " + ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    if record.get("quick"):
        said += "; **a quick run: its figures mean nothing**"
    if load:
        said += f"; others kept {load['processors_of_others']} processors busy meanwhile"
        said += "" if load["quiet"] else " (**measured under load**: compare within a table, trust no figure alone)"
    return said + "."


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(_cell(row[c]) for c in columns)} |" for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _colour(contestant: str) -> str:
    return next(colour for start, colour in COLOURS.items() if contestant.startswith(start))


def _group(row: dict[str, Any]) -> str:
    """What contestants that are drawn together have in common."""
    said = [row.get("size"), f"batch {row['batch']}", row["task"]]
    modalities = row.get("modalities")
    return ", ".join(filter(None, said)) + (f", modalities: {modalities}" if modalities else "")


def _draw_roofline(record: dict[str, Any], path: Path) -> None:
    """Rate of every contest against the measured limit, a bar each."""
    import matplotlib.pyplot as plt

    rows = [row for row in record["rows"] if row["share of peak"]]
    rate = next(column for column in rows[0] if column.endswith("FLOP/s"))
    groups = list(dict.fromkeys(_group(row) for row in rows))
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(rows) + 0.5 * len(groups) + 1), layout="constrained")
    place, ticks = 0.0, []
    for group in groups:
        for row in (r for r in rows if _group(r) == group):
            axes.barh(place, row[rate], color=_colour(row["contestant"]))
            limit = row[rate] / row["share of peak"]
            axes.plot([limit, limit], [place - 0.42, place + 0.42], color="black", linewidth=1.5)
            axes.text(row[rate], place, f" {row['share of peak']:.0%}", va="center", fontsize=7)
            ticks.append((place, f"{row['contestant']}  ({group})"))
            place += 1
        place += 0.6
    axes.set_yticks([tick for tick, _ in ticks], [label for _, label in ticks], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"{rate}; black: the fastest matrix product in that type, of the same turns", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_scaling(record: dict[str, Any], path: Path) -> None:
    """Samples a second on paper against devices: communication hidden as far as it can be, not at all, and none."""
    import matplotlib.pyplot as plt

    rows = [row for row in record["rows"] if row["kind"] == "on paper"]
    figure, axes = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
    for size, colour in zip(
        dict.fromkeys(row["size"] for row in rows), ("#1b6ca8", "#c05a2b", "#4d8a3d"), strict=False
    ):
        own = [row for row in rows if row["size"] == size]
        devices = [row["devices"] for row in own]
        ideal = [row["samples/s"] / row["efficiency, overlapped"] for row in own]
        exposed = [rate * row["efficiency, no overlap"] for rate, row in zip(ideal, own, strict=True)]
        axes.plot(devices, ideal, color=colour, linewidth=0.8, alpha=0.6)
        axes.plot(devices, exposed, color=colour, linestyle=":")
        axes.plot(devices, [row["samples/s"] for row in own], color=colour, marker="o", label=size)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(devices, [str(n) for n in devices])
    axes.set_xlabel("GPUs")
    axes.set_ylabel("samples a second")
    axes.set_title("On paper, not measured. Thin: without a loss; dotted: communication not overlapped", fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)

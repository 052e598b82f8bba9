"""`copgen generate`: draw the wanted modalities of places from what is given there."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from copgen_jax.errors import InputError

EXAMPLES = """\
examples:
  copgen generate --model MODEL --given DEM=dem.tif LULC=lulc.tif --units LULC=code --want S2L2A S1RTC \\
      --members 8 --seed 0 --out out/
  copgen generate --model MODEL --given S2L2A=s2.tif --s2-offset S2L2A=1000 --want LULC DEM --out out/
  copgen generate --model MODEL --given DEM=dem.tif location=auto timestamp=2023-06-10 --window all --want S2L2A \\
      --out out/
  copgen generate --model MODEL --places places.csv --want S2L2A --out out/
  copgen generate --again out/run.json --out out-again/
"""

RENEWED = ("given", "places", "units", "s2_offset", "window", "name")
"""Options that say what is given; `run.json` keeps them under "inputs"."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options, most used first."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--model", metavar="MODEL", help="model directory, or demo")
    add(
        "--given",
        nargs="+",
        default=[],
        metavar="PRODUCT=VALUE",
        help="a GeoTIFF, COG, JPEG 2000 or Zarr path by product or modality; location=LAT,LON or auto; "
        "timestamp=YYYY-MM-DD or auto",
    )
    add("--want", nargs="+", default=[], metavar="PRODUCT", help="products or modalities to draw")
    add("--out", metavar="DIR", required=True, help="directory for the outputs; a folder per patch, and run.json")
    add("--members", type=int, default=1, metavar="N", help="samples per patch (default 1)")
    add("--seed", type=int, default=0, metavar="N", help="of all randomness (default 0)")
    add(
        "--units", nargs="+", default=[], metavar="PRODUCT=UNIT", help="S1RTC=dB, LULC=index or code, S2L2A=reflectance"
    )
    add(
        "--s2-offset",
        nargs="+",
        default=[],
        metavar="PRODUCT=DN",
        help="DN of zero reflectance where a file does not say it: 1000 since baseline 04.00, else 0",
    )
    add("--window", metavar="ROW,COLUMN|all", help="patch in larger rasters, in 10 m pixels, or every patch")
    add("--name", metavar="NAME", help="the place's name: its folder, and what its randomness is derived from")
    add("--places", metavar="TABLE", help="many places: CSV or GeoParquet, a column per product")
    add("--again", metavar="RUN.json", help="repeat an earlier run: its model, inputs, request and outputs")

    drawing = parser.add_argument_group("how it is drawn")
    add = drawing.add_argument
    add("--evaluations", type=int, metavar="N", help="network calls per sample (default: the model's)")
    add("--solver", metavar="NAME", help="published, dpmpp_2m, dpmpp_3m, unipc or ddim (default: the model's)")
    add("--guidance-scale", type=float, default=1.0, metavar="S", help="1 is off (default)")
    add("--unasked", choices=["joint", "marginal"], default="joint", help="modalities neither given nor wanted")
    add("--posterior", choices=["fresh", "shared", "mode"], default="fresh", help="how given images enter")
    add("--batch-size", default="auto", metavar="N|auto", help="samples at a time (default: what fits in memory)")
    add("--dtype", choices=["float32", "bfloat16"], default="float32", help="compute dtype")
    add("--attention", choices=["plain", "cudnn"], default="plain", help="cudnn: NVIDIA GPUs with bfloat16")

    outputs = parser.add_argument_group("what is written")
    add = outputs.add_argument
    add("--format", nargs="+", choices=["cog", "zarr"], default=["cog"], help="default cog")
    add("--save-latents", action="store_true", help="a Zarr store of the latents as well")
    add("--no-statistics", action="store_true", help="no rasters of mean, spread and quantiles over members")
    add("--no-pictures", action="store_true", help="no PNG quicklooks")
    add("--overwrite", action="store_true", help="replace earlier outputs of these places")
    add("--resume", action="store_true", help="draw only the members that are missing")
    add("--dry-run", action="store_true", help="check everything, print the plan and stop")


def run(arguments: argparse.Namespace, terminal) -> None:
    """Check, plan, draw, write."""
    if arguments.again:
        _take_over(arguments, Path(arguments.again))
    if not arguments.model:
        raise InputError("no model is given; pass --model with a model directory (copgen convert makes one)")
    if arguments.given and arguments.places:
        raise InputError("--given and --places are both there; the table of --places names everything that is given")
    batch_size = _batch_size(arguments.batch_size)

    from copgen_jax.checkpoints.model_directory import find_model, load_config
    from copgen_jax.cli.compilation import keep_compilations
    from copgen_jax.generate.generator import load
    from copgen_jax.generate.writing import write_places

    keep_compilations()
    config = load_config(find_model(arguments.model))
    request, options = _request(arguments, config), _output_options(arguments)
    places = _read_places(arguments, config.modalities)
    for _, patches in places:
        request.roles(config, patches.given)
        patches.check()
    given = {name for _, patches in places for name in patches.given}
    networks = ["backbone", *(m.name for m in config.modalities.images if m.name in given or m.name in request.want)]
    _say_plan(terminal, config, request, places, networks)
    if arguments.dry_run:
        plan = {"patches": sum(len(patches) for _, patches in places), "request": dataclasses.asdict(request)}
        terminal.result(plan, "Nothing was drawn.")
        return
    generator = load(
        arguments.model, networks=networks, dtype=arguments.dtype, attention=arguments.attention, track=terminal.track
    )
    terminal.say(f"Memory: {generator.memory(request)}")
    record = write_places(
        generator,
        places,
        request,
        arguments.out,
        inputs={key: getattr(arguments, key) for key in ("model", *RENEWED)},
        options=options,
        batch_size=batch_size,
        overwrite=arguments.overwrite,
        resume=arguments.resume,
        track=terminal.track,
    )
    count = len(record["places"])
    terminal.result(record, f"Wrote {count} patch{'es' * (count > 1)} to {arguments.out} in {record['seconds']:.1f} s.")


def _request(arguments: argparse.Namespace, config):
    """What is asked of the model, settled with its defaults."""
    from copgen_jax.generate.request import Request

    return Request(
        want=tuple(arguments.want),
        members=arguments.members,
        seed=arguments.seed,
        unasked=arguments.unasked,
        posterior=arguments.posterior,
        guidance_scale=arguments.guidance_scale,
        solver=arguments.solver,
        evaluations=arguments.evaluations,
    ).settled(config)


def _output_options(arguments: argparse.Namespace):
    from copgen_jax.rasters.outputs.write import OutputOptions

    return OutputOptions(
        cog="cog" in arguments.format,
        zarr="zarr" in arguments.format,
        latents=arguments.save_latents,
        statistics=not arguments.no_statistics,
        pictures=not arguments.no_pictures,
    )


def _batch_size(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--batch-size is {text!r}; expected auto or a positive number")
    return int(text)


def _take_over(arguments: argparse.Namespace, path: Path) -> None:
    """Set the options of an earlier run, as its run.json says them."""
    try:
        record = json.loads(path.read_text())
        inputs, request, outputs = record["inputs"], record["request"], record["outputs"]
        arguments.model = arguments.model or inputs["model"]
        for key in RENEWED:
            setattr(arguments, key, inputs[key])
        for key, value in request.items():
            setattr(arguments, key, value)
        arguments.dtype = record["model"]["dtype"]
        arguments.format = [kind for kind in ("cog", "zarr") if outputs[kind]]
        arguments.save_latents = outputs["latents"]
        arguments.no_statistics, arguments.no_pictures = not outputs["statistics"], not outputs["pictures"]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no run.json of this program: {error!r}") from error


def _read_places(arguments: argparse.Namespace, modalities) -> list:
    """[(name or None, GivenPlaces)] from the options."""
    from copgen_jax.rasters.given.places import read_places
    from copgen_jax.rasters.given.reading import read_given

    options = {
        "units": pairs(arguments.units, "--units"),
        "s2_offset": _offsets(arguments.s2_offset),
        "window": _window(arguments.window),
    }
    if not arguments.places:
        given = pairs(arguments.given, "--given")
        return [(arguments.name, read_given(given, modalities, name=arguments.name, **options))]
    if arguments.name:
        raise InputError("--name names one place; the table of --places has a column for names")
    table = read_places(arguments.places, modalities)
    return [(row.name, read_given(row.given, modalities, name=row.name, **options)) for row in table]


def pairs(words: list[str], option: str) -> dict[str, str]:
    """KEY=VALUE words as a dict.

    Raises:
        InputError: a word of another form, or a key twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise InputError(f"{option} got {word!r}; expected KEY=VALUE, such as DEM=dem.tif")
        if key in found:
            raise InputError(f"{option} names {key} twice; give it once")
        found[key] = value
    return found


def _offsets(words: list[str]) -> dict[str, int] | int | None:
    if not words:
        return None
    if len(words) == 1 and _is_whole(words[0]):
        return int(words[0])
    found = pairs(words, "--s2-offset")
    for key, value in found.items():
        if not _is_whole(value):
            raise InputError(f"--s2-offset {key} is {value!r}; expected a whole number such as 1000 or 0")
    return {key: int(value) for key, value in found.items()}


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdigit()


def _window(text: str | None) -> Any:
    if text is None or text == "all":
        return text
    parts = text.split(",")
    if len(parts) != 2 or not all(_is_whole(part.strip()) for part in parts):
        raise InputError(f"--window is {text!r}; expected ROW,COLUMN in 10 m pixels, or all")
    return int(parts[0]), int(parts[1])


def _say_plan(terminal, config, request, places, networks) -> None:
    patches = sum(len(p) for _, p in places)
    count = patches * request.members
    calls = request.evaluations * (1 if request.guidance_scale == 1.0 else 2)
    members = f"{request.members} member{'s' * (request.members > 1)}"
    terminal.say(f"{patches} patch{'es' * (patches > 1)} of {_side(config):g} m, {members} each:")
    terminal.say(f"  given  {', '.join(dict.fromkeys(n for _, p in places for n in p.given)) or 'nothing'}")
    terminal.say(f"  wanted {', '.join(request.want)}; the rest is {request.unasked}")
    terminal.say(f"  {count} sample{'s' * (count > 1)} x {calls} network calls ({request.solver}), seed {request.seed}")
    for note in dict.fromkeys(note for _, p in places for note in p.notes):
        terminal.say(f"  note: {note}")
    terminal.say(f"  networks: {', '.join(networks)}")


def _side(config) -> float:
    return max((m.extent for m in config.modalities.images if m.resolution is not None), default=0.0)

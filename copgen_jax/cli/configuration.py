"""`--config NAME|FILE --config.key=value`: presets and files of ml_collections, and the one place where they become
dataclasses.

A file is Python code with `get_config()`; it is executed. A preset's name needs no file.
"""

import dataclasses
import json
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ml_collections import ConfigDict, config_dict, config_flags

from copgen_jax.config import FORMAT_VERSION, PRESETS, from_json
from copgen_jax.errors import InputError, suggestion
from copgen_jax.modalities import COPGEN
from copgen_jax.training.autoencoder_config import TRAININGS, AutoencoderTraining, autoencoder_training_preset
from copgen_jax.training.config import BackboneTraining, training_preset

Config = TypeVar("Config")

PREFIX = "--config."


def preset_config(name: str) -> ConfigDict:
    """A backbone preset as a ConfigDict, for `get_config()` of a file: change its fields and return it."""
    return as_config_dict(training_preset(name))


def autoencoder_preset_config(name: str) -> ConfigDict:
    """An autoencoder preset as a ConfigDict, likewise."""
    return as_config_dict(autoencoder_training_preset(name))


def backbone_training(config: str, overrides: Sequence[str]) -> BackboneTraining:
    """The configuration that `--config CONFIG --config.key=value ...` asks for.

    Raises:
        InputError: no such preset or file, an unknown key, a value of another type or out of its range.
    """
    return _resolved(config, overrides, PRESETS, preset_config, BackboneTraining)


def autoencoder_training(config: str, overrides: Sequence[str]) -> AutoencoderTraining:
    """The same for an autoencoder.

    Raises:
        InputError: see `backbone_training`.
    """
    return _resolved(config, overrides, TRAININGS, autoencoder_preset_config, AutoencoderTraining)


def as_config_dict(config: Any) -> ConfigDict:
    """A training configuration as a ConfigDict with typed fields; modalities are one text, "DEM,LULC"."""
    return _typed(config)


def from_config_dict(config: ConfigDict, kind: type[Config]) -> Config:
    """The dataclass of a ConfigDict made by `as_config_dict`.

    Raises:
        InputError: fields that it does not have, values of another type or out of range.
    """
    plain = json.loads(json.dumps(config.to_dict()))
    plain["modalities"] = _words(plain["modalities"])
    if "objective" in plain:
        plain["objective"]["given_sets"] = _words(plain["objective"]["given_sets"])
        weights = plain["objective"]["modality_weights"]
        plain["objective"]["modality_weights"] = {name: weight for name, weight in weights.items() if weight != 1.0}
    return from_json(json.dumps({"format_version": FORMAT_VERSION, **plain}), kind, source="the configuration")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _resolved(
    config: str,
    overrides: Sequence[str],
    presets: Iterable[str],
    make: Callable[[str], ConfigDict],
    kind: type[Config],
) -> Config:
    from absl import flags

    values = flags.FlagValues()
    known = make(config) if config in presets else _of_file(config, presets)
    _check_keys(overrides, known)
    # absl reads no "none" for a number.
    unset = {f"{PREFIX}{key}=none": key for key in _optional(kind)}
    argv = ["copgen", *(word for word in overrides if word not in unset)]
    made = config_flags.DEFINE_config_dict("config", known, flag_values=values, sys_argv=argv)
    try:
        values(argv)
    except (flags.Error, ValueError, TypeError, SyntaxError) as error:
        raise InputError(f"the configuration does not read: {str(error).splitlines()[0]}") from error
    chosen = typing.cast(ConfigDict, made.value)
    chosen.update_from_flattened_dict({unset[word]: None for word in overrides if word in unset})
    return from_config_dict(chosen, kind)


def _of_file(path: str, presets: Iterable[str]) -> ConfigDict:
    if not Path(path).is_file():
        hint = suggestion(path, presets)
        raise InputError(f"--config {path} is neither a preset nor a file: {hint}")
    names: dict[str, Any] = {"__name__": "config", "__file__": path}
    try:
        code = compile(Path(path).read_text(), path, "exec")
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is no Python file with get_config(): {error}") from error
    exec(code, names)
    if not callable(names.get("get_config")):
        raise InputError(f"{path} has no get_config(); expected one that returns a changed preset_config(...)")
    made = names["get_config"]()
    if not isinstance(made, ConfigDict):
        raise InputError(f"get_config() of {path} returned a {type(made).__name__}; expected a ConfigDict")
    return made


def _check_keys(words: Iterable[str], known: ConfigDict) -> None:
    """Refuse `--config.<key>` that is not there, and what is no override at all."""
    keys = list(_leaves(known))
    before_was_key = False
    for word in words:
        if not word.startswith(PREFIX):
            if before_was_key:
                before_was_key = False
                continue
            raise InputError(f"unknown argument {word!r}: settings are written --config.key=value")
        key, equals, _ = word.removeprefix(PREFIX).partition("=")
        if key not in keys:
            raise InputError(f"the configuration has no {key!r}: {_nearest(key, keys)}")
        before_was_key = not equals


def _nearest(key: str, keys: Sequence[str]) -> str:
    """By the whole key, or by its last part: `learning_rat` means optimiser.learning_rate."""
    from difflib import get_close_matches

    last = {k.rsplit(".", 1)[-1]: k for k in keys}
    close = get_close_matches(key, keys, n=1) or [last[k] for k in get_close_matches(key.rsplit(".", 1)[-1], last, n=1)]
    return f"did you mean {close[0]}?" if close else suggestion(key, keys)


def _leaves(config: ConfigDict, prefix: str = "") -> Iterable[str]:
    for key in config:
        value = config[key]
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _optional(kind: Any, prefix: str = "") -> Iterable[str]:
    """Keys of a configuration that may be None."""
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from _optional(hint, f"{prefix}{name}.")
        elif type(None) in typing.get_args(hint):
            yield f"{prefix}{name}"


def _typed(config: Any) -> ConfigDict:
    """Fields of a dataclass; None is a placeholder of its type, names are one text, weights those of all modalities."""
    hints = typing.get_type_hints(type(config))
    plain = ConfigDict()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = _typed(value)
        elif isinstance(value, tuple) and typing.get_args(hints[field.name])[0] is str:
            value = ",".join(value)
        elif isinstance(value, Mapping):
            value = ConfigDict({m.name: float(value.get(m.name, 1.0)) for m in COPGEN})
        elif type(None) in typing.get_args(hints[field.name]):
            (inner,) = (kind for kind in typing.get_args(hints[field.name]) if kind is not type(None))
            holder = config_dict.placeholder(inner)
            holder.set(value)
            value = holder
        plain[field.name] = value
    return plain

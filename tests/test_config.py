"""Configurations: JSON both ways, and every wrong value named."""

import dataclasses
import json

import pytest

from copgen_jax import config
from copgen_jax.config import (
    PRESETS,
    AutoencoderConfig,
    BackboneConfig,
    ModelConfig,
    ScheduleConfig,
    from_json,
    to_json,
)
from copgen_jax.errors import InputError


@pytest.mark.parametrize("name", PRESETS)
def test_json_gives_the_configuration_back(name):
    assert from_json(to_json(PRESETS[name])) == PRESETS[name]


def edited(**changes):
    return json.dumps(json.loads(to_json(PRESETS["tiny"])) | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds a list"),
        ("{}", "format version None"),
        (edited(format_version=99), "format version 99; this program reads version 1"),
        (edited(predicton="eps"), "did you mean prediction"),
        (edited(prediction="score"), "expected one of eps, x0, v"),
        (edited(s2_offset="1000"), "s2_offset is '1000'; expected a int"),
        (edited(backbone={"width": 64.5}), "backbone.width is 64.5"),
        (edited(backbone={"width": 64, "heads": 5}), "divide into 5 heads"),
        (edited(modalities={"modalities": [{"name": "a"}]}), "lacks the field 'published_key'"),
        (edited(autoencoders={"location": {}}), "location is a vector"),
        (edited(autoencoders={"DEM": {"multipliers": [1, 2]}}), "shrinks its image 2 times"),
        (edited(autoencoders=[]), "expected an object"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text, message):
    with pytest.raises(InputError, match=message):
        from_json(text, source="model/config.json")


@pytest.mark.parametrize(
    "make",
    [
        lambda: BackboneConfig(depth=3),
        lambda: BackboneConfig(width=0),
        lambda: AutoencoderConfig(base_width=30),
        lambda: ScheduleConfig(beta_start=0.5, beta_end=0.1),
        lambda: config.SolverConfig(evaluations=0),
        lambda: config.preset("bass"),
        lambda: dataclasses.replace(ModelConfig(), prediction="noise"),
    ],
)
def test_impossible_values_are_refused(make):
    with pytest.raises(InputError):
        make()

"""README's commands exist with the options they are given, and its Python compiles against the public names."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

import copgen_jax as cg
from copgen_jax.cli import COMMANDS, _parser

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMAND_LINES = [
    words[words.index("copgen") :]
    for language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\\\n", " ").splitlines()
    if "copgen" in (words := shlex.split(line, comments=True))
]


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_every_command_parses(words):
    parser, commands = _parser()
    module = importlib.import_module(f"copgen_jax.cli.{COMMANDS[words[1]][0]}")
    module.add_arguments(commands[words[1]])
    assert parser.parse_args(words[1:]).command == words[1]


def test_the_main_command_is_among_them():
    assert {words[1] for words in COMMAND_LINES} >= {"demo", "convert", "generate"}


@pytest.mark.parametrize("block", [block for language, block in BLOCKS if language == "python"])
def test_python_names_exist(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cg":
            assert hasattr(cg, node.attr)

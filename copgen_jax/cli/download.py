"""`copgen download`: fetch the published weights from the hub."""

import argparse
from pathlib import Path

from copgen_jax.cli.terminal import Terminal
from copgen_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `copgen download`."""
    parser.add_argument("--out", metavar="DIR", required=True, help="where to put the files; run again to continue")
    parser.add_argument(
        "--repository",
        nargs="+",
        metavar="OWNER/NAME",
        help="hub repositories (default: the published backbone and autoencoders)",
    )
    parser.add_argument(
        "--revision",
        metavar="COMMIT",
        default="main",
        help="branch, tag or commit; a commit pins the content (one --repository only)",
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> None:
    """Fetch, and say how to convert."""
    from copgen_jax.checkpoints.hub import REPOSITORIES, download

    repositories = arguments.repository or REPOSITORIES
    if arguments.revision != "main" and len(repositories) > 1:
        raise InputError("a revision belongs to one repository: name it with --repository")
    fetched = []
    for repository in repositories:
        out = Path(arguments.out) / repository.rpartition("/")[2]
        terminal.say(f"fetching {repository} to {out}")
        fetched.append(download(repository, out, revision=arguments.revision, track=terminal.track))
    terminal.result(
        {one.repository: {"commit": one.commit, "directory": one.directory, "files": one.files} for one in fetched},
        "\n".join(f"{one.repository} at commit {one.commit}: {len(one.files)} files, verified" for one in fetched)
        + "\nnext: copgen convert --vaes DIR --backbone FILE --out MODEL",
    )

"""The one exception for what a user can put right."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave is wrong: the message is one sentence saying what, where, and what would be right.

    The command line prints it without a traceback and exits with code 2. Everything else that is raised is a failure of
    the program or the machine, and keeps its traceback in the library.
    """


def suggestion(word: str, known: Iterable[str]) -> str:
    """End of a sentence about an unknown `word`: the nearest of the known names, else all of them."""
    known = list(known)
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"

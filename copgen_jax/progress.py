"""How long work reports where it stands, without knowing who listens."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items through and tells somebody: a progress bar with ETA on a terminal, nothing in a library call."""

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
        """Iterate over `items`, of which there are `total`; `what` is a short present participle."""
        ...


def silently(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """The listener that does not listen."""
    del total, what
    return iter(items)

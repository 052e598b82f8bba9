"""A world as a graph of causes, and when redrawing gives an exact conditional distribution.

A world is a list of variables; each is drawn from its parents and from randomness of its own (ancestral sampling).
Let F be variables held fixed and A their ancestors outside F. If no variable outside F and A has a parent in A, then

    p(rest | F, A) = prod over r in rest of p(r | parents of r),    parents of r in rest or F,

does not contain A: drawing the rest forward from F is an exact draw from p(rest | F), although A is unknown. `Causes`
refuses any F for which that does not hold. A draw function sees nothing but the parents that its variable declares, so
the graph cannot claim less than what the code uses.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from copgen_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variable:
    """One quantity of the world."""

    name: str
    parents: tuple[str, ...] = ()
    draw: Callable[..., Any]
    """draw(stream, *values of the parents) -> value."""


@dataclasses.dataclass(frozen=True)
class Causes:
    """Variables, every one after its parents."""

    variables: tuple[Variable, ...]

    def __post_init__(self):
        seen: set[str] = set()
        for variable in self.variables:
            unknown = set(variable.parents) - seen
            if unknown or variable.name in seen:
                raise ValueError(f"{variable.name} stands twice, or before its parents {sorted(unknown)}")
            seen.add(variable.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, every one after its parents."""
        return tuple(v.name for v in self.variables)

    def sample(self, given: Mapping[str, Any], wanted: Iterable[str], streams: Callable[[str], Any]) -> dict[str, Any]:
        """Values of `wanted`: the given ones as they are, the others drawn from p(. | given).

        Variables that only lead to given ones (A above), or to nothing wanted, are not drawn.

        Raises:
            InputError: the draw would not be exact (see `redrawn`).
        """
        values, wanted = dict(given), tuple(wanted)
        needed = self.ancestors(wanted) | set(wanted)
        for variable in self.redrawn(given):
            if variable.name in needed:
                values[variable.name] = variable.draw(streams(variable.name), *(values[p] for p in variable.parents))
        return {name: values[name] for name in wanted}

    def redrawn(self, fixed: Iterable[str]) -> tuple[Variable, ...]:
        """The variables that remain to be drawn when those of `fixed` are held, in order.

        Raises:
            InputError: a fixed variable shares a hidden cause with one to be drawn, so that a forward draw would be
                wrong; the sentence names both.
        """
        fixed = set(fixed)
        unseen = self.ancestors(fixed) - fixed
        rest = tuple(v for v in self.variables if v.name not in fixed and v.name not in unseen)
        for variable in rest:
            for parent in variable.parents:
                if parent in unseen:
                    raise InputError(
                        f"cannot hold {', '.join(sorted(fixed))} and redraw the rest exactly: "
                        f"{variable.name} depends on {parent}, which shapes what is held; hold {parent} too if it is a "
                        f"modality, or hold less"
                    )
        return rest

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Everything that the named variables come from."""
        parents = {v.name: v.parents for v in self.variables}
        found: set[str] = set()
        pending = list(names)
        while pending:
            for parent in parents[pending.pop()]:
                if parent not in found:
                    found.add(parent)
                    pending.append(parent)
        return found

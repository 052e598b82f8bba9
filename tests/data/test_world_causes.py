"""The conditionals are exact: enumerated on tiny discrete worlds that have the world's own graph and sampling code."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from copgen_jax.data.world import World
from copgen_jax.data.world.causes import Causes, Variable
from copgen_jax.data.world.graph import OBSERVED, STATIC
from copgen_jax.errors import InputError
from copgen_jax.modalities import DEMO

GRAPH = World(0, DEMO).causes
HOLDABLE = [STATIC, (*STATIC, "timestamp"), (*STATIC, "timestamp", "cloud_mask")]


def tables(seed):
    """A random probability of being 1 for every variable of the world's graph, given binary parents."""
    rng = np.random.default_rng(seed)
    return {v.name: rng.uniform(0.05, 0.95, (2,) * len(v.parents)) for v in GRAPH.variables}


def discrete(probability):
    """The world's graph with binary variables; randomness of a draw is a numpy generator."""

    def draw_of(table):
        return lambda stream, *parents: int(stream.random() < table[parents])

    return Causes(tuple(dataclasses.replace(v, draw=draw_of(probability[v.name])) for v in GRAPH.variables))


def factor(variable, probability, axes):
    """p(variable | parents) as an array over all variables (size 1 where it does not depend)."""
    table = probability[variable.name]
    both = np.stack([1 - table, table], axis=-1)
    order = [axes[name] for name in (*variable.parents, variable.name)]
    shape = [1] * len(axes)
    for axis in order:
        shape[axis] = 2
    return both.transpose(np.argsort(order)).reshape(shape)


def law(variables, probability, axes):
    result = np.ones((1,) * len(axes))
    for variable in variables:
        result = result * factor(variable, probability, axes)
    return result


def observed_given(joint, axes, held):
    """p(observed, not held | held = 1) as a flat array."""
    fixed = joint[tuple(slice(1, 2) if name in held else slice(None) for name in axes)]
    keep = {axes[name] for name in OBSERVED if name not in held}
    marginal = fixed.sum(axis=tuple(i for i in range(len(axes)) if i not in keep))
    return (marginal / marginal.sum()).ravel()


@pytest.mark.parametrize("held", HOLDABLE, ids=lambda held: "+".join(held))
def test_redrawing_forward_is_the_conditional_distribution(held):
    axes = {name: i for i, name in enumerate(GRAPH.names)}
    for seed in range(3):
        probability = tables(seed)
        joint = law(GRAPH.variables, probability, axes)
        assert joint.sum() == pytest.approx(1)
        forward = law(GRAPH.redrawn(held), probability, axes)
        full = np.broadcast_to(forward, joint.shape)
        unseen = tuple(axes[name] for name in GRAPH.ancestors(held) - set(held))
        # what only shapes the held variables is summed out of the truth; the forward law never has it
        truth = observed_given(joint, axes, held)
        drawn = observed_given(full.sum(axis=unseen, keepdims=True) / 2 ** len(unseen), axes, held)
        np.testing.assert_allclose(drawn, truth, rtol=1e-9)


@pytest.mark.parametrize("held", HOLDABLE, ids=lambda held: "+".join(held))
def test_the_sampler_draws_from_the_enumerated_distribution(held):
    axes = {name: i for i, name in enumerate(GRAPH.names)}
    probability = tables(7)
    truth = observed_given(law(GRAPH.variables, probability, axes), axes, held)
    causes, rng = discrete(probability), np.random.default_rng(1)
    free = [name for name in GRAPH.names if name in OBSERVED and name not in held]
    counts = dict.fromkeys(itertools.product((0, 1), repeat=len(free)), 0)
    for _ in range(4000):
        values = causes.sample(dict.fromkeys(held, 1), OBSERVED, lambda name: rng)
        counts[tuple(values[name] for name in free)] += 1
    assert chisquare(list(counts.values()), truth * 4000).pvalue > 1e-3


@pytest.mark.parametrize("held", [("cloud_mask",), ("S1RTC",), ("timestamp", "S2L2A"), ("timestamp", "S1RTC")])
def test_what_cannot_be_held_exactly_is_refused(held):
    with pytest.raises(InputError, match="cannot hold"):
        GRAPH.redrawn((*STATIC, *held))


def test_conditionals_without_the_location_are_refused():
    with pytest.raises(InputError, match="location"):
        GRAPH.redrawn(("DEM", "LULC"))


def test_without_the_refusal_the_draw_would_be_wrong():
    """The check has teeth: clouds alone tell something of the date, which a forward draw would ignore."""
    axes = {name: i for i, name in enumerate(GRAPH.names)}
    joint = law(GRAPH.variables, tables(0), axes)
    held = (*STATIC, "cloud_mask")
    others = tuple(axes[n] for n in GRAPH.names if n not in (*held, "timestamp"))
    index = tuple(slice(1, 2) if n in held else slice(None) for n in GRAPH.names)
    posterior = joint[index].sum(axis=others).ravel()
    index = tuple(slice(1, 2) if n in STATIC else slice(None) for n in GRAPH.names)
    prior = joint[index].sum(axis=(*others, axes["cloud_mask"])).ravel()
    assert abs(posterior[1] / posterior.sum() - prior[1] / prior.sum()) > 0.01


def test_a_graph_out_of_order_is_a_bug():
    with pytest.raises(ValueError, match="before its parents"):
        Causes((Variable(name="a", parents=("b",), draw=int), Variable(name="b", draw=int)))


def test_only_what_is_wanted_is_drawn():
    drawn = []
    causes = Causes(
        (
            Variable(name="a", draw=lambda stream: drawn.append("a") or 1),
            Variable(name="b", draw=lambda stream: drawn.append("b") or 2),
            Variable(name="c", parents=("a",), draw=lambda stream, a: drawn.append("c") or a + 1),
        )
    )
    assert causes.sample({}, ("c",), lambda name: None) == {"c": 2}
    assert drawn == ["a", "c"]

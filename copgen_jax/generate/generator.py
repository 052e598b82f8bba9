"""A model at work: given values of places in, samples in physical units out.

    given values -> units -> images -> encode -> moments ┐
                                                         ├ one compiled draw -> latents -> decode -> units -> Samples
    place and date -> units -> vectors ──────────────────┘

Work is a stream of (place, members). Batches of one fixed size are cut from it across places, so one compilation serves
a run, memory does not grow with it, and each member is the same whatever batch it was drawn in.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from copgen_jax.checkpoints.model_directory import Hashes, find_model, load_hashes, load_model
from copgen_jax.errors import InputError
from copgen_jax.generate.request import Request
from copgen_jax.memory import MemoryEstimate, choose_batch, estimate_memory
from copgen_jax.modalities import Modality, ModalitySet
from copgen_jax.model import Model
from copgen_jax.nn.attention import Implementation
from copgen_jax.parallel import batch_sharding, make_mesh, replicated
from copgen_jax.progress import Track, silently
from copgen_jax.rasters.given.reading import GivenPlace, read_given
from copgen_jax.rasters.samples import Samples, build_samples, concatenate
from copgen_jax.sampling import draw_latents, make_sampler, sample_keys
from copgen_jax.units import dn_to_reflectance, to_network, to_physical


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """Members to draw at a place."""

    place: GivenPlace
    members: Sequence[int]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Some members of one piece of work."""

    index: int
    """Of the work in its stream."""
    samples: Samples
    latents: Mapping[str, np.ndarray]
    """Scaled latents of the wanted modalities: (member, h, w, c), or (member, 3)."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Condition:
    """What is given at a place, as the sampler takes it."""

    index: int
    place: GivenPlace
    roles: np.ndarray
    moments: Mapping[str, np.ndarray]
    vectors: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
    """A loaded model that draws samples. Made by `load`."""

    model: Model
    hashes: Hashes
    source: str
    """Where the model was loaded from."""
    _compiled: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def modalities(self) -> ModalitySet:
        """The model's modalities."""
        return self.model.config.modalities

    def generate(
        self,
        given: Mapping[str, Any],
        want: Sequence[str],
        *,
        members: int = 1,
        seed: int = 0,
        units: Mapping[str, str] | None = None,
        s2_offset: Mapping[str, int] | int | None = None,
        window: tuple[int, int] | None = None,
        name: str | None = None,
        unasked: str = "joint",
        posterior: str = "fresh",
        guidance_scale: float = 1.0,
        solver: str | None = None,
        evaluations: int | None = None,
        batch_size: int | str = "auto",
        track: Track = silently,
    ) -> Samples:
        """Draw samples of one place.

        Args:
            given: files, arrays, xarray objects or values, by product or modality; see `read_given`.
            want: products or modalities to draw.
            members: how many samples.
            seed: of all randomness; a member is the same whatever else is drawn with it.
            units: of the given values where they differ from the defaults, {"S1RTC": "dB"}.
            s2_offset: DN of zero reflectance of given Sentinel-2 products, where their files do not say it.
            window: row and column at 10 m of the patch in larger rasters.
            name: the place's name, from which its randomness is derived; by default its ground.
            unasked: "joint" or "marginal": what becomes of modalities neither given nor wanted.
            posterior: "fresh", "shared" or "mode": how given images enter.
            guidance_scale: 1 is off.
            solver: a solver's name; the model's own by default.
            evaluations: of the network per sample; the model's own by default.
            batch_size: members at a time, or "auto" by memory.
            track: told about samples drawn.

        Returns:
            {modality: DataArray (member, band, y, x)} of the wanted modalities, in physical units.

        Raises:
            InputError: something given does not fit, or the wish cannot be fulfilled.
        """
        request = Request(
            want=tuple(want),
            members=members,
            seed=seed,
            unasked=unasked,  # pyright: ignore[reportArgumentType]
            posterior=posterior,  # pyright: ignore[reportArgumentType]
            guidance_scale=guidance_scale,
            solver=solver,
            evaluations=evaluations,
        ).settled(self.model.config)
        places = read_given(given, self.modalities, units=units, s2_offset=s2_offset, window=window, name=name)
        request.roles(self.model.config, places.given)
        work = [Work(place=places[0], members=range(members))]
        drawn = self.stream(work, request, total=members, batch_size=batch_size, track=track)
        return concatenate([chunk.samples for chunk in drawn])

    def stream(
        self,
        work: Iterable[Work],
        request: Request,
        *,
        total: int,
        batch_size: int | str = "auto",
        track: Track = silently,
    ) -> Iterator[Drawn]:
        """Draw the members of all work, in its order, some at a time.

        Args:
            work: places with the members to draw; taken as it is needed.
            request: settled.
            total: members in all work, for the batch and for progress.
            batch_size: samples per call over all devices, or "auto".
            track: told about batches done.
        """
        batch = choose_batch(self.memory(request), items=total, asked=batch_size)
        items = ((condition, member) for condition, members in self._conditions(work, request) for member in members)
        batches = iter(lambda: list(itertools.islice(items, batch)), [])
        for chunk in track(batches, total=-(-total // batch), what=f"drawing {batch} at a time"):
            latents = self._draw(chunk, request, batch)
            values = self._to_physical(latents, request, len(chunk))
            start = 0
            for _, group in itertools.groupby(chunk, key=lambda item: item[0].index):
                part = list(group)
                rows = slice(start, start + len(part))
                start += len(part)
                yield Drawn(
                    index=part[0][0].index,
                    samples=self._label(part, {name: value[rows] for name, value in values.items()}, request),
                    latents={name: np.asarray(latents[name][rows]) for name in request.want},
                )

    def memory(self, request: Request) -> MemoryEstimate:
        """What sampling is expected to take."""
        parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(self.model.params))
        return estimate_memory(self.model.config, request.want, dtype=self.model.dtype, parameters=parameters)

    def provenance(self, request: Request, given: Iterable[str]) -> dict[str, Any]:
        """How samples were drawn, for their attributes: plain data."""
        return {
            "model": self.source,
            "model_hash": self.hashes.backbone,
            "latent_space_hash": self.hashes.latent_space,
            "conditions": list(given),
            "seed": request.seed,
            "solver": request.solver,
            "evaluations": request.evaluations,
            "guidance_scale": request.guidance_scale,
            "unasked": request.unasked,
            "posterior": request.posterior,
            "dtype": self.model.dtype,
        }

    def observed(self, place: GivenPlace) -> Samples:
        """What is given at a place, as samples with one member: to be shown and stored beside what is drawn."""
        values = {}
        for name, value in place.values.items():
            modality = self.modalities[name]
            values[name] = _outward(modality, value[None], place.offsets.get(modality.product, 0))
        return build_samples(
            values,
            modalities=self.modalities,
            ground=place.ground,
            members=[0],
            provenance={"conditions": list(values)},
            time=_date_of(place),
            synthetic=False,
        )

    def _conditions(self, work: Iterable[Work], request: Request) -> Iterator[tuple[_Condition, Sequence[int]]]:
        """Encode each place once, when its first member is due."""
        for index, piece in enumerate(work):
            if piece.members:
                yield self._condition(index, piece.place, request), piece.members

    def _condition(self, index: int, place: GivenPlace, request: Request) -> _Condition:
        values = place.in_convention(self.modalities, s2_offset=self.model.config.s2_offset)
        network = {name: np.asarray(to_network(self.modalities[name], value)) for name, value in values.items()}
        moments = {
            name: np.asarray(self._encoder(name)(self.model.params["autoencoders"][name], image[None]))[0]
            for name, image in network.items()
            if self.modalities[name].is_image
        }
        vectors = {name: vector for name, vector in network.items() if not self.modalities[name].is_image}
        return _Condition(index, place, request.roles(self.model.config, values), moments, vectors)

    def _draw(self, chunk: Sequence[tuple[_Condition, int]], request: Request, batch: int) -> dict[str, jax.Array]:
        """Latents of one batch; a short one is filled up with its last sample."""
        filled = [*chunk, *[chunk[-1]] * (batch - len(chunk))]
        conditions, members = [item[0] for item in filled], [item[1] for item in filled]
        places = [condition.place.place_id for condition in conditions]
        moments, vectors = {}, {}
        for modality in self.modalities:
            source, target = ("moments", moments) if modality.is_image else ("vectors", vectors)
            target[modality.name] = np.stack(
                [getattr(c, source).get(modality.name, _nothing(modality)) for c in conditions]
            )
        keys = sample_keys(request.seed, places, members)
        shared = sample_keys(request.seed, places, [0] * batch)
        arguments = (
            moments,
            vectors,
            np.stack([condition.roles for condition in conditions]),
            keys,
            shared if request.posterior == "shared" else keys,
        )
        return self._sampler(request)(self.model.params["backbone"], *jax.device_put(arguments, self._batch_sharding()))

    def _to_physical(self, latents: Mapping[str, jax.Array], request: Request, count: int) -> dict[str, np.ndarray]:
        """Wanted modalities of the first `count` samples in physical units, on the host."""
        values = {}
        for name in request.want:
            modality = self.modalities[name]
            network = latents[name]
            if modality.is_image:
                network = self._decoder(name)(self.model.params["autoencoders"][name], network)
            physical = to_physical(modality, np.asarray(network)[:count])
            values[name] = _outward(modality, physical, self.model.config.s2_offset)
        return values

    def _label(self, part: Sequence[tuple[_Condition, int]], values: Mapping[str, np.ndarray], request: Request):
        condition = part[0][0]
        return build_samples(
            values,
            modalities=self.modalities,
            ground=condition.place.ground,
            members=[member for _, member in part],
            provenance=self.provenance(request, condition.place.values),
            time=_date_of(condition.place),
        )

    def _sampler(self, request: Request):
        """The compiled draw of this kind of request."""
        kind = (request.solver, request.evaluations, request.guidance_scale, request.posterior == "mode")
        if kind not in self._compiled:
            sample = make_sampler(
                self.model.config,
                solver=request.solver,
                evaluations=request.evaluations,
                guidance_scale=request.guidance_scale,
                dtype=self.model.dtype,
                attention=self.model.attention,
            )

            def draw(params, moments, vectors, roles, keys, posterior_keys):
                posterior = None if request.posterior == "mode" else posterior_keys
                given = draw_latents(self.modalities, moments, posterior) | vectors
                return sample(params, given, roles, keys)

            self._compiled[kind] = jax.jit(draw)
        return self._compiled[kind]

    def _encoder(self, name: str):
        return self._autoencoder(name, "encode")

    def _decoder(self, name: str):
        return self._autoencoder(name, "decode")

    def _autoencoder(self, name: str, method: str):
        """Compiled encode or decode of one modality: a function of (its parameters, (B, ...))."""
        if name not in self.model.params["autoencoders"]:
            raise InputError(f"{self.source} was loaded without the autoencoder of {name}")
        if (name, method) not in self._compiled:

            def run(params, values):
                alone = dataclasses.replace(self.model, params={"autoencoders": {name: params}})
                return getattr(alone, method)({name: values})[name]

            self._compiled[name, method] = jax.jit(run)
        return self._compiled[name, method]

    def _batch_sharding(self):
        return batch_sharding(make_mesh(jax.local_devices()))


def load(
    model: str | Path,
    *,
    networks: Iterable[str] | None = None,
    dtype: str = "float32",
    attention: Implementation = "plain",
    track: Track = silently,
) -> Generator:
    """Load a model directory onto all local devices.

    Args:
        model: the directory.
        networks: "backbone" and modalities whose autoencoders are needed; all by default.
        dtype: compute dtype, float32 or bfloat16.
        attention: plain, or cudnn on NVIDIA GPUs with bfloat16.
        track: told about networks read.

    Raises:
        InputError: no model directory, files missing or damaged, or a dtype or attention that does not run here.
    """
    if dtype not in ("float32", "bfloat16"):
        raise InputError(f"dtype is {dtype!r}; expected float32 or bfloat16")
    if attention == "cudnn" and (jax.default_backend() != "gpu" or dtype == "float32"):
        raise InputError("attention cudnn needs an NVIDIA GPU and --dtype bfloat16; use plain here")
    devices = jax.local_devices()
    sharding = replicated(make_mesh(devices)) if len(devices) > 1 else None
    path = find_model(model)
    config, params = load_model(path, networks=networks, sharding=sharding, track=track)
    loaded = Model(config=config, params=params, dtype=dtype, attention=attention)
    return Generator(model=loaded, hashes=load_hashes(path), source=path.name)


def _nothing(modality: Modality) -> np.ndarray:
    """In place of moments or of a vector that is not given."""
    if not modality.is_image:
        return np.zeros(modality.latent_shape, np.float32)
    height, width, channels = modality.latent_shape
    return np.zeros((height, width, 2 * channels), np.float32)


def _date_of(place: GivenPlace) -> np.datetime64 | None:
    return np.datetime64(place.values["timestamp"].item(), "D") if "timestamp" in place.values else None


def _outward(modality: Modality, physical: Any, s2_offset: int) -> np.ndarray:
    """Physical values as users see them: DN becomes reflectance, in which no offset is left."""
    if modality.encoding == "reflectance":
        return np.asarray(dn_to_reflectance(np.asarray(physical), offset=s2_offset, nodata=None))
    return np.asarray(physical)

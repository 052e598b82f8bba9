"""Is a set of generated images like the set of real ones? Metrics on two sets of vectors.

Every image becomes a vector: the mean of its non-zero pixels per band (`pool_spectra`), or a deep embedding. R are the
n real vectors, F the m generated ones; d(a, b) is the Euclidean distance in float64. Definitions follow the published
benchmark (golden/metrics/stochastic). A NaN in a vector makes every metric that uses it NaN.
"""

import functools

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import binom, norm

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation

L2A_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
"""Band order of the benchmark's stacks: Level-2A, so no B10."""

NEIGHBOURS = 5
"""k of the benchmark's precision and recall."""


def pool_spectra(images: np.ndarray) -> np.ndarray:
    """Mean of the pixels that are not exactly 0, per band: [n, C, H, W] -> [n, C] float32.

    Zero means "no data" in the products. Negative values count, NaN propagates, a band of zeros gives 0.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise InputError(f"images to pool have shape {images.shape}; expected [samples, bands, height, width]")
    count = np.count_nonzero(images, axis=(2, 3))
    total = images.sum(axis=(2, 3), dtype=np.float64)
    return (total / np.maximum(count, 1)).astype(np.float32)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances [n, m] in float64; exactly 0 for equal vectors (no dot-product expansion)."""
    return cdist(np.asarray(a, np.float64), np.asarray(b, np.float64))


def nn_accuracy(real: np.ndarray, fake: np.ndarray) -> float:
    """Share of vectors whose nearest other vector, among both sets, has the same label.

    Ties go to the lowest index with R stacked before F. NaN if a set is empty.
    """
    _same_length(real, fake)
    n, m = len(real), len(fake)
    if not n or not m:
        return np.nan
    both = np.concatenate([real, fake])
    if np.isnan(both).any():
        return np.nan
    between = distances(both, both)
    np.fill_diagonal(between, np.inf)
    label = np.arange(n + m) < n
    return float(np.mean(label[between.argmin(axis=1)] == label))


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of F inside R's neighbourhoods, share of R inside F's (k-nearest-neighbour manifolds).

    The neighbourhood of a vector reaches to its k-th nearest other vector of its own set, border included; a set of
    n <= k vectors uses max(1, n - 1). Both are NaN if either set has fewer than two vectors.
    """
    _same_length(real, fake)
    if min(len(real), len(fake)) < 2 or np.isnan(real).any() or np.isnan(fake).any():
        return np.nan, np.nan
    between = distances(real, fake)
    precision = np.any(between <= _radii(real, k)[:, None], axis=0).mean()
    recall = np.any(between <= _radii(fake, k)[None, :], axis=1).mean()
    return float(precision), float(recall)


def _radii(vectors: np.ndarray, k: int) -> np.ndarray:
    n = len(vectors)
    k = k if n > k else max(1, n - 1)
    own = distances(vectors, vectors)
    np.fill_diagonal(own, np.inf)
    return np.partition(own, k - 1, axis=1)[:, k - 1]


def intra_set(vectors: np.ndarray) -> float:
    """Mean distance over the n(n-1)/2 pairs of one set; NaN below two vectors."""
    n = len(vectors)
    if n < 2:
        return np.nan
    return float(distances(vectors, vectors)[np.triu_indices(n, 1)].mean())


def median_bandwidth(real: np.ndarray, fake: np.ndarray) -> float:
    """Half the median distance between the vectors of both sets together, plus 1e-8. NaN below two vectors."""
    both = np.concatenate([real, fake])
    if len(both) < 2:
        return np.nan
    return float(np.median(distances(both, both)[np.triu_indices(len(both), 1)]) / 2 + 1e-8)


def mmd2(real: np.ndarray, fake: np.ndarray, sigma: float | None = None) -> float:
    """Squared maximum mean discrepancy, unbiased (it can be negative), kernel exp(-d^2 / (2 sigma^2)).

    Args:
        real: [n, D].
        fake: [m, D].
        sigma: bandwidth; `median_bandwidth` if not given.
    """
    _same_length(real, fake)
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        return np.nan
    sigma = median_bandwidth(real, fake) if sigma is None else sigma

    def kernel(a, b):
        return np.exp(-(distances(a, b) ** 2) / (2 * sigma**2))

    own_real, own_fake = kernel(real, real), kernel(fake, fake)
    within = (own_real.sum() - np.trace(own_real)) / (n * (n - 1)) + (own_fake.sum() - np.trace(own_fake)) / (
        m * (m - 1)
    )
    return float(within - 2 * kernel(real, fake).mean())


def wasserstein(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """1-D Wasserstein-1 distance of two samples, for every trailing index: [n, ...], [m, ...] -> [...] float64.

    The integral of |F_R^-1 - F_F^-1|: both quantile functions are steps, so it is a sum over the steps of both.

    Raises:
        InputError: an empty set, or other trailing shapes.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    _same_length(real, fake)
    n, m = len(real), len(fake)
    if not n or not m:
        raise InputError(f"a Wasserstein distance needs two sets that are not empty, got {n} real and {m} generated")
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    step = np.sort(real, axis=0)[(ends - 1) // m] - np.sort(fake, axis=0)[(ends - 1) // n]
    return np.einsum("s,s...->...", widths, np.abs(step))


def coverage(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Share of the range of R that the range of F overlaps, for every trailing index: [n, ...], [m, ...] -> [...].

    1 where R's range is at most 1e-8; 0 where the ranges are disjoint; all NaN if either set has fewer than two.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    _same_length(real, fake)
    if min(len(real), len(fake)) < 2:
        return np.full(real.shape[1:], np.nan)
    low, high = real.min(axis=0), real.max(axis=0)
    overlap = np.minimum(high, fake.max(axis=0)) - np.maximum(low, fake.min(axis=0))
    share = np.maximum(overlap, 0) / np.where(high - low <= 1e-8, 1.0, high - low)
    return np.where(high - low <= 1e-8, np.where(np.isnan(share), np.nan, 1.0), share)


def _same_length(real: np.ndarray, fake: np.ndarray) -> None:
    if np.shape(real)[1:] != np.shape(fake)[1:]:
        raise InputError(
            f"real and generated vectors differ in shape: {np.shape(real)[1:]} and {np.shape(fake)[1:]}; "
            f"both sets need the same bands in the same order"
        )


def ideal_nn_accuracy(n: int, m: int) -> float:
    """Expected accuracy when all n + m vectors come from one distribution: (n-1)/(2n-1) for n = m."""
    return (n * (n - 1) + m * (m - 1)) / ((n + m) * (n + m - 1))


def ideal_wasserstein(n: int, m: int) -> float:
    """Expected distance of n and m draws of one Gaussian, in its standard deviations.

    The integral over x of E|Bin(n, p)/n - Bin(m, p)/m| with p = Phi(x).
    """
    x = np.linspace(-8, 8, 1601)
    p = norm.cdf(x)[:, None, None]
    a, b = np.arange(n + 1)[:, None], np.arange(m + 1)[None, :]
    gap = np.abs(a / n - b / m)
    return float(np.trapezoid((binom.pmf(a, n, p) * binom.pmf(b, m, p) * gap).sum(axis=(1, 2)), x))


@functools.lru_cache
def ideal_coverage(n: int, m: int) -> float:
    """Expected coverage of n draws of a Gaussian by m draws of the same, by simulation (within .003)."""
    if min(n, m) < 2:
        return np.nan
    rng = np.random.default_rng(0)
    return float(coverage(rng.standard_normal((n, 20_000)), rng.standard_normal((m, 20_000))).mean())


EXPLANATIONS = (
    Explanation(
        name="nn_accuracy",
        title="1-nearest-neighbour accuracy",
        question="faithful",
        better="ideal",
        measures="Share of images whose nearest neighbour, among real and generated ones together, is of the "
        "same kind: a test of whether the two sets can be told apart.",
        ideal="A perfect model scores (n-1)/(2n-1) with n images in each set, a little under one half; 1 means "
        "that the sets are separable.",
        misleads="Values well below the ideal mean copies of the real images, not excellence. A small systematic "
        "bias in one band is enough for a score near 1, whatever else is right.",
        ideal_value=ideal_nn_accuracy,
    ),
    Explanation(
        name="precision",
        title="Precision (k-nearest-neighbour manifold)",
        question="faithful",
        better="higher",
        measures="Share of generated images that lie within the neighbourhood of at least one real image.",
        ideal="It approaches 1 for a perfect model with many images; Gaussian draws score .95 to .98 with 16 in each "
        "set, less in more dimensions. Compare with the row of ideal draws.",
        misleads="A collapsed model that repeats one plausible image scores 1: read it only together with recall and "
        "the intra-set distance.",
    ),
    Explanation(
        name="recall",
        title="Recall (k-nearest-neighbour manifold)",
        question="diverse",
        better="higher",
        measures="Share of real images that lie within the neighbourhood of at least one generated image.",
        ideal="As for precision: .95 to .98 for Gaussian draws with 16 in each set.",
        misleads="An over-dispersed model has large neighbourhoods, which contain everything: its recall is 1.",
    ),
    Explanation(
        name="intra_set_dist",
        title="Intra-set distance",
        question="diverse",
        better="ideal",
        measures="Mean distance between two images of the same set: how much the samples differ from each other.",
        ideal="A perfect model has the value of the real images, a ratio of 1; below is too narrow, above too wide.",
        misleads="It compares widths only: a model can have the right spread about the wrong place.",
    ),
    Explanation(
        name="mmd",
        title="Squared maximum mean discrepancy",
        question="faithful",
        better="lower",
        measures="Distance between the two distributions of mean spectra, through a Gaussian kernel; unbiased.",
        ideal="0 on average for a perfect model, and negative for more than half of its cells.",
        misleads="The bandwidth follows the data, so values of different models or cells are on different scales; it "
        "saturates where the sets are far apart.",
        ideal_value=lambda n, m: 0.0,
    ),
    Explanation(
        name="wasserstein",
        title="Wasserstein distance per band",
        question="faithful",
        better="lower",
        unit="reflectance",
        measures="How far reflectance must be moved, on average, to turn the generated band means into the real ones.",
        ideal="Not 0 with few images: two sets of n draws of one Gaussian differ by a multiple of its standard "
        "deviation (the number given is that multiple).",
        misleads="Each band is taken alone, so impossible spectra can score well; bright bands dominate the mean; an "
        "offset of 0.1 in one source shows as 0.1 in every band.",
        ideal_value=ideal_wasserstein,
    ),
    Explanation(
        name="coverage",
        title="Range coverage",
        question="diverse",
        better="ideal",
        measures="Share of the range between the smallest and largest real band mean that the generated range "
        "overlaps.",
        ideal="Below 1 for a perfect model with few images: about .84 for 16 Gaussian draws against 16.",
        misleads="It depends on the two most extreme images and grows with the number of generated ones; an "
        "over-dispersed model scores 1.",
        ideal_value=ideal_coverage,
    ),
)

"""Classes against true classes: accuracy, IoU, precision, recall, F1, pooled over pixels in a confusion matrix.

confusion[t, p] counts pixels of true class t predicted as p. A class that occurs neither in truth nor in prediction
scores 0 and is left out of the means; a class that is only predicted counts.
"""

import dataclasses

import numpy as np

from copgen_jax.errors import InputError
from copgen_jax.evaluation.metrics.explanation import Explanation

_EPSILON = 1e-8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts over pixels; two of the same classes add up."""

    matrix: np.ndarray
    """int64 [K, K], true class by predicted class."""
    within_k: int = 0
    """Pixels whose true class is among the k most probable."""
    k: int = 3

    def __add__(self, other: "Confusion") -> "Confusion":
        if self.k != other.k or self.matrix.shape != other.matrix.shape:
            raise InputError("confusion matrices of other classes or another top-k do not add up")
        return Confusion(matrix=self.matrix + other.matrix, within_k=self.within_k + other.within_k, k=self.k)

    @property
    def pixels(self) -> int:
        """Pixels counted."""
        return int(self.matrix.sum())

    def scores(self, *, published: bool = False) -> dict[str, float | list[float]]:
        """overall_top1, overall_top<k>, per_class_* (lists of K), mean_iou, mean_f1, fw_iou. All 0 without pixels.

        Args:
            published: with k = 1, give overall_top1 the value 0 that the original's top-k entry overwrites it with.
        """
        counts = self.matrix.astype(np.float64)
        hit, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        missed, false = true - hit, predicted - hit
        iou = hit / (hit + false + missed + _EPSILON)
        f1 = 2 * hit / (2 * hit + false + missed + _EPSILON)
        occurs = (true + predicted) > 0
        pixels = max(self.pixels, 1)
        scores: dict[str, float | list[float]] = {
            "overall_top1": float(hit.sum() / pixels),
            "per_class_iou": iou.tolist(),
            "per_class_precision": (hit / (predicted + _EPSILON)).tolist(),
            "per_class_recall": (hit / (true + _EPSILON)).tolist(),
            "mean_iou": float(iou[occurs].mean()) if occurs.any() else 0.0,
            "per_class_f1": f1.tolist(),
            "mean_f1": float(f1[occurs].mean()) if occurs.any() else 0.0,
            "fw_iou": float((iou * true).sum() / pixels),
        }
        if self.k > 1:
            scores[f"overall_top{self.k}"] = self.within_k / pixels
        elif published:
            scores["overall_top1"] = 0.0
        return scores


def empty(classes: int, k: int = 3) -> Confusion:
    """A confusion matrix to add to."""
    return Confusion(matrix=np.zeros((classes, classes), np.int64), k=k)


def confusion(scores: np.ndarray, labels: np.ndarray, *, k: int = 3, ignore: int | None = None) -> Confusion:
    """Counts for class scores [B, K, H, W] against class indices [B, H, W].

    Of equal scores the lowest class comes first, in the best and in the best k. For hard labels made one-hot, top-k
    therefore means nothing; see `hard_confusion`.

    Args:
        scores: any monotonous scores: logits or probabilities.
        labels: class indices, not codes.
        k: of the top-k accuracy.
        ignore: true class whose pixels do not count.

    Raises:
        InputError: shapes do not match, a label is not a class index, a score is NaN.
    """
    classes = scores.shape[1] if scores.ndim == 4 else 0
    if scores.ndim != 4 or labels.shape != (scores.shape[0], *scores.shape[2:]):
        raise InputError(
            f"class scores {scores.shape} and labels {labels.shape} do not match [B, K, H, W] and [B, H, W]"
        )
    counted = np.ones(labels.shape, bool) if ignore is None else labels != ignore
    true = labels[counted].astype(np.int64)
    rows = np.moveaxis(scores, 1, -1)[counted]
    if np.isnan(rows).any():
        raise InputError(
            f"{int(np.isnan(rows).any(axis=1).sum())} pixels have NaN class scores; every pixel needs a class"
        )
    _check_indices(true, classes)
    own = np.take_along_axis(rows, true[:, None], axis=1)
    before = np.arange(classes)[None] < true[:, None]
    rank = ((rows > own) | ((rows == own) & before)).sum(axis=1)
    return Confusion(matrix=_matrix(true, rows.argmax(axis=1), classes), within_k=int((rank < k).sum()), k=k)


def hard_confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> Confusion:
    """Counts for class indices against class indices, of one shape. Only top-1 exists.

    The original reports a top-3 here; of one-hot scores that is the class and two arbitrary others.
    """
    if predicted.shape != labels.shape:
        raise InputError(f"predicted classes {predicted.shape} and labels {labels.shape} differ in shape")
    for indices in (predicted, labels):
        _check_indices(indices, classes)
    return Confusion(matrix=_matrix(labels.ravel(), predicted.ravel(), classes), k=1)


def class_indices(raster: np.ndarray, codes: tuple[int, ...]) -> np.ndarray:
    """Places of a raster's codes in `codes`, int64; an unknown code becomes 0, as published.

    Count the unknown ones with `unknown_codes` and say so: class 0 is scored like any other.
    """
    indices = np.zeros(raster.shape, np.int64)
    for i, code in enumerate(codes):
        indices[raster == code] = i
    return indices


def unknown_codes(raster: np.ndarray, codes: tuple[int, ...]) -> int:
    """Pixels whose value is none of the codes."""
    return int((~np.isin(raster, codes)).sum())


def _check_indices(indices: np.ndarray, classes: int) -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < classes):
        raise InputError(
            f"labels range from {indices.min()} to {indices.max()}; expected class indices 0 to {classes - 1}"
        )


def _matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    pairs = true.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


EXPLANATIONS = (
    Explanation(
        name="overall_top1",
        title="Top-1 accuracy",
        question="faithful",
        better="higher",
        measures="Share of pixels whose class is right.",
        ideal="1 for the truth itself.",
        misleads="One frequent class can make nearly all of it: a map of nothing but trees scores the share of trees.",
        ideal_value=lambda n, m: 1.0,
    ),
    Explanation(
        name="mean_iou",
        title="Mean intersection over union",
        question="faithful",
        better="higher",
        measures="Overlap of predicted and true area over their union, averaged over the classes that occur in either.",
        ideal="1 for the truth itself.",
        misleads="A rare class weighs as much as a frequent one; a single wrong pixel of a class absent from the truth "
        "adds a class with score 0.",
        ideal_value=lambda n, m: 1.0,
    ),
    Explanation(
        name="fw_iou",
        title="Frequency-weighted intersection over union",
        question="faithful",
        better="higher",
        measures="Intersection over union per class, weighted by the true area of the class.",
        ideal="1 for the truth itself.",
        misleads="Like top-1 accuracy it hides the rare classes.",
        ideal_value=lambda n, m: 1.0,
    ),
    Explanation(
        name="mean_f1",
        title="Mean F1",
        question="faithful",
        better="higher",
        measures="Harmonic mean of precision and recall of a class, averaged over the classes that occur.",
        ideal="1 for the truth itself.",
        misleads="As for the mean intersection over union, to which it is a monotonous transform per class.",
        ideal_value=lambda n, m: 1.0,
    ),
)

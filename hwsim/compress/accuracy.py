"""Accuracy, measured: a network runs on the images of a data set in its own number formats, and its answers
are counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hwsim.compress.calibrate import in_batches
from hwsim.errors import SpecError
from hwsim.functional import execute
from hwsim.library import find
from hwsim.tensor.tensor import Array, format_shape
from hwsim.workload.graph import Workload
from hwsim.workload.weights import WeightsFile, read_weights

Split = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images [count, ...] between 0 and 1, and the class of each."""

    name: str
    images: Array
    labels: Array

    def shaped(self, shape: tuple[int, ...]) -> Array:
        """The images as an input of `shape` takes them, but for the batch. Raises SpecError when their
        elements are not as many."""
        wanted = int(np.prod(shape[1:]))
        held = int(np.prod(self.images.shape[1:]))
        if wanted != held:
            raise SpecError(
                f"the images of {self.name} have {held} elements, and the network takes {format_shape(shape)}"
            )
        return self.images.reshape(len(self.images), *shape[1:])


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many answers were right, of how many."""

    correct: int
    total: int

    @property
    def share(self) -> float:
        return self.correct / self.total


def load_labelled(name: str | Path = "digits", split: Split = "test") -> Labelled:
    """One split of a shipped data set, or of an npz file with the arrays <split>_images [count, ...] of
    uint8, <split>_labels [count] of uint8, and `largest`, the number that stands for 1. Raises SpecError for
    a file that is not so."""
    path = find("data", name)
    file = read_weights(path)
    largest = int(_array(file, "largest", 0))
    images, labels = _array(file, f"{split}_images", None), _array(file, f"{split}_labels", 1)
    if largest < 1 or images.ndim < 2 or not len(images) or len(images) != len(labels):
        raise SpecError(f"{path}: images and labels must be as many, at least one, and `largest` above 0")
    return Labelled(f"{path.stem} ({split})", images.astype(np.float64) / largest, labels)


def accuracy(workload: Workload, on: Labelled | None = None) -> Accuracy:
    """Run `workload`, which has one input and gives one score a class, on every image of `on` (the test split
    of the shipped digits if left out), and count where the highest score is the label's. Scores that are
    equal in the network's number format count for the first class of them.

    A network loaded for one image runs on many at once, one loaded for a batch on batches of its own size. A
    tensor in an integer format without a chosen grid takes its scale from all that run together. Raises
    SpecError for another kind of network.
    """
    found = on or load_labelled()
    if len(workload.inputs) != 1 or len(workload.outputs) != 1:
        raise SpecError(f"{workload.name}: accuracy needs a network of one input and one output")
    (name,), (scores_of,) = workload.inputs, workload.outputs
    shape = workload.tensors[name].shape
    images, labels = found.shaped(shape), found.labels
    # The last batch is filled up with copies of the last image, whose answers are not counted.
    missing = -len(images) % shape[0]
    filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
    answers = [
        execute(workload, batch)[scores_of].reshape(len(batch[name]), -1).argmax(axis=1)
        for batch in in_batches(workload, {name: filled})
    ]
    right = np.concatenate(answers)[: len(images)] == labels
    return Accuracy(int(np.count_nonzero(right)), len(images))


def _array(file: WeightsFile, name: str, rank: int | None) -> Array:
    found = file.arrays.get(name)
    if found is None or found.dtype.kind not in "iu" or (rank is not None and found.ndim != rank):
        raise file.fault(name, "is not an array of whole numbers of a data set; see `load_labelled`")
    return found

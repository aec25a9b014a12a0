"""Trains the two networks of this study on scikit-learn's digits and writes what hwsim ships of it:

    workloads/data/digits.npz        the images and labels of both splits
    workloads/weights/digits_*.npz   weights of digits_cnn and digits_mlp as trained, and as retrained after
                                     each step of compression that `variants.py` says is retrained

    pip install -e '.[train]' && python -m studies.digits.train

Everything is seeded and runs on one thread, so that the same versions on the same processor write the same
bytes; another processor may round otherwise and end with slightly other weights.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

from hwsim.workload import Workload, load_workload
from studies.digits.network import forward, trained_tensors
from studies.digits.retrain import Constraint, constraint_of
from studies.digits.variants import NETWORKS, SHELF, calibration_samples, variants_of, weights_name

TEST_IMAGES = 597  # of 1797, as many of each digit as its share
SEED = 0
EPOCHS, RETRAINING_EPOCHS, MINIBATCH, RATE = 60, 60, 50, 1e-3


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    _write_images(SHELF / "data" / "digits.npz")
    for name in NETWORKS:
        _write(name, "", _train(_untrained(name), EPOCHS))
        for variant in variants_of(name):
            if not variant.retrained:
                continue
            before = load_workload(name)
            start = variant.start(before, calibration_samples(before))
            constraint = constraint_of(variant.retrained, start)
            _write(name, variant.key, _train(start, RETRAINING_EPOCHS, constraint))


def _write_images(path: Path) -> None:
    """The split: stratified by label, shuffled from seed 0. Pixels are 0 to 16."""
    bundled = load_digits()
    images, labels = bundled.images.astype(np.uint8), bundled.target.astype(np.uint8)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_IMAGES, random_state=SEED, stratify=labels
    )
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path,
        largest=np.uint8(16),
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


def _untrained(name: str) -> Workload:
    """The network as its file gives it, with weights drawn from the seed."""
    lines = (SHELF / f"{name}.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text("".join(line for line in lines if not line.startswith("weights:")), encoding="utf-8")
        return load_workload(path, seed=SEED)


def _train(workload: Workload, epochs: int, constraint: Constraint | None = None) -> dict[str, np.ndarray]:
    """Weights after `epochs` of Adam with a cosine schedule on the training images."""
    with np.load(SHELF / "data" / "digits.npz") as file:
        images = torch.tensor(file["train_images"] / 16.0, dtype=torch.float32)
        labels = torch.tensor(file["train_labels"].astype(np.int64))
    images = images.reshape(len(images), *workload.tensors[workload.inputs[0]].shape[1:])
    constraint = constraint or Constraint(trained_tensors(workload))
    optimiser = torch.optim.Adam(constraint.trained(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    order = torch.Generator().manual_seed(SEED)
    for _ in range(epochs):
        for part in torch.randperm(len(labels), generator=order).split(MINIBATCH):
            optimiser.zero_grad()
            scores = forward(workload, constraint.weights(), images[part], constraint.activation)
            functional.cross_entropy(scores, labels[part]).backward()
            optimiser.step()
        schedule.step()
    with torch.no_grad():
        return {name: values.numpy() for name, values in constraint.weights().items()}


def _write(network: str, variant: str, weights: dict[str, np.ndarray]) -> None:
    path = SHELF / "weights" / f"{weights_name(network, variant)}.npz"
    path.parent.mkdir(exist_ok=True)
    # Shipped in half the bits of fp32, and measured as shipped.
    np.savez_compressed(path, **{name: weights[name].astype(np.float16) for name in sorted(weights)})
    sys.stdout.write(f"{path.name}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()

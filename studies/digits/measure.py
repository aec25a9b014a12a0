"""Measures every method of `variants.py` on the test images and writes reports/digits.csv and digits.md.

make digits
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from hwsim.compress.accuracy import Accuracy, accuracy
from hwsim.tensor.formats import find_format
from hwsim.workload import Workload, load_workload
from studies.digits.variants import NETWORKS, VARIANTS, Variant, calibration_samples, variants_of

REPORTS = Path(__file__).resolve().parents[2] / "reports"
NO_RETRAINING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """Right answers of a network before, after, and after retraining (None where no retrained weights are
    shipped). `exact` says that every product is summed in whole numbers, whose sums have no order; those of
    floats may be rounded in another order on another computer."""

    network: str
    key: str
    images: int
    before: int
    after: int
    retrained: int | None
    exact: bool


def measure(network: str, variant: Variant) -> Row:
    """One row, from the shipped weights."""
    trained = load_workload(network)
    samples = calibration_samples(trained)
    before = _accuracy_before(network)
    compressed = variant.apply(trained, samples)
    after = accuracy(compressed)
    retrained = None
    if variant.retrained:
        retrained = accuracy(variant.finished(trained, samples)).correct
    return Row(
        network, variant.key, before.total, before.correct, after.correct, retrained, _exact(compressed)
    )


_before: dict[str, Accuracy] = {}


def _accuracy_before(network: str) -> Accuracy:
    if network not in _before:
        _before[network] = accuracy(load_workload(network))
    return _before[network]


def _exact(workload: Workload) -> bool:
    return all(
        find_format(workload.tensors[op.inputs[0]].dtype).kind != "float"
        for op in workload.operators
        if op.kind in ("conv2d", "matmul")
    )


def read_rows(path: Path = REPORTS / "digits.csv") -> list[Row]:
    """The rows of an earlier measurement."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(
                line["network"], line["key"], int(line["images"]), int(line["before"]), int(line["after"]),
                None if line["retrained"] == NO_RETRAINING else int(line["retrained"]),
                line["exact"] == "yes",
            )
            for line in csv.DictReader(file)
        ]  # fmt: skip


def main() -> None:
    rows = [measure(network, variant) for network in NETWORKS for variant in variants_of(network)]
    with (REPORTS / "digits.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        for row in rows:
            retrained = NO_RETRAINING if row.retrained is None else row.retrained
            exact = "yes" if row.exact else "no"
            writer.writerow([row.network, row.key, row.images, row.before, row.after, retrained, exact])
    (REPORTS / "digits.md").write_text(page(rows), encoding="utf-8")
    sys.stdout.write(f"wrote {REPORTS / 'digits.csv'} and {REPORTS / 'digits.md'}\n")


def page(rows: list[Row]) -> str:
    """The report, in Markdown."""
    words = {variant.key: variant.words for variant in VARIANTS}
    lines = [HEADER]
    for network in NETWORKS:
        own = [row for row in rows if row.network == network]
        about = load_workload(network).description
        right = f"{own[0].before} of {own[0].images} right: {_percent(own[0].before, own[0].images)} %"
        lines += [f"## {network}", "", f"{about} As trained it gets {right}.", ""]
        lines += ["| method | after, % | change | retrained, % | change |", "|---|---:|---:|---:|---:|"]
        for row in own:
            after = _cells(row.after, row)
            retrained = _cells(row.retrained, row)
            lines.append(f"| {words[row.key]} | {after} | {retrained} |")
        lines.append("")
    return "\n".join(lines)


def _cells(correct: int | None, row: Row) -> str:
    if correct is None:
        return "- | -"
    change = 100 * (correct - row.before) / row.images
    return f"{_percent(correct, row.images)} | {change:+.1f}"


def _percent(correct: int, images: int) -> str:
    return f"{100 * correct / images:.1f}"


HEADER = """# Accuracy after compression

Measured, not estimated: each network below is compressed by `hwsim.compress`, executed in its own number
formats by `hwsim.functional.execute`, and its answers to 597 test images are counted. `make digits` writes
this page anew; a test counts every row again from the shipped weights.

**Images.** The 1,797 handwritten digits, 8 x 8 pixels of 17 grey levels, that scikit-learn bundles, split by
`train_test_split(test_size=597, random_state=0, stratify=labels)`. Networks are trained, retrained and
calibrated (on the first 400) with the 1,200 training images alone. One test image is 0.17 points. The
standard error of one accuracy near 98 % is 0.6 points, so smaller differences between methods mean little.
Nothing was held out for choosing densities, bits and the like: they are stated in
`studies/digits/variants.py`, and were chosen by hand.

**Retraining** is 60 epochs of Adam that keep what compression did: pruned weights stay zero, weights that
share a centroid go on sharing it, rounded weights are rounded in each step.
`python -m studies.digits.train` does all of it again (with the extra `train`).

**Change** is in points against the network as trained. Activations are fp32 where a method speaks of weights
alone. Rows of whole numbers (int, fixed point) are compared exactly by the test; in the others a sum may be
rounded in another order on another computer, which may move one image.
"""


if __name__ == "__main__":
    main()

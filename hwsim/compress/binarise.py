"""Binary and ternary weights: one or two bits a weight, with scales.

Sources: Rastegari et al., "XNOR-Net", ECCV 2016, section 3.1 (binary weights with one scale a filter) and 3.2
(binary activations as well); Li et al., "Ternary Weight Networks", arXiv:1605.04711, section 2; Zhu et al.,
"Trained Ternary Quantization", ICLR 2017, section 3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.compress.calibrate import Samples, executed
from hwsim.compress.layers import Patterns, WeightRef, density_of, derived, held, read_weight, select
from hwsim.compress.quantise import keeps_grid, told
from hwsim.errors import SpecError
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Operator

TWN_THRESHOLD = 0.7  # of the mean size: Li et al., eq. 6
TTQ_THRESHOLD = 0.05  # of the largest size: Zhu et al., section 3.2


def binarise(workload: Workload, *, layers: Patterns = None) -> Workload:
    """BWN: weights become their sign times the mean size of their filter, one scale an output channel
    (Rastegari et al., eqs. 4 and 6). Without `layers`, all but the first and the last. Activations keep their
    format."""
    refs = _inner(workload, layers)
    laid = {ref.tensor: _binary(workload, ref) for ref in refs}
    step = f"binarise: {_named(refs)}: sign times the mean size of the filter"
    return derived(workload, step, tensors={**workload.tensors, **laid}, formats_chosen=True)


def binarise_both(workload: Workload, *, samples: Samples | None = None, layers: Patterns = None) -> Workload:
    """XNOR: weights as `binarise` makes them, and what these layers multiply them with binary too: the sign
    times the mean size over `samples` (drawn from the seed if left out), one scale a tensor where XNOR-Net
    has one a window (Rastegari et al., eq. 11).

    A ReLU that stands before is removed, since the sign is the function that follows a binary layer; such a
    network wants retraining. Raises SpecError for a layer that reads an input of the network, for one whose
    activation is read by a layer that stays as it is, and for an activation that is never negative.
    """
    refs = _inner(workload, layers)
    grids = _binary_activations(workload, {ref.operator for ref in refs}, {ref.tensor for ref in refs})
    tensors = {**workload.tensors, **{ref.tensor: _binary(workload, ref) for ref in refs}}
    operators = tuple(_without_relu(op) if op.output in grids else op for op in workload.operators)
    found = replace(workload, operators=operators, tensors=tensors)
    for op in operators:
        name = op.output
        if name not in grids:
            continue
        source = op.inputs[0] if keeps_grid(op) else ""
        chosen = found.tensors[source].quantisation if source else _sign_grid(found, samples, name)
        binary = replace(found.tensors[name], dtype="binary", quantisation=chosen)
        found = replace(found, tensors={**found.tensors, name: binary})
    step = (
        f"binarise_both: {_named(refs)}: weights the sign times the mean size of the filter, activations "
        f"({', '.join(grids)}) the sign times the mean size over {told(samples)}"
    )
    return derived(workload, step, operators=operators, tensors=found.tensors, formats_chosen=True)


def ternarise(workload: Workload, *, threshold: float = TWN_THRESHOLD, layers: Patterns = None) -> Workload:
    """TWN: weights below `threshold` times the layer's mean size become 0, the others their sign times the
    mean size of those that are left (Li et al., eqs. 5 and 6). Without `layers`, all but the first and the
    last."""
    _positive(threshold)
    refs = _inner(workload, layers)
    laid = {}
    for ref in refs:
        values = read_weight(workload, ref).astype(np.float64)
        sizes = np.abs(values)
        kept = sizes > threshold * sizes.mean()
        scale = float(sizes[kept].mean()) if kept.any() else 1.0
        laid[ref.tensor] = _levels(workload, ref, np.sign(values) * kept * scale, "ternary", (scale,), None)
    step = f"ternarise: {_named(refs)}: threshold {threshold} of the mean size"
    return derived(workload, step, tensors={**workload.tensors, **laid}, formats_chosen=True)


def ternarise_trained(
    workload: Workload, *, threshold: float = TTQ_THRESHOLD, layers: Patterns = None
) -> Workload:
    """TTQ's form: weights within `threshold` times the layer's largest size become 0, the positive and the
    negative others one scale each. Training sets the scales where retrained weights are read
    (compress/retrained.py); here they begin as the means of what they stand for. Two scales are no multiples
    of each other, so the weight is a codebook of two entries beside zero and keeps its number format. Without
    `layers`, all but the first and the last."""
    _positive(threshold)
    refs = _inner(workload, layers)
    laid = {}
    for ref in refs:
        values = read_weight(workload, ref)
        least = threshold * float(np.abs(values).max(initial=0.0))
        found = np.zeros_like(values)
        for side in (values < -least, values > least):
            if side.any():
                found[side] = values[side].mean(dtype=np.float64)
        book = tuple(float(value) for value in np.unique(found) if value)
        tensor = workload.tensors[ref.tensor]
        laid[ref.tensor] = replace(
            tensor,
            values=held(found),
            density=density_of(found),
            codebook=book,
            storage=None,
            quantisation=None,
        )
    step = f"ternarise_trained: {_named(refs)}: threshold {threshold} of the largest size"
    return derived(workload, step, tensors={**workload.tensors, **laid})


# -- weights ---------------------------------------------------------------------------------------------


def _inner(workload: Workload, layers: Patterns) -> tuple[WeightRef, ...]:
    """The chosen layers; else all but the first and the last, as all of the sources keep them."""
    if layers is not None:
        return select(workload, layers)
    found = select(workload)[1:-1]
    if not found:
        raise SpecError(
            f"{workload.name} has no layer between its first and its last, which stay as they are unless "
            "`layers` names them"
        )
    return found


def _binary(workload: Workload, ref: WeightRef) -> Tensor:
    values = read_weight(workload, ref).astype(np.float64)
    others = tuple(axis for axis in range(values.ndim) if axis != ref.out_axis)
    scales = np.abs(values).mean(axis=others, keepdims=True)
    scales = np.where(scales > 0, scales, 1.0)  # a filter of zeros has no size; any scale will do
    signs = np.where(values < 0, -1.0, 1.0)
    return _levels(workload, ref, signs * scales, "binary", tuple(scales.reshape(-1).tolist()), ref.out_axis)


def _levels(
    workload: Workload,
    ref: WeightRef,
    values: Float64Array,
    dtype: str,
    scales: tuple[float, ...],
    axis: int | None,
) -> Tensor:
    return replace(
        workload.tensors[ref.tensor],
        dtype=dtype,
        values=held(values),
        density=density_of(values),
        quantisation=Quantisation(scales, (0,) * len(scales), axis),
        codebook=(),
        storage=None,
    )


def _named(refs: tuple[WeightRef, ...]) -> str:
    return ", ".join(ref.operator for ref in refs)


def _positive(threshold: float) -> None:
    if not 0.0 <= threshold < 1.0 / TTQ_THRESHOLD:
        raise SpecError(f"threshold is {threshold}: it must be at least 0 and below {1 / TTQ_THRESHOLD:.0f}")


# -- activations -----------------------------------------------------------------------------------------


def _binary_activations(workload: Workload, names: set[str], weights: set[str]) -> tuple[str, ...]:
    """What the operators `names` multiply their weights with, and what that is a view or maximum of, back to
    where it is computed. Raises SpecError where another layer reads it too."""
    found: dict[str, None] = {}
    for op in workload.operators:
        if op.name not in names:
            continue
        name = next(operand for operand in op.inputs if operand not in weights)
        found[name] = None
        made = workload.producer(name)
        while made is not None and keeps_grid(made):
            name = made.inputs[0]
            found[name] = None
            made = workload.producer(name)
        if made is None:
            raise SpecError(
                f"layer {op.name} reads {name!r}, which enters the network: it has no binary form; choose "
                "layers behind the first"
            )
    for name in found:
        for reader in workload.consumers(name):
            if reader.name not in names and not (keeps_grid(reader) and reader.output in found):
                raise SpecError(
                    f"{name!r} cannot become binary, because {reader.name} reads it too and stays as it is: "
                    "choose layers whose inputs nothing else reads"
                )
    return tuple(found)


def _without_relu(op: Operator) -> Operator:
    if op.epilogue and op.epilogue[-1].function == "relu":
        return replace(op, epilogue=op.epilogue[:-1])
    return op


def _sign_grid(workload: Workload, samples: Samples | None, name: str) -> Quantisation:
    values = executed(workload, samples, name)
    if values.min() >= 0:
        raise SpecError(
            f"{name!r} is never negative over the samples, so its sign says nothing: binary activations come "
            "from products, or from ReLUs fused behind them"
        )
    return Quantisation((float(np.abs(values).mean()),), (0,))

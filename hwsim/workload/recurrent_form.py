"""Where recurrent operators of a loaded workload multiply their inputs: for all steps in one product before
the first, or in each step. Both compute the same; from one to the other and back are the same operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Matmul, Operator, Step
from hwsim.workload.recurrent import Recurrent, recurrent_parts

InputForm = Literal["batched", "stepwise"]
INPUT_FORMS = ("batched", "stepwise")
PRODUCT = "product"  # attribute of a stepwise operator: names of the batched product that it stands for


def with_recurrent_form(
    workload: Workload, form: InputForm, where: Callable[[Operator], bool] | None = None
) -> Workload:
    """`workload` with the recurrent operators that `where` chooses (all without) in that form. Operators
    whose inputs are no product of their own stay as they are: those in cuDNN's skip-input mode, those that
    take what other operators read too, and those with a bias on one side only. Raises SpecError for another
    form, and where the product between has a grid of its own, which the other form would lose."""
    if form not in INPUT_FORMS:
        raise SpecError(f"the form is {form!r}: it must be one of {', '.join(INPUT_FORMS)}")
    chosen = {
        op.name
        for op in workload.operators
        if isinstance(op.problem, Recurrent) and (where is None or where(op))
    }
    if form == "stepwise":
        return _all_stepwise(workload, chosen)
    operators: list[Operator] = []
    tensors = dict(workload.tensors)
    for op in workload.operators:
        if op.name in chosen and isinstance(op.problem, Recurrent) and op.problem.I:
            product, cells = _batched(workload, op, op.problem)
            tensors[product.output] = _between(workload, op, product.output)
            operators += [product, cells]
        else:
            operators.append(op)
    return _changed(workload, operators, tensors)


def _all_stepwise(workload: Workload, chosen: set[str]) -> Workload:
    merged: dict[str, Operator] = {}
    gone: dict[str, str] = {}  # product -> the tensor between
    for op in workload.operators:
        problem = op.problem
        if op.name not in chosen or not isinstance(problem, Recurrent) or problem.I or problem.skip:
            continue
        product = workload.producer(op.inputs[0])
        if product is None or not _serves_alone(workload, product, op, problem):
            continue
        if workload.tensors[product.output].quantisation is not None:
            raise SpecError(
                f"operator {op.name} takes {product.output!r}, whose grid somebody chose, and multiplied "
                "step by step that is no tensor: choose the form of its inputs before quantising"
            )
        merged[op.name] = _stepwise(op, problem, product)
        gone[product.name] = product.output
    operators = [merged.get(op.name, op) for op in workload.operators if op.name not in gone]
    tensors = {name: t for name, t in workload.tensors.items() if name not in gone.values()}
    return _changed(workload, operators, tensors)


def _serves_alone(workload: Workload, product: Operator, op: Operator, problem: Recurrent) -> bool:
    """Whether an operator makes the products of all steps of `op`, and of nothing else."""
    made = product.problem
    if not isinstance(made, Matmul) or dict(product.attributes) != {"trans_b": True}:
        return False
    functions = [(step.function, step.attributes) for step in product.epilogue]
    bias = recurrent_parts(problem, op.inputs).state_bias
    features = (workload.tensors[product.inputs[0]].shape, workload.tensors[product.inputs[1]].shape)
    return (
        functions == ([] if bias is None else [("bias", ())])
        and features[0][:2] == (problem.T, problem.N)
        and features[1] == (problem.gates * problem.H, features[0][-1])
        and workload.tensors[product.inputs[1]].role in ("weight", "constant")
        and all(workload.tensors[step.tensor].elements == made.N for step in product.epilogue)
        and workload.consumers(product.output) == (op,)
        and product.output not in workload.outputs
    )


def _stepwise(op: Operator, problem: Recurrent, product: Operator) -> Operator:
    """`op` with the products of its inputs in its steps."""
    found = recurrent_parts(problem, op.inputs)
    x, weight = product.inputs
    biases = (found.state_bias, *(step.tensor for step in product.epilogue))
    inputs = (
        x, found.state_weight, weight, found.projection, *biases, found.peepholes, found.initial_state,
        found.initial_cell,
    )  # fmt: skip
    assert isinstance(product.problem, Matmul)
    names = (product.name, product.output, product.layer)
    return replace(
        op,
        problem=replace(problem, I=product.problem.K),
        inputs=tuple(name for name in inputs if name is not None),
        attributes=op.attributes if names == _names(op) else (*op.attributes, (PRODUCT, names)),
    )


def _batched(workload: Workload, op: Operator, problem: Recurrent) -> tuple[Operator, Operator]:
    """The product of the inputs of all steps, and `op` behind it."""
    found = recurrent_parts(problem, op.inputs)
    given = dict(op.attributes).get(PRODUCT)
    name, output, layer = given if isinstance(given, tuple | list) else _names(op)
    for taken, among in ((name, {o.name for o in workload.operators}), (output, workload.tensors)):
        if taken in among:
            raise SpecError(f"operator {op.name} has no name for its product: {taken!r} is there already")
    assert found.input_weight is not None
    product = Operator(
        name,
        Matmul(1, problem.T * problem.N, problem.gates * problem.H, problem.I),
        (found.x, found.input_weight),
        output,
        layer,
        () if found.input_bias is None else (Step("bias", found.input_bias),),
        (("trans_b", True),),
    )
    inputs = (
        output, found.state_weight, found.projection, found.state_bias, found.peepholes, found.initial_state,
        found.initial_cell,
    )  # fmt: skip
    cells = replace(
        op,
        problem=replace(problem, I=0),
        inputs=tuple(one for one in inputs if one is not None),
        attributes=tuple(pair for pair in op.attributes if pair[0] != PRODUCT),
    )
    return product, cells


def _names(op: Operator) -> tuple[str, str, str]:
    """Name, result and layer of a product that nobody named otherwise: those that layers give it."""
    return f"{op.name}.inputs", f"{op.name}.inputs", op.layer or op.name


def _between(workload: Workload, op: Operator, name: str) -> Tensor:
    """The result of the product, in the format of the operator's own."""
    problem = op.problem
    assert isinstance(problem, Recurrent)
    shape = (problem.T, problem.N, problem.gates * problem.H)
    return Tensor(name, shape, workload.tensors[op.output].dtype, "activation")


def _changed(workload: Workload, operators: list[Operator], tensors: dict[str, Tensor]) -> Workload:
    if tuple(operators) == workload.operators:
        return workload
    return replace(workload, operators=tuple(operators), tensors=tensors)

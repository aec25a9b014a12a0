"""Which way a product is executed, by how its plan was cut and by the machine that it was cut for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.errors import UnsupportedError
from hwsim.functional.cached_products import (
    Cached,
    locate_cached,
    run_boxes,
    run_sparse,
    run_split,
    run_winograd,
)
from hwsim.functional.cached_walk import has_caches, needs_of, read_deeds
from hwsim.functional.check import Expected, expect_product, expect_winograd
from hwsim.functional.flow import Product
from hwsim.functional.locate import Place, locate
from hwsim.functional.products import Executed, ProductRun
from hwsim.functional.streams import locate_stream, read_flags, run_streams, whole_product
from hwsim.functional.walk import ProgramColumns, is_array
from hwsim.plan import Plan
from hwsim.plan.mapping import (
    AttentionMapping,
    DirectMapping,
    GemmMapping,
    RowMapping,
    SplitMapping,
    StepMapping,
    StreamMapping,
    WinogradMapping,
)
from hwsim.plan.residency import Residency
from hwsim.tensor.tensor import Array, Shape


@dataclass(frozen=True, eq=False)
class Issued:
    """One product of the Program: its operands, tiles `index` of the columns, where operands are, what the
    second operand was before it was stored, the shape of the result, and the width of a sum."""

    product: Product
    index: int
    columns: ProgramColumns
    residency: Residency
    weights: Callable[[], Array]
    shape: Shape
    sum_bits: int

    @property
    def mapping(self) -> Any:
        return self.columns.program.plans[self.index].mapping

    def run(self, mapping: GemmMapping, *, constants_arrive: bool) -> ProductRun:
        """What executes it; a bias that does not arrive is zero."""
        p = self.product
        bias = p.bias if constants_arrive else np.zeros_like(p.bias)
        return ProductRun(p.op, mapping, p.a, p.b, p.out, bias, p.drain, self.sum_bits)

    def expected(self, tiles_deep: int) -> Expected:
        p = self.product
        return expect_product(p.op, p.a, p.b, p.out, p.bias, p.drain, tiles_deep)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a machine computed, what it had to be, and where an element of it went wrong."""

    found: Executed
    expected: Expected
    place: Callable[[Shape], Place]


def executable(plan: Plan) -> bool:
    """Whether tiles say which elements they work on."""
    if isinstance(plan.mapping, StepMapping):
        return is_array(plan.own_pipeline)
    if isinstance(plan.mapping, AttentionMapping):
        return has_caches(plan.own_pipeline)
    return _route(plan) is not None


def execute_product(issued: Issued) -> Outcome:
    """Execute a product whose plan is `executable`. Raises UnsupportedError for formats without
    arithmetic."""
    route = _route(issued.columns.program.plans[issued.index])
    assert route is not None
    return route(issued)


def _route(plan: Plan) -> Callable[[Issued], Outcome] | None:
    for machine, routes in ((is_array, _ON_ARRAYS), (has_caches, _ON_CACHES), (_any_machine, _ON_ANY)):
        if machine(plan.own_pipeline) and type(plan.mapping) in routes:
            return routes[type(plan.mapping)]
    return None


def _on_array(issued: Issued) -> Outcome:
    """Blocks on an array, which holds what it was given last."""
    mapping: GemmMapping = issued.mapping
    walk = issued.columns.walk(issued.index, issued.residency)
    run = issued.run(mapping, constants_arrive=walk.constants_arrive)
    found = run.run(walk, issued.shape)

    def place(where: Shape) -> Place:
        at = locate(run, walk, where, issued.shape)
        if at.stage == "drain" and not walk.constants_arrive:
            return Place(at.tile, "weights", "its bias is never fetched")
        return at

    return Outcome(found, issued.expected(-(-mapping.k // mapping.tile_k)), place)


def _in_streams(issued: Issued) -> Outcome:
    """A second operand in compressed streams."""
    mapping: StreamMapping = issued.mapping
    op = issued.product.op
    if issued.product.drain is None:
        raise UnsupportedError(f"operator {op.name}: compressed streams hold integers, not floats")
    flags = read_flags(mapping, issued.columns.columns(issued.index), issued.residency, issued.sum_bits)
    run = issued.run(whole_product(op), constants_arrive=flags.constants_arrive)
    found, sums = run_streams(run, mapping, flags, issued.weights(), issued.shape)
    return Outcome(
        found,
        issued.expected(1),
        lambda where: locate_stream(run, mapping, flags, sums, where, issued.shape),
    )


def _cached(issued: Issued, products: GemmMapping, execute: Callable[..., Cached], *more: Array) -> Outcome:
    """Tiles that bring their own operands, multiply them and write results or parts of them."""
    mapping = issued.mapping
    deeds = read_deeds(
        issued.columns.columns(issued.index), needs_of(mapping, issued.residency), issued.residency
    )
    run = issued.run(products, constants_arrive=deeds.constants_arrive)
    cached = execute(run, mapping, deeds, *more, issued.shape)
    p = issued.product
    if isinstance(mapping, WinogradMapping):
        expected = expect_winograd(p.op, p.a, p.b, p.out, p.bias, mapping.tile)
    else:
        expected = issued.expected(-(-products.k // products.tile_k))
    return Outcome(
        cached.found,
        expected,
        lambda where: locate_cached(run, cached, deeds, mapping, where, issued.shape),
    )


def _blocks(issued: Issued) -> Outcome:
    return _cached(issued, issued.mapping, run_boxes)


def _rows(issued: Issued) -> Outcome:
    mapping: RowMapping = issued.mapping
    if mapping.sparse:
        return _cached(issued, mapping.whole, run_sparse, issued.weights())
    return _cached(issued, mapping.whole, run_boxes)


def _direct(issued: Issued) -> Outcome:
    return _cached(issued, issued.mapping.whole, run_boxes)


def _split(issued: Issued) -> Outcome:
    return _cached(issued, issued.mapping.products, run_split)


def _winograd(issued: Issued) -> Outcome:
    op = issued.product.op
    if issued.product.drain is not None:
        raise UnsupportedError(f"operator {op.name}: kernels of Winograd's filtering take floats")
    conv = whole_product(op)
    return _cached(issued, conv, run_winograd)


def _any_machine(_: object) -> bool:
    return True


_ON_ARRAYS: Mapping[type, Callable[[Issued], Outcome]] = {GemmMapping: _on_array}
_ON_CACHES: Mapping[type, Callable[[Issued], Outcome]] = {
    GemmMapping: _blocks,
    RowMapping: _rows,
    DirectMapping: _direct,
    SplitMapping: _split,
    WinogradMapping: _winograd,
}
_ON_ANY: Mapping[type, Callable[[Issued], Outcome]] = {StreamMapping: _in_streams}

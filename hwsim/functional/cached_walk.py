"""What each tile of a product really does on a machine with caches: a core or a thread block that brings its
own operands, multiplies them whole, and writes what it has.

Read from the columns of the Program, as `walk` reads those of an array, by the stages in SIGNS. Something has
come when no fewer bytes did than the tile's box holds; where a tile is of several boxes, no fewer than its
share of the operand, since tiles of one kind state one amount.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Int64Array
from hwsim.functional.walk import NOTHING, Columns, TileWalk
from hwsim.plan import Pipeline
from hwsim.plan.blocks import GemmMapping
from hwsim.plan.residency import Operand, Residency
from hwsim.plan.shares import DirectMapping, RowMapping, SplitMapping, WinogradMapping
from hwsim.tensor.formats import accumulator_format, format_bits

CachedMapping = GemmMapping | RowMapping | DirectMapping | SplitMapping | WinogradMapping


@dataclass(frozen=True, slots=True)
class Signs:
    """The stages whose demands say what a tile did: brought its part of the first operand, and of the second
    and the constants, multiplied, wrote what it had to a cache, and from there to memory."""

    first: str = "load"
    second: str = "weights"
    multiplied: str = "compute"
    written: str = "store"
    outside: str = "write_back"

    @property
    def stages(self) -> tuple[str, ...]:
        return self.first, self.second, self.multiplied, self.written, self.outside


SIGNS = Signs()


def has_caches(pipeline: Pipeline) -> bool:
    """Whether tiles pass the stages of cores or thread blocks behind caches."""
    return set(SIGNS.stages) <= set(pipeline.stage_names)


@dataclass(frozen=True, eq=False)
class Needs:
    """(tiles,) bytes that a tile cannot do without: of the first operand, of the second, and of what it
    writes; `given` and `passed` are sums that it takes over from the tile before and hands on to the next
    (0: none). A tile that skips zeros may find none to multiply (`may_idle`)."""

    first: Int64Array
    second: Int64Array
    written: Int64Array
    given: Int64Array
    passed: Int64Array
    may_idle: bool = False


@dataclass(frozen=True, eq=False)
class Deeds:
    """(issued tiles,) what each did. `complete` ones brought both operands and multiplied them; `leaves`:
    what it wrote is where it is looked for next; `continues`: it added to the sums of the tile before."""

    first: BoolArray
    second: BoolArray
    multiplied: BoolArray
    leaves: BoolArray
    continues: BoolArray
    constants_arrive: bool

    @property
    def issued(self) -> int:
        return len(self.first)

    @property
    def complete(self) -> BoolArray:
        done: BoolArray = self.first & self.second & self.multiplied
        return done


def read_deeds(columns: Columns, needs: Needs, residency: Residency) -> Deeds:
    """What the issued tiles did, of those that the mapping has."""
    count = min(columns.tiles, len(needs.first))
    at = columns.first(count)
    first, second = at.demand(SIGNS.first), at.demand(SIGNS.second)
    written, outside = at.demand(SIGNS.written), at.demand(SIGNS.outside)
    given, passed = needs.given[:count], needs.passed[:count]
    to_memory = residency.output.place == "memory"
    leaves = np.where(passed > 0, written >= passed, written >= needs.written[:count])
    if to_memory:
        leaves &= (passed > 0) | (outside >= needs.written[:count])
    constants = sum(o.size_bytes for o in residency.operands[2:])
    beside = int(second[0] - needs.second[0]) if count else 0
    return Deeds(
        first=first >= needs.first[:count],
        second=second >= needs.second[:count],
        multiplied=(at.demand(SIGNS.multiplied) > 0) | needs.may_idle,
        leaves=leaves,
        continues=(given > 0) & (first - needs.first[:count] >= given),
        constants_arrive=beside >= constants,
    )


def needs_of(mapping: CachedMapping, residency: Residency) -> Needs:
    """What the tiles of a mapping cannot do without."""
    return _NEEDS[type(mapping)](mapping, residency)


def box_walk(boxes: Int64Array, deeds: Deeds, depth: int) -> TileWalk:
    """The walk along boxes (n, 8) of the issued tiles, whose whole sums have `depth` terms. Nothing stays
    with a core from tile to tile but sums that are handed on through the cache."""
    boxes = boxes[boxes[:, 0] < deeds.issued]
    tile, k0, k1 = boxes[:, 0], boxes[:, 6], boxes[:, 7]
    at = np.arange(len(boxes))
    ends = k1 == depth
    rows = np.where((deeds.first & deeds.multiplied)[tile], at, NOTHING)
    return TileWalk(
        boxes=boxes[:, 1:],
        holds_rows=False,
        rows_loaded=rows,
        block_fetched=np.where(deeds.second[tile], at, NOTHING),
        rows_from=rows,
        block_from=np.where(deeds.second[tile], at, NOTHING),
        opens=(k0 == 0) | ~deeds.continues[tile],
        drains=ends,
        stores=deeds.leaves[tile],
        loses=~ends & ~deeds.leaves[tile],
        constants_arrive=deeds.constants_arrive,
    )


def tile_boxes(mapping: GemmMapping) -> Int64Array:
    """Boxes (n, 8) of blocks: one for each tile."""
    boxes = mapping.boxes()
    return np.column_stack([np.arange(len(boxes)), boxes])


def _blocks(mapping: GemmMapping, residency: Residency) -> Needs:
    """Each tile brings its own block of both. The second operand may be stored shorter than its format says:
    then its share of what is stored is the least."""
    a, b = residency.operands[:2]
    _, m0, m1, n0, n1, k0, k1 = mapping.boxes().T
    m, n, k = m1 - m0, n1 - n0, (k1 - k0) * (mapping.padded_k or mapping.k) // mapping.k
    sums = m * n * _sum_bytes(a)
    nothing = np.zeros_like(sums)
    second = k * n * format_bits(b.dtype) // 8
    if b.structured:
        second = _part(b, k * n, mapping.batch * mapping.k * mapping.n)
    return Needs(
        first=m * k * format_bits(a.dtype) // 8,
        second=second // mapping.sharing,
        written=_part(residency.output, m * n, mapping.batch * mapping.m * mapping.n),
        given=np.where(k0 > 0, sums, nothing),
        passed=np.where(k1 < mapping.k, sums, nothing),
    )


def _rows(mapping: RowMapping, residency: Residency) -> Needs:
    """The side that is cut comes in shares, the other whole, of one product at least. Of what is stored
    without zeros nobody says which tile has how much: an even share."""
    a, b = residency.operands[:2]
    done = np.diff([0, *mapping.ends])
    tasks, most = mapping.ends[-1], np.maximum
    cut, other = (a, b) if mapping.along == "m" else (b, a)
    share, whole = _part(cut, done, tasks), np.full(len(done), other.size_bytes // mapping.batch)
    if mapping.sparse:
        share = np.minimum(share, b.size_bytes // mapping.tiles)
        whole = np.full(len(done), a.size_bytes // mapping.tiles)
    else:
        share = most(share, 1)
    first, second = (share, whole) if mapping.along == "m" else (whole, share)
    nothing, written = np.zeros_like(share), _part(residency.output, done, tasks)
    if mapping.sparse:
        written = np.minimum(written, _fewest(residency.output, mapping.tiles))
    return Needs(first, second, written, nothing, nothing, may_idle=mapping.sparse)


def _direct(mapping: DirectMapping, residency: Residency) -> Needs:
    """As many blocks of channels as its rows fill at least, and its share of the feature maps."""
    a, b = residency.operands[:2]
    done = np.diff([0, *mapping.ends])
    p = mapping.problem
    blocks = np.minimum(-(-done // p.P), mapping.blocks)
    nothing = np.zeros_like(done)
    return Needs(
        first=np.minimum(_part(a, done, p.N * p.P), a.size_bytes),
        second=_part(b, blocks, mapping.blocks),
        written=_part(residency.output, done, mapping.ends[-1]),
        given=nothing,
        passed=nothing,
    )


def _split(mapping: SplitMapping, residency: Residency) -> Needs:
    """The tiles that multiply write partial sums, the adders read those and write results."""
    products = _blocks(mapping.products, residency)
    p = mapping.products
    _, m0, m1, n0, n1, _, _ = p.boxes().T
    results = p.batch * p.m * p.n
    added = np.diff([results * i // mapping.adders for i in range(mapping.adders + 1)])
    nothing = np.zeros_like(added)
    sum_bytes = _sum_bytes(residency.operands[0])
    # What adders read is dealt out by bytes, and what they make by results.
    read = np.minimum(added, results // mapping.adders) * mapping.parts * sum_bytes
    return Needs(
        first=np.concatenate([products.first, read]),
        second=np.concatenate([products.second, nothing]),
        written=np.concatenate([(m1 - m0) * (n1 - n0) * sum_bytes, _part(residency.output, added, results)]),
        given=np.zeros(mapping.tiles, dtype=np.int64),
        passed=np.zeros(mapping.tiles, dtype=np.int64),
    )


def _winograd(mapping: WinogradMapping, residency: Residency) -> Needs:
    """Operands and results are as wide as the numbers that they hold; transforms read and write something."""
    a = residency.operands[0]
    number = format_bits(a.dtype)
    _, m0, m1, n0, n1, k0, k1 = mapping.products.boxes().T
    m, n, k = m1 - m0, n1 - n0, k1 - k0
    some = np.ones(mapping.before, dtype=np.int64), np.ones(mapping.after, dtype=np.int64)
    nothing = np.zeros(mapping.tiles, dtype=np.int64)
    return Needs(
        first=np.concatenate([some[0], m * k * number // 8, some[1]]),
        second=np.concatenate([0 * some[0], k * n * number // 8 // mapping.products.sharing, 0 * some[1]]),
        written=np.concatenate([some[0], np.ones_like(m), some[1]]),
        given=nothing,
        passed=nothing,
    )


def _part(operand: Operand, some: Int64Array, whole: int) -> Int64Array:
    """(tiles,) bytes of parts of an operand, rounded down."""
    return np.array([operand.size_bytes * int(one) // whole for one in some.tolist()], dtype=np.int64)


def _fewest(out: Operand, tiles: int) -> int:
    """Bytes of an even share of whole results."""
    return out.elements // tiles * format_bits(out.dtype) // 8


def _sum_bytes(a: Operand) -> int:
    return format_bits(accumulator_format(a.dtype)) // 8


_NEEDS: Mapping[type, Callable[..., Needs]] = {
    GemmMapping: _blocks,
    RowMapping: _rows,
    DirectMapping: _direct,
    SplitMapping: _split,
    WinogradMapping: _winograd,
}

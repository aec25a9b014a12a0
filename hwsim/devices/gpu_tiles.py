"""What a generation of the vendor's libraries has to choose from: shapes of thread-block tiles, and how sums
are split.

Shapes are those in the names that profilers print for the kernels of each release (maxwell_sgemm_128x64_nn,
volta_sgemm_32x32_sliced1x4_nn, volta_fp16_s884gemm_fp16_256x128_ldg8_f2f_nn,
ampere_fp16_s16816gemm_fp16_64x64_ldg8_f2f_stages_64x5_tn,
sm90_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize128x128x64), recalled; CUTLASS has the same. Hopper's slabs are
64 deep, four of them under way, and come in clusters of two blocks (CUTLASS 3). Threads and registers follow
from them: 8 x 8 sums a thread in plain units, 4 x 8 in the smallest tiles, 64 or 128 sums a thread behind
tensor cores, and what addresses and operands take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Share of its rate that a tile loses for each 64th of its sides: addresses, loads of operands and the loop
# take time that larger tiles spread over more products. One constant for all parts and formats, fitted on the
# products of DeepBench and of transformers that hwsim ships.
SIDE_LOSS = 0.04
SIDE = 64


@dataclass(frozen=True, slots=True)
class Block:
    """A thread block's tile of sums: `m` x `n`, in slabs of `k` steps of the sum, of which `stages` are in
    shared memory at once; its threads and the registers of each. Blocks of a `cluster` lie side by side along
    m and load the second operand once for all of them."""

    m: int
    n: int
    k: int
    threads: int
    registers: int
    stages: int = 2
    cluster: int = 1

    @property
    def side_share(self) -> float:
        """Share of its rate that a tile of this size reaches beside the largest possible."""
        return 1 / (1 + SIDE_LOSS * (SIDE / self.m + SIDE / self.n))


def _both(*blocks: Block) -> tuple[Block, ...]:
    """The blocks and, where sides differ, their transposes."""
    found = []
    for b in blocks:
        found.append(b)
        if b.m != b.n:
            found.append(Block(b.n, b.m, b.k, b.threads, b.registers, b.stages, b.cluster))
    return tuple(found)


PLAIN = _both(
    Block(128, 128, 8, 256, 120),
    Block(128, 64, 8, 128, 120),
    Block(64, 64, 8, 64, 120),
    Block(128, 32, 8, 64, 120),
    Block(64, 32, 8, 64, 80),
    Block(32, 32, 8, 64, 56),
)


def _tensor(depth: int, stages: int, cluster: int = 1) -> tuple[Block, ...]:
    """Tiles of tensor units, in slabs of so many numbers of 16 bits."""
    return _both(
        Block(256, 128, depth, 256, 224, stages, cluster),
        Block(128, 128, depth, 256, 128, stages, cluster),
        Block(256, 64, depth, 256, 128, stages, cluster),
        Block(128, 64, depth, 128, 128, stages, cluster),
        Block(64, 64, depth, 128, 80, stages, cluster),
    )


@dataclass(frozen=True, slots=True)
class LibraryMenu:
    """One generation. `splits` are the numbers of parts that a sum may be cut into; products with a side of
    up to `narrow` in plain floats go to a kernel for narrow matrices, which passes over the other operand
    again for each four of them (gemmSN_NN and gemmSN_TN in profiles of CUDA 8; a matrix-vector kernel where
    `narrow` is 1). `recurrent` are tiles that steps of a recurrent layer take in plain floats for more
    sequences than are narrow: the first for as many as its side has, the second for more of them in layers
    with several gates."""

    plain: tuple[Block, ...]
    tensor: tuple[Block, ...]
    splits: tuple[int, ...]
    narrow: int
    recurrent: tuple[Block, ...] = ()


NARROW_STEP = 4
# One stage: a slab is loaded when the one before has been multiplied. That cuDNN 5 and 6 take such kernels on
# Pascal is read from DeepBench's layers. A step of a plain layer with 32 sequences takes twice that of 64,
# nearly the same for 1,760 to 8,448 rows of weights on both parts, and for each slab about a load's latency,
# the transfer and the products one behind another; so do LSTMs with 64 and 128, and plain layers do not.
UNBUFFERED = (Block(32, 128, 8, 64, 120, stages=1), Block(64, 128, 8, 128, 120, stages=1))
UNSPLIT = (1,)
SPLITS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)

LIBRARIES: Mapping[str, LibraryMenu] = MappingProxyType(
    {
        "cublas_7": LibraryMenu(PLAIN, (), UNSPLIT, 1),
        "cublas_8": LibraryMenu(PLAIN, (), UNSPLIT, 16, UNBUFFERED),
        "cublas_10": LibraryMenu(PLAIN, _tensor(32, 2), SPLITS, 1),
        "cublas_11": LibraryMenu(PLAIN, _tensor(32, 3), SPLITS, 1),
        "cublas_12": LibraryMenu(PLAIN, _tensor(64, 4, 2), SPLITS, 1),
    }
)

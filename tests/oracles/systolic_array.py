"""A systolic array stepped register by register: the slow, obvious machine that the closed forms answer to.

Every processing element holds an activation, a partial sum and one or two stationary operands. All registers
are read in a cycle and written at its end, at one clock edge. Operands enter skewed, by one cycle a row and a
column. The cycles of a run are the edges until its last result is there. No formula of time is used: folds
enter as soon as the registers that they need are free, which the array itself shows (a value written too
early or too late gives a wrong product, or a `Collision`).

`handover` decides whether a register may take the next fold's value at the very edge at which it gives the
last one's away, as flip-flops can. Without it shifting in, computing and shifting out are phases of their
own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
IDLE = -1  # the fold number that travels with nothing


class Collision(Exception):
    """Two folds want one register in one cycle."""


@dataclass(frozen=True)
class Outcome:
    """The product that came out, and the clock edges it took until the last result was there."""

    product: Matrix
    cycles: int


@dataclass(frozen=True)
class _Fold:
    """One stationary block, (rows, cols), and what streams past it, (steps, rows); `m`, `n` is where in the
    product its first result is added."""

    moving: Matrix
    held: Matrix
    m: int
    n: int

    @property
    def steps(self) -> int:
        return len(self.moving)


def _zero_filled(block: Matrix, rows: int, cols: int) -> Matrix:
    full = np.zeros((rows, cols), dtype=np.int64)
    full[: block.shape[0], : block.shape[1]] = block
    return full


def run_stationary(
    moving: Matrix,
    held: Matrix,
    rows: int,
    cols: int,
    *,
    planes: int = 1,
    overlap: bool = False,
    handover: bool = False,
) -> Outcome:
    """moving (M, K) times held (K, N) with `held` stationary: a weight-stationary array, or an
    input-stationary one when the product is transposed.

    `planes` stationary registers an element: with two, a fold shifts in while the one before computes. With
    `overlap` a fold enters as soon as the corner is free, else when all results of the one before are out.
    """
    folds = [
        _Fold(
            _zero_filled(moving[:, k : k + rows], len(moving), rows),
            _zero_filled(held[k : k + rows, n : n + cols], rows, cols), 0, n,
        )
        for n in range(0, held.shape[1], cols)
        for k in range(0, held.shape[0], rows)
    ]  # fmt: skip
    array = _StationaryArray(folds, rows, cols, planes)
    while not all(array.is_out(f) for f in range(len(folds))):
        array.control(overlap, handover)
        array.edge()
    width = -(-held.shape[1] // cols) * cols
    product = np.zeros((len(moving), width), dtype=np.int64)
    for fold, results in zip(folds, array.results, strict=True):
        product[:, fold.n : fold.n + cols] += np.array(results, dtype=np.int64).T
    return Outcome(product[:, : held.shape[1]], array.cycle)


class _StationaryArray:
    def __init__(self, folds: list[_Fold], rows: int, cols: int, planes: int) -> None:
        self.folds, self.rows, self.cols, self.cycle = folds, rows, cols, 0
        self.plane = np.zeros((planes, rows, cols), dtype=np.int64)
        self.act = np.zeros((rows, cols), dtype=np.int64)
        self.sum = np.zeros((rows, cols), dtype=np.int64)
        self.tag = np.full((rows, cols), IDLE)  # which fold's activation is in each element
        self.load_begun: list[int] = []  # cycle, by fold
        self.entered: list[int] = []  # lines of each fold that have come to the corner
        self.lines: list[tuple[Matrix, int]] = []  # (line, fold) at the corner, by cycle
        self.results: list[list[list[int]]] = [[[] for _ in range(cols)] for _ in folds]

    def is_out(self, fold: int) -> bool:
        """All results of a fold have reached the bottom."""
        return all(len(column) == self.folds[fold].steps for column in self.results[fold])

    def _is_loaded(self, fold: int) -> bool:
        return fold < len(self.load_begun) and self.cycle >= self.load_begun[fold] + self.rows

    def _has_entered(self, fold: int) -> bool:
        return fold < len(self.entered) and self.entered[fold] == self.folds[fold].steps

    def control(self, overlap: bool, handover: bool) -> None:
        """Choose what enters this cycle: a line of activations, and a stationary block that begins to
        shift."""

        def gone(fold: int) -> bool:
            return fold < 0 or (self._has_entered(fold) if overlap else self.is_out(fold))

        loading, planes = len(self.load_begun), len(self.plane)
        free_before = gone(loading - planes)
        fold = len(self.entered) - 1
        if fold < 0 or self._has_entered(fold):
            fold += 1
            if fold < len(self.folds) and self._is_loaded(fold) and gone(fold - 1):
                self.entered.append(0)
            else:
                fold = IDLE
        if fold == IDLE:
            self.lines.append((np.zeros(self.rows, dtype=np.int64), IDLE))
        else:
            self.lines.append((self.folds[fold].moving[self.entered[fold]], fold))
            self.entered[fold] += 1
        port_free = loading == 0 or self._is_loaded(loading - 1)
        free = gone(loading - planes) if handover else free_before
        if loading < len(self.folds) and port_free and free:
            self.load_begun.append(self.cycle)

    def edge(self) -> None:
        """One clock edge: every register takes what its wires carried in this cycle."""
        left = np.zeros(self.rows, dtype=np.int64)
        left_tag = np.full(self.rows, IDLE)
        for r in range(min(self.rows, len(self.lines))):  # row r sees the line of r cycles ago
            line, left_tag[r] = self.lines[-1 - r]
            left[r] = line[r]
        act = np.column_stack([left, self.act[:, :-1]])
        tag = np.column_stack([left_tag, self.tag[:, :-1]])
        above = np.vstack([np.zeros((1, self.cols), dtype=np.int64), self.sum[:-1]])
        stationary = np.take_along_axis(self.plane, (np.maximum(tag, 0) % len(self.plane))[None], axis=0)[0]
        self.sum = above + act * stationary
        self.plane = self._shifted_in()
        self.act, self.tag = act, tag
        self.cycle += 1
        for c in range(self.cols):  # the bottom row shows results
            if tag[-1, c] != IDLE:
                self.results[tag[-1, c]][c].append(int(self.sum[-1, c]))

    def _shifted_in(self) -> Matrix:
        """Column c starts c cycles late, as the data do. In its cycle j the operand of row rows - 1 - j
        enters at the top, and rows 1 to j take over what is above them."""
        after = self.plane.copy()
        for f, begun in enumerate(self.load_begun):
            for c in range(self.cols):
                j = self.cycle - begun - c
                if 0 <= j < self.rows:
                    p = f % len(after)
                    after[p, 1 : j + 1, c] = self.plane[p, :j, c]
                    after[p, 0, c] = self.folds[f].held[self.rows - 1 - j, c]
        return after


def run_output_stationary(
    a: Matrix,
    b: Matrix,
    rows: int,
    cols: int,
    *,
    overlap: bool = False,
    drain: str = "none",
    handover: bool = False,
) -> Outcome:
    """a (M, K) times b (K, N) with the sums stationary.

    `drain` is how finished sums leave. "none": they are taken where they are, and the run ends with the last
    sum. "serial": they shift down in place, one row a cycle, a column as soon as its bottom element is done;
    the run ends when the last is out. "hidden": each element copies its finished sum to a second register,
    and those shift down; the run ends with the last sum, its way out being hidden.
    """
    blocks = [
        (a[m : m + rows], b[:, n : n + cols])
        for m in range(0, len(a), rows)
        for n in range(0, b.shape[1], cols)
    ]
    if overlap:
        spacing = a.shape[1]
        while True:  # the closest that folds can follow one another
            try:
                sums, cycles = _step_output_stationary(blocks, spacing, rows, cols, drain, handover)
                break
            except Collision:
                spacing += 1
    else:
        alone = [_step_output_stationary([block], 0, rows, cols, drain, handover) for block in blocks]
        sums, cycles = [s for found, _ in alone for s in found], sum(c for _, c in alone)
    places = iter(sums)
    product = np.block([[next(places) for _ in range(0, b.shape[1], cols)] for _ in range(0, len(a), rows)])
    return Outcome(product[: len(a), : b.shape[1]], cycles)


def _step_output_stationary(
    blocks: list[tuple[Matrix, Matrix]], spacing: int, rows: int, cols: int, drain: str, handover: bool
) -> tuple[list[Matrix], int]:
    """Folds enter `spacing` cycles apart. Returns their (rows, cols) results and the cycles in all."""
    depth = blocks[0][0].shape[1]
    lefts = [_zero_filled(block, rows, depth) for block, _ in blocks]
    tops = [_zero_filled(block, depth, cols) for _, block in blocks]
    act, weight, total, shelf = (np.zeros((rows, cols), dtype=np.int64) for _ in range(4))
    tag = np.full((rows, cols, 2), IDLE)  # (fold, step) of the activation in each element
    waiting = np.full((rows, cols), IDLE)  # which fold's finished sum lies in the element's way out
    shifted = np.full(cols, IDLE)  # rows that each column has shifted down
    results = [np.zeros((rows, cols), dtype=np.int64) for _ in blocks]
    done = [np.zeros((rows, cols), dtype=bool) for _ in blocks]
    cycle = 0
    while not all(d.all() for d in done):
        # Wires at the left and top edges: row r and column c see the corner of r and c cycles ago.
        left_tag = np.array([_at_corner(cycle - r, spacing, depth, len(blocks)) for r in range(rows)])
        top_tag = [_at_corner(cycle - c, spacing, depth, len(blocks)) for c in range(cols)]
        left = [lefts[f][r, k] if f != IDLE else 0 for r, (f, k) in enumerate(left_tag.tolist())]
        top = [tops[f][k, c] if f != IDLE else 0 for c, (f, k) in enumerate(top_tag)]
        act, weight = np.column_stack([left, act[:, :-1]]), np.vstack([top, weight[:-1]])
        tag = np.concatenate([left_tag[:, None], tag[:, :-1]], axis=1)
        fold, step = tag[..., 0], tag[..., 1]
        busy, last = fold != IDLE, (fold != IDLE) & (step == depth - 1)
        added = np.where(step == 0, 0, total) + act * weight
        # The way out: the sums themselves, or the second registers.
        way, held = (total.copy() if drain == "serial" else shelf.copy()), waiting.copy()
        giving = np.zeros((rows, cols), dtype=bool)
        for c in range(cols) if drain != "none" else ():
            if shifted[c] == IDLE and waiting[-1, c] != IDLE:
                shifted[c] = 0
            if shifted[c] == IDLE:
                continue
            top_row, f = shifted[c], waiting[-1, c]  # rows above have given theirs away
            results[f][rows - 1 - top_row, c] = way[-1, c]
            done[f][rows - 1 - top_row, c] |= drain == "serial"
            giving[top_row:, c] = True
            way[top_row + 1 :, c] = (total if drain == "serial" else shelf)[top_row:-1, c]
            held[top_row, c] = IDLE
            held[top_row + 1 :, c] = waiting[top_row:-1, c]
            shifted[c] = top_row + 1 if top_row + 1 < rows else IDLE
        wanted = busy if drain == "serial" else last
        if drain != "none" and (wanted & ((held != IDLE) | (giving & (not handover)))).any():
            raise Collision
        if drain == "serial":
            total = np.where(busy, added, way)
        else:
            total = np.where(busy, added, total)
            shelf = np.where(last, added, way)
        waiting = np.where(last & (drain != "none"), fold, held)
        cycle += 1
        for r, c in np.argwhere(last) if drain != "serial" else ():
            results[fold[r, c]][r, c] = added[r, c]
            done[fold[r, c]][r, c] = True
    return results, cycle


def _at_corner(cycle: int, spacing: int, depth: int, folds: int) -> tuple[int, int]:
    """(fold, step) that enters at the corner in a cycle."""
    if cycle < 0:
        return IDLE, IDLE
    fold, step = divmod(cycle, spacing) if spacing else (0, cycle)
    return (fold, step) if fold < folds and step < depth else (IDLE, IDLE)

"""Where a module embeds the tokens a and b, found from its activations on all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.models.module_forward import ROWS_AT_A_TIME, ModuleForward
from grokinterp.models.module_hooks import Handler, Place, keep_in, replace_at, tensor_in
from grokinterp.models.network_parts import Operands

Calls = list[list[Tensor]]
"""What passed each place, call by call, rows first."""


@dataclass(frozen=True)
class Slot:
    """One call of one place, and the position in it."""

    place: int
    call: int
    position: int | None
    """None where there is one vector per row."""


@dataclass(frozen=True, eq=False)
class OperandPlaces:
    """How a and b are found in what passes some places, and put back there.

    Three kinds. ``slots``: a and b each have a vector of their own, at two positions, in two
    calls, or in two submodules. ``sum``: one vector is A[a] + B[b], such as a linear layer on a
    pair of one-hot vectors. ``columns``: some columns of one vector are of a, others of b.
    """

    places: tuple[Place, ...]
    kind: Literal["slots", "sum", "columns"]
    a: Slot
    b: Slot
    rows_axis: int = 0
    columns: tuple[Int[Tensor, " d"], Int[Tensor, " e"]] | None = None

    @property
    def names(self) -> str:
        """The places as they are written in ``gi.Parts``."""
        return " and ".join(map(str, self.places))

    def tables(self, forward: ModuleForward) -> Operands:
        """Read the embeddings of a and b, and verify them on all pairs.

        Raises
        ------
        ConfigError
            If the embedding of a depends on b, or the other way round.
        """
        every = passing(forward, forward.pairs, self.places, self.rows_axis)
        a, b = self._tables(forward)
        first, second = forward.pairs.T
        dtype = _at(every, self.a).dtype
        if self.kind == "sum":
            fits = is_close(_at(every, self.a), a[first] + b[second], dtype)
        else:
            rows_a, rows_b = self._rows(every)
            fits = is_close(rows_a, a[first], dtype) and is_close(rows_b, b[second], dtype)
        if not fits:
            raise ConfigError(_mixed(self.names, _at(every, self.a)))
        is_shared = a.shape == b.shape and is_close(a, b, dtype)
        return Operands(a, a if is_shared else b)

    def _tables(self, forward: ModuleForward) -> tuple[Tensor, Tensor]:
        """The embedding of every token as a and as b, even if no pair has it."""
        tokens = torch.arange(forward.n_tokens)
        if self.kind != "sum":
            return self._rows(_on_doubles(forward, self.places, self.rows_axis))
        zeros = torch.zeros_like(tokens)
        pairs = torch.cat([torch.stack([tokens, zeros], 1), torch.stack([zeros, tokens], 1)])
        values = _at(passing(forward, pairs, self.places, self.rows_axis), self.a).double()
        a, b = values.split(len(tokens))
        # Each table has half of the constant, which belongs to neither.
        half = (a.mean(0) + b.mean(0) - a[0]) / 2
        return (a - a.mean(0) + half).float(), (b - b.mean(0) + half).float()

    def _rows(self, calls: Calls) -> tuple[Tensor, Tensor]:
        a, b = _at(calls, self.a), _at(calls, self.b)
        if self.columns is None:
            return a.float(), b.float()
        return a[:, self.columns[0]].float(), b[:, self.columns[1]].float()

    def handlers(
        self, a: Float[Tensor, "row d"], b: Float[Tensor, "row e"]
    ) -> list[tuple[Place, Handler]]:
        """Return the hooks that put other operands in place of those of some rows."""
        if self.kind == "sum":
            return [self._put(self.a, a + b, None)]
        of_a, of_b = self.columns or (None, None)
        return [self._put(self.a, a, of_a), self._put(self.b, b, of_b)]

    def _put(self, slot: Slot, rows: Tensor, columns: Tensor | None) -> tuple[Place, Handler]:
        place = self.places[slot.place]

        def change(value: Tensor) -> Tensor:
            new = value.clone().transpose(0, self.rows_axis)
            at = new if slot.position is None else new[:, slot.position]
            # A view into the copy, so that what is written lands in it.
            flat = at.view(len(rows), -1) if at.is_contiguous() else at
            given = rows.to(device=new.device, dtype=new.dtype)
            if columns is None:
                flat.copy_(given.view_as(flat))
            else:
                flat[:, columns.to(new.device)] = given
            return new.transpose(0, self.rows_axis)

        return place, replace_at(slot.call, change, place)


def find_operands(forward: ModuleForward, places: tuple[Place, ...]) -> OperandPlaces:
    """Find a and b in what passes one place, or in two places.

    Raises
    ------
    ConfigError
        If the places are not passed, or what passes them is not of a alone and of b alone.
    """
    names = " and ".join(map(str, places))
    rows_axis = _rows_axis(forward, places, names)
    calls = passing(forward, forward.pairs, places, rows_axis)
    slots = _slots(calls)
    if len(slots) == 1:
        return _one_vector(forward, places, slots[0], rows_axis, calls)
    doubles = _on_doubles(forward, places, rows_axis)
    first, second = forward.pairs.T
    last = len(places) - 1
    of_a = [s for s in slots if s.place == 0 and _depends_on(calls, doubles, s, first)]
    of_b = [s for s in slots if s.place == last and _depends_on(calls, doubles, s, second)]
    if not of_a or not of_b:
        raise ConfigError(_mixed(names, _at(calls, slots[0])))
    return OperandPlaces(places, "slots", of_a[0], of_b[0], rows_axis)


NOT_CALLED = (
    "is not called when the module runs. Name a submodule that is, or its input: 'NAME:input'."
)


def passing(
    forward: ModuleForward,
    pairs: Int[Tensor, "row 2"],
    places: tuple[Place, ...],
    rows_axis: int,
) -> Calls:
    """Run the module on pairs and return what passes some places: on the CPU, rows first."""
    parts: list[Calls] = []

    def handlers(rows: slice) -> list[tuple[Place, Handler]]:
        kept: Calls = [[] for _ in places]
        parts.append(kept)
        return [
            (place, keep_in(calls, lambda value, place=place: tensor_in(value, place)))
            for place, calls in zip(places, kept, strict=True)
        ]

    forward.logits(pairs, handlers)
    return [
        [
            torch.cat([part[at][call].transpose(0, rows_axis) for part in parts])
            for call in range(len(parts[0][at]))
        ]
        for at in range(len(places))
    ]


def is_close(found: Tensor, expected: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Whether two tensors are equal up to the rounding of what made them, in `dtype`."""
    size = float(expected.abs().amax()) if expected.numel() else 0.0
    error = float((found.float() - expected.float()).abs().amax()) if found.numel() else 0.0
    return error <= rounding(dtype or found.dtype) * size


def rounding(dtype: torch.dtype) -> float:
    """What sums of some hundred terms differ by when they are formed in another order."""
    return max(256 * torch.finfo(torch.float32).eps, 4 * torch.finfo(dtype).eps)


def _rows_axis(forward: ModuleForward, places: tuple[Place, ...], names: str) -> int:
    """Which axis has an entry for each pair: the first, or the second where positions come first.

    Raises
    ------
    ConfigError
        If a place is not passed, or neither axis has.
    """
    pairs = forward.pairs[:ROWS_AT_A_TIME]
    calls = passing(forward, pairs, places, 0)
    for place, of_place in zip(places, calls, strict=True):
        if not of_place:
            raise ConfigError(f"operands={place} {NOT_CALLED}")
    shapes = [tuple(value.shape) for of_place in calls for value in of_place]
    for axis in (0, 1):
        if all(2 + axis <= len(shape) <= 3 and shape[axis] == len(pairs) for shape in shapes):
            return axis
    raise ConfigError(
        f"operands={names}: its output has the shape {shapes[0]} for {len(pairs):,} pairs. It "
        "takes (pairs, d), or (pairs, positions, d)."
    )


def _on_doubles(forward: ModuleForward, places: tuple[Place, ...], rows_axis: int) -> Calls:
    """What passes on the pairs (x, x), a row for each token."""
    tokens = torch.arange(forward.n_tokens)
    return passing(forward, torch.stack([tokens, tokens], 1), places, rows_axis)


def _slots(calls: Calls) -> list[Slot]:
    return [
        Slot(place, call, position if value.ndim == 3 else None)
        for place, of_place in enumerate(calls)
        for call, value in enumerate(of_place)
        for position in range(value.shape[1] if value.ndim == 3 else 1)
    ]


def _at(calls: Calls, slot: Slot) -> Tensor:
    value = calls[slot.place][slot.call]
    return value if slot.position is None else value[:, slot.position]


def _depends_on(calls: Calls, doubles: Calls, slot: Slot, token: Int[Tensor, " pair"]) -> bool:
    """Whether a slot shows a token, and nothing else."""
    table = _at(doubles, slot)
    return is_close(_at(calls, slot), table[token]) and not is_close(table, table[:1])


def _one_vector(
    forward: ModuleForward, places: tuple[Place, ...], slot: Slot, rows_axis: int, calls: Calls
) -> OperandPlaces:
    """One vector per pair, A[a] + B[b]: with columns of its own for each where it has them."""
    found = OperandPlaces(places, "sum", slot, slot, rows_axis)
    tables = found.tables(forward)
    is_of_a, is_of_b = (_varying(table) for table in (tables.a, tables.b))
    if not is_of_a.any() or not is_of_b.any():
        raise ConfigError(_mixed(found.names, _at(calls, slot)))
    if (is_of_a & is_of_b).any():
        return found
    columns = is_of_a.nonzero()[:, 0], is_of_b.nonzero()[:, 0]
    return OperandPlaces(places, "columns", slot, slot, rows_axis, columns)


def _varying(table: Float[Tensor, "token d"]) -> Tensor:
    spread = table.amax(dim=0) - table.amin(dim=0)
    return spread > rounding(table.dtype) * table.abs().amax()


def _mixed(names: str, value: Tensor) -> str:
    return (
        f"operands={names}: in its output of shape {tuple(value.shape)}, no vector depends on a "
        "alone and another on b alone, nor is it a sum of the two. Name the embedding of the "
        "tokens."
    )

"""Tasks on pairs of tokens: residues or elements of a group, and the answer of every pair."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Literal

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.fields import check_seed, check_types, later_field, shown
from grokinterp.groups import named_group
from grokinterp.groups.permutations import DEGREES
from grokinterp.reprs import spec_repr
from grokinterp.tasks.answer_table import HOLE, LARGEST_P, MOST_ANSWERS, AnswerTable
from grokinterp.tasks.examples import Examples, frozen, one_hot
from grokinterp.tasks.group_view import (
    GroupView,
    primitive_root,
    view_of_group,
    view_of_table,
)
from grokinterp.tasks.groups_of_tasks import group_operation, order_of_group, table_of_group
from grokinterp.tasks.operations import OPERATIONS, Operation, OperationName, is_prime

SplitMethod = Literal["python_shuffle", "torch_randperm"]
SplitUnit = Literal["ordered_pairs", "unordered_pairs"]
Labels = AnswerTable | PathLike | Iterable | None
"""What a table of answers is given as; a spec holds it as an AnswerTable."""


@dataclass(frozen=True)
class TaskSpec:
    """Which operation is learned, and which of its pairs are trained on.

    Examples
    --------
    >>> TaskSpec(operation="addition", p=59, train_fraction=0.4).p
    59
    """

    operation: OperationName = "addition"
    """Binary operation modulo p, or on the symmetric group S_degree, where a ∘ b applies b
    first. Division needs a prime p and leaves out b = 0; ``conditional`` (a / b for odd b, else
    a - b) needs a prime p and leaves out nothing. ``random_labels`` draws every answer from
    0 .. p-1, so that only memorizing helps. ``table`` takes the answers from `labels`. ``group``
    is the product in the group that `group` names or `group_table` has."""
    p: int = 113
    """Modulus; the tokens 0 .. p-1 are the residues and token p is ``=``. For permutations
    and groups the number of elements, and for a table its number of rows, whatever is given;
    token 0 of permutations and of named groups is the identity."""
    degree: int | None = None
    """n of S_n, 2 to 6, for permutations; None for other operations. S_6 has 518,400 pairs and
    1.4 GiB of logits at one checkpoint."""
    train_fraction: float = 0.3
    """Fraction of the pairs (or of the unordered pairs) that are trained on, in (0, 1)."""
    split_seed: int = 0
    """Seed of the split alone; the weights have their own."""
    split_method: SplitMethod = "python_shuffle"
    """``python_shuffle``: ``random.Random(seed).shuffle`` as in Nanda et al.'s code;
    ``torch_randperm``: ``torch.randperm`` after the seed, as in the Grokking_Demo notebook."""
    split_unit: SplitUnit = "ordered_pairs"
    """``unordered_pairs`` puts (a, b) and (b, a) on the same side; commutative operations only."""
    label_seed: int = 0
    """Seed of the answers of ``random_labels`` alone; whatever is trained on, a pair keeps its
    answer. No other operation takes one."""
    labels: Labels = later_field(None)
    """For ``table``: the answers, a path (.npy, .csv, .tsv, .txt, .json, .safetensors) or an array
    of shape (n, n). Entry [a, b] is the answer to the pair (a, b); -1, NaN or an empty cell leaves
    the pair out. A config holds the SHA-256 of the entries, a run folder a copy of the table."""
    n_answers: int | None = later_field(None)
    """For ``table``: number of outputs, above the largest answer; None: the largest answer + 1."""
    group: str | None = later_field(None)
    """For ``group``: ``cyclic(n)``, ``dihedral(n)`` (order 2n), ``dicyclic(n)``, ``quaternion``,
    ``symmetric(n)``, ``alternating(n)``, ``affine(p)``, ``heisenberg(p)``, products with `` x ``;
    or short: ``D59``, ``A5``, ``C2xC59``. docs/groups.md has the order of their elements."""
    group_table: Labels = later_field(None)
    """For ``group``: a Cayley table, a path or an array as for `labels`; entry [a, b] is the
    product ab. With `group` as well it has the elements of that group in another order."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        self._read_table()
        check_types(self)
        self._check_n_answers()
        operation = _operation_of(self)
        self._check_degree(operation)
        if self.p < 2:
            raise ConfigError(f"p={shown(self.p)} is too small. The modulus must be at least 2.")
        if self.p > LARGEST_P:
            raise ConfigError(
                f"p={shown(self.p)} is too large. The modulus must be at most {LARGEST_P}, since "
                "all pairs are held at once."
            )
        if operation.needs_prime and not is_prime(self.p):
            raise ConfigError(
                f"{self.operation} is not defined modulo p={self.p}, which is composite. "
                "Choose a prime p."
            )
        if not 0 < self.train_fraction < 1:
            hint = (
                f" It is a fraction, not a percentage: use {self.train_fraction / 100:g}."
                if 1 < self.train_fraction < 100
                else " Choose a value strictly between 0 and 1, such as 0.3."
            )
            raise ConfigError(f"train_fraction={self.train_fraction} is outside (0, 1).{hint}")
        check_seed("split_seed", self.split_seed)
        check_seed("label_seed", self.label_seed)
        if self.label_seed and not operation.is_random:
            raise ConfigError(
                f"label_seed={shown(self.label_seed)} does not go with {self.operation}, whose "
                "answers are not drawn. Leave it out, or use operation=random_labels."
            )
        if self.split_unit == "unordered_pairs" and not operation.is_commutative:
            name = self.operation if self.labels is None else "this table"
            name = operation.words if self.operation == "group" else name
            raise ConfigError(
                f"split_unit=unordered_pairs needs a commutative operation; {name} "
                "is not. Use split_unit=ordered_pairs."
            )

    @property
    def table(self) -> AnswerTable | None:
        """The table of answers that `labels` became; None for other operations."""
        return self.labels if isinstance(self.labels, AnswerTable) else None

    @property
    def cayley_table(self) -> AnswerTable | None:
        """The Cayley table that `group_table` became; None where there is none."""
        return self.group_table if isinstance(self.group_table, AnswerTable) else None

    @property
    def in_words(self) -> str:
        """``addition modulo 113``, or ``permutation composition in S_5``."""
        if self.table is not None:
            return self.table.in_words
        operation = _operation_of(self)
        if self.operation == "group":
            return operation.words
        if operation.is_random:
            return f"{operation.words} out of {self.p}"
        group = f"modulo {self.p}" if self.degree is None else f"in S_{self.degree}"
        return f"{operation.words} {group}"

    def _read_table(self) -> None:
        """Make an AnswerTable of `labels`, whose number of rows becomes p."""
        if not isinstance(self.operation, str):
            return
        of_tables, of_groups = ("labels", "n_answers"), ("group", "group_table")
        for name in of_tables + of_groups:
            wanted = "table" if name in of_tables else "group"
            if getattr(self, name) is not None and self.operation != wanted:
                raise ConfigError(
                    f"{name}={shown(getattr(self, name))} does not go with {self.operation}. "
                    f"Set it to None, or use operation={wanted}."
                )
        if self.operation == "table":
            if self.labels is None:
                raise ConfigError(
                    "operation=table needs labels, which are not given. Give a path or an array of "
                    "shape (n, n)."
                )
            table = AnswerTable.of(self.labels)
            object.__setattr__(self, "labels", table)
            object.__setattr__(self, "p", table.n_tokens)
        if self.operation == "group":
            name, table = table_of_group(self.group, self.group_table)
            object.__setattr__(self, "group", name)
            object.__setattr__(self, "group_table", table)
            object.__setattr__(self, "p", order_of_group(name, table))

    def _check_n_answers(self) -> None:
        if self.table is None:
            return
        least = self.table.largest + 1
        if self.n_answers is None:
            object.__setattr__(self, "n_answers", least)
        elif not least <= self.n_answers <= MOST_ANSWERS:
            raise ConfigError(
                f"n_answers={shown(self.n_answers)} is not allowed: the largest answer of the "
                f"table is {least - 1}. Use {least} to {MOST_ANSWERS}, or leave it out."
            )

    def _check_degree(self, operation: Operation) -> None:
        if not operation.is_of_permutations:
            if self.degree is not None:
                raise ConfigError(
                    f"degree={shown(self.degree)} does not go with {self.operation}. Set it to "
                    "None, or use operation=permutation_composition."
                )
            return
        if self.degree not in DEGREES:
            raise ConfigError(
                f"degree={shown(self.degree)} is not allowed. Choose 2, 3, 4, 5 or 6, the degree n "
                "of S_n."
            )
        object.__setattr__(self, "p", math.factorial(self.degree))


def _operation_of(spec: TaskSpec) -> Operation:
    if spec.table is not None:
        return spec.table.operation
    if spec.operation == "group":
        return group_operation(spec.group, spec.cayley_table)
    return OPERATIONS[spec.operation]


@dataclass(frozen=True, eq=False)
class Task(Examples):
    """All pairs of a task with their answers: materialized once, never changed.

    Examples
    --------
    >>> task = Task(TaskSpec(p=5))
    >>> task.n_pairs, int(task.labels[5 * 3 + 4])
    (25, 2)
    >>> larger = Task(TaskSpec(operation="table", labels=[[-1, 0, 0], [1, -1, 0], [1, 1, -1]]))
    >>> larger.n_tokens, larger.n_classes, larger.n_pairs
    (3, 2, 6)
    """

    spec: TaskSpec

    @property
    def operation(self) -> Operation:
        """The operation with its symbol and properties."""
        return _operation_of(self.spec)

    @property
    def n_tokens(self) -> int:
        """Number of tokens that a and b can be."""
        return self.spec.p

    @property
    def n_classes(self) -> int:
        """Number of possible answers, which is also the number of output columns.

        As many as tokens, except for a table.
        """
        return self.spec.p if self.spec.n_answers is None else self.spec.n_answers

    @property
    def d_vocab(self) -> int:
        """Number of input tokens: those of a and b, and ``=``."""
        return self.n_tokens + 1

    @property
    def n_pairs(self) -> int:
        """Number of pairs on which the operation is defined."""
        return len(self.labels)

    @property
    def n_examples(self) -> int:
        """Number of pairs, under the name that every kind of task has."""
        return self.n_pairs

    @property
    def n_outputs(self) -> int:
        """Number of possible answers, under the name that every kind of task has."""
        return self.n_classes

    @property
    def n_inputs(self) -> int:
        """Two columns for every token but ``=``: it may be a, and it may be b."""
        return 2 * self.n_tokens

    @property
    def inputs(self) -> np.ndarray:
        """(n_pairs, 2 n_tokens) float32: one-hot a beside one-hot b, divided by √2 to have norm 1.

        Made at every reading; a two-layer perceptron takes it, a transformer takes `tokens`.
        """
        a, b = (one_hot(self.pairs[:, side], self.n_tokens) for side in (0, 1))
        return np.concatenate([a, b], axis=1) / np.float32(math.sqrt(2))

    @cached_property
    def pairs(self) -> np.ndarray:
        """(n_pairs, 2) int64: a and b, a-major. Row ``a * p + b`` unless pairs are left out."""
        a, b = np.divmod(np.arange(self.n_tokens**2, dtype=np.int64), self.n_tokens)
        pairs = np.stack([a, b], axis=1)
        if self.operation.excludes_zero_divisor:
            pairs = pairs[pairs[:, 1] != 0]
        if self.spec.table is not None:
            pairs = pairs[self.spec.table.entries[a, b] != HOLE]
        return frozen(pairs)

    @cached_property
    def labels(self) -> np.ndarray:
        """(n_pairs,) int64: the correct answer of every pair, in 0 .. n_classes-1."""
        if self.operation.compute is None:
            rng = np.random.Generator(np.random.PCG64(self.spec.label_seed))
            return frozen(rng.integers(0, self.spec.p, size=len(self.pairs), dtype=np.int64))
        return frozen(self.operation.compute(self.pairs[:, 0], self.pairs[:, 1], self.spec.p))

    @cached_property
    def tokens(self) -> np.ndarray:
        """(n_pairs, 3) int64: the input sequences ``a b =``."""
        equals = np.full((self.n_pairs, 1), self.n_tokens, dtype=np.int64)
        return frozen(np.concatenate([self.pairs, equals], axis=1))

    @cached_property
    def mirror_rows(self) -> np.ndarray:
        """(n_pairs,) row of (b, a) for every pair (a, b); -1 where (b, a) is not defined."""
        rows = np.full((self.n_tokens, self.n_tokens), -1, dtype=np.int64)
        rows[self.pairs[:, 0], self.pairs[:, 1]] = np.arange(self.n_pairs)
        return frozen(rows[self.pairs[:, 1], self.pairs[:, 0]])

    @property
    def cyclic_view(self) -> GroupView | None:
        """The task as addition in a cyclic group, or None where there is no such view.

        Multiplication modulo a composite p has none, nor have groups that are not cyclic and the
        operations without a group.
        """
        view = self.group_view
        return view if view is not None and view.is_cyclic else None

    @property
    def has_representations(self) -> bool:
        """Whether the answers are products in a group that is not cyclic."""
        return self.group_view is not None and not self.group_view.is_cyclic

    @cached_property
    def group_view(self) -> GroupView | None:
        """The task as multiplication in a group, or None where there is no such view.

        Multiplication modulo a composite p has none, nor has an operation whose answer is no
        product of two elements, such as a² + b². A table has one if its rows, columns and
        answers can be renamed so that it is the table of a group.
        """
        p, operation = self.spec.p, self.operation
        rows = np.full((p, p), -1, dtype=np.int64)
        rows[self.pairs[:, 0], self.pairs[:, 1]] = np.arange(self.n_pairs)
        if operation.group == "symmetric":
            tokens, group = np.arange(p, dtype=np.int64), named_group(f"S{self.spec.degree}")
            return GroupView(p, frozen(rows.reshape(-1)), frozen(tokens), 0, group)
        if self.spec.cayley_table is not None:
            return view_of_table(self.spec.cayley_table.entries, rows, self.spec.group or "")
        if self.spec.operation == "group":
            return view_of_group(named_group(self.spec.group or ""), rows)
        if self.spec.table is not None:
            is_square = self.n_pairs == p * p and self.n_classes == p
            return view_of_table(self.spec.table.entries, rows) if is_square else None
        if operation.group == "additive":
            elements = np.arange(p, dtype=np.int64)
        elif operation.group == "multiplicative" and is_prime(p):
            g = primitive_root(p)
            elements = np.array([pow(g, e, p) for e in range(p - 1)], dtype=np.int64)
        else:
            return None
        n = len(elements)
        second = elements[-np.arange(n) % n] if operation.inverts_second else elements
        pair_rows = rows[elements[:, None], second[None, :]].reshape(-1)
        return GroupView(n, frozen(pair_rows), frozen(elements), self.n_pairs - n * n)

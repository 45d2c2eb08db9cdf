"""One checkpoint, run once on every pair, with whatever several measures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from grokinterp.circuits.arrangement import Arrangement, arrangement_of, masks_of
from grokinterp.circuits.logit_statistics import LogitStatistics, logit_statistics
from grokinterp.circuits.neurons import frequency_shares, representation_shares
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import checked
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.last_block import LastBlock
from grokinterp.models.loss import are_correct, pair_losses
from grokinterp.models.network_parts import NetworkParts, Operands, PartName
from grokinterp.models.transformer_parts import TransformerParts
from grokinterp.portions import fits, portions
from grokinterp.reprs import in_lines
from grokinterp.runs.parts import network_parts
from grokinterp.runs.run import Run
from grokinterp.spectra import (
    GroupHarmonics,
    cyclic_harmonics,
    group_harmonics,
    group_means,
    sum_rows,
)
from grokinterp.tasks import GroupView, Split, Task

On = Literal["all", "train", "test"]
"""Pairs to average over."""
ON: tuple[On, ...] = ("all", "train", "test")

_PAIRS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One checkpoint of a network and what it computes on all pairs of the task.

    Logits always exist. Every other part (:mod:`grokinterp.models.network_parts`) exists if the
    network has it; otherwise it raises a ConfigError with the reason. Rows of `pattern`,
    `neurons` and `logits` are the rows of ``task.pairs``. What belongs to
    the task's view of a group is arranged by the product s of a pair's two elements, in a
    cyclic group the sum of their indices: entry ``[s, i]`` is the pair with elements i and
    i^-1 s, in a cyclic group i and s - i, whose answer is ``view.class_tokens[s]``.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> snapshot.logits.shape, snapshot.has("pattern")
    (torch.Size([169, 13]), True)
    """

    task: Task
    """All pairs with their answers."""
    split: Split
    """Which of them were trained on."""
    step: int
    """Updates applied so far."""
    checksum: str
    """Digest of the weights; names this snapshot in a cache. Empty if there is none."""
    network: NetworkParts
    """The network and its parts."""
    logits: Float[Tensor, "pair c"]
    """Logits of the answers, in the precision of the weights: float32 or float64."""

    def __repr__(self) -> str:
        shapes = {"logits": tuple(self.logits.shape)}
        for part in ("neurons", "pattern"):
            if self.has(part):
                shapes[part] = tuple(getattr(self, part).shape)
        return in_lines(
            f"Snapshot of {self.task.spec.in_words} at step {self.step:,}",
            {
                "split": repr(self.split).partition(": ")[2],
                "network": self.network.in_words,
                "tensors": ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
                "accuracy": f"{self.accuracy_all:.3g} on all pairs",
            },
        )

    @classmethod
    def of(
        cls, network: NetworkParts, split: Split, *, step: int = 0, checksum: str = ""
    ) -> Snapshot:
        """Make a snapshot of a network that was run on all pairs of ``split.task``.

        Raises
        ------
        CheckpointError
            If a weight or a logit is not finite.
        """
        for name, value in network.weights.items() if "weights" not in network.missing else ():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise CheckpointError(
                    f"step {step} has non-finite weights in {name}. The run diverged before it; "
                    "analyze an earlier checkpoint."
                )
        if "weights" in network.missing and not torch.isfinite(network.logits).all():
            raise CheckpointError(
                f"step {step} has logits that are not finite. Leave that step out, or analyze an "
                "earlier one."
            )
        return cls(split.task, split, step, checksum, network, network.logits)

    @classmethod
    def from_parameters(
        cls,
        parameters: Mapping[str, Tensor],
        split: Split,
        spec: ModelSpec | MlpSpec,
        *,
        step: int = 0,
        checksum: str = "",
    ) -> Snapshot:
        """Run a transformer or a perceptron once on all pairs of ``split.task``.

        Raises
        ------
        CheckpointError
            If a weight is not finite.
        """
        network = network_parts(spec, parameters, split.task)
        return cls.of(network, split, step=step, checksum=checksum)

    def has(self, *parts: PartName) -> bool:
        """Whether the network has these parts."""
        return not any(part in self.network.missing for part in parts)

    def with_network(self, network: NetworkParts) -> Snapshot:
        """Return what another network does on the same pairs; without a checksum."""
        return replace(self, network=network, logits=network.logits, checksum="")

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations of the last hidden layer after its nonlinearity."""
        return self.network.neurons

    @property
    def pattern(self) -> Float[Tensor, "pair head pos"]:
        """Attention from the position that is read to all positions (last block)."""
        return self.network.pattern

    @property
    def operands(self) -> Operands:
        """The embedding of each token, as a and as b."""
        return self.network.operands

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """Weights by name as they were kept, on the CPU; transformers use TransformerLens names."""
        return self.network.weights

    @property
    def transformer(self) -> TransformerParts:
        """The network as a transformer with TransformerLens's names.

        Raises
        ------
        ConfigError
            If it is none.
        """
        self.network.require("blocks")
        assert isinstance(self.network, TransformerParts)
        return self.network

    @property
    def spec(self) -> ModelSpec:
        """Shape of a transformer."""
        return self.transformer.spec

    def weight(self, name: str) -> Tensor:
        """Return a weight by its short name (``W_E``); the last block's where there are several.

        Raises
        ------
        KeyError
            If the network has no weight of that name.
        """
        matches = [key for key in self.parameters if key.rsplit(".", 1)[-1] == name]
        if not matches:
            raise KeyError(name)
        return self.parameters[max(matches, key=_block_of)]

    def without_cache(self) -> Snapshot:
        """Return the same snapshot without what it has kept for later.

        Neurons by frequency, logits by sum and the edges of the last block are large, and what
        one table keeps the next rarely needs.
        """
        return replace(self, network=self.network.without_cache())

    # What every task has.

    @property
    def arrangement(self) -> Arrangement:
        """Tensors that depend on the task alone; every snapshot of a task has the same."""
        return arrangement_of(self.task)

    @property
    def labels(self) -> Int[Tensor, " pair"]:
        """Correct answer of every pair."""
        return self.arrangement.labels

    @cached_property
    def losses(self) -> Float[Tensor, " pair"]:
        """Cross-entropy of every pair in nats, float64."""
        if self.view is None:
            return pair_losses(self.logits, self.labels)
        return self._by_pair(self.logit_statistics.losses, pair_losses)

    @cached_property
    def are_correct(self) -> Bool[Tensor, " pair"]:
        """Whether the network answers each pair correctly."""
        if self.view is None:
            return are_correct(self.logits, self.labels)
        return self._by_pair(self.logit_statistics.are_correct, are_correct)

    def _by_pair(
        self, by_sum: Shaped[Tensor, "s i"], of_others: Callable[[Tensor, Tensor], Tensor]
    ) -> Shaped[Tensor, " pair"]:
        """Values of the view's pairs as rows of the task, with those of its other pairs."""
        values = by_sum.new_empty(len(self.logits))
        values[self.rows_by_sum] = by_sum
        others = self.arrangement.rows_outside
        if len(others):
            values[others] = of_others(self.logits[others], self.labels[others])
        return values

    def pair_mask(self, on: On) -> Bool[Tensor, " pair"]:
        """Pairs of the task that `on` names."""
        if on == "all":
            return torch.ones(self.task.n_pairs, dtype=torch.bool)
        masks = masks_of(self.split)
        return masks.train if on == "train" else masks.test

    @cached_property
    def accuracy_all(self) -> float:
        """Fraction of all pairs that are answered correctly."""
        return float(self.are_correct.double().mean())

    @property
    def tokens(self) -> Int[Tensor, "pair pos"]:
        """Input sequence of every pair, of a transformer."""
        return self.transformer.tokens

    @property
    def last_block(self) -> LastBlock:
        """Every edge from the last block's residual stream to the logits, of a transformer."""
        return self.transformer.last_block

    # What only a task with a view of a group has.

    @property
    def view(self) -> GroupView | None:
        """The task as multiplication in a group; None where there is no spectrum to see.

        Besides the tasks without a group, that is a group of one element.
        """
        return self.task.group_view if has_spectrum(self.task) else None

    def require_view(self) -> GroupView:
        """Return the view of the group, for code that cannot do without.

        Raises
        ------
        ConfigError
            If the task has none.
        """
        if self.view is None:
            raise ConfigError(
                f"{self.task.spec.in_words} has no cyclic view, so its logits have no "
                "frequencies. Choose an operation of a group, such as addition; multiplication "
                "needs a prime p."
            )
        return self.view

    def require_cyclic_view(self) -> GroupView:
        """Return the view of a cyclic group, for what only frequencies have a meaning in.

        Raises
        ------
        ConfigError
            If the task has none, or its group is not cyclic.
        """
        view = self.require_view()
        if not view.is_cyclic:
            raise ConfigError(
                f"{self.task.spec.in_words} has representations and no frequencies. Choose an "
                "operation modulo p."
            )
        return view

    @property
    def harmonics(self) -> GroupHarmonics:
        """Functions on the group of the view, by frequency or by representation.

        Raises
        ------
        ConfigError
            If the task has no view.
        """
        view = self.require_view()
        if view.group is None:
            return cyclic_harmonics(view.order)
        return group_harmonics(view.group)

    def _arranged(self) -> Arrangement:
        self.require_view()
        return self.arrangement

    @property
    def pair_rows(self) -> Int[Tensor, " view_pair"]:
        """Rows of ``task.pairs`` in the order of the view: entry ``i * n + j``."""
        return self._arranged().pair_rows

    def in_view(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "view_pair ..."]:
        """Rows of a tensor in the order of the view; no copy where that is the task's own."""
        arrangement = self._arranged()
        return values if arrangement.is_own_order else values[arrangement.pair_rows]

    @property
    def products(self) -> Int[Tensor, "i j"]:
        """Index of the product of elements i and j of the group: i + j modulo n if cyclic."""
        return self._arranged().products

    @property
    def rows_by_sum(self) -> Int[Tensor, "s i"]:
        """Rows of ``task.pairs`` by product: entry [s, i] has the indices i and i^-1 s.

        In a cyclic group the product is the sum, and the indices are i and s - i.
        """
        return self._arranged().rows_by_sum

    @property
    def class_tokens(self) -> Int[Tensor, " s"]:
        """Answer of the pairs with product s."""
        return self._arranged().class_tokens

    @cached_property
    def logits_by_sum(self) -> Float[Tensor, "s i c"]:
        """The logits by product. Columns stay in the order of the tokens.

        A copy of all logits; code that can take some products at a time asks
        :meth:`logits_of_sums` for those of :attr:`sum_portions`.
        """
        return self.logits[self.rows_by_sum]

    @property
    def sum_portions(self) -> list[slice]:
        """Products whose logits fit into a portion in float64, one portion after another."""
        n = self.require_view().order
        return portions(n, 8 * n * self.logits.shape[1])

    @property
    def is_large(self) -> bool:
        """Whether arrays as large as the logits are made in portions."""
        return not fits(8 * self.logits.numel())

    def logits_of_sums(self, sums: slice) -> Float[Tensor, "s i c"]:
        """Rows of :attr:`logits_by_sum`, kept only where all of them are small."""
        if len(self.sum_portions) == 1:
            return self.logits_by_sum[sums]
        return self.logits[self.rows_by_sum[sums]]

    @cached_property
    def logit_statistics(self) -> LogitStatistics:
        """What several measures ask of the logits by product, from one reading of them.

        The chosen pairs are those of :attr:`new_pairs_by_sum`.
        """
        return logit_statistics(
            self.logits, self.rows_by_sum, self.class_tokens, self.new_pairs_by_sum
        )

    @property
    def mean_logits_by_sum(self) -> Float[Tensor, "s c"]:
        """Logits averaged over the pairs with the same product, float64."""
        return self.logit_statistics.means

    @property
    def new_pairs_by_sum(self) -> Bool[Tensor, "s i"]:
        """Pairs of the view that the network cannot have memorized, by product.

        The test pairs whose mirror image is not trained, or all test pairs if some product would
        have none.
        """
        is_new = masks_of(self.split).unmirrored_test[self.rows_by_sum]
        return is_new if is_new.any(dim=1).all() else self.mask_by_sum("test")

    @cached_property
    def mean_neurons_by_sum(self) -> Float[Tensor, "s neuron"]:
        """Activations averaged over the pairs with the same sum of indices, in a cyclic view."""
        n = self.require_cyclic_view().order
        return group_means(self.neurons, self.pair_rows[sum_rows(n)])

    @cached_property
    def neuron_frequency_shares(self) -> Float[Tensor, "freq neuron"]:
        """Share of each neuron's centered activation in each frequency, float64.

        In a group that is not cyclic in each representation, the trivial one left out. See
        :func:`grokinterp.circuits.neurons.frequency_shares` and its sibling.
        """
        view = self.require_view()
        rows = self.pair_rows.view(view.order, view.order)
        if view.is_cyclic:
            return frequency_shares(self.neurons, rows, self.mean_neurons_by_sum)
        return representation_shares(self.neurons, rows, self.harmonics)

    @property
    def W_L(self) -> Float[Tensor, "neuron c"]:
        """Linear map from neurons to logits, float64: ``W_out @ W_U`` of a last block."""
        return self.network.readout.W_L

    @cached_property
    def written_by_neurons(self) -> Float[Tensor, "pair c"]:
        """What the neurons add to the logits: ``neurons @ W_L``, float64."""
        return self.through_W_L(self.neurons, torch.arange(len(self.neurons)))

    def through_W_L(
        self,
        neurons: Float[Tensor, "row chosen"],
        rows: Int[Tensor, " row"],
        chosen: Bool[Tensor, " neuron"] | None = None,
    ) -> Float[Tensor, "row c"]:
        """Effect of activations of some neurons (None: all) on the logits, in float64.

        A few thousand rows at a time: a float64 copy of all activations is the largest array
        that an analysis would hold. With a norm before the logits, its scale at each of the
        pairs `rows` is frozen.
        """
        W_L = self.W_L if chosen is None else self.W_L[chosen]
        written = torch.cat([part.double() @ W_L for part in neurons.split(_PAIRS_AT_A_TIME)])
        scale = self.network.readout.scale
        return written if scale is None else written.div_(scale[rows, None])

    @property
    def operand_rows(self) -> Float[Tensor, "x d"]:
        """The embedding of each element of the group, in the order of the view.

        Rows of the table that a and b share, or of both tables concatenated.
        """
        tables, arrangement = self.operands, self._arranged()
        first = tables.a[arrangement.first_tokens]
        if tables.is_shared:
            return first
        return torch.cat([first, tables.b[arrangement.second_tokens]], dim=1)

    def with_operand_rows(self, rows: Float[Tensor, "x d"]) -> Snapshot:
        """Run the network with other :attr:`operand_rows`; tokens outside the view keep theirs."""
        return self.with_network(self.network.with_operands(self.operands_of_rows(rows)))

    def operands_of_rows(self, rows: Float[Tensor, "x d"]) -> Operands:
        """Tables with other :attr:`operand_rows`; tokens outside the view keep theirs."""
        tables, arrangement = self.operands, self._arranged()
        a = tables.a.clone()
        width = a.shape[1]
        a[arrangement.first_tokens] = rows[:, :width].to(a.dtype)
        if tables.is_shared:
            return Operands(a, a)
        b = tables.b.clone()
        b[arrangement.second_tokens] = rows[:, width:].to(b.dtype)
        return Operands(a, b)

    def mask_by_sum(self, on: On) -> Bool[Tensor, "s i"]:
        """Pairs of the view that `on` names, by product."""
        return self.pair_mask(on)[self.rows_by_sum]


def has_frequencies(task: Task) -> bool:
    """Whether the answers of a task are sums in a cyclic group of at least two elements."""
    return task.cyclic_view is not None and task.cyclic_view.order >= 2


def has_spectrum(task: Task) -> bool:
    """Whether the answers of a task are products in a group of at least two elements."""
    return task.group_view is not None and task.group_view.order >= 2


def take_snapshot(run: Run, step: int | None = None) -> Snapshot:
    """Run a checkpoint once on all pairs of its task.

    Parameters
    ----------
    run
        Where the weights are.
    step
        A checkpointed step; None for the last.

    Raises
    ------
    CheckpointError
        If no weights were kept at that step, or one of them is not finite.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.take_snapshot(gi.load_run("ckpts/"), step=400).step
    400
    """
    checked("run", run, Run, "Load it first: gi.load_run(folder).")
    step = run.resolve_step(step)
    return Snapshot.of(run.network(step), run.split, step=step, checksum=run.checksum(step))


def _block_of(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("blocks.") else -1

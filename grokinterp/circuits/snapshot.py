"""One checkpoint, run once on every pair, with whatever several measures share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from grokinterp.circuits.arrangement import Arrangement, arrangement_of, masks_of
from grokinterp.circuits.last_block import LastBlock
from grokinterp.circuits.loss import are_correct, pair_losses
from grokinterp.circuits.neurons import frequency_shares, representation_shares
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import checked
from grokinterp.models import ModelSpec
from grokinterp.models.pair_tables import PairActivations, forward_pairs, has_pair_tables
from grokinterp.models.transformer import input_tokens
from grokinterp.reprs import in_lines
from grokinterp.runs.run import Run
from grokinterp.spectra import GroupHarmonics, cyclic_harmonics, symmetric_harmonics
from grokinterp.tasks import GroupView, Split, Task

On = Literal["all", "train", "test"]
"""Pairs to average over."""
ON: tuple[On, ...] = ("all", "train", "test")

_PAIRS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The weights of one checkpoint and what they compute on all pairs of the task.

    Rows of `pattern`, `neurons` and `logits` are the rows of ``task.pairs``. What belongs to
    the task's view of a group is arranged by the product s of a pair's two elements, in a
    cyclic group the sum of their indices: entry ``[s, i]`` is the pair with elements i and
    i^-1 s, in a cyclic group i and s - i, whose answer is ``view.class_tokens[s]``.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> snapshot.logits.shape
    torch.Size([169, 13])
    """

    task: Task
    """All pairs with their answers."""
    split: Split
    """Which of them were trained on."""
    spec: ModelSpec
    """Shape of the network."""
    step: int
    """Updates applied so far."""
    checksum: str
    """Digest of the weights; names this snapshot in a cache. Empty if there is none."""
    parameters: Mapping[str, Tensor]
    """Weights under their TransformerLens names, float32 on the CPU."""
    pattern: Float[Tensor, "pair head pos"]
    """Attention of the last position to all: a, b and ``=`` if there is one (last block)."""
    neurons: Float[Tensor, "pair neuron"]
    """Activations after the nonlinearity (last block)."""
    logits: Float[Tensor, "pair c"]
    """Logits of the p answers, float32."""

    def __repr__(self) -> str:
        tensors = {"pattern": self.pattern, "neurons": self.neurons, "logits": self.logits}
        return in_lines(
            f"Snapshot of {self.task.spec.in_words} at step {self.step:,}",
            {
                "split": repr(self.split).partition(": ")[2],
                "network": self.spec.in_words,
                "tensors": ", ".join(f"{name} {tuple(t.shape)}" for name, t in tensors.items()),
                "accuracy": f"{self.accuracy_all:.3g} on all pairs",
            },
        )

    @classmethod
    def from_parameters(
        cls,
        parameters: Mapping[str, Tensor],
        split: Split,
        spec: ModelSpec,
        *,
        step: int = 0,
        checksum: str = "",
    ) -> Snapshot:
        """Run the network once on all pairs of ``split.task``.

        Raises
        ------
        CheckpointError
            If a weight is not finite.
        """
        for name, value in parameters.items():
            if not torch.isfinite(value).all():
                raise CheckpointError(
                    f"step {step} has non-finite weights in {name}. The run diverged before it; "
                    "analyze an earlier checkpoint."
                )
        task = split.task
        with torch.no_grad():
            activations = _forward(parameters, spec, arrangement_of(task).pairs)
        return cls(
            task,
            split,
            spec,
            step,
            checksum,
            dict(parameters),
            activations.pattern,
            activations.neurons,
            activations.logits,
        )

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
        return replace(self)

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
        return pair_losses(self.logits, self.labels)

    @cached_property
    def are_correct(self) -> Bool[Tensor, " pair"]:
        """Whether the network answers each pair correctly."""
        return are_correct(self.logits, self.labels)

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
        """Input sequence of every pair."""
        return input_tokens(self.arrangement.pairs, self.spec, len(self.parameters["embed.W_E"]))

    @cached_property
    def last_block(self) -> LastBlock:
        """Every edge from the last block's residual stream to the logits."""
        return LastBlock.of(self.parameters, self.spec, self.tokens)

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
            If the task has none, or its group is one of permutations.
        """
        view = self.require_view()
        if not view.is_cyclic:
            raise ConfigError(
                f"{self.task.spec.operation} has representations and no frequencies. Choose an "
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
        return (
            cyclic_harmonics(view.order)
            if view.degree is None
            else symmetric_harmonics(view.degree)
        )

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
        """The logits by product. Columns stay in the order of the tokens."""
        return self.logits[self.rows_by_sum]

    @cached_property
    def mean_logits_by_sum(self) -> Float[Tensor, "s c"]:
        """Logits averaged over the pairs with the same product, float64."""
        return self.logits_by_sum.mean(dim=1, dtype=torch.float64)

    @cached_property
    def neuron_frequency_shares(self) -> Float[Tensor, "freq neuron"]:
        """Share of each neuron's centered activation in each frequency, float64.

        For permutations in each representation, the trivial one left out. See
        :func:`grokinterp.circuits.neurons.frequency_shares` and its sibling.
        """
        view = self.require_view()
        rows = self.pair_rows.view(view.order, view.order)
        if view.is_cyclic:
            return frequency_shares(self.neurons, rows)
        return representation_shares(self.neurons, rows, self.harmonics)

    @cached_property
    def W_L(self) -> Float[Tensor, "neuron c"]:
        """Neuron-logit map ``W_out @ W_U`` of the last block, float64."""
        return self.weight("W_out").double() @ self.weight("W_U").double()

    @cached_property
    def written_by_neurons(self) -> Float[Tensor, "pair c"]:
        """What the last block's neurons add to the logits: ``neurons @ W_L``, float64."""
        return self.through_W_L(self.neurons)

    def through_W_L(
        self, neurons: Float[Tensor, "row chosen"], chosen: Bool[Tensor, " neuron"] | None = None
    ) -> Float[Tensor, "row c"]:
        """Effect of activations of some neurons (None: all) on the logits, in float64.

        A few thousand rows at a time: a float64 copy of all activations is the largest array
        that an analysis would hold.
        """
        W_L = self.W_L if chosen is None else self.W_L[chosen]
        return torch.cat([part.double() @ W_L for part in neurons.split(_PAIRS_AT_A_TIME)])

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
    return Snapshot.from_parameters(
        run.parameters(step), run.split, run.transformer, step=step, checksum=run.checksum(step)
    )


def _forward(
    parameters: Mapping[str, Tensor], spec: ModelSpec, pairs: Int[Tensor, "pair 2"]
) -> PairActivations:
    if has_pair_tables(spec):
        return forward_pairs(parameters, spec, pairs)
    # Networks without tables keep all positions of every activation while they run.
    parts = [forward_pairs(parameters, spec, part) for part in pairs.split(_PAIRS_AT_A_TIME)]
    return PairActivations(
        torch.cat([part.pattern for part in parts]),
        torch.cat([part.neurons for part in parts]),
        torch.cat([part.logits for part in parts]),
    )


def _block_of(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("blocks.") else -1

"""One checkpoint, run once on every pair, with whatever several measures share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.neurons import frequency_shares, representation_shares
from grokinterp.circuits.pair_logits import PairLogits
from grokinterp.circuits.parts_of_network import PartsOfNetwork
from grokinterp.errors import CheckpointError
from grokinterp.fields import checked
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.network_parts import NetworkParts, Operands
from grokinterp.reprs import card_repr, in_lines
from grokinterp.runs.parts import network_parts
from grokinterp.runs.run import Run
from grokinterp.spectra import group_means, sum_rows
from grokinterp.tasks import Split


@dataclass(frozen=True, eq=False)
class Snapshot(PairLogits, PartsOfNetwork):
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

    _repr_html_ = card_repr

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

    def with_network(self, network: NetworkParts) -> Snapshot:
        """Return what another network does on the same pairs; without a checksum."""
        return replace(self, network=network, logits=network.logits, checksum="")

    def without_cache(self) -> Snapshot:
        """Return the same snapshot without what it has kept for later.

        Neurons by frequency, logits by sum and the edges of the last block are large, and what
        one table keeps the next rarely needs.
        """
        return replace(self, network=self.network.without_cache())

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

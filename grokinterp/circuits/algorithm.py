"""Which of the known algorithms for modular addition a network computes: clock or pizza."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.circles import circularity, isolate_circle
from grokinterp.circuits.generalization import MIN_ACCURACY, generalization_accuracy
from grokinterp.circuits.gradients import (
    N_TRIPLES,
    SEED,
    GradientSymmetricity,
    gradient_symmetricity,
)
from grokinterp.circuits.key_frequency_set import DENSE_CAVEAT, KeyFrequencies
from grokinterp.circuits.logit_formulas import Formula, variance_explained_by_formula
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import has_frequencies
from grokinterp.spectra import difference_rows

Verdict = Literal["clock", "pizza", "mixed", "none"]

PIZZA_SYMMETRICITY = 0.98
"""A pizza's gradient symmetricity is above this line of Zhong et al. 2023."""
CLOCK_SYMMETRICITY = 0.5
"""A clock's is below this: halfway between a clock of circles alone, whose mean over all triples
is 0 because the two gradients are at the angle w_k(a - b), and a pizza's 1. A line of this
library's; the paper's clock has 0.334."""
PIZZA_IRRELEVANCE = 0.6
"""A pizza's distance irrelevance is below this line of Zhong et al. 2023."""
CLOCK_IRRELEVANCE = 0.4
"""A clock's is above this, the lower end of what Zhong et al. 2023 call typical for clocks (0.4
to 1). Between the two lines it says nothing."""

CIRCLE_FORMULAS: tuple[Formula, Formula] = ("clock", "pizza_product")
"""Formulas that are compared on the logits of one circle alone."""


@dataclass(frozen=True, eq=False)
class Algorithm:
    """A verdict and the evidence for it.

    Every piece of evidence is None where the verdict could not be asked for.

    Examples
    --------
    >>> Algorithm("none", "no key frequencies").to_dict()
    {'verdict': 'none', 'reason': 'no key frequencies'}
    """

    verdict: Verdict
    """``clock``, ``pizza``, ``mixed`` (it solves the task but the evidence fits neither) or
    ``none`` (it does not solve the task, or there are no frequencies to look at)."""
    reason: str
    """Why, in a sentence with the numbers."""
    gradient_symmetricity: GradientSymmetricity | None = None
    """Mean cosine of the two gradients with its standard error and the number of triples."""
    distance_irrelevance: float | None = None
    """See :func:`distance_irrelevance`; NaN when all correct logits are equal."""
    circularity: float | None = None
    """See :func:`~grokinterp.circuits.circles.circularity`. No part of the rule: clocks and
    pizzas both have circles; far below 0.995 neither describes the network."""
    variance_explained: Mapping[Formula, float] | None = None
    """Fraction of the variance of the whole logits that each formula explains. No part of the
    rule: the logits of an accompanied pizza look like a clock's."""
    variance_explained_by_circle: Mapping[int, Mapping[Formula, float]] | None = None
    """The same for each key frequency, with its circle alone in the embedding."""
    correct_logits: Float[Tensor, "s d"] | None = field(default=None, repr=False)
    """Mean logit of the correct answer by index sum and difference; NaN where no pair has both,
    as happens for half of them at even n."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for summary.json, without the table of logits.

        Numbers that are not finite become None; evidence that was not taken is absent.
        """
        taken = {
            name: value
            for name, value in vars(self).items()
            if value is not None and name != "correct_logits"
        }
        symmetricity = taken.pop("gradient_symmetricity", None)
        if symmetricity is not None:
            taken["gradient_symmetricity"] = symmetricity.mean
            taken["gradient_symmetricity_standard_error"] = symmetricity.standard_error
            taken["gradient_symmetricity_n_triples"] = symmetricity.n_triples
        return _plain(taken)


def find_algorithm(
    snapshot: Snapshot,
    key_frequencies: KeyFrequencies,
    *,
    n_triples: int | None = N_TRIPLES,
    seed: int = SEED,
) -> Algorithm:
    r"""Judge whether a network adds like a clock or like a pizza.

    Three pieces of evidence each have a line for both:

    =====================================  ===============  ===============
    evidence                               clock            pizza
    =====================================  ===============  ===============
    gradient symmetricity                  below 0.5         above 0.98
    distance irrelevance                   above 0.4         below 0.6
    formula that explains more of the      clock            pizza_product
    logits of a circle alone (mean over
    the key frequencies)
    =====================================  ===============  ===============

    The verdict is the algorithm whose lines hold in all three rows, and ``mixed`` if those of
    neither do. The formulas are compared and need not explain much: a clock's circles multiply
    with each other's help and compute little alone. The verdict is ``none`` where the question
    has no answer: for a task without a cyclic view, without key frequencies, and unless more
    than 95 % of the test pairs are answered correctly, of a commutative operation those whose
    mirror image is not trained.

    Where nearly all frequencies are key the reason says so too: single circles of a dense
    embedding show little, and a lookup table can have any verdict.

    Parameters
    ----------
    snapshot
        Of any network. If logits cannot be recomputed from changed operands, the verdict is
        ``none``, with the evidence that the logits give. If a and b are read in different
        coordinates, their gradients cannot be compared, and the verdict is ``none`` with the rest
        of the evidence.
    key_frequencies
        The circles to look at alone; one forward pass each.
    n_triples, seed
        Of the gradient symmetricity; None takes every triple.

    Returns
    -------
    Algorithm
        With a sentence of reason and all the evidence.

    References
    ----------
    Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
    networks", NeurIPS 2023, arXiv:2306.17844. The lines 0.98 and 0.6 are theirs;
    the other two, and asking the formulas, are this library's.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> gi.find_algorithm(snapshot, gi.find_key_frequencies(snapshot)).verdict
    'clock'
    """
    reason = _why_not_asked(snapshot, key_frequencies)
    if reason:
        return Algorithm("none", reason)
    if not snapshot.has("operands", "way_from_operands"):
        return _unseen(snapshot, key_frequencies)
    symmetricity = None
    if snapshot.has("same_coordinates"):
        symmetricity = gradient_symmetricity(snapshot, n_triples=n_triples, seed=seed)
    irrelevance = distance_irrelevance(snapshot)
    by_circle = {
        k: variance_explained_by_formula(isolate_circle(snapshot, k), [k])
        for k in key_frequencies.frequencies
    }
    clock, pizza = (
        sum(circle[formula] for circle in by_circle.values()) / len(by_circle)
        for formula in CIRCLE_FORMULAS
    )
    verdict, reason = judge(
        symmetricity.mean if symmetricity else math.nan, irrelevance, clock, pizza
    )
    if symmetricity is None:
        why = snapshot.network.missing["same_coordinates"]
        verdict = "none"
        reason = f"one of the three pieces of evidence is missing: {why}; {_after_first(reason)}"
    if key_frequencies.is_dense:
        reason += f"; {DENSE_CAVEAT}"
    return Algorithm(
        verdict,
        reason,
        gradient_symmetricity=symmetricity,
        distance_irrelevance=irrelevance,
        circularity=circularity(snapshot),
        variance_explained=variance_explained_by_formula(snapshot, key_frequencies.frequencies),
        variance_explained_by_circle=by_circle,
        correct_logits=_by_sum_and_difference(snapshot),
    )


def _after_first(reason: str) -> str:
    """The sentence of :func:`judge` without the gradients, which stand first."""
    return reason.partition("; ")[2]


def _unseen(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Algorithm:
    """What logits alone say, where no operand can be changed."""
    missing = snapshot.network.missing
    why = missing.get("operands") or missing["way_from_operands"]
    return Algorithm(
        "none",
        f"two of the three pieces of evidence change the token embeddings, and {why}",
        distance_irrelevance=distance_irrelevance(snapshot),
        variance_explained=variance_explained_by_formula(snapshot, key_frequencies.frequencies),
        correct_logits=_by_sum_and_difference(snapshot),
    )


def judge(
    symmetricity: float, irrelevance: float, clock_explained: float, pizza_explained: float
) -> tuple[Verdict, str]:
    """Apply the rule of :func:`find_algorithm` to its numbers.

    Parameters
    ----------
    symmetricity, irrelevance
        Gradient symmetricity and distance irrelevance.
    clock_explained, pizza_explained
        Fractions of a lone circle's logits that ``clock`` and ``pizza_product`` explain.

    Returns
    -------
    tuple
        The verdict and a sentence with every number and its lines. A number that is NaN allows
        neither algorithm.

    Examples
    --------
    >>> judge(0.99, 0.2, 0.77, 0.99)[0], judge(0.3, 0.8, 0.4, 0.3)[0], judge(0.7, 0.5, 0.5, 0.4)[0]
    ('pizza', 'clock', 'mixed')
    """
    is_clock = (
        symmetricity < CLOCK_SYMMETRICITY
        and irrelevance > CLOCK_IRRELEVANCE
        and clock_explained > pizza_explained
    )
    is_pizza = (
        symmetricity > PIZZA_SYMMETRICITY
        and irrelevance < PIZZA_IRRELEVANCE
        and pizza_explained > clock_explained
    )
    verdict: Verdict = "clock" if is_clock else "pizza" if is_pizza else "mixed"
    return verdict, (
        f"gradient symmetricity is {symmetricity:.3f} (clock below {CLOCK_SYMMETRICITY:g}, pizza "
        f"above {PIZZA_SYMMETRICITY:g}); distance irrelevance is {irrelevance:.3f} (clock above "
        f"{CLOCK_IRRELEVANCE:g}, pizza below {PIZZA_IRRELEVANCE:g}); of the logits of a circle "
        f"alone the clock's formula explains {clock_explained:.1%} and the pizza's "
        f"{pizza_explained:.1%}"
    )


def distance_irrelevance(snapshot: Snapshot) -> float:
    r"""How much the correct logit varies among pairs of equal distance, against its whole spread.

    :math:`q = \frac{1}{n} \sum_d \mathrm{std}_i(L_{i, i+d}) \,/\, \mathrm{std}(L)` with
    :math:`L_{ij}` the logit of the correct answer and population standard deviations: 1 when
    the distance of the two tokens does not matter, 0 when nothing else does.

    Returns
    -------
    float
        In [0, 1]; NaN when all correct logits are equal.

    Raises
    ------
    ConfigError
        If the task has no cyclic view.

    References
    ----------
    Zhong et al., NeurIPS 2023, arXiv:2306.17844. The column of that name in
    the authors' tables is of the largest wrong logit instead.
    """
    by_distance = _correct_logits(snapshot)[difference_rows(snapshot.require_cyclic_view().order)]
    spread = float(by_distance.std(correction=0))
    if not spread > 0:
        return math.nan
    return float(by_distance.std(dim=1, correction=0).mean()) / spread


def _correct_logits(snapshot: Snapshot) -> Float[Tensor, " view_pair"]:
    correct = snapshot.logits.gather(1, snapshot.labels[:, None])[:, 0].double()
    return correct[snapshot.pair_rows]


def _by_sum_and_difference(snapshot: Snapshot) -> Float[Tensor, "s d"]:
    n = snapshot.require_cyclic_view().order
    i, j = torch.arange(n)[:, None], torch.arange(n)
    cells = ((i + j) % n * n + (i - j) % n).flatten()
    totals = torch.zeros(n * n, dtype=torch.float64).index_add_(0, cells, _correct_logits(snapshot))
    # No pair in a cell gives 0 / 0, which is the NaN that stands for it.
    return (totals / cells.bincount(minlength=n * n)).view(n, n)


def _why_not_asked(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> str:
    if not has_frequencies(snapshot.task):
        return (
            "clock and pizza are algorithms for sums in a cyclic group, which "
            f"{snapshot.task.spec.in_words} is not"
        )
    accuracy = generalization_accuracy(snapshot)
    if not accuracy.is_solution:
        return (
            f"only {accuracy.value:.1%} of {accuracy.pairs} are answered correctly; a network "
            f"solves the task with more than {MIN_ACCURACY:.0%}"
        )
    if not key_frequencies.frequencies:
        return f"there are no key frequencies: {key_frequencies.reason or 'none was given'}"
    return ""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

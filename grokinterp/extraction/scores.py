"""How well a formula does on all pairs of a group, and how often it answers as the network does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.circuits import Snapshot
from grokinterp.extraction.formulas import Formula
from grokinterp.models.loss import pair_losses
from grokinterp.portions import portions


@dataclass(frozen=True, eq=False)
class Answers:
    """What a formula, or a network, answers to every pair of the view, and at what loss."""

    tokens: Int[Tensor, " view_pair"]
    """Token of the largest logit; of equal ones the first."""
    losses: Float[Tensor, " view_pair"]
    """Cross-entropy in nats over all answers of the task, float64."""

    def fraction(self, chosen: Bool[Tensor, " view_pair"]) -> float:
        """Fraction of these pairs; NaN where there are none to choose from."""
        return float(chosen.double().mean())


def network_answers(snapshot: Snapshot) -> Answers:
    """What the network answers, rows as in ``snapshot.pair_rows``."""
    tokens = snapshot.in_view(snapshot.logits.argmax(dim=1))
    return Answers(tokens, snapshot.in_view(snapshot.losses))


def formula_answers(snapshot: Snapshot, formula: Formula) -> Answers:
    """What a formula answers, rows as in ``snapshot.pair_rows``."""
    products = snapshot.products.flatten()
    if formula.of_product_alone:
        # One pair of each product answers for all: (first element, its complement to s).
        first = torch.zeros(len(snapshot.products), dtype=torch.long)
        second = snapshot.products[0].argsort()
        logits = in_columns(snapshot, formula.logits(first, second))
        losses = pair_losses(logits, snapshot.class_tokens)
        return Answers(logits.argmax(dim=1)[products], losses[products])
    parts = [
        (logits.argmax(dim=1), pair_losses(logits, snapshot.class_tokens[products[rows]]))
        for rows, logits in portions_of_formula(snapshot, formula)
    ]
    tokens, losses = (torch.cat(part) for part in zip(*parts, strict=True))
    return Answers(tokens, losses)


def portions_of_formula(
    snapshot: Snapshot, formula: Formula
) -> Iterator[tuple[slice, Float[Tensor, "some c"]]]:
    """Logits of a formula for all pairs of the view, one portion of rows after another."""
    n = len(snapshot.products)
    rows = torch.arange(n * n)
    for some in portions(n * n, 8 * snapshot.task.n_classes):
        logits = formula.logits(rows[some] // n, rows[some] % n)
        yield some, in_columns(snapshot, logits)


def in_columns(
    snapshot: Snapshot, by_element: Float[Tensor, "row element"]
) -> Float[Tensor, "row c"]:
    """Put the logit of each element into the column of its token; other columns are 0."""
    logits = by_element.new_zeros(len(by_element), snapshot.task.n_classes)
    logits[:, snapshot.class_tokens] = by_element
    return logits


def variance_explained(snapshot: Snapshot, formula: Formula) -> float:
    """Share of the network's logits that a formula explains, 1 - residual / total.

    Both are centered per pair over the classes of the group, and the formula is taken as it is: a
    formula of another size can have a share below 0. NaN if the network's logits are constant.
    """
    n = len(snapshot.products)
    rows = torch.arange(n * n)
    left = total = 0.0
    for some in portions(n * n, 8 * n):
        of_network = snapshot.logits[snapshot.pair_rows[some]].double()[:, snapshot.class_tokens]
        of_network -= of_network.mean(dim=1, keepdim=True)
        total += float(of_network.square().sum())
        found = formula.logits(rows[some] // n, rows[some] % n)
        of_network -= found - found.mean(dim=1, keepdim=True)
        left += float(of_network.square().sum())
    return 1 - left / total if total > 0 else float("nan")

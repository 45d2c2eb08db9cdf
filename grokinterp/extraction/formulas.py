"""What a formula for the logits of all pairs has to offer, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor


class Formula(ABC):
    """Logits of the pairs of a group, from a table of numbers.

    Elements of the group are numbered as in the view; in a cyclic group they are the indices
    0 .. n-1.
    """

    of_product_alone: bool = False
    """Whether the logits of a pair depend on the product of its two elements alone."""

    @abstractmethod
    def logits(
        self, a: Int[Tensor, " pair"], b: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair element"]:
        """Logits of some pairs, float64: entry [i, c] is that of the answer c to (a[i], b[i])."""

    @property
    @abstractmethod
    def table(self) -> pd.DataFrame:
        """The numbers that the formula is made of, a row per term."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """How many numbers these are."""

    @property
    @abstractmethod
    def in_words(self) -> str:
        """What it is made of: ``5 waves of a + b - c``."""

    @abstractmethod
    def with_shuffled_phases(self, generator: torch.Generator) -> Formula | None:
        """The same terms with phases that fit nothing; None if there are no phases."""

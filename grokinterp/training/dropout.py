"""Dropout as a hook of the forward pass, the same at a step whenever it is computed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grokinterp.models.transformer import Hook

_DROPPED_AT = ("hook_attn_out", "hook_mlp_out")


def generator_of(seed: int, n_updates: int, stream: int) -> torch.Generator:
    """Generator for the noise of one update: no state needs to be kept between updates.

    Examples
    --------
    >>> draws = [torch.rand(1, generator=generator_of(0, 7, 0)).item() for _ in range(2)]
    >>> draws[0] == draws[1]
    True
    """
    # The generator reads only 32 bits of its seed, so the three numbers are mixed first.
    mixed = np.random.SeedSequence([seed, stream, n_updates]).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))


class Dropout:
    """Drops entries of what a layer adds to the residual stream, or of hidden neurons.

    Parameters
    ----------
    rate
        Probability that an entry is zero; the others are divided by 1 - rate.
    seed
        With the step, what determines the mask.

    References
    ----------
    Power et al., arXiv:2201.02177, where the residual dropout rate is 0.1.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.seed = rate, seed

    def hook(self, n_updates: int) -> Hook:
        """Return the hook of one update."""
        generator = generator_of(self.seed, n_updates, stream=1)

        def drop(name: str, activation: Tensor) -> Tensor:
            is_hidden_layer = name.startswith("layers.") and name.endswith("hook_post")
            if not is_hidden_layer and not name.endswith(_DROPPED_AT):
                return activation
            is_kept = torch.rand(activation.shape, generator=generator) >= self.rate
            return activation * is_kept.to(activation.device) / (1 - self.rate)

        return drop

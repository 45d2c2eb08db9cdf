"""What acts on the weights besides the loss, the optimizer and its weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.fields import check_types, require
from grokinterp.reprs import spec_repr

GrokfastFilter = Literal["none", "ema", "ma"]


@dataclass(frozen=True)
class PressureSpec:
    """Penalties, noise and filters of the grokking literature; all are off by default.

    They act in the order of the fields: penalty and noise on the gradient, filter, projection,
    then the optimizer's update, then the clamp.

    Examples
    --------
    >>> PressureSpec(l1=1e-4).names
    ('l1',)
    """

    dropout: float = 0.0
    """Rate at which what each attention layer and each MLP adds to the residual stream is
    dropped in training (in a multilayer perceptron: hidden neurons); the rest is scaled up."""
    l1: float = 0.0
    """Adds this times the sum of absolute trained weights to the loss that is followed; the
    recorded train loss is without it."""
    gradient_noise: float = 0.0
    """Standard deviation of Gaussian noise added to every entry of the gradient."""
    grokfast: GrokfastFilter = "none"
    """Amplification of slow gradients (Lee et al. 2024, arXiv:2405.20233): by an exponential
    moving average (``ema``), or the mean over a window (``ma``)."""
    grokfast_strength: float = 2.0
    """Factor of the slow part that is added to the gradient."""
    grokfast_decay: float = 0.98
    """Decay of ``ema`` per step."""
    grokfast_window: int = 100
    """Steps in the window of ``ma``."""
    perp_grad: bool = False
    """Follow only the part of each gradient that is orthogonal to its weights, at the norm of
    the whole (Prieto et al. 2025, arXiv:2501.04697)."""
    clamp_norm: bool = False
    """Rescale all trained weights after every step to the norm that they began with (Liu et al.
    2022, arXiv:2210.01117); ``init_scale`` of the model sets that norm."""
    seed: int = 0
    """Seed of noise and dropout; the step counts too, so a resumed run draws the same."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        require(self, "dropout", 0 <= self.dropout < 1, "Use a rate in [0, 1).")
        require(self, "l1", self.l1 >= 0, "Use 0 for no penalty.")
        require(self, "gradient_noise", self.gradient_noise >= 0, "Use 0 for no noise.")
        require(self, "grokfast_strength", self.grokfast_strength > 0, "It must be positive.")
        require(self, "grokfast_decay", 0 <= self.grokfast_decay < 1, "Use a rate in [0, 1).")
        require(self, "grokfast_window", self.grokfast_window >= 1, "It must be at least 1.")
        require(self, "seed", 0 <= self.seed < 2**31, "Use 0 .. 2**31 - 1.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pressures that are on, in the order in which they act."""
        switches = ("dropout", "l1", "gradient_noise", "grokfast", "perp_grad", "clamp_norm")
        return tuple(name for name in switches if getattr(self, name) not in (0, False, "none"))

"""What a network is, apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.errors import ConfigError

ActivationName = Literal["relu", "gelu"]
Biases = Literal["mlp", "none", "all"]
InitName = Literal["nanda2023", "tl_demo"]


@dataclass(frozen=True)
class ModelSpec:
    """A decoder-only transformer without layer norm, as in Nanda et al. 2023.

    The vocabulary follows from the task: p + 1 input tokens, three positions ``a b =``,
    p answers.

    Examples
    --------
    >>> ModelSpec(d_model=64, n_heads=2).n_layers
    1
    """

    n_layers: int = 1
    """Number of blocks (attention, then MLP)."""
    d_model: int = 128
    """Width of the residual stream."""
    n_heads: int = 4
    """Attention heads per block."""
    d_head: int = 32
    """Width of one head."""
    d_mlp: int = 512
    """Neurons per block."""
    act_fn: ActivationName = "relu"
    """Activation of the neurons."""
    biases: Biases = "mlp"
    """Which biases are trained: those of the MLP (Nanda's code), none (the Grokking_Demo
    notebook) or all. The others stay at zero."""
    init: InitName = "nanda2023"
    """Distribution of the first weights; see :mod:`grokinterp.models.initialization`."""
    init_seed: int = 0
    """Seed of the first weights alone; the split has its own."""

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name}={value} is too small. It must be at least 1.")
        if not 0 <= self.init_seed < 2**63:
            raise ConfigError(f"init_seed={self.init_seed} is outside 0 .. 2**63 - 1.")
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ConfigError(
                    f"{name}={value!r} is not known. Choose one of {', '.join(allowed)}."
                )


_CHOICES = {
    "act_fn": ("relu", "gelu"),
    "biases": ("mlp", "none", "all"),
    "init": ("nanda2023", "tl_demo"),
}

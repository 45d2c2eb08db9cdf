"""What a network is, apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.errors import ConfigError
from grokinterp.fields import check_seed, check_types, require, require_sizes
from grokinterp.reprs import spec_repr

ActivationName = Literal["relu", "gelu"]
Biases = Literal["mlp", "none", "all"]
InitName = Literal["nanda2023", "tl_demo"]
InputFormat = Literal["a_b_equals", "a_b"]
AttentionDirection = Literal["causal", "bidirectional"]
MOST_LAYERS = 128


@dataclass(frozen=True)
class ModelSpec:
    """A transformer without layer norm, as in Nanda et al. 2023 or Zhong et al. 2023.

    The vocabulary follows from the task: one input token per operand, a token ``=`` where
    `input_format` has one, and one output per answer. The last position is read.

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
    input_format: InputFormat = "a_b_equals"
    """Input sequence: the tokens ``a b =`` (Nanda et al.), or just ``a b`` (Zhong et al.)."""
    attention_dir: AttentionDirection = "causal"
    """``causal``: a position attends to itself and those before it; ``bidirectional``: to all."""
    attention_rate: float = 1.0
    """Zhong et al.'s rate in [0, 1]: the attention pattern is ``rate * softmax + (1 - rate)``
    at every position that may be seen, so below 1 its rows do not sum to one. 0 is constant
    attention, 1 the usual."""
    biases: Biases = "mlp"
    """Which biases are trained: those of the MLP (Nanda's code), none (the Grokking_Demo
    notebook) or all. The others stay at zero."""
    init: InitName = "nanda2023"
    """Distribution of the initial weights; see :mod:`grokinterp.models.initialization`."""
    init_scale: float = 1.0
    """Multiplies every initial weight (Omnigrok's alpha); biases begin at zero."""
    init_seed: int = 0
    """Seed of the initial weights alone; the split has its own."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        require_sizes(self, "n_layers", "d_model", "n_heads", "d_head", "d_mlp")
        if self.n_layers > MOST_LAYERS:
            raise ConfigError(
                f"n_layers={self.n_layers} is too large. It must be at most {MOST_LAYERS}."
            )
        if not 0 <= self.attention_rate <= 1:
            raise ConfigError(
                f"attention_rate={self.attention_rate} is outside [0, 1]. Use 1 for the usual "
                "softmax attention, 0 for constant attention."
            )
        require(self, "init_scale", self.init_scale > 0, "It must be positive and finite.")
        check_seed("init_seed", self.init_seed)

    @property
    def in_words(self) -> str:
        """``transformer of 1 layer: d_model 128, 4 heads, d_mlp 512``."""
        layers = f"{self.n_layers} layer{'' if self.n_layers == 1 else 's'}"
        heads = f"{self.n_heads} head{'' if self.n_heads == 1 else 's'}"
        return f"transformer of {layers}: d_model {self.d_model}, {heads}, d_mlp {self.d_mlp}"

    @property
    def n_ctx(self) -> int:
        """Positions of an input sequence; the last is read."""
        return 3 if self.input_format == "a_b_equals" else 2

    def vocabulary_sizes(self, order: int) -> dict[str, int]:
        """Sizes that follow from a task with `order` operands and as many answers.

        Returns
        -------
        dict[str, int]
            ``d_vocab``, ``n_ctx`` and ``d_vocab_out``.

        Examples
        --------
        >>> ModelSpec().vocabulary_sizes(113)
        {'d_vocab': 114, 'n_ctx': 3, 'd_vocab_out': 113}
        >>> ModelSpec(input_format="a_b").vocabulary_sizes(59)
        {'d_vocab': 59, 'n_ctx': 2, 'd_vocab_out': 59}
        """
        d_vocab = order + 1 if self.input_format == "a_b_equals" else order
        return {"d_vocab": d_vocab, "n_ctx": self.n_ctx, "d_vocab_out": order}

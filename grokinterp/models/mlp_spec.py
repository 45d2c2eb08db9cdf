"""What a multilayer perceptron is, apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.fields import (
    LARGEST_SIZE,
    check_seed,
    check_types,
    later_field,
    require,
    require_sizes,
)
from grokinterp.models.spec import MOST_LAYERS
from grokinterp.reprs import listed, spec_repr

MlpActivation = Literal["relu", "gelu", "gelu_new", "silu", "tanh", "square", "linear_quadratic"]
MlpInit = Literal["torch_linear", "normal", "mean_field"]
MlpEmbedding = Literal["none", "shared", "separate"]
Combination = Literal["concatenated", "summed"]


@dataclass(frozen=True)
class MlpSpec:
    """A multilayer perceptron on pairs of tokens or on vectors.

    Examples
    --------
    >>> MlpSpec(widths=(200, 200)).parameter_shapes(n_inputs=226, n_outputs=113)["layers.2.W"]
    (200, 113)
    >>> MlpSpec(embedding="shared", d_embed=16).parameter_shapes(n_inputs=226, n_outputs=113)
    {'embed.W_E': (113, 16), 'layers.0.W': (32, 256), 'layers.1.W': (256, 113)}
    """

    architecture: Literal["mlp"] = "mlp"
    """What tells this table in a config.json from that of a transformer."""
    widths: tuple[int, ...] = (256,)
    """Neurons of every hidden layer; one entry is the two-layer perceptron."""
    act_fn: MlpActivation = "relu"
    """Activation: ``square`` is h^2 (Gromov 2023), ``linear_quadratic`` is
    h + curvature h^2 / 2 (Kumar et al. 2023)."""
    curvature: float = 1.0
    """epsilon of ``linear_quadratic``; other activations have none."""
    biases: bool = False
    """Whether layers have biases."""
    init: MlpInit = "normal"
    """``normal``: N(0, 1/fan_in), biases zero. ``torch_linear``: uniform within
    1/sqrt(fan_in), biases too, as ``torch.nn.Linear``. ``mean_field``: N(0, 1) throughout;
    hidden layers after the first are divided by sqrt(fan_in), the output by the last width, and
    a pair of one-hot vectors by sqrt(2). Embeddings are N(0, 1), as in ``torch.nn.Embedding``;
    with ``normal`` they are N(0, 1/d_embed), so that a row has about the norm of a one-hot
    vector. With ``mean_field`` the first layer after an embedding is divided by
    sqrt(2 d_embed)."""
    init_scale: float = 1.0
    """Multiplies every initial weight and bias (Omnigrok's alpha)."""
    output_scale: float = 1.0
    """alpha: multiplies the output; large is lazy (Chizat et al. 2019, Kumar et al. 2023)."""
    is_centered: bool = False
    """Subtract the output of the initial weights, so that the network begins at zero."""
    trains_readout: bool = True
    """False: the last matrix stays at 1 (Kumar et al.'s committee of neurons)."""
    init_seed: int = 0
    """Seed of the initial weights alone."""
    embedding: MlpEmbedding = later_field("none")
    """``none``: tokens are one-hot vectors. ``shared``: one embedding ``embed.W_E`` for a and b.
    ``separate``: one for each, ``embed.W_A`` and ``embed.W_B``. Tasks on vectors have no tokens
    and take ``none``."""
    d_embed: int = later_field(64)
    """Width of an embedding."""
    combination: Combination = later_field("concatenated")
    """Whether the vectors of a and b are ``concatenated`` or ``summed``. The sum of two one-hot
    vectors has one entry per token, so a and b are read through the same rows."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        is_fine = bool(self.widths) and min(self.widths) >= 1 and max(self.widths) <= LARGEST_SIZE
        remedy = f"Name at least one, all 1 to {LARGEST_SIZE:,}."
        require(self, "widths", is_fine and len(self.widths) <= MOST_LAYERS, remedy)
        for name in ("init_scale", "output_scale"):
            require(self, name, getattr(self, name) > 0, "It must be positive and finite.")
        check_seed("init_seed", self.init_seed)
        require_sizes(self, "d_embed")
        is_used = self.is_embedded or self.d_embed == type(self).d_embed
        require(self, "d_embed", is_used, "It belongs to an embedding; choose shared or separate.")

    @property
    def in_words(self) -> str:
        """``multilayer perceptron: widths 100, 100, relu``, and the embedding if there is one."""
        words = f"multilayer perceptron: widths {listed(self.widths)}, {self.act_fn}"
        if self.is_embedded:
            plural = "s" if self.embedding == "separate" else ""
            return (
                f"{words}, {self.embedding} embedding{plural} of {self.d_embed} {self.combination}"
            )
        return words + (", one-hot vectors summed" if self.combination == "summed" else "")

    @property
    def is_embedded(self) -> bool:
        """Whether tokens are embedded."""
        return self.embedding != "none"

    @property
    def needs_tokens(self) -> bool:
        """Whether the inputs must be pairs of tokens rather than vectors."""
        return self.is_embedded or self.combination == "summed"

    @property
    def embedding_names(self) -> tuple[str, ...]:
        """Names of the embeddings, that of a first."""
        names = {"none": (), "shared": ("embed.W_E",), "separate": ("embed.W_A", "embed.W_B")}
        return names[self.embedding]

    def parameter_shapes(self, n_inputs: int, n_outputs: int) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in the order of drawing.

        Embeddings first, then ``layers.0.W``, ``layers.0.b``, ...

        Parameters
        ----------
        n_inputs
            Entries of a vector; of a pair of tokens twice the number of tokens.
        n_outputs
            Outputs.
        """
        shapes: dict[str, tuple[int, ...]] = {
            name: (n_inputs // 2, self.d_embed) for name in self.embedding_names
        }
        n_read = 2 * self.d_embed if self.is_embedded else n_inputs
        sizes = (n_read // 2 if self.combination == "summed" else n_read, *self.widths, n_outputs)
        for layer, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
            shapes[f"layers.{layer}.W"] = (fan_in, fan_out)
            if self.biases:
                shapes[f"layers.{layer}.b"] = (fan_out,)
        return shapes

    def is_trained(self, name: str) -> bool:
        """Whether a parameter is trained: all but a fixed readout."""
        return self.trains_readout or name != f"layers.{len(self.widths)}.W"

"""What a network is, apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.errors import ConfigError
from grokinterp.fields import check_seed, check_types, later_field, require, require_sizes
from grokinterp.reprs import spec_repr

ActivationName = Literal["relu", "gelu", "gelu_new", "silu", "tanh", "square"]
Biases = Literal["mlp", "none", "all"]
InitName = Literal["nanda2023", "nanda2023_published", "tl_demo", "torch_defaults"]
InputFormat = Literal["a_b_equals", "a_b", "a_op_b_equals", "equals_a_b"]
AttentionDirection = Literal["causal", "bidirectional"]
Normalization = Literal["none", "LN", "LNPre", "RMS", "RMSPre"]
NormPosition = Literal["before", "after"]
Positions = Literal["learned", "sinusoidal", "none"]
Outputs = Literal["answers", "tokens"]
OperandEmbeddings = Literal["shared", "separate"]
MOST_LAYERS = 128

SEQUENCES: dict[str, tuple[str, ...]] = {
    "a_b_equals": ("a", "b", "="),
    "a_b": ("a", "b"),
    "a_op_b_equals": ("a", "o", "b", "="),
    "equals_a_b": ("=", "a", "b"),
}
"""What stands at each position, by the names of ``ModelSpec.input_format``."""
SIGNS = ("=", "o")
"""Signs in the order of their tokens: ``=`` is the first after the operands."""


@dataclass(frozen=True)
class ModelSpec:
    """A transformer; by default without layer norm, as in Nanda et al. 2023.

    The vocabulary follows from the task: one input token per operand (two with
    ``operand_embeddings=separate``), a token for each sign
    of `input_format`, and one output per answer. The last position is read.

    Examples
    --------
    >>> ModelSpec(d_model=64, n_heads=2).n_layers
    1
    >>> ModelSpec(normalization="LN", act_fn="gelu", n_layers=2).in_words
    'transformer of 2 layers with LN: d_model 128, 4 heads, d_mlp 512'

    References
    ----------
    Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762. Ba et al.,
    "Layer normalization", arXiv:1607.06450. Zhang & Sennrich, "Root mean square layer
    normalization", NeurIPS 2019, arXiv:1910.07467. Shazeer, "GLU variants improve
    transformer", arXiv:2002.05202.
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
    """Activation of the neurons; ``gelu_new`` is GELU's tanh approximation, ``square`` x^2."""
    input_format: InputFormat = "a_b_equals"
    """Input sequence: the tokens ``a b =`` (Nanda et al.), just ``a b`` (Zhong et al.),
    ``a o b =`` (Power et al.) or ``= a b``. With p operands, ``=`` is token p and the operation
    sign ``o`` token p + 1."""
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
    normalization: Normalization = later_field("none")
    """Norm of the residual stream, under TransformerLens's names: ``LN`` (centered, divided by
    the standard deviation, then trained weights and biases), ``RMS`` (divided by the root mean
    square, then trained weights); ``LNPre`` and ``RMSPre`` are the same without weights."""
    norm_position: NormPosition = later_field("before")
    """``before``: attention, MLP and readout each read a normalized copy of the stream.
    ``after``: the stream itself is normalized after each addition (Vaswani et al.), and the
    readout has no norm of its own."""
    norm_epsilon: float = later_field(1e-5)
    """Added to the variance, or to the mean square, before the square root."""
    gated_mlp: bool = later_field(False)
    """The neurons are ``act(x W_gate) * (x W_in) + b_in``; with ``silu`` that is SwiGLU."""
    attn_only: bool = later_field(False)
    """Blocks have no MLP; `d_mlp` is then not used."""
    positions: Positions = later_field("learned")
    """``sinusoidal``: the fixed table of Vaswani et al., with amplitude 1; ``none``: zeros.
    Neither is trained."""
    outputs: Outputs = later_field("answers")
    """``tokens``: an output for every input token, signs included, and all outputs are trained,
    as in the code of Nanda et al. The first outputs are the answers."""
    tied_embeddings: bool = later_field(False)
    """The readout is the embedding of the answers: ``W_U`` is ``W_E`` transposed."""
    operand_embeddings: OperandEmbeddings = later_field("shared")
    """``separate``: b has tokens of its own, p to 2p - 1, so ``W_E`` has p rows for a, then p for
    b, then those of the signs (Zhong et al.'s ``diff_vocab``)."""

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
        self._check_parts_fit()

    def _check_parts_fit(self) -> None:
        remedy = "Of two embeddings, neither can be that of the answers. Use tied_embeddings=False."
        is_one = not self.tied_embeddings or self.operand_embeddings == "shared"
        require(self, "operand_embeddings", is_one, remedy)
        eps = self.norm_epsilon
        require(self, "norm_epsilon", eps > 0, "It must be positive, such as 1e-5.")
        if self.normalization == "none":
            remedy = "It belongs to a norm; choose normalization=LN or RMS, or leave it out."
            require(self, "norm_position", self.norm_position == "before", remedy)
            require(self, "norm_epsilon", eps == 1e-5, remedy)
        if self.attn_only:
            remedy = "It belongs to an MLP, and attn_only=True has none. Leave one of them out."
            require(self, "gated_mlp", not self.gated_mlp, remedy)
            require(self, "act_fn", self.act_fn == "relu", remedy)

    @property
    def in_words(self) -> str:
        """``transformer of 1 layer: d_model 128, 4 heads, d_mlp 512``."""
        layers = f"{self.n_layers} layer{'' if self.n_layers == 1 else 's'}"
        heads = f"{self.n_heads} head{'' if self.n_heads == 1 else 's'}"
        if self.normalization != "none":
            layers += f" with {self.normalization}"
            layers += " after each addition" if self.norm_position == "after" else ""
        mlp = f"d_mlp {self.d_mlp}{', gated' if self.gated_mlp else ''}"
        mlp = "attention only" if self.attn_only else mlp
        words = f"transformer of {layers}: d_model {self.d_model}, {heads}, {mlp}"
        has_two = self.operand_embeddings == "separate"
        return words + (", separate embeddings of a and b" if has_two else "")

    @property
    def has_final_norm(self) -> bool:
        """Whether a norm stands between the last block and the readout."""
        return self.normalization != "none" and self.norm_position == "before"

    @property
    def n_operand_tables(self) -> int:
        """Embeddings of operands: 1 that a and b share, or 2."""
        return 2 if self.operand_embeddings == "separate" else 1

    @property
    def sequence(self) -> tuple[str, ...]:
        """What stands at each position: ``a``, ``b``, ``=``, or ``o`` for the operation."""
        return SEQUENCES[self.input_format]

    @property
    def signs(self) -> tuple[str, ...]:
        """Signs that have a token, in the order of their tokens after the operands'."""
        return tuple(sign for sign in SIGNS if sign in self.sequence)

    @property
    def operand_positions(self) -> tuple[int, int]:
        """Positions of a and of b in the input sequence.

        Examples
        --------
        >>> ModelSpec().operand_positions, ModelSpec(input_format="equals_a_b").operand_positions
        ((0, 1), (1, 2))
        """
        return self.sequence.index("a"), self.sequence.index("b")

    @property
    def n_ctx(self) -> int:
        """Positions of an input sequence; the last is read."""
        return len(self.sequence)

    def vocabulary_sizes(self, order: int, n_answers: int | None = None) -> dict[str, int]:
        """Sizes that follow from a task with `order` operands.

        Parameters
        ----------
        order
            Operands, each with a token of its own, or two if the embeddings are separate.
        n_answers
            Possible answers; None: as many as operands.

        Returns
        -------
        dict[str, int]
            ``d_vocab``, ``n_ctx`` and ``d_vocab_out``.

        Raises
        ------
        ConfigError
            If there are more answers than tokens, and `outputs` or `tied_embeddings` make
            tokens of the answers.

        Examples
        --------
        >>> ModelSpec().vocabulary_sizes(113)
        {'d_vocab': 114, 'n_ctx': 3, 'd_vocab_out': 113}
        >>> ModelSpec(input_format="a_b").vocabulary_sizes(59)
        {'d_vocab': 59, 'n_ctx': 2, 'd_vocab_out': 59}
        >>> ModelSpec(outputs="tokens").vocabulary_sizes(113)
        {'d_vocab': 114, 'n_ctx': 3, 'd_vocab_out': 114}
        >>> ModelSpec(operand_embeddings="separate").vocabulary_sizes(113)
        {'d_vocab': 227, 'n_ctx': 3, 'd_vocab_out': 113}
        """
        d_vocab = self.n_operand_tables * order + len(self.signs)
        d_vocab_out = order if n_answers is None else n_answers
        if d_vocab_out > d_vocab and (self.tied_embeddings or self.outputs == "tokens"):
            field = "tied_embeddings=True" if self.tied_embeddings else "outputs=tokens"
            raise ConfigError(
                f"{field} needs a token for every answer; the task has {d_vocab_out} answers and "
                f"{d_vocab} tokens. Use tied_embeddings=False and outputs=answers."
            )
        d_vocab_out = d_vocab if self.outputs == "tokens" else d_vocab_out
        return {"d_vocab": d_vocab, "n_ctx": self.n_ctx, "d_vocab_out": d_vocab_out}

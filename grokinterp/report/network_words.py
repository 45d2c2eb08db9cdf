"""What a report calls the parts of a network, by the kind of network it is about."""

from __future__ import annotations

from grokinterp.trajectory.analysis import Analysis


def has_transformer_names(analysis: Analysis) -> bool:
    """Whether the weights have TransformerLens's names, which a report may use."""
    return "blocks" not in analysis.run.missing_parts


def embedding_words(analysis: Analysis) -> str:
    """What the operands are called where they are named first: ``the embedding W_E``."""
    if has_transformer_names(analysis):
        return "the embedding"
    return "the embedding (the tables of a and b)"


def weight_words(analysis: Analysis) -> list[tuple[str, str]]:
    """Names of weights that the report uses, each with its meaning; none where it uses none."""
    missing = analysis.run.missing_parts
    if has_transformer_names(analysis):
        matrices = (
            "Weights under their TransformerLens names: embedding of tokens and of positions; "
            "queries, keys, values and output of the attention; into and out of the neurons; to "
            "the logits."
        )
        if "readout" not in missing:
            matrices += " W_L = W_out W_U leads from the neurons to the logits."
        return [("W_E, W_pos, W_Q, W_K, W_V, W_O, W_in, W_out, W_U", matrices)]
    words = []
    if "operands" not in missing:
        words.append(
            (
                "embedding, operands, W_E",
                "What each token brings in: a row for every value of a and a row for every value "
                "of b, of one table where both share it, of two side by side where they do not. "
                "Whatever has W_E in its name is about these tables.",
            )
        )
    if "readout" not in missing:
        words.append(
            (
                "readout, W_L",
                "The linear map from the neurons of the last hidden layer to the logits.",
            )
        )
    return words


def readout_words(analysis: Analysis) -> str:
    """What W_L is, as the rest of a sentence that begins with it."""
    if has_transformer_names(analysis):
        return "W_L = W_out W_U leads from the neurons to the logits"
    return "W_L is the linear map from the neurons to the logits"

"""What a report calls the parts of a network, by kind of network."""

from __future__ import annotations

from grokinterp.models import ModelSpec
from grokinterp.trajectory.analysis import Analysis


def has_transformer_names(analysis: Analysis) -> bool:
    """Whether the weights have TransformerLens's names, which a report may use."""
    return "blocks" not in analysis.run.missing_parts


def embedding_words(analysis: Analysis) -> str:
    """What the operands are called at first mention: ``the embedding``."""
    if has_transformer_names(analysis):
        return "the embedding"
    return "the embedding (of a and b)"


def weight_words(analysis: Analysis) -> list[tuple[str, str]]:
    """Names of weights that the report uses, each with its meaning; empty if it uses none."""
    missing = analysis.run.missing_parts
    if has_transformer_names(analysis):
        names = "W_E, W_pos, W_Q, W_K, W_V, W_O, "
        meaning = (
            "Weights under their TransformerLens names: embedding of tokens and of positions; "
            "queries, keys, values and output of the attention; "
        )
        if "neurons" not in missing:
            names, meaning = f"{names}W_in, W_out, ", f"{meaning}into and out of the neurons; "
        meaning += "to the logits."
        if "readout" not in missing:
            meaning += f" {readout_words(analysis)}."
        return [(f"{names}W_U", meaning)]
    words, scale = [], _held_scale(analysis)
    if "operands" not in missing:
        words.append(
            (
                "embedding, operands, W_E",
                "The embedding of each token: a row for every value of a and of b. If a and b have "
                "separate embeddings, the two are concatenated. Everything with W_E in its name "
                "refers to these rows.",
            )
        )
    if "readout" not in missing:
        words.append(
            (
                "readout, W_L",
                f"The linear map from the neurons of the last hidden layer to the logits{scale}.",
            )
        )
    return words


def readout_words(analysis: Analysis) -> str:
    """What W_L is, as the rest of a sentence that begins with it."""
    if has_transformer_names(analysis):
        return f"W_L = W_out W_U maps the neurons to the logits{_held_scale(analysis)}"
    return f"W_L is the linear map from the neurons to the logits{_held_scale(analysis)}"


def _held_scale(analysis: Analysis) -> str:
    """What is said of W_L if there is a norm between the neurons and the logits."""
    spec = analysis.run.spec
    if isinstance(spec, ModelSpec) and spec.normalization != "none":
        return ", with the scale of the last norm frozen for each pair"
    return ""

"""Norms of the residual stream, as TransformerLens computes and names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor

from grokinterp.models.spec import ModelSpec

CENTERED = ("LN", "LNPre")
"""Norms that subtract the mean first."""


def normalized(
    parameters: Mapping[str, Tensor],
    norm: str,
    x: Float[Tensor, "... d_model"],
    spec: ModelSpec,
    hook: Callable[[str, Tensor], Tensor],
) -> Float[Tensor, "... d_model"]:
    r"""Normalize the vectors of the residual stream.

    With x centered first under ``LN`` and ``LNPre``,

    .. math:: \mathrm{scale} = \sqrt{\mathrm{mean}(x^2) + \epsilon}, \qquad
              \mathrm{out} = w \cdot x / \mathrm{scale} + b .

    ``RMS`` has no b; ``LNPre`` and ``RMSPre`` have neither w nor b. With the scale frozen the
    map is affine.

    Parameters
    ----------
    parameters
        Weights under their TransformerLens names.
    norm
        Prefix of its names: ``blocks.0.ln1.``, ``blocks.0.ln2.``, ``ln_final.``.
    x
        Vectors along the last axis.
    spec
        Its `normalization` and `norm_epsilon`.
    hook
        Called at ``hook_scale`` [..., 1] and at ``hook_normalized``, before w and b.

    Examples
    --------
    >>> import torch
    >>> spec = ModelSpec(normalization="RMSPre")
    >>> normalized({}, "ln_final.", torch.tensor([[3.0, -3.0]]), spec, lambda name, x: x)
    tensor([[ 1.0000, -1.0000]])
    """
    if spec.normalization in CENTERED:
        x = x - x.mean(-1, keepdim=True)
    scale = (x.pow(2).mean(-1, keepdim=True) + spec.norm_epsilon).sqrt()
    x = hook(norm + "hook_normalized", x / hook(norm + "hook_scale", scale))
    if norm + "w" in parameters:
        x = x * parameters[norm + "w"]
    return x + parameters[norm + "b"] if norm + "b" in parameters else x

r"""Multilayer perceptrons with an output scale, as functions of their parameters.

With h_0 the input and :math:`h_{l+1} = \mathrm{act}(h_l W_l + b_l)`, the output is
:math:`\alpha (h_L W_L + b_L)`. A pair of tokens enters as two one-hot vectors, so the first
product is a sum of two rows of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.transformer import Hook, no_hook


def first_mlp_parameters(spec: MlpSpec, n_inputs: int, n_outputs: int) -> dict[str, Tensor]:
    """Draw the initial weights: float32 on the CPU, from a generator of their own.

    Examples
    --------
    >>> first_mlp_parameters(MlpSpec(widths=(8,)), 4, 3)["layers.1.W"].shape
    torch.Size([8, 3])
    """
    generator = torch.Generator().manual_seed(spec.init_seed)
    parameters = {}
    fan_in = n_inputs
    for name, shape in spec.parameter_shapes(n_inputs, n_outputs).items():
        fan_in = shape[0] if name.endswith(".W") else fan_in
        value = torch.empty(shape)
        if not spec.is_trained(name):
            parameters[name] = value.fill_(1.0)
            continue
        if spec.init == "torch_linear":
            value.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
        elif name.endswith(".b"):
            value.zero_()
        else:
            std = 1.0 if spec.init == "mean_field" else fan_in**-0.5
            value.normal_(0.0, std, generator=generator)
        parameters[name] = value * spec.init_scale
    return parameters


def mlp_outputs(
    parameters: Mapping[str, Tensor],
    inputs: Num[Tensor, "example n_inputs"],
    spec: MlpSpec,
    hook: Hook = no_hook,
) -> Float[Tensor, "example n_outputs"]:
    """Outputs of a multilayer perceptron.

    Parameters
    ----------
    parameters
        Weights under the names of :meth:`MlpSpec.parameter_shapes`.
    inputs
        Vectors, or pairs of tokens (whole numbers), which stand for two one-hot vectors.
    spec
        Widths, activation and scales.
    hook
        Called with ``layers.l.hook_post`` and the activations of each hidden layer; what it
        returns is used in their place.

    Examples
    --------
    >>> spec = MlpSpec(widths=(8,))
    >>> parameters = first_mlp_parameters(spec, n_inputs=10, n_outputs=5)
    >>> mlp_outputs(parameters, torch.tensor([[1, 4], [0, 0]]), spec).shape
    torch.Size([2, 5])
    """
    outputs = _outputs(parameters, inputs, spec, hook)
    return outputs - first_outputs(parameters, inputs, spec) if spec.is_centered else outputs


def first_outputs(
    parameters: Mapping[str, Tensor], inputs: Num[Tensor, "example n_inputs"], spec: MlpSpec
) -> Float[Tensor, "example n_outputs"]:
    """Outputs of the weights that `spec` begins with, of the shapes of `parameters`."""
    n_inputs = len(parameters["layers.0.W"])
    n_outputs = parameters[f"layers.{len(spec.widths)}.W"].shape[1]
    like = parameters["layers.0.W"]
    initial = {
        name: value.to(like.device, like.dtype)
        for name, value in _initial_parameters(spec, n_inputs, n_outputs).items()
    }
    with torch.no_grad():
        return _outputs(initial, inputs, spec, no_hook)


@lru_cache(maxsize=4)
def _initial_parameters(spec: MlpSpec, n_inputs: int, n_outputs: int) -> dict[str, Tensor]:
    return first_mlp_parameters(spec, n_inputs, n_outputs)


def _outputs(parameters: Mapping[str, Tensor], inputs: Tensor, spec: MlpSpec, hook: Hook) -> Tensor:
    is_mean_field = spec.init == "mean_field"
    hidden = inputs
    for layer in range(len(spec.widths) + 1):
        weight = parameters[f"layers.{layer}.W"]
        if hidden.is_floating_point():
            hidden = hidden @ weight
        else:
            a, b = hidden[:, 0], hidden[:, 1] + len(weight) // 2
            hidden = (weight[a] + weight[b]) * (0.5**0.5 if is_mean_field else 1.0)
        if is_mean_field and layer:
            is_last = layer == len(spec.widths)
            hidden = hidden / (len(weight) if is_last else len(weight) ** 0.5)
        if spec.biases:
            hidden = hidden + parameters[f"layers.{layer}.b"]
        if layer < len(spec.widths):
            hidden = hook(f"layers.{layer}.hook_post", _activate(hidden, spec))
    return spec.output_scale * hidden


def _activate(pre: Tensor, spec: MlpSpec) -> Tensor:
    if spec.act_fn == "linear_quadratic":
        return pre + (spec.curvature / 2) * pre.square()
    return _ACTIVATIONS[spec.act_fn](pre)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "square": torch.square,
}

r"""The empirical neural tangent kernel along training: how lazy a network is.

:math:`K(x, x') = \sum_o \nabla_\theta f_o(x) \cdot \nabla_\theta f_o(x')`, over the trained
parameters and summed over outputs. A lazy network keeps the kernel of its initial weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.func import jacrev, vmap

from grokinterp.errors import ConfigError
from grokinterp.experiments.kumar2023.kernel_regression import KernelRegression
from grokinterp.models import MlpSpec
from grokinterp.models.mlp import mlp_outputs
from grokinterp.runs.config import ImportedConfig, TrainConfig
from grokinterp.runs.network import Network
from grokinterp.runs.optimizer import OptimizerSpec
from grokinterp.runs.pressures import PressureSpec

if TYPE_CHECKING:
    from grokinterp.runs.run import Run


def tangent_kernel(
    parameters: Mapping[str, Tensor], inputs: Num[Tensor, "example n_inputs"], spec: MlpSpec
) -> Float[Tensor, "example example"]:
    r"""Empirical neural tangent kernel of a perceptron, summed over its outputs.

    For the committee :math:`f = (\alpha/N)\sum_i \varphi(w_i\cdot x)`,
    :math:`\varphi(h) = h + (\epsilon/2) h^2`, with :math:`\bar w` and :math:`M` the means of
    :math:`w_i` and :math:`w_i w_i^T`, it is :math:`\alpha^2/N` times

    .. math:: x\cdot x' + \epsilon (x\cdot x')\,\bar w\cdot(x + x')
       + \epsilon^2 (x\cdot x')\, x^T M x'

    Parameters
    ----------
    parameters
        Weights under the names of the network; computed in their precision.
    inputs
        Vectors, or pairs of tokens.
    spec
        The network. Whether it is centered does not matter: that subtracts a constant.

    Examples
    --------
    A linear network, f = 2 (w . x) with w trained alone, has the kernel 4 x . x'.

    >>> spec = MlpSpec(widths=(1,), act_fn="linear_quadratic", curvature=0.0,
    ...     output_scale=2.0, trains_readout=False)
    >>> weights = {"layers.0.W": torch.ones(2, 1), "layers.1.W": torch.ones(1, 1)}
    >>> tangent_kernel(weights, torch.tensor([[1.0, 0.0], [1.0, 3.0]]), spec).tolist()
    [[4.0, 4.0], [4.0, 40.0]]

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural tangent kernel", NeurIPS 2018, arXiv:1806.07572; the
    committee: Kumar et al. 2023, arXiv:2310.06110.
    """
    trained = {name: value for name, value in parameters.items() if spec.is_trained(name)}
    plain = replace(spec, is_centered=False)

    def outputs(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return mlp_outputs({**parameters, **weights}, x[None], plain)[0]

    gradients = vmap(jacrev(outputs), in_dims=(None, 0))(trained, inputs)
    flat = [gradient.flatten(2) for gradient in gradients.values()]
    return sum((torch.einsum("iow,jow->ij", g, g) for g in flat), torch.zeros(()))


def kernel_alignment(
    kernel: Float[Tensor, "example example"], targets: Float[Tensor, "example n_outputs"]
) -> float:
    r"""Centered alignment of a kernel with the targets, in [-1, 1].

    :math:`\langle HKH, yy^T\rangle / (\|HKH\|_F \|Hyy^TH\|_F)` with H the projection that
    removes the mean.

    Examples
    --------
    >>> y = torch.tensor([[1.0], [-1.0], [3.0]])
    >>> round(kernel_alignment(y @ y.T, y), 6), kernel_alignment(torch.ones(3, 3), y)
    (1.0, 0.0)

    References
    ----------
    Cortes, Mohri and Rostamizadeh, "Algorithms for learning kernels based on centered
    alignment", JMLR 2012; Kumar et al. 2023, arXiv:2310.06110.
    """
    y = targets.double() - targets.double().mean(0)
    centered = kernel.double() - kernel.double().mean(0)
    centered = centered - centered.mean(1, keepdim=True)
    size = centered.norm() * (y @ y.T).norm()
    return float((centered * (y @ y.T)).sum() / size) if size > 0 else 0.0


@dataclass(frozen=True, eq=False)
class KernelPath:
    """How far kernel and weights have moved, checkpoint by checkpoint."""

    steps: tuple[int, ...]
    drift: tuple[float, ...]
    """:math:`|K_t - K_0|_F / |K_0|_F`."""
    cosine: tuple[float, ...]
    """Of K_t with K_0."""
    alignment: tuple[float, ...]
    """Centered, with the targets."""
    movement: tuple[float, ...]
    """:math:`|w_t - w_0| / |w_0|` of the trained weights."""
    norm_ratio: tuple[float, ...]
    """:math:`|w_t| / |w_0|`."""


def kernel_path(run: Run, *, n_points: int, n_checkpoints: int) -> KernelPath:
    """Follow kernel and weights of a perceptron on a regression.

    Parameters
    ----------
    run
        Kernels are of its first test points, in float64.
    n_points
        Test points, at most.
    n_checkpoints
        Checkpoints, at most: the first, the last, and others evenly among those there are.

    Raises
    ------
    ConfigError
        If the run is of a transformer or has classes instead of targets.
    """
    spec, network = _regressor(run)
    rows = torch.as_tensor(np.asarray(run.split.test[:n_points]))
    inputs, targets = network.inputs[rows].double(), network.targets[rows].double()
    chosen = np.unique(np.linspace(0, len(run.steps) - 1, n_checkpoints).round().astype(int))
    steps = tuple(run.steps[i] for i in chosen)
    weights = [{n: w.double() for n, w in run.parameters(step).items()} for step in steps]
    flat = [
        torch.cat([w.flatten() for n, w in ws.items() if network.is_trained(n)]) for ws in weights
    ]
    kernels = [tangent_kernel(ws, inputs, spec) for ws in weights]
    k0, w0 = kernels[0], flat[0]
    return KernelPath(
        steps=steps,
        drift=tuple(float((k - k0).norm() / k0.norm()) for k in kernels),
        cosine=tuple(float((k * k0).sum() / (k.norm() * k0.norm())) for k in kernels),
        alignment=tuple(kernel_alignment(k, targets) for k in kernels),
        movement=tuple(float((w - w0).norm() / w0.norm()) for w in flat),
        norm_ratio=tuple(float(w.norm() / w0.norm()) for w in flat),
    )


def first_kernel_regression(run: Run) -> KernelRegression:
    """Return the regression with the kernel of the initial weights, on a run's training points.

    Its steps are those of the run: the linearized network at the same learning rate. A network
    that begins at zero and stays lazy has the losses of this regression.

    Raises
    ------
    ConfigError
        If the run is of a transformer, has classes instead of targets, or was not trained by plain
        gradient descent from zero.
    """
    spec, network = _regressor(run)
    if not _is_plain_descent(run.config) or not spec.is_centered or network.targets.shape[1] > 1:
        raise ConfigError(
            "only plain full-batch gradient descent on the mean squared error of one output that "
            "begins at zero follows its kernel. Choose such a run."
        )
    optimizer = run.config.optimizer
    rows = torch.as_tensor(np.concatenate([run.split.train, run.split.test]))
    weights = {name: weight.double() for name, weight in run.parameters(run.steps[0]).items()}
    n_train = len(run.split.train)
    return KernelRegression.of(
        tangent_kernel(weights, network.inputs[rows].double(), spec).numpy(),
        network.targets[rows, 0].double().numpy(),
        n_train=n_train,
        rate=2 * optimizer.learning_rate / n_train,
    )


def _regressor(run: Run) -> tuple[MlpSpec, Network]:
    if not isinstance(run.spec, MlpSpec) or run.split.task.is_classification:
        raise ConfigError("only a perceptron on a regression has this path. Choose such a run.")
    return run.spec, Network(run.spec, run.split.task)


def _is_plain_descent(config: TrainConfig | ImportedConfig) -> TypeGuard[TrainConfig]:
    if not isinstance(config, TrainConfig) or config.batch_size or config.parent is not None:
        return False
    plain = OptimizerSpec(
        algorithm="sgd",
        learning_rate=config.optimizer.learning_rate,
        weight_decay=0.0,
        warmup_steps=0,
    )
    is_plain = replace(config.optimizer, betas=plain.betas, eps=plain.eps) == plain
    return is_plain and config.pressures == PressureSpec() and config.loss == "mse"

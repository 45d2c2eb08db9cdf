"""How large the gradient of a checkpoint is, against Adam's epsilon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grokinterp.errors import ConfigError
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.training.loss import LOSSES

if TYPE_CHECKING:
    from grokinterp.runs.run import Run


def gradient_size(run: Run, step: int | None = None) -> float:
    r"""Root mean square, over all trained weights, of the gradient of the training loss.

    Adam divides a gradient by :math:`\sqrt v + \epsilon`, v a mean of its squares. Far above
    epsilon (1e-8) the size of an update does not depend on that of the gradient; far below, updates
    vanish with it.

    Parameters
    ----------
    run
        Trained here. Penalties and noise of its config are not in the gradient.
    step
        Of a checkpoint; None: the last. Computed in float64.

    Raises
    ------
    ConfigError
        If the run is from elsewhere, so that its loss or its training examples are not known.

    Examples
    --------
    >>> gradient_size(run, 0) > gradient_size(run)  # a run that has fitted
    True
    """
    config, spec = run.config, run.spec
    if not isinstance(config, TrainConfig) or not isinstance(spec, (ModelSpec, MlpSpec)):
        raise ConfigError("the loss of a run from elsewhere is not known. Choose one trained here.")
    network = Network(spec, run.split.task)
    rows = torch.as_tensor(run.split.train)
    weights = {name: w.double() for name, w in run.parameters(step).items()}
    trained = {name: w.requires_grad_() for name, w in weights.items() if network.is_trained(name)}
    inputs = network.inputs[rows]
    outputs = network.outputs(weights, inputs.double() if inputs.is_floating_point() else inputs)
    loss = LOSSES[config.loss](outputs, network.targets[rows], config.loss_dtype)
    gradients = torch.autograd.grad(loss, list(trained.values()))
    n_weights = sum(gradient.numel() for gradient in gradients)
    return (sum(float(g.square().sum()) for g in gradients) / n_weights) ** 0.5

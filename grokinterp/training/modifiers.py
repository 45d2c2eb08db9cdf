"""What changes a plain step, in small pieces that act one after the other.

Each piece may change the gradients before the optimizer reads them, or the weights before or
after it moves them. Pieces with a memory give it as tensors, so that a run that resumes has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from grokinterp.runs.config import TrainConfig
from grokinterp.runs.weights import norm_of
from grokinterp.training.dropout import generator_of
from grokinterp.training.loss import widest


class Modifier:
    """Does nothing; the pieces override what they need."""

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Change the gradients, or the weights, before update number `n_updates` (from 0)."""

    def after_update(self, trained: Mapping[str, Tensor]) -> None:
        """Change the weights once the optimizer has moved them."""

    def state(self) -> dict[str, Tensor]:
        """Return what has to be kept to resume."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""


class L1Penalty(Modifier):
    """Adds the gradient of ``strength * sum |w|`` over all trained weights."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Add strength times the sign of each weight."""
        for value in trained.values():
            _gradient(value).add_(value.detach().sign(), alpha=self.strength)


class GradientNoise(Modifier):
    """Adds independent Gaussian noise to every entry of the gradient (Power et al. 2022)."""

    def __init__(self, std: float, seed: int) -> None:
        self.std, self.seed = std, seed

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Add the noise of this update, which depends on seed and step alone."""
        generator = generator_of(self.seed, n_updates, stream=0)
        for value in trained.values():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            _gradient(value).add_(noise.to(value.device), alpha=self.std)


class GrokfastEma(Modifier):
    """Adds ``strength`` times an exponential moving average of the gradient.

    The average begins at the first gradient, as in the published code of Lee et al. 2024
    (arXiv:2405.20233); their algorithm 2 begins at the weights.
    """

    def __init__(self, strength: float, decay: float) -> None:
        self.strength, self.decay = strength, decay
        self._mean: dict[str, Tensor] = {}

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Update the average, then add it."""
        for name, value in trained.items():
            gradient = _gradient(value)
            if name not in self._mean:
                self._mean[name] = gradient.clone()
            self._mean[name].mul_(self.decay).add_(gradient, alpha=1 - self.decay)
            gradient.add_(self._mean[name], alpha=self.strength)

    def state(self) -> dict[str, Tensor]:
        """Return the averages by parameter."""
        return dict(self._mean)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back the averages."""
        self._mean = {name: value.clone() for name, value in state.items()}


class GrokfastMa(Modifier):
    """Adds ``strength`` times the mean of the last gradients, once the window is full.

    References
    ----------
    Lee et al., "Grokfast", arXiv:2405.20233, published code.
    """

    def __init__(self, strength: float, window: int) -> None:
        self.strength, self.window = strength, window
        self._last: dict[str, Tensor] = {}
        self._n_seen = 0

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Put the gradient into the window, then add the window's mean."""
        for name, value in trained.items():
            gradient = _gradient(value)
            if name not in self._last:
                self._last[name] = gradient.new_zeros(self.window, *gradient.shape)
            self._last[name][self._n_seen % self.window] = gradient
            if self._n_seen + 1 >= self.window:
                gradient.add_(self._last[name].mean(0), alpha=self.strength)
        self._n_seen += 1

    def state(self) -> dict[str, Tensor]:
        """Return the window by parameter, and how many gradients have passed."""
        return {**self._last, "n_seen": torch.tensor(self._n_seen)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back the window."""
        self._n_seen = int(state["n_seen"]) if "n_seen" in state else 0
        self._last = {name: value.clone() for name, value in state.items() if name != "n_seen"}


class PerpGrad(Modifier):
    """Keeps of every gradient the part orthogonal to its weights, at the norm of the whole.

    References
    ----------
    Prieto et al., "Grokking at the edge of numerical stability", arXiv:2501.04697.
    """

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Project and rescale, one parameter after the other."""
        for value in trained.values():
            gradient, weight = _gradient(value), value.detach()
            norm = gradient.norm()
            along = (weight * gradient).sum() / ((weight * weight).sum() + 1e-30)
            gradient.sub_(along * weight)
            gradient.mul_(norm / (gradient.norm() + 1e-30))


class DecayTowardsInit(Modifier):
    """Weight decay toward the weights that the run began with (Power et al. 2022).

    It acts on the weights that `initial` has.
    """

    def __init__(self, strength: float, initial: Mapping[str, Tensor], is_decoupled: bool) -> None:
        self.strength, self.initial, self.is_decoupled = strength, initial, is_decoupled

    def change_gradients(self, trained: Mapping[str, Tensor], n_updates: int, lr: float) -> None:
        """Move the weights before the update (adamw, muon), or add to the gradient (adam, sgd)."""
        for name, initial in self.initial.items():
            value = trained[name]
            away = value.detach() - initial
            if self.is_decoupled:
                value.detach().sub_(away, alpha=lr * self.strength)
            else:
                _gradient(value).add_(away, alpha=self.strength)


class NormClamp(Modifier):
    """Rescales all trained weights together to a fixed norm (Liu et al. 2022)."""

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def after_update(self, trained: Mapping[str, Tensor]) -> None:
        """Rescale."""
        # A tensor, so that nobody waits for the device.
        squares = [w.detach().to(widest(w.device)).square().sum() for w in trained.values()]
        scale = self.norm / sum(squares, squares[0].new_zeros(())).sqrt()
        for value in trained.values():
            value.detach().mul_(scale)


def modifiers_of(config: TrainConfig, initial: Mapping[str, Tensor]) -> list[Modifier]:
    """Return the pieces that a config asks for, in the order in which they act.

    Parameters
    ----------
    config
        Its ``pressures``, and the target of its weight decay.
    initial
        Trained weights that the run began with.
    """
    pressures, optimizer = config.pressures, config.optimizer
    pieces: list[Modifier] = []
    if pressures.l1:
        pieces.append(L1Penalty(pressures.l1))
    if pressures.gradient_noise:
        pieces.append(GradientNoise(pressures.gradient_noise, pressures.seed))
    if pressures.grokfast == "ema":
        pieces.append(GrokfastEma(pressures.grokfast_strength, pressures.grokfast_decay))
    if pressures.grokfast == "ma":
        pieces.append(GrokfastMa(pressures.grokfast_strength, pressures.grokfast_window))
    if pressures.perp_grad:
        pieces.append(PerpGrad())
    # After filter and projection, as the optimizer's own decay toward zero is.
    if optimizer.decay_towards == "init" and optimizer.weight_decay:
        is_decoupled = optimizer.algorithm in ("adamw", "muon")
        decayed = optimizer.decayed_names(list(initial), list(initial))
        began_with = {name: initial[name] for name in decayed}
        pieces.append(DecayTowardsInit(optimizer.weight_decay, began_with, is_decoupled))
    if pressures.clamp_norm:
        pieces.append(NormClamp(norm_of(initial)))
    return pieces


def _gradient(value: Tensor) -> Tensor:
    if value.grad is None:
        value.grad = torch.zeros_like(value)
    return value.grad

"""Pieces that change a plain step: each against its formula, and exact in continuation."""

import dataclasses

import numpy as np
import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.runs import OptimizerSpec, PressureSpec, TrainConfig
from grokinterp.training import train
from grokinterp.training.dropout import Dropout
from grokinterp.training.modifiers import (
    DecayTowardsInit,
    GradientNoise,
    GrokfastEma,
    GrokfastMa,
    L1Penalty,
    NormClamp,
    PerpGrad,
    modifiers_of,
    norm_of,
)
from grokinterp.training.optimizer import build_optimizer
from tests import tiny

EXACT32 = {"rtol": 1e-6, "atol": 1e-7}


def weights(seed=0):
    """Two matrices with gradients."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in (("W", (4, 3)), ("V", (5,))):
        value = torch.randn(shape, generator=generator).requires_grad_()
        value.grad = torch.randn(shape, generator=generator)
        made[name] = value
    return made


def gradients(made):
    return {name: value.grad.clone() for name, value in made.items()}


def test_the_l1_penalty_has_the_gradient_of_the_sum_of_absolute_weights():
    made = weights()
    expected = {}
    for name, value in made.items():
        leaf = value.detach().clone().requires_grad_()
        (0.3 * leaf.abs().sum()).backward()
        expected[name] = value.grad + leaf.grad
    L1Penalty(0.3).change_gradients(made, 0, 1e-3)
    for name, gradient in expected.items():
        torch.testing.assert_close(made[name].grad, gradient, **EXACT32)


def test_gradient_noise_has_its_deviation_and_depends_on_seed_and_step_alone():
    def noise(seed, step):
        value = torch.zeros(200, 200, requires_grad=True)
        GradientNoise(0.5, seed).change_gradients({"W": value}, step, 1e-3)
        return value.grad

    # 40,000 draws: the standard error of their deviation is .5 / sqrt(80,000) = .0018.
    assert noise(0, 3).std().item() == pytest.approx(0.5, abs=4 * 0.0018)
    assert abs(noise(0, 3).mean().item()) < 4 * 0.5 / 200
    assert torch.equal(noise(0, 3), noise(0, 3))
    for other in (noise(0, 4), noise(1, 3)):
        # Independent: the correlation of 40,000 pairs of draws has a standard error of .005.
        assert abs(np.corrcoef(noise(0, 3).ravel(), other.ravel())[0, 1]) < 0.02


def test_grokfast_by_average_adds_the_published_recursion():
    grads = [torch.full((2,), g) for g in (1.0, 4.0, -2.0)]
    mean, value, piece = None, torch.zeros(2, requires_grad=True), GrokfastEma(2.0, 0.9)
    for gradient in grads:
        mean = gradient if mean is None else 0.9 * mean + 0.1 * gradient
        value.grad = gradient.clone()
        piece.change_gradients({"W": value}, 0, 1e-3)
        torch.testing.assert_close(value.grad, gradient + 2.0 * mean, **EXACT32)


def test_grokfast_by_window_adds_the_mean_once_the_window_is_full():
    value, piece = torch.zeros(1, requires_grad=True), GrokfastMa(5.0, 3)
    given = [1.0, 2.0, 6.0, 10.0]
    seen = []
    for gradient in given:
        value.grad = torch.tensor([gradient])
        piece.change_gradients({"W": value}, 0, 1e-3)
        seen.append(value.grad.item())
    assert seen == pytest.approx([1.0, 2.0, 6.0 + 5 * 3.0, 10.0 + 5 * 6.0])


@pytest.mark.parametrize("make", [lambda: GrokfastEma(2.0, 0.9), lambda: GrokfastMa(2.0, 2)])
def test_a_filter_goes_on_from_its_state(make):
    whole, first = make(), make()
    for seed in (0, 1):
        made = weights(seed)
        whole.change_gradients(made, 0, 1e-3)
        first.change_gradients(weights(seed), 0, 1e-3)
    second = make()
    second.restore(first.state())
    one, other = weights(2), weights(2)
    whole.change_gradients(one, 0, 1e-3)
    second.change_gradients(other, 0, 1e-3)
    assert all(torch.equal(one[n].grad, other[n].grad) for n in one)


def test_perp_grad_is_orthogonal_to_every_weight_and_as_long_as_before():
    made = weights()
    before = gradients(made)
    PerpGrad().change_gradients(made, 0, 1e-3)
    for name, value in made.items():
        assert abs((value.detach() * value.grad).sum().item()) < 1e-5
        assert value.grad.norm().item() == pytest.approx(before[name].norm().item(), rel=1e-5)
        # Within the plane of weight and gradient: no third direction comes in.
        plane = torch.stack([value.detach().flatten(), before[name].flatten()])
        residual = torch.linalg.lstsq(plane.T, value.grad.flatten()[:, None]).solution
        torch.testing.assert_close(
            plane.T @ residual, value.grad.flatten()[:, None], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("algorithm", ["adamw", "adam", "sgd"])
def test_decay_towards_the_first_weights_is_that_towards_zero_in_shifted_weights(algorithm):
    """The optimizers do not see the weights themselves, but for the decay."""
    spec = OptimizerSpec(0.01, algorithm=algorithm, weight_decay=0.5, warmup_steps=0)
    shift = torch.tensor([3.0, -2.0, 0.5])
    start = torch.tensor([1.0, 2.0, -1.0])
    towards_zero = start.clone().requires_grad_()
    towards_init = (start + shift).requires_grad_()
    plain = build_optimizer(spec, {"W": towards_zero})
    shifted = build_optimizer(dataclasses.replace(spec, decay_towards="init"), {"W": towards_init})
    piece = DecayTowardsInit(0.5, {"W": shift}, is_decoupled=algorithm == "adamw")
    for step in range(5):
        gradient = torch.tensor([0.1, -0.2, 0.05]) * (step + 1)
        towards_zero.grad, towards_init.grad = gradient.clone(), gradient.clone()
        piece.change_gradients({"W": towards_init}, step, 0.01)
        plain.step()
        shifted.step()
    torch.testing.assert_close(
        towards_init.detach() - shift, towards_zero.detach(), rtol=1e-4, atol=1e-6
    )
    assert not torch.allclose(towards_zero.detach(), start)


def test_the_clamp_gives_all_weights_together_the_norm_and_keeps_their_direction():
    made = weights()
    before = {name: value.detach().clone() for name, value in made.items()}
    NormClamp(7.0).after_update(made)
    assert norm_of(made) == pytest.approx(7.0, rel=1e-6)
    ratio = 7.0 / norm_of(before)
    for name, value in made.items():
        torch.testing.assert_close(value.detach(), before[name] * ratio, **EXACT32)


def test_dropout_drops_its_rate_scales_the_rest_and_leaves_other_activations_alone():
    drop = Dropout(0.25, seed=1).hook(5)
    ones = torch.ones(300, 100)
    dropped = drop("blocks.0.hook_mlp_out", ones)
    # 30,000 draws: the standard error of the rate is .0025.
    assert (dropped == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert drop("blocks.0.hook_resid_post", ones) is ones
    again = Dropout(0.25, seed=1).hook(5)
    assert torch.equal(again("blocks.0.hook_mlp_out", ones), dropped)
    assert not torch.equal(Dropout(0.25, 1).hook(6)("blocks.0.hook_mlp_out", ones), dropped)


def test_pieces_act_in_the_documented_order_and_none_without_a_pressure():
    assert modifiers_of(TrainConfig(), {}) == []
    config = TrainConfig(
        optimizer=OptimizerSpec(decay_towards="init"),
        pressures=PressureSpec(
            l1=1e-4, gradient_noise=1e-3, grokfast="ema", perp_grad=True, clamp_norm=True
        ),
    )
    kinds = [type(piece) for piece in modifiers_of(config, weights())]
    assert kinds == [
        L1Penalty, GradientNoise, GrokfastEma, PerpGrad, DecayTowardsInit, NormClamp,
    ]  # fmt: skip


EVERYTHING = PressureSpec(
    dropout=0.1,
    l1=1e-5,
    gradient_noise=1e-4,
    grokfast="ma",
    grokfast_window=7,
    perp_grad=True,
    clamp_norm=True,
)


@pytest.mark.parametrize(
    ("optimizer", "pressures"),
    [
        (OptimizerSpec(learning_rate=3e-3, decay_towards="init"), EVERYTHING),
        (
            OptimizerSpec(0.01, algorithm="sgd", weight_decay=1e-3, momentum=0.9),
            PressureSpec(grokfast="ema"),
        ),
        (
            OptimizerSpec(3e-3, algorithm="adam", weight_decay=1e-3),
            PressureSpec(gradient_noise=1e-3),
        ),
    ],
)
def test_a_run_that_goes_on_has_the_bits_of_one_that_never_stopped(tmp_path, optimizer, pressures):
    config = tiny.config(n_steps=20, checkpoint_every=10, optimizer=optimizer, pressures=pressures)
    whole = train(config, tmp_path / "whole", progress=False)
    train(dataclasses.replace(config, n_steps=10), tmp_path / "parts", progress=False)
    parts = train(config, tmp_path / "parts", progress=False)
    assert parts.checksum() == whole.checksum()
    assert parts.curves.equals(whole.curves)


def test_a_clamped_run_keeps_its_first_norm(tmp_path):
    config = tiny.config(n_steps=30, pressures=PressureSpec(clamp_norm=True))
    run = train(config, tmp_path / "run", progress=False)

    def norm(step):
        return norm_of({n: v for n, v in run.parameters(step).items() if "attn.b_" not in n})

    assert norm(30) == pytest.approx(norm(0), rel=1e-5)
    unclamped = train(tiny.config(n_steps=30), tmp_path / "free", progress=False)
    assert norm_of(unclamped.parameters(30)) != pytest.approx(norm(0), rel=1e-3)


def test_with_dropout_the_recorded_accuracy_is_that_of_the_whole_network(tmp_path):
    config = tiny.config(n_steps=40, pressures=PressureSpec(dropout=0.5))
    run = train(config, tmp_path / "run", progress=False)
    from grokinterp.models.pair_tables import pair_logits

    pairs, labels = torch.tensor(run.task.pairs), torch.tensor(run.task.labels)
    is_right = pair_logits(run.parameters(40), run.spec, pairs).argmax(-1) == labels
    assert run.curves["train_accuracy"].iloc[-1] == is_right[run.split.train].double().mean()
    assert "dropout=0.5" in run.environment["training_step"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dropout": 1.0}, "dropout=1.0 is not allowed"),
        ({"l1": -1.0}, "l1=-1.0 is not allowed"),
        ({"l1": float("nan")}, "l1=nan is not allowed"),
        ({"grokfast": "mean"}, "grokfast='mean' is not known. Choose one of none, ema, ma"),
        ({"grokfast_window": 0}, "grokfast_window=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_a_pressure_that_means_nothing_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        PressureSpec(**values)

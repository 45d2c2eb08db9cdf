"""Lazy and rich networks: the kernel, the judge on planted tables, and tiny runs of both kinds."""

import pandas as pd
import pytest

from grokinterp.errors import ConfigError
from grokinterp.experiments import PlannedRun, Scale
from grokinterp.experiments.curve_cells import cell_of, points_of
from grokinterp.experiments.kumar2023 import (
    EXPERIMENT,
    addition_config,
    committee_config,
    observe,
    plan,
)
from grokinterp.experiments.kumar2023.claims import judge
from tests.tolerances import CHAINED64

pytestmark = pytest.mark.long

QUICK = Scale(is_quick=True)
DELAY, KERNEL, GROWTH, ADDITION = range(4)


# --- the kernel -------------------------------------------------------------------------


def test_the_kernel_of_a_committee_is_the_closed_form_of_the_paper():
    import torch

    from grokinterp.experiments.kumar2023.tangent_kernel import tangent_kernel
    from grokinterp.models import MlpSpec

    n, dimension, alpha, epsilon = 7, 5, 3.0, 0.4
    spec = MlpSpec(
        widths=(n,),
        act_fn="linear_quadratic",
        curvature=epsilon,
        init="mean_field",
        output_scale=alpha,
        is_centered=True,
        trains_readout=False,
    )
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(dimension, n, generator=generator, dtype=torch.float64)
    x = torch.randn(6, dimension, generator=generator, dtype=torch.float64)
    weights = {"layers.0.W": w, "layers.1.W": torch.ones(n, 1, dtype=torch.float64)}
    mean, second = w.mean(1), w @ w.T / n
    products, along = x @ x.T, x @ mean
    closed = products * (
        1 + epsilon * (along[:, None] + along[None, :]) + epsilon**2 * x @ second @ x.T
    )
    found = tangent_kernel(weights, x, spec)
    assert found.numpy() == pytest.approx((alpha**2 / n * closed).numpy(), **CHAINED64)
    without_mean = products * (1 + epsilon**2 * x @ second @ x.T)
    assert found.numpy() != pytest.approx((alpha**2 / n * without_mean).numpy(), rel=1e-2)


def test_the_kernel_of_pairs_sums_over_outputs_and_trained_weights():
    """Against one gradient after the other, by autograd."""
    import torch

    from grokinterp.experiments.kumar2023.tangent_kernel import tangent_kernel
    from grokinterp.models import MlpSpec
    from grokinterp.models.mlp import first_mlp_parameters, mlp_outputs

    spec = MlpSpec(widths=(4,), act_fn="square", init="mean_field")
    weights = {n: w.double() for n, w in first_mlp_parameters(spec, 6, 3).items()}
    pairs = torch.tensor([[0, 1], [2, 2], [1, 0]])
    rows = []
    for output in range(3):
        gradients = []
        for pair in pairs:
            leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
            value = mlp_outputs(leaves, pair[None], spec)[0, output]
            found = torch.autograd.grad(value, list(leaves.values()))
            gradients.append(torch.cat([g.flatten() for g in found]))
        rows.append(torch.stack(gradients) @ torch.stack(gradients).T)
    kernel = tangent_kernel(weights, pairs, spec)
    assert kernel.numpy() == pytest.approx(sum(rows).numpy(), **CHAINED64)


def test_a_curve_in_a_cell_is_read_back():
    assert points_of(cell_of([(0, 0.5), (20_000, 1e-7)]), 2).tolist() == [[0, 0.5], [20_000, 1e-7]]
    assert points_of(None, 3).shape == (0, 3)


# --- planted tables ---------------------------------------------------------------------


def committee_row(alpha, seed, **changes):
    law = {0.1: (40, 50, 1.6, 9.9), 1.0: (300, 480, 0.9, 3.0), 5.0: (1000, 4000, 0.3, 1.2)}
    fit, fall, drift, movement = law.get(alpha, (2300, None, 0.1, 0.4))
    return {
        "arm": "committee",
        "init_scale": 1.0,
        "output_scale": alpha,
        "seed": seed,
        "last_step": 6000,
        "fit_step": fit,
        "fall_step": fall,
        "test_loss": 0.01 if fall else 0.33,
        "max_test_loss": 0.86,
        "norm_ratio": 1 + movement,
        "norm_ratio_at_fall": 1 + movement if fall else None,
        "kernel_drift": drift,
        "kernel_cosine": 0.9,
        "weight_movement": movement,
        "first_alignment": 0.05,
        "last_alignment": 0.05 + drift / 5,
        "kernel_points": "0:0:0.05:0:1 6000:0.4:0.1:1:1.4",
        "loss_points": "0:0.8:0.8 6000:0.001:0.3",
        "first_crossing_step": None,
        "test_accuracy": None,
        "test_accuracy_unmirrored": None,
    } | changes


def addition_row(init_scale, output_scale, seed, **changes):
    is_rich = (init_scale, output_scale) == (0.3, 1.0)
    row = committee_row(output_scale, seed, arm="addition", init_scale=init_scale)
    return (
        row
        | {"fit_step": 140, "first_crossing_step": 370 if is_rich else None}
        | {"test_accuracy": 0.99 if is_rich else 0.5, "test_accuracy_unmirrored": 0.1}
        | changes
    )


def planted(changes=None, addition=None, n_seeds=3):
    """A table in which the paper is right, with changes by alpha, and by scales on addition."""
    rows = [
        committee_row(alpha, seed, **(changes or {}).get(alpha, {}))
        for alpha in (0.1, 1.0, 5.0, 20.0)
        for seed in range(n_seeds)
    ]
    rows += [
        addition_row(*scales, seed, **(addition or {}).get(scales, {}))
        for scales in ((0.3, 1.0), (1.0, 1.0), (0.3, 10.0))
        for seed in range(n_seeds)
    ]
    return pd.DataFrame(rows)


def verdicts(table):
    return [claim.verdict for claim in judge(table, QUICK).claims]


def test_a_world_as_the_paper_has_it_is_confirmed_in_every_claim():
    findings = judge(planted(), QUICK)
    assert [claim.verdict for claim in findings.claims] == ["confirmed"] * 4
    assert findings.verdict == "confirmed" and len(findings.charts) == 5
    assert findings.claims[DELAY].numbers["delay_alpha_5"] == 4.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({0.1: {"fall_step": 200}}, "not confirmed"),
        ({0.1: {"fall_step": 80}}, "inconclusive"),
        ({20.0: {"fall_step": 2500}}, "not confirmed"),
        ({5.0: {"fall_step": 1500}}, "inconclusive"),
        ({5.0: {"fall_step": None}}, "confirmed"),
        ({20.0: {"test_loss": 0.1}}, "inconclusive"),
        ({1.0: {"fall_step": 3000}}, "inconclusive"),
        ({20.0: {"fit_step": None}}, "inconclusive"),
    ],
    ids=[
        "rich is late",
        "rich is a little late",
        "lazy falls",
        "no delay between",
        "not by the last step is late",
        "lazy is not high",
        "not rising",
        "lazy does not fit",
    ],
)
def test_delays_that_do_not_rise_with_laziness_are_not_confirmed(changes, expected):
    assert verdicts(planted(changes))[DELAY] == expected


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({0.1: {"fit_step": 500, "fall_step": None, "last_step": 600}}, DELAY),
        ({20.0: {"test_loss": None}}, DELAY),
        ({20.0: {"kernel_drift": None, "weight_movement": None}}, KERNEL),
        ({0.1: {"first_alignment": None}}, KERNEL),
    ],
    ids=["rich has not fallen", "no last test loss", "no kernel when lazy", "no first alignment"],
)
def test_what_was_not_measured_confirms_nothing(changes, claim):
    assert verdicts(planted(changes))[claim] == "inconclusive"


def test_a_run_that_never_fits_has_no_delay_and_does_not_shorten_the_median():
    table = planted({0.1: {"fall_step": 80}})
    table.loc[(table["output_scale"] == 0.1) & (table["seed"] > 0), "fall_step"] = 64
    is_unfit = (table["output_scale"] == 0.1) & (table["seed"] == 2)
    table.loc[is_unfit, ["fit_step", "fall_step"]] = None
    assert judge(table, QUICK).claims[DELAY].numbers["delay_alpha_0.1"] == pytest.approx(1.8)


def test_a_lower_bound_that_is_short_does_not_count_as_a_falling_delay():
    """At alpha 20 the runs lasted 1.4 times as long as fitting, at alpha 5 the delay is 4."""
    short = {20.0: {"fit_step": 4200}}
    assert verdicts(planted(short))[DELAY] == "confirmed"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({20.0: {"kernel_drift": 2.0}}, "not confirmed"),
        ({0.1: {"last_alignment": 0.04}}, "not confirmed"),
        ({1.0: {"kernel_drift": 0.2}}, "inconclusive"),
        ({0.1: {"last_alignment": 0.1}}, "inconclusive"),
    ],
    ids=["lazy drifts", "rich does not align", "not falling", "aligns little"],
)
def test_kernels_that_do_not_move_less_when_lazy_are_not_confirmed(changes, expected):
    found = verdicts(planted(changes))
    assert found[KERNEL] == expected and found[DELAY] == "confirmed"


def test_a_norm_that_shrinks_while_it_groks_refutes_growth():
    assert verdicts(planted({1.0: {"norm_ratio_at_fall": 0.9}}))[GROWTH] == "not confirmed"
    assert verdicts(planted({1.0: {"norm_ratio_at_fall": 1.02}}))[GROWTH] == "inconclusive"
    late = {1.0: {"fall_step": None, "norm_ratio_at_fall": None}}
    assert verdicts(planted(late))[GROWTH] == "inconclusive"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({(0.3, 1.0): {"first_crossing_step": None}}, "inconclusive"),
        ({(1.0, 1.0): {"first_crossing_step": 900}}, "not confirmed"),
        ({(0.3, 10.0): {"first_crossing_step": 900}}, "not confirmed"),
        ({(0.3, 1.0): {"first_crossing_step": 150}}, "inconclusive"),
        ({(1.0, 1.0): {"fit_step": None}}, "inconclusive"),
    ],
    ids=["rich does not yet", "large weights do", "large output does", "no delay", "does not fit"],
)
def test_addition_has_to_grok_from_small_weights_alone(changes, expected):
    assert verdicts(planted(addition=changes))[ADDITION] == expected


def test_one_seed_is_too_few_and_an_empty_table_too():
    assert verdicts(planted(n_seeds=1)) == ["inconclusive"] * 4
    assert verdicts(pd.DataFrame()) == ["inconclusive"] * 4


def test_a_delay_is_not_compared_with_one_that_is_not_over():
    """At alpha 5 the runs lasted 1.2 times as long as fitting; at alpha 0.1 the delay is 1.25."""
    short = {5.0: {"fit_step": 5000, "fall_step": None}}
    assert verdicts(planted(short))[DELAY] == "inconclusive"
    over = {5.0: {"fit_step": 5000, "fall_step": 5500}}
    assert verdicts(planted(over))[DELAY] == "not confirmed"


@pytest.mark.parametrize("is_quick", [True, False])
def test_the_plan_has_the_same_time_in_function_space_at_every_scale(is_quick):
    runs = plan(Scale(is_quick=is_quick))
    assert len({run.config.hash() for run in runs}) == len(runs) == (14 if is_quick else 27)
    rates = {
        round(run.config.optimizer.learning_rate * run.config.model.output_scale**2 / 150, 6)
        for run in runs
        if run.labels["arm"] == "committee"
    }
    assert rates == {8.0}


def test_what_was_predicted_is_quoted_from_the_module():
    assert "stays high" in EXPERIMENT.prediction and "not by N steps" in EXPERIMENT.criterion


# --- tiny runs --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_runs(tmp_path_factory):
    """Runs and rows by name: committees in 30 dimensions, and addition modulo 23."""
    from grokinterp.experiments.run_table import row_of
    from grokinterp.training import train

    def observed(config, arm, init_scale, output_scale):
        labels = {"arm": arm, "init_scale": init_scale, "output_scale": output_scale, "seed": 0}
        planned = PlannedRun(config, labels)
        run = train(config, tmp_path_factory.mktemp("run"), n_threads=1, progress=False)
        return run, row_of(run, planned) | observe(run, planned)

    def committee(alpha, n_steps):
        config = committee_config(0, alpha, n_steps, dimension=30, n_train=170)
        return observed(config, "committee", 1.0, alpha)

    def addition(init_scale, output_scale, n_steps):
        config = addition_config(0, init_scale, output_scale, n_steps)
        return observed(config, "addition", init_scale, output_scale)

    return {
        "rich": committee(0.1, 100),
        "between": committee(1.0, 500),
        "lazy": committee(20.0, 2500),
        "small weights": addition(0.3, 1.0, 600),
        "large weights": addition(1.0, 1.0, 400),
    }


def test_a_rich_network_generalizes_with_its_fit_and_a_lazy_one_does_not(tiny_runs):
    rich, lazy = (tiny_runs[name][1] for name in ("rich", "lazy"))
    assert rich["fall_step"] <= 1.5 * rich["fit_step"]
    assert lazy["fit_step"] is not None and lazy["fall_step"] is None
    assert lazy["test_loss"] > 0.25 * lazy["max_test_loss"]


def test_kernel_and_weights_move_less_the_lazier_and_the_norm_grows(tiny_runs):
    rich, between, lazy = (tiny_runs[name][1] for name in ("rich", "between", "lazy"))
    for column in ("kernel_drift", "weight_movement", "norm_ratio"):
        assert rich[column] > between[column] > lazy[column], column
    gains = [row["last_alignment"] - row["first_alignment"] for row in (rich, lazy)]
    assert gains[0] > 0.1 and gains[0] > gains[1]
    assert between["norm_ratio_at_fall"] > 1.05


def test_laziness_switches_the_claims_off(tiny_runs):
    """With lazy runs in the places of the rich ones, and large first weights in those of small."""
    rows = {name: row for name, (_, row) in tiny_runs.items()}

    def found(rich, between, small):
        committee = {0.1: rich, 1.0: between, 5.0: "lazy", 20.0: "lazy"}
        cells = [{**rows[name], "output_scale": alpha} for alpha, name in committee.items()]
        for scales, name in {(0.3, 1.0): small, (1.0, 1.0): "large weights"}.items():
            cells.append({**rows[name], "init_scale": scales[0], "output_scale": scales[1]})
        cells.append({**cells[-1], "init_scale": 0.3, "output_scale": 10.0})
        return verdicts(pd.DataFrame([{**cell, "seed": s} for cell in cells for s in (0, 1)]))

    on = found("rich", "between", "small weights")
    # One run stands for alpha 5 and 20, so that the kernel does not fall strictly between them.
    assert on[KERNEL:] == ["inconclusive", "confirmed", "confirmed"]
    off = found("lazy", "lazy", "large weights")
    assert off[KERNEL:] == ["not confirmed", "inconclusive", "inconclusive"]


def test_a_run_with_classes_has_no_path_of_kernels(tiny_runs):
    from grokinterp.experiments.kumar2023.tangent_kernel import kernel_path

    with pytest.raises(ConfigError, match="regression"):
        kernel_path(tiny_runs["small weights"][0], n_points=5, n_checkpoints=2)

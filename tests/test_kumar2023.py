"""Lazy and rich networks: the kernel, the judge on planted tables, and tiny runs of both kinds."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from grokinterp.errors import ConfigError, FitError
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
from grokinterp.experiments.kumar2023.kernel_regression import KernelRegression
from grokinterp.experiments.kumar2023.observation import fall_step
from tests.tolerances import CHAINED64

pytestmark = pytest.mark.long

QUICK = Scale(is_quick=True)
DELAY, FLOOR, LIMIT, KERNEL, GROWTH, ADDITION = range(6)


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


# --- regression with a kernel ------------------------------------------------------------


def features(n_points, n_features=9):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n_points, n_features))
    return x, x @ generator.standard_normal(n_features) + generator.standard_normal(n_points)


@pytest.mark.parametrize("n_train", [6, 20], ids=["fits", "fewer features than points"])
def test_stopped_regression_is_gradient_descent_of_a_linear_model(n_train):
    x, y = features(n_train + 5)
    train, rate = x[:n_train], 0.02
    weights = np.zeros(x.shape[1])
    for _ in range(37):
        weights -= rate * train.T @ (train @ weights - y[:n_train])
    regression = KernelRegression.of(x @ x.T, y, n_train=n_train, rate=rate)
    errors = (x @ weights - y) ** 2
    assert regression.train_loss(37) == pytest.approx(errors[:n_train].mean(), **CHAINED64)
    assert regression.test_loss(37) == pytest.approx(errors[n_train:].mean(), **CHAINED64)
    assert regression.test_loss(38) != pytest.approx(errors[n_train:].mean(), rel=1e-3)
    fitted = x @ np.linalg.lstsq(train, y[:n_train], rcond=None)[0]
    limit = ((fitted - y) ** 2)[n_train:].mean()
    assert regression.test_loss(math.inf) == pytest.approx(limit, **CHAINED64)
    least = regression.least_test_loss()
    assert least <= min(limit, regression.test_loss(37), regression.test_loss(0))


def test_a_rate_that_diverges_is_refused():
    x, y = features(8)
    with pytest.raises(FitError, match="diverges"):
        KernelRegression.of(x @ x.T, y, n_train=6, rate=2 / np.linalg.norm(x, 2) ** 2 * 5)


# --- planted tables ---------------------------------------------------------------------

ALPHAS = (0.1, 1.0, 5.0, 20.0, 500.0)


def committee_row(alpha, seed, **changes):
    """As the paper has it: (steps of both falls, kernel drift, movement, end over kernel)."""
    law = {
        0.1: (40, 50, 1.6, 9.9, 0.01),
        1.0: (300, 480, 0.9, 3.0, 0.1),
        5.0: (1000, 4000, 0.3, 1.2, 0.3),
        20.0: (2300, None, 0.1, 0.4, 0.9),
    }
    train, test, drift, movement, ratio = law.get(alpha, (2300, None, 0.01, 0.04, 1.01))
    return {
        "arm": "committee",
        "init_scale": 1.0,
        "output_scale": alpha,
        "seed": seed,
        "last_step": 6000,
        "fit_step": None,
        "train_fall_step": train,
        "test_fall_step": test,
        "train_fall_step_at_20": train / 2,
        "test_fall_step_at_20": test,
        "train_fall_step_at_5": train,
        "test_fall_step_at_5": None,
        "first_test_loss": 0.75,
        "max_test_loss": 0.86,
        "test_loss": 0.5 * ratio,
        "kernel_loss": 0.5,
        "kernel_loss_limit": 0.51,
        "kernel_loss_least": 0.49,
        "norm_ratio": 1 + movement,
        "norm_ratio_at_fall": 1 + movement if test else None,
        "norm_growth_in_delay": 1 + movement / 2 if test else None,
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
        for alpha in ALPHAS
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
    assert [claim.verdict for claim in findings.claims] == ["confirmed"] * 6
    assert findings.verdict == "confirmed" and len(findings.charts) == 6
    assert findings.claims[DELAY].numbers["delay_alpha_5"] == 4.0
    assert findings.claims[FLOOR].numbers["ratio"] == pytest.approx(0.9)
    assert findings.claims[FLOOR].numbers["kernel_share"] == pytest.approx(0.5 / 0.75)
    # The sensitivity is a column, and judges nothing.
    late = findings.tables["committee"].set_index("output_scale")
    assert late["median_delay_at_20"][5.0] == 8.0 and late["median_delay_at_5"][5.0] == 6.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({0.1: {"test_fall_step": 200}}, "not confirmed"),
        ({0.1: {"test_fall_step": 80}}, "inconclusive"),
        ({5.0: {"test_fall_step": 1500}}, "inconclusive"),
        ({5.0: {"test_fall_step": None}}, "confirmed"),
        ({20.0: {"test_fall_step": 4000}}, "inconclusive"),
        ({1.0: {"test_fall_step": 3000}}, "inconclusive"),
        ({20.0: {"train_fall_step": None}}, "inconclusive"),
    ],
    ids=[
        "rich is late",
        "rich is a little late",
        "no delay between",
        "not by the last step is late",
        "the laziest falls sooner",
        "not rising",
        "lazy does not fit",
    ],
)
def test_delays_that_do_not_rise_with_laziness_are_not_confirmed(changes, expected):
    assert verdicts(planted(changes))[DELAY] == expected


@pytest.mark.parametrize(
    ("ratios", "floor", "limit"),
    [
        ({20.0: 0.6}, "not confirmed", "confirmed"),
        ({20.0: 0.75}, "inconclusive", "confirmed"),
        ({20.0: 1.6}, "not confirmed", "confirmed"),
        ({20.0: 1.1, 500.0: 1.2}, "confirmed", "inconclusive"),
        ({20.0: 0.6, 500.0: 0.75}, "not confirmed", "inconclusive"),
        ({20.0: 0.5, 500.0: 0.6}, "not confirmed", "not confirmed"),
        ({5.0: 1.0}, "confirmed", "not confirmed"),
    ],
    ids=[
        "far below",
        "a little below",
        "far above",
        "not nearer at the end",
        "nearer and not near",
        "far in the limit",
        "nearest where it is least lazy",
    ],
)
def test_the_lazy_end_is_judged_by_regression_with_the_first_kernel(ratios, floor, limit):
    table = planted({alpha: {"test_loss": 0.5 * ratio} for alpha, ratio in ratios.items()})
    assert verdicts(table)[FLOOR : LIMIT + 1] == [floor, limit]
    # The same ratios of another kernel: a level alone says nothing.
    table[["test_loss", "kernel_loss"]] *= 0.1
    assert verdicts(table)[FLOOR : LIMIT + 1] == [floor, limit]


def test_two_scales_are_too_few_for_a_limit():
    table = planted()
    assert verdicts(table[table["output_scale"] != 500.0])[LIMIT] == "inconclusive"
    assert verdicts(table[table["output_scale"] != 20.0])[FLOOR] == "inconclusive"


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({0.1: {"train_fall_step": 500, "test_fall_step": None, "last_step": 600}}, DELAY),
        ({20.0: {"test_loss": None}}, FLOOR),
        ({500.0: {"test_loss": None}}, LIMIT),
        ({20.0: {"kernel_drift": None, "weight_movement": None}}, KERNEL),
        ({0.1: {"first_alignment": None}}, KERNEL),
    ],
    ids=[
        "rich has not fallen",
        "no last test loss",
        "none in the limit",
        "no kernel when lazy",
        "no first alignment",
    ],
)
def test_what_was_not_measured_confirms_nothing(changes, claim):
    assert verdicts(planted(changes))[claim] == "inconclusive"


def test_a_run_that_never_fits_has_no_delay_and_does_not_shorten_the_median():
    table = planted({0.1: {"test_fall_step": 80}})
    table.loc[(table["output_scale"] == 0.1) & (table["seed"] > 0), "test_fall_step"] = 64
    is_unfit = (table["output_scale"] == 0.1) & (table["seed"] == 2)
    table.loc[is_unfit, ["train_fall_step", "test_fall_step"]] = None
    assert judge(table, QUICK).claims[DELAY].numbers["delay_alpha_0.1"] == pytest.approx(1.8)


def test_a_lower_bound_that_is_short_does_not_count_as_a_falling_delay():
    """At alpha 20 the runs lasted 1.4 times as long as fitting, at alpha 5 the delay is 4."""
    short = {20.0: {"train_fall_step": 4200}}
    assert verdicts(planted(short))[DELAY] == "confirmed"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({500.0: {"kernel_drift": 2.0}}, "not confirmed"),
        ({0.1: {"last_alignment": 0.04}}, "not confirmed"),
        ({1.0: {"kernel_drift": 0.2}}, "inconclusive"),
        ({0.1: {"last_alignment": 0.1}}, "inconclusive"),
    ],
    ids=["lazy drifts", "rich does not align", "not falling", "aligns little"],
)
def test_kernels_that_do_not_move_less_when_lazy_are_not_confirmed(changes, expected):
    found = verdicts(planted(changes))
    assert found[KERNEL] == expected and found[DELAY] == "confirmed"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({5.0: {"norm_growth_in_delay": 0.9}}, "not confirmed"),
        ({5.0: {"norm_growth_in_delay": 1.02}}, "inconclusive"),
        ({1.0: {"norm_growth_in_delay": 0.9}}, "confirmed"),
        ({1.0: {"norm_growth_in_delay": 0.9, "test_fall_step": 700}}, "not confirmed"),
        ({5.0: {"test_fall_step": None, "norm_growth_in_delay": None}}, "inconclusive"),
        ({5.0: {"test_fall_step": 1500}}, "inconclusive"),
    ],
    ids=[
        "shrinks in the delay",
        "hardly grows",
        "shrinks where there is no delay",
        "shrinks in a second delay",
        "not fallen",
        "no delay at all",
    ],
)
def test_the_norm_is_judged_where_there_is_a_delay(changes, expected):
    assert verdicts(planted(changes))[GROWTH] == expected


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
    assert verdicts(planted(n_seeds=1)) == ["inconclusive"] * 6
    assert verdicts(pd.DataFrame()) == ["inconclusive"] * 6


def test_a_delay_is_not_compared_with_one_that_is_not_over():
    """At alpha 5 the runs lasted 1.2 times as long as fitting; at alpha 0.1 the delay is 1.25."""
    short = {5.0: {"train_fall_step": 5000, "test_fall_step": None}}
    assert verdicts(planted(short))[DELAY] == "inconclusive"
    over = {5.0: {"train_fall_step": 5000, "test_fall_step": 5500}}
    assert verdicts(planted(over))[DELAY] == "not confirmed"


FOUND = {
    DELAY: (
        "at least three times as late",
        "were not seen to learn",
        "runs do not decide whether lazier",
    ),
    FLOOR: (
        "the network is so lazy",
        "does not end where a lazy one would",
        "20 is so lazy ",
    ),
    LIMIT: ("agree within a quarter", "do networks come to agree", "grows stays open"),
    KERNEL: ("less its weights and kernel moved", "did not move less", "move less stays open"),
    GROWTH: ("the weights grew", "did not always grow", "two falls stays open"),
    ADDITION: ("learned the rule late from small", "did not keep a network", "addition stays open"),
}
WORLDS = {
    "as the paper has it": planted(),
    "refuted": planted(
        {
            0.1: {"test_fall_step": 200, "weight_movement": 0.01},
            5.0: {"norm_growth_in_delay": 0.9},
            20.0: {"test_loss": 0.2},
            500.0: {"test_loss": 0.2},
        },
        {(1.0, 1.0): {"first_crossing_step": 900}},
    ),
    "one seed": planted(n_seeds=1),
}


@pytest.mark.parametrize("world", WORLDS)
def test_what_was_found_follows_every_verdict(world):
    findings = judge(WORLDS[world], QUICK)
    order = ("confirmed", "not confirmed", "inconclusive")
    expected = order[list(WORLDS).index(world)]
    for claim, words in FOUND.items():
        assert findings.claims[claim].verdict == expected, claim
        said = [text in findings.found for text in words]
        assert said == [expected == verdict for verdict in order], (claim, findings.found)
    assert "{" not in findings.found and findings.found.count(". ") <= 10


@pytest.mark.parametrize("is_quick", [True, False])
def test_the_plan_has_the_same_time_in_function_space_at_every_scale(is_quick):
    runs = plan(Scale(is_quick=is_quick))
    assert len({run.config.hash() for run in runs}) == len(runs) == (16 if is_quick else 55)
    rates = {
        round(run.config.optimizer.learning_rate * run.config.model.output_scale**2 / 150, 6)
        for run in runs
        if run.labels["arm"] == "committee"
    }
    assert rates == {8.0}


def test_a_loss_falls_after_its_largest_value_and_against_its_first():
    steps, losses = [0, 10, 20, 30, 40], [1.0, 0.05, 4.0, 0.3, 0.05]
    assert fall_step(steps, losses, 0.1) == 40
    # Against the largest it would have fallen at 30.
    assert fall_step(steps, losses, 0.4) == 30
    assert fall_step(steps, [1.0, math.nan, math.inf, 0.5, 0.2], 0.1) is None


def test_what_was_predicted_is_quoted_from_the_module():
    assert "stays near" in EXPERIMENT.prediction and "not by N" in EXPERIMENT.criterion
    assert EXPERIMENT.history is not None and "25 %" in EXPERIMENT.history


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
        if n_steps > 1000:
            config = dataclasses.replace(config, test_every=20, checkpoint_every=300)
        return observed(config, "committee", 1.0, alpha)

    def addition(init_scale, output_scale, n_steps):
        config = addition_config(0, init_scale, output_scale, n_steps)
        return observed(config, "addition", init_scale, output_scale)

    return {
        "rich": committee(0.1, 100),
        "between": committee(1.0, 700),
        "lazy": committee(20.0, 1200),
        "laziest": committee(10_000.0, 1500),
        "small weights": addition(0.3, 1.0, 600),
        "large weights": addition(1.0, 1.0, 400),
    }


def test_a_rich_network_generalizes_with_its_fit_and_a_lazy_one_does_not(tiny_runs):
    rich, lazy = (tiny_runs[name][1] for name in ("rich", "lazy"))
    delays = [
        row["test_fall_step"] / row["train_fall_step"] for row in (rich, tiny_runs["between"][1])
    ]
    assert 1 < delays[0] < 0.8 * delays[1]
    assert lazy["train_fall_step"] is not None and lazy["test_fall_step"] is None


def test_the_laziest_network_has_the_losses_of_regression_with_its_first_kernel(tiny_runs):
    from grokinterp.experiments.kumar2023.tangent_kernel import first_kernel_regression

    run, row = tiny_runs["laziest"]
    regression = first_kernel_regression(run)
    curves = run.curves.set_index("step")
    for step in (20, 1500):
        assert curves["train_loss"][step] == pytest.approx(regression.train_loss(step), rel=0.01)
        assert curves["test_loss"][step] == pytest.approx(regression.test_loss(step), rel=0.01)
    assert row["test_loss"] / row["kernel_loss"] == pytest.approx(1, abs=0.01)
    assert row["kernel_loss_least"] <= row["kernel_loss"] != row["kernel_loss_limit"]
    # Features that move take a network below what its first kernel gives.
    ratios = [
        tiny_runs[name][1]["test_loss"] / tiny_runs[name][1]["kernel_loss"]
        for name in ("rich", "between", "lazy")
    ]
    assert ratios[0] < ratios[1] < ratios[2] < 0.9


def test_a_run_that_does_not_follow_its_kernel_is_refused(tiny_runs):
    from grokinterp.experiments.kumar2023.tangent_kernel import first_kernel_regression

    run, _ = tiny_runs["rich"]
    decayed = dataclasses.replace(run.config.optimizer, weight_decay=0.1)
    uncentered = dataclasses.replace(run.config.model, is_centered=False)
    for part in ({"optimizer": decayed}, {"model": uncentered}, {"batch_size": 10}):
        other = dataclasses.replace(run, config=dataclasses.replace(run.config, **part))
        with pytest.raises(ConfigError, match="follows its kernel"):
            first_kernel_regression(other)


def test_kernel_and_weights_move_less_the_lazier_and_the_norm_grows(tiny_runs):
    rich, between, lazy = (tiny_runs[name][1] for name in ("rich", "between", "lazy"))
    for column in ("kernel_drift", "weight_movement", "norm_ratio"):
        assert rich[column] > between[column] > lazy[column], column
    gains = [row["last_alignment"] - row["first_alignment"] for row in (rich, lazy)]
    assert gains[0] > 0.1 and gains[0] > gains[1]
    assert between["norm_ratio_at_fall"] > 1.05
    assert 1 < between["norm_growth_in_delay"] < between["norm_ratio_at_fall"]


def test_laziness_switches_the_claims_off(tiny_runs):
    """With lazy runs in place of the rich ones, and large initial weights in those of small."""
    rows = {name: row for name, (_, row) in tiny_runs.items()}

    def found(rich, between, small):
        committee = {0.1: rich, 5.0: between, 20.0: "lazy", 10_000.0: "laziest"}
        cells = [{**rows[name], "output_scale": alpha} for alpha, name in committee.items()]
        for scales, name in {(0.3, 1.0): small, (1.0, 1.0): "large weights"}.items():
            cells.append({**rows[name], "init_scale": scales[0], "output_scale": scales[1]})
        cells.append({**cells[-1], "init_scale": 0.3, "output_scale": 10.0})
        return verdicts(pd.DataFrame([{**cell, "seed": s} for cell in cells for s in (0, 1)]))

    on = found("rich", "between", "small weights")
    assert on[LIMIT : GROWTH + 1] == ["confirmed"] * 3
    assert on[ADDITION] == "confirmed"
    off = found("laziest", "laziest", "large weights")
    assert off[LIMIT] == off[KERNEL] == "not confirmed"
    assert off[GROWTH] == off[ADDITION] == "inconclusive"


def test_a_run_with_classes_has_no_path_of_kernels(tiny_runs):
    from grokinterp.experiments.kumar2023.tangent_kernel import kernel_path

    with pytest.raises(ConfigError, match="regression"):
        kernel_path(tiny_runs["small weights"][0], n_points=5, n_checkpoints=2)

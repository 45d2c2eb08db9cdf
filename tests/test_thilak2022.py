"""Slingshots: the judge on planted tables, and tiny runs in which they come and go."""

import numpy as np
import pandas as pd
import pytest

from grokinterp.experiments import Scale
from grokinterp.experiments.thilak2022 import CONDITIONS, EXPERIMENT, config_of, observe, plan
from grokinterp.experiments.thilak2022.claims import judge

pytestmark = pytest.mark.long

QUICK = Scale(is_quick=True)
SPIKES, NORM, EPSILON, DECAY, GENERALIZATION, FLOAT64, ROUNDING = range(7)


def row(condition, seed=0, n_spikes=0, **changes):
    onsets = 1200 * (1 + np.arange(n_spikes))
    return {
        "condition": condition,
        "seed": seed,
        "last_step": 10_000,
        "diverged_at": None,
        "n_spikes": n_spikes,
        "spike_steps": " ".join(str(step) for step in onsets),
        "spike_losses": " ".join("0.5" for _ in onsets),
        "losses_before": " ".join("2e-8" for _ in onsets),
        "n_norm_cycles": n_spikes,
        "n_spikes_followed": n_spikes,
        "n_slingshots": n_spikes,
        "fourth_slingshot_step": 4800 if n_spikes > 3 else None,
        "norm_points": "0:5.000 10000:12.000",
        "growth_around": 2.0 if n_spikes else None,
        "growth_between": 0.2 if n_spikes else None,
        "best_unmirrored": 0.1,
        "unmirrored_crossing_step": None,
    } | changes


def planted(changes=None, n_seeds=3, without=()):
    """A table in which the paper is right in everything, with changes by condition."""
    as_predicted = {name: {} for name in CONDITIONS if name not in without}
    as_predicted["no weight decay"] = {
        "n_spikes": 7,
        "best_unmirrored": 0.99,
        "unmirrored_crossing_step": 6000,
    }
    rows = [
        row(name, seed, **({**cells, **(changes or {}).get(name, {})}))
        for name, cells in as_predicted.items()
        for seed in range(n_seeds)
    ]
    return pd.DataFrame(rows)


def verdicts(table):
    return [claim.verdict for claim in judge(table, QUICK).claims]


def test_a_world_as_the_paper_has_it_is_confirmed_in_every_claim():
    findings = judge(planted(), QUICK)
    assert [claim.verdict for claim in findings.claims] == ["confirmed"] * 7
    assert findings.verdict == "confirmed"
    assert findings.claims[SPIKES].numbers["median_period"] == 1200
    assert len(findings.charts[0].series[0].x) == 21 and len(findings.charts[0].series[1].x) == 0


def test_without_spikes_there_are_no_slingshots_and_nothing_to_remove():
    quiet = {"n_spikes": 0, "growth_around": None, "growth_between": None}
    found = verdicts(planted({"no weight decay": quiet}))
    assert found[SPIKES] == "inconclusive"
    silent = (NORM, EPSILON, DECAY, FLOAT64, ROUNDING)
    assert [found[i] for i in silent] == ["inconclusive"] * 5


def test_runs_that_diverged_are_not_runs_without_spikes():
    found = verdicts(planted({"epsilon 1e-5": {"diverged_at": 40, "last_step": 40}}))
    assert found[EPSILON] == "inconclusive" and found[GENERALIZATION] == "confirmed"
    found = verdicts(planted({"epsilon 1e-4": {"diverged_at": 40, "last_step": 40}}))
    assert found[EPSILON] == "confirmed" and found[GENERALIZATION] == "inconclusive"
    assert found[FLOAT64] == "confirmed"


@pytest.mark.parametrize(
    ("condition", "claim"),
    [("epsilon 1e-5", EPSILON), ("weight decay 0.01", DECAY), ("float64 loss", FLOAT64)],
)
def test_spikes_where_there_should_be_none_refute_that_claim_alone(condition, claim):
    found = verdicts(planted({condition: {"n_spikes": 3}}))
    assert found.pop(claim) == "not confirmed"
    assert found == ["confirmed"] * 6


def test_the_decay_is_that_of_the_paper_by_learning_rate_times_decay():
    """A stronger decay shows spikes or none: it is not the one that the claim is about."""
    found = verdicts(planted({"weight decay 0.1": {"n_spikes": 3}}))
    assert found == ["confirmed"] * 7
    paper = {"learning_rate": 1e-3, "weight_decay": 0.1}
    ours = config_of(0, 10, **CONDITIONS["weight decay 0.01"]).optimizer
    assert ours.learning_rate * ours.weight_decay == pytest.approx(
        paper["learning_rate"] * paper["weight_decay"]
    )


def test_one_spike_in_one_of_three_seeds_decides_nothing():
    table = planted()
    table.loc[table.index[table["condition"] == "epsilon 1e-5"][0], "n_spikes"] = 1
    assert verdicts(table)[EPSILON] == "inconclusive"


@pytest.mark.parametrize(
    ("n_slingshots", "expected"),
    [(7, "confirmed"), (5, "confirmed"), (4, "inconclusive"), (3, "inconclusive")]
    + [(2, "not confirmed"), (0, "not confirmed")],
)
def test_spikes_are_slingshots_where_most_go_with_a_cycle_of_the_norm(n_slingshots, expected):
    """Of seven spikes, two thirds are five and a third is three."""
    found = verdicts(planted({"no weight decay": {"n_slingshots": n_slingshots}}))
    assert found[NORM] == expected and found[SPIKES] == "confirmed"


def test_a_single_slingshot_is_no_cycle():
    one = {"n_slingshots": 1, "n_spikes_followed": 1}
    assert verdicts(planted({"no weight decay": one}))[NORM] == "inconclusive"


@pytest.mark.parametrize(
    ("losses", "expected"),
    [("2e-8 5e-8", "confirmed"), ("2e-8 1e-5", "inconclusive"), ("1e-5 3e-6", "not confirmed")],
)
def test_spikes_of_rounding_begin_below_the_spacing_of_float32(losses, expected):
    claim = judge(planted({"no weight decay": {"losses_before": losses}}), QUICK).claims[ROUNDING]
    assert claim.verdict == expected and not claim.is_main


def censored(**changes):
    return {"unmirrored_crossing_step": None, "best_unmirrored": 0.5} | changes


@pytest.mark.parametrize(
    ("case", "changes", "expected"),
    [
        ("not by the last step", {"no weight decay": censored()}, "inconclusive"),
        (
            "twenty slingshots and none has passed",
            {"no weight decay": censored(n_spikes=20)},
            "not confirmed",
        ),
        (
            "nineteen are not that many",
            {"no weight decay": censored(n_spikes=19)},
            "inconclusive",
        ),
        (
            "too few slingshots to be judged, though it passed",
            {"no weight decay": {"n_slingshots": 3}},
            "inconclusive",
        ),
        (
            "without slingshots as well",
            {name: {"unmirrored_crossing_step": 900} for name in ("epsilon 1e-4", "float64 loss")},
            "not confirmed",
        ),
        (
            "before the fourth slingshot",
            {"no weight decay": {"unmirrored_crossing_step": 4000}},
            "inconclusive",
        ),
    ],
)
def test_generalization_has_to_come_after_slingshots_and_with_them_alone(case, changes, expected):
    assert verdicts(planted(changes))[GENERALIZATION] == expected, case


def seeds(condition, n_with, changes, n_seeds=3):
    """The planted table, in which the first seeds of a condition are otherwise."""
    table = planted(n_seeds=n_seeds)
    rows = table.index[table["condition"] == condition][:n_with]
    for name, value in changes.items():
        table[name] = table[name].astype(object)
        table.loc[rows, name] = value
    return table


ONE_SPIKE = {"n_spikes": 1, "spike_steps": "1200", "spike_losses": "0.5"}


@pytest.mark.parametrize(
    ("n_seeds", "n_without", "expected"),
    [
        (2, 1, "confirmed"),
        (3, 1, "confirmed"),
        (3, 2, "inconclusive"),
        (3, 3, "inconclusive"),
        (4, 3, "inconclusive"),
    ],
)
def test_half_of_the_runs_with_slingshots_confirm_them_and_fewer_refute_nothing(
    n_seeds, n_without, expected
):
    assert verdicts(seeds("no weight decay", n_without, ONE_SPIKE, n_seeds))[SPIKES] == expected


@pytest.mark.parametrize(
    ("n_seeds", "n_not_by", "expected"),
    [(2, 1, "confirmed"), (3, 1, "confirmed"), (3, 2, "inconclusive"), (3, 3, "inconclusive")],
)
def test_half_that_generalize_after_a_spike_confirm_it_and_fewer_refute_nothing(
    n_seeds, n_not_by, expected
):
    table = seeds("no weight decay", n_not_by, censored(best_unmirrored=0.1), n_seeds)
    claim = judge(table, QUICK).claims[GENERALIZATION]
    assert claim.verdict == expected
    assert claim.numbers["n_generalized_after_slingshots"] == n_seeds - n_not_by


@pytest.mark.parametrize(
    ("n_quiet", "expected"),
    [(0, "confirmed"), (1, "inconclusive"), (2, "inconclusive"), (3, "not confirmed")],
)
def test_generalization_without_slingshots_refutes_their_part_in_it_from_half_on(n_quiet, expected):
    """Two conditions without slingshots and three seeds: six runs."""
    table = seeds("epsilon 1e-4", n_quiet, {"unmirrored_crossing_step": 900})
    assert verdicts(table)[GENERALIZATION] == expected


def test_one_seed_is_too_few_and_an_empty_table_too():
    assert verdicts(planted(n_seeds=1))[:6] == ["inconclusive"] * 6
    assert verdicts(pd.DataFrame()) == ["inconclusive"] * 7
    assert verdicts(planted(without=("float64 loss",)))[FLOAT64] == "inconclusive"


def test_a_table_read_back_from_a_file_is_judged_the_same(tmp_path):
    planted({"no weight decay": {"n_spikes": 1}}).to_csv(tmp_path / "runs.csv", index=False)
    table = planted({"no weight decay": {"n_spikes": 1}})
    assert verdicts(pd.read_csv(tmp_path / "runs.csv")) == verdicts(table)


@pytest.mark.parametrize("is_quick", [True, False])
def test_the_plan_varies_one_thing_at_a_time(is_quick):
    runs = plan(Scale(is_quick=is_quick))
    assert len(runs) == (8 if is_quick else 35)
    assert len({run.config.hash() for run in runs}) == len(runs)
    assert len(plan(Scale(is_quick=is_quick, n_seeds=1))) == (4 if is_quick else 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "again and again. Each time the weights"),
        ({"no weight decay": {"n_slingshots": 0}}, "do not grow in steps with it"),
        ({"weight decay 0.01": {"n_spikes": 2}}, "With the paper's weight decay, they still did"),
        ({"epsilon 1e-5": {"diverged_at": 9}}, "Whether a larger epsilon in Adam prevents this"),
        ({"no weight decay": censored(n_spikes=20)}, "Not even many such jumps"),
        ({"no weight decay": censored()}, "answer new examples stays open"),
        ({"float64 loss": {"unmirrored_crossing_step": 9}}, "Networks without such jumps came"),
        ({"no weight decay": {"n_spikes": 0}}, "too few sudden jumps"),
    ],
)
def test_what_was_found_follows_the_verdicts(changes, words):
    found = judge(planted(changes), QUICK).found
    assert words in found
    assert not changes or words not in judge(planted(), QUICK).found


def test_what_was_predicted_is_quoted_from_the_module():
    assert "factor 10 within" in EXPERIMENT.prediction and "not by N steps" in EXPERIMENT.criterion


# --- tiny runs: Adam's short second memory makes cycles of some 280 steps ----------------

TINY_SEEDS = {"no weight decay": 3, "epsilon 1e-5": 2, "float64 loss": 2}
"""Seeds of each condition: how much of a cycle lies near a spike differs from seed to seed, and
with the rounding of the processor."""


@pytest.fixture(scope="module")
def tiny_rows(tmp_path_factory):
    """Rows of the sweep at p = 13: 1,400 steps, enough for three spikes or more."""
    import dataclasses

    from jaxtyping import config as type_checks

    from grokinterp.training import train

    def observed(planned):
        config = dataclasses.replace(
            planned.config,
            task=dataclasses.replace(planned.config.task, p=13),
            model=dataclasses.replace(planned.config.model, d_mlp=64, biases="none"),
            optimizer=dataclasses.replace(planned.config.optimizer, betas=(0.9, 0.9)),
            n_steps=2000,
            test_every=40,
        )
        folder = tmp_path_factory.mktemp("run")
        # Shapes are checked by other tests, and take a quarter of the time.
        type_checks.update("jaxtyping_disable", True)
        try:
            run = train(config, folder, n_threads=1, progress=False)
        finally:
            type_checks.update("jaxtyping_disable", False)
        return {
            **planned.labels,
            "last_step": run.last_step,
            "diverged_at": run.diverged_at,
            **observe(run, planned),
        }

    wanted = {name: [] for name in TINY_SEEDS}
    for planned in plan(Scale(is_quick=True, n_seeds=3)):
        name = planned.labels["condition"]
        if planned.labels["seed"] < TINY_SEEDS.get(name, 0):
            wanted[name].append(observed(planned))
    return wanted


def tiny_verdicts(rows, **instead):
    """Verdicts on the tiny runs, some conditions exchanged."""
    cells = [{**row, "condition": name} for name in rows for row in rows[instead.get(name, name)]]
    return verdicts(pd.DataFrame(cells))


def rise_and_rest(rows):
    """Growth of the norm around the spikes and between them, in the median of the seeds."""
    return [np.median([row[f"growth_{where}"] for row in rows]) for where in ("around", "between")]


def test_slingshots_come_with_a_small_epsilon_and_a_float32_loss(tiny_rows):
    free = tiny_rows["no weight decay"]
    assert all(row["n_spikes"] >= 2 for row in free)
    around, between = rise_and_rest(free)
    # Cycles this short are half made of the 50 steps on either side of a spike.
    assert around > 2 * between
    found = tiny_verdicts(tiny_rows)
    assert [found[i] for i in (SPIKES, EPSILON, FLOAT64)] == ["confirmed"] * 3


@pytest.mark.parametrize("removed_by", ["epsilon 1e-5", "float64 loss"])
def test_slingshots_are_gone_when_either_is_taken_away(tiny_rows, removed_by):
    assert [row["n_spikes"] for row in tiny_rows[removed_by]] == [0, 0]
    switched_off = tiny_verdicts(tiny_rows, **{"no weight decay": removed_by})
    assert switched_off[SPIKES] == "inconclusive" and switched_off[NORM] == "inconclusive"


def test_a_network_that_knows_mirror_images_alone_has_not_generalized(tiny_rows):
    """At 75 % of the pairs its test accuracy is near .7; on the unmirrored pairs it is not."""
    for quiet in tiny_rows["epsilon 1e-5"]:
        assert quiet["unmirrored_crossing_step"] is None and quiet["best_unmirrored"] < 0.5

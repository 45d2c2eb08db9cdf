"""Norm of the weights: the judge on planted tables, and tiny runs with and without the effect."""

import dataclasses
import math

import pandas as pd
import pytest

from grokinterp.experiments import Scale
from grokinterp.experiments.omnigrok import (
    EXPERIMENT,
    addition_config,
    digits_config,
    observe,
    plan,
)
from grokinterp.experiments.omnigrok.claims import judge

pytestmark = pytest.mark.long

QUICK = Scale(is_quick=True)
LANDSCAPE, DELAY, CLAMP, CLOCK = range(4)


def row(arm, init_scale, seed, **changes):
    return {
        "arm": arm,
        "init_scale": init_scale,
        "seed": seed,
        "last_step": 8000,
        "diverged_at": None,
        "train_loss": 1e-3,
        "test_loss": 0.3,
        "test_accuracy": 0.91,
        "test_accuracy_unmirrored": None,
        "first_crossing_step": None,
        "grokking_time": 8000,
        "is_censored": True,
        "fit_step": 100,
        "crossing_80_step": 60,
        "crossing_85_step": 60,
        "accuracy_at_fit": 0.92,
        "first_norm": 21.5,
        "last_norm": 21.5,
        "curve_points": "0:0.1:0.1 100:1:0.92 8000:1:0.93",
    } | changes


def grokked(step):
    return {"first_crossing_step": step, "grokking_time": step, "is_censored": step is None}


def planted(n_seeds=3, **changes):
    """A table in which every claim holds, with changes by what they are about."""
    landscape = {0.3: (2.0, 2.1), 1.0: (0.4, 0.6), 2.0: (1e-3, 0.2), 8.0: (4e-4, 1.6)}
    landscape |= changes.get("landscape", {})
    large = {"crossing_85_step": 900, "accuracy_at_fit": 0.7} | changes.get("large", {})
    rate, decayed = changes.get("rate", 7.5), changes.get("decayed", grokked(700))
    rows = []
    for seed in range(n_seeds):
        for norm, (train, test) in landscape.items():
            rows.append(row("landscape", norm, seed, train_loss=train, test_loss=test))
        rows.append(row("large first weights", 1.0, seed, **changes.get("standard", {})))
        rows.append(row("large first weights", 8.0, seed, **large))
        for i, rho in enumerate((1.0, 1.1, 1.2, 1.3, 1.4)):
            # Scatter of a few per cent, since a fit without any is refused.
            time = round(110 * math.exp(rate * (rho - 1) + 0.05 * ((seed + 2 * i) % 3 - 1)))
            rows.append(row("norm held", rho, seed, **grokked(time)))
            if rho >= changes.get("censored_from", 9):
                rows[-1] |= grokked(None) | {"grokking_time": 8000}
        rows.append(row("weight decay", 1.0, seed, **decayed))
    return pd.DataFrame(rows)


def verdicts(table):
    return [claim.verdict for claim in judge(table, QUICK).claims]


def test_a_world_as_the_papers_have_it_is_confirmed_in_every_claim():
    findings = judge(planted(), QUICK)
    assert [claim.verdict for claim in findings.claims] == ["confirmed"] * 4
    assert findings.verdict == "confirmed"
    assert findings.claims[LANDSCAPE].numbers["best_norm"] == 2.0
    numbers = findings.claims[CLOCK].numbers
    assert numbers["rate_low"] < 7.5 < numbers["rate_high"]
    assert [chart.name for chart in findings.charts] == [
        "landscape",
        "large-first-weights",
        "time-against-norm",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({8.0: (4e-4, 0.1)}, "not confirmed"),
        ({8.0: (0.9, 1.6)}, "not confirmed"),
        ({8.0: (4e-4, 0.3)}, "inconclusive"),
        ({0.3: (0.005, 2.1), 8.0: (1e-5, 1.6)}, "inconclusive"),
    ],
    ids=["lowest at an end", "training loss rises again", "shallow", "no steep side"],
)
def test_losses_of_another_shape_are_no_l_and_u(changes, expected):
    found = verdicts(planted(landscape=changes))
    assert found[LANDSCAPE] == expected and found[DELAY:] == ["confirmed"] * 3


def test_a_free_norm_that_never_fits_shows_no_delay():
    unfit = grokked(None) | {"fit_step": None}
    assert verdicts(planted(decayed=unfit))[CLAMP] == "inconclusive"
    assert verdicts(planted(decayed=grokked(None)))[CLAMP] == "confirmed"


def test_a_loss_that_stopped_being_finite_counts_as_the_highest():
    table = planted()
    table.loc[(table["arm"] == "landscape") & (table["init_scale"] == 2.0), "diverged_at"] = 40
    assert verdicts(table)[LANDSCAPE] != "confirmed"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"large": {"crossing_85_step": 120}}, "not confirmed"),
        ({"large": {"crossing_85_step": 200}}, "inconclusive"),
        ({"large": {"crossing_85_step": None}}, "inconclusive"),
        ({"large": {"fit_step": None, "accuracy_at_fit": None}}, "inconclusive"),
        ({"standard": {"crossing_85_step": 950}}, "not confirmed"),
    ],
    ids=["no delay", "some delay", "not by the last step", "does not fit", "always a delay"],
)
def test_a_delay_of_large_first_weights_has_to_be_one_of_theirs_alone(changes, expected):
    assert verdicts(planted(**changes))[DELAY] == expected


def test_a_held_norm_that_delays_as_much_as_decay_refutes_the_paper():
    assert verdicts(planted(decayed=grokked(105)))[CLAMP] == "not confirmed"
    assert verdicts(planted(decayed=grokked(180)))[CLAMP] == "inconclusive"
    assert verdicts(planted(censored_from=1.0))[CLAMP] == "not confirmed"


def test_runs_that_ended_too_early_to_show_a_delay_show_none():
    """Held at norm 1 a run has not grokked: by 1.8 times T_fit, or by 80 times."""
    table = planted(censored_from=1.0)
    table.loc[table["arm"] == "norm held", "last_step"] = 180
    assert verdicts(table)[CLAMP] == "inconclusive"
    assert verdicts(planted(censored_from=1.0))[CLAMP] == "not confirmed"
    early = {"crossing_85_step": None, "last_step": 700}
    assert verdicts(planted(standard=early))[DELAY] == "inconclusive"
    assert verdicts(planted(standard=early | {"last_step": 1000}))[DELAY] == "not confirmed"


def test_times_that_do_not_depend_on_the_norm_refute_the_clock():
    assert verdicts(planted(rate=0.0))[CLOCK] == "not confirmed"


def test_runs_that_never_grok_do_not_tell_delayed_from_removed():
    late = planted(censored_from=1.2)
    claim = judge(late, QUICK).claims[CLOCK]
    assert claim.verdict == "inconclusive" and "not by step 8,000" in claim.sentence
    assert claim.numbers["n_high_grokked"] == 0 and claim.numbers["n_censored"] == 9
    assert verdicts(planted(censored_from=1.0))[CLOCK] == "inconclusive"


def test_one_seed_is_too_few_and_an_empty_table_too():
    assert verdicts(planted(n_seeds=1)) == ["inconclusive"] * 4
    assert verdicts(pd.DataFrame()) == ["inconclusive"] * 4


def test_squared_error_is_a_remark_beside_the_verdict():
    table = planted()
    others = table[table["arm"] == "landscape"].assign(arm="landscape mse", test_loss=0.1)
    late = pd.DataFrame(
        [
            row("large first weights mse", 8.0, seed, accuracy_at_fit=0.2, crossing_80_step=9000)
            for seed in (0, 1)
        ]
    )
    findings = judge(pd.concat([table, others, late]), QUICK)
    assert [claim.verdict for claim in findings.claims[4:]] == ["not confirmed", "confirmed"]
    assert findings.verdict == "confirmed"


@pytest.mark.parametrize("is_quick", [True, False])
def test_the_plan_has_no_run_twice_and_two_seeds_or_more(is_quick):
    runs = plan(Scale(is_quick=is_quick))
    assert len({run.config.hash() for run in runs}) == len(runs) == (22 if is_quick else 104)
    labels = pd.DataFrame([run.labels for run in runs])
    assert labels.groupby(["arm", "init_scale"]).size().min() >= 2


def test_what_was_predicted_is_quoted_from_the_module():
    assert "a partial grok" in EXPERIMENT.prediction and "not by N steps" in EXPERIMENT.criterion


# --- tiny runs --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_rows(tmp_path_factory):
    """Rows by name; digits with 60 neurons a layer."""
    pytest.importorskip("sklearn", reason="digits are scikit-learn's")
    from grokinterp.experiments import PlannedRun
    from grokinterp.experiments.run_table import row_of
    from grokinterp.training import train

    def observed(config, arm, init_scale):
        planned = PlannedRun(config, {"arm": arm, "init_scale": init_scale, "seed": 0})
        run = train(config, tmp_path_factory.mktemp("run"), n_threads=1, progress=False)
        return row_of(run, planned) | observe(run, planned)

    def digits(init_scale, n_steps, **changes):
        return digits_config(0, init_scale, n_steps, width=60, **changes)

    small = dataclasses.replace(addition_config(0, 1.0, 900, is_clamped=True), stop_patience=20)
    free = dataclasses.replace(
        small,
        optimizer=addition_config(0, 1.0, 900, is_clamped=False).optimizer,
        pressures=addition_config(0, 1.0, 900, is_clamped=False).pressures,
    )
    landscape = {
        f"norm {w:g}": observed(digits(w, 500, clamp_norm=True), "landscape", w)
        for w in (0.4, 2.0, 10.0)
    }
    return landscape | {
        "large": observed(digits(8.0, 1500, weight_decay=0.3), "large first weights", 8.0),
        "standard": observed(digits(1.0, 250, weight_decay=0.3), "large first weights", 1.0),
        "held": observed(small, "norm held", 1.0),
        "free": observed(free, "weight decay", 1.0),
    }


def tiny_verdicts(rows, **instead):
    """Verdicts on two seeds' worth of the same tiny runs, some exchanged for others."""
    changed = [
        {**rows[instead.get(name, name)], "arm": one["arm"], "init_scale": one["init_scale"]}
        for name, one in rows.items()
    ]
    return verdicts(pd.DataFrame([{**one, "seed": seed} for one in changed for seed in (0, 1)]))


def test_digits_have_the_l_and_the_u_and_large_first_weights_delay(tiny_rows):
    found = tiny_verdicts(tiny_rows)
    assert found[:3] == ["confirmed"] * 3
    assert tiny_rows["norm 2"]["last_norm"] == pytest.approx(tiny_rows["norm 2"]["first_norm"])


def test_with_standard_first_weights_there_is_no_delay(tiny_rows):
    assert tiny_rows["standard"]["crossing_85_step"] < tiny_rows["standard"]["fit_step"]
    assert tiny_verdicts(tiny_rows, large="standard")[DELAY] == "not confirmed"


def test_with_the_norm_let_go_the_delay_is_back(tiny_rows):
    assert tiny_rows["free"]["last_norm"] != pytest.approx(tiny_rows["free"]["first_norm"])
    assert tiny_verdicts(tiny_rows, held="free")[CLAMP] == "not confirmed"


def test_without_the_small_and_large_norms_there_is_no_u(tiny_rows):
    instead = {"norm_0.4": "norm 2", "norm_10": "norm 2"}
    swapped = {name.replace("_", " "): other for name, other in instead.items()}
    assert tiny_verdicts(tiny_rows, **swapped)[LANDSCAPE] == "not confirmed"

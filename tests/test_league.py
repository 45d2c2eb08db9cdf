"""The league on tables and run folders: nothing looks ahead, and own measures stand beside."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import grokinterp as gi
from grokinterp.circuits.key_frequencies import strongest_key_frequencies
from grokinterp.errors import ConfigError, FitError, RunFolderError
from grokinterp.leagues import BASELINES, curves_of_grid, league as league_function
from grokinterp.leagues.bank import SETTINGS, planned_settings
from grokinterp.leagues.league import _curves_of
from grokinterp.leagues.making import TRAJECTORY_FILE, planned_bank
from grokinterp.leagues.measuring import (
    LOOKING_AHEAD,
    measure_along,
    measured_steps,
    write_trajectory,
)
from grokinterp.leagues.tables import (
    BankTable,
    ending_of,
    read_table,
    shipped_table,
    table_of_folder,
    write_table,
)
from tests.foreign import DATA

pytestmark = pytest.mark.long  # Shipped tables are judged many times.

OTHERS = DATA / "league"
PLAIN = [one for one in gi.MEASURES if one.name in ("test_loss", "restricted_loss", "gini_W_E")]


def planted_table(n=12, n_steps=20):
    """Half of the configurations grok at step 1900; column `test_loss` falls 500 steps before."""
    steps = np.arange(n_steps) * 100
    runs, parts = [], []
    for row in range(n):
        groks = row < n // 2
        runs.append(
            {
                "run": f"hash{row}",
                "setting": f"setting {row // 2}" if groks else f"other {row // 2}",
                "ending": "groks" if groks else "cannot",
                "memorization_step": 200.0,
                "grokking_step": 1900.0 if groks else np.nan,
            }
        )
        loss = 3.0 + row + 5.0 * (steps >= 200)
        columns = {
            "test_loss": np.where(groks & (steps >= 1400), 0.5 * loss, loss),
            "spectral_entropy_logits": np.ones(n_steps),
            "excluded_loss_all": np.where(groks & (steps >= 1000), 1.0, np.nan),
            "restricted_loss_test": np.full(n_steps, np.nan),
        }
        parts.append(pd.DataFrame({"run": row, "step": steps, **columns}))
    trajectory = pd.concat(parts, ignore_index=True)
    curves = trajectory[["run", "step", "test_loss"]]
    return BankTable(pd.DataFrame(runs), trajectory, curves)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tiny runs with their measures, as a bank has them; neither groks."""
    place = tmp_path_factory.mktemp("bank")
    base = dataclasses.replace(
        gi.PRESETS["quick"],
        task=gi.TaskSpec(p=7, train_fraction=0.6),
        model=gi.ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=16),
        n_steps=6,
        checkpoint_every=2,
        test_every=2,
    )
    random = dataclasses.replace(base, task=gi.TaskSpec("random_labels", p=7, train_fraction=0.6))
    for run in gi.train_many([base, random], place, progress=False, n_threads=1):
        write_trajectory(
            measure_along(run, (*gi.MEASURES, *BASELINES)), run.folder / TRAJECTORY_FILE
        )
    return place


def test_the_bank_is_what_the_page_says():
    kinds = [setting.kind for setting, _ in planned_settings()]
    assert kinds.count("groks") >= 100
    assert kinds.count("cannot") + kinds.count("censored") >= 100
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    hashes = {setting.with_seed(seed).hash() for setting, seed in planned_settings()}
    assert len(hashes) == len(planned_settings())
    moduli = [setting.config.task.p for setting in SETTINGS]
    assert min(moduli) == 23 and max(moduli) == 59 and np.mean(np.array(moduli) <= 37) > 0.9


def test_every_addition_preset_up_to_59_is_in_the_bank_but_for_what_a_bank_needs():
    ours = [setting.config for setting in SETTINGS]
    free = {"checkpoint_every": 25, "stop_accuracy": 0.95, "stop_patience": 200}
    for preset in gi.PRESETS.values():
        task = preset.task
        if isinstance(task, gi.TaskSpec) and task.operation == "addition" and task.p <= 59:
            assert dataclasses.replace(preset, **free) in ours
    assert any(config.task.split_unit == "unordered_pairs" for config in ours)


def test_the_small_bank_is_part_of_the_whole_one():
    small, whole = planned_bank(is_small=True), planned_bank()
    assert len(small) == 40
    assert {one.config.hash() for one in small} <= {one.config.hash() for one in whole}


def test_steps_are_log_spaced_with_both_ends():
    chosen = measured_steps(range(0, 3001, 25))
    assert chosen[0] == 0 and chosen[-1] == 3000 and len(chosen) < 60
    late = np.array(chosen[chosen.index(400) if 400 in chosen else 15 : -1], float)
    assert (late[1:] / late[:-1]).max() < 1.2


def test_a_checkpoint_is_measured_with_its_own_keys(folder, monkeypatch):
    """The last checkpoint has other keys; they reach the columns that say so, and no others."""
    run = gi.load_run(table_run(folder, 0))
    last = run.steps[-1]

    def planted(snapshot):
        return gi.KeyFrequencies.given(7, [1] if snapshot.step == last else [2, 3])

    monkeypatch.setattr("grokinterp.leagues.measuring.strongest_key_frequencies", planted)
    whole = measure_along(run, PLAIN, steps=run.steps)
    restricted = next(one for one in PLAIN if one.name == "restricted_loss")
    for row in whole.to_dict(orient="records"):
        snapshot = gi.take_snapshot(run, int(row["step"]))
        own = restricted.values(snapshot, planted(snapshot))
        ahead = restricted.values(snapshot, gi.KeyFrequencies.given(7, [1]))
        assert {column: row[column] for column in own} == own
        assert {column: row[column + LOOKING_AHEAD] for column in ahead} == ahead
        assert (own == ahead) == (row["step"] == last)


def test_keys_are_found_whatever_the_accuracy_is(folder):
    """The rule of the library asks for a network that generalizes; this one must not know."""
    run = gi.load_run(table_run(folder, 0))
    snapshot = gi.take_snapshot(run)
    assert not gi.find_key_frequencies(snapshot).frequencies
    assert "not above" not in (strongest_key_frequencies(snapshot).reason or "")


def test_random_answers_are_seen_as_addition(folder):
    """Otherwise frequencies would have no value where false alarms must be counted."""
    table = table_of_folder(folder)
    row = table.runs.index[table.runs["ending"] == "cannot"][0]
    values = table.trajectory.loc[table.trajectory["run"] == row]
    for column in ("gini_W_E", "spectral_entropy_logits"):
        assert values[column].notna().all()


def table_run(folder, row):
    return folder / table_of_folder(folder).runs["run"][row]


def test_a_table_reads_back_as_it_was_written(folder, tmp_path):
    table = table_of_folder(folder)
    write_table(table, tmp_path / "bank.npz")
    again = read_table(tmp_path / "bank.npz")
    pd.testing.assert_frame_equal(again.trajectory, table.trajectory, check_dtype=False)
    np.testing.assert_allclose(again.curves["test_loss"], table.curves["test_loss"], rtol=1e-6)
    assert list(again.runs["run"]) == list(table.runs["run"])
    assert again.runs["config"][0] == table.runs["config"][0]
    assert set(table.runs["ending"]) == {"cannot", "censored"}


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "bank.npz").write_bytes(b"no table")
    with pytest.raises(RunFolderError, match="cannot be read as a table of runs"):
        read_table(tmp_path / "bank.npz")
    with pytest.raises(RunFolderError, match=f"has no run with a {TRAJECTORY_FILE}. Make a bank"):
        table_of_folder(tmp_path)


def test_the_planted_fall_is_found_and_divides_by_the_maximum_so_far(monkeypatch):
    module = sys.modules[_curves_of.__module__]
    monkeypatch.setattr(module, "shipped_table", planted_table)
    monkeypatch.setattr(module, "BASELINES", ())
    monkeypatch.setattr(module, "_ALWAYS", ())
    found = gi.league([m for m in gi.MEASURES if m.name == "test_loss"])
    ratio = found.table.loc["test_loss_over_maximum"]
    assert ratio["warned"] == 1.0 and ratio["lead"] == 500 and ratio["false_alarms_cannot"] == 0.0
    assert (ratio["falls"], ratio["rises"]) == (2, 0)
    assert "6 grok, 6 cannot grok" in repr(found)
    # The maximum so far, not that of the run: before memorization the ratio is 1 everywhere.
    curve = _curves_of(planted_table(), "test_loss_over_maximum")[0]
    assert (curve.values[:14] == 1.0).all()


def test_runs_without_delay_are_not_judged():
    table = planted_table()
    table.runs.loc[0, "ending"] = "no_delay"
    assert len(_curves_of(table, "test_loss")) == len(table.runs) - 1
    config = SETTINGS[0].with_seed(0)
    assert ending_of(config, "groks", "generalized_without_delay", 100) == "no_delay"
    assert ending_of(config, "groks", "grokked", 1000) == "groks"
    assert ending_of(config, "groks", "memorized", None) == "censored"
    assert ending_of(config, "cannot", "memorized", None) == "cannot"


def test_a_run_without_key_frequencies_is_one_without_an_alarm():
    """Left out, the false alarms of measures of keys would be counted where there are keys."""
    table = planted_table()
    curves = _curves_of(table, "excluded_loss_all")
    assert len(curves) == len(table.runs)
    found = gi.judge_curves({"excluded_loss_all": curves}).table.iloc[0]
    assert (found["n_groks"], found["n_cannot"]) == (6, 6)
    assert found["warned"] == 1.0 and found["lead"] == 900 and found["false_alarms_cannot"] == 0
    # Where there is no group the measure has no meaning, and the run is left out.
    table = planted_table()
    table.trajectory.loc[table.trajectory["run"] == 11, "spectral_entropy_logits"] = np.nan
    assert len(_curves_of(table, "excluded_loss_all")) == len(table.runs) - 1


def test_own_measures_stand_beside_those_of_the_same_runs(folder):
    def largest_logit(snapshot, key_frequencies):
        return snapshot.logits.max()

    found = league_function([largest_logit], runs=folder)
    assert "largest_logit" in found.reasons and len(found.runs) == 2
    assert "test_loss" in found.reasons


def test_a_measure_without_weights_is_refused_with_the_command():
    def mine(snapshot, key_frequencies):
        return 0.0

    with pytest.raises(ConfigError, match="mine is not in the shipped tables") as raised:
        gi.league([mine])
    assert "python -m grokinterp.league make bank/ --small" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"runs": "nowhere/"}, "runs='nowhere/' is no folder"),
        ({"most_false_alarms": 5}, r"most_false_alarms=5 is outside \[0, 1\)"),
        ({"directions": {"test_loss": 0}}, "Use 1 for a measure that rises"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(options, fact):
    with pytest.raises(ConfigError, match=fact):
        gi.league(gi.MEASURES, **options)


def test_the_shipped_tables_answer_for_every_column_of_the_library():
    found = gi.league(gi.MEASURES)
    columns = {column for one in gi.MEASURES for column in one.columns}
    judged = set(found.table.index) | set(found.reasons)
    assert columns <= judged
    assert {"test_loss_over_maximum", "median_log_probability", "spectral_entropy_W_E"} <= judged
    assert all(name.endswith(LOOKING_AHEAD) for name in found.looking_ahead.index)
    table = shipped_table()
    assert found.table["n_groks"].max() <= (table.runs["ending"] == "groks").sum()
    assert {"train_loss", "test_loss", "train_accuracy", "test_accuracy"} <= set(table.curves)


def test_the_shipped_table_is_small_and_of_runs_of_the_bank():
    import grokinterp.leagues

    file = Path(grokinterp.leagues.__file__).with_name("bank.npz")
    assert file.stat().st_size <= 10e6
    planned = {setting.with_seed(seed).hash() for setting, seed in planned_settings()}
    assert set(shipped_table().runs["run"]) <= planned


def test_the_figure_draws_what_the_table_has():
    found = gi.league(gi.MEASURES)
    figure = found.plot()
    names = [trace.name for trace in figure.data]
    assert names[0] == "grokking runs warned" and any("lead" in name for name in names)
    assert list(figure.data[0].y)[-1] == found.table.index[0]
    assert list(figure.data[0].x)[-1] == found.table["warned"].iloc[0]


def test_a_league_without_rows_has_no_figure(folder):
    with pytest.raises(FitError, match="no measure could be judged: it has"):
        gi.league(gi.MEASURES, runs=folder).plot()


@pytest.mark.skipif(not OTHERS.is_dir(), reason="no data of others on this machine")
@pytest.mark.parametrize(
    ("grid", "n_groks", "n_runs"), [("grokfss", 711, 840), ("tfgrok", 254, 276)]
)
def test_data_of_others_are_judged_without_tuning(grid, n_groks, n_runs):
    found = gi.judge_curves(curves_of_grid(OTHERS / grid))
    assert (found.runs["ending"] == "groks").sum() == n_groks
    assert len(found.runs) == n_runs
    assert (found.table["n_groks"] == n_groks).all()
    # Test loss over its maximum is hard to beat, as the Gini of W_E and the norm are not.
    ratio = found.table.loc["test_loss_over_maximum", "warned"]
    assert ratio > found.table.loc["gini_W_E", "warned"] + 0.2
    assert ratio > found.table.loc["weight_norm", "warned"] + 0.2


def test_a_folder_without_a_grid_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="has no .npz file of runs"):
        curves_of_grid(tmp_path)
    np.savez(tmp_path / "one.npz", steps=np.arange(3))
    with pytest.raises(RunFolderError, match="cannot be read as runs .KeyError."):
        curves_of_grid(tmp_path)


def test_the_command_writes_the_table_of_a_folder(folder, tmp_path):
    words = ["table", str(folder), "--out", str(tmp_path / "t.npz")]
    result = subprocess.run(
        [sys.executable, "-m", "grokinterp.league", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("2 runs (0 groks, 1 cannot, 1 censored)")
    assert len(read_table(tmp_path / "t.npz").runs) == 2

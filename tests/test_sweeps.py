"""Sweeps: what is trained, where, how often, and what is left when something goes wrong."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from grokinterp.errors import ConfigError
from grokinterp.experiments import PlannedRun, Scale
from grokinterp.experiments.experiment import STANDARD_COLUMNS
from grokinterp.experiments.run_table import row_of
from grokinterp.experiments.sweep import run_sweep, write_table
from grokinterp.experiments.sweep.bundles import bundles_of
from grokinterp.experiments.sweep.run_task import RunTask
from grokinterp.training import kernel_choice, train, train_many
from tests import toy_experiment as toy

ROOT = Path(__file__).resolve().parents[1]


def sweep(planned, store, experiment=toy.EXPERIMENT, **named):
    return run_sweep(planned, store, experiment=experiment, progress=False, **{"n_jobs": 1} | named)


def assert_same_tables(one, other):
    """Bit for bit."""
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def written(store):
    """What training wrote, and when."""
    return {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.suffix in (".csv", ".json")}


@pytest.fixture(scope="module")
def planned():
    return toy.plan(Scale(is_quick=True, n_seeds=2))


@pytest.fixture(scope="module")
def swept(planned, tmp_path_factory):
    """The toy's plan, run in this process, with its store."""
    store = tmp_path_factory.mktemp("sweep") / "runs"
    return store, sweep(planned, store, table_file=store.parent / "runs.csv")


def test_a_row_has_the_labels_the_standard_columns_and_the_observations(swept, planned):
    table = swept[1].table
    labels = list(planned[0].labels)
    assert list(table.columns) == [*labels, *STANDARD_COLUMNS, "embedding_norm", "absent"]
    assert list(table["run"]) == [one.config.hash() for one in planned]
    assert (swept[0] / table["run"][0] / "checkpoints" / "index.csv").exists()


def test_a_run_that_never_generalized_stays_in_the_table_as_censored(swept):
    table = swept[1].table
    assert table["is_censored"].all() and (table["grokking_time"] == toy.N_STEPS).all()
    assert table["first_crossing_step"].isna().all()
    assert all(kind in ("memorized", "did_not_fit") for kind in table["outcome_kind"])


def test_a_run_that_generalized_has_the_steps_of_its_curves(tiny_run):
    row = row_of(tiny_run, PlannedRun(tiny_run.config, {"seed": 0}))
    tested = tiny_run.curves.dropna(subset=["test_accuracy"])
    above = {limit: tested["step"][tested["test_accuracy"] > limit] for limit in (0.95, 0.99)}
    for name, limit in (("first_crossing_step", 0.95), ("first_crossing_99", 0.99)):
        assert row[name] == (above[limit].iloc[0] if len(above[limit]) else None)
    assert row["is_censored"] is (len(above[0.95]) == 0)
    assert row["test_loss"] == tested["test_loss"].iloc[-1]
    assert row["max_test_loss"] == tested["test_loss"].max()


def test_mirrored_and_unmirrored_pairs_make_up_the_test_accuracy(tiny_run):
    row, split = row_of(tiny_run, PlannedRun(tiny_run.config, {})), tiny_run.split
    share = split.is_mirrored[split.test].mean()
    mixed = share * row["test_accuracy_mirrored"] + (1 - share) * row["test_accuracy_unmirrored"]
    assert mixed == pytest.approx(row["test_accuracy"])
    assert 0 < share < 1


def test_a_regression_has_a_row_without_accuracies(tmp_path):
    from grokinterp.models import MlpSpec
    from grokinterp.runs import TrainConfig
    from grokinterp.tasks import PolynomialSpec

    config = TrainConfig(
        task=PolynomialSpec(n_train=20, n_test=10),
        model=MlpSpec(widths=(8,)),
        loss="mse",
        n_steps=5,
    )
    found = sweep(
        [PlannedRun(config, {"alpha": 1.0})],
        tmp_path,
        dataclasses.replace(toy.EXPERIMENT, observe=None),
    )
    row = found.table.iloc[0]
    assert not found.failures and row["train_loss"] > 0 and row["last_step"] == 5
    for name in ("is_censored", "grokking_time", "test_accuracy", "test_accuracy_unmirrored"):
        assert pd.isna(row[name])
    assert "no accuracy" in row["outcome"]


def test_nothing_is_trained_or_observed_twice(swept, planned, monkeypatch):
    store, before = swept
    files = written(store)

    def observe(run, planned):
        raise AssertionError("this was observed before")

    again = sweep(planned, store, dataclasses.replace(toy.EXPERIMENT, observe=observe))
    assert not again.failures and written(store) == files
    assert_same_tables(again.table, before.table)


def test_a_new_version_of_the_observation_is_observed_again(swept, planned):
    newer = dataclasses.replace(
        toy.EXPERIMENT, observe=lambda run, planned: {"answer": 42}, observe_version=2, name="other"
    )
    store, _ = swept
    assert list(sweep(planned[:1], store, newer).table["answer"]) == [42]
    newest = dataclasses.replace(
        newer, observe=lambda run, planned: {"answer": 43}, observe_version=3
    )
    assert list(sweep(planned[:1], store, newest).table["answer"]) == [43]


def test_a_config_that_is_planned_twice_is_trained_once_and_has_two_rows(swept, planned):
    twin = PlannedRun(planned[0].config, {**planned[0].labels, "seed": 77})
    table = sweep([planned[0], twin], swept[0]).table
    assert list(table["seed"]) == [0, 77] and table["run"].nunique() == 1


def test_rows_of_one_config_are_each_observed_with_their_own_labels(planned, tmp_path):
    seen = []

    def observe(run, planned):
        seen.append(planned.labels["seed"])
        return {"observed_seed": planned.labels["seed"]}

    question = dataclasses.replace(toy.EXPERIMENT, observe=observe)
    twin = PlannedRun(planned[0].config, {**planned[0].labels, "seed": 77})
    for _ in range(2):
        assert list(sweep([planned[0], twin], tmp_path, question).table["observed_seed"]) == [0, 77]
    assert seen == [0, 77]
    kept = next((tmp_path / twin.config.hash() / "observations").glob("toy.json"))
    kept.write_text('{"observe_version": 1}')
    assert list(sweep([planned[0]], tmp_path, question).table["observed_seed"]) == [0]


def test_a_child_starts_from_its_parent_which_is_trained_first_and_has_no_row(tmp_path):
    parent = toy.planned(1e-2, seed=5, n_steps=30).config
    child = toy.planned(1e-2, seed=5, n_steps=20, parent=parent)
    other = toy.planned(1e-2, seed=6, n_steps=200)
    result = sweep([other, child], tmp_path)
    assert list(result.table["run"]) == [other.config.hash(), child.config.hash()]
    from grokinterp.runs.stored_run import load_run

    first = load_run(tmp_path / child.config.hash()).curves["train_loss"].iloc[0]
    assert first == load_run(tmp_path / parent.hash()).curves["train_loss"].iloc[-1]


def test_a_failing_run_is_listed_with_its_reason_and_its_children_too(swept, planned, tmp_path):
    blocked = toy.planned(1e-2, seed=8, n_steps=30)
    child = toy.planned(1e-3, seed=8, n_steps=20, parent=blocked.config)
    (tmp_path / blocked.config.hash()).mkdir()
    (tmp_path / blocked.config.hash() / "notes.txt").write_text("something else")
    fine = toy.planned(1e-2, seed=9, n_steps=10)
    result = sweep([blocked, fine, child], tmp_path)
    assert list(result.table["seed"]) == [9]
    name = blocked.config.hash()
    first, second = result.failures
    assert (first.run, second.run) == (name, child.config.hash())
    assert name in first.reason and first.labels["learning_rate"] == 1e-2
    assert second.reason == f"the run {name} that it starts from failed: {first.reason}"


def test_a_bug_in_an_observation_loses_no_other_run(planned, tmp_path):
    def observe(run, planned):
        return {"inverse": 1 / planned.labels["seed"]}

    result = sweep(planned[:2], tmp_path, dataclasses.replace(toy.EXPERIMENT, observe=observe))
    assert list(result.table["inverse"]) == [1.0]
    assert "ZeroDivisionError: division by zero (test_sweeps.py" in result.failures[0].reason


def test_runs_csv_grows_and_ends_in_the_order_of_the_plan(swept, planned, tmp_path, monkeypatch):
    from grokinterp.experiments.sweep import sweep as sweep_module

    sizes = []

    def keep(table, file):
        sizes.append(list(table["seed"]))
        write_table(table, file)

    monkeypatch.setattr(sweep_module, "write_table", keep)
    long = toy.planned(1e-2, seed=3, n_steps=200)
    table = sweep([*planned[:2], long], swept[0], table_file=tmp_path / "runs.csv").table
    # The longest run first, whatever its place in the plan.
    assert sizes == [[3], [0, 3], [0, 1, 3]]
    text = (tmp_path / "runs.csv").read_text()
    back = pd.read_csv(tmp_path / "runs.csv")
    assert list(back["train_loss"]) == list(table["train_loss"])
    assert ",120,120,50," in text and "nan" not in text.lower()


@pytest.fixture
def torch_alone(monkeypatch):
    """As where numba is not installed: with it every network has a step of its own."""
    monkeypatch.setattr(kernel_choice, "has_numba", lambda: False)


@pytest.mark.usefixtures("torch_alone")
def test_a_batched_sweep_has_the_bits_of_the_batch_whoever_shares_it(planned, swept, tmp_path):
    """Its rows differ by rounding from those of the others, and not among each other."""
    alone = pd.concat(
        [sweep([one], tmp_path / f"{i}", batched=True).table for i, one in enumerate(planned)],
        ignore_index=True,
    )
    together = sweep(planned, tmp_path / "together", batched=True).table
    assert_same_tables(together, alone)
    plain = swept[1].table  # with the same step alone where numba is not there, or with kernels
    assert not together["train_loss"].equals(plain["train_loss"])
    together_loss, plain_loss = together["train_loss"], plain["train_loss"]
    assert together_loss.to_numpy() == pytest.approx(plain_loss.to_numpy(), rel=0.05)
    for name in planned:
        assert ways_of(tmp_path / "together")[name.config.hash()].endswith("many at once")


def ways_of(store):
    """The way in which each run was begun, and that nobody went on with it in another."""
    environments = {file.parent.name: json.loads(file.read_text()) for file in environment(store)}
    assert not any("resumed_with" in one for one in environments.values())
    return {name: one["training_step"] for name, one in environments.items()}


def environment(store):
    return store.glob("*/environment.json")


@pytest.mark.usefixtures("torch_alone")
@pytest.mark.parametrize("begun_batched", [False, True])
def test_a_run_is_finished_in_the_way_in_which_it_was_begun(begun_batched, planned, tmp_path):
    """As if the sweep had been stopped, and started again with the other choice."""
    configs = [one.config for one in planned]
    short = dataclasses.replace(configs[0], n_steps=40)
    begun = tmp_path / configs[0].hash()
    if begun_batched:
        train_many([short], tmp_path / "short", n_threads=1, progress=False)
        shutil.move(tmp_path / "short" / short.hash(), begun)
    else:
        train(short, begun, n_threads=1, progress=False)
    result = sweep(planned, tmp_path, batched=not begun_batched)
    assert not result.failures and result.table["last_step"].eq(toy.N_STEPS).all()
    is_batched = {name: way.endswith("many at once") for name, way in ways_of(tmp_path).items()}
    assert is_batched.pop(configs[0].hash()) is begun_batched
    assert set(is_batched.values()) == {not begun_batched}


def test_a_sweep_whose_runs_were_all_begun_one_by_one_is_read_with_batched_too(planned, swept):
    again = sweep(planned, swept[0], batched=True)
    assert not again.failures
    assert_same_tables(swept[1].table, again.table)


def test_what_fails_in_a_batch_fails_alone_with_its_reason(planned, tmp_path):
    foreign = tmp_path / planned[1].config.hash()
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("precious")
    result = sweep(planned, tmp_path, batched=True)
    assert len(result.table) == len(planned) - 1
    assert [failure.run for failure in result.failures] == [foreign.name]
    assert "holds no run of grokinterp" in result.failures[0].reason


def test_bundles_share_what_can_be_batched_equally_and_leave_the_rest_alone(tmp_path):
    def task(seed, batched=True, **changes):
        one = toy.planned(1e-2, seed, **changes)
        return RunTask(one.config, ((seed, one),), tmp_path, "toy", None, 1, batched)

    alike = [task(seed) for seed in range(20)]
    deep = task(20, model=dataclasses.replace(alike[0].config.model, n_layers=2))
    other = task(21, batched=False)
    sizes = [len(bundle) for bundle in bundles_of([*alike, deep, other], n_workers=2)]
    assert sizes == [5, 5, 5, 5, 1, 1]
    found = [one.config for bundle in bundles_of([*alike, deep], 3) for one in bundle]
    assert len(found) == 21 and {one.hash() for one in found} == {
        one.config.hash() for one in [*alike, deep]
    }
    assert [len(bundle) for bundle in bundles_of(alike[:2], n_workers=4)] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_jobs": 0}, "jobs=0 is not allowed"),
        ({"backend": "dask"}, "needs a scheduler"),
        ({"scheduler": "tcp://a:1"}, "does not go with loky"),
        ({"backend": "dask", "scheduler": "tcp://127.0.0.1:9"}, "cannot be reached: Conn"),
        ({"backend": "dask", "scheduler": "nowhere"}, "missing port number"),
    ],
)
def test_workers_that_are_not_to_be_had_are_refused_at_once(planned, tmp_path, changes, message):
    start = time.monotonic()
    with pytest.raises(ConfigError, match=message) as caught:
        sweep(planned, tmp_path / "new", **changes)
    assert "\n" not in str(caught.value) and time.monotonic() - start < 10
    assert not (tmp_path / "new").exists()


def test_labels_must_be_the_same_for_all_and_no_column_of_every_run(planned, tmp_path):
    with pytest.raises(ConfigError, match="different labels"):
        sweep([planned[0], PlannedRun(planned[1].config, {"seed": 1})], tmp_path)
    with pytest.raises(ConfigError, match="'test_loss' is a column of every run"):
        PlannedRun(planned[0].config, {"test_loss": 1})


KILLED = """
from tests import test_sweeps, toy_experiment as toy
if __name__ == "__main__":
    test_sweeps.sweep(test_sweeps.long_plan(), {store!r}, n_jobs=2)
"""


def long_plan():
    """A short run beside a long one, which is under way when the short one is finished."""
    return [toy.planned(1e-2, seed, n) for seed, n in ((0, 1200), (1, 40))]


def process_ids_of(folder):
    """Processes that hold a file of a folder open."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(folder) in str(place.readlink()):
                found.add(int(place.parts[2]))
        except OSError:
            continue
    return found


def has_ended(process_id):
    """Whether a process is gone, or dead and only not yet waited for.

    The list of a dying process's files is empty a moment before their locks are free.
    """
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to find the workers")
def test_a_killed_sweep_leaves_no_worker_and_goes_on_where_it_stopped(tmp_path):
    store, plan = tmp_path / "runs", long_plan()
    script = tmp_path / "killed.py"
    script.write_text(KILLED.format(store=str(store)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        finished = store / plan[1].config.hash() / "observations" / "toy.json"
        begun = store / plan[0].config.hash() / "checkpoints" / "step_00000040.safetensors"
        deadline = time.monotonic() + 90
        while not (finished.exists() and begun.exists()) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        workers = process_ids_of(store) - {process.pid}
        assert workers
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    finally:
        process.kill()
    before = finished.stat().st_mtime_ns
    assert not (store / plan[0].config.hash() / "observations").exists()
    deadline = time.monotonic() + 10
    while not all(map(has_ended, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(has_ended, workers)) and not process_ids_of(store)
    # Its worker ended because the sweep did, and not because the run was finished.
    curves = (store / plan[0].config.hash() / "curves.csv").read_text().splitlines()
    assert 20 < len(curves) < 1200  # it was written at step 20 at least
    again = sweep(plan, store)
    assert not again.failures and finished.stat().st_mtime_ns == before
    assert list(again.table["last_step"]) == [1200, 40]


@pytest.mark.faults
def test_processes_and_a_dask_cluster_give_the_same_bits_as_one_process(swept, planned, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")
    expected = swept[1].table
    processes = sweep(planned, tmp_path / "loky", n_jobs=2)
    assert not processes.failures
    assert_same_tables(processes.table, expected)
    batched = [sweep(planned, tmp_path / f"batched{n}", n_jobs=n, batched=True) for n in (1, 2)]
    assert_same_tables(batched[0].table, batched[1].table)
    two = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**two) as cluster:
        clustered = sweep(
            planned, tmp_path / "dask", backend="dask", scheduler=cluster.scheduler_address
        )
    assert not clustered.failures
    assert_same_tables(clustered.table, expected)
    hashes = {one.config.hash() for one in planned}
    assert {p.name for p in (tmp_path / "dask").iterdir()} == hashes


def die_or_finish(task):
    """A worker that is killed by the one run whose seed is 1."""
    from grokinterp.experiments.sweep.run_task import RunResult

    if task.planned[0][1].labels["seed"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return RunResult(task, {position: {"seed": 1} for position, _ in task.planned})


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_killed_process_costs_its_own_run_alone(planned, tmp_path, monkeypatch):
    from grokinterp.experiments.sweep import pool

    monkeypatch.setattr(pool, "finish_run_in_worker", die_or_finish)
    result = sweep(planned, tmp_path, n_jobs=2)
    assert len(result.table) == 2
    assert [failure.labels["seed"] for failure in result.failures] == [1, 1]
    assert "its process was killed (out of memory?)" in result.failures[0].reason

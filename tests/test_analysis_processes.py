"""Checkpoints measured in several processes: the same bits, and nothing lost when it ends early."""

import dataclasses
import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future

import pandas as pd
import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.measures import MEASURES
from grokinterp.runs.record import WeightsInMemory
from grokinterp.runs.run import Run
from grokinterp.trajectory import analyze_run, processes
from grokinterp.trajectory.processes import Work, choose_jobs, in_order

pytestmark = pytest.mark.long

KEYS = [1, 4]
P_113 = Work(258, 113**3, 4 * 113**2 * (113 + 512))
PLENTY = 64 * 2**30


def in_memory(run, **changes):
    """A run with some of its checkpoints and no folder, so that nothing is remembered."""
    by_step = {step: run.parameters(step) for step in run.steps[-6:]} | changes.get("weights", {})
    return dataclasses.replace(run, folder=None, checkpoints=WeightsInMemory(by_step))


@pytest.fixture(scope="module")
def broken_run(tiny_run):
    """Six checkpoints, one of which diverged."""
    step = tiny_run.steps[-4]
    weights = tiny_run.parameters(step)
    weights["unembed.W_U"] = torch.full_like(weights["unembed.W_U"], torch.nan)
    return in_memory(tiny_run, weights={step: weights}), step


def test_processes_give_the_bits_of_one_process(broken_run):
    run, step = broken_run

    def elsewhere(snapshot, key_frequencies):
        return float(os.getpid())

    one, two = (
        analyze_run(
            run, (*MEASURES, elsewhere), key_frequencies=KEYS, deep=False, n_jobs=n, progress=list
        )
        for n in (1, 2)
    )
    pids = set(two.trajectory.pop("elsewhere"))
    assert set(one.trajectory.pop("elsewhere")) == {os.getpid()} and os.getpid() not in pids
    pd.testing.assert_frame_equal(one.trajectory, two.trajectory, check_exact=True)
    pd.testing.assert_frame_equal(one.by_frequency, two.by_frequency, check_exact=True)
    assert list(one.failures) == [f"step {step}"] and one.failures == two.failures
    assert len(one.trajectory) == 5


def test_a_process_that_is_killed_leaves_the_rest_to_this_one(tiny_run, caplog, tmp_path):
    run = in_memory(tiny_run)

    def out_of_memory(snapshot, key_frequencies):
        if multiprocessing.current_process().name != "MainProcess":
            os._exit(1)
        return float(snapshot.step)

    found = analyze_run(run, (out_of_memory,), key_frequencies=KEYS, deep=False, n_jobs=2)
    assert found.trajectory["out_of_memory"].tolist() == list(run.steps)
    assert "a process was killed" in caplog.text and "The other 6 checkpoints" in caplog.text


def test_an_error_that_cannot_be_sent_back_is_not_called_a_killed_process(tiny_run, caplog):
    class OfTwoArguments(Exception):
        def __init__(self, fact, value):
            super().__init__(fact)

    def fails(snapshot, key_frequencies):
        raise OfTwoArguments("broken", 1)

    run = in_memory(tiny_run)
    with pytest.raises(OfTwoArguments, match="broken"):
        analyze_run(run, (fails,), key_frequencies=KEYS, deep=False, n_jobs=2)
    assert "cannot be read" in caplog.text and "killed" not in caplog.text


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks here")
def test_processes_never_see_ctrl_c_even_while_they_start():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with processes.open_processes(1) as pool:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        blocked = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert signal.SIGINT in blocked and signal.SIGINT not in before


def test_a_measure_that_cannot_be_sent_stays_in_one_process(tiny_run, caplog, monkeypatch):
    lock = threading.Lock()

    def locked(snapshot, key_frequencies):
        with lock:
            return 1.0

    def refuse(n_jobs):
        raise AssertionError("no process was wanted")

    monkeypatch.setattr("grokinterp.trajectory.measuring.open_processes", refuse)
    run = in_memory(tiny_run)
    found = analyze_run(run, (locked,), key_frequencies=KEYS, deep=False, n_jobs=2)
    assert found.trajectory["locked"].tolist() == [1.0] * 6
    assert "measured in one process: TypeError" in caplog.text
    with pytest.raises(AssertionError, match="no process was wanted"):
        analyze_run(run, MEASURES[:1], key_frequencies=KEYS, deep=False, n_jobs=2)


def test_networks_of_ones_own_stay_in_one_process(tiny_run, caplog):
    logits = {step: tiny_run.logits(step) for step in tiny_run.steps[-2:]}
    run = Run.from_logits(logits, task=tiny_run.task.spec, train_pairs=tiny_run.split.train)
    found = analyze_run(run, MEASURES[:1], key_frequencies=KEYS, deep=False, n_jobs=2)
    assert len(found.trajectory) == 2
    assert "a forward pass of their own" in caplog.text


def test_what_is_known_starts_no_process(tiny_run, tmp_path, monkeypatch):
    first = analyze_run(tiny_run, key_frequencies=KEYS, deep=False, cache_folder=tmp_path, n_jobs=1)
    monkeypatch.setattr("grokinterp.trajectory.measuring.in_order", lambda *of: map(known, of[3]))

    def known(task):
        assert not isinstance(task, tuple), "something was to be measured again"
        return task

    again = analyze_run(tiny_run, key_frequencies=KEYS, deep=False, cache_folder=tmp_path, n_jobs=2)
    pd.testing.assert_frame_equal(first.trajectory, again.trajectory, check_exact=True)
    with pytest.raises(AssertionError, match="measured again"):
        analyze_run(tiny_run, key_frequencies=[2], deep=False, cache_folder=tmp_path, n_jobs=2)


class FakePool:
    """Everything is finished at once, but for one task that is never."""

    def __init__(self, broken=None):
        self.broken, self.submitted = broken, []

    def submit(self, function, number):
        self.submitted.append(number)
        future = Future()
        if number == self.broken:
            future.set_exception(KeyboardInterrupt())
        else:
            future.set_result(function(number))
        return future


def test_results_come_in_order_and_few_tasks_are_begun_ahead():
    pool = FakePool()
    results = in_order(pool, 2, lambda x: 10 * x, iter([(1,), "done", (2,), *[(3,)] * 20]), print)
    assert [next(results) for _ in range(3)] == [10, "done", 20]
    assert len(pool.submitted) < 10
    assert list(results) == [30] * 20


def test_what_is_finished_is_kept_after_ctrl_c():
    kept = []
    tasks = iter([(number,) for number in range(6)])
    results = in_order(FakePool(broken=2), 2, lambda x: 10 * x, tasks, kept.append)
    found = []
    with pytest.raises(KeyboardInterrupt):
        for result in results:
            found.append(result)
    assert found == [0, 10] and kept == [30, 40, 50]


def test_an_error_loses_no_number_that_was_measured(tiny_run, tmp_path):
    run, seen = in_memory(tiny_run), []

    def fails(snapshot, key_frequencies):
        seen.append(snapshot.step)
        if len(seen) == 5:
            raise ValueError("this one")
        return 0.0

    of_keys = {"key_frequencies": KEYS, "deep": False, "cache_folder": tmp_path, "n_jobs": 1}
    with pytest.raises(ValueError, match="this one"):
        analyze_run(run, (MEASURES[0], fails), **of_keys)
    lines = (tmp_path / "cache.jsonl").read_text().splitlines()
    assert len(lines) == 5 and all("train_loss@" in line for line in lines)


@pytest.mark.parametrize(
    ("work", "n_threads", "n_bytes", "expected"),
    [
        (P_113, 2, PLENTY, 2),
        (P_113, 1, PLENTY, 1),
        (P_113, 8, PLENTY, 8),
        (P_113, 8, None, 1),
        (P_113, 2, 2**30, 1),
        (P_113, 4, 2 * 2**30, 2),
        (dataclasses.replace(P_113, n_checkpoints=100), 2, PLENTY, 1),
        (dataclasses.replace(P_113, n_checkpoints=0), 2, PLENTY, 1),
        (Work(258, 13**3, 4 * 13**2 * 141), 2, PLENTY, 1),
        (Work(2, 509**3, 4 * 509**2 * 1021), 8, PLENTY, 2),
        (Work(258, 509**3, 4 * 509**2 * 1021), 8, 8 * 2**30, 2),
    ],
)
def test_processes_are_chosen_by_work_threads_and_memory(work, n_threads, n_bytes, expected):
    assert choose_jobs(work, n_threads, n_bytes) == expected


def test_within_another_process_there_is_one(monkeypatch):
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: object())
    assert choose_jobs(P_113, 2, PLENTY) == 1


def test_a_number_of_processes_is_checked(tiny_run):
    for wrong in (0, -1, 257):
        with pytest.raises(ConfigError, match=f"n_jobs={wrong} is not allowed. Use 1 to 256."):
            analyze_run(tiny_run, n_jobs=wrong)


def test_the_log_says_how_many_processes_were_chosen(tiny_run, monkeypatch, caplog):
    seen = []
    monkeypatch.setattr(
        "grokinterp.trajectory.measuring.choose_jobs", lambda *_: seen.append(1) or 3
    )

    def measured(self, steps, n_jobs):
        assert n_jobs == 3
        return self.here(steps)

    monkeypatch.setattr("grokinterp.trajectory.measuring._Measuring.in_processes", measured)
    with caplog.at_level(logging.INFO, "grokinterp.trajectory"):
        analyze_run(in_memory(tiny_run), MEASURES[:2], key_frequencies=KEYS, deep=False)
    assert "6 checkpoints are measured in 3 processes" in caplog.text


def test_free_memory_is_a_part_of_all():
    n_bytes = processes.free_memory()
    assert n_bytes is None or 2**20 < n_bytes < 2**50

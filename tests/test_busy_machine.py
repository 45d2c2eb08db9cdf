"""Threads that wait for each other on a machine that other programs use."""

import subprocess
import sys

import pytest

from grokinterp.commands.waiting import SPIN_COUNT, wait_briefly
from grokinterp.training import loop
from grokinterp.training.pace import MUCH_SLOWER, N_STEPS, Pace


@pytest.mark.parametrize(
    ("variables", "spins"),
    [
        ({}, str(SPIN_COUNT)),
        ({"OMP_NUM_THREADS": "2"}, str(SPIN_COUNT)),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_waiting_is_brief_unless_the_user_has_chosen(variables, spins):
    wait_briefly(variables)
    assert variables.get("GOMP_SPINCOUNT") == spins


def test_a_command_sets_it_before_torch_is_loaded():
    program = """
import os, sys
os.environ.pop("GOMP_SPINCOUNT", None), os.environ.pop("OMP_WAIT_POLICY", None)
from grokinterp.commands.arguments import run_command
def main(arguments):
    print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
run_command(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == [str(SPIN_COUNT), "False"], done.stderr


def paced(*seconds_of_stretches):
    """A pace after stretches of steps that took so long each."""
    pace, now = Pace(), 0.0
    pace.step_ended(now)
    for seconds in seconds_of_stretches:
        for _ in range(N_STEPS):
            now += seconds
            pace.step_ended(now)
    return pace


@pytest.mark.parametrize(
    ("stretches", "slowdown"),
    [((), 1), ((0.01,), 1), ((0.01, 0.05), 5), ((0.05, 0.01), 1), ((0.01, 0.05, 0.01), 1)],
)
def test_a_stretch_of_steps_is_compared_with_the_fastest(stretches, slowdown):
    pace = paced(*stretches)
    assert pace.slowdown == pytest.approx(slowdown)
    assert pace.is_slowed_down == (slowdown >= MUCH_SLOWER)


def test_a_step_that_is_tested_or_saved_is_no_slowdown():
    pace, now = Pace(), 0.0
    for step in range(8 * N_STEPS):
        now += 1.0 if step > 4 * N_STEPS and step % 3 == 0 else 0.01
        pace.step_ended(now)
    assert pace.slowdown == pytest.approx(1)


@pytest.mark.parametrize(("n_threads", "remedy"), [(2, True), (1, False)])
def test_the_progress_bar_says_that_a_run_is_slowed_down(monkeypatch, n_threads, remedy):
    monkeypatch.setattr(loop.torch, "get_num_threads", lambda: n_threads)
    words = loop._slowdown(paced(0.01, 0.08))
    assert "busy machine, 8 times slower" in words
    assert ("2 threads wait for each other, 1 would not" in words) == remedy
    assert loop._slowdown(paced(0.01, 0.02)) == ""

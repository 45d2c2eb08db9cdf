"""The benchmark, in small: its cases, its processes, and the work that a step does, counted.

Seconds decide nothing here; what they came to on a real machine stands in docs/performance.md.
"""

import dataclasses
import json
import math
import subprocess
import sys
from typing import get_args

import pytest
import torch

from grokinterp.benchmarks import cases, more_parts, parts, processes, step_part
from grokinterp.benchmarks.all_cases import CASES
from grokinterp.benchmarks.goals import Goal
from grokinterp.benchmarks.noise import NOISY, NoiseMeter
from grokinterp.benchmarks.parts import one_core_busy, run_parts
from grokinterp.benchmarks.plan import PARTS, Plan
from grokinterp.benchmarks.step_part import STEP_GOALS
from grokinterp.commands.benchmark import Part, main
from grokinterp.models import ModelSpec
from grokinterp.runs.network import Network
from grokinterp.tasks import draw_split, task_of
from grokinterp.training.loop import batches_of
from grokinterp.training.optimizer import build_optimizer
from grokinterp.training.pair_table_step import PairTableEvaluation, PairTableStep
from grokinterp.training.step import AutogradStep
from tests.counted import CountedProducts

pytestmark = pytest.mark.long

SMALL = {"p": 7, "d_mlp": 16, "n_threads": 1}


def built(kind, config, side="train", **named):
    """A step or a test of the setting, at its initial weights."""
    split = draw_split(task_of(config.task))
    network = Network(config.model, split.task)
    parameters = {
        name: value.requires_grad_(network.is_trained(name))
        for name, value in network.initial_parameters().items()
    }
    of_what = network if kind is AutogradStep else config.model
    batch = batches_of(network, split, "cpu")[side]
    return kind(parameters, of_what, *batch, "float64", **named)


def test_a_step_at_p_113_multiplies_little_more_than_the_three_products_of_the_neurons():
    config = cases.setting_of(113, 512)
    spec = config.model
    assert isinstance(spec, ModelSpec)
    unavoidable = 3 * int(0.3 * 113**2) * spec.d_mlp * 113
    fast = built(PairTableStep, config, with_numba=False)
    with CountedProducts() as counted:
        fast.loss_and_gradients()
    assert unavoidable <= counted.n <= 1.25 * unavoidable
    general = built(AutogradStep, config)
    with CountedProducts() as of_autograd:
        general.loss_and_gradients()
    # More than 9 if it computed every position of its block, 4.1 if a's keys were each pair's own.
    assert 3.4 < of_autograd.n / counted.n < 3.8


def test_a_test_at_p_113_multiplies_little_more_than_the_one_product_of_the_neurons():
    config = cases.setting_of(113, 512)
    n_test = 113**2 - int(0.3 * 113**2)
    with CountedProducts() as counted:
        built(PairTableEvaluation, config, "test", with_numba=False).loss_and_accuracy()
    assert counted.n <= 1.15 * n_test * 512 * 113


@pytest.mark.parametrize("way", ["fast", "torch", "autograd"])
def test_every_way_of_a_step_is_timed(way):
    found = cases.training_step(n_steps=2, way=way, **SMALL)
    assert ("autograd" in found["name"]) == (way == "autograd")
    assert all(second > 0 for seconds in found["seconds"].values() for second in seconds)
    assert len(found["seconds"]["train"]) == 2


def test_the_ways_of_a_step_give_the_same_loss():
    config = cases.setting_of(13, 32)
    losses = [
        built(PairTableStep, config).loss_and_gradients().item(),
        built(PairTableStep, config, with_numba=False).loss_and_gradients().item(),
        built(AutogradStep, config).loss_and_gradients().item(),
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_measures_products_and_memory_are_numbers():
    measured = cases.standard_measures(n_rounds=1, **SMALL)
    assert measured["peak_mib"] > 50 and measured["cpu_seconds"] > 0
    products = cases.products(n_rounds=1, **SMALL)
    assert products["gflops"] > 0 and products["limit_seconds"] > 0
    assert cases.key_frequencies(**SMALL)["seconds"][0] > 0
    assert cases.training_memory(**SMALL)["peak_mib"] > 50
    assert cases.analysis_memory(deep=False, **SMALL)["seconds"] > 0


def test_a_case_in_a_process_of_its_own_returns_its_numbers():
    found = processes.run_case("training_step", n_steps=1, **SMALL)
    assert set(found["seconds"]) == {"train", "train_and_test"}


def test_a_case_that_fails_is_one_line_with_its_reason():
    with pytest.raises(processes.BenchmarkError, match="status 1: .*p=-3"):
        processes.run_case("training_step", p=-3, d_mlp=16, n_threads=1, n_steps=1)


def plan(*only, n_rounds=1, has_goals=False):
    return Plan(
        p=7,
        d_mlp=16,
        moduli=(5, 7),
        widths=(8, 16),
        large_p=11,
        largest_p=7,
        many=((5, 8, 2),),
        many_steps=2,
        on_device=((1, 4), (64, 4)),
        n_steps=2,
        n_rounds=n_rounds,
        n_threads=1,
        peer_python=sys.executable,
        only=only,
        has_goals=has_goals,
    )


@pytest.fixture
def in_this_process(monkeypatch):
    """Cases without a process each: that they have one is tested above."""

    def run_case(case, **setting):
        return CASES[case](**setting)

    for module in (parts, step_part, more_parts):
        monkeypatch.setattr(module, "run_case", run_case)


def test_a_part_prints_its_figures_and_writes_them(tmp_path, in_this_process):
    lines = []
    out = tmp_path / "figures.json"
    found = run_parts(plan("limit", "measures"), lines.append, out)
    assert "GFLOP/s" in lines[-3] and "by_frequency.csv" in "\n".join(lines)
    assert lines[-1].startswith("Noise: the same product took ")
    assert json.loads(out.read_text()) == json.loads(json.dumps(found))
    assert set(found) == {"plan", "machine", "measures", "limit", "noise"}
    assert len(found["noise"]["seconds"]) == 3


@pytest.mark.parametrize(
    ("goal", "by_round", "words"),
    [
        (Goal("a ratio", at_least=10.0), [10.5, 9.9, 11.0], "10.5 (9.9 to 11): not clear"),
        (Goal("a ratio", at_least=10.0), [10.5, 10.0, 11.0], "10.5 (10 to 11): met"),
        (Goal("a ratio", at_least=10.0), [9.5, 9.9, 9.0], "9.5 (9 to 9.9): not met"),
        (Goal("a time", at_most=150.0, unit="ms"), [150.0], "150 ms: 150 ms (one round): met"),
        (Goal("a time", at_most=150.0, unit="ms"), [1500.25], "1,500 ms (one round): not met"),
        (Goal("a ratio", at_most=1.3), [math.nan], "not met"),
    ],
)
def test_a_verdict_is_about_every_round(goal, by_round, words):
    assert goal.verdict(by_round).endswith(words) or words in goal.verdict(by_round)


def test_a_verdict_needs_a_round():
    with pytest.raises(ValueError, match="at least one round"):
        Goal("a ratio", at_least=10.0).verdict([])


def test_the_noise_of_the_machine_is_its_slowest_look_over_its_fastest():
    meter = NoiseMeter(1, side=8)
    meter.seconds = [0.010, 0.010 * (NOISY - 0.01)]
    assert "Something else ran" not in meter.in_words
    meter.seconds.append(0.020)
    assert meter.spread == pytest.approx(2)
    assert "10.0 to 20.0 ms in 3 looks, 2.00 times. Something else ran" in meter.in_words


def test_goals_are_judged_at_their_own_setting_alone(monkeypatch, in_this_process):
    monkeypatch.setattr(step_part, "has_peer", lambda python: False)
    monkeypatch.setattr(step_part, "has_numba", lambda: True)
    quick, full = [], []
    step_part.measure_step(plan(), quick.append)
    step_part.measure_step(plan(n_rounds=2, has_goals=True), full.append)
    assert not [line for line in quick if "goal:" in line]
    # Without TransformerLens there is nothing to compare with.
    (verdict,) = [line for line in full if "goal:" in line]
    assert STEP_GOALS["over_products"].figure in verdict and " to " in verdict


def test_a_busy_program_is_gone_when_its_part_ends(in_this_process):
    with one_core_busy() as program:
        assert program.poll() is None
    assert program.poll() is not None
    lines = []
    found = run_parts(plan("busy"), lines.append)
    assert len(found["busy"]["ratio_by_round"]) == 1 and "keeps one core busy" in "\n".join(lines)


def test_the_step_says_whom_it_is_compared_with(monkeypatch, in_this_process):
    monkeypatch.setattr(step_part, "has_peer", lambda python: False)
    lines = []
    run_parts(plan("step"), lines.append)
    text = "\n".join(lines)
    assert "the hooked model's autograd (no TransformerLens 3.x here)" in text
    assert "times the speed of" in text and "without --quick" in text


def test_the_time_of_the_canonical_run_is_that_of_its_own_step(monkeypatch):
    """A step of 60 ms in float64, one of 24 ms in float32, and a test that takes two steps."""

    def run_case(case, **setting):
        assert (case, setting["preset"]) == ("training_step", "nanda2023")
        return {"name": "a step", "seconds": {"train": [0.06], "train_and_test": [0.18]}}

    monkeypatch.setattr(parts, "run_case", run_case)
    lines = []
    found = {"step": {"torch": {"train": 24.0, "train_and_test": 72.0}}}
    parts._canonical(dataclasses.replace(plan("step"), p=113), found, lines.append)
    # 25,000 steps, and a test every ten.
    assert found["canonical_minutes"] == pytest.approx(1.2 * 25)
    assert found["p113_minutes"] == pytest.approx(1.2 * 10)
    assert lines == [
        "The canonical run (nanda2023, 25,000 steps in float64, 60.0 ms each): 30 min; in float32 "
        "(p113): 12 min"
    ]


def test_a_step_is_timed_in_the_precision_of_its_preset(monkeypatch):
    dtypes = []

    def build(spec, parameters):
        dtypes.append({value.dtype for value in parameters.values()})
        return build_optimizer(spec, parameters)

    monkeypatch.setattr(cases, "build_optimizer", build)
    for preset in ("nanda2023", "p113"):
        cases.training_step(n_steps=1, preset=preset, **SMALL)
    assert dtypes == [{torch.float64}, {torch.float32}]


def test_a_peer_that_cannot_run_the_loop_is_named(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(processes.BenchmarkError, match="status 3: no such module"):
        processes.result_of(processes.start_peer(str(broken), **SMALL))


def test_the_command_runs_the_parts_that_it_is_told(capsys, tmp_path):
    out = tmp_path / "figures.json"
    main(["--quick", "--only", "limit", "--n-threads", "1", "--out", str(out)])
    assert "three products that a step cannot avoid" in capsys.readouterr().out
    assert json.loads(out.read_text())["limit"]["gflops"] > 0


def test_two_processes_are_compared_with_one(in_this_process, monkeypatch):
    started = []
    monkeypatch.setattr(parts, "start_case", lambda *case, **setting: started.append(setting))
    monkeypatch.setattr(parts, "result_of", lambda none: cases.training_step(n_steps=2, **SMALL))
    lines = []
    assert run_parts(plan("processes"), lines.append)["processes"]["ratio"] > 0
    assert len(started) == 2 and "times the steps of one" in "\n".join(lines)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--only", "speed"], "speed"),
        (["--only"], "--only has no value. Give one or more of step, perceptron"),
        (["--rounds", "0"], "rounds=0"),
        (["--n-threads", "0"], "n_threads=0"),
        (["--peer-python", "no/such/python"], "no/such/python"),
        (["--quick", "--only", "processes", "--out", "."], "out=. is a folder"),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(words, line):
    command = [sys.executable, "-m", "grokinterp.benchmark", *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert line in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_perceptrons_and_many_seeds_are_compared_with_what_they_replace(in_this_process):
    lines = []
    found = run_parts(plan("perceptron", "many", has_goals=True), lines.append)
    names = [row["preset"] for row in found["perceptron"]]
    assert names == ["perceptron", "dihedral", "alternating"]
    for name, way in ((names[0], "exact"), (names[0], "autograd")):
        step = CASES["perceptron_step"](preset=name, n_threads=1, n_steps=1, way=way)
        assert ("exact" in step["name"]) == (way == "exact")
    assert len(found["many"][0]["ratios"]) == 1
    assert [line for line in lines if line.startswith(f"  goal: {more_parts.MANY.figure}")]


def test_without_a_gpu_its_figures_are_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lines = []
    assert more_parts.measure_gpu(plan(), lines.append) is None
    assert lines == ["No CUDA device here, so the figures of a GPU are missing."]


def test_a_device_is_measured_beside_the_peer_that_is_there(in_this_process, monkeypatch):
    asked = []
    peer = {"name": "its loop", "seconds": {"train": [0.002, 0.001]}}
    monkeypatch.setattr(more_parts, "has_peer", lambda python: True)
    monkeypatch.setattr(more_parts, "start_peer", lambda python, **setting: asked.append(setting))
    monkeypatch.setattr(more_parts, "result_of", lambda none: peer)
    small = dataclasses.replace(plan(has_goals=True), on_device=((1, 4), (2, 4)))
    lines = []
    rows = more_parts.measure_device(small, lines.append, "cpu")
    assert [row["n_members"] for row in rows] == [1, 2, 1, 1]
    assert [setting["compiled"] for setting in asked] == [False, True]
    assert all(setting["device"] == "cpu" for setting in asked)
    # The goal of 64 seeds is not one of two.
    assert len([line for line in lines if "goal:" in line]) == 1


def test_the_slow_part_is_run_when_it_is_asked_for(in_this_process):
    named = {"n_threads": 1, "peer_python": "", "n_rounds": 1}
    assert "largest" not in Plan.of(is_quick=True, **named).only
    lines = []
    found = run_parts(plan("largest", has_goals=True), lines.append)
    assert found["largest"]["p"] == 7
    assert any(line.startswith("  goal: peak of the analysis at p = 509") for line in lines)


def test_the_parts_are_those_that_the_command_offers():
    assert get_args(Part) == PARTS

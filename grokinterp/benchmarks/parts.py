"""The parts of the benchmark, in the words that its command prints."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grokinterp.benchmarks.goals import Goal
from grokinterp.benchmarks.more_parts import MORE
from grokinterp.benchmarks.noise import NoiseMeter
from grokinterp.benchmarks.plan import PARTS, Plan, machine
from grokinterp.benchmarks.processes import result_of, run_case, start_case
from grokinterp.benchmarks.step_part import Tell, measure_step, medians
from grokinterp.runs.atomic import write_atomically
from grokinterp.runs.config import PRESETS


def run_parts(plan: Plan, tell: Tell, out: Path | None = None) -> dict[str, Any]:
    """Run the parts of a plan, print each as it is done, and return all numbers.

    Raises
    ------
    BenchmarkError
        If a case cannot be run.
    """
    found: dict[str, Any] = {"plan": asdict(plan), "machine": machine(plan)}
    tell(found["machine"])
    noise = NoiseMeter(plan.n_threads)
    noise.look()
    for name in PARTS:
        if name in plan.only:
            tell("")
            found[name] = _MEASURE[name](plan, tell)
            noise.look()
    if "step" in found:
        tell("")
        _canonical(plan, found, tell)
    tell("")
    tell(noise.in_words)
    found["noise"] = {"seconds": noise.seconds, "spread": noise.spread}
    if out is not None:
        write_atomically(out, (json.dumps(found, indent=2) + "\n").encode())
    return found


def _busy(plan: Plan, tell: Tell) -> dict[str, Any]:
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
    few = max(plan.n_steps // 3, 2)
    idle, busy = [], []
    for _ in range(plan.n_rounds):
        idle.append(run_case("training_step", n_steps=few, **setting))
        with one_core_busy():
            busy.append(run_case("training_step", n_steps=few, **setting))
    of_idle, of_busy = medians(idle), medians(busy)
    tell(
        f"A step while another program keeps one core busy: {of_busy['train']:.1f} ms, "
        f"{of_idle['train']:.1f} ms otherwise"
    )
    ratios = [
        b / i for b, i in zip(of_busy["train_by_round"], of_idle["train_by_round"], strict=True)
    ]
    _say_verdict(plan, "busy", ratios, tell)
    return {"idle": of_idle, "busy": of_busy, "ratio_by_round": ratios}


@contextmanager
def one_core_busy() -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that only counts, for as long as the context lasts."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as program:
        try:
            yield program
        finally:
            program.kill()


def _measures(plan: Plan, tell: Tell) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, p in (("canonical", plan.p), ("large", plan.large_p)):
        cases = [_measure(plan, p, plan.d_mlp) for _ in range(plan.n_rounds)]
        by_round = [case["ms"] for case in cases]
        keys = [_keys(plan, p) for _ in range(plan.n_rounds)]
        middle = sorted(cases, key=lambda case: case["ms"])[len(cases) // 2]
        found[name] = middle | {"p": p, "by_round": by_round, "keys_by_round": keys}
        tell(
            f"All standard measures and by_frequency.csv, per checkpoint at p = {p}: "
            f"{middle['ms']:.0f} ms, {middle['cpu_ms']:.0f} ms of processor time; key "
            f"frequencies, once per run: {statistics.median(keys):.0f} ms"
        )
        _say_verdict(plan, f"measures_{name}", by_round, tell)
        _say_verdict(plan, f"keys_{name}", keys, tell)
    return found


def _keys(plan: Plan, p: int) -> float:
    case = run_case("key_frequencies", p=p, d_mlp=plan.d_mlp, n_threads=plan.n_threads)
    return 1e3 * min(case["seconds"])


def _measure(plan: Plan, p: int, d_mlp: int) -> dict[str, Any]:
    n_rounds = max(plan.n_steps // 8, 1)
    setting = {"p": p, "d_mlp": d_mlp, "n_threads": plan.n_threads, "n_rounds": n_rounds}
    case = run_case("standard_measures", **setting)
    return {
        "ms": 1e3 * statistics.median(case["seconds"]),
        "cpu_ms": 1e3 * case["cpu_seconds"],
        "peak_mib": case["peak_mib"],
    }


def _growth(plan: Plan, tell: Tell) -> list[dict[str, Any]]:
    tell("Growth                 step       measures of a checkpoint")
    settings = [(p, plan.d_mlp) for p in plan.moduli]
    settings += [(plan.p, d_mlp) for d_mlp in plan.widths if d_mlp != plan.d_mlp]
    rows = []
    for p, d_mlp in settings:
        few = max(plan.n_steps // 2, 2)
        setting = {"p": p, "d_mlp": d_mlp, "n_threads": plan.n_threads, "n_steps": few}
        step = medians([run_case("training_step", **setting)])
        measured = _measure(plan, p, d_mlp)
        rows.append({"p": p, "d_mlp": d_mlp, "step_ms": step["train"], **measured})
        tell(f"  p = {p:3}, d_mlp = {d_mlp:4} {step['train']:8.1f} ms {measured['ms']:8.0f} ms")
    return rows


def _memory(plan: Plan, tell: Tell) -> list[dict[str, Any]]:
    tell("Peak memory of a process")
    return [_memory_at(plan, p, tell) for p in (plan.p, plan.large_p)]


def _largest(plan: Plan, tell: Tell) -> dict[str, Any]:
    row = _memory_at(plan, plan.largest_p, tell)
    _say_verdict(plan, "memory", [row["analysis_mib"] / 1024], tell)
    return row


def _memory_at(plan: Plan, p: int, tell: Tell) -> dict[str, Any]:
    setting = {"p": p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
    training = run_case("training_memory", **setting)["peak_mib"]
    analysis = run_case("analysis_memory", deep=True, **setting)
    peak, seconds = analysis["peak_mib"], analysis["seconds"]
    tell(
        f"  p = {p:3}: training {training:6,.0f} MiB, analysis and report {peak:6,.0f} MiB "
        f"in {seconds:.0f} s"
    )
    return {"p": p, "training_mib": training, "analysis_mib": peak, "seconds": seconds}


def _limit(plan: Plan, tell: Tell) -> dict[str, Any]:
    n_rounds = max(plan.n_steps // 2, 1)
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
    case = run_case("products", n_rounds=n_rounds, **setting)
    three = 1e3 * statistics.median(case["seconds"])
    limit = 1e3 * case["limit_seconds"]
    tell(
        f"The three products that a step cannot avoid, in parts: {three:.1f} ms; {limit:.1f} ms at "
        f"the speed of a large square product, {case['gflops']:.0f} GFLOP/s"
    )
    return {"three_products_ms": three, "limit_ms": limit, "gflops": case["gflops"]}


def _processes(plan: Plan, tell: Tell) -> dict[str, float]:
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": 1, "n_steps": plan.n_steps}
    alone = medians([run_case("training_step", **setting)])["train"]
    both = [start_case("training_step", **setting) for _ in range(2)]
    together = statistics.mean(medians([result_of(one)])["train"] for one in both)
    ratio = 2 * alone / together
    tell(f"Two training processes of one thread each: {ratio:.2f} times the steps of one")
    return {"alone_ms": alone, "together_ms": together, "ratio": ratio}


def _canonical(plan: Plan, found: dict[str, Any], tell: Tell) -> None:
    """Say how long the runs of p = 113 will take, where their own p was measured."""
    if plan.p != 113:
        tell("How long the canonical run takes is said by a run without --quick.")
        return
    way = "fast" if "fast" in found["step"] else "torch"
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads, "way": way}
    few = max(plan.n_steps // 2, 1)
    in_double = run_case("training_step", n_steps=few, preset="nanda2023", **setting)
    step = found["canonical_step"] = medians([in_double])
    minutes = found["canonical_minutes"] = _minutes("nanda2023", step)
    of_p113 = found["p113_minutes"] = _minutes("p113", found["step"][way])
    tell(
        f"The canonical run (nanda2023, {PRESETS['nanda2023'].n_steps:,} steps in float64, "
        f"{step['train']:.1f} ms each): {minutes:.0f} min; in float32 (p113): {of_p113:.0f} min"
    )
    if "measures" in found:
        n_checkpoints = len(PRESETS["p113"].checkpoint_steps())
        analysis = n_checkpoints * found["measures"]["canonical"]["ms"] / 6e4
        found["p113_analysis_minutes"] = analysis
        tell(f"To measure the {n_checkpoints} checkpoints of p113: {analysis:.1f} min")


def _minutes(preset: str, step: dict[str, Any]) -> float:
    """Minutes that the steps and tests of a preset take, at what they were measured to take."""
    config = PRESETS[preset]
    test = (step["train_and_test"] - step["train"]) / config.test_every
    return config.n_steps * (step["train"] + test) / 6e4


def _say_verdict(plan: Plan, name: str, by_round: list[float], tell: Tell) -> None:
    if plan.has_goals and name in _GOALS:
        tell(f"  {_GOALS[name].verdict(by_round)}")


_GOALS = {
    "busy": Goal("times as long beside a busy program", at_most=10.0),
    "measures_canonical": Goal("measures of a checkpoint at p = 113", at_most=150.0, unit="ms"),
    "measures_large": Goal("measures of a checkpoint at p = 251", at_most=1000.0, unit="ms"),
    "keys_large": Goal("key frequencies at p = 251", at_most=1000.0, unit="ms"),
    "memory": Goal("peak of the analysis at p = 509", at_most=8.0, unit="GiB"),
}
_MEASURE: dict[str, Callable[[Plan, Tell], Any]] = {
    **MORE,
    "step": measure_step,
    "busy": _busy,
    "measures": _measures,
    "growth": _growth,
    "memory": _memory,
    "limit": _limit,
    "processes": _processes,
    "largest": _largest,
}

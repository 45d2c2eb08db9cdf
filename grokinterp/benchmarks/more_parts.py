"""Parts of the benchmark beside the one-layer network: perceptrons, many seeds, devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from grokinterp.benchmarks.goals import Goal
from grokinterp.benchmarks.plan import Plan
from grokinterp.benchmarks.processes import result_of, run_case, start_peer
from grokinterp.benchmarks.step_part import Tell, has_peer, quartile

PERCEPTRONS = ("perceptron", "dihedral", "alternating")
MANY = Goal("times the runs per hour of the same processes without batches", at_least=2.0)
ON_DEVICE = {
    1: Goal("a step on the device", at_most=0.3, unit="ms"),
    64: Goal("64 seeds on the device, per seed and step", at_most=0.08, unit="ms"),
}


def measure_perceptrons(plan: Plan, tell: Tell) -> list[dict[str, Any]]:
    """Compare the exact step of perceptrons with autograd, in alternating rounds."""
    tell("Losses and gradients of perceptrons, exact and by autograd")
    rows = []
    for preset in PERCEPTRONS:
        setting = {"preset": preset, "n_threads": plan.n_threads, "n_steps": plan.n_steps}

        def milliseconds(way: str, setting: dict[str, Any] = setting) -> float:
            return 1e3 * quartile(run_case("perceptron_step", way=way, **setting)["seconds"])

        pairs = [(milliseconds("autograd"), milliseconds("exact")) for _ in range(plan.n_rounds)]
        ratios = sorted(autograd / exact for autograd, exact in pairs)
        middle = sorted(pairs)[len(pairs) // 2]
        rows.append({"preset": preset, "by_round": pairs, "ratios": ratios})
        tell(
            f"  {preset:12} {middle[0]:6.2f} ms by autograd, {middle[1]:6.2f} exact: "
            f"{ratios[0]:.2f} to {ratios[-1]:.2f} times as fast"
        )
    return rows


def measure_many(plan: Plan, tell: Tell) -> list[dict[str, Any]]:
    """Compare train_many with runs one after another, in alternating rounds on one thread."""
    tell("Many seeds at once, one thread")
    rows = []
    for p, d_model, n_members in plan.many:
        setting = {"p": p, "d_model": d_model, "n_members": n_members, "n_steps": plan.many_steps}

        def seconds(together: bool, setting: dict[str, Any] = setting) -> float:
            return run_case("many_seeds", together=together, **setting)["seconds"]

        pairs = [(seconds(False), seconds(True)) for _ in range(plan.n_rounds)]
        ratios = [alone / together for alone, together in pairs]
        alone, together = (1e3 * one for one in sorted(pairs)[len(pairs) // 2])
        rows.append({**setting, "by_round": pairs, "ratios": ratios})
        tell(
            f"  p = {p}, width {d_model}, {n_members} seeds: {alone:.2f} ms per network and step "
            f"one after another, {together:.2f} together"
        )
        if plan.has_goals and p <= LARGEST_P_OF_GOAL:
            tell(f"  {MANY.verdict(ratios)}")
    return rows


def measure_gpu(plan: Plan, tell: Tell) -> list[dict[str, Any]] | None:
    """Train on a GPU beside TransformerLens's loop, plain and compiled; None without a GPU."""
    if not torch.cuda.is_available():
        tell("No CUDA device here, so the figures of a GPU are missing.")
        return None
    return measure_device(plan, tell, "cuda")


def measure_device(plan: Plan, tell: Tell, device: str) -> list[dict[str, Any]]:
    """Train one network and many on a device, in rounds beside the peer's loop."""
    rows = []
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "device": device}
    for n_members, n_steps in plan.on_device:
        cases = [
            run_case("device_runs", n_members=n_members, n_steps=n_steps, **setting)
            for _ in range(plan.n_rounds)
        ]
        by_round = [1e3 * case["seconds"] for case in cases]
        rows.append({"n_members": n_members, "by_round": by_round, "name": cases[0]["name"]})
        tell(
            f"{cases[0]['device']}, {n_members} at once: {min(by_round):.3f} to "
            f"{max(by_round):.3f} ms per network and step ({cases[0]['name']})"
        )
        if plan.has_goals and n_members in ON_DEVICE:
            tell(f"  {ON_DEVICE[n_members].verdict(by_round)}")
    for compiled in (False, True) if has_peer(plan.peer_python) else ():
        peer = result_of(
            start_peer(
                plan.peer_python,
                n_threads=plan.n_threads,
                n_steps=plan.n_steps,
                compiled=compiled,
                **setting,
            )
        )
        milliseconds = 1e3 * quartile(peer["seconds"]["train"])
        rows.append({"n_members": 1, "by_round": [milliseconds], "name": peer["name"]})
        tell(f"{milliseconds:.3f} ms a step: {peer['name']}")
    return rows


LARGEST_P_OF_GOAL = 37
MORE: dict[str, Callable[[Plan, Tell], Any]] = {
    "perceptron": measure_perceptrons,
    "many": measure_many,
    "gpu": measure_gpu,
}
"""By the name of the part."""

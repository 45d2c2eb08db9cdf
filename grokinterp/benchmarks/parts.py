"""The parts of the benchmark, in the words that its command prints."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from grokinterp.benchmarks.processes import result_of, run_case, start_case, start_peer
from grokinterp.runs.atomic import write_atomically
from grokinterp.runs.config import PRESETS
from grokinterp.training.kernel_choice import has_numba

PARTS = ("step", "measures", "growth", "memory", "limit", "processes")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often."""

    p: int
    d_mlp: int
    moduli: tuple[int, ...]
    widths: tuple[int, ...]
    large_p: int
    n_steps: int
    n_rounds: int
    n_threads: int
    peer_python: str
    only: tuple[str, ...]

    @classmethod
    def of(
        cls,
        *,
        is_quick: bool,
        n_threads: int | None,
        peer_python: str,
        n_rounds: int,
        only: Sequence[str] = (),
    ) -> Plan:
        """Return the plan of a full or a quick run."""
        threads = n_threads or torch.get_num_threads()
        parts = tuple(only) or PARTS
        if is_quick:
            return cls(13, 64, (7, 13), (32, 64), 17, 4, 1, threads, peer_python, parts)
        moduli, widths = (31, 59, 113, 173, 251), (128, 256, 512, 1024, 2048)
        return cls(113, 512, moduli, widths, 251, 40, n_rounds, threads, peer_python, parts)


def run_parts(plan: Plan, tell: Tell, out: Path | None = None) -> dict[str, Any]:
    """Run the parts of a plan, print each as it is done, and return all numbers.

    Raises
    ------
    BenchmarkError
        If a case cannot be run.
    """
    found: dict[str, Any] = {"plan": asdict(plan), "machine": machine(plan)}
    tell(found["machine"])
    parts = {
        "step": _step,
        "measures": _measures,
        "growth": _growth,
        "memory": _memory,
        "limit": _limit,
        "processes": _processes,
    }
    for name in PARTS:
        if name in plan.only:
            tell("")
            found[name] = parts[name](plan, tell)
    if "step" in found:
        tell("")
        _canonical(plan, found, tell)
    if out is not None:
        write_atomically(out, (json.dumps(found, indent=2) + "\n").encode())
    return found


def machine(plan: Plan) -> str:
    """One line on what the figures were measured on."""
    numba = "with numba" if has_numba() else "without numba"
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {plan.n_threads} threads, "
        f"torch {torch.__version__}, {numba}"
    )


def _step(plan: Plan, tell: Tell) -> dict[str, Any]:
    tell(f"Training step at p = {plan.p}, 30 % of the pairs, d_mlp = {plan.d_mlp}")
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
    ways = ["fast", "torch"] if has_numba() else ["torch"]
    is_there = _has_peer(plan.peer_python)
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in [*ways, "peer"]}
    for _ in range(plan.n_rounds):
        few = max(plan.n_steps // 3, 1)
        if is_there:
            peer = result_of(start_peer(plan.peer_python, n_steps=few, **setting))
        else:
            peer = run_case("training_step", n_steps=few, way="autograd", **setting)
            peer["name"] = "the hooked model's autograd (no TransformerLens 3.x here)"
        rounds["peer"].append(peer)
        for way in ways:
            case = run_case("training_step", n_steps=plan.n_steps, way=way, **setting)
            rounds[way].append(case)
    found = {way: _medians(cases) for way, cases in rounds.items()}
    peer = found["peer"]
    for way in [*ways, "peer"]:
        one = found[way]
        tell(
            f"  {one['train']:8.1f} ms, with the test loss at every step "
            f"{one['train_and_test']:8.1f} ms   {one['name']}"
        )
    for way in ways:
        one = found[way]
        tell(
            f"  {one['name']}: {peer['train'] / one['train']:.1f} times the speed of "
            f"{peer['name']}; {peer['train_and_test'] / one['train']:.1f} times where that takes "
            f"its test loss at every step, {peer['train_and_test'] / one['train_and_test']:.1f} "
            "where both do"
        )
    return found


def _medians(cases: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": cases[0]["name"]}
    for kind in ("train", "train_and_test"):
        by_round = [1e3 * statistics.median(case["seconds"][kind]) for case in cases]
        found[kind] = statistics.median(by_round)
        found[f"{kind}_by_round"] = by_round
    return found


def _has_peer(python: str) -> bool:
    code = "from transformer_lens import HookedTransformer"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _measures(plan: Plan, tell: Tell) -> dict[str, Any]:
    case = _measure(plan, plan.p, plan.d_mlp)
    tell(
        f"All standard measures and by_frequency.csv, per checkpoint at p = {plan.p}: "
        f"{case['ms']:.0f} ms, {case['cpu_ms']:.0f} ms of processor time"
    )
    return case


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
        step = _medians([run_case("training_step", **setting)])
        measured = _measure(plan, p, d_mlp)
        rows.append({"p": p, "d_mlp": d_mlp, "step_ms": step["train"], **measured})
        tell(f"  p = {p:3}, d_mlp = {d_mlp:4} {step['train']:8.1f} ms {measured['ms']:8.0f} ms")
    return rows


def _memory(plan: Plan, tell: Tell) -> list[dict[str, Any]]:
    tell("Peak memory of a process")
    rows = []
    for p in (plan.p, plan.large_p):
        setting = {"p": p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
        training = run_case("training_memory", **setting)["peak_mib"]
        analysis = run_case("analysis_memory", deep=True, **setting)["peak_mib"]
        rows.append({"p": p, "training_mib": training, "analysis_mib": analysis})
        tell(f"  p = {p:3}: training {training:6,.0f} MiB, analysis {analysis:6,.0f} MiB")
    return rows


def _limit(plan: Plan, tell: Tell) -> dict[str, Any]:
    n_rounds = max(plan.n_steps // 2, 1)
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
    case = run_case("products", n_rounds=n_rounds, **setting)
    three = 1e3 * statistics.median(case["seconds"])
    limit = 1e3 * case["limit_seconds"]
    tell(
        f"The three products that a step cannot avoid: {three:.1f} ms here; {limit:.1f} ms at the "
        f"speed of a large square product, {case['gflops']:.0f} GFLOP/s"
    )
    return {"three_products_ms": three, "limit_ms": limit, "gflops": case["gflops"]}


def _processes(plan: Plan, tell: Tell) -> dict[str, float]:
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": 1, "n_steps": plan.n_steps}
    alone = _medians([run_case("training_step", **setting)])["train"]
    both = [start_case("training_step", **setting) for _ in range(2)]
    together = statistics.mean(_medians([result_of(one)])["train"] for one in both)
    ratio = 2 * alone / together
    tell(f"Two training processes of one thread each: {ratio:.2f} times the steps of one")
    return {"alone_ms": alone, "together_ms": together, "ratio": ratio}


def _canonical(plan: Plan, found: dict[str, Any], tell: Tell) -> None:
    """Say how long the canonical run will take, where its own p was measured."""
    canonical = PRESETS["nanda2023"]
    if plan.p != 113:
        tell("How long the canonical run takes is said by a run without --quick.")
        return
    step = found["step"].get("fast", found["step"]["torch"])
    test = (step["train_and_test"] - step["train"]) / canonical.test_every
    minutes = canonical.n_steps * (step["train"] + test) / 6e4
    found["canonical_minutes"] = minutes
    n_checkpoints = len(canonical.checkpoint_steps())
    line = f"The canonical run (nanda2023, {canonical.n_steps:,} steps): {minutes:.0f} min"
    if "measures" in found:
        analysis = n_checkpoints * found["measures"]["ms"] / 6e4
        found["canonical_analysis_minutes"] = analysis
        line += f", and {analysis:.1f} min to measure its {n_checkpoints} checkpoints"
    tell(line)

"""The part of the benchmark that is compared with others: one step of one network."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable
from typing import Any

from grokinterp.benchmarks.goals import Goal
from grokinterp.benchmarks.plan import Plan
from grokinterp.benchmarks.processes import result_of, run_case, start_peer
from grokinterp.training.kernel_choice import has_numba

Tell = Callable[[str], None]
Rounds = dict[str, list[dict[str, Any]]]
"""What every round gave, by way."""

STEP_GOALS = {
    "over_products": Goal("the best step, in times of its three products in parts", at_most=1.3),
    "train": Goal("times the speed of TransformerLens's loop, neither tests", at_least=10.0),
    "peer_tests": Goal("the same where TransformerLens's loop tests at every step", at_least=18.0),
}


def measure_step(plan: Plan, tell: Tell) -> dict[str, Any]:
    """Time a step every way, in alternating rounds, beside the peer and the three products."""
    tell(f"Training step at p = {plan.p}, 30 % of the pairs, d_mlp = {plan.d_mlp}")
    rounds = _rounds(plan)
    ways = [way for way in ("fast", "torch") if rounds[way]]
    found: dict[str, Any] = {way: medians(rounds[way]) for way in [*ways, "peer"]}
    for way in [*ways, "peer"]:
        tell(_times_in_words(found[way]))
    for way in ways:
        tell(_ratios_in_words(found[way], found["peer"]))
    products = [1e3 * min(case["seconds"]) for case in rounds["products"]]
    found["products_by_round"] = products
    best = [1e3 * min(case["seconds"]["train"]) for case in rounds[ways[0]]]
    found["best_by_round"] = best
    tell(f"  best step {min(best):.1f} ms, best three products in parts {min(products):.1f} ms")
    found["ratios"] = _ratios_by_round(found[ways[0]], found["peer"], best, products)
    has_peer = "autograd" not in found["peer"]["name"]
    if plan.has_goals and ways[0] == "fast":
        for name, goal in STEP_GOALS.items():
            if has_peer or name == "over_products":
                tell(f"  {goal.verdict(found['ratios'][name])}")
    return found


def _rounds(plan: Plan) -> Rounds:
    setting = {"p": plan.p, "d_mlp": plan.d_mlp, "n_threads": plan.n_threads}
    ways = ["fast", "torch"] if has_numba() else ["torch"]
    is_there = has_peer(plan.peer_python)
    rounds: Rounds = {way: [] for way in ("fast", "torch", "peer", "products")}
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
        rounds["products"].append(run_case("products", n_rounds=plan.n_steps, **setting))
    return rounds


def _ratios_by_round(
    fast: dict[str, Any], peer: dict[str, Any], best: list[float], products: list[float]
) -> dict[str, list[float]]:
    def ratio(above: list[float], below: list[float]) -> list[float]:
        return [a / b for a, b in zip(above, below, strict=True)]

    return {
        "over_products": ratio(best, products),
        "train": ratio(peer["train_by_round"], fast["train_by_round"]),
        "peer_tests": ratio(peer["train_and_test_by_round"], fast["train_by_round"]),
    }


def medians(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds of a step: the median of every round, and the median of these."""
    found: dict[str, Any] = {"name": cases[0]["name"]}
    for kind in ("train", "train_and_test"):
        by_round = [1e3 * statistics.median(case["seconds"][kind]) for case in cases]
        found[kind] = statistics.median(by_round)
        found[f"{kind}_by_round"] = by_round
    return found


def has_peer(python: str) -> bool:
    """Whether an interpreter has TransformerLens."""
    code = "from transformer_lens import HookedTransformer"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _times_in_words(one: dict[str, Any]) -> str:
    return (
        f"  {one['train']:8.1f} ms{_spread(one['train_by_round'])}, with the test loss at every "
        f"step {one['train_and_test']:8.1f} ms{_spread(one['train_and_test_by_round'])}   "
        f"{one['name']}"
    )


def _spread(by_round: list[float]) -> str:
    return f" ({min(by_round):.1f} to {max(by_round):.1f})" if len(by_round) > 1 else ""


def _ratios_in_words(one: dict[str, Any], peer: dict[str, Any]) -> str:
    return (
        f"  {one['name']}: {peer['train'] / one['train']:.1f} times the speed of "
        f"{peer['name']}; {peer['train_and_test'] / one['train']:.1f} times where that takes "
        f"its test loss at every step, {peer['train_and_test'] / one['train_and_test']:.1f} "
        "where both do"
    )

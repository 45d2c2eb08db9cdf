"""Analyses that look like those of real runs, built without training anything."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from grokinterp.circuits.algorithm import Algorithm
from grokinterp.circuits.evidence import CIRCUIT_COLUMNS
from grokinterp.circuits.gradients import GradientSymmetricity
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.mode_families import mode_tables
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run, WeightsInMemory
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.circuit_steps import CircuitSteps
from grokinterp.trajectory.milestones import Milestones
from grokinterp.trajectory.phases import Phases
from tests import planted

KEYS = (14, 35, 41, 42, 52)
NANDA_STEPS = 25_000


def _fall(steps: np.ndarray, at: float, width: float) -> np.ndarray:
    """1 long before `at`, 0 long after it."""
    return 1 / (1 + np.exp(np.clip((steps - at) / width, -60, 60)))


def _log_mix(start: float, end: float, share_of_start: np.ndarray) -> np.ndarray:
    return np.exp(share_of_start * np.log(start) + (1 - share_of_start) * np.log(end))


def checkpoint_steps(n_checkpoints: int, last: int = NANDA_STEPS) -> np.ndarray:
    """Dense and log-spaced early, then regular: first and last always."""
    if n_checkpoints == 1:
        return np.array([last])
    early = [s for s in (0, 1, 2, 4, 8, 16, 32, 64) if s < last][: n_checkpoints // 4 + 1]
    regular = np.linspace(last / n_checkpoints, last, n_checkpoints - len(early))
    return np.unique(np.concatenate([early, regular.round()]).astype(int))


def _losses(steps: np.ndarray, p: int, *, groks: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = np.exp(0.05 * rng.standard_normal(len(steps)))
    train = _log_mix(np.log(p), 3e-7, _fall(steps, 150, 40)) * (1 - 0.5 * (steps / NANDA_STEPS))
    rise = np.log(p) + 22 * (1 - np.exp(-steps / 400)) - 6 * (1 - _fall(steps, 6_000, 1_500))
    test = _log_mix(1, 4e-8, _fall(steps, 8_600, 130)) * rise if groks else rise
    return {"train_loss": train * noise, "test_loss": test * noise}


def _accuracies(steps: np.ndarray, p: int, *, groks: bool) -> dict[str, np.ndarray]:
    train = 1 - (1 - 1 / p) * _fall(steps, 120, 25)
    mirrored = 1 - (1 - 1 / p) * _fall(steps, 7_000 if groks else 5_000, 350)
    unmirrored = 1 - (1 - 1 / p) * _fall(steps, 7_850, 170) if groks else 0 * train + 1.3 / p
    return {
        "train_accuracy": train,
        "test_accuracy": 0.3 * mirrored + 0.7 * unmirrored,
        "test_accuracy_mirrored": mirrored,
        "test_accuracy_unmirrored": unmirrored,
    }


def curves(p: int = 113, *, n_steps: int = NANDA_STEPS, groks: bool = True) -> pd.DataFrame:
    """Dense curves: train loss at every step, the rest at every tenth."""
    steps = np.arange(n_steps + 1)
    accuracies = _accuracies(steps, p, groks=groks)
    table = pd.DataFrame(
        {
            "step": steps,
            **_losses(steps, p, groks=groks),
            "train_accuracy": accuracies["train_accuracy"],
            "test_accuracy": accuracies["test_accuracy"],
        }
    )
    table.loc[table["step"] % 10 != 0, ["test_loss", "train_accuracy", "test_accuracy"]] = np.nan
    return table


def trajectory(steps: np.ndarray, p: int = 113, *, groks: bool = True) -> pd.DataFrame:
    """Measures at the checkpoints, with every column of a grokked run."""
    losses = _losses(steps, p, groks=groks)
    formed = 1 - _fall(steps, 5_500, 1_300) if groks else 0.02 * steps / NANDA_STEPS
    size = _log_mix(3548, 2290, _fall(steps, 2_000, 700)) * 0.9
    size = size * (0.38 + 0.62 * _fall(steps, 10_500, 1_500)) if groks else size
    columns = {
        "step": steps,
        **losses,
        **_accuracies(steps, p, groks=groks),
        "loss_all": 0.3 * losses["train_loss"] + 0.7 * losses["test_loss"],
        "accuracy_all": np.linspace(0.01, 1, len(steps)),
        "held_out_restricted_loss": _log_mix(np.log(p), 9e-8, 1 - formed),
        "restricted_loss_all": _log_mix(np.log(p), 6e-8, 1 - formed),
        "restricted_loss_train": _log_mix(np.log(p), 5e-8, 1 - formed),
        "restricted_loss_test": _log_mix(np.log(p), 7e-8, 1 - formed),
        "excluded_loss_all": losses["test_loss"] + 19 * formed,
        "excluded_loss_train": losses["train_loss"] + 19 * formed**2,
        "excluded_accuracy_train": 1 - 0.9 * formed,
        "held_out_restricted_accuracy": 1 / p + (1 - 1 / p) * formed,
        "trigonometric_logit_train": 45 * formed,
        "memorization_logit_train": 28 * (1 - formed) * (1 - _fall(steps, 150, 40)),
        "trigonometric_logit_test": 45 * formed,
        "memorization_logit_test": -2 * (1 - formed),
        "fraction_logit_power_memorization": 1 - 0.98 * formed,
        "sum_squared_weights": size,
        "gini_W_E": 0.15 + 0.6 * formed,
        "gini_W_L": 0.2 + 0.7 * formed,
        "fraction_logit_variance_explained": 0.95 * formed,
        "fraction_single_frequency_neurons": 0.85 * formed,
        "phase_coherence": 0.98 * formed,
        "fraction_one_wave_neurons": 0.95 * formed,
        "fraction_logit_variance_explained_pizza": 0.77 * formed,
        "circularity": 0.1 + 0.85 * formed,
        "gradient_symmetricity": 0.5 - 0.3 * formed,
        "gradient_symmetricity_standard_error": 0.004 + 0 * formed,
        "distance_irrelevance": 0.7 - 0.5 * formed,
        "effective_rank_W_E": 95 - 80 * formed,
    }
    shares = {"W_E": 0.2, "W_pos": 0.01, "W_Q": 0.07, "W_K": 0.07, "W_V": 0.08, "W_O": 0.09}
    shares |= {"W_in": 0.2, "W_out": 0.18, "W_U": 0.1}
    columns |= {f"sum_squared_weights_{k}": share * size for k, share in shares.items()}
    return pd.DataFrame(columns)


def by_frequency(
    steps: np.ndarray, p: int = 113, keys: tuple[int, ...] = KEYS, *, groks: bool = True
) -> pd.DataFrame:
    """One row per checkpoint and frequency."""
    rng = np.random.default_rng(1)
    frequencies = np.arange(1, p // 2 + 1)
    formed = 1 - _fall(steps, 5_500, 1_300) if groks else 0.02 * steps / NANDA_STEPS
    index = {key: i for i, key in enumerate(keys)}
    strength = np.array([0.6 + 0.15 * index[k] if k in index else 0.0 for k in frequencies])
    is_key = strength > 0
    noise = rng.uniform(0.8, 1.2, (len(steps), len(frequencies)))
    grown, rest = formed[:, None] * strength, (1 - 0.9 * formed[:, None]) * noise
    columns = {
        "embedding_norm": 1.3 * rest + 2.2 * grown,
        "n_neurons": np.where(is_key, (95 * grown).round(), (3 * rest).round()),
        "logit_power_share": (1e-3 * noise + grown) / (1e-3 * noise + grown).sum(1, keepdims=True),
        "logit_coefficient": 0.2 * noise + 45 * grown,
        "excluded_loss_all": 1e-6 + 0.05 * grown**2,
        "excluded_loss_train": 3e-7 + 0.02 * grown**3,
    }
    return pd.DataFrame(
        {
            "step": np.repeat(steps, len(frequencies)),
            "frequency": np.tile(frequencies, len(steps)),
            **{name: values.reshape(-1) for name, values in columns.items()},
        }
    )


def evidence(p: int = 113, keys: tuple[int, ...] = KEYS) -> pd.DataFrame:
    """Evidence of the last checkpoint, with two doubles in the embedding."""
    rng = np.random.default_rng(2)
    frequencies = np.arange(1, p // 2 + 1)
    is_key = np.isin(frequencies, keys)
    n = len(frequencies)
    share = np.where(is_key, 1.0, 3e-4 * rng.uniform(0.3, 2.0, n))
    if keys:
        share[is_key] = np.linspace(0.08, 0.33, is_key.sum())
    doubles = {min(2 * k % p, -2 * k % p): k for k in keys}
    return pd.DataFrame(
        {
            "frequency": frequencies,
            "logit_power_share": share / share.sum(),
            "null_share": 0.006,
            "embedding_norm": np.where(is_key, 2.5, 0.12) * rng.uniform(0.8, 1.2, n),
            "n_neurons": np.where(is_key, rng.integers(40, 150, n), 0),
            "W_L_norm": np.where(is_key, 9.0, 0.3) * rng.uniform(0.8, 1.2, n),
            "is_key": is_key,
            "double_of": pd.array([doubles.get(int(k)) for k in frequencies], dtype="Int64"),
        }
    )


def ablations(keys: tuple[int | str, ...] = KEYS) -> pd.DataFrame:
    """Full, excluded, restricted and one row per key frequency."""
    joined, removed = " ".join(map(str, keys)), "removed from logits"
    rows: list[tuple] = [("full", "none", "", 2.4e-7, 1.0)]
    if keys:
        rows.append(("trigonometric_circuit", removed, joined, 8.3, 0.02))
        rows.append(("memorization_circuit", removed, joined, 5.5e-8, 1.0))
    rows += [
        (f"frequency_{key}", removed, str(key), 2e-4 * 3**i, 1 - 0.001 * i)
        for i, key in enumerate(keys)
    ]
    parts = ["neurons_of_14"] if keys else []
    for i, part in enumerate([*parts, "head_0", "attention", "path_around_attention"]):
        for fill, loss in (("", 1e-3), (" (zero)", 2e-3), (" (resample)", 9e-3)):
            rows.append((part, f"removed from somewhere{fill}", "", loss * 5**i, 0.9))
    return pd.DataFrame(
        [
            {
                "component": component,
                "intervention": intervention,
                "frequencies": frequencies,
                "loss_all": loss,
                "loss_train": loss * 0.4,
                "loss_test": loss * 1.3,
                "accuracy_all": accuracy,
                "accuracy_train": accuracy,
                "accuracy_test": accuracy,
            }
            for component, intervention, frequencies, loss, accuracy in rows
        ]
    )


def circuit(keys: tuple[int, ...] = KEYS) -> pd.DataFrame:
    """A few lines of every stage."""
    rows: list[tuple] = [("network", "loss, nothing replaced", None, None, 2.4e-7, "nats")]
    rows += [("embedding", "norm in W_E", key, None, 2.5, "norm") for key in keys]
    rows += [
        (
            "attention",
            "variance of the pattern explained by one frequency",
            35,
            0,
            0.99,
            "fraction",
        ),
        ("attention", "loss, this head's pattern linear in one frequency", 35, 0, 2.2e-7, "nats"),
        ("attention", "loss, all patterns linear in one frequency each", None, None, 2e-7, "nats"),
        ("neurons", "loss, all neurons replaced by their polynomials", None, None, 3e-7, "nats"),
        ("neuron_logit_map", "norm of W_L outside them", None, None, 0.005, "fraction"),
        ("logits", "loss, trigonometric circuit removed", None, None, 8.3, "nats"),
    ]
    table = pd.DataFrame(rows, columns=pd.Index(CIRCUIT_COLUMNS))
    return table.astype({"frequency": "Int64", "head": "Int64"})


def algorithm(p: int, keys: tuple[int, ...]) -> Algorithm:
    """A clock with evidence that a clock could have."""
    s, d = torch.meshgrid(torch.arange(p).double(), torch.arange(p).double(), indexing="ij")
    whole = {
        "clock": 0.98,
        "pizza_product": 0.8,
        "pizza_absolute": 0.79,
        "accompanying": 0.001,
        "pizza_accompanied": 0.97,
    }
    return Algorithm(
        "clock",
        "gradient symmetricity is 0.200",
        gradient_symmetricity=GradientSymmetricity(0.2, 0.004, 2000),
        distance_irrelevance=0.8,
        circularity=0.95,
        variance_explained=whole,
        variance_explained_by_circle={k: {f: 0.5 * x for f, x in whole.items()} for k in keys},
        correct_logits=20 + torch.cos(s) + 0.1 * torch.sin(d),
    )


def neurons(keys: tuple[int, ...], n_neurons: int = 64) -> pd.DataFrame:
    """A row per neuron: all but every eighth have a wave of a key frequency whose phases fit."""
    rng = np.random.default_rng(2)
    phase = rng.uniform(-np.pi, np.pi, n_neurons)
    error = rng.normal(0, 0.1, n_neurons)
    number = np.arange(n_neurons)
    table = pd.DataFrame({"neuron": number})
    table["frequency"] = pd.array(np.resize(keys, n_neurons), dtype="Int64")
    table["phase_sum"] = phase
    table["fraction_sum_explained"] = np.where(number % 8 == 7, 0.4, 0.97)
    table["phase_out"] = np.pi - (np.pi - phase - error) % (2 * np.pi)
    table["phase_error"] = error
    return table


def _run(config: TrainConfig, table: pd.DataFrame, steps: np.ndarray, origin: str) -> Run:
    return Run(
        config=config,
        split=draw_split(Task(config.task)),
        checkpoints=WeightsInMemory({int(step): {} for step in steps}),
        curves=table,
        origin=origin,
        environment={"torch": "2.13.0", "python": "3.11.7", "n_threads": 2},
    )


MILESTONES = Milestones(
    memorization_step=230,
    grokking_step=8_310,
    first_crossing_step=8_310,
    grokking_delay=8_080,
    transition_width=1_240,
    plateau_transition_width=750,
    outcome_kind="grokked",
    outcome="Grokked: test accuracy stayed above 0.95 from step 8,310 on, 8,080 steps after the "
    "training pairs were memorized at step 230.",
)
"""Of the run of Nanda et al., as far as a grokked analysis has them."""
CIRCUIT_STEPS = CircuitSteps(
    memorization_works_from=230,
    memorization_works_until=6_000,
    trigonometric_works_from=6_900,
    trigonometric_is_stronger_from=5_100,
)


@lru_cache
def modes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Families of the modes of a planted network, which is smaller than the run."""
    snapshot = planted.trigonometric_snapshot(13, [2, 5])
    return mode_tables(snapshot, KeyFrequencies.given(13, [2, 5]))


def grokked_analysis(n_checkpoints: int = 250, *, p: int = 113) -> Analysis:
    """A run like the one of Nanda et al.: memorizes at 230, groks at 8,310."""
    keys = KEYS if p == 113 else tuple(k for k in (2, 5, p // 2) if k <= p // 2)
    steps = checkpoint_steps(n_checkpoints)
    run = _run(
        TrainConfig(task=TaskSpec(p=p)), curves(p), steps, "Trained by grokinterp in ckpts/."
    )
    table = trajectory(steps, p)
    families, spectrum = modes()
    return Analysis(
        run=run,
        key_frequencies=KeyFrequencies(
            p, keys, "logit_power", int(steps[-1]), evidence(p, keys), None
        ),
        trajectory=table,
        by_frequency=by_frequency(steps, p, keys),
        ablations=ablations(keys),
        circuit=circuit(keys),
        neurons=neurons(keys),
        mode_families=families,
        mode_spectrum=spectrum,
        phases=Phases((0, 1_400), (1_400, 8_550), (8_550, 14_600)),
        milestones=MILESTONES,
        circuit_steps=CIRCUIT_STEPS,
        algorithm=algorithm(p, keys),
    )


REPRESENTATIONS = {"standard": 4, "5d_b": 5, "6d": 6, "5d_a": 5, "standard_sign": 4, "sign": 1}
"""Those of S_5 but the trivial one, with their dimensions."""
KEY_REPRESENTATIONS = ("standard", "sign")
_WITHOUT_FREQUENCIES = (
    "phase_coherence",
    "fraction_one_wave_neurons",
    "gini_W_E",
    "gini_W_L",
    "distance_irrelevance",
    "circularity",
    "fraction_logit_variance_explained_pizza",
    "test_accuracy_mirrored",
    "test_accuracy_unmirrored",
)


def by_representation(steps: np.ndarray) -> pd.DataFrame:
    """One row per checkpoint and representation of S_5, by renaming the frequencies 1 to 6."""
    table = by_frequency(steps, 13, (1, 6))
    names = dict(enumerate(REPRESENTATIONS, start=1))
    table.insert(1, "representation", table.pop("frequency").map(names))
    table.insert(2, "dimension", table["representation"].map(REPRESENTATIONS))
    table.insert(3, "type", "real")
    return table


def neurons_on_cosets() -> pd.DataFrame:
    """Eight neurons: two of the sign, four that some transposition explains, as luck would."""
    on_cosets, by_luck = [True] * 2 + [False] * 6, [None] * 2
    return pd.DataFrame(
        {
            "neuron": range(8),
            "representation": ["sign"] * 2 + ["standard"] * 6,
            "coset_subgroup": ["alternating(5)"] * 2 + ["cyclic(2)_a"] * 4 + by_luck,
            "coset_index": pd.array([2] * 2 + [60] * 4 + by_luck, dtype="Int64"),
            "coset_fit": [1.0, 1.0, 0.99, 0.98, 0.97, 0.96, np.nan, np.nan],
            "coset_null": [0.04] * 2 + [0.9999] * 4 + [np.nan] * 2,
            "coset_share": [1.0, 1.0, 0.98, 0.97, 0.96, 0.955, np.nan, np.nan],
            "coset_share_sum": [0.67] * 2 + [0.75] * 4 + [np.nan] * 2,
            "is_coset_neuron": on_cosets,
        }
    )


def permutation_analysis(n_checkpoints: int = 60) -> Analysis:
    """A run like the grokked one that composes permutations of five."""
    base = grokked_analysis(n_checkpoints)
    task = TaskSpec("permutation_composition", degree=5, train_fraction=0.6)
    steps = base.trajectory["step"].to_numpy()
    run = _run(TrainConfig(task=task), curves(120), steps, base.run.origin)
    table = base.trajectory.drop(columns=list(_WITHOUT_FREQUENCIES))
    single = table.pop("fraction_single_frequency_neurons")
    table["fraction_single_representation_neurons"] = single
    table["fraction_coset_neurons"] = 0.25
    seen = evidence(13, (1, 6)).drop(columns=["frequency", "double_of"])
    seen.insert(0, "representation", list(REPRESENTATIONS))
    seen.insert(1, "dimension", list(REPRESENTATIONS.values()))
    seen.insert(2, "type", "real")
    seen.insert(3, "character_similarity", np.sqrt(seen["logit_power_share"]))
    keys = KeyFrequencies(
        120, (1, 6), "logit_power", int(steps[-1]), seen, None, KEY_REPRESENTATIONS
    )
    removed = ablations(("standard", "sign")).replace(
        {"frequency_standard": "representation_standard", "frequency_sign": "representation_sign"}
    )
    return dataclasses.replace(
        base,
        run=run,
        key_frequencies=keys,
        trajectory=table,
        by_frequency=pd.DataFrame(),
        by_representation=by_representation(steps),
        ablations=removed,
        circuit=pd.DataFrame(),
        neurons=neurons_on_cosets(),
        mode_families=pd.DataFrame(),
        mode_spectrum=pd.DataFrame(),
        milestones=dataclasses.replace(base.milestones, plateau_transition_width=None),
        algorithm=Algorithm("none", "permutations are no sums in a cyclic group"),
    )


TRIGONOMETRIC = (
    "restricted_loss_all",
    "restricted_loss_train",
    "restricted_loss_test",
    "excluded_loss_all",
    "excluded_loss_train",
    "excluded_accuracy_train",
    "fraction_logit_variance_explained",
    "held_out_restricted_loss",
    "held_out_restricted_accuracy",
    "trigonometric_logit_train",
    "memorization_logit_train",
    "trigonometric_logit_test",
    "memorization_logit_test",
    "fraction_logit_power_memorization",
    "fraction_logit_variance_explained_pizza",
)


NEVER_FOUND = ("grokking_step", "first_crossing_step", "grokking_delay", "transition_width")


def without_steps(reason: str, *names: str, outcome_kind: str | None, outcome: str) -> Milestones:
    """The milestones of the grokked run without some of its steps, for one reason."""
    return dataclasses.replace(
        MILESTONES,
        **dict.fromkeys(names),
        plateau_transition_width=None,
        outcome_kind=outcome_kind,
        outcome=outcome,
        reasons=dict.fromkeys(names, reason),
    )


def _without_keys(analysis: Analysis, milestones: Milestones, reason: str) -> Analysis:
    """The same analysis with an empty set of key frequencies and what follows from it."""
    found = analysis.key_frequencies
    rest = evidence(found.order, ()) if found.evidence is not None else None
    return dataclasses.replace(
        analysis,
        key_frequencies=KeyFrequencies(found.order, (), found.rule, found.step, rest, reason),
        trajectory=analysis.trajectory.drop(columns=list(TRIGONOMETRIC)),
        ablations=ablations(()),
        circuit=pd.DataFrame(),
        milestones=milestones,
        circuit_steps=None,
        algorithm=Algorithm("none", reason),
    )


def memorized_analysis(n_checkpoints: int = 40) -> Analysis:
    """A run that memorized and never grokked: no key frequencies, one phase."""
    base = grokked_analysis(n_checkpoints)
    steps = base.trajectory["step"].to_numpy()
    base = dataclasses.replace(
        base,
        run=dataclasses.replace(base.run, curves=curves(groks=False)),
        trajectory=trajectory(steps, groks=False),
        by_frequency=by_frequency(steps, groks=False),
        phases=Phases((0, 1_400), None, None, {"cleanup": "the test loss never halves"}),
    )
    reason = "test accuracy never exceeded 0.95 to the end"
    milestones = without_steps(
        reason,
        *NEVER_FOUND,
        outcome_kind="memorized",
        outcome="Memorized: the training pairs are known, the test pairs are not.",
    )
    return _without_keys(base, milestones, reason)


def diverged_analysis() -> Analysis:
    """A run whose loss left the finite numbers at step 300."""
    base = grokked_analysis(8)
    table = curves().iloc[:301].copy()
    table.loc[300, "train_loss"] = np.nan
    steps = np.array([0, 1, 2, 4, 100, 200])
    measures = trajectory(steps)
    measures.loc[measures.index[-1], "distance_irrelevance"] = np.nan
    measures.loc[measures.index[-1], "loss_all"] = np.inf
    base = dataclasses.replace(
        base,
        run=_run(base.run.config, table, steps, base.run.origin),
        trajectory=measures,
        by_frequency=by_frequency(steps),
        phases=Phases(reasons={"memorization": "the run diverged at step 300"}),
        failures={"step_00000300.safetensors": "its checksum is not that of the index"},
    )
    reason = "the run diverged at step 300"
    milestones = without_steps(
        reason,
        "memorization_step",
        *NEVER_FOUND,
        outcome_kind="diverged",
        outcome="Diverged: the training loss was not finite at step 300.",
    )
    return _without_keys(base, milestones, reason)


def acyclic_analysis() -> Analysis:
    """Multiplication modulo a composite number: no spectrum, no trigonometric columns."""
    base = memorized_analysis(20)
    config = TrainConfig(task=TaskSpec(operation="multiplication", p=12, train_fraction=0.5))
    steps = base.trajectory["step"].to_numpy()
    reason = "multiplication modulo 12 is not addition in a cyclic group"
    return dataclasses.replace(
        base,
        run=_run(config, curves(12, groks=False), steps, base.run.origin),
        key_frequencies=KeyFrequencies(12, (), "logit_power", None, None, reason),
        trajectory=base.trajectory.drop(columns=["gini_W_E", "gini_W_L"]),
        by_frequency=base.by_frequency.iloc[:0],
        ablations=base.ablations.iloc[:0],
    )


def single_checkpoint_analysis() -> Analysis:
    """One imported checkpoint without curves: no steps, no phases."""
    base = grokked_analysis(1)
    bare = base.run.curves.iloc[:0]
    run = dataclasses.replace(base.run, curves=bare, environment={}, origin="One imported file.")
    milestones = without_steps(
        "one checkpoint is no trajectory",
        "memorization_step",
        *NEVER_FOUND,
        outcome_kind=None,
        outcome="One checkpoint: accuracies are those of step 25,000.",
    )
    return dataclasses.replace(base, run=run, phases=Phases(), milestones=milestones)


def empty_analysis() -> Analysis:
    """Nothing but NaN: every column is there and none has a value."""
    base = diverged_analysis()
    blank = base.trajectory.astype(float)
    blank.loc[:, blank.columns != "step"] = np.nan
    frequency = base.by_frequency.astype(float)
    frequency.loc[:, ~frequency.columns.isin(["step", "frequency"])] = np.nan
    table = base.run.curves.astype(float)
    table.loc[:, table.columns != "step"] = np.nan
    return dataclasses.replace(
        base,
        run=dataclasses.replace(base.run, curves=table),
        trajectory=blank,
        by_frequency=frequency,
        neurons=base.neurons.assign(phase_sum=np.nan, phase_out=np.nan, phase_error=np.nan),
        ablations=base.ablations.assign(loss_all=np.nan, loss_train=np.nan, loss_test=np.nan),
        mode_families=pd.DataFrame(),
        mode_spectrum=pd.DataFrame(),
    )


DEGENERATE = {
    "memorized": memorized_analysis,
    "diverged": diverged_analysis,
    "acyclic": acyclic_analysis,
    "single_checkpoint": single_checkpoint_analysis,
    "empty": empty_analysis,
}
"""Analyses of runs in which something is missing, by name."""

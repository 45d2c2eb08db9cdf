"""The settings that are run: several for each row of the table, and finer ones beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grokinterp.experiments.claims import AT_ONCE, GENERALIZED, LATE, NOT_GENERALIZED
from grokinterp.experiments.conditions.condition import Base, Condition
from grokinterp.experiments.conditions.rows import ROWS

REFERENCES: Mapping[Base, str] = {
    "transformer": "weight decay",
    "perceptron": "perceptron, small weights",
    "digits": "digits, provoked",
    "tumors": "tumors, provoked",
}
"""Setting by whose median grokking time the others are followed long enough, by base."""
GROKFAST = "Grokfast with weight decay"
NO_NOISE = "no pressure"
NOISE: Mapping[str, float] = {
    "gradient noise 1e-4": 1e-4,
    "gradient noise": 1e-3,
    "gradient noise 1e-2": 1e-2,
    "gradient noise 3e-2": 3e-2,
}
"""Strength of the noise by setting."""

MEMORIZED = ("memorized",)
NANDA, OMNIGROK, KUMAR = "Nanda et al. 2023", "Liu et al. 2022", "Kumar et al. 2023"
PRIETO = "Prieto et al. 2025"
YES, NATURAL, PERCEPTRON, NO_PRESSURE, TOO_SMALL, VERY_HIGH, DROPOUT = (row.name for row in ROWS)
N_PAIRS = 37 * 37
FOLLOWED = 40_000
"""Steps for which gradient noise, and its absence, are followed."""


def _decayed(name: str, in_words: str, **options: Any) -> Condition:
    return Condition(name, "transformer", in_words, **options)


def _free(
    name: str, in_words: str, changes: Mapping[str, Mapping[str, Any]] | None = None, **options: Any
) -> Condition:
    """Return a transformer without weight decay."""
    without = {"optimizer": {"weight_decay": 0.0}, **(changes or {})}
    return Condition(name, "transformer", f"{in_words}, no weight decay", without, **options)


def _perceptron(name: str, in_words: str, model: Mapping[str, Any], **options: Any) -> Condition:
    options = {"row": PERCEPTRON, "n_steps_quick": None, **options}
    return Condition(name, "perceptron", in_words, {"model": model}, **options)


_STRUCTURED = (
    _decayed("weight decay", "addition, weight decay 1", row=YES),
    _decayed(
        "weight decay 0.5",
        "addition, weight decay 0.5",
        changes={"optimizer": {"weight_decay": 0.5}},
        row=YES,
        n_steps_quick=None,
    ),
    _decayed(
        "multiplication",
        "multiplication, weight decay 1",
        changes={"task": {"operation": "multiplication"}},
        row=YES,
        n_steps_quick=None,
    ),
)

_NATURAL = (
    Condition(
        "natural data",
        "digits",
        "1,200 handwritten digits, weight decay 0.3",
        row=NATURAL,
        prediction=AT_ONCE,
        source=f"Power et al. 2022, {OMNIGROK}",
        n_steps=3000,
        n_steps_quick=3000,
    ),
    Condition(
        "digits, provoked",
        "digits",
        "200 handwritten digits, initial weights times 8, weight decay 0.3",
        {"task": {"n_train": 200}, "model": {"init_scale": 8.0}},
        row=NATURAL,
        prediction=LATE,
        source=OMNIGROK,
    ),
    Condition(
        "tumors",
        "tumors",
        "400 breast tumors, weight decay 0.3",
        row=NATURAL,
        prediction=AT_ONCE,
        source=f"Power et al. 2022, {OMNIGROK}",
        n_steps=3000,
        n_steps_quick=3000,
    ),
    Condition(
        "tumors, provoked",
        "tumors",
        "50 breast tumors, initial weights times 8, weight decay 0.3",
        {"task": {"n_train": 50}, "model": {"init_scale": 8.0}},
        row=NATURAL,
        prediction=LATE,
        source=OMNIGROK,
        n_steps=15_000,
    ),
)

_PERCEPTRONS = (
    _perceptron("perceptron, initial weights 0.1", "initial weights 0.1", {"init_scale": 0.1}),
    _perceptron(
        "perceptron, small weights",
        "initial weights 0.3",
        {"init_scale": 0.3},
        prediction=LATE,
        source=KUMAR,
        n_steps_quick=6500,
    ),
    _perceptron("perceptron, initial weights 0.6", "initial weights 0.6", {"init_scale": 0.6}),
    _perceptron(
        "perceptron, large initialization",
        "initial weights 1",
        {"init_scale": 1.0},
        prediction=MEMORIZED,
        source=KUMAR,
        n_steps_quick=6500,
    ),
    _perceptron(
        "perceptron, output scale 10",
        "initial weights 0.3, output times 10, zero at initialization",
        {"output_scale": 10.0, "is_centered": True},
    ),
    _perceptron(
        "perceptron, large output scale",
        "initial weights 0.3, output times 100, zero at initialization",
        {"output_scale": 100.0, "is_centered": True},
        prediction=MEMORIZED,
        source=KUMAR,
        n_steps_quick=6500,
    ),
)

_FREE = (
    _free(NO_NOISE, "addition", row=NO_PRESSURE, n_steps=FOLLOWED),
    _free(
        "no pressure, 75 %",
        "addition, 75 % of the pairs",
        {"task": {"train_fraction": 0.75}},
        row=NO_PRESSURE,
        n_steps_quick=None,
    ),
    _free(
        "no pressure, multiplication",
        "multiplication",
        {"task": {"operation": "multiplication"}},
        row=NO_PRESSURE,
        n_steps_quick=None,
    ),
    _free(
        "large initialization",
        "initial weights times 3",
        {"model": {"init_scale": 3.0}},
        row=NO_PRESSURE,
        prediction=MEMORIZED,
        source=OMNIGROK,
    ),
    _free(
        "small initialization",
        "initial weights times 0.3",
        {"model": {"init_scale": 0.3}},
        row=NO_PRESSURE,
        prediction=AT_ONCE,
        source=OMNIGROK,
    ),
)

_TOO_SMALL = tuple(
    _decayed(
        f"dataset too small, {n} pairs",
        f"{n} of the {N_PAIRS:,} pairs, weight decay 1",
        # Half a pair more, so that rounding down gives n.
        changes={"task": {"train_fraction": (n + 0.5) / N_PAIRS}},
        row=TOO_SMALL,
        n_steps_quick=6500 if n == 80 else None,
    )
    for n in (40, 80, 120)
)

_VERY_HIGH = tuple(
    _decayed(
        name,
        f"addition, weight decay {decay}",
        changes={"optimizer": {"weight_decay": float(decay)}},
        row=VERY_HIGH,
        n_steps_quick=6500 if decay == 8 else None,
    )
    for name, decay in (("very high weight decay", 8), ("very high weight decay, 16", 16))
)

_DROPOUT = tuple(
    _free(
        f"dropout {rate}",
        f"dropout {rate}",
        {"pressures": {"dropout": rate}},
        row=DROPOUT,
        prediction=LATE,
        source=NANDA,
        n_steps_quick=6500 if rate == 0.3 else None,
    )
    for rate in (0.1, 0.2, 0.3, 0.5)
)

_FINER = (
    _free(
        "L1 1e-4",
        "L1 penalty 1e-4",
        {"pressures": {"l1": 1e-4}},
        prediction=NOT_GENERALIZED,
        source=NANDA,
    ),
    _free(
        "L1 1e-5",
        "L1 penalty 1e-5",
        {"pressures": {"l1": 1e-5}},
        prediction=NOT_GENERALIZED,
        source=NANDA,
        n_steps_quick=None,
    ),
    *(
        _free(
            name,
            f"gradient noise {strength:g}",
            {"pressures": {"gradient_noise": strength}},
            source="Power et al. 2022",
            n_steps=FOLLOWED,
            n_steps_quick=6500 if strength == 1e-3 else None,
        )
        for name, strength in NOISE.items()
    ),
    _decayed(
        "small initialization, weight decay",
        "initial weights times 0.3, weight decay 1",
        changes={"model": {"init_scale": 0.3}},
        prediction=AT_ONCE,
        source=OMNIGROK,
        n_steps_quick=None,
    ),
    _decayed(
        GROKFAST,
        "slow gradients amplified (ema), weight decay 1",
        changes={"pressures": {"grokfast": "ema"}},
        prediction=GENERALIZED,
        source="Lee et al. 2024",
    ),
    _free(
        "perpGrad",
        "gradients orthogonal to weights",
        {"pressures": {"perp_grad": True}},
        prediction=GENERALIZED,
        source=PRIETO,
    ),
    _free(
        "StableMax",
        "StableMax loss",
        {"config": {"loss": "stable_max"}},
        prediction=GENERALIZED,
        source=PRIETO,
        n_steps_quick=None,
    ),
)

CONDITIONS: tuple[Condition, ...] = (
    *_STRUCTURED,
    *_NATURAL,
    *_PERCEPTRONS,
    *_FREE,
    *_TOO_SMALL,
    *_VERY_HIGH,
    *_DROPOUT,
    *_FINER,
)
CONDITION_OF: Mapping[str, Condition] = {condition.name: condition for condition in CONDITIONS}


def conditions_of(is_quick: bool) -> list[Condition]:
    """Return the settings of the quick version, or all."""
    return [c for c in CONDITIONS if not is_quick or c.n_steps_quick is not None]

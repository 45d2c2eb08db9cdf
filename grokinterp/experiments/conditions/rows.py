"""The rows of the table "when it happens", each with whose prediction it tests."""

from __future__ import annotations

from grokinterp.experiments.claims import AT_ONCE, GENERALIZED, LATE, NOT_GENERALIZED
from grokinterp.experiments.conditions.condition import Condition

REFERENCES = {"transformer": "weight decay", "perceptron": "perceptron, small weights"}
"""Row by whose median grokking time the others are followed long enough, by base."""
GROKFAST = "Grokfast with weight decay"

MEMORIZED = ("memorized",)
NO_DECAY = {"optimizer": {"weight_decay": 0.0}}
NANDA, OMNIGROK, KUMAR = "Nanda et al. 2023", "Liu et al. 2022", "Kumar et al. 2023"
POWER, PRIETO = "Power et al. 2022", "Prieto et al. 2025"


def _transformer(
    name: str, prediction: tuple[str, ...], source: str, in_words: str, **options: object
) -> Condition:
    return Condition(name, "transformer", prediction, source, in_words, **options)  # pyright: ignore[reportArgumentType]


CONDITIONS: tuple[Condition, ...] = (
    _transformer(
        "weight decay",
        LATE,
        NANDA,
        "small structured dataset, weight decay 1",
    ),
    Condition(
        "natural data",
        "digits",
        AT_ONCE,
        f"{POWER}, {OMNIGROK}",
        "1,200 handwritten digits, weight decay 0.3",
    ),
    Condition(
        "perceptron, small weights",
        "perceptron",
        LATE,
        KUMAR,
        "two-layer perceptron, no weight decay",
    ),
    Condition(
        "perceptron, large initialization",
        "perceptron",
        MEMORIZED,
        KUMAR,
        "initial weights 1 instead of 0.3, no weight decay",
        {"model": {"init_scale": 1.0}},
    ),
    Condition(
        "perceptron, large output scale",
        "perceptron",
        MEMORIZED,
        KUMAR,
        "output times 100, zero at initialization, no weight decay",
        {"model": {"output_scale": 100.0, "is_centered": True}},
    ),
    _transformer(
        "no pressure",
        MEMORIZED,
        NANDA,
        "no weight decay and nothing else",
        changes=NO_DECAY,
    ),
    _transformer(
        "large initialization",
        MEMORIZED,
        OMNIGROK,
        "initial weights times 3, no weight decay",
        changes={**NO_DECAY, "model": {"init_scale": 3.0}},
    ),
    _transformer(
        "dataset too small",
        MEMORIZED,
        f"{NANDA}, Varma et al. 2023",
        "20 % of the pairs, weight decay 1",
        changes={"task": {"train_fraction": 0.2}},
    ),
    _transformer(
        "very high weight decay",
        ("did_not_fit",),
        OMNIGROK,
        "weight decay 8",
        changes={"optimizer": {"weight_decay": 8.0}},
    ),
    _transformer(
        "dropout .3",
        LATE,
        NANDA,
        "dropout .3, no weight decay",
        changes={**NO_DECAY, "pressures": {"dropout": 0.3}},
    ),
    _transformer(
        "dropout .1",
        LATE,
        NANDA,
        "dropout .1, no weight decay",
        changes={**NO_DECAY, "pressures": {"dropout": 0.1}},
        is_in_quick=False,
    ),
    _transformer(
        "L1 1e-4",
        NOT_GENERALIZED,
        NANDA,
        "L1 penalty 1e-4, no weight decay",
        changes={**NO_DECAY, "pressures": {"l1": 1e-4}},
    ),
    _transformer(
        "L1 1e-5",
        NOT_GENERALIZED,
        NANDA,
        "L1 penalty 1e-5, no weight decay",
        changes={**NO_DECAY, "pressures": {"l1": 1e-5}},
        is_in_quick=False,
    ),
    _transformer(
        "gradient noise",
        GENERALIZED,
        POWER,
        "gradient noise 1e-3, no weight decay",
        changes={**NO_DECAY, "pressures": {"gradient_noise": 1e-3}},
    ),
    _transformer(
        "small initialization",
        AT_ONCE,
        OMNIGROK,
        "initial weights times 0.3, no weight decay",
        changes={**NO_DECAY, "model": {"init_scale": 0.3}},
    ),
    _transformer(
        "small initialization, weight decay",
        AT_ONCE,
        OMNIGROK,
        "initial weights times 0.3, weight decay 1",
        changes={"model": {"init_scale": 0.3}},
        is_in_quick=False,
    ),
    _transformer(
        GROKFAST,
        GENERALIZED,
        "Lee et al. 2024",
        "slow gradients amplified (ema), weight decay 1",
        changes={"pressures": {"grokfast": "ema"}},
        is_main=False,
    ),
    _transformer(
        "perpGrad",
        GENERALIZED,
        PRIETO,
        "gradients orthogonal to weights, no weight decay",
        changes={**NO_DECAY, "pressures": {"perp_grad": True}},
        is_main=False,
    ),
    _transformer(
        "StableMax",
        GENERALIZED,
        PRIETO,
        "StableMax loss, no weight decay",
        changes={**NO_DECAY, "config": {"loss": "stable_max"}},
        is_main=False,
        is_in_quick=False,
    ),
)

"""The questions that can be reproduced."""

from __future__ import annotations

from importlib import import_module

from grokinterp.errors import ConfigError
from grokinterp.experiments.experiment import Experiment
from grokinterp.fields import shown

EXPERIMENTS: tuple[str, ...] = (
    "power2022",
    "weight_decay",
    "nanda2023",
    "varma2023",
    "omnigrok",
    "kumar2023",
    "thilak2022",
    "conditions",
)
"""Names in the order in which they are listed and run. Each is a package beside this one whose
``EXPERIMENT`` is the question; it is imported when it is asked for."""


def experiment_of(name: str) -> Experiment:
    """Return the experiment of a name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in EXPERIMENTS:
        known = ", ".join(EXPERIMENTS) or "none yet"
        raise ConfigError(f"experiment {shown(name)} is not known. Choose one of {known}.")
    return import_module(f"grokinterp.experiments.{name}").EXPERIMENT

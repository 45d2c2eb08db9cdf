"""What the examples in docstrings start from; a plugin, since the examples lie outside tests/.

``python -m pytest -p tests.doctest_fixtures --doctest-modules grokinterp`` runs them. Each example
runs in a folder of its own, in which there are

- ``ckpts/``: a run of addition modulo 13 that has generalized, with its analysis;
- ``runs/wd0.5``, ``runs/wd1``, ``runs/wd2``: the same with other weight decays;
- ``runs/s3``: a run of the composition of permutations of three things;
- ``low_precision_mod_addition.pth``: a network in the format of Nanda et al. 2023.

An example may use ``run`` (that of ``ckpts/``), ``snapshot``, ``keys``, ``analysis``, ``analyses``
(of the three weight decays) and ``result`` (of a small question) without making them first, and
``gi``, ``np``, ``pd`` and ``torch`` without importing them.
"""

import dataclasses
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

# Numbers must not depend on the machine's cores; set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WEIGHT_DECAYS = {"wd0.5": 0.5, "wd1": 1.0, "wd2": 2.0}
COMPILED = (
    *("blas.py", "compiled.py", "fused_loss.py", "lanes.py"),
    *("team_kernels.py", "team_memory.py", "team_pass.py", "team_rows.py", "team_tables.py"),
)
"""Modules of grokinterp/training that can be imported only where numba is installed."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs numba where there is none."""
    needs_numba = collection_path.parent.name == "training" and collection_path.name in COMPILED
    return True if needs_numba and find_spec("numba") is None else None


@pytest.fixture(scope="session")
def example_world(tmp_path_factory):
    """Folder with the files that examples read; each example gets a copy."""
    import torch

    import grokinterp as gi
    from tests import planted

    torch.set_num_threads(1)
    world = tmp_path_factory.mktemp("examples")
    for name, weight_decay in WEIGHT_DECAYS.items():
        gi.train(modular_config(weight_decay), world / "runs" / name, progress=False)
    gi.train(permutation_config(), world / "runs" / "s3", progress=False)
    shutil.copytree(world / "runs" / "wd1", world / "ckpts")
    foreign = world / "low_precision_mod_addition.pth"
    torch.save(planted.clock_parameters(13, [2]), foreign)
    return world


def modular_config(weight_decay: float):
    """Addition modulo 13: 600 steps, some two seconds; generalizes with the frequencies 2 and 3."""
    import grokinterp as gi
    from tests import tiny

    return tiny.config(
        task=gi.TaskSpec(p=13, train_fraction=0.7, split_seed=2),
        optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=weight_decay),
        n_steps=800,
        checkpoint_every=100,
    )


def permutation_config():
    """Composition in S_3, 60 steps: enough for tables that only permutations have."""
    import grokinterp as gi

    task = gi.TaskSpec(operation="permutation_composition", degree=3, train_fraction=0.8)
    return dataclasses.replace(modular_config(1.0), task=task, n_steps=60, checkpoint_every=60)


@pytest.fixture(scope="session")
def example_names(example_world):
    """Names that examples may use without making them first."""
    import numpy as np
    import pandas as pd
    import torch

    import grokinterp as gi
    from tests import toy_experiment

    run = gi.load_run(example_world / "ckpts")
    snapshot = gi.take_snapshot(run)
    folders = [example_world / "runs" / name for name in WEIGHT_DECAYS]
    return {
        "gi": gi,
        "np": np,
        "pd": pd,
        "torch": torch,
        "run": run,
        "snapshot": snapshot,
        "keys": gi.find_key_frequencies(snapshot),
        "analysis": gi.analyze_run(run),
        "analyses": [gi.analyze_run(gi.load_run(folder), deep=False) for folder in folders],
        "result": gi.reproduce(
            toy_experiment.EXPERIMENT,
            quick=True,
            n_jobs=1,
            out=example_world / "reproduction",
            progress=False,
        ),
    }


@pytest.fixture(autouse=True)
def _example_folder(
    request, doctest_namespace, example_world, example_names, tmp_path, monkeypatch
):
    """Give every example its names, and a folder that it may change."""
    doctest_namespace.update(example_names)
    for name in ("ckpts", "runs"):
        shutil.copytree(example_world / name, tmp_path / name)
    shutil.copy(example_world / "low_precision_mod_addition.pth", tmp_path)
    monkeypatch.chdir(tmp_path)

"""Checkpoints that other people trained and published; never part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_file(name: str) -> Path:
    """Where a published file lies; the test is skipped where it does not."""
    folder = Path(os.environ.get("GROKINTERP_DATA", _BESIDE_THE_REPOSITORY))
    if not (folder / name).exists():
        pytest.skip(f"no {name} in {folder}; set GROKINTERP_DATA to the folder that has it")
    return folder / name

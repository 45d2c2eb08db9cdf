"""A config stored beside weights: which fields of the network it decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a network's spec that a stored config states.

    Parameters
    ----------
    config
        Plain fields, under TransformerLens's names or those of public training code.

    Examples
    --------
    >>> known_fields({"act_fn": "gelu", "lr": 1e-3})
    {'act_fn': 'gelu'}
    """
    return {"act_fn": str(config["act_fn"])} if "act_fn" in config else {}

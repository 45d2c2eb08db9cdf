"""Numbers as text in a page."""

from __future__ import annotations

import base64

import numpy as np
from torch import Tensor


def packed(values: Tensor | np.ndarray, dtype: str) -> str:
    """Return numbers as base64 of little-endian bytes, such as ``<f4``.

    Examples
    --------
    >>> import torch
    >>> packed(torch.tensor([1.0, -2.0]), "<f4")
    'AACAPwAAAMA='
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()

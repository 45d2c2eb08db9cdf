"""Networks: what a transformer is (spec), its first weights, and its forward passes."""

from grokinterp.models.spec import ModelSpec

__all__ = ["ModelSpec"]

"""Networks: what they are (specs), their initial weights, and their forward passes."""

from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.spec import ModelSpec

__all__ = ["MlpSpec", "ModelSpec"]

"""What one uploads of an analysis: weights, tables and a model card, in a folder."""

from grokinterp.sharing.folder import export, require_place

__all__ = ["export", "require_place"]

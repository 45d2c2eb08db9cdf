"""A circuit that one can change: a page that computes the network and what is left of it."""

from grokinterp.explorer.data import why_no_explorer
from grokinterp.explorer.page import Explorer, explore, explorer_block

__all__ = ["Explorer", "explore", "explorer_block", "why_no_explorer"]

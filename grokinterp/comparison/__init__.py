"""Many runs side by side: what differs between them, and what came of each."""

from grokinterp.comparison.comparison import Comparison, names_of
from grokinterp.comparison.from_runs import compare, comparison_of
from grokinterp.comparison.setting_table import compare_settings, setting_table

__all__ = [
    "Comparison",
    "compare",
    "compare_settings",
    "comparison_of",
    "names_of",
    "setting_table",
]

"""All runs of a plan: who trains them where, and the table that grows."""

from grokinterp.experiments.sweep.sweep import Failure, Sweep, run_sweep, write_table

__all__ = ["Failure", "Sweep", "run_sweep", "write_table"]

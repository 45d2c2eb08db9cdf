"""Many checkpoints: measures along the run, phases, milestones, the whole analysis."""

from grokinterp.trajectory.analysis import Analysis, analyze_run
from grokinterp.trajectory.circuit_steps import CircuitSteps, find_circuit_steps
from grokinterp.trajectory.events import Event
from grokinterp.trajectory.found_events import find_events
from grokinterp.trajectory.frequency_events import LifeRule
from grokinterp.trajectory.milestones import Milestones, Thresholds, find_milestones
from grokinterp.trajectory.mirrored import unmirrored_transition
from grokinterp.trajectory.outputs import write_tables
from grokinterp.trajectory.phases import Phases, find_phases
from grokinterp.trajectory.run_milestones import milestones_of

__all__ = [
    "Analysis",
    "CircuitSteps",
    "Event",
    "LifeRule",
    "Milestones",
    "Phases",
    "Thresholds",
    "analyze_run",
    "find_circuit_steps",
    "find_events",
    "find_milestones",
    "find_phases",
    "milestones_of",
    "unmirrored_transition",
    "write_tables",
]

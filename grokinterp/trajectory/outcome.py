"""What kind of outcome a run had, from its steps, and the sentence that says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.trajectory.course import Course
from grokinterp.trajectory.thresholds import Thresholds
from grokinterp.trajectory.transition import Transition

OutcomeKind = Literal[
    "grokked",
    "generalized_without_delay",
    "generalized_before_memorizing",
    "slow_convergence",
    "memorized",
    "did_not_fit",
    "collapsed",
    "not_settled",
    "diverged",
]
"""How a run ended; :func:`name_outcome` has the rule for each."""

_OF_DELAY = (
    "grokked",
    "generalized_without_delay",
    "generalized_before_memorizing",
    "slow_convergence",
)
_UNSETTLED = ("shaky", "sunk", "rising", "swinging")
_LEAST_DIFFERENCE = 0.05
"""Difference of plateau and chance, in accuracy, from which on the sentence says both."""


@dataclass(frozen=True)
class Facts:
    """What an outcome is judged by."""

    train: Course
    """Training accuracy against its threshold."""
    test: Course
    """Test accuracy against its threshold."""
    transition: Transition
    """The transition that is judged."""
    is_unmirrored: bool
    """Whether it is that of the test pairs whose mirror image is not trained."""
    plateau: float | None
    """Accuracy of the plateau on all test pairs."""
    chance: float | None
    """Accuracy of guessing, where it is known."""
    diverged_at: int | None
    """Step at which the training loss stopped being finite."""
    begins_at: int | None
    """First step of a record that begins too late to show what was reached there."""
    limits: Thresholds

    @property
    def delay(self) -> int | None:
        """Steps from memorization to generalization."""
        if self.train.reached is None or self.test.reached is None:
            return None
        return self.test.reached - self.train.reached


def name_outcome(facts: Facts) -> tuple[OutcomeKind | None, str]:
    """Name the outcome and say it in a sentence.

    ``diverged``
        The training loss stopped being finite.
    ``collapsed``
        An accuracy that was reached was lost for good.
    ``not_settled``
        An accuracy was reached and neither kept nor lost, swings, or is above its threshold
        only at the very end of the record. A training accuracy that sinks by no more than
        `dip_depth` does not count.
    ``did_not_fit``, ``memorized``
        The training accuracy, the test accuracy, never lasts above its threshold.
    ``generalized_before_memorizing``
        The test accuracy lasts above its threshold before the training accuracy does.
    ``generalized_without_delay``
        It follows within `delay_ratio` memorization steps.
    ``grokked``, ``slow_convergence``
        It comes later than that; the transition takes at most `width_ratio` of the delay, or
        more, or cannot be measured.

    Returns
    -------
    tuple
        No kind, and a sentence with the reason, where the record begins too late to show it.
    """
    kind = _kind(facts)
    if kind in _OF_DELAY and (said := _begins_too_late(facts)):
        return None, said
    return kind, _SENTENCES[kind](facts)


def _kind(facts: Facts) -> OutcomeKind:
    train, test, limits = facts.train, facts.test, facts.limits
    if facts.diverged_at is not None:
        return "diverged"
    if "lost" in (train.state, test.state):
        return "collapsed"
    if train.reached is None:
        return "not_settled" if train.state in ("rising", "swinging") else "did_not_fit"
    if train.state == "shaky" or test.state in _UNSETTLED:
        return "not_settled"
    if facts.delay is None:
        return "memorized"
    if facts.delay < 0:
        return "generalized_before_memorizing"
    if facts.delay <= limits.delay_ratio * train.reached:
        return "generalized_without_delay"
    width = facts.transition.width
    is_sharp = width is not None and width <= limits.width_ratio * facts.delay
    return "grokked" if is_sharp else "slow_convergence"


def _begins_too_late(facts: Facts) -> str:
    first, memorized, generalized = facts.begins_at, facts.train.reached, facts.test.reached
    if first is None or first not in (memorized, generalized):
        return ""
    assert memorized is not None and generalized is not None
    above = _above(facts)
    already, then = "had memorized its training pairs", ""
    if memorized > first:
        already, then = f"had {above}", f"; it memorized its training pairs at step {memorized:,}"
    elif generalized > first:
        then = f"; it reached {above} at step {generalized:,}"
    else:
        then = f" and had {above}"
    return f"No outcome: at step {first:,}, where the record begins, it already {already}{then}."


def _memorized(facts: Facts) -> str:
    step = facts.train.reached
    at = "by" if step == facts.begins_at else "at"
    return f"it memorized its training pairs {at} step {step:,}"


def _percent(fraction: float) -> str:
    """A threshold in per cent, with as many digits as it has."""
    return f"{100 * fraction:g}%"


def _above(facts: Facts) -> str:
    return f"a test accuracy above {_percent(facts.limits.grokking)}"


def _generalized(facts: Facts) -> str:
    step = facts.test.reached
    at = "by" if step == facts.begins_at else "at"
    return f"reached {_above(facts)} {at} step {step:,}"


def _say_diverged(facts: Facts) -> str:
    return f"Diverged: the training loss stopped being finite at step {facts.diverged_at:,}."


def _say_did_not_fit(facts: Facts) -> str:
    line = _percent(facts.limits.memorization)
    said = f"Did not fit: the training accuracy never stays above {line}"
    return f"{said}. It {_generalized(facts)}." if facts.test.reached is not None else f"{said}."


def _say_memorized(facts: Facts) -> str:
    return f"Memorized: {_memorized(facts)} and never reached and kept {_above(facts)}."


def _say_collapsed(facts: Facts) -> str:
    reached = [_memorized(facts)] if facts.train.reached is not None else []
    if facts.test.reached is not None:
        reached.append(_generalized(facts) if reached else f"it {_generalized(facts)}")
    said = f"Collapsed: {' and '.join(reached)}"
    lost = [
        f"the {name} accuracy at step {course.lost:,}"
        for name, course in (("training", facts.train), ("test", facts.test))
        if course.lost is not None
    ]
    return f"{said}; it lost {' and '.join(lost)}, for good."


def _say_not_settled(facts: Facts) -> str:
    remedy = "Train longer, or test more often, to see where it settles."
    line = _percent(facts.limits.grokking)
    again = "again and again without staying above"
    if facts.train.reached is None:
        line = _percent(facts.limits.memorization)
        is_swinging = facts.train.state == "swinging"
        passes = f"passes {line} {again}" if is_swinging else f"has only just passed {line}"
        return f"Not settled: the training accuracy {passes}. {remedy}"
    said = f"Not settled: {_memorized(facts)}"
    if facts.test.state in ("shaky", "sunk"):
        assert facts.test.reached is not None
        said += f" and {_generalized(facts)}, but has not kept it since"
    elif facts.test.state == "rising":
        said += f", and its test accuracy has only just passed {line}"
    elif facts.test.state == "swinging":
        said += f", and its test accuracy passes {line} {again}"
    else:
        above = _percent(facts.limits.memorization)
        said += f", but its training accuracy has not stayed above {above} since"
    return f"{said}. {remedy}"


def _say_without_delay(facts: Facts) -> str:
    return (
        f"Generalized without delay: {_memorized(facts)} and reached {_above(facts)} at step "
        f"{facts.test.reached:,}."
    )


def _say_before(facts: Facts) -> str:
    return (
        f"Generalized before memorizing: it reached {_above(facts)} at step "
        f"{facts.test.reached:,} and memorized its training pairs at step {facts.train.reached:,}."
    )


def _say_late(facts: Facts) -> str:
    return (
        f"{_memorized(facts)} and reached {_above(facts)} {facts.delay:,} steps later, at step "
        f"{facts.test.reached:,}"
    )


def _took(facts: Facts) -> str:
    took = f", in a transition of {facts.transition.width:,} steps"
    if facts.is_unmirrored:
        took += " (on the test pairs whose mirror image is not trained)"
    return took


def _say_grokked(facts: Facts) -> str:
    return f"Grokked: {_say_late(facts)}{_took(facts)}.{_say_plateau(facts)}"


def _say_slow(facts: Facts) -> str:
    said = f"Converged slowly: {_say_late(facts)}"
    if facts.transition.width is None:
        return (
            f"{said}: late, but whether it is sharp is not known, since {facts.transition.reason}."
            f"{_say_plateau(facts)}"
        )
    return f"{said}{_took(facts)}: late, but not sharp.{_say_plateau(facts)}"


def _say_plateau(facts: Facts) -> str:
    if facts.plateau is None or facts.chance is None:
        return ""
    if abs(facts.plateau - facts.chance) <= _LEAST_DIFFERENCE:
        return ""
    which = "accuracy on all test pairs" if facts.is_unmirrored else "test accuracy"
    return (
        f" On the plateau before it the {which} is {facts.plateau:.1%}; guessing has "
        f"{facts.chance:.1%}."
    )


_SENTENCES = {
    "grokked": _say_grokked,
    "generalized_without_delay": _say_without_delay,
    "generalized_before_memorizing": _say_before,
    "slow_convergence": _say_slow,
    "memorized": _say_memorized,
    "did_not_fit": _say_did_not_fit,
    "collapsed": _say_collapsed,
    "not_settled": _say_not_settled,
    "diverged": _say_diverged,
}

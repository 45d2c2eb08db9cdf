"""Rows of a table of runs that were never trained, with what a judge reads."""


def row(time, *, horizon, memorization, **labels):
    """A run that generalizes at `time`, or not by `horizon`; None: never.

    The labels may name any other column as well.
    """
    is_censored = time is None or time > horizon
    if memorization is None:
        kind = "did_not_fit"
    elif is_censored:
        kind = "memorized"
    else:
        kind = "grokked" if time > 2 * memorization else "generalized_without_delay"
    return {
        "last_step": horizon if is_censored else time + 200,
        "memorization_step": memorization,
        "is_censored": is_censored,
        "grokking_time": horizon if is_censored else time,
        "first_crossing_99": None if is_censored else time,
        "outcome_kind": kind,
        "train_accuracy": 0.3 if memorization is None else 1.0,
        "test_accuracy": 0.6 if is_censored else 1.0,
        "test_accuracy_mirrored": 0.9 if is_censored else 1.0,
        "test_accuracy_unmirrored": 0.03 if is_censored else 1.0,
    } | labels

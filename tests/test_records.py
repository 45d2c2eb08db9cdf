"""The dialect of a table of runs, and the rules by which claims are judged."""

import numpy as np
import pandas as pd
import pytest

from grokinterp.experiments.claims import MIN_SEEDS, share_verdict, too_few
from grokinterp.experiments.records import (
    by,
    is_above,
    is_below,
    is_censored,
    median_time,
    records_of,
    where,
)
from grokinterp.fields import plain_number


def planted():
    table = pd.DataFrame(
        {
            "arm": ["a", "b", "a", "b"],
            "grokking_time": [300, 900, 500, 900],
            "is_censored": [False, True, False, None],
            "delay": [100.0, np.nan, np.inf, 0.0],
        }
    )
    return records_of(table)


def test_what_is_missing_is_neither_above_nor_below():
    runs = planted()
    assert [is_above(run, "delay", 50) for run in runs] == [True, False, False, False]
    assert [is_below(run, "delay", 50) for run in runs] == [False, False, False, True]


def test_runs_are_grouped_in_the_order_in_which_they_come():
    groups = by(planted(), "arm")
    assert list(groups) == ["a", "b"] and [len(runs) for runs in groups.values()] == [2, 2]
    assert where(planted(), arm="b") == groups["b"]
    assert list(by(planted(), "arm", "grokking_time")) == [("a", 300), ("b", 900), ("a", 500)]


def test_a_run_without_accuracies_is_no_run_that_generalized():
    assert [is_censored(run) for run in planted()] == [False, True, False, True]
    assert median_time(where(planted(), arm="a")) == 400
    assert median_time(where(planted(), arm="b")) is None


@pytest.mark.parametrize(
    ("n_yes", "n_all", "expected"),
    [
        (2, 3, "confirmed"),
        (1, 3, "not confirmed"),
        (1, 2, "inconclusive"),
        (MIN_SEEDS - 1, MIN_SEEDS - 1, "inconclusive"),
        (0, 0, "inconclusive"),
    ],
)
def test_a_share_confirms_and_refutes_at_its_limits(n_yes, n_all, expected):
    found = share_verdict(n_yes, n_all, confirmed_from=2 / 3, refuted_up_to=1 / 3)
    assert found == expected


def test_a_share_at_the_limit_below_which_it_refutes_does_not_refute():
    limits = {"confirmed_from": 0.8, "refuted_below": 0.5}
    assert share_verdict(2, 4, **limits) == "inconclusive"
    assert share_verdict(1, 4, **limits) == "not confirmed"


def test_too_few_runs_make_a_claim_that_says_how_many():
    claim = too_few("spikes", 1, of="a condition that did not diverge", is_main=False)
    assert claim.verdict == "inconclusive" and not claim.is_main and claim.numbers["n_runs"] == 1
    assert "1 runs of a condition that did not diverge are too few" in claim.sentence


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (pd.NA, None),
        (pd.NaT, None),
        (float("inf"), None),
        (float("nan"), None),
        ("grokked", "grokked"),
    ],
)
def test_a_plain_number_is_one_that_json_has(value, expected):
    found = plain_number(value)
    assert found == expected and type(found) is type(expected)

"""Fixtures; the library is imported inside them, after the type-checking hook is in place."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Commands and notebooks that tests start share the cores with the tests beside them: several
# threads each would wait for each other. Numbers must not depend on the machine's cores either.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A short search that finds the same in every run, and a long one that is run by hand:
# pytest tests/test_fuzz.py --hypothesis-profile=nightly.
_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "short", max_examples=60, derandomize=True, deadline=None, suppress_health_check=_CHECKS
)
settings.register_profile(
    "nightly", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=_CHECKS
)
settings.load_profile("short")


@pytest.fixture(autouse=True, scope="session")
def _one_thread_count():
    """Every test trains and computes with the same number of threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def without_type_checks():
    """Call the library as a user does: its own errors, not those of the checks under pytest."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_config():
    """p = 13 on a small network: 400 steps in about a second."""
    from tests import tiny

    return tiny.config()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_config):
    """The run of `tiny_config`, trained once."""
    from grokinterp.training import train

    return train(tiny_config, tmp_path_factory.mktemp("tiny"), progress=False)


@pytest.fixture(scope="session")
def tiny_analysis(tiny_run):
    """Its analysis."""
    from grokinterp.trajectory import analyze_run

    return analyze_run(tiny_run)

"""The work of a fast step, counted: operations of torch, and multiplications in products."""

import ctypes

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grokinterp.benchmarks import cases
from grokinterp.training import kernel_choice
from grokinterp.training.kernel_choice import blas, has_numba
from grokinterp.training.pair_table_step import PairTableEvaluation, PairTableStep
from tests.test_benchmark import built

needs_kernels = pytest.mark.skipif(
    not has_numba() or blas(torch.float32) is None, reason="the extra fast is not installed"
)
NEURONS_AND_CLASSES = int(0.3 * 113**2) * 512 * 113
"""Multiplications of one of the three products that no step can avoid at p = 113."""
# The products with 128 numbers of a token, and as many of their gradients.
TABLES = 1.19


class CountedOperations(TorchDispatchMode):
    """Counts the operations of torch that do something."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if not function.is_view:
            self.names.append(function.overloadpacket.__name__)
        return function(*arguments, **(named or {}))


@pytest.fixture
def counted_products(monkeypatch):
    """Count multiplications of the products that kernels ask for; they are done all the same."""
    form = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)
    real, counts = form(blas(torch.float32)), []

    @form
    def count(*arguments):
        sizes = [ctypes.c_int32.from_address(arguments[place]).value for place in (2, 3, 4)]
        counts.append(sizes[0] * sizes[1] * sizes[2])
        real(*arguments)

    address = ctypes.cast(count, ctypes.c_void_p).value
    from grokinterp.training import team_pass

    monkeypatch.setattr(team_pass, "blas", lambda dtype: address)
    counts.append(count)  # that it lives as long as its address is used
    yield counts
    del counts[:]


@needs_kernels
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_fast_step_multiplies_little_more_than_the_three_products(counted_products, n_threads):
    if n_threads > 1 and kernel_choice.openmp() is None:
        pytest.skip("torch's threads are not GNU OpenMP's")
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        step = built(PairTableStep, cases.setting_of(113, 512))
        loss = step.loss_and_gradients().item()
    finally:
        torch.set_num_threads(before)
    assert loss == pytest.approx(4.735, abs=1e-3)
    n = sum(counted_products[1:])
    assert 3 * NEURONS_AND_CLASSES < n < TABLES * 3 * NEURONS_AND_CLASSES


@needs_kernels
def test_a_fast_test_multiplies_little_more_than_the_one_product(counted_products):
    n_test = 113**2 - int(0.3 * 113**2)
    built(PairTableEvaluation, cases.setting_of(113, 512), "test").loss_and_accuracy()
    n = sum(counted_products[1:])
    assert n_test * 512 * 113 < n < 1.08 * n_test * 512 * 113


@pytest.mark.parametrize("with_numba", [None, False])
def test_a_step_asks_torch_for_few_operations(with_numba):
    """Each costs some microseconds to start, which is most of a step of a small network."""
    step = built(PairTableStep, cases.setting_of(31, 128), with_numba=with_numba)
    step.loss_and_gradients()
    with CountedOperations() as counted:
        step.loss_and_gradients()
    most = MOST_OPERATIONS["numba" if "numba" in step.name else "torch"]
    assert len(counted.names) <= most, sorted(counted.names)
    assert len(counted.names) > most / 2


# Older versions of torch make a few more of the same calls.
MOST_OPERATIONS = {"numba": 2, "torch": 160}

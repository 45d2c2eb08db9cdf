"""The fast step as one compiled kernel: teams of threads, precisions, and what it falls back to."""

import ctypes
import math
import re
from pathlib import Path

import pytest
import torch

import grokinterp.training
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import is_trained
from grokinterp.runs.network import Network
from grokinterp.tasks import Task, TaskSpec
from grokinterp.training import kernel_choice, pair_table_step
from grokinterp.training.kernel_choice import has_numba
from grokinterp.training.pair_table_step import PairTableEvaluation, PairTableStep
from grokinterp.training.step import AutogradStep
from tests.test_pair_table_step import EXACT64, batch, float64_parameters

needs_numba = pytest.mark.skipif(
    not has_numba() or kernel_choice.openmp() is None,
    reason="numba is not installed (the extra fast), or torch's threads are not GNU OpenMP's",
)
# 5 heads: four at once and one; 40 neurons and 14 classes: neither fills whole vectors.
SPEC = ModelSpec(d_model=24, n_heads=5, d_head=8, d_mlp=40, biases="all", outputs="tokens")


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def in_precision(parameters, dtype):
    return {
        name: value.detach().to(dtype).requires_grad_(value.requires_grad)
        for name, value in parameters.items()
    }


def gradients_of(step, parameters):
    step.loss_and_gradients()
    return {name: value.grad.clone() for name, value in parameters.items() if value.requires_grad}


@needs_numba
@pytest.mark.parametrize("n_heads", [4, 5])
@pytest.mark.parametrize("threads", [1, 2, 3, 7], indirect=True)
def test_every_gradient_of_a_team_is_that_of_autograd(threads, n_heads, monkeypatch):
    """Also of a team with more threads than there are vectors of classes."""
    monkeypatch.setattr(pair_table_step, "PAIRS_AT_A_TIME", 30)
    spec = ModelSpec(d_model=24, n_heads=n_heads, d_head=8, d_mlp=40, biases="all")
    parameters = float64_parameters(spec, 13)
    network = Network(spec, Task(TaskSpec(p=13)))
    expected = gradients_of(AutogradStep(parameters, network, *batch(13), "float64"), parameters)
    step = PairTableStep(parameters, spec, *batch(13), "float64")
    assert "numba" in step.name
    found = gradients_of(step, parameters)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **EXACT64, msg=name)
    parameters["blocks.0.attn.W_V"].data[0, 0, 0] += 1e-6
    other = gradients_of(step, parameters)["blocks.0.attn.W_V"]
    with pytest.raises(AssertionError):
        torch.testing.assert_close(other, expected["blocks.0.attn.W_V"], **EXACT64)


@needs_numba
@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.parametrize("outputs", ["answers", "tokens"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_precisions_and_numbers_of_outputs_have_the_gradients_of_autograd(
    threads, outputs, dtype
):
    spec = ModelSpec(d_model=24, n_heads=5, d_head=8, d_mlp=40, biases="all", outputs=outputs)
    exact = float64_parameters(spec, 13)
    network = Network(spec, Task(TaskSpec(p=13)))
    expected = gradients_of(AutogradStep(exact, network, *batch(13), "float64"), exact)
    parameters = in_precision(exact, dtype)
    found = gradients_of(PairTableStep(parameters, spec, *batch(13), "float64"), parameters)
    # A gradient is a sum of some hundred terms, each of them rounded some ten times.
    close = EXACT64 if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-6}
    assert found["unembed.b_U"].shape == (14 if outputs == "tokens" else 13,)
    for name, gradient in expected.items():
        assert found[name].dtype == dtype
        torch.testing.assert_close(found[name].double(), gradient, **close, msg=name)


@needs_numba
@pytest.mark.parametrize("threads", [2], indirect=True)
def test_bits_do_not_depend_on_which_thread_is_first(threads):
    spec = ModelSpec(d_model=32, n_heads=4, d_head=8, d_mlp=64)
    parameters = in_precision(float64_parameters(spec, 31), torch.float32)
    step = PairTableStep(parameters, spec, *batch(31), "float64")
    first = gradients_of(step, parameters)
    for _ in range(20):
        again = gradients_of(step, parameters)
        assert all(torch.equal(again[name], first[name]) for name in first)
    with torch.no_grad():
        parameters["embed.W_E"][0, 0] += 1e-3
    other = gradients_of(step, parameters)
    assert not torch.equal(other["blocks.0.mlp.W_in"], first["blocks.0.mlp.W_in"])


@needs_numba
@pytest.mark.parametrize("name", ["blocks.0.mlp.W_in", "unembed.W_U", "blocks.0.attn.W_Q"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_shows_in_the_loss_of_step_and_test(name, bad):
    spec = ModelSpec(d_model=24, n_heads=5, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, 13)
    step = PairTableStep(parameters, spec, *batch(13), "float64")
    test = PairTableEvaluation(parameters, spec, *batch(13), "float64")
    assert math.isfinite(step.loss_and_gradients()) and math.isfinite(test.loss_and_accuracy()[0])
    with torch.no_grad():
        parameters[name].view(-1)[0] = bad
    assert not math.isfinite(step.loss_and_gradients())
    assert not math.isfinite(test.loss_and_accuracy()[0])


@needs_numba
def test_weights_that_do_not_lie_row_by_row_give_the_same_step():
    parameters = float64_parameters(SPEC, 13)
    expected = gradients_of(PairTableStep(parameters, SPEC, *batch(13), "float64"), parameters)
    turned = {
        name: (value.detach().T.contiguous().T if value.ndim == 2 else value.detach())
        for name, value in parameters.items()
    }
    turned = {name: value.requires_grad_(is_trained(name, SPEC)) for name, value in turned.items()}
    assert not turned["unembed.W_U"].is_contiguous()
    found = gradients_of(PairTableStep(turned, SPEC, *batch(13), "float64"), turned)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_without_torchs_products_the_step_is_that_of_torch_alone(monkeypatch):
    monkeypatch.setattr(pair_table_step, "blas", lambda dtype: None)
    parameters = float64_parameters(SPEC, 13)
    assert "numba" not in PairTableStep(parameters, SPEC, *batch(13), "float64").name


def test_a_function_that_is_no_product_is_not_taken_for_one():
    @ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)
    def does_nothing(*_):
        pass

    assert kernel_choice._multiplies(does_nothing, torch.float32) is False
    address = kernel_choice.blas(torch.float32)
    if address is None:
        pytest.skip("this torch shows no sgemm")
    assert kernel_choice.blas(torch.float16) is None
    real = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
    assert kernel_choice._multiplies(real, torch.float32) is True


@needs_numba
def test_machine_code_of_other_sources_is_not_used_again(monkeypatch):
    """Numba's cache sees the file of a kernel, and not what the kernel calls."""
    from grokinterp.training import compiled

    folder = Path(grokinterp.training.__file__).parent
    uses = re.compile(r"^(import|from) (numba|grokinterp\.training\.compiled)\b", re.MULTILINE)
    using = {path.name for path in folder.glob("*.py") if uses.search(path.read_text("utf-8"))}
    assert using == {*compiled.SOURCES}
    now = compiled.source_version()
    monkeypatch.setattr(compiled, "SOURCES", compiled.SOURCES[1:])
    compiled.source_version.cache_clear()
    other = compiled.source_version()
    compiled.source_version.cache_clear()
    assert other != now

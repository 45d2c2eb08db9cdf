import dataclasses
import json
import math

import pytest
import torch

from grokinterp.circuits import KeyFrequencies, find_algorithm, find_key_frequencies
from grokinterp.circuits.algorithm import Algorithm, judge
from grokinterp.circuits.circles import MIN_CIRCULARITY, circularity, isolate_circle
from grokinterp.circuits.key_frequency_set import DENSE_CAVEAT
from grokinterp.circuits.logit_formulas import (
    FORMULAS,
    logit_variance_explained,
    variance_explained_by_formula,
)
from grokinterp.circuits.trigonometric import fraction_logit_variance_explained
from grokinterp.errors import ConfigError
from grokinterp.spectra import power_by_frequency
from grokinterp.tasks import Split, Task, TaskSpec, draw_split
from tests import planted
from tests.tolerances import CHAINED64, EXACT64, FLOAT32

PLACES = ["lowest", "middle", "highest"]


def waves(n, *frequencies, sizes=(1.0, 0.5, 0.25)):
    """Embeddings that are circles of these frequencies, one coordinate per cosine and sine."""
    x = torch.arange(n).double()
    columns = []
    for k, size in zip(frequencies, sizes, strict=False):
        columns.append(size * torch.cos(2 * math.pi * k * x / n))
        if 2 * k != n:
            columns.append(size * torch.sin(2 * math.pi * k * x / n))
    return torch.stack(columns, dim=1)


def embedded(rows, operation="addition", p=None):
    p = p or len(rows)
    base = planted.snapshot(planted.noise(p * p, p), planted.split(p, operation))
    return planted.with_embedding(base, rows)


# Circles


@pytest.mark.parametrize("n", [12, 13, 59])
@pytest.mark.parametrize("place", PLACES)
def test_circles_of_different_sizes_have_circularity_one(n, place):
    snapshot = embedded(waves(n, planted.frequency_at(place, n), 2))
    assert circularity(snapshot) == pytest.approx(1, **FLOAT32)


def test_two_waves_in_one_component_halve_the_circularity():
    mixture = waves(13, 2)[:, :1] + waves(13, 5)[:, :1]
    assert circularity(embedded(mixture)) == pytest.approx(0.5, **FLOAT32)


def test_noise_has_the_circularity_of_the_largest_of_its_shares():
    n = 113
    found = [circularity(embedded(planted.noise(n, 6, seed=seed))) for seed in range(5)]
    # The largest of 56 shares that follow an exponential law is H_56 / 56 on average, with a
    # standard deviation of about pi / sqrt(6) / 56; four components are averaged.
    mean = sum(1 / m for m in range(1, 57)) / 56
    error = math.pi / math.sqrt(6) / 56 / math.sqrt(4)
    assert all(abs(c - mean) < 5 * error for c in found)


def test_the_circles_of_multiplication_are_found_in_the_order_of_logarithms():
    p, k = 13, 3
    rows = waves(p - 1, k, 5)
    base = planted.snapshot(planted.noise(p * p, p), planted.split(p, "multiplication"))
    assert circularity(planted.with_embedding(base, rows)) == pytest.approx(1, **FLOAT32)
    in_order_of_tokens = rows[base.class_tokens - 1]
    assert circularity(planted.with_embedding(base, in_order_of_tokens)) < MIN_CIRCULARITY - 0.1


def test_an_embedding_without_variance_has_no_circularity():
    assert math.isnan(circularity(embedded(torch.ones(13, 2))))


@pytest.mark.parametrize("isolation", ["fourier", "principal_components"])
@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("place", PLACES)
def test_an_isolated_circle_is_all_that_is_left_of_the_residues(n, place, isolation):
    k = planted.frequency_at(place, n)
    snapshot = embedded(waves(n, k, 2) + 3.0)
    alone = isolate_circle(snapshot, k, isolation=isolation)
    rows = alone.parameters["embed.W_E"][:n]
    power = power_by_frequency(rows)
    assert float(power[k - 1]) == pytest.approx(
        float(power_by_frequency(snapshot.parameters["embed.W_E"][:n])[k - 1]), **FLOAT32
    )
    power[k - 1] = 0
    assert float(power.max()) < 1e-9
    kept = snapshot.parameters["embed.W_E"]
    assert torch.allclose(rows.mean(dim=0), kept[:n].mean(dim=0), atol=1e-6)
    assert torch.equal(alone.parameters["embed.W_E"][n], kept[n])


def test_a_frequency_that_does_not_exist_cannot_be_isolated():
    with pytest.raises(ConfigError, match=r"frequency 7 is not one of 1 \.\. 6"):
        isolate_circle(embedded(waves(13, 2)), 7)


# Formulas


def written_out(formula, k, n):
    """The formulas as they are printed, for the indices i, j and c."""
    w = 2 * math.pi * k / n

    def function(i, j, c):
        product, turn = torch.cos(w * (i - j) / 2).abs(), torch.cos(w * (i + j - c))
        half = w * (i + j - c) / 2
        return {
            "clock": turn,
            "pizza_product": product * turn,
            "pizza_absolute": product * (half.cos().abs() - half.sin().abs()),
            "accompanying": -torch.cos(w * (i - j)) * turn,
        }[formula]

    return function


def logits_of(formula, frequencies, p, operation="addition"):
    parts = planted.split(p, operation)
    n = parts.task.cyclic_view.order
    logits = sum(
        (3.0 + index) * planted.in_view(parts.task, written_out(formula, k, n))
        for index, k in enumerate(frequencies)
    )
    return planted.snapshot(torch.as_tensor(logits), parts)


@pytest.mark.parametrize("formula", [f for f in FORMULAS if f != "pizza_accompanied"])
@pytest.mark.parametrize(
    ("operation", "p"),
    [("addition", 12), ("addition", 13), ("subtraction", 13), ("multiplication", 13)],
)
def test_a_formula_explains_all_of_its_own_logits(formula, operation, p):
    snapshot = logits_of(formula, [1, 3, 6], p, operation)
    assert logit_variance_explained(snapshot, [1, 3, 6], formula) == pytest.approx(1, **CHAINED64)
    # One of the three frequencies alone does not.
    assert 0.05 < logit_variance_explained(snapshot, [3], formula) < 0.95


def share_of_the_product(n, k):
    r"""What of a clock's variance the product formula explains: mean(|cos|)² / mean(cos²).

    The angles pi k d / n run through the multiples of pi / m with m = n / gcd(k, n), over which
    |cos| sums to 1 / sin(pi / 2m) at odd and to 1 / tan(pi / 2m) at even m, and cos² to m / 2.
    As m grows the share tends to 8 / pi².
    """
    m = n // math.gcd(k, n)
    total = 1 / math.sin(math.pi / (2 * m)) if m % 2 else 1 / math.tan(math.pi / (2 * m))
    return (total / m) ** 2 / 0.5


@pytest.mark.parametrize(("n", "k"), [(12, 1), (12, 4), (12, 6), (13, 4), (59, 29)])
def test_clock_and_pizza_explain_the_same_part_of_each_other(n, k):
    expected = share_of_the_product(n, k)
    a_clock, a_pizza = logits_of("clock", [k], n), logits_of("pizza_product", [k], n)
    of_clock = logit_variance_explained(a_clock, [k], "pizza_product")
    of_pizza = logit_variance_explained(a_pizza, [k], "clock")
    assert of_clock == pytest.approx(expected, **CHAINED64)
    assert of_pizza == pytest.approx(expected, **CHAINED64)


def test_the_share_tends_to_eight_over_pi_squared():
    assert share_of_the_product(100_003, 1) == pytest.approx(8 / math.pi**2, rel=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("n", [6, 7])
def test_the_fraction_is_that_of_a_least_squares_fit_to_all_logits(formula, n):
    parts = planted.split(n)
    logits = planted.noise(n * n, n, seed=4)
    names = ["pizza_product", "accompanying"] if formula == "pizza_accompanied" else [formula]
    columns = [
        planted.in_view(parts.task, written_out(name, k, n)) for k in (1, n // 2) for name in names
    ]
    centered = [x - x.mean(dim=1, keepdim=True) for x in (*columns, logits)]
    A, y = torch.stack([x.flatten() for x in centered[:-1]], dim=1), centered[-1].flatten()
    # The normal equations; numbers of noise are near independent, so they are well posed.
    amplitudes = torch.linalg.solve(A.T @ A, A.T @ y)
    expected = 1 - float((y - A @ amplitudes).square().sum() / y.square().sum())
    found = logit_variance_explained(planted.snapshot(logits, parts), [1, n // 2], formula)
    assert found == pytest.approx(expected, **CHAINED64)


def test_the_clocks_formula_is_the_cosine_fit_of_the_trigonometric_circuit():
    snapshot = planted.snapshot(planted.noise(13 * 13, 13, seed=8), planted.split(13))
    keys = KeyFrequencies.given(13, [2, 6])
    explained = variance_explained_by_formula(snapshot, keys.frequencies)
    assert set(explained) == set(FORMULAS)
    assert explained["clock"] == pytest.approx(
        fraction_logit_variance_explained(snapshot, keys), **CHAINED64
    )


def test_a_constant_per_pair_changes_no_fraction():
    snapshot = logits_of("pizza_absolute", [2, 5], 13)
    shifted = dataclasses.replace(
        snapshot, logits=snapshot.logits + 100 * planted.noise(169, 1, seed=2)
    )
    for formula, value in variance_explained_by_formula(snapshot, [2, 5]).items():
        assert logit_variance_explained(shifted, [2, 5], formula) == pytest.approx(
            value, **CHAINED64
        )


def test_an_accompanied_pizza_is_a_clock_to_look_at():
    n, k = 59, 7
    beta = 4 / (3 * math.pi)
    parts = planted.split(n)
    product, second = (
        planted.in_view(parts.task, written_out(name, k, n))
        for name in ("pizza_product", "accompanying")
    )
    snapshot = planted.snapshot(product + beta * second, parts)
    explained = variance_explained_by_formula(snapshot, [k])
    assert explained["pizza_accompanied"] == pytest.approx(1, **CHAINED64)
    assert explained["clock"] > 0.98 > 0.85 > explained["pizza_product"]


def test_constant_logits_have_no_variance_to_explain():
    snapshot = planted.snapshot(torch.ones(49, 7, dtype=torch.float64), planted.split(7))
    assert math.isnan(logit_variance_explained(snapshot, [1], "clock"))


def test_unknown_formulas_and_frequencies_are_refused(without_type_checks):
    snapshot = logits_of("clock", [1], 7)
    with pytest.raises(ConfigError, match="formula='sundial' is not known"):
        logit_variance_explained(snapshot, [1], "sundial")
    with pytest.raises(ConfigError, match=r"frequency 4 is not one of 1 \.\. 3"):
        logit_variance_explained(snapshot, [4], "clock")


# The verdict

KEYS = [3, 7, 12]


@pytest.fixture(scope="module")
def clock():
    """Every token at a distance of its own from the center, as trained embeddings have it."""
    radii = 1 + 0.2 * planted.noise(31, seed=5).clamp(-1.5, 1.5)
    return planted.clock_snapshot(31, KEYS, radii=radii)


@pytest.fixture(scope="module")
def pizza():
    return planted.pizza_snapshot(31, KEYS)


def test_a_network_that_multiplies_is_a_clock(clock):
    keys = find_key_frequencies(clock)
    assert clock.accuracy_all == 1 and keys.frequencies == tuple(KEYS)
    algorithm = find_algorithm(clock, keys, n_triples=None)
    assert algorithm.verdict == "clock"
    # Over all pairs the cosines of w_k(a - b) cancel.
    assert algorithm.gradient_symmetricity.mean == pytest.approx(0, abs=0.02)
    assert algorithm.distance_irrelevance > 0.9
    for explained in algorithm.variance_explained_by_circle.values():
        assert explained["clock"] > 0.99 > 0.9 > explained["pizza_product"]


def test_a_network_that_adds_embeddings_is_a_pizza(pizza):
    keys = find_key_frequencies(pizza)
    assert pizza.accuracy_all == 1 and keys.frequencies == tuple(KEYS)
    algorithm = find_algorithm(pizza, keys, n_triples=None)
    assert algorithm.verdict == "pizza"
    assert algorithm.gradient_symmetricity.mean == pytest.approx(1, **FLOAT32)
    assert algorithm.distance_irrelevance < 0.1
    for explained in algorithm.variance_explained_by_circle.values():
        assert explained["pizza_product"] > 0.99 > 0.9 > explained["clock"]


def test_evidence_that_contradicts_itself_is_mixed(pizza):
    # The weights of a pizza, whose gradients are equal, beside a clock's logits.
    logits = planted.cosines(pizza.task, dict.fromkeys(KEYS, 10.0)).float()
    noisy = logits + 0.1 * planted.noise(*logits.shape, seed=1).float()
    algorithm = find_algorithm(
        dataclasses.replace(pizza, logits=noisy), KeyFrequencies.given(31, KEYS)
    )
    assert algorithm.verdict == "mixed"
    assert algorithm.gradient_symmetricity.mean > 0.98 and algorithm.distance_irrelevance > 0.6


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ((0.981, 0.59, 0.7, 0.8), "pizza"),
        ((0.98, 0.59, 0.7, 0.8), "mixed"),
        ((0.981, 0.6, 0.7, 0.8), "mixed"),
        ((0.981, 0.59, 0.8, 0.7), "mixed"),
        ((0.49, 0.41, 0.8, 0.7), "clock"),
        ((0.5, 0.41, 0.8, 0.7), "mixed"),
        ((0.49, 0.4, 0.8, 0.7), "mixed"),
        ((0.49, 0.41, 0.7, 0.8), "mixed"),
        ((0.49, math.nan, 0.8, 0.7), "mixed"),
    ],
)
def test_the_verdict_follows_the_stated_lines(numbers, verdict):
    found, reason = judge(*numbers)
    assert found == verdict
    assert "clock below 0.5, pizza above 0.98" in reason
    assert "clock above 0.4, pizza below 0.6" in reason


def without_evidence(algorithm):
    return set(algorithm.to_dict()) == {"verdict", "reason"} and algorithm.verdict == "none"


def test_a_network_that_does_not_solve_the_task_has_no_algorithm():
    snapshot = planted.snapshot(planted.noise(169, 13), planted.split(13))
    algorithm = find_algorithm(snapshot, KeyFrequencies.given(13, [2]))
    assert without_evidence(algorithm)
    unmirrored = snapshot.are_correct[torch.tensor(snapshot.split.unmirrored_test)]
    assert f"only {unmirrored.double().mean():.1%} of the {len(unmirrored)}" in algorithm.reason
    unknown = planted.snapshot(snapshot.logits, Split.unknown(snapshot.task))
    reason = find_algorithm(unknown, KeyFrequencies.given(13, [2])).reason
    assert f"only {snapshot.accuracy_all:.1%} of all pairs" in reason


def test_a_dense_set_says_that_logits_cannot_tell_a_circuit_from_a_table():
    p = 17
    parts = planted.split(p)
    logits = 20 * torch.nn.functional.one_hot(torch.tensor(parts.task.labels)).float()
    network = planted.pizza_snapshot(p, list(range(1, 9)))
    dense = dataclasses.replace(network, logits=logits, split=parts, task=parts.task)
    keys = find_key_frequencies(dense, n_permutations=50)
    assert keys.is_dense
    assert DENSE_CAVEAT in find_algorithm(dense, keys, n_triples=50).reason
    few = planted.pizza_snapshot(p, [2, 5, 7])
    keys = find_key_frequencies(few, n_permutations=50)
    assert not keys.is_dense
    assert DENSE_CAVEAT not in find_algorithm(few, keys, n_triples=50).reason


def test_a_network_without_key_frequencies_has_no_algorithm(pizza):
    nothing = KeyFrequencies(31, (), reason="nobody looked")
    algorithm = find_algorithm(pizza, nothing)
    assert without_evidence(algorithm)
    assert algorithm.reason == "there are no key frequencies: nobody looked"


def test_a_task_without_a_cyclic_view_has_no_algorithm():
    parts = planted.split(12, "multiplication")
    right = torch.nn.functional.one_hot(torch.tensor(parts.task.labels), 12).double()
    snapshot = planted.snapshot(right, parts)
    algorithm = find_algorithm(snapshot, KeyFrequencies(12, ()))
    assert without_evidence(algorithm)
    assert "multiplication modulo 12 is not" in algorithm.reason


def test_permutations_have_no_algorithm_of_circles():
    parts = draw_split(Task(TaskSpec("permutation_composition", degree=3, train_fraction=0.5)))
    right = torch.nn.functional.one_hot(torch.tensor(parts.task.labels), 6).double()
    algorithm = find_algorithm(planted.snapshot(right, parts), KeyFrequencies(6, ()))
    assert without_evidence(algorithm)
    assert "permutation composition in S_3 is not" in algorithm.reason


def test_the_summary_has_every_number_and_no_infinity(pizza):
    algorithm = find_algorithm(pizza, KeyFrequencies.given(31, KEYS), n_triples=50)
    fields = json.loads(json.dumps(algorithm.to_dict(), allow_nan=False))
    assert fields["gradient_symmetricity_n_triples"] == 50
    assert set(fields["variance_explained"]) == set(FORMULAS)
    assert set(fields["variance_explained_by_circle"]) == {"3", "7", "12"}
    undefined = dataclasses.replace(algorithm, distance_irrelevance=math.nan)
    assert undefined.to_dict()["distance_irrelevance"] is None
    assert "correct_logits" not in fields


@pytest.mark.parametrize("p", [12, 13])
def test_the_table_of_correct_logits_has_every_pair_in_its_place(p):
    parts = planted.split(p)
    logits = planted.cosines(parts.task, {1: 10.0, 5: 9.0}) + planted.noise(p * p, p, scale=0.1)
    snapshot = planted.snapshot(logits, parts)
    table = find_algorithm(snapshot, KeyFrequencies.given(p, [1, 5]), n_triples=10).correct_logits
    for s in range(p):
        for d in range(p):
            pairs = [(a, b) for a in range(p) for b in range(p)]
            rows = [a * p + b for a, b in pairs if (a + b - s) % p == 0 == (a - b - d) % p]
            assert len(rows) == (1 if p % 2 else 2 * ((s - d) % 2 == 0))
            if rows:
                mean = float(logits[rows, s].mean())
                assert float(table[s, d]) == pytest.approx(mean, **EXACT64)
            else:
                assert math.isnan(table[s, d])


def test_a_verdict_without_evidence_is_nothing_but_its_reason():
    assert Algorithm("none", "no keys").to_dict() == {"verdict": "none", "reason": "no keys"}

"""Families of two-dimensional modes: what was planted in each comes back, and nothing else does."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import grokinterp as gi
from grokinterp import portions
from grokinterp.circuits.family_interventions import _running_on, logits_with_neurons
from grokinterp.models.loss import cross_entropy
from grokinterp.spectra.pair_modes import GROUP_FAMILIES, family_parts
from grokinterp.tasks import Split
from tests import planted
from tests.tolerances import CHAINED64, EXACT64

FAMILIES = ("constant", "sum", "difference", "a", "b", "generic")
ORDERS = [("addition", 13, 13), ("addition", 12, 12), ("multiplication", 13, 12)]
ORDERS += [("subtraction", 12, 12), ("addition", 2, 2), ("addition", 3, 3)]


def masks(n):
    """Complex modes of each family, told apart by their two signed frequencies."""
    k, m = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    constant, a, b = (k == 0) & (m == 0), (m == 0) & (k > 0), (k == 0) & (m > 0)
    total = (k == m) & (k > 0)
    difference = ((k + m) % n == 0) & (k > 0) & ~total
    found = [constant, total, difference, a, b]
    return dict(zip(FAMILIES, [*found, ~np.logical_or.reduce(found)], strict=True))


def filtered(grid, mask):
    """Modes of a mask in functions of two indices, by numpy's transform."""
    modes = np.fft.fft2(np.asarray(grid, dtype=float), axes=(0, 1))
    return np.fft.ifft2(modes * mask[:, :, None], axes=(0, 1)).real


def noisy(operation, p, n, **changes):
    parts = planted.split(p, operation, train_fraction=0.5)
    logits = planted.noise(parts.task.n_pairs, parts.task.n_classes, seed=4) * 3
    return planted.snapshot(logits, parts, **changes)


def grid_of(snapshot, values):
    n = snapshot.view.order
    return values[snapshot.pair_rows].view(n, n, -1).numpy()


def rows_of(families, part):
    return families.table.loc[families.table.part == part].set_index("family")


@pytest.mark.parametrize("operation, p, n", ORDERS)
def test_shares_are_those_of_the_complex_modes(operation, p, n):
    snapshot = noisy(operation, p, n)
    families = gi.mode_families(snapshot)
    centered = snapshot.logits - snapshot.logits.mean(dim=1, keepdim=True)
    for part, values in (("logits", centered), ("neurons", snapshot.neurons)):
        grid, table = grid_of(snapshot, values), rows_of(families, part)
        power = {name: (filtered(grid, mask) ** 2).sum() for name, mask in masks(n).items()}
        variance = sum(power.values()) - power["constant"]
        assert table.index.tolist() == list(FAMILIES)
        assert math.isnan(table.share["constant"])
        for name in FAMILIES[1:]:
            assert table.share[name] == pytest.approx(power[name] / variance, abs=1e-10)
        assert table.share.sum() == pytest.approx(1, **EXACT64)
        whole = variance + power["constant"]
        expected = [power[name] / whole for name in FAMILIES]
        assert table.power_share.tolist() == pytest.approx(expected, abs=1e-10)
        assert table.n_modes.tolist() == [mask.sum() for mask in masks(n).values()]
        assert table.share_by_chance[1:].sum() == pytest.approx(1, **EXACT64)
    per_neuron = families.by_neuron
    grid = grid_of(snapshot, snapshot.neurons)
    power = {name: (filtered(grid, mask) ** 2).sum((0, 1)) for name, mask in masks(n).items()}
    variance = sum(power.values()) - power["constant"]
    is_alive = variance > 0
    for name in FAMILIES[1:]:
        expected = power[name][is_alive] / variance[is_alive]
        assert per_neuron[name].to_numpy()[is_alive] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n", [12, 13])
def test_every_cell_of_the_spectrum_is_the_power_of_its_modes(n):
    snapshot = noisy("addition", n, n)
    families = gi.mode_families(snapshot, gi.KeyFrequencies.given(n, [2, n // 2]))
    cells = families.by_frequency.query("part == 'neurons'")
    modes = np.abs(np.fft.fft2(grid_of(snapshot, snapshot.neurons), axes=(0, 1))) ** 2
    power = modes.sum(axis=2)
    power[0, 0] = 0
    index = np.minimum(np.arange(n), n - np.arange(n))
    for _, cell in cells.iterrows():
        is_cell = (index[:, None] == cell["first"]) & (index == cell["second"])
        expected = power[is_cell & masks(n)[cell.family]].sum() / power.sum()
        assert cell.share == pytest.approx(expected, abs=1e-10)
    assert cells.share.sum() == pytest.approx(1, **EXACT64)
    table = rows_of(families, "neurons")
    of_family = cells.groupby("family").share.sum()
    assert of_family.to_dict() == pytest.approx(table.share[1:].to_dict(), abs=1e-10)
    is_key = cells["first"].isin([0, 2, n // 2]) & cells["second"].isin([0, 2, n // 2])
    of_keys = cells.loc[is_key].groupby("family").share.sum()
    assert table.share_key[1:].to_dict() == pytest.approx(of_keys.to_dict(), abs=1e-10)


def test_a_product_of_cosines_is_half_a_function_of_the_sum():
    task = planted.split(13).task

    def product(i, j, c):
        return torch.cos(2 * math.pi * 3 * i / 13) * torch.cos(2 * math.pi * 3 * j / 13) * (c - 6)

    table = rows_of(
        gi.mode_families(planted.snapshot(planted.in_view(task, product), planted.split(13))),
        "logits",
    )
    assert table.share[["sum", "difference"]].tolist() == pytest.approx([0.5, 0.5], abs=1e-10)


def test_planted_shares_come_back():
    amplitudes = {"sum": 3.0, "difference": 2.0, "a": 1.0, "b": 0.5, "generic": 0.25}
    places = {"sum": (2, 2), "difference": (3, -3), "a": (4, 0), "b": (0, 5), "generic": (1, 6)}

    def function(i, j, c):
        waves = 5.0 * torch.cos(2 * math.pi * c / 13)
        for at, (name, (k, m)) in enumerate(places.items()):
            angle = 2 * math.pi * (k * i + m * j - (at + 1) * c) / 13
            waves = waves + amplitudes[name] * torch.cos(angle + at)
        return waves

    parts = planted.split(13)
    families = gi.mode_families(planted.snapshot(planted.in_view(parts.task, function), parts))
    table = rows_of(families, "logits")
    total = sum(size**2 for size in amplitudes.values())
    planted_shares = {name: size**2 / total for name, size in amplitudes.items()}
    assert table.share[1:].to_dict() == pytest.approx(planted_shares, abs=1e-10)
    assert table.power_share["constant"] == pytest.approx(25 / (25 + total), abs=1e-10)
    largest = families.by_frequency.query("part == 'logits'").sort_values("share").tail(5)
    found = {row.family: (row["first"], row["second"]) for _, row in largest.iterrows()}
    assert found == {name: (k, abs(m)) for name, (k, m) in places.items()}


def scores(snapshot, logits, on):
    rows = snapshot.pair_rows
    mask = snapshot.pair_mask(on)[rows]
    logits, labels = torch.tensor(logits)[mask], snapshot.labels[rows][mask]
    accuracy = (logits.argmax(dim=1) == labels).double().mean()
    return float(accuracy), float(cross_entropy(logits, labels))


@pytest.mark.parametrize("operation, p, n", ORDERS[:4])
def test_logits_with_one_family_and_without_it(operation, p, n):
    snapshot = noisy(operation, p, n)
    table = rows_of(gi.mode_families(snapshot), "logits")
    grid = grid_of(snapshot, snapshot.logits)
    for name, mask in masks(n).items():
        kept = filtered(grid, mask | masks(n)["constant"]).reshape(n * n, -1)
        ablated = filtered(grid, ~mask).reshape(n * n, -1)
        for what, logits in (("kept", kept), ("ablated", ablated)):
            for on in ("all", "train", "test"):
                row = table.loc[name]
                found = row[f"{what}_accuracy_{on}"], row[f"{what}_loss_{on}"]
                assert found == pytest.approx(scores(snapshot, logits, on), abs=1e-10)


def test_neurons_with_one_family_go_the_way_of_the_network():
    snapshot = planted.gromov_snapshot(12, 40)
    families = gi.mode_families(snapshot)
    table, grid = rows_of(families, "neurons"), grid_of(snapshot, snapshot.neurons)
    W_out = snapshot.parameters["layers.1.W"].double().numpy()
    for name, mask in masks(12).items():
        kept = filtered(grid, mask | masks(12)["constant"]).reshape(144, -1)
        ablated = filtered(grid, ~mask).reshape(144, -1)
        for what, neurons in (("kept", kept), ("ablated", ablated)):
            accuracy, loss = scores(snapshot, neurons @ W_out, "test")
            # Answers that tie are broken by rounding; losses are not.
            assert table[f"{what}_loss_test"][name] == pytest.approx(loss, rel=1e-6)
    # Squares of cos + cos: only cos cos of two frequencies that are one is a function of a + b.
    assert table.kept_accuracy_all["sum"] == 1
    assert families.network.accuracies["all"] >= 0.9


def test_the_affine_way_is_the_way_of_the_network():
    snapshot = planted.pizza_snapshot(13, [2, 3])
    affine, running = logits_with_neurons(snapshot), _running_on(snapshot)
    for family in range(6):
        for is_kept in (True, False):
            ours = torch.cat(list(affine(family, is_kept)))
            theirs = torch.cat(list(running(family, is_kept)))
            assert ours.numpy() == pytest.approx(theirs.numpy(), rel=1e-3, abs=1e-3)


# Other groups


def group_snapshot(name, function, seed=0):
    """Neurons of a group's network: function(a, b, the group)."""
    base = planted.on_group(name, planted.noise(*planted_order(name), seed=seed))
    products, inverses = base.products, torch.tensor(base.view.inverses)
    n = len(products)
    a, b = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    values = function(a, b, products, inverses).reshape(n * n, -1)
    in_rows = torch.zeros_like(values)
    in_rows[base.pair_rows] = values
    return planted.with_activations(base, neurons=in_rows)


def planted_order(name):
    return (gi.Task(gi.TaskSpec(operation="group", group=name)).group_view.order,)


def neuron_shares(snapshot):
    return rows_of(gi.mode_families(snapshot), "neurons").share.fillna(0)


@pytest.mark.parametrize(
    "name", ["S3", "dicyclic(3)", "C2xC2", pytest.param("S4", marks=pytest.mark.long)]
)
def test_functions_of_one_element_and_of_the_product_are_whole_families(name):
    (n,) = planted_order(name)
    of_one = planted.noise(n, 8, seed=3)
    for family, function in {
        "product": lambda a, b, products, inverses: of_one[products[a, b]],
        "a": lambda a, b, products, inverses: of_one[a],
        "b": lambda a, b, products, inverses: of_one[b],
    }.items():
        snapshot = group_snapshot(name, function)
        shares = neuron_shares(snapshot)
        assert shares[family] == pytest.approx(1, abs=1e-10)
        assert shares.sum() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("name", ["S3", "dicyclic(3)", pytest.param("S4", marks=pytest.mark.long)])
def test_families_of_a_group_are_the_projections_on_their_spaces(name):
    (n,) = planted_order(name)
    values = planted.noise(n, n, 8, seed=8)
    snapshot = group_snapshot(name, lambda a, b, products, inverses: values)
    products, inverses = snapshot.products.numpy(), snapshot.view.inverses
    # Each component's projection on the functions of one element, from its character alone.
    harmonics = snapshot.harmonics
    quotient = products[:, inverses]
    projections = []
    for character in harmonics.characters.numpy():
        kernel = character[quotient]
        kernel = kernel * (kernel[0, 0] / (kernel @ kernel)[0, 0])
        assert kernel @ kernel == pytest.approx(kernel, **CHAINED64)
        projections.append(kernel)
    spaces = {}
    eye = np.eye(n)
    pair = np.kron
    spaces["constant"] = pair(projections[0], projections[0])
    spaces["a"] = pair(eye - projections[0], projections[0])
    spaces["b"] = pair(projections[0], eye - projections[0])
    one_hot = np.eye(n)[products.reshape(-1)]
    spaces["product"] = one_hot @ one_hot.T / n - spaces["constant"]
    same = sum(pair(of, of) for of in projections[1:])
    spaces["same_representation"] = same - spaces["product"]
    spaces["generic"] = np.eye(n * n) - sum(spaces.values())
    shares, table = neuron_shares(snapshot), rows_of(gi.mode_families(snapshot), "neurons")
    flat = values.reshape(n * n, -1).numpy()
    parts = family_parts(torch.tensor(flat), snapshot.products, harmonics)
    power = {name: ((space @ flat) ** 2).sum() for name, space in spaces.items()}
    variance = sum(power.values()) - power["constant"]
    for family, (of_family, space) in enumerate((name, spaces[name]) for name in GROUP_FAMILIES):
        assert space @ space == pytest.approx(space, **CHAINED64)  # orthogonal projections
        assert table.n_modes[of_family] == pytest.approx(np.trace(space))
        if of_family != "constant":
            assert shares[of_family] == pytest.approx(power[of_family] / variance, abs=1e-10)
        part = parts.part(family, torch.tensor(flat), slice(0, n))
        assert part.numpy() == pytest.approx(space @ flat, **CHAINED64)


@pytest.mark.parametrize(
    "group, representation, overlap",
    [
        ("S3", "sign", 1.0),
        ("S3", "standard", 1 / 4),
        ("S4", "standard", 1 / 9),
        ("dicyclic(3)", "freq_3", 0.0),
        ("dicyclic(3)", "freq_1", 1 / 4),
    ],
)
def test_functions_of_a_quotient_overlap_with_those_of_the_product(group, representation, overlap):
    (n,) = planted_order(group)
    harmonics = planted.on_group(group, torch.zeros(n)).harmonics
    names = harmonics.names
    chosen = names.index(representation)
    waves = harmonics.waves(torch.tensor([chosen]))
    of_one = (planted.noise(len(waves), 8, seed=1).T @ waves).T
    for quotient in (
        lambda a, b, products, inverses: of_one[products[inverses[a], b]],
        lambda a, b, products, inverses: of_one[products[a, inverses[b]]],
    ):
        shares = neuron_shares(group_snapshot(group, quotient))
        assert shares["product"] == pytest.approx(overlap, abs=1e-10)
        assert shares["same_representation"] == pytest.approx(1 - overlap, abs=1e-10)


# Sizes, absences, errors


def test_portions_give_the_same(monkeypatch):
    of_group = planted.on_group("S3", planted.noise(6))
    of_group = planted.with_activations(of_group, neurons=of_group.neurons.float())
    snapshots = [planted.pizza_snapshot(12, [3]), planted.pizza_snapshot(13, [2]), of_group]
    whole = [gi.mode_families(one.without_cache()) for one in snapshots]
    monkeypatch.setattr(portions, "WHOLE_BYTES", 3000)
    monkeypatch.setattr(portions, "PORTION_BYTES", 3000)
    for one, before in zip(snapshots, whole, strict=True):
        after = gi.mode_families(one.without_cache())
        for name in ("table", "by_frequency"):
            ours, theirs = getattr(after, name), getattr(before, name)
            # Where all answers are equally likely, rounding decides which is right.
            numbers = [c for c in ours if ours[c].dtype.kind == "f" and "accuracy" not in c]
            assert ours[numbers].to_numpy() == pytest.approx(
                theirs[numbers].to_numpy(), rel=1e-5, abs=1e-6, nan_ok=True
            )


def test_dead_neurons_have_no_largest_family():
    base = planted.snapshot(planted.noise(49, 7), planted.split(7))
    neurons = base.neurons.clone()
    neurons[:, 0], neurons[:, 1] = 0, 2.5
    found = gi.mode_families(planted.with_activations(base, neurons=neurons)).by_neuron
    assert found.largest.isna().tolist() == [True, True] + [False] * 6
    assert found.loc[:1, list(FAMILIES[1:])].isna().all(axis=None)


def test_what_is_missing_has_a_reason():
    logits = planted.cosines(planted.split(7).task, {2: 3.0})
    run = gi.Run.from_logits({0: logits}, task=gi.TaskSpec(p=7))
    families = gi.mode_families(gi.take_snapshot(run))
    assert families.table.part.unique().tolist() == ["logits"] and families.by_neuron.empty
    assert "neurons" in families.reasons["neurons"]
    assert families.network.accuracies["all"] == 1
    unknown = dataclasses.replace(run, split=Split.unknown(run.task))
    table = gi.mode_families(gi.take_snapshot(unknown)).table
    assert "kept_loss_all" in table and "kept_loss_test" not in table
    nothing = planted.snapshot(planted.noise(49, 7), planted.split(7, "random_labels"))
    with pytest.raises(gi.ConfigError, match="has no cyclic view"):
        gi.mode_families(nothing)
    constant = gi.mode_families(planted.snapshot(torch.zeros(49, 7).double(), planted.split(7)))
    assert rows_of(constant, "logits").share.isna().all()

import dataclasses
import itertools
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from grokinterp import figures
from grokinterp.circuits import Algorithm, KeyFrequencies
from grokinterp.errors import ConfigError, FitError
from grokinterp.figures import lines, style
from grokinterp.figures.embedding import chosen_steps
from tests import synthetic

# A chart of an experiment is drawn from its own data, not from an analysis.
PLOTS = list(figures.FIGURES.values())
OF_GROUPS = ("representations", "coset-neurons")
"""Figures that addition modulo a prime has nothing for."""
UNITS = ("(nats)", "(updates)", "(fraction)", "(count)", "(no unit)", "(weight units)", "(cycles)")
UNITS = (*UNITS, "(logits)", "(dimensions)", "(radians)", "(mean cosine)")


@pytest.fixture(scope="module")
def grokked():
    return synthetic.grokked_analysis(250)


@pytest.fixture(scope="module")
def of_permutations():
    return synthetic.permutation_analysis()


def trace(figure, name, nth=0):
    return [t for t in figure.data if t.name == name][nth]


def texts(node):
    """Every string of a figure that a reader could see."""
    if isinstance(node, dict):
        return [t for key, v in node.items() if key != "bdata" for t in texts(v)]
    if isinstance(node, (list, tuple)):
        return [t for v in node for t in texts(v)]
    return [node] if isinstance(node, str) else []


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_every_figure_of_a_grokked_run_has_a_title_and_axes_with_units(
    grokked, of_permutations, plot
):
    of_groups = [figures.FIGURES[name] for name in OF_GROUPS]
    figure = plot(of_permutations if plot in of_groups else grokked)
    assert isinstance(figure, go.Figure) and figure.layout.title.text
    titled = [a.title.text for a in (*figure.select_xaxes(), *figure.select_yaxes())]
    titled = [text for text in titled if text]
    by_name = (figures.plot_ablations, figures.plot_component_ablations)
    n_categorical = 1 if plot in by_name else 0
    assert len(titled) + n_categorical >= 2
    assert all(any(unit in text for unit in UNITS) for text in titled), titled


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
@pytest.mark.parametrize("case", synthetic.DEGENERATE)
def test_missing_numbers_give_fewer_traces_and_never_a_nan_in_text(case, plot):
    try:
        figure = plot(synthetic.DEGENERATE[case]())
    except FitError as error:
        shown = str(error)
    else:
        assert len(figure.data)
        shown = " ".join(texts(figure.to_dict()))
    assert not {"nan", "none", "nat", "inf"} & set(shown.lower().replace(",", " ").split())


@pytest.mark.parametrize("case", ["memorized", "diverged", "acyclic"])
def test_no_key_frequencies_means_no_figure_of_their_circuit(case):
    analysis = synthetic.DEGENERATE[case]()
    reason = analysis.why("key_frequencies")
    assert reason
    for plot in (
        figures.plot_restricted_and_excluded_loss,
        figures.plot_excluded_loss_by_frequency,
        figures.plot_logits_explained,
    ):
        with pytest.raises(FitError, match=f"that takes key frequencies. Reason: {reason}"):
            plot(analysis)


def test_a_table_of_nans_gives_no_figure_at_all():
    analysis = synthetic.empty_analysis()
    without_evidence = dataclasses.replace(
        analysis, key_frequencies=dataclasses.replace(analysis.key_frequencies, evidence=None)
    )
    assert figures.all_figures(without_evidence) == {}
    assert len(figures.all_figures(synthetic.grokked_analysis(8))) == len(PLOTS) - len(OF_GROUPS)


def test_losses_are_those_of_the_curves_on_a_logarithmic_axis(grokked):
    figure = figures.plot_losses(grokked)
    assert [t.name for t in figure.data] == ["train", "test"]
    assert figure.layout.yaxis.type == "log" and figure.layout.yaxis.title.text == "loss (nats)"
    curves = grokked.run.curves.set_index("step")
    for split in ("train", "test"):
        drawn = trace(figure, split)
        np.testing.assert_array_equal(drawn.y, curves.loc[drawn.x, f"{split}_loss"])
        assert len(drawn.x) <= lines.MAX_POINTS
        assert drawn.y.max() == curves[f"{split}_loss"].max()
        assert drawn.y.min() == curves[f"{split}_loss"].min()
        assert (drawn.x[0], drawn.x[-1]) == (0, 25_000)


def test_losses_on_two_logarithmic_axes_keep_early_steps_phases_and_peaks(grokked):
    figure = figures.plot_losses(grokked, log_steps=True)
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")
    curves = grokked.run.curves.set_index("step")
    drawn = trace(figure, "test")
    np.testing.assert_array_equal(drawn.y, curves.loc[drawn.x, "test_loss"])
    # The first hundred records are a good half of the axis: none of them is thinned away.
    tested = curves["test_loss"].dropna().index
    assert list(drawn.x[:100]) == list(tested[1:101]) and len(drawn.x) <= lines.MAX_POINTS
    assert drawn.y.max() == curves["test_loss"][1:].max() and drawn.x[-1] == 25_000
    linear = figures.plot_losses(grokked)
    places = {label.text: label for label in figure.layout.annotations}
    for label in linear.layout.annotations:
        if "step" in label.text:
            assert 10 ** places[label.text].x == pytest.approx(label.x)
        assert places[label.text].x <= figure.layout.xaxis.range[1]
    assert [shape.x1 for shape in figure.layout.shapes] == [s.x1 for s in linear.layout.shapes]
    assert min(shape.x0 for shape in figure.layout.shapes) == 1
    run = dataclasses.replace(grokked.run, curves=grokked.run.curves.iloc[:1])
    with pytest.raises(FitError, match="No loss was recorded after step 0.*log_steps=False"):
        figures.plot_losses(dataclasses.replace(grokked, run=run), log_steps=True)


def test_runs_without_curves_are_drawn_from_their_checkpoints():
    base = synthetic.grokked_analysis(30)
    run = dataclasses.replace(base.run, curves=base.run.curves.iloc[:0])
    drawn = trace(figures.plot_losses(dataclasses.replace(base, run=run)), "test")
    np.testing.assert_array_equal(drawn.y, base.trajectory["test_loss"])


@pytest.mark.parametrize("at", [0, 1, 777, 24_998, 24_999])
@pytest.mark.parametrize("sign", [1, -1])
def test_thinning_keeps_every_peak_and_every_dip(at, sign):
    steps, values = np.arange(25_000), np.zeros(25_000)
    values[at] = sign
    x, y = lines.thin_points(steps, values, 1000)
    assert len(x) <= 1000 and (np.diff(x) > 0).all() and (x[0], x[-1]) == (0, 24_999)
    assert y[list(x).index(at)] == sign


def test_taking_every_tenth_point_would_have_lost_the_peak():
    values = np.zeros(25_000)
    values[777] = 1
    assert values[::25].max() == 0 < lines.thin_points(np.arange(25_000), values, 1000)[1].max()


def test_accuracies_show_the_mirrored_pairs_and_the_level_of_chance(grokked):
    figure = figures.plot_accuracies(grokked)
    names = [t.name for t in figure.data]
    assert names[:4] == ["train", "test", "test, mirrored", "test, unmirrored"]
    assert trace(figure, "test, mirrored").visible == "legendonly"
    assert figure.data[4].name.startswith("chance") and figure.data[4].y[0] == 1 / 113
    apart = figures.plot_mirrored_accuracies(grokked)
    for kind in ("mirrored", "unmirrored"):
        expected = grokked.trajectory[f"test_accuracy_{kind}"]
        np.testing.assert_array_equal(trace(apart, f"test, {kind}").y, expected)
    assert trace(apart, "train fraction (0.3)").y[0] == 0.3


def test_lines_that_wait_in_the_legend_are_drawn_where_there_are_no_others(grokked):
    named = ["step", "restricted_loss_all", "excluded_loss_all"]
    alone = dataclasses.replace(grokked, trajectory=grokked.trajectory[named])
    drawn = {t.name: t.visible for t in figures.plot_restricted_and_excluded_loss(alone).data}
    assert drawn == {"restricted, all": True, "excluded, all": True}
    beside = figures.plot_restricted_and_excluded_loss(grokked)
    assert trace(beside, "restricted, all").visible == "legendonly"


def test_operations_that_do_not_commute_have_no_figure_of_mirrored_pairs(grokked):
    columns = ["test_accuracy_mirrored", "test_accuracy_unmirrored"]
    without = dataclasses.replace(grokked, trajectory=grokked.trajectory.drop(columns=columns))
    with pytest.raises(FitError, match="The two accuracies were not measured"):
        figures.plot_mirrored_accuracies(without)
    assert "test, mirrored" not in [t.name for t in figures.plot_accuracies(without).data]


def test_a_split_by_unordered_pairs_has_no_figure_of_mirrored_pairs(grokked):
    from grokinterp.tasks import Task, TaskSpec, draw_split

    split = draw_split(Task(TaskSpec(split_unit="unordered_pairs")))
    run = dataclasses.replace(grokked.run, split=split)
    with pytest.raises(FitError, match="No test pair has a trained mirror image"):
        figures.plot_mirrored_accuracies(dataclasses.replace(grokked, run=run))


def test_the_slider_shows_the_norms_of_at_most_sixty_checkpoints(grokked):
    figure = figures.plot_embedding_spectrum(grokked)
    shown = [int(frame.name) for frame in figure.frames]
    steps = list(grokked.trajectory["step"])
    assert len(shown) <= 60 and shown == sorted(shown)
    assert {steps[0], steps[-1], min(steps, key=lambda s: abs(s - 8_310))} <= set(shown)
    slider = figure.layout.sliders[0]
    assert [s.args[0][0] for s in slider.steps] == [f.name for f in figure.frames]
    assert slider.active == len(shown) - 1
    norms = grokked.by_frequency.pivot(index="step", columns="frequency", values="embedding_norm")
    for frame in figure.frames:
        for bars, update in zip(figure.data, frame.data, strict=True):
            np.testing.assert_array_equal(update.y, norms.loc[int(frame.name), list(bars.x)])
    drawn = sorted(k for bars in figure.data for k in bars.x)
    assert drawn == list(range(1, 57))
    np.testing.assert_array_equal(figure.data[0].y, figure.frames[-1].data[0].y)


@pytest.mark.parametrize("n", [1, 2, 3, 59, 60, 61, 400])
def test_chosen_checkpoints_are_few_and_keep_both_ends_and_the_events(n):
    steps = list(range(0, 100 * n, 100))
    events = [steps[n // 3], steps[n // 2]]
    chosen = chosen_steps(steps, 60, events)
    assert len(chosen) == min(n, len(chosen)) <= 60
    assert set(chosen) <= set(steps) and {steps[0], steps[-1], *events} <= set(chosen)
    assert n < 60 or len(chosen) > 50


def test_the_heatmap_is_the_table_and_marks_the_key_frequencies(grokked):
    figure = figures.plot_embedding_heatmap(grokked)
    norms = grokked.by_frequency.pivot(index="frequency", columns="step", values="embedding_norm")
    np.testing.assert_array_equal(figure.data[0].z, norms.loc[:, list(figure.data[0].x)])
    assert [t.y[0] for t in figure.data[1:]] == list(synthetic.KEYS)


def test_the_evidence_stands_beside_the_threshold_that_decides(grokked):
    figure = figures.plot_key_frequency_evidence(grokked)
    assert [a.type for a in figure.select_yaxes()][0] == "log"
    assert trace(figure, "threshold (0.015)").y[0] == 0.015
    assert trace(figure, "permuted pairs, 99.9% (0.006)").y[0] == 0.006
    evidence = grokked.key_frequencies.evidence.set_index("frequency")
    for row, column in enumerate(("logit_power_share", "embedding_norm", "n_neurons", "W_L_norm")):
        assert trace(figure, "k = 35", row).y[0] == evidence.loc[35, column]
        rest = trace(figure, "other frequencies", row)
        np.testing.assert_array_equal(rest.y, evidence.loc[list(rest.x), column])


def test_another_rule_has_no_threshold_of_logit_power(grokked):
    other = dataclasses.replace(grokked.key_frequencies, rule="neurons")
    figure = figures.plot_key_frequency_evidence(
        dataclasses.replace(grokked, key_frequencies=other)
    )
    assert not [t for t in figure.data if t.name.startswith(("threshold", "permuted"))]


def test_restricted_and_excluded_losses_stand_beside_the_full_ones(grokked):
    figure = figures.plot_restricted_and_excluded_loss(grokked)
    assert figure.layout.yaxis.type == "log" and figure.layout.yaxis.title.text == "loss (nats)"
    for name, column in {
        "full, train": "train_loss",
        "full, test": "test_loss",
        "restricted, test": "restricted_loss_test",
        "excluded, train": "excluded_loss_train",
    }.items():
        np.testing.assert_array_equal(trace(figure, name).y, grokked.trajectory[column])
        assert trace(figure, name).visible is True


@pytest.mark.parametrize(
    ("plot", "column"),
    [
        (figures.plot_excluded_loss_by_frequency, "excluded_loss_train"),
        (figures.plot_neurons, "n_neurons"),
        (figures.plot_logits_explained, "logit_coefficient"),
    ],
)
def test_lines_of_key_frequencies_are_their_rows_of_the_table(grokked, plot, column):
    figure = plot(grokked)
    for key in synthetic.KEYS:
        rows = grokked.by_frequency[grokked.by_frequency["frequency"] == key]
        np.testing.assert_array_equal(trace(figure, f"k = {key}").y, rows[column])


@pytest.mark.parametrize(
    ("plot", "column"),
    [
        (figures.plot_excluded_loss_by_frequency, "excluded_loss_train"),
        (figures.plot_neurons, "n_neurons"),
        (figures.plot_logits_explained, "logit_coefficient"),
    ],
)
def test_lines_of_key_representations_are_their_rows_of_the_table(of_permutations, plot, column):
    figure = plot(of_permutations)
    table = of_permutations.by_representation
    for name in synthetic.KEY_REPRESENTATIONS:
        rows = table[table["representation"] == name]
        np.testing.assert_array_equal(trace(figure, name).y, rows[column])
    assert "5d_a" not in [t.name for t in figure.data]
    assert "frequenc" not in " ".join(texts(figure.to_dict()))


def test_all_representations_are_followed_and_each_has_one_color(of_permutations):
    figure = figures.plot_representations(of_permutations)
    table = of_permutations.by_representation
    panels = ("logit_power_share", "embedding_norm", "excluded_loss_train", "n_neurons")
    colors = set()
    for name in synthetic.REPRESENTATIONS:
        rows = table[table["representation"] == name]
        for nth, column in enumerate(panels):
            np.testing.assert_array_equal(trace(figure, name, nth).y, rows[column])
        is_key = name in synthetic.KEY_REPRESENTATIONS
        assert (trace(figure, name).line.width > 2) == is_key
        colors.add(trace(figure, name).line.color)
        if is_key:
            single = figures.plot_excluded_loss_by_frequency(of_permutations)
            assert trace(single, name).line.color == trace(figure, name).line.color
    assert len(colors) == len(synthetic.REPRESENTATIONS)


def test_bars_of_logit_power_are_the_rows_of_a_step(of_permutations, grokked):
    table = of_permutations.by_representation
    steps = sorted(set(table["step"]))
    for step in (None, int(steps[0])):
        figure = figures.plot_logit_power(of_permutations, step=step)
        rows = table[table["step"] == (steps[-1] if step is None else step)]
        shares = rows.set_index("representation")["logit_power_share"]
        assert {bar.y[0]: bar.x[0] for bar in figure.data} == dict(shares)
        for bar in figure.data:
            is_key = bar.y[0] in synthetic.KEY_REPRESENTATIONS
            assert (bar.marker.color != style.OTHER_COLOR) == is_key
    with pytest.raises(
        ConfigError, match=f"step=-5 is not a checkpoint. The nearest is {steps[0]}"
    ):
        figures.plot_logit_power(of_permutations, step=-5)
    with pytest.raises(FitError, match="No representation was followed"):
        figures.plot_logit_power(grokked)


def test_what_only_frequencies_have_is_not_drawn_for_permutations(of_permutations, grokked):
    for plot in (
        figures.plot_embedding_spectrum,
        figures.plot_embedding_heatmap,
        figures.plot_key_frequency_evidence,
        figures.plot_gini,
        figures.plot_correct_logits,
    ):
        with pytest.raises(FitError):
            plot(of_permutations)
    with pytest.raises(FitError, match="No representation was followed"):
        figures.plot_representations(grokked)


def test_neurons_on_cosets_lie_below_the_line_and_others_above(of_permutations, grokked):
    figure, table = figures.plot_coset_neurons(of_permutations), of_permutations.neurons
    assert [t.name for t in figure.data[1:]] == ["cyclic(2)_a", "alternating(5)"]
    line = figure.data[0]
    axes = figure.layout.xaxis, figure.layout.yaxis
    assert [axis.title.text for axis in axes] == [
        "unexplained at best by chance (fraction)",
        "unexplained by its cosets (fraction)",
    ]
    assert all(axis.dtick == 1 for axis in axes)  # powers of ten alone: digits between them overlap
    for t in figure.data[1:]:
        chosen = table.loc[table["coset_subgroup"] == t.name]
        assert t.customdata[:, 0].tolist() == chosen["neuron"].tolist()
        # An exact fit is drawn at the lowest edge and not left out.
        assert t.y == pytest.approx([max(1 - fit, 1e-7) for fit in chosen["coset_fit"]])
        ratios, of_line = np.array(t.y) / np.array(t.x), line.y[0] / line.x[0]
        assert (ratios < of_line).tolist() == chosen["is_coset_neuron"].tolist()
    with pytest.raises(FitError, match="cyclic.113. has prime order"):
        figures.plot_coset_neurons(grokked)
    nothing = table.assign(coset_subgroup=None)
    with pytest.raises(FitError, match="none explains over 95% of any of the 8 neurons"):
        figures.plot_coset_neurons(dataclasses.replace(of_permutations, neurons=nothing))


def test_ablated_representations_have_their_names(of_permutations):
    labels = list(figures.plot_ablations(of_permutations).data[0].y)
    assert "without standard" in labels and "without sign" in labels


def test_the_highest_frequency_is_a_key_frequency_like_any_other():
    analysis = synthetic.grokked_analysis(20, p=13)
    assert analysis.key_frequencies.frequencies[-1] == 6
    for plot in (figures.plot_embedding_spectrum, figures.plot_excluded_loss_by_frequency):
        assert "k = 6" in [t.name for t in plot(analysis).data]


def test_correct_logits_are_the_table_of_the_verdict(grokked):
    figure = figures.plot_correct_logits(grokked)
    table = grokked.algorithm.correct_logits
    np.testing.assert_array_equal(figure.data[0].z, table.numpy())
    # Rows of the table are sums, columns differences.
    assert figure.layout.yaxis.title.text.startswith("a + b")
    assert figure.layout.xaxis.title.text.startswith("a − b")
    unasked = dataclasses.replace(grokked, algorithm=Algorithm("none", "nobody asked"))
    with pytest.raises(FitError, match="no verdict on the algorithm. Reason: nobody asked"):
        figures.plot_correct_logits(unasked)


def test_phases_are_those_of_the_table_by_frequency(grokked):
    figure, table = figures.plot_neuron_phases(grokked), grokked.neurons
    for key in synthetic.KEYS:
        chosen = table[(table["frequency"] == key) & (table["fraction_sum_explained"] > 0.85)]
        drawn = trace(figure, f"k = {key}")
        assert list(drawn.x) == chosen["phase_sum"].tolist()
        assert list(drawn.y) == chosen["phase_out"].tolist()
    shown = sum(len(t.x) for t in figure.data if t.mode == "markers")
    assert 0 < shown == (table["fraction_sum_explained"] > 0.85).sum() < len(table)
    # Phases are periodic: all three lines are where output and sum are equal.
    for line in (t for t in figure.data if t.mode == "lines"):
        turns = (np.array(line.y) - np.array(line.x)) / (2 * np.pi)
        np.testing.assert_allclose(turns, round(turns[0]), atol=1e-12)


def test_of_many_key_frequencies_the_phases_share_a_color_scale(grokked):
    keys = KeyFrequencies(113, tuple(range(1, 57)), is_dense=True)
    figure = figures.plot_neuron_phases(dataclasses.replace(grokked, key_frequencies=keys))
    (points,) = (t for t in figure.data if t.mode == "markers")
    table = grokked.neurons[grokked.neurons["fraction_sum_explained"] > 0.85]
    assert list(points.marker.color) == table["frequency"].tolist()
    assert "frequency" in points.marker.colorbar.title.text


def test_without_phases_the_reason_is_given(grokked, of_permutations):
    noisy = grokked.neurons.assign(fraction_sum_explained=0.5)
    for analysis, reason in (
        (dataclasses.replace(grokked, neurons=noisy), "one frequency explains over 85% .* in 0 of"),
        (dataclasses.replace(grokked, neurons=pd.DataFrame()), "were not analyzed"),
        (of_permutations, "permutation composition in S_5 has representations instead of"),
    ):
        with pytest.raises(FitError, match=reason):
            figures.plot_neuron_phases(analysis)


def test_ablations_are_bars_and_dots_of_the_table(grokked):
    figure = figures.plot_ablations(grokked)
    assert figure.layout.xaxis.type == "log" and figure.layout.xaxis.title.text == "loss (nats)"
    bars = trace(figure, "all")
    assert bars.type == "bar" and bars.orientation == "h"
    at_logits = grokked.ablations[: 3 + len(synthetic.KEYS)]
    for on in ("all", "train", "test"):
        np.testing.assert_array_equal(trace(figure, on).x, at_logits[f"loss_{on}"])
    assert list(bars.y)[:2] == ["full network", "without<br>trigonometric circuit"]
    assert list(bars.y)[3:] == [f"without k = {key}" for key in synthetic.KEYS]


def test_bars_are_ablations_of_the_logits_and_of_no_other_place(grokked):
    neurons = grokked.ablations.iloc[1:3].assign(intervention="removed from neurons", loss_all=9.0)
    both = pd.concat([grokked.ablations, neurons], ignore_index=True)
    figure = figures.plot_ablations(dataclasses.replace(grokked, ablations=both))
    assert len(trace(figure, "all").y) == 3 + len(synthetic.KEYS)
    assert 9.0 not in trace(figure, "all").x


def test_parts_of_the_network_are_marks_by_what_stands_in_their_place(grokked):
    figure = figures.plot_component_ablations(grokked)
    table = grokked.ablations
    assert [trace.name for trace in figure.data] == ["mean", "zero", "resample"]
    zero = table[table["intervention"].str.endswith("(zero)")]
    assert list(figure.data[1].x) == zero["loss_all"].tolist()
    assert list(figure.data[1].y) == [
        "neurons of 14",
        "head 0",
        "attention",
        "path around attention",
    ]
    # Circuits and frequencies have a figure of their own.
    assert not any("circuit" in name or "frequency" in name for name in figure.data[0].y)


def test_both_circuits_are_drawn_from_their_columns(grokked):
    figure = figures.plot_circuit_strength(grokked)
    lines = {trace.name: trace for trace in figure.data}
    table = grokked.trajectory
    assert list(lines["trigonometric, train"].y) == table["trigonometric_logit_train"].tolist()
    assert list(lines["memorization, train"].y) == table["memorization_logit_train"].tolist()
    assert lines["memorization, train"].line.dash == "dot"


def test_weights_and_gini_are_their_columns(grokked):
    weights = figures.plot_sum_squared_weights(grokked)
    np.testing.assert_array_equal(
        trace(weights, "all weights").y, grokked.trajectory["sum_squared_weights"]
    )
    np.testing.assert_array_equal(
        trace(weights, "W_E").y, grokked.trajectory["sum_squared_weights_W_E"]
    )
    gini = figures.plot_gini(grokked)
    np.testing.assert_array_equal(trace(gini, "W_L").y, grokked.trajectory["gini_W_L"])


def test_a_measure_of_the_users_own_gets_a_panel_and_its_name_no_markup(grokked):
    table = grokked.trajectory.assign(**{"<a href='x'>mine</a>": 3.0})
    figure = figures.plot_further_measures(dataclasses.replace(grokked, trajectory=table))
    assert trace(figure, "&lt;a href=&#x27;x&#x27;&gt;mine&lt;/a&gt;").y[0] == 3.0
    assert not [text for text in texts(figure.to_dict()) if "<a href" in text]


def test_phases_are_shaded_with_their_names_and_both_steps_are_marked(grokked):
    figure = figures.plot_losses(grokked)
    boxes = {s.name: (s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect"}
    assert boxes == {
        "memorization": (0, 1_400),
        "circuit_formation": (1_400, 8_550),
        "cleanup": (8_550, 14_600),
    }
    written = [a.text for a in figure.layout.annotations]
    assert {"memorization", "circuit formation", "cleanup"} <= set(written)
    assert {"memorization step 230", "grokking step 8,310"} <= set(written)
    assert {s.x0 for s in figure.layout.shapes if s.type == "line"} == {230, 8_310}


def test_one_checkpoint_has_one_tick_and_no_slider():
    analysis = synthetic.single_checkpoint_analysis()
    assert figures.plot_losses(analysis).layout.xaxis.tickvals == (25_000,)
    assert not figures.plot_embedding_spectrum(analysis).layout.sliders


def test_what_never_happened_is_not_marked():
    figure = figures.plot_losses(synthetic.memorized_analysis())
    written = [a.text for a in figure.layout.annotations]
    assert written == ["memorization", "memorization step 230"]
    assert not figures.plot_losses(synthetic.diverged_analysis()).layout.annotations


def test_panels_share_the_phases_and_one_legend_entry_per_name(grokked):
    figure = figures.plot_neurons(grokked)
    assert len([s for s in figure.layout.shapes if s.type == "rect"]) == 3 * 3
    shown = [t.name for t in figure.data if t.showlegend]
    assert len(shown) == len(set(shown))


def test_axes_of_counts_do_not_show_negative_ones(grokked):
    modes = {}
    figures.plot_neurons(grokked).for_each_yaxis(
        lambda axis: modes.update({axis.title.text: axis.rangemode})
    )
    assert modes == {
        "neurons (count)": "nonnegative",
        "of all neurons (fraction)": "nonnegative",
        "phase coherence<br>(mean cosine)": None,
    }


def test_one_thing_has_one_color_in_every_figure(grokked):
    colors: dict[str, set[str]] = {}
    for figure in figures.all_figures(grokked).values():
        for t in figure.data:
            color = (t.line.color if t.type == "scatter" else None) or (
                t.marker.color if t.type != "heatmap" else None
            )
            if color:
                colors.setdefault(t.name, set()).add(color)
    expected = {"train": "train", "full, train": "train", "test": "test", "all": "all"}
    for name, split in expected.items():
        assert colors[name] == {style.SPLIT_COLORS[split]}
    for index, key in enumerate(synthetic.KEYS):
        assert colors[f"k = {key}"] == {style.KEY_COLORS[index]}


# Linear RGB as seen with deuteranopia and protanopia: Machado, Oliveira & Fernandes 2009, table 1.
SIGHT = {
    "typical": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}


def lab(color, sight):
    """CIELAB of a hexadecimal sRGB color seen through a matrix of `SIGHT`."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07217], [0.01933, 0.11919, 0.95030]]
    )
    xyz = to_xyz @ np.clip(SIGHT[sight] @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_lines_that_meet_in_a_figure_differ_in_color_or_in_dash(sight):
    keys = [(c, style.key_dash(i)) for i, c in enumerate(style.KEY_COLORS)]
    for (one, one_dash), (other, other_dash) in itertools.combinations(keys, 2):
        distance = np.linalg.norm(lab(one, sight) - lab(other, sight))
        assert distance > 16 or (distance > 12 and one_dash != other_dash), (one, other)
    train, test = (lab(style.SPLIT_COLORS[name], sight) for name in ("train", "test"))
    assert np.linalg.norm(train - test) > 40


def color_of(trace):
    return (trace.line.color if trace.type == "scatter" else None) or trace.marker.color


def contrast(one, other):
    """Of two colors, as WCAG 2.2 defines it."""

    def luminance(color):
        parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_figures_of_a_dark_notebook_are_light_on_dark_until_light_is_chosen_again(grokked):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    before = figures.plot_gini(grokked).layout.template
    try:
        figures.set_theme("dark")
        layout = figures.plot_gini(grokked).layout.template.layout
    finally:
        figures.set_theme("light")
    assert layout.paper_bgcolor == layout.plot_bgcolor == "#14181e"
    assert contrast(layout.font.color, layout.paper_bgcolor) > 7
    assert contrast(layout.hoverlabel.font.color, layout.hoverlabel.bgcolor) > 7
    # The lines are to be seen on both.
    for color in (*style.SPLIT_COLORS.values(), *style.KEY_COLORS):
        assert min(contrast(color, "#14181e"), contrast(color, "#ffffff")) > 1.9, color
    assert figures.plot_gini(grokked).layout.template == before == style.TEMPLATE
    with pytest.raises(ConfigError, match="theme='blue' is not known. Choose one of light, dark"):
        figures.set_theme("blue")


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_keeps_the_colors_axes_and_shades_of_the_house(grokked, of_permutations, name):
    analysis = of_permutations if name in OF_GROUPS else grokked
    figure = figures.FIGURES[name](analysis)
    assert figure.layout.template == style.TEMPLATE
    keys = {f"k = {key}": style.KEY_COLORS[i] for i, key in enumerate(synthetic.KEYS)}
    for t in figure.data:
        if t.type == "heatmap" or t.name.startswith("train fraction"):
            continue
        assert color_of(t) == keys.get(t.name, color_of(t))
        for split in re.findall(r"\b(train|test)\b", t.name):
            assert color_of(t) == style.SPLIT_COLORS[split]
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    assert all(axis.type == "log" for axis in axes if "nats" in (axis.title.text or ""))
    if any(axis.title.text == style.STEP_TITLE for axis in figure.select_xaxes()):
        named = {note.text for note in figure.layout.annotations}
        assert {"memorization", "circuit formation", "cleanup"} <= named
        shaded = {shape.name for shape in figure.layout.shapes if shape.type == "rect"}
        # A map would change its colors under a shade.
        assert shaded == (set() if name == "embedding-heatmap" else set(style.PHASE_TINTS))


@pytest.mark.parametrize("name", figures.FIGURES)
def test_in_a_notebook_a_figure_has_room_for_its_legend_and_says_what_is_pointed_at(
    grokked, of_permutations, name
):
    analysis = of_permutations if name in OF_GROUPS else grokked
    layout = (figure := figures.FIGURES[name](analysis)).layout
    legend = layout.template.layout.legend
    assert (legend.orientation, legend.yref, legend.y) == ("h", "container", 0)
    plot = layout.height - layout.margin.t - layout.margin.b
    assert plot >= (130 if name == "component-ablations" else 200) and layout.height < 1200
    # Under the axis: its title, the slider or colour bar, and then the legend.
    assert layout.margin.b >= layout.meta["below"] + style.LEGEND_ROW
    assert layout.width is None
    assert all(t.hovertemplate or t.hoverinfo == "skip" for t in figure.data)


def test_red_and_green_of_one_lightness_would_not_pass():
    green, red = lab("#5E8A00", "deuteranopia"), lab("#B0703C", "deuteranopia")
    assert np.linalg.norm(green - red) < 16

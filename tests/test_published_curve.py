"""The whole published Grokking_Demo run, 25,000 steps; about a quarter of an hour on two cores."""

import pytest

# Printed in TransformerLens's demos/Grokking_Demo.ipynb, commit 1f8224d: the test loss at
# epoch e belongs to step e + 1.
PUBLISHED_TEST_LOSS = {
    100: 7.5546,
    200: 20.3076,
    500: 23.78,
    1000: 30.86,
    1400: 34.10,
    5000: 29.17,
    7000: 27.20,
}


def assert_published(curves):
    """Check the curves of a whole run against the published ones."""
    curves = curves.set_index("step")
    assert f"{curves['train_loss'][0]:.4f} {curves['test_loss'][0]:.4f}" == "4.7350 4.7333"
    assert curves["train_loss"][99] == pytest.approx(2.9478, rel=0.01)
    for step, loss in PUBLISHED_TEST_LOSS.items():
        assert curves["test_loss"][step] == pytest.approx(loss, rel=0.03), step
    tested = curves["test_loss"].dropna()
    small = tested.index[tested < 0.1]
    assert 12_500 < small[0] < 16_500
    assert (tested[small[0] :] < 0.1).all()
    assert curves["train_loss"].iloc[-1] < 3e-7
    assert curves["test_loss"].iloc[-1] < 3e-7


@pytest.mark.slow
def test_the_demo_comes_back_to_its_published_curve(tmp_path):
    from grokinterp.runs import PRESETS
    from grokinterp.training import train

    assert_published(train(PRESETS["tl_demo"], tmp_path, progress=False).curves)


def test_a_curve_that_groks_too_early_is_not_the_published_one():
    import numpy as np
    import pandas as pd

    steps = np.arange(25_001)
    points = {0: 4.7333, **PUBLISHED_TEST_LOSS, 12_000: 0.01, 25_000: 2e-7}
    test = np.interp(steps, list(points), list(points.values()))
    train_loss = np.interp(steps, [0, 99, 25_000], [4.7350, 2.9478, 1e-7])
    curves = pd.DataFrame({"step": steps, "train_loss": train_loss, "test_loss": test})
    with pytest.raises(AssertionError, match="12500"):
        assert_published(curves)

"""What importing costs, and which way imports go."""

import subprocess
import sys

import pytest


def loaded_after(script):
    """Names of the modules that a fresh interpreter has loaded after a script."""
    code = f"{script}\nimport sys\nprint(' '.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "pandas", "plotly", "transformer_lens", "tyro", "tqdm"}
    assert not heavy & loaded_after("import grokinterp as gi; gi.PRESETS; gi.TrainConfig; dir(gi)")


def test_the_list_of_heavy_modules_is_not_vacuous():
    assert "torch" in loaded_after("import grokinterp as gi; gi.take_snapshot")


def test_training_and_analysis_never_import_transformer_lens(tmp_path):
    script = (
        "import dataclasses, grokinterp as gi\n"
        "import grokinterp.figures\n"
        "base = gi.PRESETS['quick']\n"
        "config = dataclasses.replace(base, task=gi.TaskSpec(p=7, train_fraction=.6), n_steps=4)\n"
        f"run = gi.train(config, {str(tmp_path / 'run')!r}, progress=False)\n"
        "analysis = gi.analyze_run(run)\n"
        f"gi.write_report(analysis, {str(tmp_path / 'report.html')!r})\n"
    )
    assert "transformer_lens" not in loaded_after(script)


def test_the_hooked_model_does_import_it():
    assert "transformer_lens" in loaded_after("import grokinterp as gi; gi.HookedTransformer")


def test_importing_the_command_does_not_take_the_function_away():
    script = "import grokinterp as gi, grokinterp.train\ntry: gi.train(None, None, n_threads=0)"
    script += "\nexcept gi.ConfigError: print('it is the function')"
    assert "function" in loaded_after(script)


def test_every_public_name_is_there_and_an_unknown_one_is_not():
    import grokinterp as gi

    for name in gi.__all__:
        assert getattr(gi, name) is not None
    assert set(gi.__all__) <= set(dir(gi))
    with pytest.raises(AttributeError, match="no attribute 'grok'"):
        gi.grok  # noqa: B018

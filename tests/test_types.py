"""What a type checker, and so an editor, knows of the public names: one pyright over one file."""

import json
import re
import subprocess
import sys

import pytest

# The type that each expression is revealed to have: what it begins and ends with.
REVEALED = {
    "gi.train": ("(config: TrainConfig, folder: str | Path, ", ") -> Run"),
    "gi.analyze_run": ("(run: Run, ", ") -> Analysis"),
    "gi.TaskSpec": ("type[TaskSpec]", ""),
    "gi.TrainConfig": ("type[TrainConfig]", ""),
    "gi.load_run": ("(path: str | Path, format: str | None = None", ") -> Run"),
    "gi.take_snapshot": ("(run: Run, step: int | None = None", ") -> Snapshot"),
    "gi.find_key_frequencies": ("(snapshot: Snapshot, rule: Literal[", ") -> KeyFrequencies"),
    "gi.ablate": ("(snapshot: Snapshot, key_frequencies: KeyFrequencies | None", ") -> Ablation"),
    "gi.compare": ("(runs: Sequence[", ") -> DataFrame"),
    "gi.PRESETS": ("dict[str, TrainConfig]", ""),
    "gi.figures.plot_losses": ("(analysis: Analysis", ") -> Figure"),
    "gi.Analysis.plot": ("(self: Analysis", ") -> Figure"),
    "gi.Run.from_state_dicts": ("(state_dicts: Mapping[int, ", ") -> Run"),
    "gi.restricted_loss": (
        "(snapshot: Snapshot, key_frequencies: KeyFrequencies, *, on: ",
        "float",
    ),
    "gi.write_report": ("(result: ", ") -> Path"),
    "gi.Claim": ("type[Claim]", ""),
}
RIGHT = (
    'run = gi.train(gi.PRESETS["quick"], "folder", n_threads=1)',
    "gi.TaskSpec(p=59, train_fraction=0.5)",
    "analysis = gi.analyze_run(run, every=2)",
    'gi.write_report(analysis, "report.html")',
    'gi.write_report([analysis, analysis], "report.html")',
    'gi.write_report(gi.reproduce("weight_decay", quick=True), "report.html")',
    'gi.excluded_loss(gi.take_snapshot(run), gi.KeyFrequencies(59, (3,)), on="train")',
)
WRONG = (
    'gi.train("x")',
    'gi.train("quick", "folder")',
    'gi.TaskSpec(p="a")',
    'gi.TaskSpec(operation="adition")',
    'gi.analyze_run("folder")',
    'gi.write_report("folder", "report.html")',
    "gi.restricted_loss(gi.take_snapshot(run), gi.KeyFrequencies(59, (3,)))",
    "gi.analyse_run",
)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What pyright says of each statement: its messages by line."""
    pytest.importorskip("pyright", reason="types are checked where pyright is installed: [dev]")
    folder = tmp_path_factory.mktemp("types")
    statements = ["import grokinterp as gi", *(f"reveal_type({name})" for name in REVEALED)]
    statements += [*RIGHT, *WRONG]
    (folder / "user.py").write_text("\n".join(statements) + "\n", encoding="utf-8")
    # A folder of its own, so that the settings of this repository do not count.
    (folder / "pyrightconfig.json").write_text("{}", encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run(
        [*command, "-p", str(folder)], capture_output=True, text=True, check=False, timeout=240
    )
    try:
        found = json.loads(result.stdout)["generalDiagnostics"]
    except (ValueError, KeyError):
        pytest.skip(f"pyright cannot run here: {(result.stderr or result.stdout)[-200:]}")
    messages: dict[str, list[tuple[str, str]]] = {statement: [] for statement in statements}
    for one in found:
        line = statements[one["range"]["start"]["line"]]
        messages[line].append((one["severity"], one["message"]))
    return messages


@pytest.mark.parametrize("name", REVEALED)
def test_a_type_checker_knows_the_type_of_a_public_name(said, name):
    ((severity, message),) = said[f"reveal_type({name})"]
    assert severity == "information"
    found = re.fullmatch(r'Type of ".*?" is "(.*)"', message, re.DOTALL)
    assert found is not None, message
    start, end = REVEALED[name]
    assert found[1].startswith(start) and found[1].endswith(end)


@pytest.mark.parametrize("statement", RIGHT)
def test_a_right_call_has_no_error(said, statement):
    assert said[statement] == []


@pytest.mark.parametrize("statement", WRONG)
def test_a_wrong_call_is_an_error_before_it_is_run(said, statement):
    assert "error" in [severity for severity, _ in said[statement]]

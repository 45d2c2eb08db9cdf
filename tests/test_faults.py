"""Kills, full disks, folders that vanish: nothing is lost, and the same command goes on.

Short versions; ``python -m tests.faults all --moments 50`` is the full one (docs/testing.md).
"""

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import faults, tiny

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not hasattr(faults.os, "fork"), reason="needs fork and SIGKILL"),
]


STEP_40 = "checkpoints/step_00000040.safetensors"


def long_config():
    return tiny.config(n_steps=200_000, checkpoint_every=20, test_every=20)


def train(config, folder):
    import grokinterp as gi

    gi.train(config, folder, n_threads=1, progress=False)


def wait_for(path, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def train_aside(config, folder):
    """A training in a process of its own, whose standard error is kept."""
    code = (
        "import sys, torch; from pathlib import Path; from tests import tiny, test_faults;"
        "import grokinterp as gi\n"
        "try:\n"
        f"    test_faults.train(tiny.config(n_steps={config.n_steps}, checkpoint_every=20,"
        f" test_every=20), Path({str(folder)!r}))\n"
        "except gi.GrokinterpError as error:\n"
        "    sys.exit(f'{type(error).__name__}: {error}')\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(tiny.config(n_steps=80, checkpoint_every=20), folder)
    return folder


@pytest.mark.parametrize(
    ("subject", "moments"),
    [("training", 6), ("many", 6), ("analysis", 2), ("sweep", 2), ("parallel_sweep", 1)],
)
def test_after_any_kill_nothing_reported_is_lost_and_the_end_has_the_same_bits(subject, moments):
    # In a process of its own: it forks, which one that has computed with threads must not.
    command = [sys.executable, "-m", "tests.faults", subject, "--moments", str(moments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith(f"{subject}: {moments} kills")
    assert ended.stdout.rstrip().endswith("; 0 faults")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (
            lambda run: cut(run / "checkpoints" / "step_00000040.safetensors"),
            "step 40 was reported",
        ),
        (lambda run: (run / "checkpoints" / "step_00000040.safetensors").unlink(), "missing"),
        (lambda run: cut(run / "split.safetensors"), "split.safetensors has not the bytes"),
        (lambda run: (run / "curves.csv").write_text("40,1.0\n"), "lost its header"),
    ],
)
def test_the_harness_sees_what_a_kill_could_do(undisturbed, tmp_path, damage, fault):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    expected = faults.digests(undisturbed)
    assert faults.run_faults(run, expected) == []
    damage(run)
    assert any(fault in found for found in faults.run_faults(run, expected))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("limit", [100, 20_000, 60_000])
def test_a_full_disk_costs_one_line_and_training_goes_on_to_the_same_bits(
    undisturbed, tmp_path, limit
):
    train(tiny.config(n_steps=40, checkpoint_every=20), tmp_path)
    before = faults.digests(tmp_path)
    sizes = [path.stat().st_size for path in undisturbed.rglob("*.safetensors")]
    assert max(sizes) > 60_000 and min(sizes) < 20_000  # the limits stop different writes
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        import grokinterp as gi

        with pytest.raises(gi.RunFolderError, match="File too large. Files written before") as one:
            train(tiny.config(n_steps=80, checkpoint_every=20), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(one.value) and "start the same command again" in str(one.value)
    now = faults.digests(tmp_path)
    assert {n: d for n, d in now.items() if "step_" in n and n in before} == {
        n: d for n, d in before.items() if "step_" in n
    }
    assert not list(tmp_path.rglob(".writing-*"))
    train(tiny.config(n_steps=80, checkpoint_every=20), tmp_path)
    assert faults.digests(tmp_path) == faults.digests(undisturbed)


def test_a_folder_that_vanishes_costs_one_line_and_goes_on_where_it_is_put_back(tmp_path):
    folder, moved = tmp_path / "run", tmp_path / "moved"
    process = train_aside(long_config(), folder)
    try:
        wait_for(folder / STEP_40)
        folder.rename(moved)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert errors.count("\n") == 1 and "RunFolderError: cannot write" in errors
    assert "No such file or directory" in errors and not folder.exists()
    assert faults.run_faults(moved) == []


def test_a_second_trainer_is_refused_and_an_analysis_reads_only_what_is_whole(tmp_path):
    import grokinterp as gi

    process = train_aside(long_config(), tmp_path)
    try:
        wait_for(tmp_path / STEP_40)
        with pytest.raises(gi.FolderInUseError, match="is being written by another process"):
            train(long_config(), tmp_path)
        seen = []
        for _ in range(3):
            analysis = gi.analyze_run(gi.load_run(tmp_path), deep=False)
            assert not analysis.failures
            seen.append(analysis.run.last_step)
        assert process.poll() is None and seen == sorted(seen)
    finally:
        process.kill()
        process.communicate()
    # What was kept while it was written is what a fresh analysis finds.
    again = gi.analyze_run(gi.load_run(tmp_path), deep=False, cache_folder=tmp_path / "fresh")
    rows = analysis.trajectory.merge(again.trajectory, on="step", suffixes=("", "_again"))
    assert len(rows) == len(analysis.trajectory)
    assert (rows["train_loss"] == rows["train_loss_again"]).all()

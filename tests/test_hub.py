"""``hf://``: the real client of the Hugging Face Hub, against a small Hub on loopback."""

import io
import os
import subprocess
import sys

import pytest
import torch

import grokinterp as gi
from grokinterp.errors import ConfigError, RunFolderError
from grokinterp.runs.hub import Address, needed
from grokinterp.runs.reading import require_within
from tests import planted, tiny
from tests.hub_server import Repository, serving
from tests.test_imports import loaded_after

pytestmark = pytest.mark.long


def weights(frequency=2):
    content = io.BytesIO()
    torch.save(planted.clock_parameters(13, [frequency]), content)
    return content.getvalue()


@pytest.fixture(scope="module")
def run_files(tmp_path_factory):
    """Files of a run folder, by path."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    gi.train(tiny.config(n_steps=4, checkpoint_every=2), folder, progress=False)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def hub(tmp_path, monkeypatch, run_files):
    """A Hub that the client talks to, and an empty cache."""
    clock = weights()
    repositories = {
        "ada/one": Repository({"net_100.pt": clock, "README.md": b"a card", "big.bin": b"0" * 999}),
        "ada/steps": Repository(
            {
                "ckpts/step_1.pt": clock,
                # The cache holds a content once, whatever its names are.
                "ckpts/step_20.pt": weights(3),
                "other/net.pt": b"damaged",
            }
        ),
        "ada/run": Repository({**run_files, "analysis/cache.jsonl": b"{}"}, ("main", "v1")),
        "ada/private": Repository({"net.pt": clock}, token="hf_secret"),
        "ada/gated": Repository({}, is_gated=True),
        "ada/huge": Repository({"net.pt": clock}, sizes={"net.pt": 9 * 2**30}),
        "ada/much": Repository({f"{i}.pt": clock for i in range(9)}),
    }
    with serving(repositories) as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        yield hub


def use(hub, cache, monkeypatch):
    from huggingface_hub import constants

    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


def test_one_file_of_weights_is_read_and_nothing_else_is_downloaded(hub):
    run = gi.load_run("hf://ada/one")
    commit = hub.repositories["ada/one"].commit
    assert run.origin.startswith(f"downloaded from hf://ada/one@{commit}: imported from net_100.pt")
    assert hub.downloaded == ["net_100.pt"]
    assert run.folder is None
    gi.load_run("hf://ada/one")
    assert hub.downloaded == ["net_100.pt"]


def test_a_path_names_a_file_or_a_folder(hub):
    assert gi.load_run("hf://ada/steps/ckpts").steps == (1, 20)
    assert gi.load_run("hf://ada/steps@main/ckpts/step_20.pt").steps == (20,)
    assert hub.downloaded == ["ckpts/step_1.pt", "ckpts/step_20.pt"]
    with pytest.raises(RunFolderError, match="Name a folder that has: ckpts, other"):
        gi.load_run("hf://ada/steps")
    with pytest.raises(RunFolderError, match="the repository has no 'nets'"):
        gi.load_run("hf://ada/steps/nets")


def test_a_run_folder_is_read_without_what_only_training_needs(hub, run_files):
    run = gi.load_run("hf://ada/run@v1")
    assert run.steps == (0, 1, 2, 4)
    assert run.config == tiny.config(n_steps=4, checkpoint_every=2)
    assert sum(len(run.parameters(step)) > 0 for step in run.steps) == 4
    assert "split.safetensors" in hub.downloaded
    assert not {"resume.safetensors", "timing.csv", "analysis/cache.jsonl"} & {*hub.downloaded}
    assert {"resume.safetensors", "timing.csv"} <= run_files.keys()


def test_an_exported_run_is_uploaded_and_read_back(hub, tmp_path, run_files):
    analysis = gi.analyze_run(gi.load_run("hf://ada/run"), deep=False)
    folder = gi.export(analysis, tmp_path / "up", checkpoints="all", report=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    uploaded = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    hub.repositories["ada/up"] = Repository(uploaded)
    hub.asked.clear()
    again = gi.load_run("hf://ada/up")
    assert again.steps == analysis.run.steps
    assert again.checksum() == analysis.run.checksum()
    assert again.split.train.tolist() == analysis.run.split.train.tolist()
    assert not {"report.html", "README.md"} & {*hub.downloaded}


def test_a_token_opens_a_private_repository(hub, monkeypatch):
    with pytest.raises(RunFolderError, match="does not exist, or is private. Check the spelling"):
        gi.load_run("hf://ada/private")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert gi.load_run("hf://ada/private").task.spec.p == 13


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://ada/nothing", "hf://ada/nothing does not exist, or is private"),
        ("hf://ada/gated", "hf://ada/gated is gated. Ask for access"),
        ("hf://ada/one@v2", "hf://ada/one has no revision 'v2'"),
        ("hf://ada/huge", "net.pt has 9.0 GiB, more than 8"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_line(hub, address, message):
    with pytest.raises(RunFolderError, match=message):
        gi.load_run(address)
    assert hub.downloaded == []


def test_a_disk_without_room_is_noticed_before_anything_is_downloaded(hub, monkeypatch):
    full = type("usage", (), {"free": 5000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(RunFolderError, match="bytes are needed and 5,000 are free"):
        gi.load_run("hf://ada/much")
    assert hub.downloaded == []


def test_what_is_in_the_cache_takes_no_room(hub, monkeypatch):
    known = gi.load_run("hf://ada/one").checksum()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("usage", (), {"free": 0}))
    assert gi.load_run("hf://ada/one").checksum() == known
    hub.is_down = True
    assert gi.load_run("hf://ada/one").checksum() == known
    hub.is_down = False
    with pytest.raises(RunFolderError, match="bytes are needed and 0 are free"):
        gi.load_run("hf://ada/steps/ckpts")


def test_a_folder_that_was_seen_in_part_is_said(hub):
    gi.load_run("hf://ada/steps/ckpts/step_1.pt")
    hub.is_down = True
    part = gi.load_run("hf://ada/steps/ckpts")
    assert (
        part.steps == (1,) and "(the Hub was not reached: only what its cache has)" in part.origin
    )
    hub.is_down = False
    whole = gi.load_run("hf://ada/steps/ckpts")
    assert whole.steps == (1, 20) and "was not reached" not in whole.origin


def test_the_cache_serves_what_it_has_when_the_hub_is_not_reached(hub, monkeypatch):
    from huggingface_hub import constants

    known = gi.load_run("hf://ada/one").checksum()
    hub.is_down = True
    assert gi.load_run("hf://ada/one").checksum() == known
    with pytest.raises(RunFolderError, match="cannot be reached and is not in the cache"):
        gi.load_run("hf://ada/steps/ckpts")
    hub.is_down = False
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert gi.load_run("hf://ada/one").checksum() == known
    with pytest.raises(RunFolderError, match="not in the cache, and HF_HUB_OFFLINE is set. Unset"):
        gi.load_run("hf://ada/steps/ckpts")
    with pytest.raises(RunFolderError, match="has no 'big.bin'.*: this is the cache"):
        gi.load_run("hf://ada/one/big.bin")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://ada/net", ("ada/net", None, "", "net")),
        ("hf://ada/net.v2@v1", ("ada/net.v2", "v1", "", "net")),
        ("hf://ada/net@refs%2Fpr%2F1/a/b_1.pt", ("ada/net", "refs/pr/1", "a/b_1.pt", "b_1")),
        ("hf://ada/net/a@b/c/", ("ada/net", None, "a@b/c", "c")),
    ],
)
def test_an_address_has_a_repository_a_revision_and_a_path(text, parts):
    found = Address.of(text)
    assert (found.repository, found.revision, found.path, found.name) == parts
    assert str(found) == text.rstrip("/")


@pytest.mark.parametrize(
    "text", ["hf://ada", "hf://", "hf://ada/net/../x", "hf://../net", "hf://a b/c", "hf://ada/net@"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match="is not an address on the Hugging Face Hub. Write"):
        gi.load_run(text)


def test_of_several_files_those_that_are_read_are_chosen():
    here = Address("ada/net", None, "")
    sizes = {"config.json": 9, "model.safetensors": 9, "model.pt": 9, "optimizer.bin": 9}
    assert needed(sizes, here) == (["config.json", "model.safetensors"], "model.safetensors")
    del sizes["config.json"]
    assert needed(sizes, here) == (["model.safetensors", "model.pt"], "")
    del sizes["model.safetensors"]
    assert needed(sizes | {"cfg.json": 2**30}, here) == (["model.pt"], "model.pt")


def test_links_into_the_cache_of_the_hub_are_followed_and_no_others(tmp_path):
    repository = tmp_path / "models--ada--net"
    folder = repository / "snapshots" / "abc"
    for place in (folder, repository / "blobs", tmp_path / "blobs"):
        place.mkdir(parents=True)
        (place / "file").write_text("x")
    (tmp_path / "elsewhere").write_text("x")
    for name, target in (("a", repository / "blobs/file"), ("b", tmp_path / "blobs/file")):
        (folder / name).symlink_to(target)
        require_within(folder / name, folder)
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="leads out"):
        require_within(folder / "c", folder)
    plain = tmp_path / "plain" / "snapshots" / "abc"
    plain.mkdir(parents=True)
    (plain / "a").symlink_to(repository / "blobs/file")
    with pytest.raises(RunFolderError, match="leads out"):
        require_within(plain / "a", plain)


def test_the_client_is_imported_only_for_the_hub(tmp_path):
    (tmp_path / "net.pt").write_bytes(weights())
    script = "import grokinterp as gi; gi.PRESETS; dir(gi)"
    assert "huggingface_hub" not in loaded_after(script)
    assert "huggingface_hub" not in loaded_after(f"{script}; gi.load_run('{tmp_path}/net.pt')")


def test_the_command_reads_from_the_hub_into_the_current_folder(hub, tmp_path):
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
    }

    def analyze(*words):
        return subprocess.run(
            [sys.executable, "-m", "grokinterp.analyze", *words, "--no-deep", "--quiet"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
            timeout=120,
        )

    found = analyze("hf://ada/one")
    assert (found.returncode, found.stderr) == (0, "")
    assert "key frequencies   2" in found.stdout
    assert (tmp_path / "one_analysis" / "summary.json").exists()
    missing = analyze("hf://ada/one@v9")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == (
        "error: hf://ada/one has no revision 'v9'. Name a branch, a tag or a whole commit hash.\n"
    )

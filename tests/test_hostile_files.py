"""Files that were made to do harm: refused in one line, in little memory, and nothing happens."""

import collections
import contextlib
import hashlib
import json
import os
import pickle
import resource
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors

from grokinterp.errors import CheckpointError, ConfigError, GrokinterpError
from grokinterp.runs.importers.foreign_files import plain_fields, read_foreign_file
from grokinterp.runs.loading import load_run
from grokinterp.runs.run import Run
from grokinterp.tasks import TaskSpec
from tests.foreign import transposed_state
from tests.solved import state_of, table_of
from tests.wrong_uses import tiny_config

FILES = ["config.json", "curves.csv", "split.safetensors", "checkpoints/step_00000008.safetensors"]
MEMORY = 2**29
"""Bytes that reading a hostile file may ask for on top of what the process has."""
HUGE = 10**12


@contextlib.contextmanager
def little_memory():
    """Let no more address space be taken: what asks for a lot fails, and is seen to."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def contents(folder):
    """Names and bytes of whatever is below a folder."""
    paths = sorted(folder.rglob("*"))
    return {p: hashlib.sha256(p.read_bytes()).digest() for p in paths if p.is_file()} | {
        p: b"" for p in paths if not p.is_file()
    }


def refusal(tmp_path, path, do=load_run):
    """The one line with which a path is refused; nothing was written."""
    before = contents(tmp_path)
    with little_memory(), pytest.raises(GrokinterpError) as caught:
        do(path)
    assert contents(tmp_path) == before
    line = str(caught.value)
    assert line.isprintable() and len(line) < 2000
    assert "MemoryError" not in line and "allocate" not in line
    return line


def all_weights(path):
    """Load a run and read every checkpoint."""
    run = load_run(path)
    return [run.parameters(step) for step in run.steps]


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A finished run, p = 5."""
    from grokinterp.training import train

    return train(tiny_config(), tmp_path_factory.mktemp("small") / "run", progress=False)


@pytest.fixture
def copied(small_run, tmp_path):
    """Its folder, to be tampered with."""
    return shutil.copytree(small_run.folder, tmp_path / "run")


# --- code in a pickle ---------------------------------------------------------------------


class Payload:
    """Writes a file when it is unpickled the careless way."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def _write_a_file(path):
    Path(path).write_text("sprung")


PAYLOADS = {
    "shell": lambda sprung: Payload(os.system, f"touch {sprung}"),
    "mkdir": lambda sprung: Payload(os.mkdir, str(sprung)),
    "exec": lambda sprung: Payload(exec, f"import os; os.mkdir({str(sprung)!r})"),
    "a class of the file's own": lambda sprung: Payload(_write_a_file, str(sprung)),
    "torch.load": lambda sprung: Payload(torch.load, str(sprung)),
}
PLACES = {
    "bare": lambda payload: payload,
    "config": lambda payload: {"model": transposed_state(p=5), "config": payload},
    "nested": lambda payload: {"model": {"a": [({"b": (payload,)},)]}},
    "key": lambda payload: collections.OrderedDict([("model", 1), ("x", [payload] * 3)]),
}
WRITERS = {
    "zip": torch.save,
    "legacy": lambda value, file: torch.save(value, file, _use_new_zipfile_serialization=False),
    "pickle": lambda value, file: file.write_bytes(pickle.dumps(value)),
    "old pickle": lambda value, file: file.write_bytes(pickle.dumps(value, protocol=0)),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, writer, place, payload):
    sprung = tmp_path / "sprung"
    file = tmp_path / "run.pth"
    WRITERS[writer](PLACES[place](PAYLOADS[payload](sprung)), file)
    assert file.stat().st_size and "Fetch" not in (line := refusal(tmp_path, file)), line
    assert "would run code from the file" in line
    assert not sprung.exists()


def test_the_payloads_of_these_tests_would_run(tmp_path):
    # The sibling that shows the tests above can fail.
    for name in ("shell", "mkdir", "exec", "a class of the file's own"):
        sprung = tmp_path / name.replace(" ", "_").replace("'", "")
        torch.save(PAYLOADS[name](sprung), tmp_path / "run.pth")
        torch.load(tmp_path / "run.pth", weights_only=False)
        assert sprung.exists()


# --- objects that only hold fields ----------------------------------------------------------


def _pickled(path, *parts, name="data.pkl"):
    """A torch archive whose pickle is written by hand, opcode by opcode."""
    torch.save({"weights": torch.arange(4.0)}, path)
    with zipfile.ZipFile(path) as old:
        members = {member.filename: old.read(member) for member in old.infolist()}
    with zipfile.ZipFile(path, "w") as new:
        for member, content in members.items():
            new.writestr(member, b"".join(parts) if member.endswith(name) else content)


def _text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def _class(name):
    module, _, leaf = name.rpartition(".")
    return f"c{module}\n{leaf}\n".encode()


NEW, DICT, BUILD, REDUCE, STOP, START = b")\x81", b"}", b"b", b"R", b".", b"\x80\x02"
"""An object without arguments, an empty table, a state, a call, the end and the beginning."""


@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "posix.system", "nt.system", "sys.exit", "subprocess.Popen"),
        *("builtins.eval", "__builtin__.eval", "builtins.exec", "builtins.getattr"),
        *("torch.load", "torch._utils.f", "torch.nn.modules.linear.Linear", "numpy.load"),
        *("os.path.join", "nets.eval", "nets.Config", "copyreg._reconstructor"),
        *("grokinterp.runs.importers.inert.Quoted", "torch.storage.UntypedStorage"),
    ],
)
def test_nothing_that_a_pickle_names_is_called(tmp_path, name):
    sprung = tmp_path / "sprung"
    path = tmp_path / "run.pth"
    arguments = _text(f"touch {sprung}") + b"\x85"
    _pickled(path, START, _class(name), arguments, REDUCE, STOP)
    refusal(tmp_path, path)
    # The memo brings back what was named before.
    _pickled(path, START, b"]", _class(name), b"q\x00a", b"h\x00", arguments, b"Ra", STOP)
    refusal(tmp_path, path)
    _pickled(path, START, b"}", b"q\x01", _text("a"), _class(name), b"q\x00", b"s", STOP)
    line = refusal(tmp_path, path)
    if name.startswith("nets"):
        assert f"an object of class {name}" in line
    assert not sprung.exists()


def test_an_object_cannot_be_made_callable_by_its_fields(tmp_path):
    path = tmp_path / "run.pth"
    call = _text("touch sprung") + b"\x85"
    for field in ("__call__", "__class__", "__setstate__", "__reduce__", "__dict__", "fields"):
        table = DICT + _text(field) + _class("nets.system") + b"s"
        made = START + _class("nets.Config") + NEW + table + BUILD
        _pickled(path, made, call, REDUCE, STOP)
        assert "would run code" in refusal(tmp_path, path)
        _pickled(path, made, DICT, _text("x"), b"K\x01s", BUILD, STOP)
        assert "an object of class nets.system" in refusal(tmp_path, path)


def test_an_object_that_only_holds_fields_is_no_network(tmp_path):
    # The sibling that shows that the pickles written by hand here are read.
    path = tmp_path / "run.pth"
    table = DICT + _text("x") + b"K\x01s"
    _pickled(path, START, _class("nets.Config"), NEW, table, BUILD, STOP)
    assert "no state dict, but a Quoted" in refusal(tmp_path, path)


@pytest.mark.parametrize("n", [10, 10**5])
def test_objects_nested_deep_or_in_themselves_are_read_in_little_memory(tmp_path, n):
    path = tmp_path / "run.pth"
    start = DICT + _text("config") + (_class("nets.Config") + NEW + DICT + _text("x")) * n
    _pickled(path, START, start, b"K\x01", (b"s" + BUILD) * n, b"s", STOP)
    assert "no state dict" in refusal(tmp_path, path)
    own = _class("nets.Config") + NEW + b"q\x00" + DICT + _text("x") + b"h\x00s" + BUILD
    _pickled(path, START, DICT, _text("config"), own, b"s", STOP)
    assert "no state dict" in refusal(tmp_path, path)


def test_a_table_in_itself_a_thousand_times_is_read_once(tmp_path):
    config = {"p": 5}
    config |= {f"again_{i}": config for i in range(2000)}
    inner = {"act_fn": "gelu"}
    path = tmp_path / "run.pt"
    models = {f"model_{i}": inner for i in range(2000)}
    torch.save({"config": {**models, "config": config}}, path)
    found = plain_fields(read_foreign_file(path)["config"])
    assert found == {"p": 5, "act_fn": "gelu"}
    # Two tables that merely say the same are two.
    assert plain_fields({"a": {"p": 5}, "b": {"p": 5}}) == {"p": 5, "b.p": 5}


def test_countless_classes_are_not_read(tmp_path):
    path = tmp_path / "run.pth"
    objects = b"".join(_class(f"nets.C{i}") + NEW + b"a" for i in range(300))
    _pickled(path, START, b"]", objects, STOP)
    assert "an object of class nets.C" in refusal(tmp_path, path)


# --- arrays of numpy ------------------------------------------------------------------------


def _array(shape, kind="<f4", content=b""):
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (_array("(1000000000000,)"), "declares 4,000,000,000,000 bytes"),
        (_array("(-1,)", content=bytes(4)), "holds float32"),
        (_array("(4611686018427387904, 4)"), "declares"),
        (_array("(1,)", "|O", pickle.dumps(Payload(os.system, "touch sprung"))), "not numbers"),
        (_array("(1,)", "|V8", bytes(8)), "not numbers"),
        (_array("(2,)", content=bytes(4)), "declares 8 bytes"),
        (_array("__import__('os').getcwd()"), "cannot be read as NumPy arrays"),
        (_array("(True,)", content=bytes(4)), "cannot be read as NumPy arrays"),
        (_array("((((("), "cannot be read as NumPy arrays"),
        (_array("(1,)", "<U1", b"\xff" * 4), "cannot be read as NumPy arrays"),
        (b"hello", "cannot be read as NumPy arrays"),
        (b"", "cannot be read as NumPy arrays"),
    ],
)
def test_an_array_that_lies_about_itself_is_refused(tmp_path, content, fact):
    with zipfile.ZipFile(tmp_path / "run.npz", "w") as archive:
        archive.writestr("x.npy", content)
    assert fact in refusal(tmp_path, tmp_path / "run.npz")


def test_damaged_arrays_are_called_arrays_and_of_two_of_one_name_none_is_read(tmp_path):
    path = tmp_path / "run.npz"
    np.savez_compressed(path, x=np.arange(9999.0), y=np.arange(99.0))
    content = bytearray(path.read_bytes())
    content[300:320] = bytes(20)
    path.write_bytes(content)
    assert "cannot be read as NumPy arrays" in refusal(tmp_path, path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x.npy", "x"):
            archive.writestr(name, _array("(1,)", content=bytes(4)))
    assert "two arrays 'x'" in refusal(tmp_path, path)


def test_a_bomb_of_arrays_is_not_unpacked(tmp_path):
    bomb = tmp_path / "run.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(_array(f"({40 * 2**22},)"))
            for _ in range(40):
                member.write(bytes(2**24))
    assert bomb.stat().st_size < 2**22
    assert "more bytes than a small network" in refusal(tmp_path, bomb)


# --- archives -----------------------------------------------------------------------------


def _repacked(source, target, **changes):
    """Write the members of a torch file again, under other names or compressed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            name = changes.get("rename", lambda name: name)(member.filename)
            new.writestr(name, old.read(member), changes.get("compression", zipfile.ZIP_STORED))
        for name, content in changes.get("extra", ()):
            new.writestr(name, content, changes.get("compression", zipfile.ZIP_STORED))
        new.comment = changes.get("comment", b"")


def _set_everywhere(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


@pytest.fixture
def honest(tmp_path):
    """A file that is read, from which the dishonest ones are made."""
    (tmp_path / "made_of").mkdir()
    file = tmp_path / "made_of" / "honest.pth"
    torch.save({"weights": torch.arange(4.0)}, file)
    return file


def test_an_archive_as_torch_writes_it_is_read(honest, tmp_path):
    _repacked(honest, tmp_path / "again.pth")
    assert "no state dict" in refusal(tmp_path, tmp_path / "again.pth")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # 512 MB of zeros in half a megabyte: more than the memory that this test leaves.
        ({"compression": zipfile.ZIP_DEFLATED}, "the compressed member"),
        ({"compression": zipfile.ZIP_LZMA}, "the compressed member"),
        ({"rename": lambda name: f"../{name}"}, "whose name leads out of it"),
        ({"rename": lambda name: f"/etc/{name}"}, "whose name leads out of it"),
        ({"rename": lambda name: name.replace("/", "/../")}, "whose name leads out of it"),
        ({"extra": [("C:\\x", b"")]}, "whose name leads out of it"),
        ({"comment": b"PK"}, "a comment"),
    ],
)
def test_an_archive_that_torch_would_not_write_is_refused(honest, tmp_path, changes, message):
    _repacked(honest, tmp_path / "run.pth", **changes)
    line = refusal(tmp_path, tmp_path / "run.pth")
    assert message in line and "which torch.save never writes" in line


def test_a_zip_bomb_is_not_unpacked(honest, tmp_path):
    bomb = tmp_path / "run.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("archive/data.pkl", "w", force_zip64=True) as member:
            for _ in range(40):
                member.write(bytes(2**24))  # 671 megabytes, in three
    assert bomb.stat().st_size < 2**22
    assert "the compressed member 'archive/data.pkl'" in refusal(tmp_path, bomb)


def test_members_that_share_their_bytes_are_refused(honest, tmp_path):
    # As in the bombs that need no compression: every entry of the directory is the same bytes.
    path = tmp_path / "run.pth"
    _repacked(honest, path, extra=[("archive/data/1", b"x" * 64), ("archive/data/2", b"x" * 64)])
    content = bytearray(path.read_bytes())
    offset = content.index(b"archive/data/1") - 30
    entry = content.rindex(b"archive/data/2") - 46
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + 42 : entry + 46] = struct.pack("<I", offset)
    path.write_bytes(content)
    assert "overlaps another" in refusal(tmp_path, path)


def test_a_member_that_is_there_twice_is_refused(honest, tmp_path):
    path = tmp_path / "run.pth"
    _repacked(honest, path, extra=[("archive/data/1", b"1"), ("archive/data/2", b"2")])
    _set_everywhere(path, b"archive/data/2", b"archive/data/1")
    assert "two members 'archive/data/1'" in refusal(tmp_path, path)


def test_an_archive_of_countless_members_is_refused(honest, tmp_path, monkeypatch):
    from grokinterp.runs.importers import archives

    monkeypatch.setattr(archives, "MOST_MEMBERS", 20)
    _repacked(honest, tmp_path / "run.pth", extra=[(f"archive/x{i}", b"") for i in range(30)])
    assert "members, which torch.save never writes" in refusal(tmp_path, tmp_path / "run.pth")


# --- sizes that are not there ---------------------------------------------------------------


@pytest.mark.parametrize("key", ["blocks.0.attn.W_O", "embed.W_E", "mask"])
@pytest.mark.parametrize("place", ["model", "state_dicts"])
def test_a_tensor_that_is_one_number_seen_many_times_is_refused(tmp_path, key, place):
    state = {**transposed_state(p=5), key: torch.zeros(1).expand(HUGE)}
    torch.save({place: state if place == "model" else [state]}, tmp_path / "run.pth")
    assert f"a tensor of shape ({HUGE},)" in refusal(tmp_path, tmp_path / "run.pth")


def test_a_tensor_that_is_not_dense_is_refused(tmp_path):
    state = {**transposed_state(p=5), "embed.W_E": torch.zeros(3, 8).to_sparse()}
    torch.save({"model": state}, tmp_path / "run.pth")
    assert "shape (3, 8) that is not dense" in refusal(tmp_path, tmp_path / "run.pth")


def test_a_log_that_is_one_loss_seen_many_times_is_refused(tmp_path):
    losses = torch.zeros(1, dtype=torch.float64).expand(10**10)
    torch.save({"model": transposed_state(p=5), "train_losses": losses}, tmp_path / "run.pth")
    assert "a tensor of shape" in refusal(tmp_path, tmp_path / "run.pth")


def test_an_array_that_is_named_but_not_there_is_refused(tmp_path):
    class Array:
        def __reduce__(self):
            rebuild, (kind, _, code), _ = np.zeros(1).__reduce__()
            return rebuild, (kind, (2**25,), b"d")

    torch.save({"model": transposed_state(p=5), "train_losses": Array()}, tmp_path / "run.pth")
    assert f"a tensor of shape ({2**25},)" in refusal(tmp_path, tmp_path / "run.pth")


@pytest.mark.parametrize("shape", [(2**62, 2), (-3,), (HUGE,)])
@pytest.mark.parametrize("is_zip", [True, False])
def test_a_torch_file_whose_storage_is_said_to_be_larger_is_refused(tmp_path, shape, is_zip):
    numel = abs(int(np.prod([float(n) for n in shape])))

    class Claim:
        def __reduce__(self):
            storage = torch.zeros(4).untyped_storage()
            return torch._utils._rebuild_tensor_v2, (
                torch.storage.TypedStorage(
                    wrap_storage=storage, dtype=torch.float32, _internal=True
                ),
                0,
                shape,
                (1,) * len(shape),
                False,
                collections.OrderedDict(),
            )

    file = tmp_path / "run.pth"
    torch.save({"model": Claim()}, file, _use_new_zipfile_serialization=is_zip)
    assert numel > 4 or shape[0] < 0
    line = refusal(tmp_path, file)
    assert "cannot be read as a torch file" in line or "a tensor of shape" in line


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({"w": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}, None),
        ({"w": {"dtype": "F32", "shape": [2**62, 2], "data_offsets": [0, 8]}}, None),
        ({"w": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, None),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, None),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 2**62),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 10**8),
        (
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            },
            None,
        ),
        ({"w": {"dtype": "object", "shape": [1], "data_offsets": [0, 8]}}, None),
        ({"w" * 10**5: {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, None),
    ],
    ids=[
        "huge",
        "overflow",
        "negative",
        "backwards",
        "header",
        "long header",
        "shared",
        "kind",
        "n",
    ],
)
@pytest.mark.parametrize("is_own", [False, True])
def test_a_safetensors_file_that_lies_about_its_sizes_is_refused(
    copied, tmp_path, header, length, is_own
):
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text) if length is None else length) + text + bytes(8)
    if is_own:
        _report(copied, 8, content)
        refusal(tmp_path, copied, all_weights)
        return
    (tmp_path / "run.safetensors").write_bytes(content)
    line = refusal(tmp_path, tmp_path / "run.safetensors")
    assert "is not a safetensors file" in line


def _report(folder, step, content):
    """Put a checkpoint into a run folder, with the checksum that it has."""
    file = f"step_{step:08d}.safetensors"
    (folder / "checkpoints" / file).write_bytes(content)
    index = folder / "checkpoints" / "index.csv"
    digest = hashlib.sha256(content).hexdigest()
    lines = [x for x in index.read_text().splitlines() if not x.startswith(f"{step},")]
    index.write_text("\n".join([*lines, f"{step},{file},{digest}"]) + "\n")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_run_that_is_larger_than_it_can_be_is_not_read(copied, tmp_path, name):
    with (copied / name).open("ab") as file:
        file.truncate(10**11)  # takes no room on the disk
    before = {p for p in tmp_path.rglob("*")}
    with little_memory(), pytest.raises(GrokinterpError, match=r"has 100,000,000,000 bytes, more"):
        all_weights(copied)
    assert {p for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(copied, name):
    (copied / name).unlink()
    os.mkfifo(copied / name)
    with pytest.raises(GrokinterpError, match="is no file"):
        all_weights(copied)


def test_a_pipe_or_a_device_is_no_foreign_file(tmp_path):
    os.mkfifo(tmp_path / "run.pth")
    for path in (tmp_path / "run.pth", Path("/dev/zero")):
        with pytest.raises(CheckpointError, match="is no file"):
            load_run(path, format="transformer_lens")


# --- numbers that are none ------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_named_with_their_step(copied, small_run, tmp_path, value):
    weights = {name: tensor.clone() for name, tensor in small_run.parameters(8).items()}
    weights["blocks.0.mlp.W_in"][0, 0] = value
    _report(copied, 8, to_safetensors(weights))
    from grokinterp.circuits import take_snapshot

    line = refusal(tmp_path, copied, lambda path: take_snapshot(load_run(path), 8))
    assert "step 8 has non-finite weights in blocks.0.mlp.W_in" in line

    state = transposed_state(p=5)
    state["blocks.0.mlp.b_in"][0] = value
    states = [transposed_state(p=5), state]
    torch.save({"state_dicts": states, "epochs": [9, 19]}, tmp_path / "run.pth")
    line = refusal(tmp_path, tmp_path / "run.pth")
    assert "weights that are not finite in blocks.0.mlp.b_in" in line

    with pytest.raises(CheckpointError, match="step 4: weights that are not finite in blocks.0"):
        Run.from_state_dicts({0: small_run.parameters(0), 4: weights}, task=TaskSpec(p=5))


# --- ways out of a folder -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "curves.csv",
        "split.safetensors",
        "resume.safetensors",
        "checkpoints/index.csv",
        "checkpoints/step_00000008.safetensors",
    ],
)
def test_a_link_that_leads_out_of_a_run_is_not_followed(copied, tmp_path, name):
    from grokinterp.training import train

    outside = tmp_path / "outside"
    shutil.move(copied / name, outside)
    (copied / name).symlink_to(outside)

    def use(path):
        all_weights(path)
        train(tiny_config(), path, progress=False)

    assert "is a link that leads out of" in refusal(tmp_path, copied, use)


def test_a_link_within_a_run_is_followed(copied):
    path = copied / "checkpoints" / "step_00000008.safetensors"
    path.rename(copied / "elsewhere")
    path.symlink_to(copied / "elsewhere")
    assert len(all_weights(copied)) == 6


def test_a_link_that_leads_out_of_a_folder_of_checkpoints_is_not_followed(small_run, tmp_path):
    (tmp_path / "outside").mkdir()
    torch.save(dict(small_run.parameters()), tmp_path / "outside" / "step_5.pt")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "step_5.pt").symlink_to(tmp_path / "outside" / "step_5.pt")
    assert "is a link that leads out of" in refusal(tmp_path, folder)
    (folder / "step_5.pt").unlink()
    (folder / "step_6.pt").symlink_to("step_6.pt")
    assert "is a link that leads to itself" in refusal(tmp_path, folder)


@pytest.mark.parametrize(
    "file", ["../config.json", "/etc/passwd", "..", "", "a/../../config.json", "a\0b", "x" * 5000]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(copied, tmp_path, file):
    with (copied / "checkpoints" / "index.csv").open("a") as index:
        index.write(f"99,{file},{'0' * 64}\n")
    run = load_run(copied)
    line = refusal(tmp_path, copied, lambda _: run.parameters(99))
    assert "index.csv" in line or "is no file" in line


# --- config.json ----------------------------------------------------------------------------


def _config_with(text):
    return lambda content: content.replace('"n_steps": 10', text)


CONFIGS = {
    "a hundred megabytes": (lambda content: content + " " * 10**8, "more than the 16,777,216"),
    "nested deep": (lambda _: '{"a":' * 10**5 + "1" + "}" * 10**5, "nested too deep"),
    "a list nested deep": (lambda _: "[" * 10**5 + "]" * 10**5, "nested too deep"),
    "a key twice": (_config_with('"n_steps": 10, "n_steps": 20'), "'n_steps' is in it twice"),
    "wrong UTF-8": (lambda content: content.encode() + b"\xff\xfe", "can't decode"),
    "UTF-16": (lambda content: content.encode("utf-16"), "can't decode"),
    "an endless number": (_config_with(f'"n_steps": {"9" * 10**5}'), "does not describe"),
    "a large number": (_config_with(f'"n_steps": {"9" * 4000}'), "checkpoints"),
    "no number": (_config_with('"n_steps": NaN'), "n_steps=nan is not allowed"),
    "infinity": (_config_with('"n_steps": Infinity'), "n_steps=inf is not allowed"),
    "a text": (_config_with('"n_steps": "10"'), "n_steps='10' is of the wrong type"),
    "many layers": (
        lambda content: content.replace('"n_layers": 1', '"n_layers": 1000000000'),
        "n_layers=1000000000 is too large",
    ),
    "a large p": (lambda content: content.replace('"p": 5', '"p": 1000000000'), "is too large"),
    "an escape": (_config_with('"\\u001b[31m\\n": 10'), "unknown field"),
    "nothing": (lambda _: "", "does not describe"),
    "null": (lambda _: "null", "it holds no table"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_is_refused(copied, tmp_path, name):
    change, message = CONFIGS[name]
    content = change((copied / "config.json").read_text())
    assert content != (copied / "config.json").read_text()
    raw = content if isinstance(content, bytes) else content.encode()
    (copied / "config.json").write_bytes(raw)
    assert message in refusal(tmp_path, copied)


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"attn_coeff": 1, "attn_coeff": 0}', "\xff", "[" * 10**5]
)
def test_a_hostile_config_beside_a_foreign_network_is_refused(tmp_path, text):
    torch.save(transposed_state(p=5, n_ctx=2), tmp_path / "model_x.pt")
    (tmp_path / "config_x.json").write_bytes(text.encode("latin-1"))
    assert "config_x.json cannot be read" in refusal(tmp_path, tmp_path / "model_x.pt")


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["blocks.0.\x1b[2Jx", "unembed.two\nlines", "ln_final." + "w" * 10**6]
)
def test_names_in_a_file_cannot_speak_to_the_terminal(tmp_path, name):
    torch.save({**transposed_state(p=5), name: torch.zeros(2)}, tmp_path / "run.pth")
    assert "belongs to a part that the transformer here has not" in refusal(
        tmp_path, tmp_path / "run.pth"
    )


def test_the_name_of_a_file_cannot_speak_to_the_terminal(tmp_path):
    path = tmp_path / "net\n\x1b[2J.pt"
    torch.save(state_of(table_of(lambda a, b: a + b, 5)), path)
    run = load_run(path)
    assert run.origin.isprintable() and "imported from net \\x1b[2J.pt" in run.origin


def test_a_message_keeps_the_class_that_code_catches():
    error = ConfigError("two\nlines")
    assert isinstance(error, ValueError) and str(error) == "two lines"


def test_files_that_are_written_can_be_read_by_whom_the_umask_says(small_run):
    mode = stat.S_IMODE((small_run.folder / "config.json").stat().st_mode)
    assert mode & 0o111 == 0

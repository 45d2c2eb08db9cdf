"""Objects of somebody else's class in a pickle: their fields, and none of their code.

torch's restricted unpickler looks every name up in a table. A name that it does not know can be
given a class of ours: an object that only holds fields, such as the instance of a dataclass or an
``argparse.Namespace``, then comes out as a :class:`Quoted`. Whatever would call something of the
file's own (a function, a class with arguments, a ``__setstate__`` that takes anything but fields)
meets a class that refuses.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.errors import one_line

MOST_NAMES = 200
"""Of classes in one file; a config has a handful."""
MOST_PICKLE_BYTES = 2**28
MOST_DEPTH = 4
"""Tables within tables whose fields are read; a config of a config of a model has three."""
_NOT_THEIRS = {"builtins", "__builtin__", "torch", "numpy", "copyreg", "copy_reg"}
"""Packages whose names never stand for an object that only holds fields."""
# What torch's own list of harmless names leaves out: numbers and arrays of numpy.
_NUMPY_SCALAR, _NUMPY_ARRAY = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]


class _NeverCalled(type):
    """Of classes that a pickle may make objects of, and may not call."""

    path: str

    def __call__(cls, *arguments: Any, **fields: Any) -> Any:
        raise pickle.UnpicklingError(f"calls GLOBAL {cls.path}")


class Quoted(metaclass=_NeverCalled):
    """Stands in for an object of somebody else's class: its fields, and none of its code."""

    __slots__ = ("fields",)
    path = "an unknown class"
    """What the file calls the class."""
    fields: dict[str, Any]

    def __new__(cls, *arguments: Any) -> Quoted:
        """Make one without fields; a class that takes arguments might do anything with them."""
        if arguments:
            raise pickle.UnpicklingError(f"makes GLOBAL {cls.path} of arguments")
        made = super().__new__(cls)
        made.fields = {}
        return made

    def __setstate__(self, state: Any) -> None:
        # Objects with slots have two tables, either of which may be None.
        tables = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if not all(table is None or isinstance(table, dict) for table in tables):
            raise pickle.UnpicklingError(f"calls GLOBAL {self.path}")
        for table in tables:
            self.fields.update(table or {})


class Named(metaclass=_NeverCalled):
    """Stands in for a type that is named and not used, such as that of a field."""

    path = "a type"


def harmless() -> list[Any]:
    """Return what torch may let through besides tensors, numbers, strings, lists and tables."""
    configs = [
        "transformer_lens.HookedTransformerConfig.HookedTransformerConfig",
        "transformer_lens.config.HookedTransformerConfig.HookedTransformerConfig",
        "transformer_lens.config.hooked_transformer_config.HookedTransformerConfig",
        "transformer_lens.config.TransformerBridgeConfig.TransformerBridgeConfig",
        "transformer_lens.config.transformer_bridge_config.TransformerBridgeConfig",
        "easy_transformer.EasyTransformerConfig.EasyTransformerConfig",
    ]
    numbers = [type(np.dtype(kind)) for kind in ("f8", "f4", "f2", "i8", "i4", "u1", "?")]
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    types = ("int", "float", "str", "bool", "list", "dict", "tuple")
    paths = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    return [
        *((_stand_in(name), name) for name in configs),
        *((_NUMPY_SCALAR, f"{module}.scalar") for module in modules),
        *((_NUMPY_ARRAY, f"{module}._reconstruct") for module in modules),
        *((Named, name) for name in ("typing.Any", *(f"builtins.{name}" for name in types))),
        *(
            (_path, f"{module}.{name}")
            for module in ("pathlib", "pathlib._local")
            for name in paths
        ),
        (_table, "collections.defaultdict"),
        (_namespace, "types.SimpleNamespace"),
        (Quoted, "grokinterp.Quoted"),
        *(np.ndarray, np.dtype),
        *numbers,
    ]


def stand_ins(path: Path, *, as_tables: bool = False) -> list[Any]:
    """Return classes that stand in for those which the pickle of a file names.

    Parameters
    ----------
    path
        A file of ``torch.save``, as an archive or in its older format.
    as_tables
        Make tables instead of objects with fields: for classes that are dictionaries.
    """
    theirs = [name for name in sorted(_globals_in(path)) if name.split(".")[0] not in _NOT_THEIRS]
    known = {name for _, name in (e for e in harmless() if isinstance(e, tuple))}
    new = [name for name in theirs[:MOST_NAMES] if name not in known]
    return [(_stand_in(name, as_tables=as_tables), name) for name in new]


def uncalled_name(value: Any) -> str | None:
    """Name of a class or function of the file's own that stands in it as a value; else None."""
    return value.path if isinstance(value, _NeverCalled) and value is not Named else None


def fields_of(value: Any) -> Mapping[Any, Any]:
    """Return the fields of a table or of an object that only holds fields; else none."""
    if isinstance(value, Quoted):
        return value.fields
    return value if isinstance(value, Mapping) else {}


def plain_fields(value: Any) -> dict[str, Any]:
    """Fields of a stored config whose values are plain: numbers, strings, None.

    Fields of a table within it go by their own name, or where that is taken by the whole path.

    Examples
    --------
    >>> plain_fields({"lr": 0.5, "model": {"act_fn": "relu", "lr": 1}})
    {'lr': 0.5, 'act_fn': 'relu', 'model.lr': 1}
    """
    found: dict[str, Any] = {}
    waiting = [("", value, 1)]
    # A table may stand in itself, or in a thousand places: it is read at the first of them.
    seen = {id(value)}
    while waiting:
        path, table, depth = waiting.pop(0)
        for key, entry in fields_of(table).items():
            name = one_line(str(key), 60)
            entry = entry.item() if isinstance(entry, np.generic) else entry
            if entry is None or isinstance(entry, (bool, int, float, str)):
                found.setdefault(name if name not in found else f"{path}{name}", entry)
            elif depth < MOST_DEPTH and fields_of(entry) and id(entry) not in seen:
                seen.add(id(entry))
                waiting.append((f"{path}{name}.", entry, depth + 1))
    return found


def _stand_in(name: str, *, as_tables: bool = False) -> type:
    inner = {"path": name, "__slots__": ()}
    if as_tables:
        return _NeverCalled("Tables", (), {**inner, "__new__": _new_table})
    return _NeverCalled("Quoted", (Quoted,), inner)


def _new_table(cls: _NeverCalled, *arguments: Any) -> OrderedDict[Any, Any]:
    if arguments:
        raise pickle.UnpicklingError(f"makes GLOBAL {cls.path} of arguments")
    return OrderedDict()


def _table(*factory: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def _namespace(*arguments: Any) -> Any:
    if arguments:
        raise pickle.UnpicklingError("makes GLOBAL types.SimpleNamespace of arguments")
    return Quoted.__new__(Quoted)


def _path(*parts: Any) -> str:
    return "/".join(part for part in parts if isinstance(part, str)).replace("//", "/")


def _globals_in(path: Path) -> set[str]:
    """Names that the pickles of a file look up; those before the place where one is damaged."""
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    is_pickle = member.filename.rpartition("/")[2] == "data.pkl"
                    if is_pickle and member.file_size <= MOST_PICKLE_BYTES:
                        names.update(_globals_of(archive.read(member)))
        else:
            with path.open("rb") as file:
                # The older format: a number, a version, the machine, and then the object.
                for _ in range(4):
                    names.update(_globals_of(file))
    except Exception:  # a damaged pickle fails anywhere; torch has the last word on it
        return names
    return names


def _globals_of(stream: Any) -> Iterable[str]:
    for code, argument, _ in pickletools.genops(stream):
        if code.name == "GLOBAL":
            yield str(argument).replace(" ", ".", 1)

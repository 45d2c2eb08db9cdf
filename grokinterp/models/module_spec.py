"""What is known of a network from elsewhere: a PyTorch module, or its logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.errors import ConfigError
from grokinterp.fields import check_types, shown
from grokinterp.reprs import spec_repr


@dataclass(frozen=True)
class Parts:
    """Where the parts of a module are: names of submodules, as in ``named_modules``.

    A name stands for the output of the submodule, ``"linear2:input"`` for its input. The latter
    is for networks that apply their activation as a function. An input is changed for that
    submodule alone: if another one reads the same activation, name the submodule that gives it.

    Examples
    --------
    >>> Parts(operands="embed", neurons="linear2:input")
    Parts(operands='embed', neurons='linear2:input')
    """

    operands: str | tuple[str, str] | None = None
    """The embedding of a and b: one submodule for both, or one for each. If another layer follows
    the embedding, name the embedding itself."""
    neurons: str | None = None
    """The last hidden layer after its nonlinearity. If it is called several times, the last call
    counts; if it has positions, the last position."""
    readout: str | None = None
    """The layer that reads the neurons. The map from neurons to logits is measured in any case,
    and is a part if it is linear; a linear layer named here gives it exactly."""
    pattern: str | None = None
    """Attention after the softmax: (pairs, head, query, key), of which the last query is read,
    or (pairs, head, key)."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        for part in ("operands", "neurons", "readout", "pattern"):
            names = getattr(self, part)
            for name in names if isinstance(names, tuple) else (names,):
                if name is not None and not name.partition(":")[0]:
                    raise ConfigError(f"{part}={shown(name)} names no submodule.")
        if self.readout is not None and self.neurons is None:
            raise ConfigError(
                f"readout={shown(self.readout)} is named without neurons, which it reads. Name "
                "neurons too."
            )


@dataclass(frozen=True)
class LogitsSpec:
    """A network known only by its logits.

    Examples
    --------
    >>> LogitsSpec().in_words
    'network known only by its logits'
    """

    architecture: Literal["logits"] = "logits"
    """What tells this table from that of another kind of network."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)

    @property
    def in_words(self) -> str:
        """What kind of network it is, in a few words."""
        return "network known only by its logits"


@dataclass(frozen=True)
class ModuleSpec:
    """Any ``torch.nn.Module``, and where its parts are.

    Examples
    --------
    >>> ModuleSpec(class_name="LSTM", n_parameters=12345, inputs="a b").in_words
    'LSTM of 12,345 parameters'
    """

    architecture: Literal["module"] = "module"
    """What tells this table from that of another kind of network."""
    class_name: str = "Module"
    """Class of the module."""
    n_parameters: int = 0
    """Number of parameters; a tensor that is used twice counts once."""
    inputs: str = "a b ="
    """Format of the input, or the name of the function that makes it from the pairs."""
    operands: str | tuple[str, str] | None = None
    """Submodules that embed a and b; None if they were not named, as for the others."""
    neurons: str | None = None
    """Submodule whose output, or input, is the neurons."""
    readout: str | None = None
    """Submodule that reads the neurons."""
    pattern: str | None = None
    """Submodule whose output is the attention pattern."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)

    @property
    def in_words(self) -> str:
        """``LSTM of 12,345 parameters``."""
        return f"{self.class_name} of {self.n_parameters:,} parameters"

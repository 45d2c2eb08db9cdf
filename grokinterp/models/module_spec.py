"""What is known of a network that is none of this library's: a module of PyTorch, or its logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokinterp.fields import check_types
from grokinterp.reprs import spec_repr


@dataclass(frozen=True)
class LogitsSpec:
    """A network of which nothing is known but its logits.

    Examples
    --------
    >>> LogitsSpec().in_words
    'network of which only the logits are known'
    """

    architecture: Literal["logits"] = "logits"
    """What tells this table from that of another kind of network."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)

    @property
    def in_words(self) -> str:
        """What kind of network it is, in a few words."""
        return "network of which only the logits are known"


@dataclass(frozen=True)
class ModuleSpec:
    """A ``torch.nn.Module`` of anyone's, and where its parts are.

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
    """Numbers that its parameters hold; a tensor that is used twice counts once."""
    inputs: str = "a b ="
    """Format of the input, or the name of the function that makes it from the pairs."""
    operands: tuple[str, ...] = ()
    """Submodules that bring in a and b; none where they were not named."""
    neurons: str | None = None
    """Submodule whose output, or input, the neurons are."""
    readout: str | None = None
    """Submodule that the neurons are read by."""
    pattern: str | None = None
    """Submodule whose output the attention pattern is."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)

    @property
    def in_words(self) -> str:
        """``LSTM of 12,345 parameters``."""
        return f"{self.class_name} of {self.n_parameters:,} parameters"

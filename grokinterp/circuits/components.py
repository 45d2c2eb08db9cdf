"""What can be taken out of a network, by name: one small language, read in one place.

=========================================  ===================================================
name                                       what it is
=========================================  ===================================================
``trigonometric_circuit``                  all key frequencies together
``memorization_circuit``                   everything else
``frequency_9``                            one frequency
``representation_sign``                    one representation of a group
``neuron_17``                              one neuron of the last block
``neurons_of_9``, ``neurons_of_sign``      the neurons of one frequency or representation
``unexplained_neurons``                    the neurons of none
``mlp``                                    all neurons
``head_2``, ``layer_0_head_2``             one attention head, of the last block or of another
``attention``, ``layer_0_attention``       all heads of a block
``path_around_attention``, ...             a path of the residual stream: :data:`PATHS`
=========================================  ===================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from grokinterp.errors import ConfigError
from grokinterp.fields import checked

Site = Literal["logits", "neurons", "embedding", "heads", "paths"]
SITES: tuple[Site, ...] = get_args(Site)
"""Logits; activations of the last block's neurons; rows of W_E; attention heads; paths of the
residual stream."""

Kind = Literal[
    "trigonometric_circuit",
    "memorization_circuit",
    "frequency",
    "representation",
    "neuron",
    "neurons_of",
    "unexplained_neurons",
    "mlp",
    "head",
    "attention",
    "path_around_attention",
    "path_around_mlp",
    "attention_to_mlp",
    "attention_to_logits",
]
CIRCUITS: tuple[Kind, ...] = ("trigonometric_circuit", "memorization_circuit")
PATHS: tuple[Kind, ...] = (
    "path_around_attention",
    "path_around_mlp",
    "attention_to_mlp",
    "attention_to_logits",
)

_WAVES: tuple[Kind, ...] = (*CIRCUITS, "frequency", "representation")
_KINDS_AT: dict[Site, tuple[Kind, ...]] = {
    "logits": _WAVES,
    "neurons": (*_WAVES, "neuron", "neurons_of", "unexplained_neurons", "mlp"),
    "embedding": _WAVES,
    "heads": ("head", "attention"),
    "paths": PATHS,
}

_NUMBER, _NAME = r"[0-9]{1,9}", r"[0-9]*[a-z]\w*"
_WHICH: dict[Kind, str] = {
    "frequency": _NUMBER,
    "representation": _NAME,
    "neuron": _NUMBER,
    "neurons_of": f"{_NUMBER}|{_NAME}",
    "head": _NUMBER,
}
"""What follows the kinds that have several members."""
_LAYERED: tuple[Kind, ...] = ("head", "attention")


@dataclass(frozen=True)
class Component:
    """A part of a network that can be taken out, or left alone in it.

    Examples
    --------
    >>> Component.parse("layer_0_head_2")
    Component(kind='head', which=2, layer=0)
    >>> str(Component("neurons_of", 9)), Component.parse("representation_sign").sites
    ('neurons_of_9', ('logits', 'neurons', 'embedding'))
    """

    kind: Kind
    """What it is, without its number, name and layer."""
    which: int | str | None = None
    """Number of the frequency, neuron or head, or name of the representation; None for the
    kinds that there is one of."""
    layer: int | None = None
    """Block of a head or of attention; None for the last."""

    @classmethod
    def parse(cls, text: str) -> Component:
        """Read the name of a component.

        Raises
        ------
        ConfigError
            If it is none.
        """
        text = checked("component", text, str)
        layer = re.match(r"layer_([0-9]{1,9})_", text)
        rest = text[layer.end() :] if layer else text
        for kind in _LAYERED if layer else get_args(Kind):
            which = re.fullmatch(f"{kind}_({_WHICH[kind]})", rest) if kind in _WHICH else None
            if which or (rest == kind and kind not in _WHICH):
                return cls(
                    kind,
                    _number_or_name(which.group(1)) if which else None,
                    int(layer.group(1)) if layer else None,
                )
        raise ConfigError(
            f"component={text!r} is not known. Choose trigonometric_circuit, "
            "memorization_circuit, frequency_9 (representation_sign in a group that is not "
            "cyclic), neuron_17, neurons_of_9, unexplained_neurons, "
            f"mlp, head_2, layer_0_head_2, attention, or one of {', '.join(PATHS)}."
        )

    def __str__(self) -> str:
        """Return the name that :meth:`parse` reads."""
        layer = "" if self.layer is None else f"layer_{self.layer}_"
        return layer + (self.kind if self.which is None else f"{self.kind}_{self.which}")

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where it can be taken out; the first is where it is unless one is named."""
        return tuple(site for site in SITES if self.kind in _KINDS_AT[site])

    @property
    def is_of_waves(self) -> bool:
        """Whether it is what some frequencies or representations span, or the rest."""
        return self.kind in _WAVES

    def site(self, at: str | None) -> Site:
        """Return the site that is named, or for None the usual one.

        Raises
        ------
        ConfigError
            If it cannot be taken out there.
        """
        for site in self.sites:
            if at is None or site == at:
                return site
        raise ConfigError(
            f"at={at!r} is no place to take {self} out. Choose one of {', '.join(self.sites)}."
        )


def words_of_component(name: object) -> str:
    """Return the name of a component in words, the name of a representation in it unchanged.

    Examples
    --------
    >>> words_of_component("layer_0_head_2"), words_of_component("representation_freq_9")
    ('layer 0 head 2', 'representation freq_9')
    """
    text = str(name)
    try:
        which = Component.parse(text).which
    except ConfigError:  # a row that somebody added to the table
        which = None
    end = len(text) - len(str(which)) if isinstance(which, str) else len(text)
    return text[:end].replace("_", " ") + text[end:]


def _number_or_name(text: str) -> int | str:
    return int(text) if text.isdecimal() else text

"""What a notebook shows of an object: a small card of HTML with what matters.

Doubts come first, then what came of it, the sizes, a small picture, and what to call next. A card
is written from what the object holds already: no network is run and nothing is analyzed to show
it. It has no script and no color of its own for text, so it is readable on light and dark pages.

Objects take :func:`grokinterp.reprs.card_repr` as their ``_repr_html_``, which asks
:func:`card_of`. A new kind of card is a function that returns a
:class:`~grokinterp.cards.markup.Card` and a line in :data:`~grokinterp.cards.catalogue.CARDS`.
"""

from grokinterp.cards.catalogue import CARDS, card_of

__all__ = ["CARDS", "card_of"]

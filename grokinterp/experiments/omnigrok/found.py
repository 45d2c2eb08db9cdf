"""What was found, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.experiments.claims import Claim, Verdict


def found_sentences(main: Sequence[Claim], vanishing: Claim) -> str:
    """Return a sentence for each main claim, by its verdict and by no more than that.

    Parameters
    ----------
    main
        Landscape, delay from large weights, held norm, and the law of larger held norms with
        Adam's usual epsilon and with a small one.
    vanishing
        Whether updates that vanish hold generalization up.
    """
    landscape, delay, clamp, usual, kept = main
    return " ".join(
        (
            _LANDSCAPE[landscape.verdict],
            _DELAY[delay.verdict],
            _CLAMP[clamp.verdict],
            _usual_sentence(usual, vanishing),
            _kept_sentence(kept),
        )
    )


_LANDSCAPE: dict[Verdict, str] = {
    "confirmed": "Networks that read handwritten digits did best at a middle size of their "
    "weights (the norm), which was held fixed. Smaller ones could not learn their examples. Larger "
    "ones learned them and did worse on new images.",
    "not confirmed": "Networks that read handwritten digits, with the size of their weights (the "
    "norm) held fixed, did not show what was claimed: a middle size that is best for new images "
    "while every larger one still learns its examples.",
    "inconclusive": "Whether networks that read handwritten digits do best at a middle size of "
    "their weights (the norm) stayed open.",
}

_DELAY: dict[Verdict, str] = {
    "confirmed": "Networks that began with eight times the usual weights did well on new images "
    "only long after they knew their examples. With the usual weights there was no such delay.",
    "not confirmed": "It was not found that networks with large initial weights, and only they, "
    "do well on new images long after they know their examples.",
    "inconclusive": "Whether large weights at the start delay what networks do on new images "
    "stayed open.",
}

_CLAMP: dict[Verdict, str] = {
    "confirmed": "On addition, networks whose norm was held at that of the usual initial weights "
    "learned the rule about when they knew their examples. Free networks with weight decay learned "
    "it later.",
    "not confirmed": "On addition, holding the norm at that of the usual initial weights did not "
    "remove the wait between knowing the examples and learning the rule.",
    "inconclusive": "Whether holding the norm removes the wait on addition stayed open.",
}


def _usual_sentence(usual: Claim, vanishing: Claim) -> str:
    reading = usual.numbers.get("reading", "open")
    text = _USUAL[str(reading)]
    if reading in ("gate", "later than the law") and vanishing.verdict == "confirmed":
        text += " because the optimizer's updates had all but stopped"
    return text + "."


_USUAL = {
    "clock": "Held at larger norms they learned the rule exponentially later, half of them or more "
    "even at the largest norm that was tried",
    "gate": "From some norm on none had learned the rule long after an exponential delay would "
    "have been over",
    "later than the law": "Held at larger norms they learned the rule late. At the largest they "
    "learned it later than an exponential delay predicts",
    "another law": "Held at larger norms they learned the rule at times that do not grow "
    "exponentially with the norm",
    "no delay": "Held at larger norms they were not seen to learn the rule later",
    "open": "Whether larger norms delay the rule exponentially, or rule it out, stayed open",
}


def _kept_sentence(kept: Claim) -> str:
    return _KEPT[str(kept.numbers.get("reading", "open"))]


_KEPT = {
    "clock": "With an optimizer whose updates do not fade with the gradient, half of them or more "
    "learned it even at the largest norm. With it the delay grows exponentially with the norm.",
    "gate": "Even with an optimizer whose updates do not fade with the gradient, none had learned "
    "the rule at the largest norms that were judged.",
    "later than the law": "Even with an optimizer whose updates do not fade with the gradient, the "
    "largest norms were later than exponentially.",
    "another law": "With an optimizer whose updates do not fade with the gradient, larger norms "
    "were late too, but not exponentially.",
    "no delay": "With an optimizer whose updates do not fade with the gradient, larger norms were "
    "not seen to be later.",
    "open": "The effect of an optimizer whose updates do not fade with the gradient stayed open.",
}

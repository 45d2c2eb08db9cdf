"""What was found, for a reader who knows none of the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grokinterp.experiments.claims import Claim, Verdict

_MEMORY: Mapping[Verdict, str] = {
    "confirmed": "A network that can only memorize its examples needs larger weights the more "
    "of them there are.",
    "not confirmed": "A network that can only memorize its examples did not need larger weights "
    "for more of them.",
    "inconclusive": "Whether a network that can only memorize its examples needs larger weights "
    "for more of them stays open.",
}
_RULE: Mapping[Verdict, str] = {
    "confirmed": "One that knows the rule needs the same weights for any number of examples.",
    "not confirmed": "The weights of one that knows the rule depend on their number, too.",
    "inconclusive": "Whether one that knows the rule needs the same for any number stays open.",
}
_FORGETTING: Mapping[Verdict, str] = {
    "confirmed": "A network that knew the rule and was trained on kept it on {most_pairs} examples "
    "and forgot it on {fewest_pairs}.",
    "not confirmed": "It was not found that a network that knows the rule forgets it on few "
    "examples and keeps it on many.",
    "inconclusive": "Whether a network that knows the rule forgets it on few examples and keeps it "
    "on many stays open.",
}
_MATCHED: Mapping[Verdict, str] = {
    "confirmed": "Half of it is forgotten at {forgetting_middle:.0f} examples, near the "
    "{critical_size:.0f} at which memorizing and knowing the rule take weights of the "
    "same size for equally confident answers.",
    "not confirmed": "Half of it is forgotten at {forgetting_middle:.0f} examples, and not near "
    "the {critical_size:.0f} at which memorizing and knowing the rule take weights of the "
    "same size for equally confident answers.",
    "inconclusive": "At some number of examples, memorizing and knowing the rule take weights of "
    "the same size for equally confident answers. Whether forgetting sets in there stays open.",
}
_PER_NORM: Mapping[Verdict, str] = {
    "confirmed": "The number at which both give equal confidence per weight, {critical_size:.0f}, "
    "is near the middle of forgetting.",
    "not confirmed": "The number at which both give equal confidence per weight, "
    "{critical_size:.0f}, is not near the middle of forgetting.",
    "inconclusive": "Whether the number at which both give equal confidence per weight is near the "
    "middle of forgetting stays open.",
}
_DECAY: Mapping[Verdict, str] = {
    "confirmed": " Twice the weight decay moves none of these numbers by half.",
    "not confirmed": " One of these numbers moves by more than a factor of two with twice the "
    "weight decay.",
    "inconclusive": " Whether the weight decay moves these numbers stays open.",
}


def found_by(claims: Sequence[Claim]) -> str:
    """Word the verdicts on the main claims, in the order of the criterion."""
    memory, rule, forgetting, matched, per_norm = claims[:5]
    decay = next((claim for claim in claims[5:] if claim.is_main), None)
    after = "" if decay is None else _DECAY[decay.verdict]
    sentences = (
        f"{_MEMORY[memory.verdict]} {_RULE[rule.verdict]}",
        _FORGETTING[forgetting.verdict].format(**forgetting.numbers),
        _MATCHED[matched.verdict].format(**matched.numbers),
        _PER_NORM[per_norm.verdict].format(**per_norm.numbers) + after,
    )
    return " ".join(sentences)

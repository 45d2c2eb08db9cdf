"""What the parameters of a transformer are called elsewhere: from a name to a part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

_BLOCK = re.compile(
    r"(?:^|\.)(?:blocks?|layers?|h|resblocks|encoder_layers?|decoder_layers?)\.(\d+)\."
)
_ATTENTION = {"attn", "attention", "self_attn", "self_attention", "mha", "sa", "msa"}
_MLP = {"mlp", "ff", "ffn", "feed_forward", "feedforward", "fc"}
_IN_BLOCK = {
    "q": "q wq w_q q_proj query to_q q_lin q_linear queries query_proj linear_q",
    "k": "k wk w_k k_proj key to_k k_lin k_linear keys key_proj linear_k",
    "v": "v wv w_v v_proj value to_v v_lin v_linear values value_proj linear_v",
    "o": "o wo w_o o_proj to_o out_lin o_linear linear_o",
    "qkv": "qkv c_attn in_proj wqkv w_qkv qkv_proj to_qkv query_key_value qkv_linear",
    "norm1": "ln1 ln_1 norm1 norm_1 input_layernorm attention_norm attn_norm ln_attn layernorm1 "
    "attn_ln layer_norm1 layer_norm_1",
    "norm2": "ln2 ln_2 norm2 norm_2 post_attention_layernorm ffn_norm mlp_norm ln_mlp layernorm2 "
    "ff_norm mlp_ln layer_norm2 layer_norm_2",
    "in": "fc1 c_fc linear1 up_proj up w_in fc_in lin1 dense_h_to_4h wi linear_1 fc_1",
    "out": "fc2 linear2 down_proj down w_out fc_out lin2 dense_4h_to_h linear_2 fc_2 w2",
    "gate": "gate_proj gate w_gate",
}
_BY_SECTION = {
    "attention": {"o": "out_proj out proj c_proj to_out dense output"},
    "mlp": {"in": "w1 in", "out": "c_proj out proj wo output"},
}
_OUTSIDE = {
    "positions": r"(^|[._])(w?pe|w_?pos|pos\w*(embed\w*|emb|encod\w*)?)([._]|$)",
    "unembedding": r"(^|[._])(un_?embed\w*|w_?u|lm_head|head|readout|decoder|classifier|fc_out|out"
    r"|output|out_proj|to_logits|linear|fc)([._]|$)",
    "embedding": r"(^|[._])(tok\w*|embed\w*|emb|wte|w_?e)([._]|$)",
    "final_norm": r"(^|[._])(ln_f|norm_f|ln_final|final_norm|norm|ln|final_layer_norm"
    r"|ln_out)([._]|$)",
}
_ROLES = {word: role for role, words in _IN_BLOCK.items() for word in words.split()}
_BUFFERS = re.compile(r"(^|[._])(mask\w*|causal\w*|tril|masked_bias|ignore|position_ids)$")


@dataclass(frozen=True, eq=False)
class Roles:
    """The names of a state dict by what they are."""

    outside: dict[str, str] = field(default_factory=dict)
    """``embedding``, ``positions``, ``final_norm``, ``unembedding``, and with ``.bias`` behind."""
    blocks: dict[int, dict[str, str]] = field(default_factory=dict)
    """By the number of the block: ``q``, ``k``, ``v``, ``o`` or ``qkv``, ``in``, ``out``,
    ``gate``, ``norm1``, ``norm2``, and with ``.bias`` behind."""
    left: list[str] = field(default_factory=list)
    """Parameters of no known part."""
    buffers: list[str] = field(default_factory=list)
    """What is no parameter: masks and counters."""

    @property
    def in_words(self) -> str:
        """What was found and what was not, for a message."""
        found = [f"{name} ({role})" for role, name in sorted(self.outside.items())]
        if self.blocks:
            first = self.blocks[min(self.blocks)]
            found += [f"{name} ({role})" for role, name in sorted(first.items())]
        left = f"; of no known part: {', '.join(self.left[:4])}" if self.left else ""
        return f"found {', '.join(found[:8]) or 'none of its parts'}{left}"


def roles_of(state: Mapping[str, Tensor]) -> Roles:
    """Sort the names of a state dict into the parts of a transformer.

    Examples
    --------
    >>> import torch
    >>> names = ("wte.weight", "h.0.attn.c_attn.weight", "h.0.mlp.c_proj.weight")
    >>> roles = roles_of({name: torch.ones(2, 2) for name in names})
    >>> roles.outside, roles.blocks[0]["qkv"], roles.blocks[0]["out"]
    ({'embedding': 'wte.weight'}, 'h.0.attn.c_attn.weight', 'h.0.mlp.c_proj.weight')
    """
    roles = Roles()
    has_numbers = any(_BLOCK.search(name.lower()) for name in state)
    for name, value in state.items():
        is_number = value.is_floating_point() and 1 <= value.ndim <= 3
        if not is_number or _BUFFERS.search(name.lower()):
            roles.buffers.append(name)
            continue
        match = _BLOCK.search(name.lower())
        path, is_bias = _split(name.lower()[match.end() :] if match else name.lower())
        role = _role_in_block(path) if match or not has_numbers else ""
        # Without numbers a layer that is in neither section may be outside: ``fc_out``.
        is_outside = not match and not _section(path) and _role_outside(path)
        if role and not is_outside:
            where = roles.blocks.setdefault(int(match.group(1)) if match else 0, {})
        else:
            role, where = ("" if match else _role_outside(path)), roles.outside
        role += ".bias" if role and is_bias else ""
        if not role or role in where:
            roles.left.append(name)
        else:
            where[role] = name
    for block in roles.blocks.values():
        _settle(block, roles, state)
    return roles


def _split(path: str) -> tuple[str, bool]:
    """Path without ``weight`` or ``bias``, and whether it was a bias."""
    for ending, is_bias in (("weight", False), ("bias", True)):
        if path.endswith((f".{ending}", f"_{ending}")):
            return path[: -len(ending) - 1], is_bias
    head, _, leaf = path.rpartition(".")
    if re.fullmatch(r"b_?(q|k|v|o|in|out|e|u|qkv)", leaf):
        return f"{head}.w_{leaf[1:].removeprefix('_')}".lstrip("."), True
    return path, False


def _section(path: str) -> str:
    segments = set(path.split("."))
    return "attention" if _ATTENTION & segments else "mlp" if _MLP & segments else ""


def _role_in_block(path: str) -> str:
    segments, section = path.split("."), _section(path)
    words = [segment for segment in segments if not segment.isdecimal()]
    if not words:
        return ""
    by_section = _BY_SECTION.get(section, {})
    for role, known in by_section.items():
        if words[-1] in known.split():
            return role
    role = _ROLES.get(words[-1], "")
    if role:
        return role
    # Layers of an nn.Sequential have numbers; shapes say which is which.
    return f"mlp.{segments[-1]}" if section == "mlp" and segments[-1].isdecimal() else ""


def _role_outside(path: str) -> str:
    return next((role for role, pattern in _OUTSIDE.items() if re.search(pattern, path)), "")


def _settle(block: dict[str, str], roles: Roles, state: Mapping[str, Tensor]) -> None:
    """Say which of w1, w2 and w3 is the gate, and which number of a sequence is what."""
    numbered = [role for role in block if re.fullmatch(r"mlp\.\d+", role)]
    if len(numbered) == 2 and "in" not in block and "out" not in block:
        for role, number in zip(("in", "out"), sorted(numbered, key=_number), strict=True):
            block[role] = block.pop(number)
            if f"{number}.bias" in block:
                block[f"{role}.bias"] = block.pop(f"{number}.bias")
    stem = re.sub(r"w1(\.weight)?$", "", block.get("in", ""), flags=re.IGNORECASE)
    third = [
        name for name in roles.left if re.fullmatch(rf"{re.escape(stem)}[wW]3(\.weight)?", name)
    ]
    if len(third) == 1:
        block["gate"], block["in"] = block["in"], third[0]
        roles.left.remove(third[0])
    for role in [role for role in block if role.startswith("mlp.")]:
        roles.left.append(block.pop(role))


def _number(role: str) -> int:
    return int(role.partition(".")[2])

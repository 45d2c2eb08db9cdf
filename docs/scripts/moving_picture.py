"""The moving picture of README and index: both losses, and a circle that forms in the embedding.

python docs/scripts/moving_picture.py ckpts/quick docs/figures/grokking.svg

Trains the preset `quick` into the folder, or reads it from there. The picture is one SVG file that
moves by CSS alone: it follows the color scheme of the reader, and where the system asks for less
motion it shows its last frame.
"""

import colorsys
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grokinterp as gi
from grokinterp.circuits.embedding_circles import circle_of_rows

SLOW_STEPS = 200
"""The training pairs are memorized within these, too fast to see at the pace of the rest."""
SLOW, FAST, HOLD = 2.0, 9.0, 5.0
"""Seconds for the first steps, for the others, and for the last frame."""
TOTAL = SLOW + FAST + HOLD

LEFT, TOP, WIDTH, HEIGHT = 52, 112, 328, 206
"""The plot of the losses, in units of the picture, which is 640 wide."""
CENTER_X, CENTER_Y, RADIUS = 508, 216, 79

STYLE = """
svg { --card: #ffffff; --edge: #d0d7de; --text: #1f2328; --faint: #59636e; --grid: #59636e33;
      --train: #0068a3; --test: #b84a00;
      font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --card: #14191f; --edge: #3d444d; --text: #e6edf3; --faint: #a3adb8; --grid: #a3adb833;
        --train: #5cb3e6; --test: #ff9447; } }
text { font-size: 18px; fill: var(--text); font-variant-numeric: tabular-nums; }
.card { fill: var(--card); stroke: var(--edge); }
.cover { fill: var(--card); }
.grid { stroke: var(--grid); }
.guess { stroke: var(--faint); stroke-dasharray: 2 5; }
.faint { fill: var(--faint); }
.say { font-size: 23px; font-weight: 600; }
.line { fill: none; stroke-width: 3; stroke-linejoin: round; }
.train { stroke: var(--train); } .test { stroke: var(--test); }
text.train { fill: var(--train); stroke: none; } text.test { fill: var(--test); stroke: none; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.frame { opacity: 0; } .frame.last { opacity: 1; }
"""


@dataclass(frozen=True)
class Timeline:
    """When each step is shown."""

    n_steps: int

    def percent(self, step: float) -> float:
        """Percentage of the whole animation at which a step is shown."""
        if step <= SLOW_STEPS:
            seconds = SLOW * step / SLOW_STEPS
        else:
            seconds = SLOW + FAST * (step - SLOW_STEPS) / (self.n_steps - SLOW_STEPS)
        return 100 * seconds / TOTAL


def main(folder: str, path: str) -> None:
    """Draw one run as a moving picture."""
    run = gi.train(gi.PRESETS["quick"], folder)
    analysis = gi.analyze_run(run, deep=False)
    time = Timeline(run.last_step)
    moving = [*_losses(analysis, time), *_numbers(analysis, time), *_circle(analysis, time)]
    rules, drawn = zip(*moving, strict=True)
    motion = "\n".join(rule for rule in rules if rule)
    words = (
        "The loss on the training pairs falls at once. The loss on the test pairs rises, stays "
        "high for more than a thousand steps and then falls. Meanwhile the numbers in the "
        "embedding move from disorder onto a circle."
    )
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 368" width="960" height="552" '
        'role="img" aria-labelledby="title words">',
        f'<title id="title">A network groks</title><desc id="words">{words}</desc>',
        f"<style>{STYLE}",
        f"@media (prefers-reduced-motion: no-preference) {{\n{motion}\n}}</style>",
        '<rect class="card" x="1" y="1" width="638" height="366" rx="10"/>',
        *drawn,
        "</svg>\n",
    ]
    Path(path).write_text("\n".join(lines), encoding="utf-8")


def _losses(analysis: gi.Analysis, time: Timeline) -> Iterable[tuple[str, str]]:
    """Both curves behind a cover that moves away, and the axes."""
    curves = analysis.run.curves.dropna(subset=["test_loss"])
    highest = math.ceil(curves["test_loss"].max() / 5) * 5

    def x(step: float) -> float:
        return LEFT + WIDTH * step / time.n_steps

    def y(loss: float) -> float:
        return TOP + HEIGHT * (1 - loss / highest)

    for split in ("test", "train"):
        points = zip(curves["step"], curves[f"{split}_loss"], strict=True)
        path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in points)
        yield "", f'<polyline class="line {split}" points="{path}"/>'
    slow = 100 * SLOW / TOTAL
    moved = WIDTH * SLOW_STEPS / time.n_steps
    yield (
        f"@keyframes draw {{ 0% {{ transform: none }} {slow:.2f}% {{ transform: translateX("
        f"{moved:.1f}px) }} {time.percent(time.n_steps):.2f}%, 100% {{ transform: translateX("
        f"{WIDTH + 4}px) }} }}\n.cover {{ animation: draw {TOTAL}s linear infinite }}",
        # A picture within the picture cuts the cover off where the plot ends.
        f'<svg x="{LEFT}" y="{TOP - 4}" width="{WIDTH + 3}" height="{HEIGHT + 8}">'
        f'<rect class="cover" style="transform: translateX({WIDTH + 4}px)" '
        f'width="{WIDTH + 4}" height="{HEIGHT + 8}"/></svg>',
    )
    for loss in range(0, highest + 1, 10):
        line = f'x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(loss):.1f}" y2="{y(loss):.1f}"'
        yield "", f'<line class="grid" {line}/>'
        yield "", f'<text class="faint end" x="{LEFT - 8}" y="{y(loss) + 6:.1f}">{loss}</text>'
    for step in (0, time.n_steps // 2, time.n_steps):
        anchor = "end" if step == time.n_steps else "middle" if step else ""
        place = f'x="{x(step):.1f}" y="{TOP + HEIGHT + 26}"'
        yield "", f'<text class="faint {anchor}" {place}>{step:,}</text>'
    guess = math.log(analysis.run.task.n_classes)
    line = f'x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(guess):.1f}" y2="{y(guess):.1f}"'
    yield "", f'<line class="guess" {line}/>'
    place = f'x="{LEFT + WIDTH}" y="{y(guess) - 7:.1f}"'
    yield "", f'<text class="faint end" {place}>guessing</text>'
    yield "", f'<text class="faint" x="{LEFT}" y="{TOP - 14}">loss (nats), by step</text>'


def _numbers(analysis: gi.Analysis, time: Timeline) -> Iterable[tuple[str, str]]:
    """What happens, the step, and both accuracies, each shown until the next."""
    curves = analysis.run.curves.dropna(subset=["test_loss"]).set_index("step")
    memorized, grokked = analysis.milestones.memorization_step, analysis.milestones.grokking_step
    assert memorized is not None and grokked is not None, "the preset quick groks"
    forming = analysis.phases.circuit_formation[0]
    rising = int(curves.index[curves["test_accuracy"] > 0.1][0])
    say = {
        0: "It memorizes the pairs it is trained on.",
        memorized: "On other pairs it is no better than chance.",
        forming: "A circle forms before the accuracy moves.",
        rising: "It begins to answer the other pairs: it groks.",
        grokked: "Now it adds pairs it has never seen.",
    }
    assert list(say) == sorted(say), "the run went in another order than the picture tells"
    for step, words in say.items():
        later = [other for other in say if other > step]
        text = f'<text class="say" x="20" y="36">{words}'
        yield _frame(step, later[0] if later else None, time, text)
    shown = [*range(0, 100, 10), *range(100, time.n_steps + 1, 100)]
    for step, until in zip(shown, [*shown[1:], None], strict=True):
        right = {s: f"{100 * curves[f'{s}_accuracy'][step]:.0f} %" for s in ("train", "test")}
        yield _frame(
            step,
            until,
            time,
            f'<text x="20" y="68">step {step:,}<tspan x="152" class="faint">right: </tspan>',
            f'<text class="train" x="204" y="68">{right["train"]} of training pairs</text>'
            f'<text class="test" x="424" y="68">{right["test"]} of test pairs</text>',
        )


def _frame(
    step: int, until: int | None, time: Timeline, text: str, further: str = ""
) -> tuple[str, str]:
    """A text that is shown from one step to another."""
    name = f"f{step}{'s' if 'say' in text else ''}"
    first = time.percent(step)
    last = 100.0 if until is None else time.percent(until)
    before = "0% { opacity: 0 } " if step else ""
    after = "" if until is None else f" {last:.2f}%, 100% {{ opacity: 0 }}"
    rule = (
        f"@keyframes {name} {{ {before}{first:.2f}% {{ opacity: 1 }}{after} }}\n"
        f".{name} {{ animation: {name} {TOTAL}s step-end infinite }}"
    )
    kind = "frame last" if until is None else "frame"
    return rule, f'<g class="{kind} {name}">{text}</text>{further}</g>'


def _circle(analysis: gi.Analysis, time: Timeline) -> Iterable[tuple[str, str]]:
    """The elements in the plane of the strongest key frequency, at every checkpoint."""
    last = analysis.by_frequency[analysis.by_frequency["step"] == time.n_steps]
    k = int(last.loc[last["logit_power_share"].idxmax(), "frequency"])
    rows = {s: gi.take_snapshot(analysis.run, s).operand_rows for s in _frames(analysis, time)}
    places = {step: circle_of_rows(of_step, k) for step, of_step in rows.items()}
    final = places[time.n_steps]
    scale = RADIUS / float(final.norm(dim=1).mean())
    n = len(final)
    words = "embedding of 0 to " + str(n - 1)
    yield "", f'<text class="faint middle" x="{CENTER_X}" y="{TOP - 14}">{words}</text>'
    place = f'x="{CENTER_X}" y="{TOP + HEIGHT + 26}"'
    yield "", f'<text class="faint middle" {place}>frequency {k}</text>'
    for element in range(n):
        at = {
            time.percent(step): "translate({:.1f}px,{:.1f}px)".format(
                *(scale * points[element]).tolist()
            )
            for step, points in places.items()
        }
        frames = " ".join(f"{percent:.2f}%{{transform:{to}}}" for percent, to in at.items())
        to = at[time.percent(time.n_steps)]
        rule = (
            f"@keyframes e{element} {{{frames} 100%{{transform:{to}}}}}\n"
            f".e{element} {{animation:e{element} {TOTAL}s linear infinite}}"
        )
        color = "#" + "".join(
            f"{round(255 * part):02x}"
            for part in colorsys.hls_to_rgb(element * k % n / n, 0.5, 0.68)
        )
        yield (
            rule,
            f'<circle class="e{element}" cx="{CENTER_X}" cy="{CENTER_Y}" r="5.5" fill="{color}" '
            f'style="transform:{to}"/>',
        )


def _frames(analysis: gi.Analysis, time: Timeline) -> list[int]:
    """Checkpoints that the circle is drawn at: about one for every second percent."""
    steps = analysis.trajectory["step"].tolist()
    wanted = [time.percent(time.n_steps) * i / 34 for i in range(35)]
    nearest = {min(steps, key=lambda step: abs(time.percent(step) - at)) for at in wanted}
    return sorted(nearest | {0, time.n_steps})


if __name__ == "__main__":
    main(*sys.argv[1:3])

"""Draw the figure of docs/learning_coefficient.md from the table of its published example.

``python docs/scripts/learning_coefficient_picture.py``
"""

from __future__ import annotations

from pathlib import Path

from plotly.subplots import make_subplots

from grokinterp.figures.style import SPLIT_COLORS, STEP_TITLE, decorate

PAGE = Path(__file__).parents[1] / "learning_coefficient.md"
FIGURE = PAGE.with_name("figures") / "learning_coefficient_published.png"


def rows_of_page() -> list[list[float]]:
    """Read checkpoint, step, loss, accuracy, estimate and converged estimate of every row."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| checkpoint | step |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")]
        rows.append([float(cell.split(" ")[0]) if cell else float("nan") for cell in cells])
    return rows


def main() -> None:
    """Draw estimates above, accuracy on the test pairs below."""
    table = rows_of_page()
    steps = [row[1] for row in table]
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.06)
    color = SPLIT_COLORS["all"]
    line = {"color": color, "dash": "dash"}
    figure.add_scatter(
        x=steps, y=[row[4] for row in table], name="500 draws, no burn-in", line=line
    )
    done = [(row[1], row[7]) for row in table if row[7] == row[7]]
    figure.add_scatter(
        x=[step for step, _ in done],
        y=[value for _, value in done],
        name="chains that have mixed",
        mode="lines+markers",
        line={"color": "#6741D9"},
    )
    figure.add_scatter(
        x=steps,
        y=[row[3] for row in table],
        name="test accuracy",
        line={"color": SPLIT_COLORS["test"]},
        row=2,
        col=1,
    )
    figure.update_yaxes(title_text="local learning coefficient", row=1, col=1)
    figure.update_yaxes(title_text="accuracy", row=2, col=1)
    figure.update_xaxes(tickformat=",d")
    figure.update_xaxes(title_text=STEP_TITLE, row=2, col=1)
    decorate(figure, "The example of devinterp: p = 53, 48 GELU neurons", plot_height=420)
    figure.update_layout(width=760)
    figure.write_image(FIGURE, scale=1.5)


if __name__ == "__main__":
    main()

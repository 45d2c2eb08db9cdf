// Draws the figures of a walkthrough from the JSON that stands beside each of them.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".plotly-figure")) {
    const figure = JSON.parse(box.querySelector("script").textContent);
    const layout = { ...figure.layout, autosize: true };
    delete layout.width;
    box.replaceChildren();
    box.style.height = `${layout.height || 420}px`;
    // On a narrow page the buttons would lie on the titles.
    const displayModeBar = box.clientWidth < 600 ? false : "hover";
    const config = { responsive: true, displaylogo: false, displayModeBar };
    Plotly.newPlot(box, figure.data, layout, config).then(() => {
      if (figure.frames) Plotly.addFrames(box, figure.frames);
    });
  }
});

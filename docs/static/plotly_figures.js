// Draws the figures of a walkthrough from the JSON that stands beside each of them, in the colors of
// the page. The figures keep what depends on the page in their template.
document.addEventListener("DOMContentLoaded", () => {
  const color = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

  const ofPage = (template) => {
    const own = structuredClone(template);
    const ink = color("--color-foreground-primary");
    const page = color("--color-background-primary");
    Object.assign(own.layout, { paper_bgcolor: page, plot_bgcolor: page });
    own.layout.font.color = ink;
    own.layout.hoverlabel = { bgcolor: page, font: { color: ink, size: 12 } };
    if (own.layout.annotationdefaults) own.layout.annotationdefaults.bgcolor = page;
    own.layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: ink };
    return own;
  };

  const drawn = [];
  const repaint = () => {
    for (const { box, template } of drawn) Plotly.relayout(box, { template: ofPage(template) });
  };

  for (const box of document.querySelectorAll(".plotly-figure")) {
    const figure = JSON.parse(box.querySelector("script").textContent);
    const { template } = figure.layout;
    const hasOwn = Boolean(template && template.layout && template.layout.font);
    const layout = { ...figure.layout, autosize: true };
    if (hasOwn) layout.template = ofPage(template);
    delete layout.width;
    box.replaceChildren();
    box.classList.toggle("follows-the-page", hasOwn);
    box.style.height = `${layout.height || 420}px`;
    // On a narrow page the buttons would lie on the titles.
    const displayModeBar = box.clientWidth < 600 ? false : "hover";
    const config = { responsive: true, displaylogo: false, displayModeBar };
    Plotly.newPlot(box, figure.data, layout, config).then(() => {
      if (figure.frames) Plotly.addFrames(box, figure.frames);
      if (hasOwn) drawn.push({ box, template });
    });
  }

  // The theme is the button's, or the system's.
  new MutationObserver(repaint).observe(document.body, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
});

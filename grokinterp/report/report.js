(function () {
  "use strict";
  var root = document.documentElement;
  var isDark = matchMedia("(prefers-color-scheme: dark)");
  var isNarrow = matchMedia("(max-width: 640px)");
  var plots = [];

  function cssColor(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
  }

  function translucent(color) {
    return /^#[0-9a-f]{6}$/i.test(color) ? color + "b0" : color;
  }

  // The figures keep what depends on the page in their template, so one new template is a new theme.
  function pageTemplate(template) {
    var own = JSON.parse(JSON.stringify(template));
    var ink = cssColor("--ink");
    own.layout.font.color = ink;
    own.layout.font.size = isNarrow.matches ? 12 : 13;
    own.layout.paper_bgcolor = "rgba(0,0,0,0)";
    own.layout.plot_bgcolor = "rgba(0,0,0,0)";
    own.layout.hoverlabel = {
      bgcolor: cssColor("--panel"),
      bordercolor: cssColor("--line"),
      font: { color: ink, size: 12 }
    };
    // Names that stand on the curves keep a breath of the page behind them.
    own.layout.annotationdefaults.bgcolor = translucent(cssColor("--page"));
    own.layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: cssColor("--muted"), activecolor: ink };
    return own;
  }

  function pageLayout(layout) {
    var margin = Object.assign({}, layout.margin);
    if (isNarrow.matches) {
      margin.l = 50;
      margin.r = 20;
    }
    return Object.assign({}, layout, { margin: margin, template: pageTemplate(layout.template) });
  }

  var pen = document.createElement("canvas").getContext("2d");

  // Pixels of the legend before it is drawn: plotly sets the entries in one row if they fit, and
  // otherwise in columns as wide as the widest. Drawing a figure once is faster than twice.
  function expectedLegend(spec, width) {
    var layout = spec.layout, shown = {};
    spec.data.forEach(function (trace) {
      if (trace.showlegend !== false && trace.name && trace.type !== "heatmap") shown[trace.name] = 1;
    });
    pen.font = "12px " + layout.template.layout.font.family;
    var widths = Object.keys(shown).map(function (name) { return pen.measureText(name).width + 45; });
    if (!widths.length) return 0;
    var all = widths.reduce(function (sum, next) { return sum + next; }, 0);
    if (all <= width) return 29;
    var columns = Math.max(1, Math.floor(width / Math.max.apply(null, widths)));
    return 10 + 19 * Math.ceil(widths.length / columns);
  }

  // The legend has as many rows as the width asks for; the plot above it keeps its height.
  function makeRoomForLegend(plot) {
    var legend = plot.box.querySelector(".legend .bg");
    var rows = legend ? legend.getBBox().height : 0;
    var bottom = Math.ceil((plot.layout.meta || {}).below + rows + 4);
    // A few pixels are not worth drawing the figure once more.
    if (Math.abs(bottom - plot.box.layout.margin.b) <= 8) return null;
    var height = plot.layout.height - plot.layout.margin.b + bottom;
    plot.box.style.height = height + "px";
    return Plotly.relayout(plot.box, { height: height, "margin.b": bottom });
  }

  // The browser's own slider over the frames of a figure, which arrow keys move as well.
  function listenToSlider(plot) {
    var input = plot.box.parentNode.querySelector(".slider input");
    if (!input) return;
    var labels = input.dataset.labels.split(" ");
    var output = plot.box.parentNode.querySelector(".slider output");
    var traces = plot.frames[0].data.map(function (_, index) { return index; });
    function show() {
      var frame = plot.frames[Number(input.value)];
      output.textContent = labels[Number(input.value)];
      input.setAttribute("aria-valuetext", "step " + output.textContent);
      Plotly.restyle(plot.box, { y: frame.data.map(function (bars) { return bars.y; }) }, traces);
      markStep(input.dataset.followedBy, Number(frame.name));
    }
    input.addEventListener("input", show);
    plot.follow = function () {
      markStep(input.dataset.followedBy, Number(plot.frames[Number(input.value)].name));
    };
  }

  // Where the slider of another figure stands, as a line across this one.
  function markStep(name, step) {
    var plot = plots.find(function (other) { return other.box.parentNode.id === name; });
    if (!plot) return;
    var line = {
      type: "line", x0: step, x1: step, y0: 0, y1: 1, yref: "paper", name: "slider",
      line: { color: "#ffffff", width: 2 }
    };
    Plotly.relayout(plot.box, { shapes: (plot.layout.shapes || []).concat([line]) });
  }

  function draw(box) {
    var spec = JSON.parse(box.parentNode.querySelector("script.plot-data").textContent);
    var plot = { box: box, layout: spec.layout, frames: spec.frames || [] };
    plots.push(plot);
    var layout = pageLayout(spec.layout);
    var width = box.clientWidth - layout.margin.l - layout.margin.r;
    var bottom = layout.meta.below + expectedLegend(spec, width) + 4;
    layout.height += bottom - layout.margin.b;
    layout.margin.b = bottom;
    box.style.height = layout.height + "px";
    return Plotly.newPlot(box, {
      data: spec.data,
      layout: layout,
      config: {
        responsive: true,
        displaylogo: false,
        displayModeBar: isNarrow.matches ? false : "hover",
        // The page sends nothing anywhere, so the button that uploads a figure goes.
        plotlyServerURL: "",
        modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"]
      }
    }).then(function () {
      listenToSlider(plot);
      return makeRoomForLegend(plot);
    });
  }

  // Width in pixels, or null for that of the page.
  function repaint(width) {
    plots.forEach(function (plot) {
      var layout = pageLayout(plot.layout);
      var changes = { template: layout.template, margin: layout.margin, width: width };
      if (width === null) changes.autosize = true;
      Plotly.relayout(plot.box, changes).then(function () { makeRoomForLegend(plot); });
    });
  }

  function repaintPage() { repaint(null); }

  var waiting = null;

  // Plotly redraws a figure of a new width by itself, shortly after the window has changed.
  function resized() {
    clearTimeout(waiting);
    waiting = setTimeout(function () { plots.forEach(makeRoomForLegend); }, 400);
  }

  // The contents: a column beside a wide page, a line above a narrow one, both with the section
  // that is being read.
  var contents = document.querySelector("nav details");
  var here = document.querySelector("nav .here");
  var links = Array.prototype.slice.call(document.querySelectorAll("nav a"));
  var sections = links.map(function (link) {
    return document.getElementById(link.getAttribute("href").slice(1));
  });
  var isWide = matchMedia("(min-width: 1080px)");

  function foldContents() { contents.open = isWide.matches; }

  function noteSection() {
    var current = 0;
    sections.forEach(function (section, index) {
      if (section.getBoundingClientRect().top <= innerHeight * 0.3) current = index;
    });
    var atEnd = scrollY + innerHeight >= root.scrollHeight - 2;
    if (atEnd && scrollY > 0) current = links.length - 1;
    links.forEach(function (link, index) {
      if (index === current) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    });
    here.textContent = ": " + links[current].textContent;
  }

  if (links.length) {
    foldContents();
    noteSection();
    isWide.addEventListener("change", foldContents);
    addEventListener("scroll", noteSection, { passive: true });
    contents.addEventListener("click", function (event) {
      if (event.target.tagName === "A" && !isWide.matches) contents.open = false;
    });
  }

  // On paper everything is open and light, whatever it is on the screen, and figures are as wide
  // as a sheet of A4 or letter.
  var PAPER_WIDTH = 660;
  var folded = [];
  addEventListener("beforeprint", function () {
    root.classList.add("printing");
    folded = Array.prototype.slice.call(document.querySelectorAll("main details:not([open])"));
    folded.forEach(function (details) { details.open = true; });
    repaint(PAPER_WIDTH);
  });
  addEventListener("afterprint", function () {
    root.classList.remove("printing");
    folded.forEach(function (details) { details.open = false; });
    repaint(null);
  });

  // Figures in view come first, then the others one after another, with a breath between so that
  // the page can be read meanwhile.
  var undrawn = Array.prototype.slice.call(document.querySelectorAll(".plot"));

  function distance(box) {
    var place = box.getBoundingClientRect();
    return place.bottom < 0 ? -place.bottom : Math.max(0, place.top - innerHeight);
  }

  function drawNext() {
    if (!undrawn.length) return null;
    var next = 0, nearest = Infinity;
    undrawn.forEach(function (box, index) {
      var far = distance(box);
      if (far < nearest) { nearest = far; next = index; }
    });
    if (nearest > 0 && !performance.getEntriesByName("figures in view").length)
      performance.mark("figures in view");
    return draw(undrawn.splice(next, 1)[0])
      .then(function () { return new Promise(function (then) { setTimeout(then, 0); }); })
      .then(drawNext);
  }

  var drawn = Promise.resolve().then(drawNext);
  drawn.then(
    function () {
      plots.forEach(function (plot) { if (plot.follow) plot.follow(); });
      performance.mark("all figures");
      root.dataset.figuresDrawn = String(plots.length);
      isDark.addEventListener("change", repaintPage);
      isNarrow.addEventListener("change", repaintPage);
      addEventListener("resize", resized);
    },
    function (error) {
      root.dataset.errors = String(error);
    }
  );
})();

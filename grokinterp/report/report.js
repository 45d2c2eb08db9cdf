(function () {
  "use strict";
  var root = document.documentElement;
  var isDark = matchMedia("(prefers-color-scheme: dark)");
  var isNarrow = matchMedia("(max-width: 640px)");
  var plots = [];

  function cssColor(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
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
    own.layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: cssColor("--muted"), activecolor: ink };
    return own;
  }

  function pageLayout(layout) {
    var margin = Object.assign({}, layout.margin);
    if (isNarrow.matches) {
      margin.l = 50;
      margin.r = 12;
    }
    return Object.assign({}, layout, { margin: margin, template: pageTemplate(layout.template) });
  }

  // The legend has as many rows as the width asks for; the plot above it keeps its height.
  function makeRoomForLegend(plot) {
    var legend = plot.box.querySelector(".legend .bg");
    var rows = legend ? legend.getBBox().height : 0;
    var bottom = Math.ceil((plot.layout.meta || {}).below + rows + 4);
    // A few pixels are not worth drawing the figure once more.
    if (Math.abs(bottom - plot.box.layout.margin.b) <= 5) return null;
    var height = plot.layout.height - plot.layout.margin.b + bottom;
    plot.box.style.height = height + "px";
    return Plotly.relayout(plot.box, { height: height, "margin.b": bottom });
  }

  function draw(box) {
    var spec = JSON.parse(box.parentNode.querySelector("script.plot-data").textContent);
    var plot = { box: box, layout: spec.layout };
    plots.push(plot);
    return Plotly.newPlot(box, {
      data: spec.data,
      layout: pageLayout(spec.layout),
      frames: spec.frames || [],
      config: {
        responsive: true,
        displaylogo: false,
        displayModeBar: isNarrow.matches ? false : "hover",
        // The page sends nothing anywhere, so the button that uploads a figure goes.
        plotlyServerURL: "",
        modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"]
      }
    }).then(function () {
      return makeRoomForLegend(plot);
    });
  }

  function repaint() {
    plots.forEach(function (plot) {
      var layout = pageLayout(plot.layout);
      Plotly.relayout(plot.box, { template: layout.template, margin: layout.margin }).then(
        function () { makeRoomForLegend(plot); }
      );
    });
  }

  var waiting = null;

  // Plotly redraws a figure of a new width by itself, shortly after the window has changed.
  function resized() {
    clearTimeout(waiting);
    waiting = setTimeout(function () { plots.forEach(makeRoomForLegend); }, 400);
  }

  // One figure after another, with a breath between, so that the page can be read meanwhile.
  var drawn = Array.prototype.reduce.call(
    document.querySelectorAll(".plot"),
    function (before, box) {
      return before
        .then(function () { return new Promise(function (next) { setTimeout(next, 0); }); })
        .then(function () { return draw(box); });
    },
    Promise.resolve()
  );
  drawn.then(
    function () {
      root.dataset.figuresDrawn = String(plots.length);
      isDark.addEventListener("change", repaint);
      isNarrow.addEventListener("change", repaint);
      addEventListener("resize", resized);
    },
    function (error) {
      root.dataset.errors = String(error);
    }
  );
})();

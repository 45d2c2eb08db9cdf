// What is seen of the circuit, and the controls that change it.
(function () {
  "use strict";
  var SVG = "http://www.w3.org/2000/svg", SIDES = ["all", "train", "test"];
  var numbers = 0;

  function element(name, attributes, children) {
    var isSvg = /^(svg|path|circle|line)$/.test(name);
    var made = isSvg ? document.createElementNS(SVG, name) : document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    [].concat(children || []).forEach(function (child) { made.append(child); });
    return made;
  }

  function percent(x) { return (100 * x).toFixed(x === 1 || x === 0 ? 0 : 2) + "%"; }

  function nats(x) { return x === 0 || (x >= 0.001 && x < 1e4) ? x.toPrecision(3) : x.toExponential(2); }

  function start(root) {
    var data = JSON.parse(root.querySelector(".explorer-data").textContent);
    var n = data.order, parts = data.components, id = "explorer-" + (++numbers) + "-";
    var hasHands = data.steps.length > 0, sides = data.train ? SIDES : ["all"];
    var state = { i: Math.min(3, n - 1), j: Math.min(5, n - 1), step: Math.max(0, data.steps.length - 1),
      gains: parts.map(function () { return 1; }), on: parts.map(function () { return true; }), rest: true };
    var circuit = null, found = null, whole = null, pending = false;
    var hands = data.steps.map(function (step) {
      var sets = {};
      Object.keys(step.hands).forEach(function (name) {
        sets[name] = { scales: step.hands[name].scales,
          points: grokinterpCircuit.unpack(step.hands[name].points, Int16Array) };
      });
      sets.b = sets.b || sets.a;
      return sets;
    });
    // Numbers of the operands as indices of the view, by token.
    function places(tokens) {
      var list = tokens.map(function (token, place) { return { token: token, place: place }; });
      return list.sort(function (x, y) { return x.token - y.token; });
    }
    var orderA = places(data.first), orderB = places(data.second);
    var answers = data.classes.map(function (token, place) { return place; });

    // ---- building
    function chooser(name, order, set) {
      var select = element("select", { id: id + name }, order.map(function (entry) {
        return element("option", { value: entry.place }, String(entry.token));
      }));
      select.addEventListener("change", function () { set(Number(select.value)); });
      return select;
    }
    var selectA = chooser("a", orderA, function (i) { choose(i, state.j); });
    var selectB = chooser("b", orderB, function (j) { choose(state.i, j); });
    var canvas = element("canvas", { width: n, height: n, tabindex: 0, role: "application",
      "aria-label": "Table of pairs. Arrow keys move the chosen pair.", "aria-describedby": id + "pair" });
    var marker = element("div", { class: "x-marker" });
    var table = element("div", { class: "x-table" }, [canvas, marker]);
    var verdict = element("p", { id: id + "pair", class: "x-verdict", "aria-live": "polite" });
    var spoken = element("p", { class: "x-hidden", role: "status" }), cells = {};
    var rows = sides.map(function (side) {
      cells[side] = ["accuracy", "loss", "whole-accuracy", "whole-loss"].map(function (what) {
        return element("td", { "data-side": side, "data-what": what }, "…");
      });
      return element("tr", {}, [element("th", { scope: "row" }, side)].concat(cells[side]));
    });
    function heading(text, span) {
      return element("th", span ? { scope: "colgroup", colspan: span } : { scope: "col" }, text);
    }
    var numbersTable = element("table", { class: "x-numbers" }, [
      element("caption", {}, "Step " + data.step.toLocaleString("en") + ", losses in nats"),
      element("thead", {}, [
        element("tr", {}, [element("td"), heading("with your changes", 2), heading("whole network", 2)]),
        element("tr", {}, [heading("pairs"), heading("accuracy"), heading("loss"),
          heading("accuracy"), heading("loss")])]),
      element("tbody", {}, rows)]);
    var reset = element("button", { type: "button" }, "Reset");
    reset.addEventListener("click", function () {
      state.gains.fill(1);
      state.on.fill(true);
      state.rest = true;
      strips.forEach(function (strip) {
        strip.box.checked = true;
        strip.slider.value = 1;
        strip.output.textContent = "× 1.00";
      });
      restBox.checked = true;
      change();
    });
    var restBox = element("input", { type: "checkbox", id: id + "rest", checked: "" });
    restBox.addEventListener("change", function () { state.rest = restBox.checked; change(); });
    var restLabel = element("label", { for: id + "rest", class: "x-check" },
      [restBox, " memorization circuit (the rest of the logits)"]);
    var time = stepSlider();
    var strips = parts.map(buildStrip);
    var sumTop = element("path", { class: "x-whole" }), sumLine = element("path", { class: "x-sum" });
    var sumMark = element("line", { class: "x-mark" });
    var key = element("p", { class: "x-key" }, [
      swatch("x-right-test", data.train ? "right, test" : "right")]
      .concat(data.train ? [swatch("x-right-train", "right, train")] : [], [swatch("x-wrong", "wrong")]));
    var nClocks = Math.max.apply(null, strips.map(function (strip) { return strip.clocks.length; }));
    root.style.setProperty("--clocks", 5.9 * nClocks + "rem");
    root.append(
      element("div", { class: "x-top" }, [
        element("div", { class: "x-left" }, [
          element("p", { class: "x-choose" }, [element("label", { for: id + "a" }, "a = "), selectA, " ",
            element("label", { for: id + "b" }, "b = "), selectB]), table, key]),
        element("div", { class: "x-right" }, [numbersTable,
          element("p", { class: "x-controls" }, [restLabel, reset]), verdict, spoken, time.block])]),
      element("div", { class: "x-strips" }, strips.map(function (strip) { return strip.block; })),
      element("div", { class: "x-strip x-total" }, [
        element("p", { class: "x-name" }, [element("strong", {}, "All of them, added up"),
          element("span", { class: "x-legend" }, "thick: the waves; thin: all logits with your changes")]),
        plot([sumTop, sumLine, sumMark], "Sum over the answers c")]),
      axis());

    function swatch(name, text) {
      return element("span", {}, [element("i", { class: "x-swatch " + name, "aria-hidden": "true" }), text]);
    }
    function plot(children, label) {
      return element("svg", { class: "x-wave", viewBox: "0 0 1000 100", preserveAspectRatio: "none",
        role: "img", "aria-label": label }, [element("path", { class: "x-zero", d: "M0 50H1000" })]
        .concat(children));
    }
    function axis() {
      return element("p", { class: "x-axis", "aria-hidden": "true" }, [element("span", {}, "c = " + data.classes[0]),
        element("span", {}, "dashed: the answer"),
        element("span", {}, "c = " + data.classes[n - 1])]);
    }
    function buildStrip(part, k) {
      var box = element("input", { type: "checkbox", id: id + "on" + k, checked: "", "data-part": part.name });
      var slider = element("input", { type: "range", min: 0, max: 2, step: 0.05, value: 1, id: id + "by" + k,
        "aria-label": "scale of " + part.label });
      var output = element("output", { for: id + "by" + k }, "× 1.00");
      box.addEventListener("change", function () { state.on[k] = box.checked; change(); });
      slider.addEventListener("input", function () {
        state.gains[k] = Number(slider.value);
        output.textContent = "× " + state.gains[k].toFixed(2);
        change();
      });
      var wave = element("path", { class: "x-curve" }), mark = element("line", { class: "x-mark" });
      var clocks = hasHands && part.frequency ? ["a", "b", "answer"].filter(function (name) {
        return hands[0][name];
      }).map(clock) : [];
      var block = element("div", { class: "x-strip", style: "--own: var(--x-key-" + (k % 8) + ")" }, [
        element("p", { class: "x-name" }, [
          element("label", { for: id + "on" + k, class: "x-check" }, [box, " " + part.label]),
          element("span", { class: "x-scale" }, [slider, output])]),
        element("div", { class: "x-clocks" }, clocks.map(function (one) { return one.block; })),
        plot([wave, mark], part.label + " over the answers c")]);
      return { block: block, box: box, slider: slider, output: output, wave: wave, mark: mark, clocks: clocks };
    }
    function clock(name) {
      var dots = element("path", { class: "x-dots" }), hand = element("path", { class: "x-hand" });
      var text = element("figcaption", {}, name);
      var face = element("svg", { viewBox: "-1.2 -1.2 2.4 2.4", role: "img" },
        [element("circle", { r: 1, class: "x-face" }), dots, hand]);
      return { name: name, dots: dots, hand: hand, face: face, text: text,
        block: element("figure", {}, [face, text]) };
    }
    function stepSlider() {
      if (data.steps.length < 2) return { block: "" };
      var slider = element("input", { type: "range", min: 0, max: data.steps.length - 1, value: state.step,
        id: id + "step" });
      var output = element("output", { for: id + "step" });
      var note = element("p", { class: "x-note", "aria-live": "polite" });
      slider.addEventListener("input", function () { state.step = Number(slider.value); draw(); });
      return { slider: slider, output: output, note: note, block: element("div", { class: "x-time" }, [
        element("p", {}, [element("label", { for: id + "step" }, "hands at step "), slider, output]), note]) };
    }

    // ---- changing
    function choose(i, j) {
      state.i = (i + n) % n;
      state.j = (j + n) % n;
      selectA.value = state.i;
      selectB.value = state.j;
      draw();
    }
    function change() {
      if (!circuit || pending) return;
      pending = true;
      requestAnimationFrame(function () {
        pending = false;
        found = circuit.evaluate(gains(), state.rest);
        whole = whole || found;
        showNumbers();
        paintTable();
        draw();
      });
    }
    function gains() {
      return state.gains.map(function (gain, k) { return state.on[k] ? gain : 0; });
    }
    var colors = {};
    function fetchColors() {
      var style = getComputedStyle(root), probe = document.createElement("canvas").getContext("2d");
      ["right-test", "right-train", "wrong"].forEach(function (name) {
        probe.fillStyle = style.getPropertyValue("--x-" + name).trim();
        probe.fillRect(0, 0, 1, 1);
        colors[name] = probe.getImageData(0, 0, 1, 1).data.slice();
      });
    }
    function paintTable() {
      if (!found) return;
      fetchColors();
      var pen = canvas.getContext("2d"), image = pen.createImageData(n, n);
      orderA.forEach(function (a, y) {
        orderB.forEach(function (b, x) {
          var pair = a.place * n + b.place;
          var name = !circuit.right[pair] ? "wrong"
            : circuit.train && circuit.train[pair] ? "right-train" : "right-test";
          image.data.set(colors[name], 4 * (y * n + x));
        });
      });
      pen.putImageData(image, 0, 0);
    }
    function showNumbers() {
      sides.forEach(function (side) {
        [found, found, whole, whole].forEach(function (from, at) {
          var value = from[side][at % 2 ? "loss" : "accuracy"];
          cells[side][at].dataset.value = value;
          cells[side][at].textContent = at % 2 ? nats(value) : percent(value);
        });
      });
      clearTimeout(showNumbers.later);
      showNumbers.later = setTimeout(function () {
        spoken.textContent = sides.map(function (side) {
          return side + " pairs: accuracy " + percent(found[side].accuracy) + ", loss " + nats(found[side].loss);
        }).join("; ");
      }, 400);
      root.dataset.evaluations = Number(root.dataset.evaluations || 0) + 1;
    }

    // ---- drawing
    function handAt(name, k, place, step) {
      var set = hands[step][name], at = 2 * (k * n + place);
      return [set.points[at] * set.scales[k], set.points[at + 1] * set.scales[k]];
    }
    // The longest hand of all steps, so that hands grow.
    var longest = {};
    function reach(name, k) {
      var label = name + k, most = 0;
      if (longest[label]) return longest[label];
      for (var step = 0; step < hands.length; step++) {
        for (var x = 0; x < n; x++) most = Math.max(most, Math.hypot.apply(null, handAt(name, k, x, step)));
      }
      longest[label] = most || 1;
      return longest[label];
    }
    function drawClock(one, k, s) {
      var place = { a: state.i, b: state.j, answer: s }[one.name], size = reach(one.name, k), dots = "";
      for (var x = 0; x < n; x++) {
        var dot = handAt(one.name, k, x, state.step);
        dots += "M" + (dot[0] / size).toFixed(3) + " " + (-dot[1] / size).toFixed(3) + "h0";
      }
      var at = handAt(one.name, k, place, state.step);
      one.dots.setAttribute("d", dots);
      one.hand.setAttribute("d", "M0 0L" + (at[0] / size).toFixed(3) + " " + (-at[1] / size).toFixed(3));
      var token = { a: data.first[state.i], b: data.second[state.j], answer: data.classes[s] }[one.name];
      var name = one.name === "answer" ? data.formula : one.name;
      var degrees = Math.round(Math.atan2(at[1], at[0]) * 180 / Math.PI);
      one.text.textContent = name + " = " + token;
      one.face.setAttribute("aria-label", "hand of " + name + " = " + token + ": " + degrees +
        " degrees, length " + Math.round(100 * Math.hypot(at[0], at[1]) / size) + "% of the longest");
    }
    function line(values, size) {
      return values.map(function (value, x) {
        var at = (1000 * (x + 0.5) / n).toFixed(1), y = (50 - 46 * value / size).toFixed(2);
        if (data.cyclic) return (x ? "L" : "M") + at + " " + y;
        return "M" + at + " 50V" + y;
      }).join("");
    }
    function ofClasses(row) {
      var values = answers.map(function (c) { return row[data.classes[c]]; });
      var mean = values.reduce(function (x, y) { return x + y; }, 0) / n;
      return values.map(function (x) { return x - mean; });
    }
    function largest(values) {
      return values.reduce(function (most, x) { return Math.max(most, Math.abs(x)); }, 1e-9);
    }
    // Wave of a frequency over c: from the logits at the last step, from the answer's hand before it.
    function waveOf(part, k, s, isLast) {
      if (isLast) return ofClasses(circuit.parts[k].subarray(s * data.outputs, (s + 1) * data.outputs));
      if (!part.frequency) return answers.map(function () { return 0; });
      var hand = handAt("answer", k, s, state.step), turn = 2 * Math.PI * part.frequency / n;
      return answers.map(function (c) { return hand[0] * Math.cos(turn * c) + hand[1] * Math.sin(turn * c); });
    }
    function added(waves) {
      return answers.map(function (c) {
        return waves.reduce(function (all, wave) { return all + wave[c]; }, 0);
      });
    }
    function mark(shape, s) {
      var x = 1000 * (s + 0.5) / n;
      Object.entries({ x1: x, x2: x, y1: 0, y2: 100 }).forEach(function (pair) {
        shape.setAttribute(pair[0], pair[1]);
      });
    }
    function draw() {
      if (!circuit) return;
      var isLast = !hasHands || state.step === data.steps.length - 1, active = gains();
      var pair = state.i * n + state.j, s = circuit.products[pair];
      var waves = parts.map(function (part, k) {
        return waveOf(part, k, s, isLast).map(function (x) { return active[k] * x; });
      });
      // At least the scale of the whole circuit, so that waves are seen to grow and to shrink.
      var wholeWaves = parts.map(function (part, k) { return waveOf(part, k, s, true); });
      var size = waves.concat(wholeWaves).reduce(function (most, wave) {
        return Math.max(most, largest(wave));
      }, 1e-9);
      var sum = added(waves);
      strips.forEach(function (strip, k) {
        strip.block.classList.toggle("x-off", active[k] === 0);
        strip.wave.setAttribute("d", line(waves[k], size));
        mark(strip.mark, s);
        strip.clocks.forEach(function (one) { drawClock(one, k, s); });
      });
      var row = circuit.row(pair, found.shift, state.rest), logits = ofClasses(row);
      var top = Math.max(largest(sum), largest(added(wholeWaves)), isLast ? largest(logits) : 0);
      sumLine.setAttribute("d", line(sum, top));
      sumTop.setAttribute("d", isLast ? line(logits, top) : "");
      mark(sumMark, s);
      marker.style.left = 100 * place(orderB, state.j) / n + "%";
      marker.style.top = 100 * place(orderA, state.i) / n + "%";
      marker.style.width = marker.style.height = "max(8px, " + 100 / n + "%)";
      showVerdict(row, s, pair);
      if (time.slider) showStep(isLast);
    }
    function place(order, wanted) {
      return order.findIndex(function (entry) { return entry.place === wanted; });
    }
    function showVerdict(row, s, pair) {
      var best = row.reduce(function (top, x, c) { return x > row[top] ? c : top; }, 0), label = data.classes[s];
      var side = circuit.train ? (circuit.train[pair] ? "a training pair" : "a test pair") : "a pair";
      verdict.textContent = "a = " + data.first[state.i] + ", b = " + data.second[state.j] + ", " + side +
        ": the answer is " + label + ". The largest logit is at " + best +
        (best === label ? ": right." : ": wrong.");
      verdict.dataset.best = best;
    }
    function showStep(isLast) {
      var step = data.steps[state.step], words = step.step.toLocaleString("en");
      time.output.textContent = words;
      time.slider.setAttribute("aria-valuetext", "step " + words);
      var text = isLast ? "The last checkpoint: waves are those of its logits."
        : "Hands and waves are those of step " + words + "; all numbers stay those of the last checkpoint.";
      if ("test_accuracy" in step) {
        text += " Accuracy of the network then: train " + percent(step.train_accuracy) + ", test " +
          percent(step.test_accuracy) + ".";
      }
      time.note.textContent = text;
    }

    // ---- events
    canvas.addEventListener("click", function (event) {
      var box = canvas.getBoundingClientRect();
      var x = Math.floor(n * (event.clientX - box.left) / box.width);
      var y = Math.floor(n * (event.clientY - box.top) / box.height);
      choose(orderA[Math.min(y, n - 1)].place, orderB[Math.min(x, n - 1)].place);
    });
    canvas.addEventListener("keydown", function (event) {
      var move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      choose(orderA[(place(orderA, state.i) + move[0] + n) % n].place,
        orderB[(place(orderB, state.j) + move[1] + n) % n].place);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintTable);
    selectA.value = state.i;
    selectB.value = state.j;
    verdict.textContent = "Computing the logits of " + (n * n).toLocaleString("en") + " pairs …";
    var began = performance.now();
    grokinterpCircuit.compute(data, function () {}, function (made) {
      circuit = made;
      root.dataset.computed = Math.round(performance.now() - began);
      change();
    });
  }

  // Only what is looked at is computed.
  var watch = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting) return;
      watch.unobserve(entry.target);
      start(entry.target);
    });
  }, { rootMargin: "300px" });
  document.querySelectorAll(".explorer:not([data-watched])").forEach(function (root) {
    root.dataset.watched = "";
    watch.observe(root);
  });
})();

// The network and its circuit, computed: logits on all pairs, the waves in them, losses, accuracies.
var grokinterpCircuit = (function () {
  "use strict";

  function bytes(text) {
    var raw = atob(text), out = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  // Of the types in which the page carries numbers; computed with in double precision.
  function unpack(text, Type) {
    return new Type(bytes(text).buffer);
  }

  function doubles(text) {
    return Float64Array.from(unpack(text, Float32Array));
  }

  // All terms have one sign, so nothing cancels.
  function erf(x) {
    if (Math.abs(x) > 6) return Math.sign(x);
    var term = x, sum = x;
    for (var n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
  }

  var ACTIVATIONS = {
    relu: function (x) { return x > 0 ? x : 0; },
    gelu: function (x) { return x * (1 + erf(x / Math.SQRT2)) / 2; },
    gelu_new: function (x) {
      return x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))) / 2;
    },
    silu: function (x) { return x / (1 + Math.exp(-x)); },
    tanh: Math.tanh,
    square: function (x) { return x * x; },
    linear_quadratic: function (x, curvature) { return x + curvature * x * x / 2; }
  };

  // What every head adds to neurons and logits by token and place, if it attends to that alone.
  function attentionRows(net) {
    var heads = net.n_heads, wide = net.d_head, size = heads * wide, tokens = net.n_tokens;
    var values = doubles(net.values), ofEquals = doubles(net.value_equals);
    var readout = doubles(net.readout), width = readout.length / (size + 1);
    var rows = new Float64Array(heads * 2 * tokens * width);
    var constant = readout.slice(size * width);
    for (var d = 0; d < size; d++) {
      for (var w = 0; w < width; w++) constant[w] += ofEquals[d] * readout[d * width + w];
    }
    for (var place = 0; place < 2 * tokens; place++) {
      for (d = 0; d < size; d++) {
        var value = values[place * size + d] - ofEquals[d];
        var at = (Math.floor(d / wide) * 2 * tokens + place) * width;
        for (w = 0; w < width; w++) rows[at + w] += value * readout[d * width + w];
      }
    }
    return { rows: rows, constant: constant, width: width };
  }

  // Function of a pair's tokens that fills `read` with what reaches neurons and logits directly.
  function attentionReader(net) {
    var made = attentionRows(net), heads = net.n_heads, tokens = net.n_tokens, width = made.width;
    var scores = doubles(net.scores), toEquals = doubles(net.score_equals);
    return {
      width: width,
      readout: doubles(net.W_L),
      fill: function (a, b, read) {
        read.set(made.constant);
        for (var head = 0; head < heads; head++) {
          var x = scores[a * heads + head], y = scores[(tokens + b) * heads + head];
          var z = toEquals[head], top = Math.max(x, y, z);
          x = Math.exp(x - top); y = Math.exp(y - top); z = Math.exp(z - top);
          var all = x + y + z;
          x /= all; y /= all;
          var atA = (head * 2 * tokens + a) * width, atB = (head * 2 * tokens + tokens + b) * width;
          for (var w = 0; w < width; w++) read[w] += x * made.rows[atA + w] + y * made.rows[atB + w];
        }
      }
    };
  }

  function sumReader(net, outputs) {
    var fromA = doubles(net.from_a), fromB = doubles(net.from_b), offset = doubles(net.offset);
    var neurons = net.n_neurons;
    return {
      width: neurons + outputs,
      readout: doubles(net.readout),
      fill: function (a, b, read) {
        for (var j = 0; j < neurons; j++) read[j] = fromA[a * neurons + j] + fromB[b * neurons + j];
        for (var c = 0; c < outputs; c++) read[neurons + c] = offset[c];
      }
    };
  }

  // Logits of pairs from..to of n * n, written into `logits`.
  function filler(data, logits) {
    var net = data.network, n = data.order, outputs = data.outputs;
    var reader = net.kind === "attention" ? attentionReader(net) : sumReader(net, outputs);
    var neurons = net.n_neurons, act = ACTIVATIONS[net.act], W = reader.readout;
    var read = new Float64Array(reader.width), row = new Float64Array(outputs);
    return function (from, to) {
      for (var pair = from; pair < to; pair++) {
        reader.fill(data.first[Math.floor(pair / n)], data.second[pair % n], read);
        for (var c = 0; c < outputs; c++) row[c] = read[neurons + c];
        for (var j = 0; j < neurons; j++) {
          var value = act(read[j], net.curvature);
          if (value === 0) continue;
          var at = j * outputs;
          for (c = 0; c < outputs; c++) row[c] += value * W[at + c];
        }
        logits.set(row, pair * outputs);
      }
    };
  }

  // Everything that does not change any more once the logits are known.
  function Circuit(data, logits) {
    var n = data.order, outputs = data.outputs;
    this.data = data;
    this.logits = logits;
    this.products = unpack(data.products, Uint16Array);
    this.train = data.train && unpack(data.train, Uint8Array);
    var means = new Float64Array(n * outputs), total = new Float64Array(outputs);
    for (var pair = 0; pair < n * n; pair++) {
      var to = this.products[pair] * outputs;
      for (var c = 0; c < outputs; c++) means[to + c] += logits[pair * outputs + c] / n;
    }
    for (var i = 0; i < means.length; i++) total[i % outputs] += means[i] / n;
    this.mean = total;
    this.parts = data.components.map(function (part) { return projection(part, means, n, outputs); });
    this.right = new Uint8Array(n * n);
  }

  // Part of the mean logits by answer along some waves over the answers.
  function projection(part, means, n, outputs) {
    var waves = unpack(part.waves, Float64Array), out = new Float64Array(n * outputs);
    for (var wave = 0; wave < part.n_waves; wave++) {
      var along = new Float64Array(outputs);
      for (var s = 0; s < n; s++) {
        for (var c = 0; c < outputs; c++) along[c] += waves[wave * n + s] * means[s * outputs + c];
      }
      for (s = 0; s < n; s++) {
        for (c = 0; c < outputs; c++) out[s * outputs + c] += waves[wave * n + s] * along[c];
      }
    }
    return out;
  }

  // Table over answers and classes: what is added to (or, without the rest, put in the place of) logits.
  Circuit.prototype.shift = function (gains, hasRest) {
    var out = new Float64Array(this.data.order * this.data.outputs), mean = this.mean;
    if (!hasRest) out.forEach(function (_, i) { out[i] = mean[i % mean.length]; });
    this.parts.forEach(function (part, k) {
      var factor = gains[k] - (hasRest ? 1 : 0);
      if (factor) for (var i = 0; i < out.length; i++) out[i] += factor * part[i];
    });
    return out;
  };

  Circuit.prototype.row = function (pair, shift, hasRest) {
    var outputs = this.data.outputs, row = new Float64Array(outputs);
    var at = this.products[pair] * outputs;
    for (var c = 0; c < outputs; c++) {
      row[c] = shift[at + c] + (hasRest ? this.logits[pair * outputs + c] : 0);
    }
    return row;
  };

  // Accuracy and mean loss in nats over all, train and test pairs, and which pairs are right.
  Circuit.prototype.evaluate = function (gains, hasRest) {
    var data = this.data, n = data.order, outputs = data.outputs, logits = this.logits;
    var shift = this.shift(gains, hasRest), counts = [0, 0], losses = [0, 0], hits = [0, 0];
    var row = new Float64Array(outputs);
    for (var pair = 0; pair < n * n; pair++) {
      var s = this.products[pair], at = s * outputs, from = pair * outputs;
      var best = 0, label = data.classes[s], sum = 0;
      for (var c = 0; c < outputs; c++) {
        row[c] = shift[at + c] + (hasRest ? logits[from + c] : 0);
        if (row[c] > row[best]) best = c;
      }
      for (c = 0; c < outputs; c++) if (c !== best) sum += Math.exp(row[c] - row[best]);
      var side = this.train && this.train[pair] ? 0 : 1;
      this.right[pair] = best === label ? 1 : 0;
      counts[side]++;
      hits[side] += this.right[pair];
      losses[side] += Math.log1p(sum) + row[best] - row[label];
    }
    function over(sides) {
      function sum(list) { return sides.reduce(function (all, side) { return all + list[side]; }, 0); }
      return { accuracy: sum(hits) / sum(counts), loss: sum(losses) / sum(counts) };
    }
    var found = { all: over([0, 1]), shift: shift };
    if (this.train) { found.train = over([0]); found.test = over([1]); }
    return found;
  };

  // Logits are computed some pairs at a time, so that the page answers meanwhile.
  function compute(data, progress, done) {
    var n = data.order, logits, next = 0;
    if (data.network.kind === "logits") {
      return done(new Circuit(data, unpack(data.network.logits, Float32Array)));
    }
    logits = new Float32Array(n * n * data.outputs);
    var fill = filler(data, logits);
    (function some() {
      var end = performance.now() + 40;
      while (next < n * n && performance.now() < end) {
        fill(next, Math.min(next + 64, n * n));
        next = Math.min(next + 64, n * n);
      }
      progress(next / (n * n));
      if (next < n * n) setTimeout(some, 0);
      else done(new Circuit(data, logits));
    })();
  }

  return { compute: compute, unpack: unpack };
})();

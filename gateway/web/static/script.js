// The status page: takes what the gateway tells (api/events), keeps it, and draws what can be seen of it.
"use strict";

const SAMPLES = 150;
const MOST_LINES = 200;
const MOST_AT_ONCE = 32;      // devices whose last minutes are asked for in one request (overview.py: MOST_DEVICES)
const AGAIN_MS = 4000;
const WORDS = { online: "online", stale: "stale", offline: "offline" };
const LEVELS = [[50, "critical"], [40, "error"], [30, "warning"], [20, "info"], [0, "debug"]];

const at = (id) => document.getElementById(id);
const parts = { gateway: {}, brokers: [], journal: {}, alerts: [], silences: [], rules: [] };
const devices = new Map();    // by name: Device
const dirty = new Set();      // devices whose card is not as they are
const visible = new Set();    // devices whose card is, or nearly is, on the screen
let sampled = 0;
let configured = 0;

// Words and numbers.

const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
const figure = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");

function value(of) {
  if (of === null) return "–";
  if (typeof of === "boolean") return of ? "on" : "off";
  if (typeof of !== "number") return of === "" ? "–" : of;
  if (Number.isInteger(of)) return Math.abs(of) < 1e15 ? String(of) : of.toExponential(5);
  const size = Math.abs(of);
  return size >= 1e7 || size < 1e-4 ? of.toExponential(3) : String(Number(of.toPrecision(6)));
}

function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

function rate(perSecond) {
  if (perSecond === 0) return "no readings";
  return perSecond >= 1 ? `${Number(perSecond.toPrecision(3))}/s` : `${Number((perSecond * 60).toPrecision(2))}/min`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

function moment(text) {
  const when = new Date(text);
  const today = new Date().toDateString() === when.toDateString();
  return today ? clock.format(when) : `${day.format(when)} ${clock.format(when)}`;
}

// Small pieces of the page.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, each] of Object.entries(attributes)) if (each !== null) made.setAttribute(key, each);
  made.append(...children);
  return made;
}

const copy = (template) => at(template).content.firstElementChild.cloneNode(true);

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function shape(use, name) {
  if (use.getAttribute("href") !== `#shape-${name}`) use.setAttribute("href", `#shape-${name}`);
}

function symbol(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "shape");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#shape-${name}`);
  svg.append(use);
  return svg;
}

// Devices.

class Device {
  constructor(name) {
    this.name = name;
    this.told = { metrics: [] };
    this.heard = null;        // on our own clock
    this.history = new Map(); // by metric: the last samples
    this.sampled = -1;        // up to which one; -1: not asked for yet
    this.card = copy("device-template");
    this.card.device = this;
    const title = this.card.querySelector("h3");
    title.id = `device-${Device.made++}`;
    title.textContent = name;
    this.card.setAttribute("aria-labelledby", title.id);
    this.node = {
      word: this.card.querySelector(".state span"), use: this.card.querySelector("use"),
      reason: this.card.querySelector(".reason"), rate: this.card.querySelector(".rate"),
      age: this.card.querySelector(".age"), place: this.card.querySelector(".place"),
      errors: this.card.querySelector(".errors"), metrics: this.card.querySelector(".metrics"),
    };
    this.tiles = [];
    this.shown = null;        // the metrics that have tiles
    this.drawn = -1;          // the sample up to which the lines are drawn
  }

  take(change) {
    const { values, dropped = [], metrics, age_s: age, ...rest } = change;
    Object.assign(this.told, rest);
    for (const key of dropped) delete this.told[key];
    if (metrics) this.told.metrics = metrics;
    if (values) for (const metric of this.told.metrics) if (metric.name in values) metric.value = values[metric.name];
    this.heard = age === null ? null : performance.now() - age * 1000;
    dirty.add(this);
  }

  sample(number) {
    if (this.sampled < 0) return;
    for (; this.sampled < number; this.sampled++) {
      for (const metric of this.told.metrics) {
        let line = this.history.get(metric.name);
        if (!line) this.history.set(metric.name, (line = new Array(SAMPLES).fill(null)));
        const known = this.told.state === "online" && typeof metric.value !== "string" && metric.value !== null;
        // In four bytes, as the gateway keeps them: else a value that stays would seem to have changed.
        line.push(known && this.sampled === number - 1 ? Math.fround(metric.value) : null);
        if (line.length > SAMPLES) line.shift();
      }
    }
  }

  remember(told, number) {
    this.history = new Map(told.metrics.filter((each) => each.history).map((each) => [each.name, each.history]));
    this.sampled = number;
    this.drawn = -1;
    this.sample(sampled);
    dirty.add(this);
  }

  draw() {
    const { told, node } = this;
    const state = told.state;
    if (this.card.dataset.state !== state) {
      this.card.dataset.state = state;
      shape(node.use, state);
      write(node.word, WORDS[state]);
    }
    write(node.reason, told.reason ?? "");
    write(node.rate, rate(told.rate));
    this.age();
    write(node.place, `${told.driver} · ${told.port}`);
    const rejected = Object.entries(told.rejected);
    const count = rejected.reduce((sum, [, each]) => sum + each, 0);
    const reasons = rejected.map(([why, each]) => (rejected.length > 1 ? `${figure(each)} ${why}` : why)).join(", ");
    write(node.errors, count ? `${figure(count)} frame ${count === 1 ? "error" : "errors"}: ${reasons}` : "");
    this.drawMetrics();
  }

  age() {
    write(this.node.age, this.heard === null ? "never heard" : `${span((performance.now() - this.heard) / 1000)} ago`);
  }

  drawMetrics() {
    const { metrics } = this.told;
    if (this.shown !== metrics) {
      this.shown = metrics;
      this.drawn = -1;
      this.tiles = metrics.map((metric) => {
        const tile = copy("metric-template");
        const [name, unit] = [tile.querySelector("dt"), tile.querySelector(".unit")];
        name.textContent = metric.label;
        name.title = metric.label === metric.name ? metric.name : `${metric.label} (${metric.name})`;
        unit.textContent = metric.unit;
        const text = document.createTextNode("");
        tile.querySelector(".value").append(text);
        return { text, tile, dd: tile.querySelector("dd"), line: tile.querySelector(".line"), area: tile.querySelector(".area") };
      });
      this.node.metrics.replaceChildren(...this.tiles.map((each) => each.tile));
      if (!metrics.length) this.node.metrics.replaceChildren(element("div", { class: "metric more" }, element("dt", {}, "Metrics"), element("dd", { class: "faint" }, "none heard yet")));
    }
    metrics.forEach((metric, index) => {
      const { text, dd } = this.tiles[index];
      const now = value(metric.value);
      if (text.data === now) return;
      text.data = now;
      if (typeof metric.value === "string") dd.title = now;
    });
    if (this.drawn === this.sampled) return;
    this.drawn = this.sampled;
    metrics.forEach((metric, index) => this.drawLine(this.tiles[index], this.history.get(metric.name)));
  }

  drawLine({ line, area }, samples) {
    let low = Infinity, high = -Infinity;
    for (const each of samples ?? []) if (each !== null) { if (each < low) low = each; if (each > high) high = each; }
    let path = "", below = "", begun = null;
    if (low <= high) {
      const height = high > low ? 20 / (high - low) : 0;
      samples.forEach((each, x) => {
        if (each === null) {
          if (begun !== null) below += `L${x - 1} 24L${begun} 24Z`;
          begun = null;
          return;
        }
        const point = `${x} ${height ? (22 - (each - low) * height).toFixed(1) : 12}`;
        path += (begun === null ? "M" : "L") + point;
        below += (begun === null ? `M${x} 24L` : "L") + point;
        begun ??= x;
      });
      if (begun !== null) below += `L${samples.length - 1} 24L${begun} 24Z`;
    }
    line.setAttribute("d", path);
    area.setAttribute("d", below);
  }
}
Device.made = 0;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target.device);
    else visible.delete(target.device);
  }
  askForHistory();
  wake();
}, { rootMargin: "300px" });

let asking = false;

async function askForHistory() {
  if (asking) return;
  const wanted = [...visible].filter((each) => each.sampled < 0 && each.told.metrics.length).slice(0, MOST_AT_ONCE);
  if (!wanted.length) return;
  asking = true;
  try {
    const names = wanted.map((each) => `&name=${encodeURIComponent(each.name)}`).join("");
    const answer = await fetch(`api/devices?history${names}`);
    if (answer.ok) {
      const { sampled: number, devices: found } = await answer.json();
      for (const each of found) devices.get(each.name)?.remember(each, number);
      wake();
    }
  } catch { /* the gateway is away, which the stream notices, too */ }
  asking = false;
  setTimeout(askForHistory, 100);
}

function takeDevices(list) {
  for (const change of list) {
    let device = devices.get(change.name);
    const before = device?.told.state;
    if (!device) {
      device = new Device(change.name);
      devices.set(change.name, device);
      at("list").append(device.card);
      watcher.observe(device.card);
      filtered = true;
    }
    device.take(change);
    const after = device.told.state;
    if (before && before !== after) {
      announce(`${change.name} is ${after}${device.told.reason ? `: ${device.told.reason}` : ""}`);
      filtered = true;
    }
  }
}

function removeDevice(name) {
  const device = devices.get(name);
  if (!device) return;
  watcher.unobserve(device.card);
  device.card.remove();
  devices.delete(name);
  dirty.delete(device);
  visible.delete(device);
  filtered = true;
}

// Drawing: what is on the screen at the next frame, the rest when there is nothing else to do.

let filtered = true;  // the filter is to be applied anew
let woken = false;
let idle = false;

function wake() {
  if (woken) return;
  woken = true;
  requestAnimationFrame(() => {
    woken = false;
    for (const device of visible) if (dirty.delete(device)) device.draw();
    if (filtered) applyFilter();
    summarise();
    if (dirty.size && !idle) {
      idle = true;
      requestIdleCallback(drawRest, { timeout: 5000 });
    }
  });
}

function drawRest(deadline) {
  idle = false;
  for (const device of dirty) {
    if (deadline.timeRemaining() < 3) break;
    dirty.delete(device);
    device.draw();
  }
  if (dirty.size) {
    idle = true;
    requestIdleCallback(drawRest);
  }
}

function applyFilter() {
  filtered = false;
  const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const attention = at("attention").checked;
  let shown = 0;
  for (const { told, card, name } of devices.values()) {
    const text = [name, told.driver, told.port, told.state, ...told.metrics.map((each) => `${each.name} ${each.label}`)].join(" ").toLowerCase();
    card.hidden = !words.every((word) => text.includes(word)) || (attention && told.state === "online");
    if (!card.hidden) shown++;
  }
  write(at("shown"), shown === devices.size ? "" : `${shown} of ${devices.size}`);
  at("none").hidden = shown > 0 || !devices.size;
}

function summarise() {
  const count = { online: 0, stale: 0, offline: 0 };
  for (const { told } of devices.values()) count[told.state]++;
  const firing = parts.alerts.filter((each) => each.state === "firing" && !quietened(each).length).length;
  const list = at("summary");
  if (!list.children.length) {
    for (const [state, name] of [["online", "online"], ["stale", "stale"], ["offline", "offline"], ["firing", "alert"]]) {
      list.append(element("li", { class: "state", "data-state": state }, symbol(name), element("span")));
    }
  }
  [[count.online, "online"], [count.stale, "stale"], [count.offline, "offline"], [firing, firing === 1 ? "alert" : "alerts"]].forEach(([number, word], index) => {
    list.children[index].dataset.count = number;
    write(list.children[index].lastChild, `${number} ${word}`);
  });
  const name = parts.gateway.gateway ?? "Sallyport";
  const bad = count.offline + count.stale;
  const title = [firing && `▲ ${plural(firing, "alert")}`, bad && `${bad} not online`, name].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
}

// Alerts.

const byWhom = at("by");
byWhom.value = localStorage.getItem("by") ?? "";
byWhom.addEventListener("change", () => localStorage.setItem("by", byWhom.value));

async function ask(verb, request) {
  if (byWhom.value && verb !== "unsilence") request.by = byWhom.value;
  const answer = await fetch(`api/alerts/${verb}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
  }).then((each) => each.json(), () => ({ status: "error", error: "the gateway does not answer" }));
  announce(answer.status === "ok" ? "done" : answer.error);
  if (answer.status !== "ok") complain(answer.error);
}

const quietened = ({ labels }) => ["acknowledged", "silenced", "inhibited"].filter((each) => each in labels);

const quietly = (alert) => quietened(alert).map((each) => ` ${each}${alert.labels[each] ? ` by ${alert.labels[each]}` : ""}`).join(",");

const alertKey = (alert) => `${alert.rule}\n${alert.device}`;

function drawAlerts() {
  const list = at("alerts");
  const had = document.activeElement;
  const lost = list.contains(had) ? had.closest("li") : null;
  const standing = new Map([...list.children].filter((each) => each.key).map((each) => [each.key, each]));
  const order = { firing: 0, pending: 1 };
  const gravity = ({ severity }) => ({ critical: 0, warning: 1 })[severity] ?? 2;
  const alerts = parts.alerts.toSorted((a, b) => order[a.state] - order[b.state] || quietened(a).length - quietened(b).length || gravity(a) - gravity(b) || a.since_s - b.since_s);
  const rows = alerts.map((alert) => {
    const key = alertKey(alert);
    const row = standing.get(key) ?? newAlert(key);
    const quiet = quietened(alert);
    row.alert = alert;
    row.dataset.state = alert.state;
    row.dataset.severity = alert.severity;
    row.toggleAttribute("data-quiet", quiet.length > 0);
    shape(row.querySelector("use"), alert.state === "firing" ? "alert" : "pending");
    write(row.querySelector(".state span"), alert.state);
    write(row.querySelector("strong"), alert.device ? `${alert.rule} (${alert.device})` : alert.rule);
    row.began = performance.now() - alert.since_s * 1000;
    write(row.querySelector(".message"), alert.message);
    write(row.querySelector(".quietened"), quietly(alert).trim());
    row.querySelector(".ack").hidden = alert.state !== "firing" || quiet.includes("acknowledged");
    return row;
  });
  if (rows.length) list.replaceChildren(...rows);
  else list.replaceChildren(element("li", { class: "calm" }, "Nothing fires."));
  if (lost && had.isConnected && !had.closest("[hidden]")) had.focus();
  else if (lost) (rows.includes(lost) ? lost.querySelector(".hush") : at("by")).focus(); // a keyboard stays where it was
  ageAlerts();
  at("silences").replaceChildren(...parts.silences.map(drawSilence));
}

function newAlert(key) {
  const row = copy("alert-template");
  row.key = key;
  row.querySelector(".ack").addEventListener("click", () => ask("ack", about(row.alert)));
  row.querySelector(".hush").addEventListener("click", () => openSilence(row.alert));
  return row;
}

const about = ({ rule, device }) => (device ? { rule, device } : { rule });

function ageAlerts() {
  for (const row of at("alerts").children) {
    if (row.alert) write(row.querySelector(".what span"), `${row.alert.severity} · for ${span((performance.now() - row.began) / 1000)}`);
  }
}

function drawSilence(silence) {
  const what = [silence.rule === "*" ? "all rules" : silence.rule, silence.device === "*" ? "" : silence.device, ...Object.entries(silence.labels).map(([key, each]) => `${key}=${each}`)];
  const button = element("button", { type: "button", "aria-label": `End the silence ${silence.name}` }, "End");
  button.addEventListener("click", () => ask("unsilence", { name: silence.name }));
  const by = silence.by ? ` by ${silence.by}` : "";
  return element("li", {}, element("span", {}, `Silenced${by}: ${what.filter(Boolean).join(", ")}, ${span(silence.left_s)} left`), button);
}

let toSilence = null;

function openSilence(alert) {
  toSilence = alert;
  write(at("silence-what"), `${alert.rule}${alert.device ? ` for ${alert.device}` : ""} is told to nobody meanwhile. It is still seen here.`);
  at("silence").showModal();
}

at("silence").addEventListener("close", () => {
  if (at("silence").returnValue === "yes" && toSilence) ask("silence", { ...about(toSilence), for: at("silence-for").value });
  at("silence").returnValue = "";
});

function takeHappened(list) {
  const history = at("history");
  for (const each of list) {
    const what = each.device ? `${each.rule} (${each.device})` : each.rule;
    history.prepend(element("li", {},
      element("time", { datetime: each.time }, moment(each.time)),
      element("span", { "data-state": each.state }, each.state),
      element("span", {}, element("strong", {}, what), each.message ? ` ${each.message}` : "", element("span", { class: "faint" }, quietly(each)))));
    if (each.state !== "pending") announce(`alert ${what} ${each.state}`);
  }
  while (history.children.length > MOST_LINES) history.lastChild.remove();
  if (!history.children.length) history.append(element("li", { class: "calm" }, "No alert since the gateway started to listen."));
  else if (history.children.length > 1) history.querySelector(".calm")?.remove();
}

// The rest.

function drawBrokers() {
  at("brokers").replaceChildren(...parts.brokers.map((each) => {
    const state = each.connected ? "online" : "offline";
    const shown = (count, what, much) => element("span", much && count ? { class: "much" } : {}, element("b", {}, figure(count)), ` ${what}`);
    return element("li", { "data-state": state },
      element("span", { class: "name" }, each.name, " ", element("span", { class: "url faint" }, each.url)),
      element("span", { class: "state" }, symbol(state), each.connected ? "connected" : "not connected"),
      element("span", { class: "figures" }, shown(each.waiting, "waiting", !each.connected), shown(each.acknowledged, "acknowledged"),
        ...(each.set_aside ? [shown(each.set_aside, "set aside", true)] : []), ...(each.evicted ? [shown(each.evicted, "forced out", true)] : [])));
  }));
}

function drawJournal() {
  const { journal } = parts;
  const state = at("journal-state");
  state.dataset.state = journal.trouble ? "offline" : "online";
  state.replaceChildren(symbol(journal.trouble ? "offline" : "online"), journal.trouble ? "in trouble" : "well");
  at("journal-fill").style.transform = `scaleX(${Math.min(1, journal.used ?? 0)})`;
  at("journal-fill").parentElement.toggleAttribute("data-much", journal.used > 0.8);
  const rows = [
    ["used", journal.used === null ? "not known" : `${(journal.used * 100).toFixed(1)} % of ${(journal.max_size / 1e6).toFixed(0)} MB`],
    ["recorded", figure(journal.recorded)],
    ["refused", figure(journal.refused)],
    ["where", journal.path ?? "in memory"],
    ...(journal.trouble ? [["trouble", journal.trouble]] : []),
  ];
  at("journal").replaceChildren(...rows.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

function drawRules() {
  const now = new Map();
  for (const { rule, state } of parts.alerts) now.set(rule, [...(now.get(rule) ?? []), state]);
  const said = (rule) => {
    if (!rule.enabled) return "switched off";
    const states = now.get(rule.name) ?? [];
    return ["firing", "pending"].map((each) => [states.filter((state) => state === each).length, each]).filter(([count]) => count).map(([count, each]) => (count > 1 ? `${count} ${each}` : each)).join(", ") || "quiet";
  };
  at("rules").replaceChildren(...parts.rules.map((rule) => element("tr", {},
    element("th", { scope: "row" }, rule.name), element("td", {}, said(rule)), element("td", {}, rule.severity),
    element("td", {}, element("code", {}, rule.when), rule.each.length ? ` for ${rule.each.join(", ") === "*" ? "each device" : rule.each.join(", ")}` : ""))));
  write(at("rules-count"), plural(parts.rules.length, "rule"));
}

function takeLog(lines) {
  const log = at("log");
  const below = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  for (const { time, level, text, trace } of lines) {
    const word = LEVELS.find(([least]) => level >= least)[1];
    const row = element("li", { "data-level": word }, element("time", { datetime: time }, moment(time)), " ", element("span", { class: "level" }, word), ` ${text}`);
    if (trace.length) row.append(element("span", { class: "trace" }, trace.join("\n")));
    log.append(row);
  }
  while (log.children.length > MOST_LINES) log.firstChild.remove();
  if (below) log.scrollTop = log.scrollHeight;
}

at("grave").addEventListener("change", () => at("log").toggleAttribute("data-grave", at("grave").checked));

function flat(table, path, sections) {
  const pairs = [];
  const nested = [];
  for (const [key, each] of Object.entries(table)) {
    if (each !== null && typeof each === "object" && !Array.isArray(each)) nested.push([key, each]);
    else if (each !== null) pairs.push([key, JSON.stringify(each)]);
  }
  if (pairs.length || !nested.length) sections.push([path, pairs]);
  for (const [key, each] of nested) flat(each, path ? `${path}.${key}` : key, sections);
  return sections;
}

async function loadConfiguration() {
  const answer = await fetch("api/configuration").catch(() => null);
  if (!answer?.ok) return;
  const { warnings, ...written } = await answer.json();
  const sections = flat(written, "", []);
  at("configuration").replaceChildren(
    ...warnings.map((each) => element("p", { class: "faint" }, each)),
    ...sections.map(([path, pairs]) => element("section", {}, element("h3", {}, `[${path}]`),
      element("dl", {}, ...pairs.flatMap(([key, text]) => [element("dt", {}, key), element("dd", {}, text)])))));
}

at("configuration-part").addEventListener("toggle", () => { if (at("configuration-part").open) loadConfiguration(); });

function drawGateway() {
  const { gateway, version, up_s: up, unready, clock: believed } = parts.gateway;
  write(at("gateway"), gateway);
  parts.began ??= performance.now() - up * 1000;
  write(at("about"), `Sallyport ${version} · up ${span((performance.now() - parts.began) / 1000)}${believed ? " · clock not synchronised" : ""}`);
  complain();
}

let refusal = "";             // of what was asked last
let forgetting = 0;

function complain(of) {
  if (of) {
    refusal = of;
    clearTimeout(forgetting);
    forgetting = setTimeout(() => { refusal = ""; complain(); }, 10000);
  }
  const { unready } = parts.gateway;
  const text = [unready && `The gateway is not well: ${unready}`, refusal].filter(Boolean).join(". ");
  write(at("trouble"), text);
  at("trouble").hidden = !text;
}

const news = [];

function announce(text) {
  if (!news.length) setTimeout(() => write(at("announcer"), news.splice(0).slice(-5).join(". ")), 1000);
  news.push(text);
}

// The stream.

const DRAW = {
  gateway: drawGateway, brokers: drawBrokers, journal: drawJournal, alerts: drawAlerts, silences: drawAlerts, rules: drawRules,
};

function take(event, whole) {
  if (whole) {
    parts.began = undefined;
    const there = new Set(event.devices.map((each) => each.name));
    for (const name of [...devices.keys()]) if (!there.has(name)) removeDevice(name);
    for (const device of devices.values()) device.sampled = -1;
    at("log").replaceChildren();
    at("history").replaceChildren();
    news.length = 0;
  }
  for (const name of event.gone ?? []) removeDevice(name);
  takeDevices(event.devices ?? []);
  if (event.sampled) {
    sampled = event.sampled;
    for (const device of devices.values()) device.sample(sampled);
    for (const device of visible) dirty.add(device);
  }
  const drawn = new Set();
  for (const name of Object.keys(DRAW)) {
    if (!(name in event)) continue;
    parts[name] = event[name];
    drawn.add(DRAW[name]);
  }
  if (drawn.has(drawAlerts)) drawn.add(drawRules);
  for (const draw of drawn) draw();
  if (event.log) takeLog(event.log);
  if (event.happened) takeHappened(event.happened);
  if (event.configured && event.configured !== configured) {
    configured = event.configured;
    if (at("configuration-part").open) loadConfiguration();
  }
  askForHistory();
  wake();
}

let source = null;

function link(state, word) {
  at("link").dataset.link = state;
  write(at("link-word"), word);
}

function open() {
  source?.close();
  source = new EventSource("api/events");
  source.addEventListener("open", () => link("live", "live"));
  source.addEventListener("whole", (event) => take(JSON.parse(event.data), true));
  source.addEventListener("change", (event) => take(JSON.parse(event.data), false));
  source.addEventListener("error", () => {
    link("lost", "no connection: trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(open, AGAIN_MS); // refused: a browser would not try again
  });
}

// Nobody looks at a page in the background: it leaves its place to others, and begins anew when it is seen.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) open();
  else { source?.close(); link("opening", "paused"); }
});

setInterval(() => {
  for (const device of visible) device.age();
  ageAlerts();
  if (parts.gateway.version) drawGateway();
}, 1000);

for (const id of ["filter", "attention"]) at(id).addEventListener("input", () => { filtered = true; wake(); });

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function theme(name) {
  const [sign, word] = THEMES[name];
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  at("theme").textContent = sign;
  at("theme").setAttribute("aria-label", `Colours: ${word}`);
  localStorage.setItem("theme", name);
}

at("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % names.length]);
});
theme(localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto");
open();

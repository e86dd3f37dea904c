// Requests the state of the gateway every second and shows it. Names that clients
// and servers chose are inserted as text, never as markup.

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
const LIMIT = 100;
const SPARKLINE_POINTS = 60;

const byId = (id) => document.getElementById(id);
const show = (id, text) => setText(byId(id), text);

function setText(node, text) {
  // An unchanged text is not replaced, which would lose the user's selection.
  if (node.textContent !== text) node.textContent = text;
}

const whole = new Intl.NumberFormat("en");
const count = (n) => whole.format(n);

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

function time(ms) {
  const at = new Date(ms);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? at.toLocaleTimeString() : at.toLocaleString();
}

const number = (text) => ({ text, kind: "number" });
const state = (text) => ({ text, kind: text === "up" ? "good" : "bad" });
const action = (text, run) => ({ text, kind: "action", run });

// A button in a cell of a table.
function setButton(td, text, run) {
  const button = td.querySelector("button") ?? td.appendChild(document.createElement("button"));
  button.type = "button";
  if (!button.dataset.asked) setText(button, text);
  button.onclick = run;
}

// Fills the body of a table; rows with the same key are reused. On a narrow screen each
// cell is labelled by the head of its column.
function fill(id, rows, key, cells) {
  const body = byId(id);
  const heads = [...body.parentElement.tHead.rows[0].cells].map((head) => head.textContent);
  const before = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach((data, index) => {
    const name = String(key(data));
    const row = before.get(name) ?? document.createElement("tr");
    before.delete(name);
    row.dataset.key = name;
    cells(data).forEach((cell, column) => {
      const { text, kind, run } = cell.text === undefined ? { text: cell, kind: "" } : cell;
      const td = row.cells[column] ?? row.insertCell();
      if (td.className !== kind) td.className = kind;
      td.dataset.label = heads[column];
      if (run === undefined) setText(td, text);
      else setButton(td, text, run);
    });
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
  while (body.rows.length > rows.length) body.lastElementChild.remove();
}

const question = { q: "", sort: "newest", offset: 0 };

function showConnections({ open, matched, rows }) {
  if (rows.length === 0 && question.offset > 0) {
    // Connections have ended, and this page is empty now.
    change({ offset: Math.max(0, Math.floor((matched - 1) / LIMIT)) * LIMIT });
    return;
  }
  fill("connections", rows, (row) => row.id, (row) => [
    row.peer,
    row.user ?? "–",
    row.device ?? "–",
    row.endpoint,
    time(row.since_ms),
    number(count(row.calls)),
    number(count(row.in_flight)),
    number(bytes(row.bytes_in)),
    number(bytes(row.bytes_out)),
  ]);
  const first = rows.length === 0 ? 0 : question.offset + 1;
  show("open", count(open));
  show("range", `${count(first)}–${count(question.offset + rows.length)} of ${count(matched)}`);
  byId("previous").disabled = question.offset === 0;
  byId("next").disabled = question.offset + rows.length >= matched;
}

// By route, what was answered when the page asked before.
let lastRoutes = new Map();

// The mean time of the answers since then; if there is none, since the start.
function meanTime(key, row) {
  const before = lastRoutes.get(key);
  const isNewer = before !== undefined && row.answered > before.answered;
  const answered = row.answered - (isNewer ? before.answered : 0);
  const time = row.answer_us - (isNewer ? before.answer_us : 0);
  if (answered === 0) return "–";
  const ms = time / answered / 1000;
  return ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}

function showTables({ backends, listeners, routes, drops, refusals }) {
  fill("backends", backends, (row) => `${row.endpoint} ${row.address}`, (row) => [
    row.endpoint, row.address, state(row.state), number(count(row.queued)),
  ]);
  fill("listeners", listeners, (row) => `${row.endpoint} ${row.address}`, (row) => [
    row.endpoint, row.address, number(count(row.connections)),
  ]);
  const routeKey = (row) => `${row.ifidx} ${row.from} ${row.to}`;
  fill("routes", routes, routeKey, (row) => [
    row.interface, number(String(row.ifidx)), row.from, row.to, number(count(row.calls)),
    number(meanTime(routeKey(row), row)),
  ]);
  lastRoutes = new Map(routes.map((row) => [routeKey(row), row]));
  const reason = (row) => [row.reason, number(count(row.count))];
  fill("drops", drops, (row) => row.reason, reason);
  fill("refusals", refusals, (row) => row.reason, reason);
}

let last = null;
const history = [];

// The rates between two answers, per second of the gateway's clock.
function showRates({ uptime_ms, totals }) {
  const passed = last === null ? 0 : uptime_ms - last.uptime_ms;
  if (passed > 0) {
    const rate = (name) => ((totals[name] - last.totals[name]) * 1000) / passed;
    show("calls_rate", count(Math.round(rate("calls"))));
    show("pushes_rate", count(Math.round(rate("pushes"))));
    show("bytes_in_rate", bytes(rate("bytes_in")));
    show("bytes_out_rate", bytes(rate("bytes_out")));
    history.push(rate("calls"));
    if (history.length > SPARKLINE_POINTS) history.shift();
    drawSparkline();
  } else if (passed < 0) {
    history.length = 0;
  }
  last = { uptime_ms, totals };
}

function drawSparkline() {
  const most = Math.max(1, ...history);
  const left = SPARKLINE_POINTS - history.length;
  const points = history.map((rate, index) => {
    const x = ((left + index) * 120) / (SPARKLINE_POINTS - 1);
    return `${x.toFixed(1)},${(29 - (28 * rate) / most).toFixed(1)}`;
  });
  byId("sparkline").firstElementChild.setAttribute("points", points.join(" "));
}

function showStatus(text, kind, reasons) {
  const status = byId("status");
  setText(status, text);
  status.className = `pill ${kind}`;
  const list = byId("reasons");
  if (list.textContent === reasons.join("")) return;
  list.replaceChildren(...reasons.map((reason) => {
    const item = document.createElement("li");
    item.textContent = reason;
    return item;
  }));
}

function showAll(now) {
  const { reasons } = now.readiness;
  showStatus(reasons.length === 0 ? "ready" : "not ready", reasons.length === 0 ? "good" : "bad", reasons);
  show("gateway", now.gateway);
  document.title = `${now.gateway} – TCE gateway`;
  show("about", `up ${duration(now.uptime_ms)}, version ${now.version}`);
  show("users", count(now.users));
  show("calls", count(now.totals.calls));
  show("in_flight", count(now.totals.in_flight));
  show("refused", count(now.totals.refused));
  show("dropped", count(now.drops.reduce((sum, row) => sum + row.count, 0)));
  showRates(now);
  showConnections(now.connections);
  showTables(now);
}

async function ask() {
  const parameters = new URLSearchParams({ ...question, limit: LIMIT });
  const answer = await fetch(`api/state?${parameters}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`the gateway answers ${answer.status}`);
  return answer.json();
}

// Users at all gateways: one user's sessions, or a page of all users.

const found = { users: [], cursor: "" };

async function get(path, parameters) {
  const query = new URLSearchParams(parameters);
  const answer = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  return result(answer);
}

async function result(answer) {
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the gateway answers ${answer.status}`);
  return body;
}

function showSessions(sessions) {
  const key = (row) => row.connection || `away ${row.gateway} ${row.device} ${row.since_ms}`;
  fill("sessions", sessions, key, (row) => [
    row.user,
    row.device || "–",
    row.gateway,
    row.address || "away",
    row.endpoint,
    time(row.since_ms),
    action("Disconnect", (event) => disconnect(event.target, row)),
  ]);
  show("found", `${count(sessions.length)} sessions`);
}

function showUsers() {
  fill("sessions", found.users.map((user) => ({ user })), (row) => `user ${row.user}`, (row) => [
    row.user, "", "", "", "", "", action("Sessions", () => findUser(row.user)),
  ]);
  show("found", `${count(found.users.length)} users${found.cursor === "" ? "" : ", and more"}`);
}

async function findUser(user) {
  byId("user").value = user;
  byId("more").hidden = true;
  try {
    byId("sessions").replaceChildren();
    if (user !== "") return showSessions(await get("api/sessions", { user }));
    Object.assign(found, { users: [], cursor: "" });
    await addUsers();
  } catch (error) {
    show("found", String(error.message));
  }
}

async function addUsers() {
  const page = await get("api/users", { cursor: found.cursor, limit: LIMIT });
  found.users = [...new Set([...found.users, ...page.users])];
  found.cursor = page.cursor;
  byId("more").hidden = page.cursor === "";
  showUsers();
}

// What takes the token. A browser sends it in a header, which no other site can do.

async function submit(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Authorization": `Bearer ${byId("token").value}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return result(answer);
}

// A first click asks, a second one within 3 s does it.
function isConfirmed(button, question) {
  const before = button.textContent;
  if (button.dataset.asked) return true;
  button.dataset.asked = "yes";
  setText(button, question);
  setTimeout(() => {
    delete button.dataset.asked;
    setText(button, before);
  }, 3000);
  return false;
}

async function disconnect(button, { user, device }) {
  if (!isConfirmed(button, "Really?")) return;
  try {
    const { disconnected } = await submit("api/disconnect", { user, device, reason: byId("reason").value });
    show("done", `${count(disconnected)} connections of ${user} closed`);
    await findUser(user);
  } catch (error) {
    show("done", String(error.message));
  }
}

async function reload() {
  show("done", "reloading");
  try {
    await submit("api/reload", {});
    show("done", "reloaded");
  } catch (error) {
    show("done", String(error.message));
  }
}

let asked = 0;

async function refresh() {
  // The answer to an outdated query is not shown.
  asked += 1;
  const mine = asked;
  try {
    const now = await ask();
    if (mine !== asked) return;
    document.body.classList.remove("stale");
    showAll(now);
  } catch (error) {
    if (mine !== asked) return;
    document.body.classList.add("stale");
    showStatus("no answer", "bad", [String(error.message)]);
  }
}

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, PERIOD_MS);
}

function change(changes) {
  Object.assign(question, changes);
  refresh();
}

byId("question").addEventListener("submit", (event) => event.preventDefault());
byId("q").addEventListener("input", (event) => change({ q: event.target.value, offset: 0 }));
byId("sort").addEventListener("change", (event) => change({ sort: event.target.value, offset: 0 }));
byId("previous").addEventListener("click", () => change({ offset: Math.max(0, question.offset - LIMIT) }));
byId("next").addEventListener("click", () => change({ offset: question.offset + LIMIT }));
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  findUser(byId("user").value.trim());
});
byId("more").addEventListener("click", () => addUsers().catch((error) => show("found", String(error.message))));
byId("operate").addEventListener("submit", (event) => {
  event.preventDefault();
  reload();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
keepFresh();

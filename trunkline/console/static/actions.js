// Actions: preview, ask, do, show what came of it. All text is put in as text.
import { refresh } from "./refresh.js";

const POLL_MS = 400;
const at = (id) => document.getElementById(id);
let running = null; // id of the job in the dialog
let pending = null; // what the confirm button does

export function startActions() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (button) begin(button.dataset.action, button.dataset.title, JSON.parse(button.dataset.body || "{}"));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-action]")) return;
    event.preventDefault();
    try {
      begin(form.dataset.action, form.dataset.title, { ...JSON.parse(form.dataset.body || "{}"), ...bodyOf(form) });
    } catch (error) {
      open(form.dataset.title);
      say(error.message, [], "problem");
    }
  });
  at("action-cancel").addEventListener("click", cancel);
  at("action-confirm").addEventListener("click", () => pending?.());
  at("action").addEventListener("close", closed);
}

// The fields of a form as the body's: data-type says how a text is read.
function bodyOf(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled) continue;
    const kind = field.dataset.type || field.type;
    if (kind === "checkbox") body[field.name] = field.checked;
    else if (kind === "radio") field.checked && (body[field.name] = field.value);
    else if (field.value === "" && !field.hasAttribute("data-keep-empty")) continue;
    else if (kind === "number") body[field.name] = Number(field.value);
    else if (kind === "list") body[field.name] = field.value.split(/[\s,]+/).filter(Boolean);
    else if (kind === "json") {
      try {
        body[field.name] = JSON.parse(field.value);
      } catch (error) {
        throw new Error(`${field.name} is no JSON: ${error.message}`);
      }
    } else body[field.name] = field.value;
  }
  return body;
}

async function begin(path, title, body) {
  open(title);
  say("Looking what it would do …");
  const answer = await post(`/api/${path}`, { ...body, dry_run: true });
  if (!answer) return;
  const preview = answer.preview;
  say(preview.summary, preview.details);
  const confirm = at("action-confirm");
  confirm.hidden = confirm.disabled = !preview.possible;
  confirm.textContent = preview.confirm;
  confirm.classList.toggle("danger", preview.danger);
  if (preview.possible) {
    pending = () => perform(path, body);
    confirm.focus();
  } else at("action-cancel").textContent = "Close";
}

async function perform(path, body) {
  noConfirm();
  say("Doing it …");
  let job = await post(`/api/${path}`, body);
  if (!job) return;
  running = job.state === "running" ? job.job : null;
  while (job && job.state === "running") {
    progress(job);
    await new Promise((done) => setTimeout(done, POLL_MS));
    job = await ask(`/api/jobs/${job.job}`);
  }
  running = null;
  if (job) end(job);
}

function end(job) {
  at("action-progress").hidden = true;
  at("action-cancel").textContent = "Close";
  at("action-cancel").focus();
  if (job.outcome) say(job.outcome.summary, job.outcome.details, job.outcome.failed ? "problem" : "");
  else say(job.error, [], "problem");
  at("action").dataset.changed = "yes";
}

function progress(job) {
  const bar = at("action-progress");
  bar.hidden = false;
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else bar.removeAttribute("value");
  say(job.doing || "Doing it …", job.total ? [`${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}`] : []);
  at("action-cancel").textContent = "Stop";
}

function open(title) {
  at("action-title").textContent = title;
  noConfirm();
  at("action-progress").hidden = true;
  at("action-cancel").textContent = "Cancel";
  if (!at("action").open) at("action").showModal();
}

// What was confirmed, or cannot be, is not asked for a second time.
function noConfirm() {
  pending = null;
  at("action-confirm").hidden = at("action-confirm").disabled = true;
}

function say(text, details = [], kind = "") {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  paragraph.className = kind;
  const list = document.createElement("ul");
  for (const detail of details) list.append(Object.assign(document.createElement("li"), { textContent: detail }));
  at("action-body").replaceChildren(paragraph, ...(details.length ? [list] : []));
}

async function cancel() {
  if (running) {
    await post(`/api/jobs/${running}/cancel`, {});
    return;
  }
  at("action").close();
}

function closed() {
  pending = null;
  if (at("action").dataset.changed) {
    delete at("action").dataset.changed;
    refresh();
  }
}

const post = (path, body) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

async function ask(path, options = {}) {
  try {
    const response = await fetch(path, { credentials: "same-origin", ...options });
    const body = await response.json();
    if (response.ok || body.job) return body; // a job that failed says so itself
    say(body.error?.message ?? `The server answered ${response.status}.`, [], "problem");
  } catch (error) {
    say(`The server does not answer (${error.message}). What was asked may have been done: look before you ask again.`, [], "problem");
  }
  at("action-cancel").textContent = "Close";
  return null;
}

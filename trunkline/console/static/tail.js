// A topic's live tail: rows as they come, by server-sent events. What others wrote is put in as text.
const MAX_ROWS = 200;
const started = new WeakSet();
let tails = [];

export function startTails() {
  for (const tail of tails) if (!tail.section.isConnected) tail.close("");
  tails = tails.filter((tail) => tail.section.isConnected);
  for (const section of document.querySelectorAll("[data-tail]")) {
    if (!started.has(section)) {
      started.add(section);
      tails.push(new Tail(section));
    }
  }
}

class Tail {
  constructor(section) {
    this.section = section;
    this.toggle = section.querySelector("[data-tail-toggle]");
    this.state = section.querySelector("[data-tail-state]");
    this.body = section.querySelector("tbody");
    this.wanted = false;
    this.skipped = 0;
    this.toggle.addEventListener("click", () => this.want(!this.wanted));
    section.querySelector("[data-tail-clear]").addEventListener("click", () => this.body.replaceChildren());
    // Nobody looks: nothing is read. What came meanwhile is not shown later, and that is said.
    document.addEventListener("visibilitychange", () => this.wanted && (document.hidden ? this.close("Paused while hidden.") : this.open()));
    addEventListener("pagehide", () => this.close(""));
  }

  want(wanted) {
    this.wanted = wanted;
    this.toggle.textContent = wanted ? "Pause" : "Go on";
    if (wanted) this.open();
    else this.close("Paused: what comes meanwhile is not shown here.");
  }

  open() {
    this.source?.close();
    this.section.querySelector(".scroll").hidden = false;
    this.say("Connecting …");
    this.source = new EventSource(this.section.dataset.tail);
    this.source.addEventListener("state", (event) => this.say(JSON.parse(event.data)));
    this.source.addEventListener("record", (event) => this.add(JSON.parse(event.data)));
    this.source.addEventListener("skipped", (event) => {
      this.skipped += JSON.parse(event.data);
      this.say(`${this.skipped.toLocaleString("en")} records left out: more came than one can read.`);
    });
    this.source.onerror = () => this.say("No connection; trying again …");
  }

  close(text) {
    this.source?.close();
    this.source = null;
    this.say(text);
  }

  say(text) {
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  add(record) {
    const row = document.createElement("tr");
    const link = Object.assign(document.createElement("a"), {
      href: `${this.section.dataset.record}/${record.partition}/${record.offset}`,
      textContent: record.offset,
    });
    const time = new Date(record.timestamp_ms);
    row.append(
      cell(record.partition, "num"),
      cell(link, "num"),
      cell(Number.isNaN(time.getTime()) ? record.timestamp_ms : `${time.toISOString().slice(0, 19).replace("T", " ")}Z`, "time"),
      cell(record.key ?? "no key", "foreign mono key"),
      cell(record.value ?? "null", "foreign mono wide"),
    );
    this.body.prepend(row);
    while (this.body.rows.length > MAX_ROWS) this.body.lastChild.remove();
    if (this.state.textContent === "Connecting …" || this.state.textContent.startsWith("Waiting")) this.say("Live.");
  }
}

function cell(content, kind) {
  const element = document.createElement("td");
  element.className = kind;
  element.append(content instanceof Node ? content : String(content));
  return element;
}

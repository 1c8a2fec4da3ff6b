// What the kafkajs contestants count: trunkline/bench/tally.py in JavaScript.
export const job = JSON.parse(process.argv[2]);

export const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

export const now = () => (performance.timeOrigin + performance.now()) / 1000; // Unix seconds

const SHARES = { p50_ms: 0.5, p99_ms: 0.99, p999_ms: 0.999 };

const percentiles = (lateMs) => {
  if (lateMs.length === 0) return {};
  const ordered = Float64Array.from(lateMs).sort();
  const at = (share) => ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * share))];
  const found = Object.entries(SHARES).map(([name, share]) => [name, at(share)]);
  const all = [...found, ["max_ms", ordered[ordered.length - 1]]];
  return Object.fromEntries(all.map(([name, value]) => [name, Math.round(value * 100) / 100]));
};

// Counts events by their numbers; says when the first comes, and when all have come.
export class Tally {
  constructor() {
    this.skipped = job.skipped ?? 0;
    this.seen = new Uint8Array(job.count);
    this.handled = 0;
    this.distinct = 0;
    this.lateMs = [];
  }

  event({ userId, email }) {
    const number = Number(userId);
    if (job.skipped !== undefined) {
      const lateMs = now() * 1000 - Number(email.slice(0, email.indexOf("@"))) / 1000;
      if (number < this.skipped) return;
      this.lateMs.push(lateMs);
    }
    this.handled += 1;
    if (this.handled === 1) say({ began_at: now(), began_with: 1 });
    if (this.seen[number] === 0) {
      this.seen[number] = 1;
      this.distinct += 1;
      if (this.distinct === job.count - this.skipped) say({ ended_at: now() });
    }
  }

  summary() {
    return { handled: this.handled, distinct: this.distinct, ...percentiles(this.lateMs) };
  }
}

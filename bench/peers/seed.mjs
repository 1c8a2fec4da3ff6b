// The seed's "DLQ Handling" on kafkajs: eachMessage, a retry map in memory, an awaited send to the
// dead letter topic, kafkajs' own auto-commit.
//
// node seed.mjs '{"servers", "topic", "dead_letters", "group", "count", "good", "retry"}'
//
// As it stands in the seed ("retry": "none") nothing is ever tried again: eachMessage returns, so
// kafkajs goes on to the next message and commits past this one. The map counts one failure of each
// event for ever, and no event reaches the dead letter topic: all that fail are lost. "inline" is
// the nearest that does what the seed means, and the fastest: the same code, run again until it
// says that it is through. (Throwing, so that kafkajs delivers the message again, fetches the
// partition anew for every retry, after a back-off, and is slower by far.)
//
// What a kill costs, with "inline" too: the counts (a killed pod starts at 0 again), and what was
// done since the last auto-commit (a fetch, thousands of events) is done again, dead letters
// included. A dead letter is its value alone: no key, no origin, no error.
//
// Not taken over: the console.log lines (they cost this contestant time), Math.random (whether an
// event fails stands in the event), and fromBeginning: false (the events are there already).
import { Kafka, logLevel } from "kafkajs";

const job = JSON.parse(process.argv[2]);
const kafka = new Kafka({
  clientId: "dlq-consumer",
  brokers: job.servers.split(","),
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({ groupId: job.group, sessionTimeout: 30000 });
const dlqProducer = kafka.producer();

const MAX_RETRIES = 3;
const failedMessages = new Map(); // Track retry attempts

const seen = new Uint8Array(job.count);
let handled = 0;
let distinct = 0;
let attempts = 0;
let delivered = 0;

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const now = () => (performance.timeOrigin + performance.now()) / 1000;

const processMessage = async (message) => {
  const { email } = JSON.parse(message);
  if (email.endsWith("@fails.example.com")) {
    attempts += 1;
    throw new Error("Processing Failed");
  }
  const number = Number(email.slice(4, email.indexOf("@")));
  handled += 1;
  if (seen[number] === 0) {
    seen[number] = 1;
    distinct += 1;
    if (distinct === job.good) say({ good_at: now() });
  }
};

const sendToDLQ = async (message) => {
  await dlqProducer.connect();
  await dlqProducer.send({
    topic: job.dead_letters,
    messages: [{ value: message }],
  });
};

// Returns whether the seed says "Retrying".
const attempt = async (msgValue) => {
  try {
    await processMessage(msgValue);
    failedMessages.delete(msgValue); // Reset retry count if success
  } catch (error) {
    // Track retries
    const retries = failedMessages.get(msgValue) || 0;
    if (retries < MAX_RETRIES) {
      failedMessages.set(msgValue, retries + 1);
      return true;
    }
    await sendToDLQ(msgValue); // Move to DLQ
    failedMessages.delete(msgValue);
  }
  return false;
};

await consumer.connect();
await consumer.subscribe({ topic: job.topic, fromBeginning: true });
await consumer.run({
  eachMessage: async ({ message }) => {
    if (delivered === 0) say({ began_at: now() });
    const msgValue = message.value?.toString() || "{}";
    let again = await attempt(msgValue);
    while (again && job.retry === "inline") again = await attempt(msgValue);
    delivered += 1;
    if (delivered === job.count) say({ through_at: now() });
  },
});

process.once("SIGTERM", async () => {
  const used = process.resourceUsage();
  await consumer.disconnect();
  await dlqProducer.disconnect();
  say({
    handled,
    distinct,
    attempts,
    cpu_s: Math.round((used.userCPUTime + used.systemCPUTime) / 1000) / 1000,
    rss_mb: Math.round(used.maxRSS / 102.4) / 10,
  });
});

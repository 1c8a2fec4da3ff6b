// kafkajs 2.2 as its documentation has it: eachMessage, and eachBatch for speed.
//
// node kafkajs_read.mjs '{"servers", "topic", "group", "count", "kind"}'
//
// "commit": eachMessage with autoCommit off, and the next offset committed after each message, as
// in the seed. "auto": eachMessage with kafkajs' own auto-commit (a fetch at a time). "batch":
// eachBatch with resolveOffset and heartbeat for each message, as its documentation's example has
// it, and auto-commit.
import { Kafka, logLevel } from "kafkajs";
import { Tally, job, say } from "./tally.mjs";

const tally = new Tally();
const kafka = new Kafka({
  clientId: "bench",
  brokers: job.servers.split(","),
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({ groupId: job.group, sessionTimeout: 30000 });

const handle = async (event) => tally.event(event);

const eachMessage = async ({ message }) => {
  await handle(JSON.parse(message.value.toString()));
};

const eachMessageCommitted = async ({ topic, partition, message }) => {
  await handle(JSON.parse(message.value.toString()));
  await consumer.commitOffsets([
    { topic, partition, offset: (Number(message.offset) + 1).toString() },
  ]);
};

const eachBatch = async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
  for (const message of batch.messages) {
    if (!isRunning() || isStale()) break;
    await handle(JSON.parse(message.value.toString()));
    resolveOffset(message.offset);
    await heartbeat();
  }
};

const ways = {
  commit: { autoCommit: false, eachMessage: eachMessageCommitted },
  auto: { eachMessage },
  batch: { eachBatchAutoResolve: true, eachBatch },
};

await consumer.connect();
await consumer.subscribe({ topic: job.topic, fromBeginning: true });
await consumer.run(ways[job.kind]);

process.once("SIGTERM", async () => {
  await consumer.disconnect();
  say(tally.summary());
});

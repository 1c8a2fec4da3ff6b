// kafkajs 2.2's idempotent producer, acks: -1, as its documentation has it.
//
// node kafkajs_publish.mjs '{"servers", "topic", "first", "count", "size", "kind"}'
//
// "bulk": send with `size` messages, one call after the other. "single": `size` loops, each of
// which awaits the acknowledgement of one event after the other.
import { Kafka, logLevel } from "kafkajs";
import { job, now, say } from "./tally.mjs";

const kafka = new Kafka({
  clientId: "bench",
  brokers: job.servers.split(","),
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });

const message = (number) => ({
  key: `${number}`,
  value: JSON.stringify({ userId: `${number}`, email: `user${number}@example.com` }),
});

const send = (messages) => producer.send({ topic: job.topic, acks: -1, messages });

const bulk = async () => {
  const end = job.first + job.count;
  for (let start = job.first; start < end; start += job.size) {
    const length = Math.min(job.size, end - start);
    await send(Array.from({ length }, (_, index) => message(start + index)));
  }
};

const single = async () => {
  let next = job.first;
  const end = job.first + job.count;
  const oneAfterTheOther = async () => {
    while (next < end) await send([message(next++)]);
  };
  await Promise.all(Array.from({ length: job.size }, oneAfterTheOther));
};

await producer.connect();
say({ began_at: now() });
await { bulk, single }[job.kind]();
say({ ended_at: now() });
await producer.disconnect();

// kafkajs 2.2's idempotent producer, acks: -1, as its documentation has it.
//
// node kafkajs_publish.mjs '{"servers", "topic", "first", "count", "size", "at_once"}'
//
// `at_once` loops, each of which awaits the acknowledgement of one `send` with `size` messages after
// the other.
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

const end = job.first + job.count;
let next = job.first;

const oneAfterTheOther = async () => {
  while (next < end) {
    const start = next;
    next = Math.min(start + job.size, end);
    await send(Array.from({ length: next - start }, (_, index) => message(start + index)));
  }
};

await producer.connect();
say({ began_at: now() });
await Promise.all(Array.from({ length: job.at_once }, oneAfterTheOther));
say({ ended_at: now() });
await producer.disconnect();

// Read COUNT CloudEvents with their own SDK, over kafkajs. Output: [{"id", "source", …, "data"}, …]
import { Kafka as Binding } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const [brokers, topic, count, groupId] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "db-server", brokers: brokers.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId });
const found = [];

await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await new Promise((resolve) =>
  consumer.run({
    eachMessage: async ({ message }) => {
      const headers = Object.fromEntries(
        Object.entries(message.headers).map(([name, value]) => [name, value.toString()]),
      );
      const text = message.value.toString();
      const isBinary = "ce_id" in headers;
      // The SDK takes a binary message's value as it is, a structured one's as text.
      const value = isBinary ? JSON.parse(text) : text;
      const event = Binding.toEvent({ headers, key: message.key?.toString(), value, body: value });
      found.push({ mode: isBinary ? "binary" : "structured", ...event.toJSON() });
      if (found.length === Number(count)) resolve();
    },
  }),
);
await consumer.disconnect();
console.log(JSON.stringify(found));

// Publish CloudEvents with their own SDK, over kafkajs.
// Input on stdin: [{"mode": "binary" | "structured", "event": {…}, "partition"}, …].
import { readFileSync } from "node:fs";
import { CloudEvent, Kafka as Binding } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const [brokers, topic] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "auth-service", brokers: brokers.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer();

await producer.connect();
for (const { mode, event, partition } of JSON.parse(readFileSync(0, "utf8"))) {
  const { key, value, headers } = Binding[mode](new CloudEvent(event));
  const text = typeof value === "string" ? value : JSON.stringify(value);
  // What an event does not have is undefined in the SDK's headers, which kafkajs cannot send.
  const given = Object.fromEntries(Object.entries(headers).filter(([, text]) => text !== undefined));
  await producer.send({ topic, messages: [{ key, value: text, headers: given, partition }] });
}
await producer.disconnect();
console.log("{}");

// Publish as the seed does: plain JSON, with a key or without one.
// Input on stdin: [{"key": string | null, "value": string}, …]; output: [{"partition", "offset"}, …]
// of each message, in order.
import { readFileSync } from "node:fs";
import { Kafka, Partitioners, logLevel } from "kafkajs";

const [brokers, topic] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "auth-service", brokers: brokers.split(","), logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });

await producer.connect();
const places = [];
for (const message of JSON.parse(readFileSync(0, "utf8"))) {
  const [sent] = await producer.send({ topic, messages: [message] });
  places.push({ partition: sent.partition, offset: sent.baseOffset });
}
await producer.disconnect();
console.log(JSON.stringify(places));

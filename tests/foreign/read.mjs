// Read as the seed does, from the beginning, until COUNT messages are there.
// Output: [{"partition", "offset", "key", "value", "headers"}, …]
import { Kafka, logLevel } from "kafkajs";

const [brokers, topic, count, groupId] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "db-server", brokers: brokers.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId });
const found = [];

await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await new Promise((resolve) =>
  consumer.run({
    eachMessage: async ({ partition, message }) => {
      found.push({
        partition,
        offset: message.offset,
        key: message.key?.toString() ?? null,
        value: message.value?.toString() ?? null,
        headers: Object.keys(message.headers ?? {}),
      });
      if (found.length === Number(count)) resolve();
    },
  }),
);
await consumer.disconnect();
console.log(JSON.stringify(found));

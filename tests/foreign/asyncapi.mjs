// Give AsyncAPI documents to AsyncAPI's own parser. Input on stdin: a JSON array of their texts.
// Output, for each: {"problems": ["path: message", …], "channels": count, "operations": count};
// errors and warnings are problems.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const WARNING = 1;
const parser = new Parser();
const results = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const { document, diagnostics } = await parser.parse(text);
  results.push({
    problems: diagnostics
      .filter((found) => found.severity <= WARNING)
      .map((found) => `${found.path.join(".")}: ${found.message}`),
    channels: document?.channels().all().length ?? 0,
    operations: document?.operations().all().length ?? 0,
  });
}
console.log(JSON.stringify(results));

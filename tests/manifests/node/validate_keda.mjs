// Read KEDA resources as a JSON array; print why each that is not valid is refused, as a JSON array.
import { ScaledObject, TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { readFileSync } from "node:fs";

const kinds = { ScaledObject, TriggerAuthentication };
const refusals = [];
for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    new kinds[resource.kind](resource).validate();
  } catch (error) {
    refusals.push(`${resource.kind} ${resource.metadata.name}: ${error.message}`);
  }
}
console.log(JSON.stringify(refusals));

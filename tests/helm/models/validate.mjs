// Reads a JSON list of manifests; writes for each what is wrong with it, "" where nothing is, null where no model knows it.
import { readFileSync } from "node:fs";

const PACKAGES = {
  "cert-manager.io": "@kubernetes-models/cert-manager",
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

async function problem(manifest) {
  const [group, version] = manifest.apiVersion.split("/");
  if (!PACKAGES[group]) return null;
  const models = await import(`${PACKAGES[group]}/${group}/${version}`);
  const Model = models[manifest.kind];
  if (!Model) return null;
  try {
    new Model(manifest).validate();
    return "";
  } catch (error) {
    return error.message || "not valid";
  }
}

const found = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) found.push(await problem(manifest));
process.stdout.write(JSON.stringify(found));

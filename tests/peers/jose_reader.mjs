// Reads the tokens on standard input with the npm package jose, whose entry point is the first argument; prints what
// it accepted: claims, or null.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { argv, stderr, stdin, stdout } from "node:process";
import { pathToFileURL } from "node:url";

const entry = resolve(argv[2]);
const { createLocalJWKSet, jwtVerify } = await import(pathToFileURL(entry));
const { name, version } = JSON.parse(readFileSync(resolve(dirname(entry), "../../package.json")));

let text = "";
for await (const chunk of stdin) text += chunk;
const asked = JSON.parse(text);
const keys = createLocalJWKSet(asked.jwks);

const answers = [];
for (const { name, token, audience } of asked.cases) {
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ["EdDSA"],
      audience,
      issuer: asked.issuer,
      typ: "eat+jwt",
      requiredClaims: ["exp", "nbf", "iat", "jti"],
    });
    answers.push(payload);
  } catch (refusal) {
    stderr.write(`jose ${name}: ${refusal.code ?? refusal}\n`);
    answers.push(null);
  }
}
stdout.write(JSON.stringify({ [`${name} ${version}`]: answers }));

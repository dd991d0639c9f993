// rate-limit-redis: five requests for each user of an express application.

import express from "express";
import { rateLimit } from "express-rate-limit";
import { RedisStore } from "rate-limit-redis";
import { createClient } from "redis";
import * as job from "./job.mjs";

const client = createClient({ url: job.URL });
client.on("error", (error) => console.error(`client: ${error.message}`));
await client.connect();
const app = express();
app.use(
  rateLimit({
    windowMs: 3_600_000,
    limit: 5,
    keyGenerator: (request) => request.query.user,
    store: new RedisStore({ sendCommand: (...words) => client.sendCommand(words) }),
  }),
);
app.get("/", (request, response) => response.send("allowed"));
const server = app.listen(0, job.HOST);
await new Promise((done) => server.once("listening", done));

async function step(n) {
  const got = [];
  for (let i = 0; i < 6; i += 1) {
    got.push((await fetch(`http://${job.HOST}:${server.address().port}/?user=${n}`)).status);
  }
  job.check(`${got}` === "200,200,200,200,200,429", `the statuses are ${got}`);
}

await job.run(step);

// connect-redis: logins and a counter in sessions of express-session.

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";
import * as job from "./job.mjs";

const client = createClient({ url: job.URL });
client.on("error", (error) => console.error(`client: ${error.message}`));
await client.connect();
const app = express();
app.use(
  session({
    store: new RedisStore({ client }),
    secret: "of no one",
    resave: false,
    saveUninitialized: false,
  }),
);
app.get("/login/:user", (request, response, next) =>
  request.session.regenerate((error) => {
    if (error) return next(error);
    Object.assign(request.session, { user: request.params.user, visits: 0 });
    return response.send("in");
  }),
);
app.get("/visit", (request, response) => {
  request.session.visits += 1;
  response.send(`${request.session.user} ${request.session.visits}`);
});
const server = app.listen(0, job.HOST);
await new Promise((done) => server.once("listening", done));
const site = `http://${job.HOST}:${server.address().port}`;
const cookies = new Map();

async function visit(cookie) {
  const response = await fetch(`${site}/visit`, { headers: { cookie } });
  return response.text();
}

async function step(n) {
  const response = await fetch(`${site}/login/${n}`);
  job.check(response.status === 200, `the status is ${response.status}`);
  const cookie = response.headers.get("set-cookie").split(";")[0];
  for (const visits of [1, 2]) {
    const page = await visit(cookie);
    job.check(page === `${n} ${visits}`, `the page is ${page}`);
  }
  cookies.set(n, cookie);
}

async function verify() {
  for (const [n, cookie] of cookies) {
    const page = await visit(cookie);
    job.check(page === `${n} 3`, `the page of ${n} is ${page}`);
  }
}

await job.run(step, verify);

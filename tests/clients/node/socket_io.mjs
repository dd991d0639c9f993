// socket.io: broadcasts between two servers. The argument is the adapter: plain, sharded, streams.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import * as job from "./job.mjs";

const { dependencies } = createRequire(import.meta.url)("./package.json");
const library = await import(Object.keys(dependencies)[0]);
const kind = process.argv[2];

async function connect() {
  const client = createClient({ url: job.URL });
  client.on("error", (error) => console.error(`client: ${error.message}`));
  return client.connect();
}

async function adapter() {
  if (kind === "streams") return library.createAdapter(await connect());
  const [publisher, subscriber] = [await connect(), await connect()];
  const create = kind === "sharded" ? library.createShardedAdapter : library.createAdapter;
  return create(publisher, subscriber);
}

async function serve() {
  const http = createServer();
  const server = new Server(http, { adapter: await adapter() });
  server.on("connection", (socket) => socket.join("room"));
  await new Promise((done) => http.listen(0, job.HOST, done));
  const browser = io(`http://${job.HOST}:${http.address().port}`, { transports: ["websocket"] });
  const received = new Set();
  browser.on("news", (n) => received.add(n));
  await new Promise((done) => browser.on("connect", done));
  return { server, received };
}

const [a, b] = [await serve(), await serve()];

async function step(n) {
  a.server.to("room").emit("news", n);
  await job.waitFor("broadcast", () => a.received.has(n) && b.received.has(n), 3_000);
  if (n % 20 === 0) {
    const sockets = await b.server.in("room").fetchSockets();
    job.check(sockets.length === 2, `${sockets.length} sockets`);
  }
}

await job.run(step);

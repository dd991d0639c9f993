// redlock: locks that exclude one another, extended and released.

import { Redis } from "ioredis";
import Redlock from "redlock";
import * as job from "./job.mjs";

const client = new Redis({ host: job.HOST, port: job.PORTS[0] });
client.on("error", (error) => console.error(`client: ${error.message}`));
const patient = new Redlock([client], { retryCount: 20, retryDelay: 50 });
const hasty = new Redlock([client], { retryCount: 0 });
patient.on("clientError", (error) => console.error(`redlock: ${error.message}`));

async function step(n) {
  let lock = await patient.lock(`lock:${n}`, 5_000);
  const second = await hasty.lock(`lock:${n}`, 5_000).then(
    () => "obtained",
    () => "refused",
  );
  job.check(second === "refused", "two hold the lock");
  lock = await lock.extend(5_000);
  await lock.unlock();
  await (await hasty.lock(`lock:${n}`, 5_000)).unlock();
}

await job.run(step);

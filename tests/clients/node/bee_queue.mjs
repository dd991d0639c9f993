// bee-queue: jobs with results and delays, by workers in this process.

import Queue from "bee-queue";
import * as job from "./job.mjs";

const settings = {
  redis: { host: job.HOST, port: job.PORTS[0] },
  activateDelayedJobs: true,
  stallInterval: 5_000,
};
const queue = new Queue("sums", settings);
const workers = new Queue("sums", settings);
for (const part of [queue, workers]) {
  part.on("error", (error) => console.error(`bee-queue: ${error.message}`));
}
workers.process(4, async ({ data }) => data.a + data.b);

function result(one) {
  return new Promise((resolve, reject) => {
    one.on("succeeded", resolve);
    one.on("failed", reject);
    one.save().catch(reject);
  });
}

async function step(n) {
  const got = await job.bounded(result(queue.createJob({ a: n, b: 1 }).retries(2)), 15_000);
  job.check(got === n + 1, `the result is ${got}`);
  if (n % 10 === 0) {
    const later = queue.createJob({ a: n, b: 2 }).delayUntil(Date.now() + 50);
    job.check((await job.bounded(result(later), 15_000)) === n + 2, "the result of a later job");
  }
}

await job.run(step);

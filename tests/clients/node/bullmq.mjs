// BullMQ: jobs with results, delays, priorities and children, by workers in this process.

import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import * as job from "./job.mjs";

const connection = { host: job.HOST, port: job.PORTS[0], maxRetriesPerRequest: null };
const queue = new Queue("sums", { connection });
const events = new QueueEvents("sums", { connection });
const flows = new FlowProducer({ connection });
const worker = new Worker("sums", async ({ data }) => data.a + data.b, {
  connection,
  concurrency: 4,
  stalledInterval: 5_000,
});
for (const part of [queue, events, worker, flows]) {
  part.on("error", (error) => console.error(`bullmq: ${error.message}`));
}
await events.waitUntilReady();

async function step(n) {
  const one = await queue.add("sum", { a: n, b: 1 }, { attempts: 3 });
  const got = await one.waitUntilFinished(events, 15_000);
  job.check(got === n + 1, `the result is ${got}`);
  if (n % 5 === 0) {
    const later = await queue.add("sum", { a: n, b: 2 }, { delay: 50, priority: 3 });
    job.check((await later.waitUntilFinished(events, 15_000)) === n + 2, "the result of a later job");
    const children = [1, 2].map((b) => ({ name: "sum", queueName: "sums", data: { a: n, b } }));
    const parent = { name: "sum", queueName: "sums", data: { a: n, b: 3 }, children };
    const flow = await flows.add(parent);
    job.check((await flow.job.waitUntilFinished(events, 15_000)) === n + 3, "the result of a flow");
  }
}

await job.run(step);

// rate-limiter-flexible: five points for each user, and a block after them.

import { Redis } from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import * as job from "./job.mjs";

const storeClient = new Redis({ host: job.HOST, port: job.PORTS[0] });
storeClient.on("error", (error) => console.error(`client: ${error.message}`));
const limiter = new RateLimiterRedis({ storeClient, points: 5, duration: 600, blockDuration: 600 });

async function step(n) {
  for (let left = 4; left >= 0; left -= 1) {
    const { remainingPoints } = await limiter.consume(`user:${n}`);
    job.check(remainingPoints === left, `${remainingPoints} points left, not ${left}`);
  }
  const refused = await limiter.consume(`user:${n}`).then(
    () => null,
    (reason) => reason,
  );
  job.check(refused?.msBeforeNext > 500_000, `the sixth is not refused: ${refused}`);
  if (n % 5 === 0) await limiter.delete(`user:${n}`);
}

await job.run(step);

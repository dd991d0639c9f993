"""Flask-Limiter: three strategies, five requests each per user."""

from flask import Flask, request
from flask_limiter import Limiter

import job

app = Flask("limits")
for strategy in ("fixed-window", "moving-window", "sliding-window-counter"):
    limiter = Limiter(
        lambda: request.args["user"], storage_uri=job.URL, strategy=strategy, app=app,
        key_prefix=strategy,
    )
    path = f"/{strategy}"
    app.add_url_rule(path, path, limiter.limit("5/hour")(lambda: "allowed"))


def step(n):
    browser = app.test_client()
    for strategy in ("fixed-window", "moving-window", "sliding-window-counter"):
        got = [browser.get(f"/{strategy}?user={n}").status_code for _ in range(6)]
        job.check(got == [200] * 5 + [429], f"{strategy}: {got}")


app.testing = True
job.run(step)

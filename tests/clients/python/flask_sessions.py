"""Flask-Session: logins and a counter in the session."""

import redis
from flask import Flask, session
from flask_session import Session

import job

app = Flask("sessions")
app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(port=job.PORTS[0]))
Session(app)


@app.get("/login/<user>")
def login(user):
    session["user"], session["visits"] = user, 0
    return user


@app.get("/visit")
def visit():
    session["visits"] += 1
    return f"{session['user']} {session['visits']}"


@app.get("/logout")
def logout():
    session.clear()
    return "gone"


browsers = {}


def step(n):
    browser = app.test_client()
    browser.get(f"/login/{n}")
    for visits in (1, 2):
        page = browser.get("/visit")
        job.check(page.text == f"{n} {visits}", f"the page is {page.text!r}")
    browsers[n] = browser
    if n % 4 == 0:
        job.check(browsers.pop(n).get("/logout").text == "gone", "logged out")


def verify():
    for n, browser in browsers.items():
        page = browser.get("/visit")
        job.check(page.text == f"{n} 3", f"the page of {n} is {page.text!r}")


app.testing = True
job.run(step, verify)

"""Django: its cache and its sessions."""

import django
from django.conf import settings

import job

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": job.URL,
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    INSTALLED_APPS=["django.contrib.sessions"],
    SECRET_KEY="of no one",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

sessions = {}


def step(n):
    cache.set(f"key:{n}", {"n": n}, timeout=600)
    job.check(cache.get(f"key:{n}") == {"n": n}, "get returns what was set")
    cache.set_many({f"many:{n}:{i}": i for i in range(5)})
    got = cache.get_many([f"many:{n}:{i}" for i in range(5)])
    job.check(len(got) == 5, f"get_many found {got}")
    cache.get_or_set("count", 0)
    cache.incr("count")
    job.check(cache.add(f"key:{n}", 1) is False, "add of a key that exists")
    cache.delete_many([f"many:{n}:{i}" for i in range(5)])
    session = SessionStore()
    session["user"] = n
    session.save()
    session.cycle_key()
    session.save()
    sessions[session.session_key] = n


def verify():
    for key, user in sessions.items():
        got = SessionStore(session_key=key).get("user")
        job.check(got == user, f"the session of user {user} is of {got}")


job.run(step, verify)

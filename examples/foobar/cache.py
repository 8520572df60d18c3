"""The cache: the list of entries as HTML, for a few seconds. No request fails because of it."""

import os

import redis

from breaker import Breaker

SECONDS = 3
# Another release may render the list in another way.
KEY = f"front:{os.environ.get('STOA_RELEASE', '')}"

_breaker = Breaker(seconds=1.0)
_url = os.environ.get("CACHE_URL", "")
_client = None
if _url.startswith(("redis://", "unix://")):
    _client = redis.Redis.from_url(_url, socket_connect_timeout=0.1, socket_timeout=0.1, decode_responses=True)


def front_page():
    """The list as it was kept, or `None`."""
    return _try(lambda client: client.get(KEY))


def keep_front_page(html):
    _try(lambda client: client.set(KEY, html, ex=SECONDS))


def drop_front_page():
    _try(lambda client: client.delete(KEY))


def _try(work):
    if _client is None or not _breaker.allows():
        return None
    try:
        return work(_client)
    except redis.RedisError:
        _breaker.failed()
        return None

"""A guestbook: a page, a form, an upload. Which instance and release answered stands in the footer."""

import os
import re
import time
import uuid
from pathlib import Path

from flask import Flask, abort, jsonify, make_response, redirect, render_template, request, send_from_directory, url_for

import cache
import database

HERE = Path(__file__).resolve().parent
UPLOADS = HERE / "uploads"
INSTANCE = os.environ.get("STOA_INSTANCE", "app-0")
RELEASE = os.environ.get("STOA_RELEASE", "unreleased")
# A visitor who has just written reads from the primary for this long: replicas lag by less.
FRESH_SECONDS = 5
STYLE = next((HERE / "static").glob("style.*.css")).name
# What a picture begins with decides what it is; its name and its declared type are the visitor's claim.
PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF87a": "gif", b"GIF89a": "gif"}

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 4 << 20


@app.get("/")
def front():
    """The page. Its entries come from the cache, unless the visitor has just written."""
    fresh = "fresh" in request.cookies
    entries = None if fresh else cache.front_page()
    if entries is None:
        rows = database.latest(50, primary=fresh)
        entries = render_template("entries.html", entries=rows)
        if not fresh:
            cache.keep_front_page(entries)
    page = render_template("page.html", entries=entries, style=STYLE, token=uuid.uuid4().hex)
    response = make_response(page)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@app.post("/")
def sign():
    """A new entry from the form."""
    name, message = checked(request.form.get("name"), request.form.get("message"))
    picture = saved(request.files.get("picture"))
    database.add(request_key(request.form.get("token")), name, message, picture)
    cache.drop_front_page()
    response = redirect(url_for("front"), 303)
    response.set_cookie("fresh", "1", max_age=FRESH_SECONDS, httponly=True, samesite="Lax")
    return response


@app.get("/uploads/<name>")
def upload(name):
    """A picture as it was uploaded; its name never changes its content."""
    response = send_from_directory(UPLOADS, name, max_age=31_536_000)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@app.get("/api/entries")
def entries():
    """Entries as JSON: the latest, or those after an id in order; `?from=primary` sees every write."""
    after = request.args.get("after", type=int)
    limit = min(max(request.args.get("limit", 50, type=int), 1), 1000)
    primary = request.args.get("from") == "primary"
    rows = database.latest(limit, primary) if after is None else database.following(after, limit, primary)
    return jsonify(entries=[{**row, "at": row["at"].isoformat() + "Z"} for row in rows])


@app.post("/api/entries")
def add_entry():
    """A new entry from JSON; answers with its id once it is committed."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        abort(400, "send a JSON object with name and message")
    name, message = checked(body.get("name"), body.get("message"))
    number = database.add(request_key(body.get("token")), name, message, None)
    cache.drop_front_page()
    return jsonify(id=number, instance=INSTANCE, release=RELEASE), 201


@app.get("/slow")
def slow():
    """An answer that takes its time, for drains and time-outs."""
    span = min(max(request.args.get("ms", 1000, type=int), 0), 30_000)
    time.sleep(span / 1000)
    return plain(f"slept {span} ms\n")


@app.get("/healthz")
def healthz():
    """This process answers. Database and cache have checks of their own: their failure is not its."""
    return plain("ok\n")


@app.errorhandler(database.Unavailable)
def unavailable(_):
    response = plain("The database does not answer. Please try again in a moment.\n", 503)
    response.headers["Retry-After"] = "1"
    return response


@app.after_request
def sign_response(response):
    response.headers["X-App-Instance"] = INSTANCE
    response.headers["X-App-Release"] = RELEASE
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Content-Security-Policy"] = "default-src 'self'; form-action 'self'; frame-ancestors 'none'"
    return response


@app.context_processor
def server():
    return {"instance": INSTANCE, "release": RELEASE}


def plain(text, status=200):
    response = make_response(text, status)
    response.mimetype = "text/plain"
    return response


def checked(name, message):
    """Both texts trimmed, or a 400."""
    if not isinstance(name, str) or not isinstance(message, str):
        abort(400, "name and message are needed")
    name, message = name.strip(), message.strip()
    if not 1 <= len(name) <= 60 or not 1 <= len(message) <= 1000:
        abort(400, "a name has 1 to 60 characters, a message 1 to 1000")
    return name, message


def request_key(token):
    """What makes a repeated request the same one; a form sent twice is one entry."""
    return token if isinstance(token, str) and re.fullmatch(r"[0-9A-Za-z-]{8,64}", token) else uuid.uuid4().hex


def saved(file):
    """The name that the uploaded picture has from now on; `None` where there was none."""
    if file is None or not file.filename:
        return None
    content = file.read()
    kind = next((kind for start, kind in PICTURES.items() if content.startswith(start)), None)
    if kind is None:
        abort(415, "a picture is a PNG, JPEG or GIF")
    UPLOADS.mkdir(exist_ok=True)
    name = f"{uuid.uuid4().hex}.{kind}"
    unfinished = UPLOADS / f".{name}"
    unfinished.write_bytes(content)
    unfinished.rename(UPLOADS / name)
    return name

"""The database: one address. Behind it writes go to the primary and reads to the replicas."""

import os
import threading
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.constants import CR
from pymysql.cursors import DictCursor

COLUMNS = "id, name, message, picture, at"
SERVER_SHUTDOWN, CONNECTION_KILLED = 1053, 1927
# The connection is of no use any more; the same statement may well succeed on a new one.
LOST = {
    0,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_CONNECTION_ERROR,
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    SERVER_SHUTDOWN,
    CONNECTION_KILLED,
}


class Unavailable(Exception):
    """The database does not answer."""


def settings(url):
    """How the server at `url` is connected to."""
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": parts.path.lstrip("/"),
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": 2,
        "read_timeout": 10,
        "write_timeout": 10,
        "init_command": "SET time_zone = '+00:00'",
        "cursorclass": DictCursor,
    }


class Server:
    """One database server; every thread has its own connection to it."""

    def __init__(self, url):
        self.settings = settings(url)
        self.local = threading.local()

    def run(self, statement, values=()):
        """The rows and the last id of `statement`, tried once more where the connection was lost."""
        try:
            return self._run_once(statement, values)
        except pymysql.MySQLError as error:
            if not is_lost(error):
                raise
        return self._run_once(statement, values)

    def _run_once(self, statement, values):
        connection = getattr(self.local, "connection", None)
        try:
            if connection is None:
                connection = self.local.connection = pymysql.connect(**self.settings)
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall(), cursor.lastrowid
        except BaseException:
            # Whatever it was, an answer may still be under way: this connection is not used again.
            self.local.connection = None
            if connection is not None:
                connection._force_close()
            raise


_database = Server(os.environ["DATABASE_URL"])


def is_lost(error):
    return isinstance(error, (pymysql.OperationalError, pymysql.InterfaceError)) and error.args[0] in LOST


def add(token, name, message, picture):
    """Commits an entry and returns its id. The token makes it safe to try again: a lost connection does
    not tell whether the statement before it was committed."""
    statement = (
        "INSERT INTO entries (token, name, message, picture) VALUES (%s, %s, %s, %s)"
        " ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)"
    )
    _, number = _run(statement, (token, name, message, picture))
    return number


def latest(limit, primary):
    """The newest entries, newest first."""
    return _read(f"SELECT {COLUMNS} FROM entries ORDER BY id DESC LIMIT %s", (limit,), primary)


def following(after, limit, primary):
    """Entries with an id above `after`, in order."""
    return _read(f"SELECT {COLUMNS} FROM entries WHERE id > %s ORDER BY id LIMIT %s", (after, limit), primary)


def _read(statement, values, primary):
    # A connection always reads what it wrote itself. What another one wrote a moment ago is certain to be
    # seen on the primary, which this comment asks for.
    hint = "/* stoa: primary */ " if primary else ""
    return list(_run(hint + statement, values)[0])


def _run(statement, values):
    try:
        return _database.run(statement, values)
    except pymysql.MySQLError as error:
        raise Unavailable from error

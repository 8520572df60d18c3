"""Brings the schema of the database up, a step after the other, before a release is started.

The release before this one serves meanwhile, and perhaps again afterwards: a step only adds. A step that was
cut short is done again, and so is each in a database from before there was this list.
"""

import os
import sys

import pymysql

import database

STEPS = [
    """
    CREATE TABLE IF NOT EXISTS entries (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        token VARCHAR(64) CHARACTER SET ascii NOT NULL UNIQUE,
        name VARCHAR(60) NOT NULL,
        message VARCHAR(1000) NOT NULL,
        at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    """,
    "ALTER TABLE entries ADD COLUMN IF NOT EXISTS picture VARCHAR(64) CHARACTER SET ascii NULL AFTER message",
]

DONE = """
    CREATE TABLE IF NOT EXISTS migrations (
        step INT UNSIGNED NOT NULL PRIMARY KEY,
        at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    ) ENGINE=InnoDB
"""


def migrate(cursor):
    """Takes the steps that the database has not seen, and keeps each where it is remembered."""
    cursor.execute(DONE)
    cursor.execute("SELECT MAX(step) AS step FROM migrations")
    done = cursor.fetchone()["step"] or 0
    for number, statement in enumerate(STEPS[done:], done + 1):
        print(f"step {number}: {' '.join(statement.split())[:60]}")
        cursor.execute(statement)
        cursor.execute("INSERT INTO migrations (step) VALUES (%s)", (number,))
    print(f"the schema is at step {max(done, len(STEPS))}")


def main():
    settings = database.settings(os.environ["DATABASE_URL"])
    # A step on a large table takes as long as it takes; Stoa ends it after [deploy] task_timeout.
    connection = pymysql.connect(**{**settings, "read_timeout": None, "write_timeout": None})
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('migrations', 60) AS held")
        if not cursor.fetchone()["held"]:
            sys.exit("another migration has held the lock for a minute")
        migrate(cursor)


if __name__ == "__main__":
    main()

"""Leaves alone for a moment what has just failed, so that a dead server costs one request and not all."""

import time


class Breaker:
    def __init__(self, seconds):
        self.seconds = seconds
        self.closed_at = 0.0

    def allows(self):
        return time.monotonic() >= self.closed_at

    def failed(self):
        self.closed_at = time.monotonic() + self.seconds

"""The application of the tests: shows who answers, and misbehaves as behaviour.json of its release says.

crash     it ends at once, with these last words
listens   false: it never listens
healthy   so many checks of /health are answered well, no more
errors    this share of the other answers is a 500
delay_ms  each other answer takes so much longer
"""
import base64, hashlib, http.server, json, os, random, socketserver, sys, time

behaviour = json.load(open("behaviour.json")) if os.path.exists("behaviour.json") else {}
if "crash" in behaviour:
    sys.exit(behaviour["crash"])
if not behaviour.get("listens", True):
    print("I never listen", flush=True)
    time.sleep(1000)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    checks = 0

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-App-Instance", os.environ["STOA_INSTANCE"])
        self.send_header("X-App-Release", os.environ["STOA_RELEASE"])
        self.end_headers()
        self.wfile.write(body)

    def misbehaves(self):
        time.sleep(behaviour.get("delay_ms", 0) / 1000)
        bad = random.random() < behaviour.get("errors", 0)
        if bad:
            self.answer(500, "a bad release")
        return bad

    def do_GET(self):
        if self.path == "/health":
            Handler.checks += 1
            well = Handler.checks <= behaviour.get("healthy", Handler.checks)
            return self.answer(200 if well else 500, "well" if well else "sick since a while")
        if self.path == "/socket":
            return self.echo()
        if self.misbehaves():
            return
        if self.path.startswith("/uploads/"):
            try:
                return self.answer(200, open(self.path[1:]).read())
            except FileNotFoundError:
                return self.answer(404, "no such upload")
        if self.path == "/environment":
            return self.answer(200, json.dumps(dict(os.environ)))
        if self.path == "/headers":
            return self.answer(200, json.dumps(dict(self.headers)))
        if self.path.startswith("/slow/"):
            time.sleep(int(self.path[6:]) / 1000)
        self.answer(200, "hello from " + os.environ["STOA_INSTANCE"])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.misbehaves():
            return
        if self.path.startswith("/uploads/"):
            open(self.path[1:], "wb").write(body)
        self.answer(200, "got " + str(len(body)))

    # A WebSocket that sends back each small frame (RFC 6455), a close frame too, and ends with that.
    def echo(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("X-App-Instance", os.environ["STOA_INSTANCE"])
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(6)
            if len(head) < 6:
                return
            masked = self.rfile.read(head[1] & 127)
            self.wfile.write(bytes([head[0], head[1] & 127]) + bytes(b ^ head[2 + i % 4] for i, b in enumerate(masked)))
            if head[0] & 15 == 8:
                return

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        self.socket.setsockopt(6, 1, 1)
        super().server_bind()


print("listening", flush=True)
Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()

# SPDX-License-Identifier: Apache-2.0
"""A double of Reddit: tokens, listings and `/api/info` over TLS, with posts that a test writes, and misbehaviour on demand.

It follows https://www.reddit.com/dev/api and the wiki of Reddit's OAuth2: listings are newest first, pages begin after
or end before a full name, no page has more than 100 posts and no listing more than 1000, a cursor that is no longer listed
gives an empty page, and deleted posts are listed no more while `/api/info` shows what is left of them.
"""
import base64
import collections
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse

PAGE = 100
LISTED = 1000


class Reddit:
    """The service and its world; everything may be called from any thread."""

    def __init__(self, certificate, key, client=("client", "secret"), account=("someone", "her password")):
        self.client, self.account = client, account
        self.lock = threading.RLock()
        self.posts = {}  # by full name, in the order in which they were written
        self.subreddits = set()
        self.tokens = {}
        self.token_lifetime = 86400
        self.grants = []
        self.requests = []  # (method, path with query)
        self.misbehaviours = collections.deque()
        self.released = threading.Event()
        self.budget = 600
        self.number = 1_000_000
        self.present(certificate, key)
        double = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = super().get_request()
                connection.settimeout(60)
                # The handshake belongs to the connection's own thread.
                return double.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, request, client_address):
                pass  # clients that hang up, or do not like the certificate

        self.server = Server(("127.0.0.1", 0), type("Handler", (Handler,), {"double": self}))
        self.url = f"https://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    # What a test does to it.

    def present(self, certificate, key):
        """Shows this certificate to connections that come from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.context = context

    def submit(self, subreddit, title, text="", **more):
        return self.write("t3", subreddit, title=title, selftext=text, url="https://example.org/", num_comments=0,
                          upvote_ratio=0.9, is_self=True, **more)

    def comment(self, submission, text, **more):
        of = self.posts[submission]
        return self.write("t1", of["subreddit"], body=text, link_id=submission, parent_id=submission,
                          link_title=of["title"], permalink=f"/r/{of['subreddit']}/comments/{submission[3:]}/", **more)

    def write(self, kind, subreddit, age=0, **data):
        with self.lock:
            self.number += 1
            self.subreddits.add(subreddit)
            identifier = base36(self.number)
            name = f"{kind}_{identifier}"
            post = {"id": identifier, "name": name, "subreddit": subreddit, "author": "u_ser", "score": 1,
                    "created_utc": time.time() - age, "edited": False, "preview": {"images": [{"id": "not ours"}]},
                    "distinguished": None, **data}
            self.posts[name] = post
            return name

    def edit(self, name, **data):
        with self.lock:
            self.posts[name].update(data, edited=time.time())

    def delete(self, name):
        """As by its author: listed no more, and all that is left of it is that it was there."""
        with self.lock:
            self.posts[name].update(author="[deleted]", deleted=True, **{text_of(name): "[deleted]"})

    def vanish(self, name):
        """As with a subreddit that is closed: nothing is left."""
        with self.lock:
            del self.posts[name]

    def misbehave(self, *kinds):
        """One request each, in this order, tokens' included: drop, stall, garbage, truncated, cut, slow, redirect,
        wander, or a status."""
        with self.lock:
            self.misbehaviours.extend(kinds)

    def release(self):
        """Lets go of requests that stall."""
        self.released.set()
        self.released = threading.Event()

    def revoke_tokens(self):
        with self.lock:
            self.tokens.clear()

    # What it answers.

    def listing(self, kind, subreddits, query):
        with self.lock:
            wanted = {name.lower() for name in subreddits}
            listed = [post for name, post in self.posts.items()
                      if name.startswith(kind) and post["subreddit"].lower() in wanted and not post.get("deleted")]
            # Of posts of one moment the later one is first; who was approved late stands where its time is.
            listed = sorted(reversed(listed), key=lambda post: -post["created_utc"])[:LISTED]
        names = [post["name"] for post in listed]
        limit = min(int(query.get("limit", 25)), PAGE)
        before, after = query.get("before"), query.get("after")
        if before:
            end = names.index(before) if before in names else 0
            page = listed[max(0, end - limit):end]
        else:
            start = names.index(after) + 1 if after in names else len(names) if after else 0
            page = listed[start:start + limit]
        more = bool(page) and page[-1]["name"] != names[-1]
        return self.things(kind, page, after=page[-1]["name"] if more else None,
                           before=page[0]["name"] if page and page[0]["name"] != names[0] else None)

    def info(self, query):
        with self.lock:
            if "sr_name" in query:
                asked = query["sr_name"].split(",")
                found = [name for name in sorted(self.subreddits) if name.lower() in {a.lower() for a in asked}]
                return self.things("t5", [{"display_name": name, "name": f"t5_{name}", "id": name} for name in found])
            posts = [self.posts[name] for name in query.get("id", "").split(",")[:PAGE] if name in self.posts]
            listing = self.things("t1", posts)
            for child, post in zip(listing["data"]["children"], posts):
                child["kind"] = post["name"][:2]
            return listing

    @staticmethod
    def things(kind, posts, after=None, before=None):
        children = [{"kind": kind, "data": {key: value for key, value in post.items() if key != "deleted"}}
                    for post in posts]
        return {"kind": "Listing", "data": {"after": after, "before": before, "dist": len(children), "modhash": None,
                                            "geo_filter": "", "children": children}}

    def token(self, authorization, form):
        """The reply to a request for a token: status and body."""
        expected = "Basic " + base64.b64encode(":".join(self.client).encode()).decode()
        if authorization != expected:
            return 401, {"message": "Unauthorized", "error": 401}
        grant = form.get("grant_type")
        self.grants.append(grant)
        if grant == "password" and (form.get("username"), form.get("password")) != self.account:
            return 200, {"error": "invalid_grant"}
        if grant not in ("password", "client_credentials"):
            return 200, {"error": "unsupported_grant_type"}
        with self.lock:
            value = f"t0ken-{len(self.grants)}-{base36(time.monotonic_ns())}"
            self.tokens[value] = time.monotonic() + self.token_lifetime
        return 200, {"access_token": value, "token_type": "bearer", "expires_in": self.token_lifetime, "scope": "*"}

    def is_authorized(self, authorization):
        with self.lock:
            scheme, _, value = (authorization or "").partition(" ")
            return scheme.lower() == "bearer" and self.tokens.get(value, 0) > time.monotonic()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.begin():
            return
        if self.path != "/api/v1/access_token":
            return self.reply(404, {"message": "Not Found", "error": 404})
        form = dict(urllib.parse.parse_qsl(body))
        self.reply(*self.double.token(self.headers.get("Authorization"), form))

    def do_GET(self):
        if self.begin():
            return
        double = self.double
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        steps = parts.path.strip("/").split("/")
        if not self.headers.get("User-Agent") or not double.is_authorized(self.headers.get("Authorization")):
            return self.reply(401, {"message": "Unauthorized", "error": 401})
        with double.lock:
            double.budget -= 1
        if double.budget < 0:
            return self.reply(429, {"message": "Too Many Requests", "error": 429})
        if steps[0] == "r" and len(steps) == 3 and steps[2] in ("new", "comments"):
            kind = "t3" if steps[2] == "new" else "t1"
            return self.reply(200, double.listing(kind, steps[1].split("+"), query))
        if steps == ["api", "info"]:
            return self.reply(200, double.info(query))
        self.reply(404, {"message": "Not Found", "error": 404})

    def begin(self):
        """Notes the request; whether a misbehaviour has answered it."""
        double = self.double
        with double.lock:
            double.requests.append((self.command, self.path))
            kind = double.misbehaviours.popleft() if double.misbehaviours else None
        if kind is None:
            return False
        if isinstance(kind, int):
            self.reply(kind, {"message": "as asked", "error": kind})
        elif kind == "drop":
            self.hang_up()
        elif kind == "stall":
            double.released.wait(120)
            self.hang_up()
        elif kind == "garbage":
            self.send(200, b"<html><body>our CDN was unable to reach our servers</body></html>", "text/html")
        elif kind == "truncated":
            # JSON that ends too early in a reply that is whole.
            self.send(200, json.dumps(double.listing("t3", double.subreddits, {})).encode()[:-25])
        elif kind == "cut":
            # A reply that ends before the length it said.
            self.send(200, json.dumps(double.listing("t3", double.subreddits, {})).encode(), cut=20)
            self.hang_up()
        elif kind == "slow":
            self.send(200, json.dumps(double.things("t3", [])).encode(), pause=0.5)
        elif kind == "redirect":
            self.redirect(self.path)
        elif kind == "wander":
            self.redirect("https://127.0.0.1:1" + self.path)
        else:
            raise ValueError(kind)
        return True

    def reply(self, status, body):
        self.send(status, json.dumps(body).encode())

    def redirect(self, location):
        self.send_response(302)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, status, body, kind="application/json; charset=UTF-8", cut=0, pause=0):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        remaining = max(0, self.double.budget)
        self.send_header("x-ratelimit-remaining", f"{remaining}.0")
        self.send_header("x-ratelimit-used", str(600 - remaining))
        self.send_header("x-ratelimit-reset", "1")
        self.end_headers()
        if pause:
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.double.released.wait(pause):
                    return
        else:
            self.wfile.write(body[:len(body) - cut])

    def hang_up(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def text_of(name):
    return "body" if name.startswith("t1_") else "selftext"


def base36(number):
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits

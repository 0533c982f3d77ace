# SPDX-License-Identifier: Apache-2.0
"""Source reddit beside a double of Reddit, over TLS, that misbehaves; and the double beside PRAW."""
import pathlib
import re
import shutil
import tempfile
import time

import praw
import prawcore
import pytest
import requests
from conftest import run, wait_until
from doubles.reddit import Reddit
from test_tls import Certificates

SECRETS = ["cl1ent-secret", "her p@ss word", "her%20p%40ss%20word", "t0ken-"]


@pytest.fixture(scope="module")
def certificates():
    folder = tempfile.mkdtemp(prefix="tapedeck-reddit-")
    made = Certificates(folder)
    made.leaf("local", "DNS:localhost")
    made.leaf("other", "DNS:other.test")
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def reddit(certificates):
    double = Reddit(
        certificates.path("local.pem"), certificates.path("local.key"), client=("cl1ent-id", "cl1ent-secret"),
        account=("some&one", "her p@ss word"))
    yield double
    double.close()


def arguments(reddit, certificates, folder, *more, client_secret="cl1ent-secret"):
    """What `up` and `ingest` need to ask the double instead of Reddit."""
    ini = folder.parent / "credentials.ini"
    ini.write_text(
        f"[RedditCredentials]\nclient_id = cl1ent-id\nclient_secret = {client_secret}\nusername = some&one\n"
        "password = her p@ss word\nuser_agent = linux:tapedeck-test:1 (by /u/some&one)\n")
    return ["--credentials", ini, "--source-authorities", certificates.path("ca.pem"), "--reddit-url", reddit.url,
            "--reddit-token-url", reddit.url, "--reddit-interval", "200ms", "--reddit-timeout", "3s",
            "--source-retry-pause", "50ms", "--reddit-subreddits", "stocks,WallStreetBets,nosuchplace", *more]


def stored(up):
    return {row[0]: row[1:] for row in up.sql(
        "select id, kind, subreddit, author, title, body, is_deleted from posts")}


def expected(reddit):
    """The table as it must be, by what the double has."""
    with reddit.lock:
        rows = {}
        for name, post in reddit.posts.items():
            comment = name.startswith("t1_")
            gone = bool(post.get("deleted"))
            rows[name] = ("comment" if comment else "submission", post["subreddit"], None if gone else post["author"],
                          post["link_title" if comment else "title"],
                          None if gone else post["body" if comment else "selftext"], gone)
        return rows


def wait_for_all(up, reddit, what):
    wait_until(lambda: stored(up) == expected(reddit), 90, what, up)


def events(up, kind):
    return [row[0] or "" for row in up.sql(
        "select message from ops.source_events where source = 'reddit' and kind = %s order by ts", kind)]


def staged(up):
    """Records in posts.staging."""
    topics = run("topics", "--data-dir", up.folder).stdout.decode()
    return int(re.search(r"posts.staging +\d+ partitions +([0-9,]+) records", topics)[1].replace(",", ""))


def fill(reddit, submissions, comments):
    """Posts of the last two hours, older first."""
    of = reddit.submit("stocks", "GME to the moon?", "AAPL rallies", age=7200)
    for number in range(1, submissions):
        reddit.submit("wallstreetbets" if number % 2 else "stocks", f"Submission {number}", "", age=7200 - number)
    for number in range(comments):
        reddit.comment(of, f"Comment {number}: I like the stock 🚀", age=7000 - 2 * number)
    return of


def test_every_post_arrives_once_whatever_reddit_does(start, folder, reddit, certificates):
    of = fill(reddit, 130, 260)
    up = start("--source", "reddit", *arguments(reddit, certificates, folder, "--reddit-recheck", "1h"))
    wait_for_all(up, reddit, "the posts of before")
    assert reddit.grants == ["password"]
    assert any("nosuchplace" in message for message in events(up, "error"))
    versions = 0

    for kind in ["drop", "stall", 429, 500, 503, "garbage", "truncated", "cut", "slow", "redirect", "wander", 401]:
        reddit.misbehave(kind)
        reddit.comment(of, f"written while it would {kind}")
        wait_until(lambda: not reddit.misbehaviours, 60, f"the request that meets {kind}", up)
        wait_for_all(up, reddit, f"what was written while it would {kind}")

    # Not the newest when it appears.
    reddit.comment(of, "approved late", age=10)
    wait_for_all(up, reddit, "what was approved late")

    # More in one go than a page has.
    with reddit.lock:
        for number in range(230):
            reddit.comment(of, f"burst {number}")
    wait_for_all(up, reddit, "a burst")

    # The cursor is gone: pages that end at it stay empty for ever.
    newest = reddit.comment(of, "to be deleted")
    wait_for_all(up, reddit, "the newest comment")
    reddit.delete(newest)
    reddit.comment(of, "after the one that was deleted")
    wait_until(lambda: "after the one that was deleted" in {row[4] for row in stored(up).values()}, 60, "it", up)
    with reddit.lock:
        del reddit.posts[newest]  # What becomes of it is another test's.

    # An edit of what is listed.
    edited = reddit.comment(of, "frist")
    wait_until(lambda: edited in stored(up), 60, "the comment", up)
    reddit.edit(edited, body="first")
    versions += 1
    wait_until(lambda: stored(up)[edited][4] == "first", 60, "the edit", up)
    assert up.sql("select edited_at is not null from posts where id = %s", edited) == [(True,)]

    # Tokens are taken back, then Reddit's allowance is spent.
    reddit.revoke_tokens()
    reddit.comment(of, "under a new token")
    wait_until(lambda: "under a new token" in {row[4] for row in stored(up).values()}, 60, "a new token", up)
    assert len(reddit.grants) > 1
    reddit.budget = 0
    before = len(reddit.requests)
    reddit.comment(of, "after the limit")
    wait_until(lambda: len(reddit.requests) >= before + 2, 60, "requests beyond the limit", up)
    reddit.budget = 10_000
    wait_until(lambda: "after the limit" in {row[4] for row in stored(up).values()}, 60, "the limit to pass", up)

    # Somebody else's certificate: nothing is sent there, and it is said why.
    reddit.present(certificates.path("other.pem"), certificates.path("other.key"))
    reddit.misbehave("drop")
    reddit.comment(of, "behind the wrong certificate")
    wait_until(lambda: any("certificate" in m.lower() or "ssl" in m.lower()
                           for m in events(up, "error") + events(up, "disconnected")), 60, "the complaint", up)
    reddit.present(certificates.path("local.pem"), certificates.path("local.key"))
    wait_until(lambda: "behind the wrong certificate" in {row[4] for row in stored(up).values()}, 60, "it", up)

    rows = stored(up)
    rows.pop(newest)
    assert rows == expected(reddit)
    # Each was recorded once, and the edit once more: neither polls nor retries told anything twice.
    assert staged(up) == len(rows) + 1 + versions
    assert up.one("select count(*) from ops.source_gaps") == 0 and up.one("select count(*) from ops.rejected_records") == 0
    connected, disconnected = events(up, "connected"), events(up, "disconnected")
    assert len(connected) == len(disconnected) + 1 and len(disconnected) >= 5

    told = up.output() + "".join(
        str(row) for row in up.sql("select * from ops.source_events")) + requests.get(up.url + "/metrics", timeout=30).text
    told += (pathlib.Path("/proc") / str(up.process.pid) / "cmdline").read_text()
    assert not [secret for secret in SECRETS if secret in told]
    assert 'tapedeck_source_connected{source="reddit"} 1' in told


def test_edits_votes_and_deletions_are_noted_by_looking_again(start, folder, reddit, certificates):
    of = fill(reddit, 1, 5)
    names = [name for name in reddit.posts if name.startswith("t1_")]
    up = start("--source", "reddit", *arguments(reddit, certificates, folder, "--reddit-recheck", "2s,4s,6s,8s,12s"))
    wait_for_all(up, reddit, "the posts of before")
    reddit.edit(of, score=500, num_comments=5, upvote_ratio=0.5)
    reddit.delete(names[0])
    reddit.vanish(names[1])
    wait_until(lambda: up.sql("select score, num_comments, upvote_ratio from posts where id = %s", of) == [(500, 5, 0.5)],
               60, "the votes", up)
    deleted = "select id from posts where is_deleted and body is null and author is null order by id"
    wait_until(lambda: up.sql(deleted) == [(names[0],), (names[1],)], 90, "the deletions", up)
    rows = stored(up)
    assert {name: rows[name] for name in names[2:]} == {name: expected(reddit)[name] for name in names[2:]}


def test_a_restart_fetches_what_was_missed_and_says_what_it_could_not(start, folder, reddit, certificates):
    of = fill(reddit, 2, 20)
    up = start("--source", "reddit", *arguments(reddit, certificates, folder))
    wait_for_all(up, reddit, "the posts of before")
    up.kill_everything()
    for number in range(350):
        reddit.comment(of, f"while it was down {number}")
    up.start()
    wait_for_all(up, reddit, "what was written in between")
    assert up.one("select count(*) from ops.source_gaps") == 0
    up.stop()
    # More than Reddit lists: the first hundred are out of reach, and the time in which they were written is said.
    time.sleep(1.5)
    lost = [reddit.comment(of, f"out of reach {number}", age=1) for number in range(100)]
    kept = [reddit.comment(of, f"within reach {number}") for number in range(1000)]
    up.start()
    wait_until(lambda: set(kept) <= set(stored(up)), 90, "what is listed", up)
    assert not set(lost) & set(stored(up))
    wait_until(lambda: up.one("select count(*) from ops.source_gaps") == 1, 60, "the gap", up)
    created = reddit.posts[lost[-1]]["created_utc"]
    assert up.sql("select extract(epoch from from_ts) <= %s and extract(epoch from to_ts) > %s from ops.source_gaps",
                  created, created) == [(True,)]


def test_credentials_that_are_missing_or_refused_are_told(start, folder, reddit, certificates):
    up = start("--source", "reddit", *arguments(reddit, certificates, folder, client_secret="wr0ng-secret"))
    wait_until(lambda: any("does not accept the credentials" in m for m in events(up, "error")), 60, "the error", up)
    assert "wr0ng-secret" not in up.output() + str(up.sql("select * from ops.source_events"))
    up.stop()
    (folder.parent / "empty").mkdir()
    result = run("ingest", "reddit", "--data-dir", folder, check=False, cwd=folder.parent / "empty")
    assert result.returncode != 0 and b"REDDIT_CLIENT_ID" in result.stderr


@pytest.mark.parametrize("account", [False, True])
def test_the_double_is_a_reddit_to_praw(reddit, certificates, account):
    of = fill(reddit, 130, 250)
    session = requests.Session()
    session.trust_env, session.verify = False, certificates.path("ca.pem")
    options = {"username": "some&one", "password": "her p@ss word"} if account else {}
    client = praw.Reddit(
        client_id="cl1ent-id", client_secret="cl1ent-secret", user_agent="test", check_for_updates=False,
        reddit_url=reddit.url, oauth_url=reddit.url, short_url=reddit.url, requestor_kwargs={"session": session},
        **options)
    multi = client.subreddit("stocks+wallstreetbets")
    submissions = list(multi.new(limit=None))
    assert [s.fullname for s in submissions] == [n for n in reversed(reddit.posts) if n.startswith("t3_")]
    assert submissions[-1].title == "GME to the moon?" and submissions[-1].selftext == "AAPL rallies"
    comments = list(multi.comments(limit=None))
    assert [c.fullname for c in comments] == [n for n in reversed(reddit.posts) if n.startswith("t1_")]
    assert comments[0].body == "Comment 249: I like the stock 🚀" and comments[0].link_id == of
    # A stream as the seeds read it, and one that loses nothing of a burst.
    stream = multi.stream.comments(skip_existing=True, pause_after=0)
    assert next(stream) is None
    written = [reddit.comment(of, f"burst {number}") for number in range(90)]
    told = []
    while len(told) < 90:
        comment = next(stream)
        told += [comment.fullname] if comment else []
    assert told == written
    # What /api/info shows of what was edited and deleted.
    reddit.edit(written[0], body="edited")
    reddit.delete(written[1])
    found = list(client.info(fullnames=[of, written[0], written[1], "t1_nothere"]))
    assert [thing.fullname for thing in found] == [of, written[0], written[1]]
    assert found[1].body == "edited" and found[1].edited > 0 and found[2].body == "[deleted]" and found[2].author is None
    assert [s.display_name for s in client.info(subreddits=["stocks", "nosuchplace"])] == ["stocks"]
    assert reddit.grants[0] == ("password" if account else "client_credentials")
    # Refusals as Reddit's.
    reddit.budget = 0
    with pytest.raises(prawcore.exceptions.TooManyRequests):
        list(multi.new())

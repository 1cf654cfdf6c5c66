#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A repository of another server is connected: webhooks of four forges and polling alone bring its commits.

The other server is `git http-backend` behind a token, on loopback in a network namespace of this test. Checked: signed
deliveries start what a push starts; wrong signatures and replays are refused; a push that was accepted survives kill -9
of serve; the token is in no argument, environment, log or mirror."""
import argparse
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from story.system import SLIPWAY, System, free_port
from story.timeline import StoryFailed, check, wait_for

INSIDE = "SLIPWAY_WEBHOOK_ISOLATED"
ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKEN = "canary-" + secrets.token_hex(12)
HOOK_SECRET = "hook-" + secrets.token_hex(16)
RUN = """apiVersion: tekton.dev/v1
kind: PipelineRun
metadata:
  name: build
  annotations:
    pipelinesascode.tekton.dev/on-event: "[push]"
    pipelinesascode.tekton.dev/on-target-branch: "[main]"
spec:
  pipelineSpec:
    tasks:
      - name: say
        taskSpec:
          steps:
            - name: say
              image: docker.io/library/busybox:1
              script: echo hello
"""


def git(*arguments, folder=None):
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder or "/nonexistent"), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
                   "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(["git", *map(str, arguments)], capture_output=True, text=True, cwd=folder, env=environment)
    check(done.returncode == 0, f"git {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout.strip()


class GitServer(http.server.ThreadingHTTPServer):
    """`git http-backend` behind a token."""
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), GitRequest)
        self.folder, self.works, self.asked = folder, True, 0
        self.bare, self.work = folder / "shop" / "app.git", folder / "work"
        git("init", "-q", "--bare", "-b", "main", self.bare)
        git("init", "-q", "-b", "main", self.work)
        (self.work / ".tekton").mkdir()
        (self.work / ".tekton" / "run.yaml").write_text(RUN)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/shop/app.git"

    def commit(self, text):
        (self.work / "text").write_text(text)
        git("add", "-A", folder=self.work)
        git("commit", "-q", "-m", text, folder=self.work)
        git("push", "-q", self.bare, "main", folder=self.work)
        return git("rev-parse", "HEAD", folder=self.work)


class GitRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked += 1
        time.sleep(0.3)  # long enough for the processes to be looked at
        given = self.headers.get("Authorization", "")
        password = base64.b64decode(given[6:]).decode().partition(":")[2] if given.startswith("Basic ") else ""
        if not self.server.works:
            return self.send_error(503)
        if password != TOKEN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="forge"')
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        environment = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                       "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                       "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200")[:3]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET


class Watcher(threading.Thread):
    """Looks for the token in arguments and environments of git's processes, for as long as the test runs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.needles = [TOKEN.encode(), *(base64.b64encode(f"{user}:{TOKEN}".encode()) for user in ("git", "x-access-token"))]
        self.found, self.seen, self.ends = [], 0, False

    def run(self):
        while not self.ends:
            for folder in pathlib.Path("/proc").iterdir():
                if folder.name.isdigit() and int(folder.name) != os.getpid():
                    self.look(folder)
            time.sleep(0.02)

    def look(self, folder):
        try:
            arguments = (folder / "cmdline").read_bytes()
            if b"git" not in arguments and b"slipway" not in arguments:
                return
            text = arguments + (folder / "environ").read_bytes()
        except OSError:
            return
        self.seen += b"git-remote-http" in arguments or b"remote-http" in arguments
        if any(needle in text for needle in self.needles):
            self.found.append(arguments.replace(b"\0", b" ").decode("utf-8", "replace")[:200])


def hex_mac(body):
    return hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()


def delivery_of(forge, url, before, after):
    """Headers and body of a push as this forge sends it."""
    number = secrets.token_hex(8)
    if forge == "bitbucket":
        change = {"old": {"type": "branch", "name": "main", "target": {"hash": before}}, "new": {"type": "branch", "name": "main", "target": {"hash": after}}}
        body = {"repository": {"links": {"html": {"href": url.removesuffix(".git")}}}, "push": {"changes": [change]}}
    else:
        body = {"ref": "refs/heads/main", "before": before, "after": after, "repository": {"clone_url": url}, "project": {"git_http_url": url}}
    text = json.dumps(body).encode()
    stamp = str(int(time.time()))
    signed = base64.b64encode(hmac.new(HOOK_SECRET.encode(), f"{number}.{stamp}.".encode() + text, hashlib.sha256).digest()).decode()
    return {
        "github": {"X-GitHub-Event": "push", "X-GitHub-Delivery": number, "X-Hub-Signature-256": f"sha256={hex_mac(text)}"},
        "gitlab": {"X-Gitlab-Event": "Push Hook", "Idempotency-Key": number, "X-Gitlab-Token": HOOK_SECRET},
        "gitlab, signed": {"X-Gitlab-Event": "Push Hook", "webhook-id": number, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}"},
        "bitbucket": {"X-Event-Key": "repo:push", "X-Request-UUID": number, "X-Hub-Signature": f"sha256={hex_mac(text)}"},
        "gitea": {"X-Gitea-Event": "push", "X-GitHub-Event": "push", "X-Gitea-Delivery": number, "X-Gitea-Signature": hex_mac(text)},
    }[forge], text


class Test:
    def __init__(self, system, server):
        self.system, self.server, self.passed, self.last = system, server, 0, ""

    def holds(self, what):
        print(f"   {what}", flush=True)
        self.passed += 1

    def post(self, headers, body, name="app", content_type="application/json"):
        connection = http.client.HTTPSConnection("127.0.0.1", self.system.https_port, context=self.system.tls, timeout=20)
        try:
            connection.request("POST", f"/hooks/v1/default/{name}", body, {"Content-Type": content_type, **headers})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def repository(self):
        return (self.system.get(SLIPWAY, "repositories", "app") or {}).get("status", {})

    def has_arrived(self, commit):
        refs = {one["name"]: one["commit"] for one in self.repository().get("refs", [])}
        return refs.get("refs/heads/main") == commit and self.system.run_of(commit) is not None

    def arrives(self, commit, seconds=30):
        wait_for(f"commit {commit[:10]} to be fetched and to start its run; {self.repository()}", lambda: self.has_arrived(commit), seconds)
        self.last = commit

    def write(self, name, text):
        path = self.system.folder / name
        path.write_text(text + "\n")
        return path

    def connect(self, token, *flags, codes=(0,)):
        return self.system.slipway("repo", "connect", "app", self.server.url, "--token-file", self.write("token", token),
                                   "--webhook-secret-file", self.write("secret", HOOK_SECRET), *flags, codes=codes)

    def connecting(self):
        first = self.server.commit("first")
        self.connect("a-wrong-token-of-mine", "--poll", "1h", codes=(3, 4))
        check("refused the token" in self.repository()["source"]["message"], f"the status tells of the wrong token: {self.repository()}")
        self.holds("a wrong token is refused, and the status says what to do")
        printed = self.connect(TOKEN, "--poll", "1h")
        check(printed.strip().endswith("/git/default/app.git"), printed)
        self.arrives(first)
        check(self.repository()["conditions"][0]["status"] == "True", f"Ready: {self.repository()}")
        self.holds("connected: the head of the default branch is fetched and starts its run")

    def webhooks(self):
        for forge in ("github", "gitlab", "gitlab, signed", "bitbucket", "gitea"):
            commit = self.server.commit(forge)
            headers, body = delivery_of(forge, self.server.url, self.last, commit)
            forged = {name: value[:-4] + "AAAA" if name.lower().endswith(("signature", "signature-256", "token")) else value for name, value in headers.items()}
            check(self.post(forged, body) == 401, f"{forge}: a wrong signature is refused")
            check(self.post(headers, body + b" ") in ((202, 401) if forge == "gitlab" else (401,)), f"{forge}: another body is refused")
            if forge != "gitlab":
                check(self.post(headers, body) == 202, f"{forge}: a signed push is accepted")
            check(self.post(headers, body) == 409, f"{forge}: a replay is refused")
            self.arrives(commit)
            self.holds(f"{forge}: a signed push brings its commit and starts its run; a wrong signature and a replay are refused")

    def refusals(self):
        headers, body = delivery_of("github", self.server.url, self.last, self.last)
        ping = b'{"zen":"x"}'
        expected = {
            401: [self.post({name: value for name, value in headers.items() if "Signature" not in name}, body), self.post(headers, body, name="nothing")],
            413: [self.post(headers, b" " * (1024 * 1024 + 1))],
            415: [self.post(headers, b"payload=x", content_type="application/x-www-form-urlencoded")],
            400: [self.post({}, body)],
            200: [self.post({"X-GitHub-Event": "ping", "X-GitHub-Delivery": "p", "X-Hub-Signature-256": f"sha256={hex_mac(ping)}"}, ping)],
        }
        foreign, text = delivery_of("github", "https://git.example.com/another/one.git", self.last, self.last)
        expected[422] = [self.post(foreign, text)]
        for status, answers in expected.items():
            check(all(answer == status for answer in answers), f"{answers} should be {status}")
        self.holds("unsigned, unknown, too large, form-encoded and foreign deliveries are refused; a ping is answered")

    def kill(self):
        commit = self.server.commit("before kill -9")
        self.server.works = False
        headers, body = delivery_of("gitea", self.server.url, self.last, commit)
        check(self.post(headers, body) == 202, "the push is accepted though the remote is away")
        old = self.system.kill("serve")
        self.system.wait_started_again("serve", old)
        check(self.post(headers, body) == 409, "after kill -9 the delivery is still known")
        self.server.works = True
        self.arrives(commit, 60)
        self.holds("a push that was accepted survives kill -9 of serve and a remote that is away")

    def polling(self):
        self.connect(TOKEN, "--poll", "5s")
        commit = self.server.commit("polled")
        self.arrives(commit, 30)
        self.holds("polling alone brings a commit")

    def mirror_takes_no_push(self):
        url = f"https://x:{self.system.token}@127.0.0.1:{self.system.https_port}/git/default/app.git"
        done = subprocess.run(["git", "push", url, "main:other"], cwd=self.server.work, capture_output=True, text=True, env={**os.environ, "GIT_SSL_CAINFO": str(self.system.ca_file)})
        check(done.returncode != 0 and "403" in done.stderr, f"a push to a mirror: {done.stderr}")
        self.holds("a connected repository takes no push")

    def token_is_nowhere(self, watcher):
        check(watcher.seen > 0, "git was seen at its work")
        check(not watcher.found, f"the token stood in {watcher.found[:3]}")
        for folder in (self.system.data / "logs", self.system.data / "serve" / "git", self.system.data / "serve" / "hooks"):
            for path in folder.rglob("*"):
                if path.is_file():
                    check(not any(needle in path.read_bytes() for needle in [*watcher.needles, HOOK_SECRET.encode()]), f"a secret is in {path}")
        self.holds(f"the token was in no argument and no environment ({watcher.seen} looks at git), and is in no log and no mirror")

    def removing(self):
        mirror = self.system.data / "serve" / "git" / "default" / "app.git"
        check(mirror.exists(), f"{mirror} is there")
        self.system.call("DELETE", f"{SLIPWAY}/namespaces/default/repositories/app")
        wait_for("the mirror to go with its object", lambda: not mirror.exists(), 20)
        self.holds("a removed repository takes its mirror with it")


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=ROOT / "build" / "release" / "bin" / "slipway", type=pathlib.Path)
    parser.add_argument("--keep", action="store_true", help="leave the data folder")
    return parser.parse_args()


def main():
    options = parse()
    if os.geteuid() != 0 or not options.binary.exists():
        print(f"SKIPPED: needs root and {options.binary}\n0 passed, 0 failed, 1 skipped")
        return 0
    if not os.environ.get(INSIDE):
        os.execvpe("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    folder = pathlib.Path(tempfile.mkdtemp(prefix="slipway-webhook-"))
    system, watcher, problem = System(options.binary, folder), Watcher(), None
    test = None
    try:
        server = GitServer(folder / "forge")
        test = Test(system, server)
        system.up()
        watcher.start()
        for step in (test.connecting, test.webhooks, test.refusals, test.kill, test.polling, test.mirror_takes_no_push, lambda: test.token_is_nowhere(watcher), test.removing):
            step()
    except (StoryFailed, KeyboardInterrupt, OSError) as failed:
        problem = str(failed) or type(failed).__name__
        print(problem)
        for name, text in system.diagnosis():
            print(f"\n-- {name}\n{text}", flush=True)
    watcher.ends = True
    try:
        system.down(purge=not options.keep)
    except (StoryFailed, OSError) as failed:
        problem = f"{problem or ''}\nclean-up: {failed}".strip()
        print(failed)
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{test.passed if test else 0} passed, {1 if problem else 0} failed, 0 skipped")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())

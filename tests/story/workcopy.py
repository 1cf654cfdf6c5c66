# SPDX-License-Identifier: Apache-2.0
"""A clone of the example as a team would work in it: it edits files, commits and pushes with the ordinary git."""
import os
import pathlib
import shutil
import subprocess

from .timeline import StoryFailed, check


class WorkCopy:
    def __init__(self, example, folder, system):
        self.folder = pathlib.Path(folder)
        shutil.copytree(example, self.folder, ignore=shutil.ignore_patterns("reports", "respond_test", "hello"))
        if system.registry_port != 5000:
            for path in (".tekton/push.yaml", "deploy/hello.yaml"):
                self.replace(path, "127.0.0.1:5000/", f"127.0.0.1:{system.registry_port}/")
        # git finds the token in a file that only this user reads; it never stands on a command line.
        credentials = self.folder.parent / "git-credentials"
        with os.fdopen(os.open(credentials, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"https://admin:{system.token}@127.0.0.1:{system.https_port}\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Ada Example")
        self.git("config", "user.email", "ada@example.org")
        self.git("config", "http.sslCAInfo", str(system.ca_file))
        self.git("config", "credential.helper", f"store --file={credentials}")

    def git(self, *arguments, seconds=60):
        # What this machine sets for other hosts (proxies, authorities) has no part in the story.
        environment = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY") and not key.startswith("GIT_")}
        environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        done = subprocess.run(["git", "-C", str(self.folder), *arguments], capture_output=True, text=True, timeout=seconds, env=environment)
        if done.returncode != 0:
            raise StoryFailed(f"git {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr}")
        return done.stdout

    def read(self, path):
        return (self.folder / path).read_text()

    def write(self, path, text):
        (self.folder / path).write_text(text)

    def replace(self, path, before, after):
        text = self.read(path)
        check(before in text, f"the example's {path} no longer holds {before!r}")
        self.write(path, text.replace(before, after))

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def push(self):
        self.git("push", "--quiet", "origin", "main")

# SPDX-License-Identifier: Apache-2.0
"""The developer's clone of the example: edits, commits and pushes with the ordinary git."""
import os
import re
import shutil
import subprocess
from pathlib import Path


class Clone:
    def __init__(self, folder, example, system):
        self.folder = Path(folder)
        shutil.copytree(example, self.folder)
        # The password comes from a helper that reads a file: it stands in no argument and in no address.
        secret = self.folder.parent / "git-credentials"
        secret.write_text(f"username=git\npassword={system.token}\n")
        secret.chmod(0o600)
        self.environment = dict(os.environ, GIT_SSL_CAINFO=str(system.ca_file), GIT_TERMINAL_PROMPT="0", GIT_CONFIG_NOSYSTEM="1", HOME=str(self.folder.parent),
                                GIT_AUTHOR_NAME="Dev", GIT_AUTHOR_EMAIL="dev@example.org", GIT_COMMITTER_NAME="Dev", GIT_COMMITTER_EMAIL="dev@example.org")
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "credential.helper", f"!cat '{secret}' #")
        self.git("remote", "add", "origin", f"https://127.0.0.1:{system.ports['https']}/git/default/hello.git")
        self.edit("deploy/hello.yaml", "127.0.0.1:5000/", f"127.0.0.1:{system.ports['registry']}/")
        self.edit(".tekton/push.yaml", "127.0.0.1:5000/", f"127.0.0.1:{system.ports['registry']}/")

    def git(self, *words):
        return subprocess.run(["git", *words], cwd=self.folder, env=self.environment, check=True, capture_output=True, text=True, timeout=60).stdout

    def edit(self, path, pattern, replacement):
        file = self.folder / path
        text, count = re.subn(pattern, lambda _: replacement, file.read_text())
        if count == 0:
            raise SystemExit(f"{path} has nothing like {pattern}")
        file.write_text(text)

    def version(self, number):
        self.edit("src/version.h", r'HELLO_VERSION ".*"', f'HELLO_VERSION "{number}"')

    def push(self, message):
        """Commits what changed and pushes it; answers the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD").strip()

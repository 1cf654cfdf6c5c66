# SPDX-License-Identifier: Apache-2.0
"""The delivery half alone: images compiled on this machine and imported, no pipeline in the commits."""
import shutil
import subprocess

from .timeline import check


class Prebuilt:
    def __init__(self, system, copy):
        self.system, self.copy, self.tag = system, copy, None
        shutil.rmtree(copy.folder / ".tekton")
        copy.replace("deploy/hello.yaml", f"image: 127.0.0.1:{system.registry_port}/hello", "image: hello.example/hello:v0\n          command: [/hello]")

    def __call__(self, version):
        done = subprocess.run(["make", "-C", self.copy.folder, "hello"], capture_output=True, text=True)
        check(done.returncode == 0, f"the example does not compile:\n{done.stderr}")
        root = self.system.folder / f"root-{version}"
        root.mkdir(exist_ok=True)
        shutil.move(self.copy.folder / "hello", root / "hello")
        self.system.slipway("image", "import", root, f"hello.example/hello:v{version}", "--data", self.system.data)
        text = self.copy.read("deploy/hello.yaml")
        before = text.split("hello.example/hello:v")[1].split()[0]
        self.copy.write("deploy/hello.yaml", text.replace(f"hello:v{before}", f"hello:v{version}"))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registries: skopeo and buildah with ours; ours with Debian's docker-registry, which asks for a password; pods and builds
whose images are only there. In a network namespace of its own, as root."""
import argparse
import base64
import crypt
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from story.system import CORE, NAMESPACE, System, free_port
from story.timeline import StoryFailed, Timeline, check, wait_for

INSIDE = "SLIPWAY_REGISTRY_ISOLATED"
ROOT = pathlib.Path(__file__).resolve().parent.parent
USER, PASSWORD = "pusher", "open-sesame-7"
PROGRAMS = ["skopeo", "buildah", "docker-registry", "busybox", "unshare"]


class OtherRegistry:
    """Debian's docker-registry on loopback, with one user."""

    def __init__(self, folder):
        self.port = free_port(5055)
        self.name = f"127.0.0.1:{self.port}"
        self.folder = folder / "other-registry"
        self.folder.mkdir()
        (self.folder / "htpasswd").write_text(f"{USER}:{crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=32))}\n")
        (self.folder / "config.yml").write_text(json.dumps({
            "version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": self.name}, "auth": {"htpasswd": {"realm": "test", "path": str(self.folder / "htpasswd")}}}))
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(["docker-registry", "serve", str(self.folder / "config.yml")], stdout=self.log, stderr=self.log)
        self.auth = {"auths": {self.name: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}}

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


class Registries:
    def __init__(self, system, timeline):
        self.system, self.timeline, self.folder = system, timeline, system.folder
        self.other = OtherRegistry(self.folder)
        self.passed = 0

    def prepare(self):
        self.own = f"127.0.0.1:{self.system.registry_port}"
        auths = {"auths": {**self.other.auth["auths"], self.own: {"auth": base64.b64encode(f"admin:{self.system.token}".encode()).decode()}}}
        self.auth_file = self.folder / "auth.json"
        self.auth_file.write_text(json.dumps(auths))
        self.password_file = self.folder / "password"
        self.password_file.write_text(f"{USER}:{PASSWORD}\n")
        root = self.folder / "busybox"
        (root / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
        for name in ("sh", "sleep", "cat", "echo", "true"):
            (root / "bin" / name).symlink_to("busybox")
        self.system.slipway("image", "import", "--data", self.system.data, root, f"{self.own}/busybox:1")

    def run(self, *arguments, codes=(0,)):
        done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=120)
        check(done.returncode in codes, f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + (done.stderr if codes != (0,) else "")

    def skopeo(self, *arguments, **options):
        return self.run("skopeo", *arguments, **options)

    def copy(self, source, destination, *flags):
        self.skopeo("copy", "--quiet", "--authfile", self.auth_file, "--src-tls-verify=false", "--dest-tls-verify=false", *flags, source, destination)

    # --- chapters

    def skopeo_with_ours(self):
        """skopeo pulls from ours and pushes to it with the token, and without it cannot"""
        self.copy(f"docker://{self.own}/busybox:1", f"oci:{self.folder}/layout:1")
        self.copy(f"oci:{self.folder}/layout:1", f"docker://{self.own}/team/copy:1")
        digest = self.skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{self.own}/team/copy:1").strip()
        check(digest in self.system.slipway("image", "list", "--data", self.system.data), "what skopeo pushed is not an image of the store")
        refused = self.skopeo("copy", "--quiet", "--dest-tls-verify=false", f"oci:{self.folder}/layout:1", f"docker://{self.own}/team/no:1", codes=(1,))
        check("authentication required" in refused or "unauthorized" in refused, f"a push without a token was answered with: {refused}")

    def buildah_with_ours(self):
        """buildah pulls from ours, and pushes to it with the token"""
        storage = ["--root", str(self.folder / "containers"), "--runroot", str(self.folder / "containers-run"), "--storage-driver", "vfs"]
        self.run("buildah", *storage, "pull", "--quiet", "--tls-verify=false", f"docker://{self.own}/busybox:1")
        self.run("buildah", *storage, "push", "--quiet", "--tls-verify=false", "--authfile", self.auth_file, f"{self.own}/busybox:1", f"docker://{self.own}/team/buildah:1")
        check("team/buildah:1" in self.system.slipway("image", "list", "--data", self.system.data), "what buildah pushed is not an image of the store")

    def push_and_pull(self):
        """`image push` and `image pull` with another registry: by password file, and refused without telling the password"""
        out = self.system.slipway("image", "push", "--data", self.system.data, "--creds-file", self.password_file, f"{self.own}/busybox:1", f"{self.other.name}/team/busybox:1")
        digest = self.skopeo("inspect", "--authfile", self.auth_file, "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{self.other.name}/team/busybox:1").strip()
        check(out.strip().endswith(digest), f"image push printed {out!r}; the registry has {digest}")
        self.copy(f"docker://{self.own}/busybox:1", f"docker://{self.other.name}/team/second:1", "--format", "v2s2")
        pulled = self.system.slipway("image", "pull", "--data", self.system.data, "--creds-file", self.auth_file, f"{self.other.name}/team/second:1")
        check(pulled.strip().split("@")[1] in self.system.slipway("image", "list", "--data", self.system.data), "the pulled image is not in the list")
        wrong = self.folder / "wrong"
        wrong.write_text(f"{USER}:not-{PASSWORD}")
        done = subprocess.run([self.system.binary, "image", "pull", "--data", str(self.system.data), "--creds-file", str(wrong), f"{self.other.name}/team/second:1"],
                              capture_output=True, text=True, timeout=60)
        check(done.returncode == 4, f"a pull with a wrong password ended with {done.returncode}: {done.stderr}")
        check("authorization" in done.stderr and PASSWORD not in done.stderr + done.stdout, f"a wrong password is told like this: {done.stderr}")

    def pod(self, name, image, **spec):
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **spec,
                         "containers": [{"name": "app", "image": image, "command": ["/bin/echo", "pulled and run"], **spec.get("container", {})}]}}
        body["spec"].pop("container", None)
        self.system.call("POST", f"{CORE}/namespaces/{NAMESPACE}/pods", body)

    def waiting(self, name, *reasons):
        def probe():
            for one in (self.system.get(CORE, "pods", name) or {}).get("status", {}).get("containerStatuses", []):
                found = one["state"].get("waiting", {})
                if found.get("reason") in reasons:
                    return found
            return None
        return wait_for(f"pod {name} to wait with {' or '.join(reasons)}; it has {(self.system.get(CORE, 'pods', name) or {}).get('status')}", probe, 30)

    def secret(self):
        config = base64.b64encode(json.dumps(self.other.auth).encode()).decode()
        self.system.call("POST", f"{CORE}/namespaces/{NAMESPACE}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other-registry"},
                                                                             "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": config}})

    def pods(self):
        """a pod whose image is only in the other registry runs with its secret, and says why it does not without"""
        only = f"{self.other.name}/team/only-there:1"
        self.copy(f"docker://{self.own}/busybox:1", f"docker://{only}", "--dest-compress-format", "zstd")
        self.pod("no-secret", only)
        problem = self.waiting("no-secret", "ErrImagePull", "ImagePullBackOff")
        check("authorization" in problem["message"], f"without a secret: {problem}")
        self.secret()
        self.pod("with-secret", only, imagePullSecrets=[{"name": "other-registry"}])
        wait_for("the pod to end well", lambda: self.system.get(CORE, "pods", "with-secret")["status"].get("phase") == "Succeeded", 60)
        reasons = lambda: {e["reason"]: e["message"] for e in self.system.list(CORE, "events") if e["involvedObject"]["name"] == "with-secret"}
        wait_for("the events Pulling and Pulled", lambda: {"Pulling", "Pulled"} <= set(reasons()), 10)
        check(reasons()["Pulled"].startswith(f"Successfully pulled image \"{only}\" in "), f"events: {reasons()}")

    def refusals(self):
        """imagePullPolicy Never, a bad name and a registry that does not answer have the kubelet's reasons"""
        self.pod("never", f"{self.other.name}/team/absent:1", container={"imagePullPolicy": "Never"})
        self.waiting("never", "ErrImageNeverPull")
        self.pod("bad-name", "Not A Name")
        self.waiting("bad-name", "InvalidImageName")
        self.pod("nobody", "127.0.0.1:9/nobody:1")
        problem = self.waiting("nobody", "ImagePullBackOff")
        check("slipway image import" in problem["message"] and problem["message"].startswith("Back-off pulling image"), f"with no registry: {problem}")

    def builds(self):
        """a Dockerfile's FROM is pulled with the ServiceAccount's secret, and `image build --push` brings the image there"""
        account = {"imagePullSecrets": [{"name": "other-registry"}]}
        self.system.call("PATCH", f"{CORE}/namespaces/{NAMESPACE}/serviceaccounts/default", account, "application/merge-patch+json")
        base = f"{self.other.name}/team/base:1"
        self.copy(f"docker://{self.own}/busybox:1", f"docker://{base}", "--format", "v2s2")
        context = self.folder / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {base}\nRUN echo built > /made\nCMD [\"/bin/cat\", \"/made\"]\n")
        built = f"{self.other.name}/team/built:1"
        out = self.system.slipway("image", "build", "--data", self.system.data, "--push", "--creds-file", self.password_file, "--tag", built, context, seconds=120)
        digest = self.skopeo("inspect", "--authfile", self.auth_file, "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{built}").strip()
        check(out.strip().endswith(digest), f"image build --push printed {out!r}; the registry has {digest}")
        self.image_build(context, f"{self.other.name}/team/object:1")

    def image_build(self, context, image):
        # The same context is in the store by now: an object asks for its build and its push.
        builds = self.system.list("/apis/slipway.dev/v1alpha1", "imagebuilds")
        spec = {**builds[0]["spec"], "image": image, "push": True}
        self.system.call("POST", f"/apis/slipway.dev/v1alpha1/namespaces/{NAMESPACE}/imagebuilds",
                         {"apiVersion": "slipway.dev/v1alpha1", "kind": "ImageBuild", "metadata": {"name": "pushed"}, "spec": spec})
        done = lambda: (self.system.get("/apis/slipway.dev/v1alpha1", "imagebuilds", "pushed") or {}).get("status", {})
        wait_for(f"the build to end", lambda: done().get("phase") in ("Succeeded", "Failed"), 60)
        check(done()["phase"] == "Succeeded", f"the build that pushes: {done().get('message')}")
        digest = self.skopeo("inspect", "--authfile", self.auth_file, "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{image}").strip()
        check(done()["digest"] == digest, f"the build says {done()['digest']}, the registry has {digest}")

    def all(self):
        self.system.up()
        self.prepare()
        wait_for("the other registry", lambda: subprocess.run(["curl", "-s", f"http://{self.other.name}/v2/"], capture_output=True).returncode == 0, 20)
        for chapter in (self.skopeo_with_ours, self.buildah_with_ours, self.push_and_pull, self.pods, self.refusals, self.builds):
            self.timeline.chapter(chapter.__doc__)
            with self.timeline.stage(chapter.__name__):
                chapter()
            self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=ROOT / "build" / "release" / "bin" / "slipway", type=pathlib.Path)
    options = parser.parse_args()
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    why_not = f"{', '.join(missing)} missing; ./dev setup installs it" if missing else "it runs pods and needs root" if os.geteuid() != 0 else \
        "" if options.binary.exists() else f"{options.binary} is not there; ./dev build makes it"
    if why_not:
        print(f"SKIPPED: {why_not}\n0 passed, 0 failed, 1 skipped")
        return 2
    if not os.environ.get(INSIDE):
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    timeline = Timeline()
    system = System(options.binary, tempfile.mkdtemp(prefix="slipway-registry-"))
    registries = Registries(system, timeline)
    problem = None
    try:
        registries.all()
    except (StoryFailed, KeyboardInterrupt, OSError) as failed:
        problem = str(failed) or type(failed).__name__
        print(problem)
        for name, text in system.diagnosis():
            print(f"\n-- {name}\n{text}", flush=True)
    finally:
        registries.other.close()
        system.down()
    shutil.rmtree(system.folder)
    timeline.print()
    print(f"{registries.passed} passed, {1 if problem else 0} failed, 0 skipped")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
